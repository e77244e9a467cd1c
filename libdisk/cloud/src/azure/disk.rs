//! Managed disks: made for an upload, opened, closed, listed, deleted.
//!
//! References: "Upload a VHD to Azure", learn.microsoft.com, 2026-02; the requests that `az` 2.91 makes, as
//! they were recorded; the schema of `Microsoft.Compute/disks`.

use std::sync::Arc;

use serde_json::{Value, json};
use ureq::http::Method;

use super::arm::Manager;
use super::id::{DiskId, GroupId};
use super::settings::{Creation, DiskSettings};
use super::{BlobUrl, Signature};
use crate::fault::{Fault, FaultKind, MAX_TOLD, told};
use crate::retry::{Cloud, Failure};

/// The version of the service, which is the one that `az` 2.91 asks for.
pub(super) const VERSION: &str = "2025-01-02";
/// The version of what knows groups, and all that is in them.
pub(super) const RESOURCES: &str = "2021-04-01";
/// How long a disk is open for an upload, in seconds; the most is 60 days.
const OPEN: u32 = 86_400;
/// The tag of a disk that refloat makes; its value tells what it is made of.
pub const TAG: &str = "refloat-source";
/// Pages of a list that are read at most.
const MAX_PAGES: usize = 1000;

/// What is known of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFacts {
    /// Its state, in the service's words: `ReadyToUpload`, `ActiveUpload`, `ActiveSAS`, `Unattached`, ..
    pub state: String,
    /// The size of the upload that it was made for, footer included.
    pub upload: Option<u64>,
    /// What refloat made it of.
    pub source: Option<String>,
    /// Whether the service has ended making it.
    pub is_made: bool,
    /// When it was made, as the service writes it.
    pub created: Option<String>,
    /// Whether it ever was attached to a virtual machine.
    pub was_attached: bool,
    /// What changes when it becomes another disk, or when a virtual machine may have written it.
    pub stamp: String,
}

impl DiskFacts {
    fn of(value: &Value) -> Self {
        let property = |name: &str| value.get("properties").and_then(|properties| properties.get(name));
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(|text| told(text, MAX_TOLD));
        let stamps = ["uniqueId", "timeCreated", "LastOwnershipUpdateTime"];
        let stamps = stamps.map(|name| text(property(name)).unwrap_or_default());
        Self {
            state: text(property("diskState")).unwrap_or_default(),
            upload: property("creationData")
                .and_then(|data| data.get("uploadSizeBytes"))
                .and_then(Value::as_u64),
            source: text(value.get("tags").and_then(|tags| tags.get(TAG))),
            is_made: property("provisioningState").is_none_or(|state| state == "Succeeded"),
            created: text(property("timeCreated")),
            was_attached: property("LastOwnershipUpdateTime").is_some()
                || value.get("managedBy").is_some_and(|by| !by.is_null()),
            stamp: stamps.join(" "),
        }
    }

    /// Whether it waits for an upload, or is within one.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.state.as_str(), "ReadyToUpload" | "ActiveUpload")
    }

    /// Whether it is open to whoever has its signature.
    pub fn is_open(&self) -> bool {
        self.state.starts_with("Active")
    }
}

/// What an open disk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read what is on it.
    Read,
    /// To upload it.
    Write,
    /// To upload it, and the guest state of its virtual machine.
    WriteWithState,
}

/// An open disk.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Where its pages are, and the signature that opens them.
    pub pages: (BlobUrl, Signature),
    /// The same of the guest state, where that was asked for.
    pub state: Option<(BlobUrl, Signature)>,
}

/// One managed disk.
#[derive(Debug, Clone)]
pub struct ManagedDisk {
    manager: Arc<Manager>,
    id: DiskId,
    told: String,
}

impl ManagedDisk {
    /// The disk, there or not; no request is made.
    pub fn new(manager: &Arc<Manager>, id: &DiskId) -> Self {
        Self { manager: Arc::clone(manager), id: id.clone(), told: format!("azure:{id}") }
    }

    fn run(&self, what: &str, method: Method, verb: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let path = format!("{}{verb}?api-version={VERSION}", self.id.path());
        self.manager.run((&self.told, what), method, &path, body)
    }

    fn wrong(&self, what: &str, why: &str) -> Failure {
        Failure::new(Cloud::AzureManager, &self.told, what, Fault::new(FaultKind::Protocol, why))
    }

