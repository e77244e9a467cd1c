//! Managed disks: made for an upload, opened, closed, listed, deleted.
//!
//! References: "Upload a VHD to Azure", learn.microsoft.com, 2026-02; the requests that `az` 2.91 makes, as
//! they were recorded; the schema of `Microsoft.Compute/disks`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::arm::Manager;
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

/// A resource group of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupId {
    subscription: String,
    group: String,
}

/// A managed disk: `SUBSCRIPTION/GROUP/DISK`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DiskId {
    /// The group that it is in.
    pub group: GroupId,
    name: String,
}

/// Why something names no managed disk, or no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskIdError {
    /// It has not so many parts.
    #[error("{0:?} is no {1}")]
    Shape(String, &'static str),
    /// A subscription has an id.
    #[error("{0:?} is no subscription's id, as 00000000-0000-0000-0000-000000000000 is")]
    Subscription(String),
    /// A name of a group.
    #[error(
        "{0:?} is no name of a resource group: up to 90 letters, digits and -_.() , none of them a . at the end"
    )]
    Group(String),
    /// A name of a disk.
    #[error(
        "{0:?} is no name of a managed disk: up to 80 letters, digits and -_. , the first a letter or digit"
    )]
    Name(String),
}

impl FromStr for GroupId {
    type Err = DiskIdError;

    fn from_str(text: &str) -> Result<Self, DiskIdError> {
        let shape = || DiskIdError::Shape(text.to_owned(), "SUBSCRIPTION/GROUP");
        let (subscription, group) = text.split_once('/').ok_or_else(shape)?;
        if subscription.len() != 36 || !subscription.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Err(DiskIdError::Subscription(subscription.to_owned()));
        }
        let is_name = group.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.()".contains(&b));
        if !is_name || group.is_empty() || group.len() > 90 || group.ends_with('.') {
            return Err(DiskIdError::Group(group.to_owned()));
        }
        Ok(Self { subscription: subscription.to_owned(), group: group.to_owned() })
    }
}

impl FromStr for DiskId {
    type Err = DiskIdError;

    fn from_str(text: &str) -> Result<Self, DiskIdError> {
        let shape = || DiskIdError::Shape(text.to_owned(), "SUBSCRIPTION/GROUP/DISK");
        let (group, name) =
            text.rsplit_once('/').filter(|(group, _)| group.contains('/')).ok_or_else(shape)?;
        let group: GroupId = group.parse()?;
        group.disk(name)
    }
}

