//! What an answer is about: the disks that were read for it, for `--json`.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use guestfix::edit::hex;
use guestfix::plan::Identity;
use guestfix::text::bytes;
use libdisk::{Address, Machine, MachineDisk, Place};
use schemars::JsonSchema;
use serde::Serialize;

use crate::name;

/// A disk that was read, as it was before anything was written.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Source {
    /// The address that names this disk alone, or the part of it that was read.
    pub(crate) address: String,
    /// Its file, as an absolute path; absent for a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// The format of the image; that of a snapshot is raw. Absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// The digest that tells it from other disks, as plans have it: see [`libdisk::identity()`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// The device that it was on its machine, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    /// Why there is no digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unreadable: Option<String>,
}

impl Source {
    /// The disks of a machine that was opened at `address`.
    fn of(address: &Address, machine: &Machine) -> Vec<Self> {
        let source = |(index, disk): (usize, &MachineDisk)| {
            let origin = &disk.origin;
            let name = match &address.place {
                // The origin is the disk's own.
                Place::Partition { number, .. } if index == 0 => format!("{origin}#p{number}"),
                Place::LogicalVolume { group, volume } if index == 0 => format!("{origin}#{group}/{volume}"),
                _ => origin.to_string(),
            };
            let identity = disk.identity();
            Self {
                address: name,
                path: origin.path().map(absolute),
                format: Some(origin.format().to_string()),
                size: Some(disk.disk.size()),
                sha256: identity.as_ref().ok().map(|digest| hex(digest)),
                device: disk.device.clone(),
                unreadable: identity.err().map(|error| error.to_string()),
            }
        };
        machine.disks().iter().enumerate().map(source).collect()
    }

    /// A disk as a plan names it, which was changed since.
    fn planned(disk: &Identity) -> Self {
        Self {
            address: bytes::shown(&disk.path).into_owned(),
            path: disk.path.starts_with('/').then(|| bytes::shown(&disk.path).into_owned()),
            format: None,
            size: Some(disk.size),
            sha256: Some(disk.sha256.clone()),
            device: disk.device.clone(),
            unreadable: None,
        }
    }
}

/// The machines that this run has read, in the order in which it opened them.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<Vec<Vec<Source>>>);

impl Sources {
    /// Takes note of a machine.
    pub(crate) fn add(&self, address: &Address, machine: &Machine) {
        self.push(Source::of(address, machine));
    }

    /// Takes note of the disks of a plan that is carried out already.
    pub(crate) fn add_planned(&self, disks: &[Identity]) {
        self.push(disks.iter().map(Source::planned).collect());
    }

    /// Takes note of a file that cannot be opened as an image.
    pub(crate) fn add_unreadable(&self, file: &Path, why: String) {
        self.push(vec![Source {
            address: name::shown(file),
            path: Some(absolute(file)),
            format: None,
            size: None,
            sha256: None,
            device: None,
            unreadable: Some(why),
        }]);
    }

    /// The disks of the machine that the answer is about, and those of what it was compared with.
    pub(crate) fn told(&self) -> (Vec<Source>, Vec<Source>) {
        let machines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut machines = machines.iter().cloned();
        (machines.next().unwrap_or_default(), machines.next().unwrap_or_default())
    }

    fn push(&self, machine: Vec<Source>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(machine);
    }
}

/// The absolute path of a file, for JSON.
fn absolute(path: &Path) -> String {
    name::shown(name::absolute(path))
}
