//! What becomes of a disk.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::blob::BlobServer;

/// The size of an upload, in bytes: the least and the most, footer included.
const SMALLEST: u64 = 20_972_032;
const LARGEST: u64 = 35_183_298_347_520;

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
        let names: Vec<String> = self.0.keys().cloned().collect();
        names.iter().filter_map(|name| self.get(&format!("{path}/{name}"), name).ok()).collect()
    }

    pub(super) fn put(&mut self, blobs: &BlobServer, name: &str, body: Value) -> Result<(), Refusal> {
        let invalid = |message: &str| Refusal::new(400, "InvalidParameter", message);
        let data = &body["properties"]["creationData"];
        if body["location"].as_str().is_none_or(str::is_empty) {
            return Err(Refusal::new(400, "LocationRequired", "The location property is required."));
        }
        let size = data["uploadSizeBytes"].as_u64();
        let size = size.filter(|_| data["createOption"] == "Upload");
        let size = size.ok_or_else(|| invalid("Required parameter 'uploadSizeBytes' is missing."))?;
        if !(SMALLEST..=LARGEST).contains(&size) || !(size - 512).is_multiple_of(1 << 20) {
            return Err(invalid("The upload size in bytes minus 512 bytes must be a multiple of MiB."));
        }
        if body["properties"]["securityProfile"]["securityType"] == "TrustedLaunch" {
            return Err(invalid("Security Type 'TrustedLaunch' is not supported for CreateOption 'Upload'."));
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
        blobs.of_disk(name, size);
        self.0.insert(name.to_owned(), Disk { made: body, state: "ReadyToUpload" });
        Ok(())
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
        Ok(json!({ "accessSAS": format!("{}?{}", blobs.url(name), blobs.signature()) }))
    }

    pub(super) fn close(&mut self, blobs: &BlobServer, name: &str) -> Result<(), Refusal> {
        let disk = self.find(name)?;
        let was_upload = disk.state == "ActiveUpload";
        if disk.state.starts_with("Active") {
            disk.state = "Unattached";
            blobs.end_signature();
        }
        let content = blobs.content(name).unwrap_or_default();
        let has_footer = content.rchunks(512).next().is_some_and(|footer| footer.starts_with(b"conectix"));
        if was_upload && !has_footer {
            let message = "The specified cookie value in VHD footer indicates that disk is not a supported VHD. \
                           Disk is expected to have cookie value 'conectix'.";
            return Err(Refusal::new(400, "InvalidVhd", message));
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
                Ok(())
            }
        }
    }
}
