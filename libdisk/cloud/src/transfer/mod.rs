//! A transfer that can be killed at any instant and goes on where it was.
//!
//! Beside the output `disk.vhd` lies `disk.vhd.transfer`, a log of the pieces that are in it, each with a digest. A piece is recorded after it is on
//! the disk: data, `fdatasync`, record. A transfer that starts again reads the log up to its last whole record, reads back from `disk.vhd.partial` what it tells,
//! and trusts what has its digest: a file that lost something, or was cut, costs a transfer of that and no more. Reading it back is what finds that out:
//! the log only tells what was once durable, not what a crash of the host's storage, a full disk or another program made of the file since.
//!
//! The log stays when the output is whole: it tells which snapshot the output is, and so what has to be fetched to make it a newer one. The output is
//! then renamed to `.partial` first, so nobody takes what is half old, half new for a disk.

mod log;
mod sink;

use std::fs::{self, File};
use std::num::NonZero;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;

use block::{Error, ErrorKind, Event, Observer, Result, Sink};
use twox_hash::XxHash3_128;

use crate::bitmap::Bitmap;
use crate::ebs::Changes;
pub use log::{Busy, Key};
use log::{Log, Record};

const LAYER: &str = "transfer";
/// What is recorded at once: a block of a snapshot.
const PIECE: u64 = crate::ebs::BLOCK;

/// What is to be written where.
#[derive(Debug)]
pub struct Plan {
    /// The output, when it is whole.
    pub target: PathBuf,
    /// Its name until then.
    pub partial: PathBuf,
    /// What the output is to hold: the source and all that was changed in it.
    pub key: Key,
    /// Size of the disk in bytes.
    pub size: u64,
    /// The target holds an older snapshot already.
    pub since: Option<Since>,
    /// A target of which nothing is known may be replaced.
    pub replace: bool,
    /// The mode bits of the log.
    pub mode: u32,
}

/// An older snapshot that the target holds.
#[derive(Debug)]
pub struct Since {
    /// Its key.
    pub key: Key,
    /// Its name, for messages.
    pub name: String,
    /// What has changed since.
    pub changes: Changes,
}

/// How a transfer begins.
#[derive(Debug)]
pub enum Begin {
    /// The target is whole already.
    Complete,
    /// There is something to do.
    Go(Transfer),
}

/// A transfer that has begun; [`sink`](Self::sink) is where to copy to.
#[derive(Debug)]
pub struct Transfer {
    plan: Plan,
    log: Log,
    /// What the log tells is so, without a look: the file is as it was when it was finished.
    unchanged: bool,
}

/// Where the log of the output `target` is.
pub fn log_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".transfer");
    target.with_file_name(name)
}

/// Looks at what there is, and puts a target that is to become a newer snapshot out of sight.
///
/// # Errors
/// `Refused` if another run writes the target, or it is not known to be what `since` says; `Io`.
pub fn begin(plan: Plan) -> Result<Begin> {
    let log = log_path(&plan.target);
    let unknown = |since: &Since| {
        let what = format!("it is not known to be {}: there is no record of that", since.name);
        Error::new(ErrorKind::Refused, LAYER, what).in_file(&plan.target)
    };
    if let Some(since) = plan.since.as_ref().filter(|_| !log.exists()) {
        return Err(unknown(since));
    }
    let log = Log::open(&log, plan.mode)?;
    let (mut last, mut ended) = (None, None);
    for record in log.records()? {
        match record {
            Record::Source { key, size } => (last, ended) = (Some((key, size)), None),
            Record::End { stamp, .. } => ended = Some(stamp),
            Record::Range { .. } => {}
        }
    }
    let target = plan.target.as_path();
    let there = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let only_target = there(target) && !there(&plan.partial);
    let unchanged = |path: &Path| ended.is_some() && stamp(path).ok() == ended;

    if last == Some((plan.key, plan.size))
        && only_target
        && (unchanged(target) || (ended.is_none() && !plan.replace))
    {
        // Without an end, it was killed after the renaming, which is the last step.
        if ended.is_none() {
            log.append(&[end(target)?], true)?;
        }
        return Ok(Begin::Complete);
    }
    let mut known = false;
    if let Some(since) = plan.since.as_ref().filter(|_| last.is_none_or(|(key, _)| key != plan.key)) {
        if last.is_none_or(|(key, _)| key != since.key) || ended.is_none() {
            return Err(unknown(since));
        }
        let base = if there(target) { target } else { plan.partial.as_path() };
        known = unchanged(base);
        if base == target {
            let failed = |cause| Error::io(LAYER, "cannot rename the older disk", cause).in_file(target);
            fs::rename(target, &plan.partial).map_err(failed)?;
        }
    }
    Ok(Begin::Go(Transfer { plan, log, unchanged: known }))
}

impl Transfer {
    /// The sink that records what goes into `inner`, which must write `plan.partial`, at the offsets of the disk, and has locked it.
    ///
    /// With `durable`, what is recorded is on the disk before it is.
    ///
    /// # Errors
    /// `Io`.
    pub fn sink(self, inner: Box<dyn Sink>, durable: bool, observer: &dyn Observer) -> Result<Box<dyn Sink>> {
        let file = File::open(&self.plan.partial)
            .map_err(|cause| Error::io(LAYER, "cannot open the output", cause).in_file(&self.plan.partial))?;
        let done = self.done(&file, observer)?;
        if done.count() == 0 && self.plan.since.is_none() {
            self.log.clear()?;
        }
        self.log.append(&[Record::Source { key: self.plan.key, size: self.plan.size }], durable)?;
        Ok(Box::new(sink::Logged::new(self, inner, file, done, durable)))
    }

