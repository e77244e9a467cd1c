//! What becomes of a disk.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::blob::BlobServer;

/// The size of an upload, in bytes: the least and the most, footer included.
const SMALLEST: u64 = 20_972_032;
const LARGEST: u64 = 35_183_298_347_520;

/// The storage account that there is, and what its id ends with.
pub(super) const ACCOUNT: &str = "/providers/Microsoft.Storage/storageAccounts/account";
/// The size of a guest state, in bytes.
const STATE: u64 = (4 << 20) + 512;

const NO_VHD: &str = "The specified cookie value in VHD footer indicates that disk is not a supported VHD. Disk is \
                      expected to have cookie value 'conectix'.";

/// The blob with the guest state of a disk.
pub(super) fn state_of(disk: &str) -> String {
    format!("{disk}.vmgs")
}

fn has_footer(content: &[u8]) -> bool {
    content.rchunks(512).next().is_some_and(|footer| footer.starts_with(b"conectix"))
}

/// An error of the service: status, code, message.
#[derive(Debug, Clone)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str, pub(super) String);

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self(status, code, message.to_owned())
    }

    pub(super) fn body(&self) -> Value {
        json!({ "error": { "code": self.1, "message": self.2 } })
    }
}

/// A disk: what it was made of, and its state.
#[derive(Debug)]
struct Disk {
    made: Value,
    state: &'static str,
}

/// The disks of a group.
#[derive(Debug, Default)]
pub(super) struct Disks(BTreeMap<String, Disk>);

