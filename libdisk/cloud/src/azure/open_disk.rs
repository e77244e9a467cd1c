//! A managed disk, or a snapshot of one, that stands open for as long as it is read.
//!
//! Whoever opens a disk has to close it: until then no virtual machine can be started from it. It is closed
//! when nobody holds it any more, or earlier by [`OpenDisk::close`]. That it was opened is recorded in a file
//! of this machine for as long, so that what a kill leaves open is [found](OpenDisk::left) and closed.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::arm::Manager;
use super::client::Options;
use super::device::PageBlob;
use super::disk::{Access, ManagedDisk};
use super::id::{DiskId, GroupId};
use super::signature::Signatures;
use crate::fault::{Fault, FaultKind};
use crate::lock;
use crate::retry::{Cloud, Failure};

/// The extension of the record that a disk stands open.
const RECORD: &str = "open";
/// The name of a disk is no longer.
const MAX_RECORD: u64 = 1 << 10;

/// A disk that stands open for reading. Clones share it.
#[derive(Debug, Clone)]
pub struct OpenDisk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: DiskId,
    stamp: String,
    blob: PageBlob,
    lease: Lease,
}

/// What has to be closed again.
#[derive(Debug)]
struct Lease {
    disk: ManagedDisk,
    /// Whether somebody else had it open before, whose signature would end with ours.
    of_others: bool,
    record: Option<PathBuf>,
    closed: Mutex<bool>,
    /// From now on no signature is asked for.
    ends: Arc<AtomicBool>,
}

impl OpenDisk {
    /// Opens a disk for reading, as `manager` allows it; `state` is the folder for the record that it is open.
    ///
    /// # Errors
    /// `NotFound` if there is none; `InUse` where nothing is on it yet, `Attached` where a machine runs on it;
    /// what the service says.
    pub fn open(
        manager: &Arc<Manager>,
        id: &DiskId,
        options: &Options,
        state: Option<&Path>,
    ) -> Result<Self, Failure> {
        let disk = ManagedDisk::new(manager, id);
        let name = format!("azure:{id}");
        let refused = |kind, why: &str| {
            Failure::new(Cloud::AzureManager, &name, "to open it for reading", Fault::new(kind, why))
        };
        let facts = disk.facts()?;
        let kind = if id.is_snapshot() { "snapshot" } else { "disk" };
        let none = || refused(FaultKind::NotFound, &format!("there is no {kind} of that name"));
        let facts = facts.ok_or_else(none)?;
        if facts.is_unfinished() {
            let why = "it waits for its upload, or is within one: there is no disk in it yet";
            return Err(refused(FaultKind::InUse, why));
        }
        let record = state.map(|state| record_path(state, id));
        let of_others = facts.is_open() && !record.as_deref().is_some_and(Path::exists);
        let record = record.filter(|_| !of_others);
        if let Some(path) = &record
            && let Err(error) = write(path, id)
        {
            tracing::warn!(%error, "what is open in Azure is not recorded: it has to be closed by hand after a kill");
        }
        let granted = disk.open(Access::Read);
        if let (Err(_), false, Some(path)) = (&granted, facts.is_open(), &record) {
            // It was not opened; that the record stays would cost a look at the disk, no more.
            let _ = remove(path);
        }
        let (url, signature) = granted?.pages;
        let (closed, ends) = (Mutex::new(false), Arc::new(AtomicBool::new(false)));
        // From here on dropping it closes the disk.
        let lease = Lease { disk, of_others, record, closed, ends };
        let (disk, ends, of) = (lease.disk.clone(), Arc::clone(&lease.ends), url.clone());
        let next = move || {
            let open = || disk.open(Access::Read).ok().map(|grant| grant.pages);
            let granted = (!ends.load(Ordering::Relaxed)).then(open).flatten();
            granted.and_then(|(url, signature)| (url == of).then_some(signature))
        };
        let options = Options { signatures: Signatures::granted(signature, next), ..options.clone() };
        // The URL may be another each time; what is on the disk is not.
        let blob = PageBlob::open_as(&url, &options, &format!("{name} {}", facts.stamp))?;
        Ok(Self(Arc::new(Inner { id: id.clone(), stamp: facts.stamp, blob, lease })))
    }

    /// Which one it is.
    pub fn id(&self) -> &DiskId {
        &self.0.id
    }

    /// What changes when it becomes another disk, or may have been written.
    pub fn stamp(&self) -> &str {
        &self.0.stamp
    }

    /// Its pages, and its footer.
    pub fn blob(&self) -> &PageBlob {
        &self.0.blob
    }

    /// Closes it: nothing can be read any more. It is done once. What somebody else had opened stays open.
    ///
    /// # Errors
    /// What the service says; it may be tried again.
    pub fn close(&self) -> Result<(), Failure> {
        self.0.lease.close()
    }

    /// The disks of a group that were opened on this machine and never closed, by the records in `state`.
    pub fn left(state: &Path, group: &GroupId) -> Vec<DiskId> {
        let entries = fs::read_dir(state).into_iter().flatten().flatten();
        let records =
            entries.map(|entry| entry.path()).filter(|path| path.extension() == Some(RECORD.as_ref()));
        let named = records.filter_map(|path| read(&path).ok()?.trim().parse::<DiskId>().ok());
        let mut left: Vec<_> = named.filter(|id| id.group == *group).collect();
        left.sort_by_key(ToString::to_string);
        left
    }

    /// Forgets that a disk stands open.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget(state: &Path, id: &DiskId) -> io::Result<()> {
        remove(&record_path(state, id))
    }
}

impl Lease {
    fn close(&self) -> Result<(), Failure> {
        self.ends.store(true, Ordering::Relaxed);
        let mut closed = lock(&self.closed);
        if !*closed && !self.of_others {
            self.disk.close()?;
            if let Some(Err(error)) = self.record.as_deref().map(remove) {
                tracing::warn!(%error, "the record of an open disk stays");
            }
        }
        *closed = true;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "a disk in Azure stays open");
        }
    }
}

/// The record that a disk stands open.
fn record_path(state: &Path, id: &DiskId) -> PathBuf {
    let digest: String =
        Sha256::digest(id.to_string()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    state.join(format!("{}-{digest}.{RECORD}", id.name()))
}

fn write(path: &Path, id: &DiskId) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{id}")?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(fs::File::open(path)?, MAX_RECORD), &mut text)?;
    Ok(text)
}

/// That there is none is no error: another process may have read the same disk.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_open_is_found_by_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("azure");
        let group: GroupId = "01234567-89ab-cdef-0123-456789abcdef/rg".parse().unwrap();
        let id = |name: &str| format!("{group}/{name}").parse::<DiskId>().unwrap();
        let (disk, snapshot) = (id("a"), id("snapshots/a"));
        let other: DiskId = "01234567-89ab-cdef-0123-456789abcdef/other/a".parse().unwrap();
        assert!(OpenDisk::left(&state, &group).is_empty());
        for id in [&disk, &snapshot, &other] {
            write(&record_path(&state, id), id).unwrap();
        }
        fs::write(state.join("x.open"), "no disk").unwrap();
        assert_eq!(OpenDisk::left(&state, &group), [disk.clone(), snapshot.clone()]);
        OpenDisk::forget(&state, &disk).unwrap();
        OpenDisk::forget(&state, &disk).unwrap();
        assert_eq!(OpenDisk::left(&state, &group), [snapshot]);
    }
}
