//! Snapshots in AWS: how they are asked, what that cost, and pulling one so that it can go on after any interruption.

use std::error::Error;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use libdisk::cloud::ebs::{self, Failure, Snapshot, Tally};
use libdisk::cloud::transfer::{self, Begin, Busy, Plan, Since};
use libdisk::{MachineDisk, image};
use sha2::{Digest, Sha256};

use crate::answer::Help;
use crate::cli::{Global, OutputFormat};
use crate::context::Context;
use crate::help;

/// Threads of a pull, each with a request under way: at 80 ms an answer, 900 blocks a second. Each holds one block.
pub(crate) const THREADS: usize = 72;

/// The snapshots that this run has opened.
#[derive(Default)]
pub(crate) struct Opened(Mutex<Vec<Snapshot>>);

impl Opened {
    /// Takes note of what was opened.
    pub(crate) fn add(&self, disks: &[MachineDisk]) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.extend(disks.iter().filter_map(|disk| disk.origin.snapshot().cloned()));
    }

    /// What has been read of all snapshots so far; `None` if there are none.
    pub(crate) fn tally(&self) -> Option<Tally> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.iter().map(Snapshot::tally).reduce(Tally::and)
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

/// What went wrong with AWS, if that is what an error comes from.
pub(crate) fn failure(error: &anyhow::Error) -> Option<&Failure> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// A pull of a snapshot, or of what was made of it, that leaves a log to go on from.
pub(crate) struct Pull<'a> {
    /// The snapshot.
    pub(crate) snapshot: &'a Snapshot,
    /// Digest of the plan that was carried out on it; nothing if it is pulled as it is.
    pub(crate) changes: Option<[u8; 32]>,
    /// The older snapshot that the target holds.
    pub(crate) since: Option<&'a str>,
}

impl<'a> Pull<'a> {
    /// How a disk is pulled, if it is a snapshot in AWS. `changes` is the digest of what was changed in it.
    pub(crate) fn of(disk: &'a MachineDisk, changes: Option<[u8; 32]>) -> Option<Self> {
        Some(Self { snapshot: disk.origin.snapshot()?, changes, since: None })
    }

    /// Begins, or goes on with, the pull of `size` bytes into `target`.
    pub(crate) fn begin(
        &self,
        context: &Context,
        target: &Path,
        format: OutputFormat,
        size: u64,
        force: bool,
        mode: u32,
    ) -> Result<Begin> {
        let key = |id: &str, changes: Option<[u8; 32]>| {
            let mut hash = Sha256::new();
            let place = self.snapshot.region();
            hash.update(format!("refloat pull 1\0{id}@{place}\0{format:?}\0"));
            hash.update(changes.unwrap_or_default());
            hash.finalize().first_chunk().copied().unwrap_or_default()
        };
        let since = match self.since {
            None => None,
            Some(name) => {
                let id = name.split('@').next().unwrap_or(name);
                if !id.starts_with("snap-") {
                    return Err(anyhow!("--since {name}: not the id of a snapshot"))
                        .help("give the older snapshot of the same volume that the target holds: snap-…");
                }
                let changes = self.snapshot.changes_since(id)?;
                context.note(format!("{} blocks have changed since {id}", changes.count()));
                Some(Since { key: key(id, None), name: id.to_owned(), changes })
            }
        };
        self.snapshot.set_streaming(true);
        let plan = Plan {
            target: target.to_owned(),
            partial: image::partial_path(target),
            key: key(self.snapshot.id(), self.changes),
            size,
            since,
            replace: force,
            mode,
        };
        let begun = transfer::begin(plan);
        let busy = begun.as_ref().is_err_and(|error| error.source().is_some_and(|cause| cause.is::<Busy>()));
        begun.help(match busy {
            true => "wait until it has ended, or write to another file",
            false => help::WITHOUT_SINCE,
        })
    }
}