impl Disks {
    pub(super) fn state(&self, name: &str) -> Option<&'static str> {
        Some(self.0.get(name)?.state)
    }

    pub(super) fn set_state(&mut self, name: &str, state: &'static str) {
        if let Some(disk) = self.0.get_mut(name) {
            disk.state = state;
        }
    }

    /// It went with its machine.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Those with a tag of this name.
    pub(super) fn tagged(&mut self, path: &str, tag: &str) -> Vec<Value> {
        let mut all = self.list(path);
        all.retain(|disk| disk["tags"].get(tag).is_some());
        all
    }

    /// A disk, or a snapshot by the name `snapshots/NAME`, that somebody else made of a VHD.
    pub(super) fn holding(&mut self, blobs: &BlobServer, name: &str, vhd: &[u8]) {
        blobs.disk(name, vhd);
        self.other(name, "Unattached");
    }

    pub(super) fn other(&mut self, name: &str, state: &'static str) {
        let made = json!({
            "location": "westeurope", "sku": { "name": "Premium_LRS" },
            "properties": { "creationData": { "createOption": "Upload", "uploadSizeBytes": SMALLEST } },
        });
        self.0.insert(name.to_owned(), Disk { made, state });
    }

    fn find(&mut self, name: &str) -> Result<&mut Disk, Refusal> {
        let message = format!("The Resource 'Microsoft.Compute/disks/{name}' was not found.");
        self.0.get_mut(name).ok_or_else(|| Refusal::new(404, "ResourceNotFound", &message))
    }

    pub(super) fn get(&mut self, path: &str, name: &str) -> Result<Value, Refusal> {
        let Disk { made, state } = self.find(name)?;
        let mut value = made.clone();
        value["id"] = path.into();
        value["name"] = name.into();
        value["type"] = "Microsoft.Compute/disks".into();
        value["properties"]["diskState"] = (*state).into();
        value["properties"]["provisioningState"] = "Succeeded".into();
        value["properties"]["timeCreated"] = "2026-11-29T09:00:00.0000000+00:00".into();
        Ok(value)
    }

    pub(super) fn list(&mut self, path: &str) -> Vec<Value> {
        let names: Vec<String> = self.0.keys().filter(|name| !name.contains('/')).cloned().collect();
        names.iter().filter_map(|name| self.get(&format!("{path}/{name}"), name).ok()).collect()
    }

    pub(super) fn put(&mut self, blobs: &BlobServer, name: &str, body: Value) -> Result<(), Refusal> {
        let invalid = |message: &str| Refusal::new(400, "InvalidParameter", message);
        let (properties, data) = (&body["properties"], &body["properties"]["creationData"]);
        if body["location"].as_str().is_none_or(str::is_empty) {
            return Err(Refusal::new(400, "LocationRequired", "The location property is required."));
        }
        let option = data["createOption"].as_str().unwrap_or_default();
        if properties["securityProfile"]["securityType"] == "TrustedLaunch" {
            if !["Import", "UploadPreparedSecure"].contains(&option) {
                let message = format!(
                    "Security Type 'TrustedLaunch' is not supported for CreateOption '{option}'. Supported create \
                     options are FromImage, Import, ImportSecure, UploadPreparedSecure."
                );
                return Err(invalid(&message));
            }
            if properties["hyperVGeneration"] != "V2" {
                return Err(invalid(
                    "Security Type 'TrustedLaunch' is only supported for hyperVGeneration 'V2'.",
                ));
            }
        }
        match self.0.get(name) {
            // The same again is no change.
            Some(held) if held.made["properties"]["creationData"] == *data => return Ok(()),
            Some(_) => {
                let message = "Changing property 'creationData' is not allowed.";
                return Err(Refusal::new(409, "PropertyChangeNotAllowed", message));
            }
            None => {}
        }
        let state = match option {
            "Upload" | "UploadPreparedSecure" => {
                let size = data["uploadSizeBytes"].as_u64();
                let size = size.ok_or_else(|| invalid("Required parameter 'uploadSizeBytes' is missing."))?;
                if !(SMALLEST..=LARGEST).contains(&size) || !(size - 512).is_multiple_of(1 << 20) {
                    return Err(invalid(
                        "The upload size in bytes minus 512 bytes must be a multiple of MiB.",
                    ));
                }
                blobs.of_disk(name, size);
                if option != "Upload" {
                    blobs.of_disk(&state_of(name), STATE);
                }
                "ReadyToUpload"
            }
            "Import" => {
                let account = data["storageAccountId"].as_str().unwrap_or_default();
                if !account.ends_with(ACCOUNT) {
                    return Err(invalid("Required parameter 'storageAccountId' is missing or invalid."));
                }
                let from = data["sourceUri"].as_str().unwrap_or_default();
                let content = from.strip_prefix(&blobs.url("")).and_then(|blob| blobs.content(blob));
                let message = format!("The source blob {from} does not exist or cannot be accessed.");
                let content = content.ok_or_else(|| Refusal::new(404, "BlobNotFound", &message))?;
                if !has_footer(&content) {
                    return Err(Refusal::new(400, "InvalidVhd", NO_VHD));
                }
                blobs.disk(name, &content);
                "Unattached"
            }
            _ => return Err(invalid("The value of parameter 'creationData.createOption' is invalid.")),
        };
        self.0.insert(name.to_owned(), Disk { made: body, state });
        Ok(())
    }

    /// What keeps an operating system's disk from a virtual machine of this security and controller.
    pub(super) fn mismatch(&self, name: &str, security: &Value, controller: &str) -> Option<&'static str> {
        let properties = &self.0.get(name)?.made["properties"];
        let is_trusted = |security: &Value| security["securityType"] == "TrustedLaunch";
        if is_trusted(security) != is_trusted(&properties["securityProfile"]) {
            return Some("Security type of VM is not compatible with the security type of attached OS Disk.");
        }
        let known = properties["supportedCapabilities"]["diskControllerTypes"].as_str().unwrap_or("SCSI");
        let takes = known.split(", ").any(|one| one.eq_ignore_ascii_case(controller));
        (!takes).then_some("The disk controller type is not supported by the OS disk.")
    }

    pub(super) fn open(
        &mut self,
        blobs: &BlobServer,
        name: &str,
        body: &Value,
        renews: bool,
    ) -> Result<Value, Refusal> {
        let disk = self.find(name)?;
        let lives = body["durationInSeconds"].as_u64().unwrap_or_default();
        if lives == 0 || lives > 5_184_000 {
            return Err(Refusal::new(400, "InvalidParameter", "'durationInSeconds' is out of range."));
        }
        disk.state = match (body["access"].as_str(), disk.state) {
            (Some("Write"), "ReadyToUpload") => "ActiveUpload",
            (Some("Write"), "ActiveUpload") if renews => "ActiveUpload",
            (Some("Read"), "Unattached" | "ActiveSAS") => "ActiveSAS",
            (Some("Read"), "Attached") => {
                let message = format!(
                    "Access not permitted because disk {name} is currently attached to running VM /subscriptions/x/vm."
                );
                return Err(Refusal::new(409, "Conflict", &message));
            }
            (Some("Write"), "ActiveUpload") => {
                let message =
                    format!("The shared access signature of disk {name} may not be renewed: not be renewed.");
                return Err(Refusal::new(409, "OperationNotAllowed", &message));
            }
            (_, state) => {
                let message = format!("The disk {name} is {state} and not ReadyToUpload.");
                return Err(Refusal::new(409, "OperationNotAllowed", &message));
            }
        };
        let sas = |blob: &str| format!("{}?{}", blobs.url(blob), blobs.signature());
        let mut answer = json!({ "accessSAS": sas(name) });
        if body["getSecureVMGuestStateSAS"] == true {
            if disk.made["properties"]["creationData"]["createOption"] != "UploadPreparedSecure" {
                let message = "The guest state is that of a disk with CreateOption 'UploadPreparedSecure'.";
                return Err(Refusal::new(400, "InvalidParameter", message));
            }
            answer["securityDataAccessSAS"] = sas(&state_of(name)).into();
        }
        Ok(answer)
    }

    pub(super) fn close(&mut self, blobs: &BlobServer, name: &str) -> Result<(), Refusal> {
        let disk = self.find(name)?;
        let was_upload = disk.state == "ActiveUpload";
        if disk.state.starts_with("Active") {
            disk.state = "Unattached";
            blobs.end_signature();
        }
        if was_upload && !has_footer(&blobs.content(name).unwrap_or_default()) {
            return Err(Refusal::new(400, "InvalidVhd", NO_VHD));
        }
        let state = blobs.content(&state_of(name));
        if was_upload && state.is_some_and(|state| state.iter().all(|byte| *byte == 0)) {
            return Err(Refusal::new(400, "InvalidParameter", "The VM guest state was not uploaded."));
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, blobs: &BlobServer, name: &str) -> Result<(), Refusal> {
        match self.find(name)?.state {
            state if state.starts_with("Active") => {
                let message =
                    format!("There is an active shared access signature outstanding for disk {name}.");
                Err(Refusal::new(409, "OperationNotAllowed", &message))
            }
            "Attached" => {
                let message = format!("Disk {name} is attached to VM vm.");
                Err(Refusal::new(409, "OperationNotAllowed", &message))
            }
            _ => {
                self.0.remove(name);
                blobs.remove(name);
                blobs.remove(&state_of(name));
                Ok(())
            }
        }
    }
}
