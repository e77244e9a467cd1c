//! A blob that holds an older snapshot becomes a newer one: only pages that differ are put.
//!
//! What may differ is what has changed between the two, what was edited in the older one, and what is edited
//! in the newer one. It is recorded before the first page is put, and the footer is taken out: from then on
//! the blob is neither, and nobody takes it for a disk. In what may differ, a page is put, or cleared, if the
//! record of the pages has another digest for it, and then recorded: what a killed run has put and not
//! recorded is put again.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use block::{Chunk, ContentSum, Done, Error, ErrorKind, Event, Observer, Receipt, Result, Sink, SinkCaps};
use cloud::azure::{Blob, Kind, MAX_PUT, Properties};
use image::transfer::{FileLog, Key, Record, Run, TransferLog};
use sha2::{Digest, Sha256};

use super::map::{PAGE, PageMap};
use super::sink::{CAPS, Commit, SAMPLE, read_back, record, sample};
use super::{FOOTER, LAYER, PIECE, PageBlobDestination, ReadBack, has_footer, pages_path, stamp};
use crate::{Base, Begin, CannotFollow, Older};
use block::ranges::{inside, merged, outside, whole};

/// What a blob holds by the record, as far as that can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// A disk that was finished.
    Whole,
    /// What a run left that was to turn it into a newer one.
    Half,
}

/// An edit that is about to begin.
pub(super) struct Edits {
    pub(super) blob: Blob,
    pub(super) log: FileLog,
    pub(super) last: Run,
    pub(super) commit: Commit,
    pub(super) held: Held,
    /// What has changed since the older one, in bytes.
    pub(super) changes: Vec<Range<u64>>,
}

impl PageBlobDestination {
    fn unknown(&self, why: CannotFollow) -> Error {
        let error = Error::new(ErrorKind::Refused, LAYER, "cannot send only what has changed").because(why);
        error.in_file(Path::new(&crate::Destination::name(self)))
    }

    /// Whether the blob holds one of two snapshots, but for edits that are recorded.
    pub(super) fn held(
        &self,
        blob: &Blob,
        last: &Run,
        found: Option<&Properties>,
        (older, newer): (&Older, &Base),
    ) -> Result<Held> {
        let name = || older.name.clone();
        if last.source.is_none() {
            return Err(self.unknown(CannotFollow::NoRecord(name())));
        }
        if last.base.is_none() && last.is_unfinished() {
            return Err(self.unknown(CannotFollow::Unfinished(name())));
        }
        let is = |key| last.base == Some(key);
        if !is(self.key_of(older.key.clone())) && !is(self.key_of(newer.key.clone())) {
            return Err(self.unknown(CannotFollow::Other(name())));
        }
        let size = last.source.map(|(_, size)| size.saturating_add(FOOTER));
        let changed = || self.unknown(CannotFollow::Changed(name()));
        let found = found.filter(|found| found.kind == Kind::Page && Some(found.size) == size);
        let found = found.ok_or_else(changed)?;
        let stamp = Some(stamp(&found.etag));
        match last.ended {
            Some(_) if last.ended == stamp => Ok(Held::Whole),
            // It was killed before it took the footer out, or after that.
            None if last.before == stamp || !has_footer(blob, found.size)? => Ok(Held::Half),
            _ => Err(changed()),
        }
    }

    /// Begins to turn what is there into what `edits` says, or goes on with it.
    pub(super) fn edit(
        &self,
        edits: Edits,
        (older, newer): (&Older, &Base),
        observer: &dyn Observer,
    ) -> Result<Begin> {
        let Edits { blob, mut log, last, commit, held, changes } = edits;
        let (size, total) = (commit.size, commit.size + FOOTER);
        let (base, edited) = (last.base.unwrap_or_default(), last.edits);
        if last.source.is_some_and(|(_, of)| of != size) {
            return Err(self.unknown(CannotFollow::Size(older.name.clone())));
        }
        observer.on(Event::started("verify what is there", None));
        let map = PageMap::open(&pages_path(&self.log_path()), size)?;
        // The same snapshot, edited in another way, has no changes.
        let changes = (base == self.key_of(older.key.clone())).then_some(changes);
        let all = edited.iter().chain(&newer.edits).cloned().chain(changes.into_iter().flatten());
        let all = whole(all, PAGE, size);
        // On its way it is something else than either.
        let key: Key = Sha256::digest([base, commit.key].concat()).first_chunk().copied().unwrap_or_default();
        let resumes = held == Held::Half && last.source == Some((key, size));
        match held {
            Held::Whole => {
                // It is read once and believed from then on.
                if Some(map.sum(&(0..size))?) != last.content {
                    return Err(self.unknown(CannotFollow::Damaged));
                }
            }
            // What another run put is not recorded up to its last page.
            Held::Half if !resumes => edited.iter().try_for_each(|range| map.forget(range))?,
            Held::Half => {}
        }
        if !resumes {
            map.sync()?;
            let before = last.ended.or(last.before).unwrap_or_default();
            let head = [
                Record::Source { key, size, piece: PIECE },
                Record::Base { key: base },
                Record::Before { stamp: before },
            ];
            log.replace(&mut head.into_iter().chain(Record::edits(&all)), true)?;
            // The log is another file now.
            drop(log);
            log = self.open_log()?;
        }
        if has_footer(&blob, total)? {
            blob.clear(size..total)?;
        }
        let mut skipped = outside(std::slice::from_ref(&(0..size)), &all);
        for (range, sum) in recorded(&log)? {
            if map.sum(&range)? == sum {
                skipped.push(range);
            }
        }
        let ranges = merged(skipped);
        let mut sums = ranges.iter().map(|range| map.sum(range));
        let sum = sums.try_fold(ContentSum::default(), |all, sum| Ok::<_, Error>(all.and(sum?)))?;
        let done = Done { sum: Some(sum), ranges };
        observer.on(Event::finished());
        let (read_back, written) = (self.read_back, AtomicU64::new(0));
        let sink = EditSink { blob, log, map, commit, edits: all, done, read_back, written };
        Ok(Begin::Go { sink: Box::new(sink), resumes: true })
    }
}