impl GroupId {
    /// The disk of that name in it.
    ///
    /// # Errors
    /// If it is no name.
    pub fn disk(&self, name: &str) -> Result<DiskId, DiskIdError> {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !is_name || !starts || name.len() > 80 {
            return Err(DiskIdError::Name(name.to_owned()));
        }
        Ok(DiskId { group: self.clone(), name: name.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.group
    }

    pub(super) fn path(&self) -> String {
        format!("/subscriptions/{}/resourceGroups/{}", self.subscription, self.group)
    }
}

impl DiskId {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The disk of another name in the same group.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self { group: self.group.clone(), name: name.to_owned() }
    }

    fn path(&self, verb: &str) -> String {
        let Self { group, name } = self;
        format!("{}/providers/Microsoft.Compute/disks/{name}{verb}?api-version={VERSION}", group.path())
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.subscription, self.group)
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
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
}

impl DiskSettings {
    /// The body of the request that makes it, with `size` bytes to be uploaded.
    fn body(&self, location: &str, size: u64, source: &str) -> Value {
        let mut properties = json!({ "creationData": { "createOption": "Upload", "uploadSizeBytes": size } });
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
        if let Some(SystemDisk { os, generation, nvme, accelerated }) = self.system {
            os.into_iter().for_each(|os| set("osType", os.into()));
            generation.into_iter().for_each(|generation| set("hyperVGeneration", generation.into()));
            let controllers = if nvme { "SCSI, NVMe" } else { "SCSI" };
            let capabilities = json!({
                "architecture": "x64", "diskControllerTypes": controllers, "acceleratedNetwork": accelerated,
            });
            set("supportedCapabilities", capabilities);
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

/// What is known of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFacts {
    /// Its state, in the service's words: `ReadyToUpload`, `ActiveUpload`, `ActiveSAS`, `Unattached`, ..
    pub state: String,
    /// The size of the upload that it was made for, footer included.
    pub upload: Option<u64>,
    /// What refloat made it of.
    pub source: Option<String>,
    /// When it was made, as the service writes it.
    pub created: Option<String>,
    /// Whether it ever was attached to a virtual machine.
    pub was_attached: bool,
}

impl DiskFacts {
    fn of(value: &Value) -> Self {
        let property = |name: &str| value.get("properties").and_then(|properties| properties.get(name));
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(|text| told(text, MAX_TOLD));
        Self {
            state: text(property("diskState")).unwrap_or_default(),
            upload: property("creationData")
                .and_then(|data| data.get("uploadSizeBytes"))
                .and_then(Value::as_u64),
            source: text(value.get("tags").and_then(|tags| tags.get(TAG))),
            created: text(property("timeCreated")),
            was_attached: property("LastOwnershipUpdateTime").is_some()
                || value.get("managedBy").is_some_and(|by| !by.is_null()),
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
        self.manager.run((&self.told, what), method, &self.id.path(verb), body)
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

    /// Makes it, to take an upload of `size` bytes, footer included; `source` goes into [`TAG`].
    ///
    /// # Errors
    /// What the service says.
    pub fn create(&self, settings: &DiskSettings, size: u64, source: &str) -> Result<DiskFacts, Failure> {
        let location = match &settings.location {
            Some(location) => location.clone(),
            None => self.id.group.location(&self.manager)?,
        };
        let body = settings.body(&location, size, source);
        let made = self.run("to make it", Method::PUT, "", Some(&body))?;
        Ok(DiskFacts::of(&made))
    }

    /// Opens it for a day; gives where, and the signature that opens it.
    ///
    /// # Errors
    /// What the service says: most of all that it is open already.
    pub fn open(&self, access: Access) -> Result<(BlobUrl, Signature), Failure> {
        let (what, name) = match access {
            Access::Read => ("to open it for reading", "Read"),
            Access::Write => ("to open it for the upload", "Write"),
        };
        let body = json!({ "access": name, "durationInSeconds": OPEN });
        let answer = self.run(what, Method::POST, "/beginGetAccess", Some(&body))?;
        // Some services have it within what the operation put out, and write it accessSas.
        let output = answer.get("properties").and_then(|properties| properties.get("output"));
        let within = output.unwrap_or(&answer).as_object();
        let found =
            within.and_then(|map| map.iter().find(|(name, _)| name.eq_ignore_ascii_case("accessSAS")));
        let sas = found.and_then(|(_, value)| value.as_str()).and_then(|sas| sas.split_once('?'));
        let (url, query) = sas.ok_or_else(|| self.wrong(what, "the answer has no accessSAS"))?;
        // Neither error tells what it is about.
        let url = url.parse().map_err(|_| self.wrong(what, "accessSAS is no URL of a blob"));
        let signature =
            Signature::new(query, "it").map_err(|_| self.wrong(what, "accessSAS has no signature"));
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
        disks.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
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

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn what_names_a_disk_is_taken() {
        let id: DiskId = format!("{SUB}/rg-1_(a).b/web01-os").parse().unwrap();
        assert_eq!((id.to_string(), id.name()), (format!("{SUB}/rg-1_(a).b/web01-os"), "web01-os"));
        assert_eq!(id.group.disk("web01-os-data1").unwrap().name(), "web01-os-data1");
        let long = "d".repeat(81);
        for (text, kind) in [
            ("disk", "no SUBSCRIPTION/GROUP/DISK"),
            ("rg/disk", "no SUBSCRIPTION/GROUP/DISK"),
            ("my subscription/rg/disk", "no subscription"),
            (&format!("{SUB}/rg./disk"), "resource group"),
            (&format!("{SUB}//disk"), "resource group"),
            (&format!("{SUB}/a/b/disk"), "resource group"),
            (&format!("{SUB}/rg/"), "managed disk"),
            (&format!("{SUB}/rg/a b"), "managed disk"),
            (&format!("{SUB}/rg/..?x"), "managed disk"),
            (&format!("{SUB}/rg/{long}"), "managed disk"),
        ] {
            let error = text.parse::<DiskId>().unwrap_err().to_string();
            assert!(error.contains(kind), "{text}: {error}");
        }
    }
}
