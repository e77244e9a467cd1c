//! How disks, snapshots and the groups that they are in are named.

use std::fmt;
use std::str::FromStr;

/// A resource group of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupId {
    subscription: String,
    group: String,
}

/// A managed disk, `SUBSCRIPTION/GROUP/DISK`, or a snapshot of one, `SUBSCRIPTION/GROUP/snapshots/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DiskId {
    /// The group that it is in.
    pub group: GroupId,
    kind: Kind,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Disk,
    Snapshot,
}

/// What the name of a snapshot follows, as in its resource ID.
const SNAPSHOTS: &str = "snapshots";

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
    /// A name of a virtual machine, where that is what is named.
    #[error(
        "{0:?} is no name of a virtual machine: up to 64 letters, digits and -_. , the first a letter or digit"
    )]
    MachineName(String),
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
        let (front, name) =
            text.rsplit_once('/').filter(|(front, _)| front.contains('/')).ok_or_else(shape)?;
        match front.rsplit_once('/') {
            Some((group, SNAPSHOTS)) if group.contains('/') => {
                Ok(Self { kind: Kind::Snapshot, ..group.parse::<GroupId>()?.disk(name)? })
            }
            _ => front.parse::<GroupId>()?.disk(name),
        }
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
        Ok(DiskId { group: self.clone(), kind: Kind::Disk, name: name.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.group
    }

    /// The path of its subscription.
    pub(super) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    pub(super) fn path(&self) -> String {
        format!("{}/resourceGroups/{}", self.subscription(), self.group)
    }
}

impl DiskId {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a snapshot, which can be read and never written.
    pub fn is_snapshot(&self) -> bool {
        self.kind == Kind::Snapshot
    }

    /// The disk of another name in the same group.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self { group: self.group.clone(), kind: Kind::Disk, name: name.to_owned() }
    }

    /// The path of its resource.
    pub(super) fn path(&self) -> String {
        let kind = match self.kind {
            Kind::Disk => "disks",
            Kind::Snapshot => SNAPSHOTS,
        };
        format!("{}/providers/Microsoft.Compute/{kind}/{}", self.group.path(), self.name)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.subscription, self.group)
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Disk => write!(f, "{}/{}", self.group, self.name),
            Kind::Snapshot => write!(f, "{}/{SNAPSHOTS}/{}", self.group, self.name),
        }
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
        assert!(!id.is_snapshot() && id.path().ends_with("/Microsoft.Compute/disks/web01-os"));
        let long = "d".repeat(81);
        for (text, kind) in [
            ("disk", "no SUBSCRIPTION/GROUP/DISK"),
            ("rg/disk", "no SUBSCRIPTION/GROUP/DISK"),
            ("my subscription/rg/disk", "no subscription"),
            (&format!("{SUB}/rg./disk"), "resource group"),
            (&format!("{SUB}//disk"), "resource group"),
            (&format!("{SUB}/a/b/disk"), "resource group"),
            (&format!("{SUB}/a/disks/disk"), "resource group"),
            (&format!("{SUB}/rg/"), "managed disk"),
            (&format!("{SUB}/rg/a b"), "managed disk"),
            (&format!("{SUB}/rg/..?x"), "managed disk"),
            (&format!("{SUB}/rg/{long}"), "managed disk"),
            (&format!("{SUB}/rg/snapshots/"), "managed disk"),
            (&format!("{SUB}/rg./snapshots/a"), "resource group"),
        ] {
            let error = text.parse::<DiskId>().unwrap_err().to_string();
            assert!(error.contains(kind), "{text}: {error}");
        }
    }

    #[test]
    fn a_snapshot_is_named_as_in_its_resource_id() {
        let text = format!("{SUB}/rg/snapshots/monday");
        let id: DiskId = text.parse().unwrap();
        assert_eq!((id.to_string(), id.name(), id.is_snapshot()), (text, "monday", true));
        assert!(id.path().ends_with("/resourceGroups/rg/providers/Microsoft.Compute/snapshots/monday"));
        assert!(!id.beside("disk").is_snapshot());
        // A group may have that name.
        let id: DiskId = format!("{SUB}/snapshots/disk").parse().unwrap();
        assert_eq!((id.group.name(), id.name(), id.is_snapshot()), ("snapshots", "disk", false));
    }
}
