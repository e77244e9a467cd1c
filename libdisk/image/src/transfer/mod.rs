//! A transfer that can be killed at any instant and goes on where it was.
//!
//! Beside the output `disk.vhd` lies `disk.vhd.transfer`, a log of the pieces that are in it, each with its
//! sum. A transfer that starts again reads the log up to its last whole record, reads back from
//! `disk.vhd.partial` what it says, and trusts what has its sum: a file that lost something, or was cut,
//! costs a transfer of that and no more. So a record need not wait until its piece is on the disk; both are
//! flushed now and then, which limits what a crash of the machine can cost.
//!
//! The log stays when the output is whole: it says which source the output has, with the sum of its content.
//! That of a snapshot keeps its pieces, too: from them follows what has to be fetched to make the output a
//! newer one. The output is then renamed to `.partial` first, so nobody takes what is half old, half new for
//! a disk.

mod key;
mod log;
mod run;
mod sink;
mod steady;

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use block::{Bitmap, ContentSum, Done, Error, ErrorKind, Event, Observer, Result, Sink, check_sidecar};
use rayon::prelude::*;

use crate::partial::{Left, check_partial, partial_path};
pub use key::{Key, ResumeKey};
pub use log::{Busy, FileLog, Record, TransferLog, log_path};
pub(crate) use log::{is_unfinished, mark};
pub use run::Run;
pub use steady::Steady;

const LAYER: &str = "transfer";

/// The largest disk whose transfer is recorded, in bytes: larger than any that is sold, and small enough for
/// a bit a piece.
pub const MAX_SIZE: u64 = 1 << 50;

/// What is to be written where.
#[derive(Debug)]
pub struct Spec {
    /// The output, when it is whole.
    pub target: PathBuf,
    /// What the output is to hold.
    pub key: Key,
    /// Size of the disk in bytes, at most [`MAX_SIZE`].
    pub size: u64,
    /// How much is recorded at once, in bytes: a multiple of 4 KiB, and a power of two.
    pub piece: u32,
    /// The target holds an older snapshot already.
    pub since: Option<Since>,
    /// A target of which nothing is known may be replaced.
    pub replace: bool,
    /// The mode bits of the log.
    pub mode: u32,
    /// What the target is made of, if a newer snapshot may follow it: then the pieces stay in the log when it
    /// is whole.
    pub base: Option<Base>,
    /// Whether the target is flushed to the disk.
    pub durable: bool,
}

/// What a target is but for some edits.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its key.
    pub key: Key,
    /// Where the target may be other than that, in bytes.
    pub edits: Vec<Range<u64>>,
}

/// An older snapshot that the target holds, edited or not.
#[derive(Debug)]
pub struct Since {
    /// Its key, as a [`Base`] has it.
    pub key: Key,
    /// Its name, for messages.
    pub name: String,
    /// The numbers of the pieces that have changed since.
    pub changes: Bitmap,
}

/// How a transfer begins.
#[derive(Debug)]
pub enum Begin {
    /// The target is whole already, with this content where that is known.
    Complete(Option<ContentSum>),
    /// There is something to do.
    Go(Box<Transfer>),
}

/// A transfer that has begun; [`sink`](Self::sink) is where to copy to.
#[derive(Debug)]
pub struct Transfer {
    spec: Spec,
    /// The key of what the target held before, if that is to become a newer snapshot.
    older: Option<Key>,
    log: Box<dyn TransferLog>,
    done: Bitmap,
    /// The sum of what is done, if that is known.
    sum: Option<ContentSum>,
}

/// The sum of the content that the finished output `target` was written with; `None` if that is not recorded.
///
/// # Errors
/// `Refused` if the log is no regular file; `Io`.
pub fn content(target: &Path) -> Result<Option<ContentSum>> {
    let path = log_path(target);
    if !check_sidecar(&path)? {
        return Ok(None);
    }
    Ok(Run::of(log::read(&path)?).content)
}

/// Removes the log of `target`, if there is one.
///
/// # Errors
/// As [`content`].
pub fn forget(target: &Path) -> Result<()> {
    remove(&log_path(target))
}

/// Removes what an unfinished transfer into `target` has left.
///
/// # Errors
/// As [`content`].
pub fn discard(target: &Path) -> Result<()> {
    remove(&partial_path(target))?;
    forget(target)
}

fn remove(path: &Path) -> Result<()> {
    if !check_sidecar(path)? {
        return Ok(());
    }
    fs::remove_file(path).map_err(|cause| Error::io(LAYER, "cannot remove", cause).in_file(path))
}

