//! The list of sizes that a subscription has in a region: what `az vm list-skus --output json` prints, or Azure's
//! Resource SKUs as they are.

use serde_json::Value;

use super::Size;

/// The sizes of a list.
///
/// # Errors
/// In words: it is no such list, or has no virtual machines.
pub fn read(text: &str) -> Result<Vec<Size>, String> {
    let list: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    // The REST API has it in an object.
    let all = list.as_array().or_else(|| list.get("value")?.as_array());
    let all = all.ok_or("it is no list of sizes")?;
    let sizes: Vec<Size> = all.iter().filter(|it| is_offered(it)).filter_map(size).collect();
    if sizes.is_empty() { Err("there are no virtual machines in it".to_owned()) } else { Ok(sizes) }
}

fn is_offered(it: &Value) -> bool {
    let machine = it.get("resourceType").and_then(Value::as_str) == Some("virtualMachines");
    // What is restricted for a whole region cannot be had; a zone may be left out.
    let restrictions = it.get("restrictions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let closed = restrictions.iter().any(|it| it.get("type").and_then(Value::as_str) == Some("Location"));
    machine && !closed
}

fn size(it: &Value) -> Option<Size> {
    let capabilities = it.get("capabilities")?.as_array()?;
    let of = |name: &str| {
        let found = capabilities.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(name))?;
        found.get("value")?.as_str()
    };
    let number = |name: &str| of(name).and_then(|text| text.parse::<u32>().ok());
    let gb: f64 = of("MemoryGB")?.parse().ok()?;
    Some(Size {
        name: it.get("name")?.as_str()?.to_owned(),
        vcpus: number("vCPUsAvailable").or(number("vCPUs"))?,
        memory_mib: (gb * 1024.0).round().clamp(0.0, 1e12) as u64,
        gpus: number("GPUs").unwrap_or(0),
        arm: of("CpuArchitectureType").is_some_and(|arch| arch.eq_ignore_ascii_case("arm64")),
        data_disks: number("MaxDataDiskCount"),
        cards: number("MaxNetworkInterfaces"),
        generation_1: of("HyperVGenerations").map(|all| all.split(',').any(|one| one.trim() == "V1")),
        scsi: of("DiskControllerTypes").map(|all| all.split(',').any(|one| one.trim() == "SCSI")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(extra: &Value) -> String {
        let mut one = json!({
            "name": "Standard_D2s_v5",
            "resourceType": "virtualMachines",
            "capabilities": [
                { "name": "vCPUs", "value": "2" },
                { "name": "MemoryGB", "value": "8" },
                { "name": "MaxDataDiskCount", "value": "4" },
                { "name": "MaxNetworkInterfaces", "value": "2" },
                { "name": "HyperVGenerations", "value": "V1,V2" },
                { "name": "CpuArchitectureType", "value": "x64" },
            ],
        });
        one.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!([one, { "name": "Premium_LRS", "resourceType": "disks" }]).to_string()
    }

    #[test]
    fn a_list_of_a_subscription_is_read() {
        let sizes = read(&list(&json!({}))).unwrap();
        let [it] = &sizes[..] else { panic!("{sizes:?}") };
        assert_eq!((it.name.as_str(), it.vcpus, it.memory_mib), ("Standard_D2s_v5", 2, 8192));
        assert_eq!((it.data_disks, it.cards, it.generation_1, it.scsi), (Some(4), Some(2), Some(true), None));
        let zone = json!({ "restrictions": [{ "type": "Zone" }] });
        assert_eq!(read(&list(&zone)).map(|all| all.len()), Ok(1));
        let closed = json!({ "restrictions": [{ "type": "Location" }] });
        assert!(read(&list(&closed)).unwrap_err().contains("no virtual machines"));
        assert!(read("{}").is_err() && read("[]").is_err() && read("x").is_err());
    }
}
