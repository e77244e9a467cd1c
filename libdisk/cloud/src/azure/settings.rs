//! How a managed disk is to be, and what it is made from: the request that makes it.

use serde_json::{Map, Value, json};

use super::BlobUrl;
use super::disk::TAG;

/// What a disk is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// Pages that are put into it: so many bytes, footer included.
    Upload(u64),
    /// The same, and the guest state of a virtual machine beside them.
    Prepared(u64),
    /// A page blob that holds a fixed VHD.
    Import {
        /// Where it is.
        blob: BlobUrl,
        /// The resource id of the storage account that it is in.
        account: String,
    },
}

impl Creation {
    /// As the service has it ("Disks - Create Or Update", `CreationData`).
    fn data(&self) -> Value {
        match self {
            Self::Upload(size) => json!({ "createOption": "Upload", "uploadSizeBytes": size }),
            Self::Prepared(size) => {
                json!({ "createOption": "UploadPreparedSecure", "uploadSizeBytes": size })
            }
            Self::Import { blob, account } => {
                json!({ "createOption": "Import", "sourceUri": blob.as_str(), "storageAccountId": account })
            }
        }
    }
}

/// How a disk is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskSettings {
    /// The region; that of its group, where none is named.
    pub location: Option<String>,
    /// What it is stored on: `Premium_LRS`, `StandardSSD_ZRS`, ..
    pub sku: String,
    /// The availability zone.
    pub zone: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// The resource id of a disk encryption set, whose key it is encrypted with.
    pub encryption_set: Option<String>,
    /// The resource id of a disk access, by whose private endpoints alone it is reached.
    pub disk_access: Option<String>,
    /// What is known of the system on it, if it is one that a machine starts from.
    pub system: Option<SystemDisk>,
}

/// A disk that a virtual machine starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemDisk {
    /// `Linux` or `Windows`, if that is known.
    pub os: Option<&'static str>,
    /// `V1` for BIOS, `V2` for UEFI, if that is known.
    pub generation: Option<&'static str>,
    /// Whether its kernel has a driver for NVMe controllers as well as for SCSI.
    pub nvme: bool,
    /// Whether its kernel has drivers for accelerated networking.
    pub accelerated: bool,
    /// Whether it is for a virtual machine of trusted launch. A plain upload makes none.
    pub trusted_launch: bool,
}

impl DiskSettings {
    /// The body of the request that makes it; `source` goes into [`TAG`].
    pub(super) fn body(&self, location: &str, creation: &Creation, source: &str) -> Value {
        let mut properties = json!({ "creationData": creation.data() });
        let mut tags: Map<String, Value> =
            self.tags.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        tags.insert(TAG.to_owned(), source.into());
        let mut set = |name: &str, value: Value| {
            if let Some(properties) = properties.as_object_mut() {
                properties.insert(name.to_owned(), value);
            }
        };
        if let Some(set_id) = &self.encryption_set {
            let kind = "EncryptionAtRestWithCustomerKey";
            set("encryption", json!({ "type": kind, "diskEncryptionSetId": set_id }));
        }
        if let Some(access) = &self.disk_access {
            set("networkAccessPolicy", "AllowPrivate".into());
            set("diskAccessId", access.as_str().into());
        }
        if let Some(SystemDisk { os, generation, nvme, accelerated, trusted_launch }) = self.system {
            os.into_iter().for_each(|os| set("osType", os.into()));
            generation.into_iter().for_each(|generation| set("hyperVGeneration", generation.into()));
            let controllers = if nvme { "SCSI, NVME" } else { "SCSI" };
            let capabilities = json!({
                "architecture": "x64", "diskControllerTypes": controllers, "acceleratedNetwork": accelerated,
            });
            set("supportedCapabilities", capabilities);
            if trusted_launch {
                set("securityProfile", json!({ "securityType": "TrustedLaunch" }));
            }
        }
        let mut body = json!({
            "location": location, "sku": { "name": self.sku }, "tags": tags, "properties": properties,
        });
        if let (Some(zone), Some(body)) = (&self.zone, body.as_object_mut()) {
            body.insert("zones".to_owned(), json!([zone]));
        }
        body
    }
}
