//! Snapshots in AWS: how they are asked, what that cost, and pulling one so that it can go on after any
//! interruption.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use libdisk::cloud::Failure;
use libdisk::cloud::azure;
use libdisk::cloud::ebs::{self, Snapshot, Tally};
use libdisk::image::transfer::ResumeKey;
use libdisk::{DiskSpec, MachineDisk, Older, Origin};

use crate::answer::Help;
use crate::cli::Global;
use crate::context::Context;

/// Threads of a pull, each with a request under way: at 80 ms an answer, 900 blocks a second. Each holds one
/// block.
pub(crate) const THREADS: usize = 72;

/// What this run has opened.
#[derive(Default)]
pub(crate) struct Opened(Mutex<Vec<Origin>>);

impl Opened {
    /// Takes note of what was opened.
    pub(crate) fn add(&self, disks: &[MachineDisk]) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.extend(disks.iter().map(|disk| disk.origin.clone()));
    }

    /// What has been read of all blobs so far; `None` if there are none.
    pub(crate) fn blobs(&self) -> Option<azure::Tally> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crate::azure::tally(opened.iter())
    }

    /// What has been read of all snapshots so far; `None` if there are none.
    pub(crate) fn tally(&self) -> Option<Tally> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.iter().filter_map(Origin::snapshot).map(Snapshot::tally).reduce(Tally::and)
    }
}

/// How the user wants AWS to be asked.
pub(crate) fn options(global: &Global) -> ebs::Options {
    ebs::Options {
        requests_per_second: global.ebs_requests_per_second,
        patience: Duration::from_secs(global.ebs_patience),
        ..ebs::Options::default()
    }
}

/// What went wrong with a cloud, if that is what an error comes from.
pub(crate) fn failure(error: &anyhow::Error) -> Option<&Failure> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// A pull of a snapshot, or of what was made of it, that leaves a log to go on from.
pub(crate) struct Pull<'a> {
    /// The snapshot.
    pub(crate) snapshot: &'a Snapshot,
    /// What was changed in it, as [`changes`](crate::apply::changes) says it; nothing if it is pulled as it
    /// is.
    pub(crate) changes: Option<String>,
    /// The older snapshot that the target holds.
    pub(crate) since: Option<&'a str>,
}

impl<'a> Pull<'a> {
    /// How a disk is pulled, if it is a snapshot in AWS. `changes` says what was changed in it.
    pub(crate) fn of(disk: &'a MachineDisk, changes: Option<String>) -> Option<Self> {
        Some(Self { snapshot: disk.origin.snapshot()?, changes, since: None })
    }

    /// What a snapshot is, with the changes made in it.
    fn key(&self, id: &str, changes: Option<&str>) -> ResumeKey {
        let key = ResumeKey::new("snapshot", id).with("region", self.snapshot.region());
        match changes {
            Some(changes) => key.with("changes", changes),
            None => key,
        }
    }

    /// Says of what is pulled how it can be gone on with.
    pub(crate) fn describe(&self, context: &Context, disk: &mut DiskSpec) -> Result<()> {
        disk.piece = u32::try_from(ebs::BLOCK)?;
        disk.keep = true;
        disk.key = Some(self.key(self.snapshot.id(), self.changes.as_deref()));
        if let Some(name) = self.since {
            let id = name.split('@').next().unwrap_or(name);
            if !id.starts_with("snap-") {
                return Err(anyhow!("--since {name}: not the id of a snapshot"))
                    .help("give the older snapshot of the same volume that the target holds: snap-…");
            }
            let changes = self.snapshot.changes_since(id)?;
            context.note(format!("{} blocks have changed since {id}", changes.count()));
            disk.since = Some(Older { key: self.key(id, None), name: id.to_owned(), changes });
        }
        Ok(())
    }
}