/// The parts that a log tells to be there, with their sums.
fn recorded(log: &FileLog) -> Result<impl Iterator<Item = (Range<u64>, ContentSum)> + use<>> {
    Ok(log.records()?.filter_map(|record| match record {
        Record::Range { offset, len, sum } => Some((offset..offset.saturating_add(len.into()), sum)),
        _ => None,
    }))
}

/// Puts and clears the pages that differ.
#[derive(Debug)]
struct EditSink {
    blob: Blob,
    log: FileLog,
    map: PageMap,
    commit: Commit,
    /// Where it looks at all.
    edits: Vec<Range<u64>>,
    done: Done,
    read_back: ReadBack,
    written: AtomicU64,
}

impl EditSink {
    fn data(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        for run in self.map.other(offset, bytes)? {
            let (at, bytes) = (offset + run.start as u64, &bytes[run]);
            self.blob.put(at, bytes)?;
            self.map.put(at, bytes)?;
            self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn zeros(&self, range: &Range<u64>) -> Result<()> {
        for run in self.map.not_zero(range)? {
            self.blob.clear(run.clone())?;
            self.map.zero(&run)?;
        }
        Ok(())
    }

    /// Reads back what was put, or a sample of it, and where the service lists other pages than it should:
    /// gives how many pieces, of how many.
    fn prove(&self) -> Result<(u64, u64)> {
        let there = self.blob.ranges(0..self.commit.size, None)?;
        let put = self.map.not_zero(&(0..self.commit.size))?;
        let lost = outside(&put, &there);
        // What lies there since earlier, and is zero, is no matter: it was looked at then.
        let more = inside(&outside(&there, &put), &self.edits);
        let mut sent: Vec<_> = recorded(&self.log)?.map(|(range, _)| range).collect();
        sent.sort_unstable_by_key(|range| (range.start, range.end));
        sent.dedup();
        let count = sent.len() as u64;
        let sampled = (self.read_back == ReadBack::Sample).then(|| sample(count, SAMPLE, &self.commit.key));
        let sent = sent.into_iter().zip(0..);
        let sent = sent.filter(|(_, number)| sampled.as_ref().is_none_or(|sample| sample.contains(*number)));
        let sent: Vec<_> = sent.map(|(range, _)| range).collect();
        let chosen = sent.len() as u64;
        let doubtful = whole(lost.into_iter().chain(more), PAGE, self.commit.size);
        let doubtful = doubtful.into_iter().flat_map(|range| {
            let end = range.end;
            range.step_by(MAX_PUT).map(move |start| start..(start + MAX_PUT as u64).min(end))
        });
        let holds = |range: &Range<u64>, bytes: &[u8]| self.map.holds(range.start, bytes);
        read_back(&self.blob, sent.into_iter().chain(doubtful), Range::clone, holds)?;
        Ok((chosen, count))
    }
}

impl Sink for EditSink {
    fn caps(&self) -> SinkCaps {
        SinkCaps { starts_zeroed: false, min_run: 0, ..CAPS }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        match chunk {
            Chunk::Data { offset, bytes } => self.data(offset, bytes),
            Chunk::Zero { offset, len } => self.zeros(&(offset..offset + len)),
        }
    }

    fn done(&self, range: Range<u64>, sum: ContentSum) -> Result<()> {
        record(&self.log, &range, sum)
    }

    fn already_done(&self) -> Result<Done> {
        Ok(self.done.clone())
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        let (size, map) = (self.commit.size, &self.map);
        if content != Some(map.sum(&(0..size))?) {
            let what = "the record of the pages is not that of what was sent";
            return Err(Error::new(ErrorKind::Changed, LAYER, what));
        }
        let (read_back, pieces) = self.prove()?;
        self.commit.commit(
            &self.blob,
            &self.log,
            (content, Some(map)),
            (self.written.into_inner(), read_back, pieces),
        )
    }
}
