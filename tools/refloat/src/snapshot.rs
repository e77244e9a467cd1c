//! Snapshots in AWS: how they are asked, what that cost, and pulling one so that it can go on after any
//! interruption.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use guestfix::report::counted;
use libdisk::block::Bitmap;
use libdisk::cloud::Failure;
use libdisk::cloud::azure;
use libdisk::cloud::ebs::{self, Snapshot, Tally};
use libdisk::image::transfer::ResumeKey;
use libdisk::{Base, Destination, DiskSpec, MachineDisk, Older, Origin};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Help;
use crate::cli::Global;
use crate::context::Context;

/// Threads of a pull, each with a request under way: at 80 ms an answer, 900 blocks a second. Each holds one
/// block.
pub(crate) const THREADS: usize = 72;

/// What this run has opened. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Opened(Arc<Mutex<Vec<Origin>>>);

impl Opened {
    /// Takes note of what was opened.
    pub(crate) fn add(&self, disks: &[MachineDisk]) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.extend(disks.iter().map(|disk| disk.origin.clone()));
    }

    /// Closes the managed disks that were opened; gives what stays open, and why.
    pub(crate) fn close(&self) -> Vec<(azure::DiskId, Failure)> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let managed = opened.iter().filter_map(Origin::managed);
        managed.filter_map(|open| Some((open.id().clone(), open.close().err()?))).collect()
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
        role: global.aws_role.clone(),
        exclude: global.exclude_disks.clone(),
        requests_per_second: global.ebs_requests_per_second,
        patience: Duration::from_secs(global.ebs_patience),
        ..ebs::Options::default()
    }
}

/// The ids of the older snapshots that `--since` names, one for each disk; none if it is left out.
pub(crate) fn older(since: Option<&str>, disks: &[MachineDisk]) -> Result<Vec<String>> {
    let Some(since) = since else { return Ok(Vec::new()) };
    let parsed = since.strip_prefix("ebs:").unwrap_or(since).parse::<ebs::Address>();
    let Ok(ebs::Address { name: ebs::Name::Snapshots(ids), region }) = parsed else {
        return Err(anyhow!("--since {since}: not the id of a snapshot"))
            .help("give the older snapshot of the same volume that the target holds: ebs:snap-…");
    };
    let snapshots: Vec<_> = disks.iter().filter_map(|disk| disk.origin.snapshot()).collect();
    if snapshots.len() < disks.len() {
        return Err(anyhow!("--since works with snapshots in AWS only"))
            .help("leave --since out, or name ebs:snap-…");
    }
    if let (Some(region), Some(other)) = (region, snapshots.first().map(|snapshot| snapshot.region()))
        && region != other
    {
        return Err(anyhow!("--since {since}: the newer snapshot is in {other}"))
            .help("both are of one volume, so of one region: leave it out");
    }
    let (named, disks) = (ids.len(), disks.len());
    if named != disks {
        return Err(anyhow!(
            "--since names {}, and the machine has {}",
            counted(named, "snapshot"),
            counted(disks, "disk")
        ))
        .help("name one older snapshot for each disk, in their order: ebs:snap-…,snap-…");
    }
    Ok(ids)
}

/// What went wrong with a cloud, if that is what an error comes from.
pub(crate) fn failure(error: &anyhow::Error) -> Option<&Failure> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// A pull of a snapshot, or of what was made of it, that leaves a log to go on from.
pub(crate) struct Pull<'a> {
    /// The snapshot.
    pub(crate) snapshot: &'a Snapshot,
    /// What was changed in it; nothing if it is pulled as it is.
    changes: Option<Changes>,
    /// The older snapshot that the target holds: its id.
    since: Option<String>,
}

/// What has changed since an older snapshot, for `--json`: as `refloat forecast` says it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Changed {
    /// The older snapshot.
    pub(crate) since: String,
    /// Blocks of 512 KiB that differ.
    blocks: u64,
    /// Bytes of those that the newer one has: what was fetched of them, now or before.
    pub(crate) bytes: u64,
}

/// What a plan has made of a disk.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    /// Equal texts promise equal bytes over equal bases.
    pub(crate) digest: String,
    /// Where it may be other than the disk was, in bytes.
    pub(crate) ranges: Vec<Range<u64>>,
    /// By how many bytes all that was there has moved.
    pub(crate) moved: u64,
}

impl<'a> Pull<'a> {
    /// How a disk is pulled, if it is a snapshot in AWS. `changes` says what was changed in it.
    pub(crate) fn of(disk: &'a MachineDisk, changes: Option<Changes>) -> Option<Self> {
        Some(Self { snapshot: disk.origin.snapshot()?, changes, since: None })
    }

    /// The same into a target that holds the snapshot with the id `older`, if one is named.
    pub(crate) fn since(self, older: Option<&str>) -> Self {
        Self { since: older.map(str::to_owned), ..self }
    }

    fn key(&self, id: &str) -> ResumeKey {
        ResumeKey::new("snapshot", id).with("region", self.snapshot.region())
    }

    /// A snapshot as what was made of it is based on it.
    fn base_key(&self, id: &str) -> ResumeKey {
        match self.moved() {
            0 => self.key(id),
            moved => self.key(id).with("moved-by", moved),
        }
    }

    fn moved(&self) -> u64 {
        self.changes.as_ref().map_or(0, |changes| changes.moved)
    }

    /// The snapshot without what was changed in it.
    fn base(&self) -> Base {
        let edits = self.changes.iter().flat_map(|changes| changes.ranges.iter().cloned());
        Base { key: self.base_key(self.snapshot.id()), edits: edits.collect() }
    }

    /// The older snapshot, with what has changed since.
    fn older(&self) -> Result<Option<(Older, Changed)>> {
        let Some(id) = self.since.clone() else { return Ok(None) };
        let changes = match id == self.snapshot.id() {
            // AWS is not asked for what differs from itself.
            true => ebs::Changes { blocks: Bitmap::new(self.snapshot.disk().size() / ebs::BLOCK), gone: 0 },
            false => self.snapshot.changes_since(&id)?,
        };
        let (blocks, bytes) = (changes.blocks.count(), changes.to_fetch() * ebs::BLOCK);
        let changed = Changed { since: id.clone(), blocks, bytes };
        let changes = changes.blocks.shifted(self.moved() / ebs::BLOCK);
        Ok(Some((Older { key: self.base_key(&id), name: id, changes }, changed)))
    }

    /// Whether the target can become this snapshot by what has changed alone: said before the work.
    pub(crate) fn can_follow(&self, to: &dyn Destination) -> Result<()> {
        let Some(id) = self.since.clone() else { return Ok(()) };
        let older = Older { key: self.base_key(&id), name: id, changes: Bitmap::new(0) };
        Ok(to.can_follow(&older, &self.base())?)
    }

    /// Says of what is pulled how it can be gone on with; gives what has changed since an older snapshot.
    pub(crate) fn describe(&self, context: &Context, disk: &mut DiskSpec) -> Result<Option<Changed>> {
        disk.piece = u32::try_from(ebs::BLOCK)?;
        let key = self.key(self.snapshot.id());
        disk.key = Some(match &self.changes {
            Some(changes) => key.with("changes", &changes.digest),
            None => key,
        });
        disk.base = Some(self.base());
        let Some((older, changed)) = self.older()? else { return Ok(None) };
        context.note(format!("{} blocks have changed since {}", changed.blocks, changed.since));
        disk.since = Some(older);
        Ok(Some(changed))
    }
}