/// Looks at what there is, and puts a target that is to become a newer snapshot out of sight.
///
/// # Errors
/// `Refused` if another run writes the target, or it is not known to be what `since` says; `Io`.
pub fn begin(mut spec: Spec, observer: &dyn Observer) -> Result<Begin> {
    let log = log_path(&spec.target);
    let unknown = |since: &Since| {
        let what = format!("it is not known to be {}: there is no record of that", since.name);
        Error::new(ErrorKind::Refused, LAYER, what).in_file(&spec.target)
    };
    if let Some(since) = spec.since.as_ref().filter(|_| !log.exists()) {
        return Err(unknown(since));
    }
    check_partial(&spec.target)?;
    let log = FileLog::open(&log, spec.mode)?;
    let since = spec.since.as_ref().map(|since| since.key);
    let (last, before) = Run::and_before(log.records()?);
    let mut older = before.filter(|run| run.is_of(since));
    let Run { source, ended, content, .. } = last.clone();
    let (target, partial) = (spec.target.as_path(), partial_path(&spec.target));
    let there = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let only_target = there(target) && !there(&partial);
    let unchanged = |path: &Path| ended.is_some() && stamp(path).ok() == ended;

    if source == Some((spec.key, spec.size))
        && only_target
        && (unchanged(target) || (ended.is_none() && !spec.replace))
    {
        // Without an end, it was killed after the renaming, which is the last step.
        if ended.is_none() {
            log.append(end(target)?, spec.durable)?;
        }
        return Ok(Begin::Complete(content));
    }
    let mut known = false;
    if let Some(since) = spec.since.as_ref().filter(|_| last.is_not(spec.key)) {
        // What a run left that was to make it another one is gone on with from the older one: the sums of its pieces
        // tell which of them are still there.
        let is_overtaken = last.is_unfinished() && older.is_some();
        if !is_overtaken && (!last.is_of(Some(since.key)) || ended.is_none()) {
            return Err(unknown(since));
        }
        if !is_overtaken {
            older = Some(last);
        }
        known = unchanged(if there(target) { target } else { &partial });
        // Beside the half of another run it is somebody else's.
        if there(target) && !(is_overtaken && there(&partial)) {
            let failed = |cause| Error::io(LAYER, "cannot rename the older disk", cause).in_file(target);
            fs::rename(target, &partial).map_err(failed)?;
        }
    }
    // What either has edited may differ, too.
    let edits = spec.base.iter().flat_map(|base| &base.edits).chain(older.iter().flat_map(|run| &run.edits));
    if let Some(since) = &mut spec.since {
        for range in edits {
            let piece = u64::from(spec.piece).max(1);
            let first = range.start.checked_div(piece).unwrap_or(0);
            (first..range.end.div_ceil(piece)).for_each(|piece| since.changes.set(piece, true));
        }
    }
    let older = older.and_then(|run| run.source).map(|(key, _)| key);
    let (done, sum) = (Bitmap::new(spec.size.div_ceil(u64::from(spec.piece))), Some(ContentSum::default()));
    let mut transfer = Transfer { spec, older, log: Box::new(log), done, sum };
    if check_sidecar(&partial)? {
        let file = File::open(&partial)
            .map_err(|cause| Error::io(LAYER, "cannot open the output", cause).in_file(&partial))?;
        transfer.look(&file, known, observer)?;
    }
    Ok(Begin::Go(Box::new(transfer)))
}

/// Whether the log of `target` tells of something that is based on one of `keys`: last, or before a run that was not
/// finished.
///
/// # Errors
/// As [`content`].
pub fn is_based_on(target: &Path, keys: &[Key]) -> Result<bool> {
    let path = log_path(target);
    if !check_sidecar(&path)? {
        return Ok(false);
    }
    let (last, before) = Run::and_before(log::read(&path)?);
    let before = before.filter(|_| last.is_unfinished());
    let mut runs = std::iter::once(last).chain(before);
    Ok(runs.any(|run| keys.iter().any(|key| run.is_of(Some(*key)))))
}

/// The records of what the target of a transfer is made of, if that is something else than the transfer's own
/// key says.
fn based_on(spec: &Spec) -> impl Iterator<Item = Record> {
    let base = spec.base.as_ref().filter(|base| base.key != spec.key);
    let edits = base.into_iter().flat_map(|base| Record::edits(&base.edits));
    base.map(|base| Record::Base { key: base.key }).into_iter().chain(edits)
}

impl Transfer {
    /// What is to become of the unfinished output: gone on with, if anything in it is of use.
    pub fn left(&self) -> Left {
        if self.done.count() == 0 && self.spec.since.is_none() { Left::Keep } else { Left::Resume }
    }

    /// The sink that records what goes into `inner`, which must write the unfinished output at the offsets of
    /// the disk, and has locked it.
    ///
    /// # Errors
    /// `Io`.
    pub fn sink(self, inner: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let path = partial_path(&self.spec.target);
        let file = File::open(&path)
            .map_err(|cause| Error::io(LAYER, "cannot open the output", cause).in_file(&path))?;
        if self.left() == Left::Keep {
            self.log.clear()?;
        }
        let Spec { key, size, piece, durable, .. } = self.spec;
        let source = Record::Source { key, size, piece };
        let records: Vec<_> = based_on(&self.spec).collect();
        self.log.append(source, durable && records.is_empty())?;
        for (record, left) in records.iter().zip((0..records.len()).rev()) {
            self.log.append(*record, durable && left == 0)?;
        }
        Ok(Box::new(sink::Logged::new(self, inner, file)))
    }

