//! What is in a resource group: made by a template, found by a tag, deleted; and what a virtual machine in it
//! said on its serial console.
//!
//! References: "Deployments - Create Or Update", "Resources - List By Resource Group" and "Virtual Machines -
//! Retrieve Boot Diagnostics Data" of the REST reference, learn.microsoft.com, 2026.

use serde_json::{Value, json};
use ureq::http::Method;

use super::arm::Manager;
use super::disk::{RESOURCES, is_absent};
use super::id::GroupId;
use super::{BlobUrl, Signature};
use crate::fault::{Fault, FaultKind, MAX_TOLD, told as fit};
use crate::retry::{Cloud, Failure};

/// The version of what makes a template's resources.
const DEPLOYMENTS: &str = "2021-04-01";
/// The version of virtual machines.
const MACHINES: &str = "2024-07-01";

const DISK: &str = "Microsoft.Compute/disks";

/// What is deleted here, with the version of its service, each before what it is in or behind.
const KINDS: [(&str, &str); 5] = [
    ("Microsoft.Compute/virtualMachines", MACHINES),
    ("Microsoft.Network/networkInterfaces", "2024-05-01"),
    (DISK, super::disk::VERSION),
    ("Microsoft.Network/virtualNetworks", "2024-05-01"),
    ("Microsoft.Network/networkSecurityGroups", "2024-05-01"),
];

/// A resource of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    id: String,
    /// "Microsoft.Compute/disks".
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The value of the tag that it was found by.
    pub tag: String,
    /// All its tags.
    pub tags: Vec<(String, String)>,
}

impl Resource {
    fn of(value: &Value, tag: &str) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let (id, kind, name) = (text("id")?, text("type")?, text("name")?);
        let tags = value.get("tags")?.as_object()?.iter();
        let tags: Vec<(String, String)> =
            tags.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        let (_, tag) = tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag))?.clone();
        let is_path = id.starts_with('/') && id.bytes().all(|b| b.is_ascii_graphic() && !b"?#%".contains(&b));
        is_path.then_some(Self { id, kind, name, tag, tags })
    }

    /// Its place in the order of deletion; `None` for what is not deleted here.
    fn order(&self) -> Option<usize> {
        KINDS.iter().position(|(kind, _)| self.kind.eq_ignore_ascii_case(kind))
    }

    /// Whether it is a virtual machine.
    pub fn is_machine(&self) -> bool {
        self.order() == Some(0)
    }

    /// Whether it is a disk.
    pub fn is_disk(&self) -> bool {
        self.kind.eq_ignore_ascii_case(DISK)
    }

    /// Deletes it, and waits until it is; that there is none is no error.
    ///
    /// # Errors
    /// What the service says: most of all that another resource needs it.
    pub fn delete(&self, manager: &Manager) -> Result<(), Failure> {
        let Some((_, version)) = self.order().and_then(|at| KINDS.get(at)) else { return Ok(()) };
        let (told, path) = (format!("{} {}", self.kind, self.name), &self.id);
        let path = format!("{path}?api-version={version}");
        match manager.run((&told, "to delete it"), Method::DELETE, &path, None) {
            Err(failure) if is_absent(&failure) => Ok(()),
            done => done.map(drop),
        }
    }
}

impl GroupId {
    /// Its region.
    ///
    /// # Errors
    /// What the service says.
    pub fn location(&self, manager: &Manager) -> Result<String, Failure> {
        let (told, what) = (format!("azure:{self}"), "to look at it");
        let path = format!("{}?api-version={RESOURCES}", self.path());
        let group = manager.run((&told, what), Method::GET, &path, None)?;
        let location = group.get("location").and_then(Value::as_str).map(str::to_owned);
        let wrong = || Fault::new(FaultKind::Protocol, "the answer has no location");
        location.ok_or_else(|| Failure::new(Cloud::AzureManager, &told, what, wrong()))
    }