    /// The pieces that are in `file` already.
    fn done(&self, file: &File, observer: &dyn Observer) -> Result<Bitmap> {
        let mut done = Bitmap::new(self.plan.size.div_ceil(PIECE));
        observer.on(Event::started("verify what is there", None));
        let mut records = self.told()?;
        loop {
            let batch: Vec<_> = records.by_ref().take(1024).collect();
            if batch.is_empty() {
                break;
            }
            let right = if self.unchanged { vec![true; batch.len()] } else { verify(file, &batch) };
            for (told, right) in batch.iter().zip(right) {
                match told {
                    Told::Piece { piece, .. } => done.set(*piece, right),
                    Told::Nothing => done.clear(),
                    Told::Changed => {
                        // What the older snapshot has in a changed block does not count.
                        let changes = self.plan.since.as_ref().map(|since| &since.changes);
                        (0..self.plan.size.div_ceil(PIECE))
                            .filter(|piece| changes.is_some_and(|changes| changes.contains(*piece)))
                            .for_each(|piece| done.set(piece, false));
                    }
                }
            }
            let bytes = PIECE.saturating_mul(u64::try_from(batch.len()).unwrap_or(0));
            observer.on(Event::advanced(bytes));
        }
        observer.on(Event::finished());
        Ok(done)
    }

    /// What the log tells of the disk that the file is to become.
    fn told(&self) -> Result<impl Iterator<Item = Told> + use<>> {
        let (key, size) = (self.plan.key, self.plan.size);
        let older = self.plan.since.as_ref().map(|since| since.key);
        let mut of = None;
        // The target's end is the older snapshot's unless the log goes on after it.
        let mut at_end = None;
        let mut records = self.log.records()?;
        Ok(std::iter::from_fn(move || {
            loop {
                let Some(record) = records.next() else {
                    return at_end.take();
                };
                match record {
                    Record::Source { key: found, .. } => {
                        let before = of.replace(found);
                        let again = before == Some(found);
                        let newer = found == key && older.is_some() && before == older;
                        if newer {
                            at_end = None;
                            return Some(Told::Changed);
                        }
                        if !again {
                            at_end = (Some(found) == older).then_some(Told::Changed);
                            return Some(Told::Nothing);
                        }
                    }
                    Record::Range { offset, len, digest }
                        if of == Some(key) || (of.is_some() && of == older) =>
                    {
                        let piece = offset / PIECE;
                        let whole = u64::from(len) == PIECE.min(size.saturating_sub(offset));
                        if offset.is_multiple_of(PIECE) && whole {
                            return Some(Told::Piece { piece, len, digest });
                        }
                    }
                    Record::Range { .. } | Record::End { .. } => {}
                }
            }
        }))
    }
}

/// What a log tells, in order.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// This piece was in the file.
    Piece { piece: u64, len: u32, digest: [u8; 16] },
    /// What was told before is of no use.
    Nothing,
    /// What was told before is of the older snapshot.
    Changed,
}

/// Which pieces are in `file` as told, looked at by all cores.
fn verify(file: &File, told: &[Told]) -> Vec<bool> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = told.len().div_ceil(threads).max(1);
    let one = |told: &Told, buf: &mut Vec<u8>| match told {
        Told::Piece { piece, len, digest: told } => {
            buf.resize(usize::try_from(*len).unwrap_or(0), 0);
            file.read_exact_at(buf, piece.saturating_mul(PIECE)).is_ok() && digest(buf) == *told
        }
        Told::Nothing | Told::Changed => true,
    };
    thread::scope(|scope| {
        let parts: Vec<_> = told
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    let mut buf = Vec::new();
                    part.iter().map(|told| one(told, &mut buf)).collect::<Vec<_>>()
                })
            })
            .collect();
        // A part whose thread has died is not verified.
        let parts = parts.into_iter().zip(told.chunks(share));
        parts.flat_map(|(part, told)| part.join().unwrap_or_else(|_| vec![false; told.len()])).collect()
    })
}

/// Finds out whether a piece is what was written; it does not have to withstand an attacker, who could write the log as well.
fn digest(bytes: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(bytes).to_le_bytes()
}

/// What changes when a file is written or replaced: its time of last change, and its number.
fn stamp(path: &Path) -> std::io::Result<[u8; 16]> {
    let metadata = fs::metadata(path)?;
    let time = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
    let mut stamp = [0; 16];
    let (first, second) = stamp.split_at_mut(8);
    first.copy_from_slice(&time.to_le_bytes());
    second.copy_from_slice(&metadata.ino().to_le_bytes());
    Ok(stamp)
}

/// The record that `target` is whole.
fn end(target: &Path) -> Result<Record> {
    let failed = |cause| Error::io(LAYER, "cannot look at the output", cause).in_file(target);
    let size = fs::metadata(target).map_err(failed)?.len();
    Ok(Record::End { size, stamp: stamp(target).map_err(failed)? })
}