    /// What is known of it; `None` if there is none.
    ///
    /// # Errors
    /// What the service says, for a group that is not there, too.
    pub fn facts(&self) -> Result<Option<DiskFacts>, Failure> {
        match self.run("to look at it", Method::GET, "", None) {
            Ok(value) => Ok(Some(DiskFacts::of(&value))),
            Err(failure) if is_absent(&failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Makes it; `source` goes into [`TAG`].
    ///
    /// # Errors
    /// What the service says.
    pub fn create(
        &self,
        settings: &DiskSettings,
        creation: &Creation,
        source: &str,
    ) -> Result<DiskFacts, Failure> {
        let location = match &settings.location {
            Some(location) => location.clone(),
            None => self.id.group.location(&self.manager)?,
        };
        let body = settings.body(&location, creation, source);
        let made = self.run("to make it", Method::PUT, "", Some(&body))?;
        Ok(DiskFacts::of(&made))
    }

    /// Opens it for a day.
    ///
    /// # Errors
    /// What the service says: most of all that it is open already, or attached to a machine that runs.
    pub fn open(&self, access: Access) -> Result<Grant, Failure> {
        let (what, name) = match access {
            Access::Read => ("to open it for reading", "Read"),
            Access::Write | Access::WriteWithState => ("to open it for the upload", "Write"),
        };
        let mut body = json!({ "access": name, "durationInSeconds": OPEN });
        if let (Access::WriteWithState, Some(body)) = (access, body.as_object_mut()) {
            body.insert("getSecureVMGuestStateSAS".to_owned(), true.into());
        }
        let answer = self.run(what, Method::POST, "/beginGetAccess", Some(&body))?;
        let pages = self.granted(what, &answer, "accessSAS")?;
        let state = match access {
            Access::WriteWithState => Some(self.granted(what, &answer, "securityDataAccessSAS")?),
            Access::Read | Access::Write => None,
        };
        Ok(Grant { pages, state })
    }

    /// The signature of this name in an answer, with the URL that it is behind.
    fn granted(&self, what: &str, answer: &Value, named: &str) -> Result<(BlobUrl, Signature), Failure> {
        // Some services have it within what the operation put out, and write it accessSas.
        let output = answer.get("properties").and_then(|properties| properties.get("output"));
        let within = output.unwrap_or(answer).as_object();
        let found = within.and_then(|map| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(named)));
        let sas = found.and_then(|(_, value)| value.as_str()).and_then(|sas| sas.split_once('?'));
        let wrong = |why: &str| self.wrong(what, &format!("{named} {why}"));
        let (url, query) = sas.ok_or_else(|| wrong("is not in the answer"))?;
        // Neither error tells what it is about.
        let url = url.parse().map_err(|_| wrong("is no URL of a blob"));
        let signature = Signature::new(query, "it").map_err(|_| wrong("has no signature"));
        Ok((url?, signature?))
    }

    /// Closes it: no signature opens it any more. After an upload it is a disk from now on.
    ///
    /// # Errors
    /// `Invalid` where the service finds no VHD in it; what the service says.
    pub fn close(&self) -> Result<(), Failure> {
        self.run("to close it", Method::POST, "/endGetAccess", None).map(drop)
    }

    /// Deletes it; that there is none is no error.
    ///
    /// # Errors
    /// What the service says: most of all that it is attached, or open.
    pub fn delete(&self) -> Result<(), Failure> {
        match self.run("to delete it", Method::DELETE, "", None) {
            Err(failure) if is_absent(&failure) => Ok(()),
            done => done.map(drop),
        }
    }
}

/// Whether a disk is not there; a group that is not there is an error.
pub(super) fn is_absent(failure: &Failure) -> bool {
    failure.kind() == FaultKind::NotFound && failure.says("ResourceNotFound")
}

impl GroupId {
    /// The disks in it, by name.
    ///
    /// # Errors
    /// What the service says.
    pub fn disks(&self, manager: &Arc<Manager>) -> Result<Vec<(DiskId, DiskFacts)>, Failure> {
        let path = format!("{}/providers/Microsoft.Compute/disks?api-version={VERSION}", self.path());
        let items = self.list(manager, "to list its disks", path)?;
        let disks = items.iter().filter_map(|item| {
            let id = self.disk(item.get("name")?.as_str()?).ok()?;
            Some((id, DiskFacts::of(item)))
        });
        let mut disks: Vec<_> = disks.collect();
        disks.sort_by(|(one, _), (other, _)| one.name().cmp(other.name()));
        Ok(disks)
    }

    pub(super) fn list(&self, manager: &Manager, what: &str, first: String) -> Result<Vec<Value>, Failure> {
        let told = format!("azure:{self}");
        let (mut items, mut next) = (Vec::new(), Some(first));
        for _ in 0..MAX_PAGES {
            let Some(path) = next else { return Ok(items) };
            let page = manager.run((&told, what), Method::GET, &path, None)?;
            let wrong = |why: &str| {
                Failure::new(Cloud::AzureManager, &told, what, Fault::new(FaultKind::Protocol, why))
            };
            let value = page.get("value").and_then(Value::as_array);
            items.extend(value.ok_or_else(|| wrong("the answer has no list"))?.iter().cloned());
            next = match page.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty()) {
                Some(link) => Some(manager.within(link).ok_or_else(|| wrong("the list goes on elsewhere"))?),
                None => None,
            };
        }
        let fault = Fault::new(FaultKind::Protocol, "the list has no end");
        Err(Failure::new(Cloud::AzureManager, &told, what, fault))
    }
}