    fn pieces(&self) -> u64 {
        self.spec.size.div_ceil(u64::from(self.spec.piece))
    }

    /// What is done: as much of `file` as the log says truly. If it is `known` to be as it was when it was
    /// finished, that needs no look.
    fn look(&mut self, file: &File, known: bool, observer: &dyn Observer) -> Result<()> {
        let piece_len = u64::from(self.spec.piece);
        let mut records = self.told()?;
        observer.on(Event::started("verify what is there", None));
        loop {
            let batch: Vec<_> = records.by_ref().take(1024).collect();
            if batch.is_empty() {
                break;
            }
            let right = if known { vec![true; batch.len()] } else { verify(file, piece_len, &batch) };
            for (told, right) in batch.iter().zip(right) {
                match told {
                    Told::Piece { piece, sum, .. } => {
                        match (self.done.contains(*piece), right) {
                            // The same twice, of one file.
                            (true, true) | (false, false) => {}
                            (false, true) => self.sum = self.sum.map(|before| before.and(*sum)),
                            (true, false) => self.sum = None,
                        }
                        self.done.set(*piece, right);
                    }
                    Told::Nothing => {
                        self.done.clear();
                        self.sum = Some(ContentSum::default());
                    }
                    Told::Changed => {
                        // What the older snapshot has in a changed piece does not count.
                        let changes = self.spec.since.as_ref().map(|since| &since.changes);
                        for piece in changes.into_iter().flat_map(Bitmap::runs).flatten() {
                            self.done.set(piece, false);
                        }
                        self.sum = None;
                    }
                }
            }
            let bytes = piece_len.saturating_mul(u64::try_from(batch.len()).unwrap_or(0));
            observer.on(Event::advanced(bytes));
        }
        observer.on(Event::finished());
        Ok(())
    }

    /// What is done, as a copy skips it.
    fn done(&self) -> Done {
        let piece = u64::from(self.spec.piece);
        let end = |run: u64| run.saturating_mul(piece).min(self.spec.size);
        let ranges = self.done.runs().map(|run| run.start.saturating_mul(piece)..end(run.end)).collect();
        Done { ranges, sum: self.sum }
    }

    /// What the log tells of the disk that the file is to become.
    fn told(&self) -> Result<impl Iterator<Item = Told> + use<>> {
        let Spec { key, size, piece, .. } = self.spec;
        let piece_len = u64::from(piece);
        let older = self.older;
        // What the records are about now, and whether the file has been the older disk and not yet this one.
        let (mut of, mut is_older) = (None, false);
        // The target's end is the older snapshot's unless the log goes on after it.
        let mut at_end = None;
        let mut records = self.log.records()?;
        Ok(std::iter::from_fn(move || {
            loop {
                let Some(record) = records.next() else {
                    return at_end.take();
                };
                match record {
                    Record::Source { key: found, piece: found_piece, .. } => {
                        // Pieces of another size are of no use.
                        let found = if found_piece == piece { found } else { Key::default() };
                        if of.replace(found) == Some(found) {
                            continue;
                        }
                        if is_older && found == key {
                            (at_end, is_older) = (None, false);
                            return Some(Told::Changed);
                        }
                        // What another run has put since, and did not finish, is seen by the sums.
                        if is_older && Some(found) != older {
                            continue;
                        }
                        is_older = Some(found) == older;
                        at_end = is_older.then_some(Told::Changed);
                        return Some(Told::Nothing);
                    }
                    Record::Range { offset, len, sum }
                        if of == Some(key) || (of.is_some() && of == older) =>
                    {
                        let piece = offset.checked_div(piece_len)?;
                        let whole = u64::from(len) == piece_len.min(size.saturating_sub(offset));
                        if offset.is_multiple_of(piece_len) && whole {
                            return Some(Told::Piece { piece, len, sum });
                        }
                    }
                    _ => {}
                }
            }
        }))
    }
}

/// What a log tells, in order.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// This piece was in the file.
    Piece { piece: u64, len: u32, sum: ContentSum },
    /// What was told before is of no use.
    Nothing,
    /// What was told before is of the older snapshot.
    Changed,
}

/// Which pieces are in `file` as told, looked at by all cores.
fn verify(file: &File, piece_len: u64, told: &[Told]) -> Vec<bool> {
    let one = |buf: &mut Vec<u8>, told: &Told| match told {
        Told::Piece { piece, len, sum } => {
            buf.resize(usize::try_from(*len).unwrap_or(0), 0);
            let offset = piece.saturating_mul(piece_len);
            file.read_exact_at(buf, offset).is_ok() && ContentSum::of(buf, offset) == *sum
        }
        Told::Nothing | Told::Changed => true,
    };
    told.par_iter().map_init(Vec::new, one).collect()
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