    /// The resource id of the storage account of that name in its subscription: such a name is one in the whole
    /// cloud.
    ///
    /// # Errors
    /// `NotFound` if there is none that can be seen; what the service says.
    pub fn storage_account(&self, manager: &Manager, name: &str) -> Result<String, Failure> {
        let what = "to find the storage account";
        let filter =
            format!("resourceType%20eq%20'Microsoft.Storage/storageAccounts'%20and%20name%20eq%20'{name}'");
        let path = format!("{}/resources?$filter={filter}&api-version={RESOURCES}", self.subscription());
        let items = self.list(manager, what, path)?;
        let named = |item: &&Value| {
            item.get("name").and_then(Value::as_str).is_some_and(|found| found.eq_ignore_ascii_case(name))
        };
        let id = items.iter().find(named).and_then(|item| item.get("id")?.as_str()).map(str::to_owned);
        let none = || {
            let why = format!("the subscription has no storage account {name} that can be seen");
            Failure::new(
                Cloud::AzureManager,
                &format!("azure:{self}"),
                what,
                Fault::new(FaultKind::NotFound, why),
            )
        };
        id.ok_or_else(none)
    }

    /// Makes what an ARM template tells, beside what is there, and waits until it is; `name` is that of the
    /// record that stays of it.
    ///
    /// # Errors
    /// What the service says of the template, or of what it could not make.
    pub fn deploy(&self, manager: &Manager, name: &str, template: &Value) -> Result<(), Failure> {
        let (told, what) = (format!("azure:{self}/{name}"), "to make what the template tells");
        let path = self.path();
        let path =
            format!("{path}/providers/Microsoft.Resources/deployments/{name}?api-version={DEPLOYMENTS}");
        let body = json!({ "properties": { "mode": "Incremental", "template": template } });
        let made = manager.run((&told, what), Method::PUT, &path, Some(&body))?;
        let state = made.get("properties").and_then(|properties| properties.get("provisioningState"));
        match state.and_then(Value::as_str) {
            Some("Succeeded") => Ok(()),
            state => {
                let why = format!("the deployment is {}", fit(state.unwrap_or("in no state"), MAX_TOLD));
                let fault = Fault::new(FaultKind::Protocol, why);
                Err(Failure::new(Cloud::AzureManager, &told, what, fault))
            }
        }
    }

    /// What has a tag of this name, as far as it is of a machine: its disks, its card, its network. Each
    /// comes before what it cannot be deleted after.
    ///
    /// # Errors
    /// What the service says.
    pub fn with_tag(&self, manager: &Manager, tag: &str) -> Result<Vec<Resource>, Failure> {
        let filter = format!("$filter=tagName%20eq%20'{tag}'");
        let path = format!("{}/resources?{filter}&api-version={RESOURCES}", self.path());
        let items = self.list(manager, "to list what is in it", path)?;
        let mut found: Vec<_> = items
            .iter()
            .filter_map(|item| Resource::of(item, tag))
            .filter_map(|resource| Some((resource.order()?, resource)))
            .collect();
        found.sort_by_key(|(order, _)| *order);
        Ok(found.into_iter().map(|(_, resource)| resource).collect())
    }

    /// What a virtual machine has said on its serial console since it was started, as far as Azure has
    /// written it down; `None` where that is nothing yet.
    ///
    /// # Errors
    /// What the service says, of the machine or of its log.
    pub fn serial_log(&self, manager: &Manager, machine: &str) -> Result<Option<Vec<u8>>, Failure> {
        let (told, what) = (format!("azure:{self}/{machine}"), "to read its serial console");
        let path = format!(
            "{}/providers/Microsoft.Compute/virtualMachines/{machine}/retrieveBootDiagnosticsData\
             ?sasUriExpirationTimeInMinutes=60&api-version={MACHINES}",
            self.path()
        );
        let answer = manager.run((&told, what), Method::POST, &path, None)?;
        let Some(sas) = answer.get("serialConsoleLogBlobUri").and_then(Value::as_str) else {
            return Ok(None);
        };
        // Neither error tells what it is about.
        let wrong =
            |why: &str| Failure::new(Cloud::AzureManager, &told, what, Fault::new(FaultKind::Protocol, why));
        let (url, query) = sas.split_once('?').ok_or_else(|| wrong("the log's address has no signature"))?;
        let url: BlobUrl = url.parse().map_err(|_| wrong("the log's address is no URL of a blob"))?;
        let signature =
            Signature::new(query, "it").map_err(|_| wrong("the log's address has no signature"))?;
        match manager.fetch((&told, what), &url, &signature) {
            Ok(log) => Ok(Some(log)),
            Err(failure) if failure.kind() == FaultKind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
