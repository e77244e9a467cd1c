//! A managed disk, or a snapshot of one, that stands open for as long as it is read.
//!
//! Whoever opens a disk has to close it: until then no virtual machine can be started from it. It is closed
//! when nobody holds it any more, or earlier by [`OpenDisk::close`]. That it was opened is recorded in a file
//! of this machine for as long, so that what a kill leaves open is [found](OpenDisk::left) and closed.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::arm::Manager;
use super::begun::Begun;
use super::client::Options;
use super::device::PageBlob;
use super::disk::{Access, ManagedDisk};
use super::id::{DiskId, GroupId};
use super::signature::Signatures;
use crate::fault::{Fault, FaultKind};
use crate::lock;
use crate::retry::{Cloud, Failure};

/// The kind of record that says that a disk stands open.
const RECORD: &str = "open";

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
    record: Option<Begun>,
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
        let record = state.map(|state| Begun::new(state, id, RECORD));
        let of_others = facts.is_open() && !record.as_ref().is_some_and(Begun::is_there);
        let record = record.filter(|_| !of_others);
        if let Some(record) = &record
            && let Err(error) = record.record("")
        {
            tracing::warn!(%error, "what is open in Azure is not recorded: it has to be closed by hand after a kill");
        }
        let granted = disk.open(Access::Read);
        if let (Err(_), false, Some(record)) = (&granted, facts.is_open(), &record) {
            // It was not opened; that the record stays would cost a look at the disk, no more.
            let _ = record.forget();
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
        Begun::all(state, group, RECORD).into_iter().map(|(id, _)| id).collect()
    }

    /// Forgets that a disk stands open.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget(state: &Path, id: &DiskId) -> io::Result<()> {
        Begun::new(state, id, RECORD).forget()
    }
}

impl Lease {
    fn close(&self) -> Result<(), Failure> {
        self.ends.store(true, Ordering::Relaxed);
        let mut closed = lock(&self.closed);
        if !*closed && !self.of_others {
            self.disk.close()?;
            if let Some(Err(error)) = self.record.as_ref().map(Begun::forget) {
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
