//! All of a disk into an empty blob.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use block::{Bitmap, Chunk, ContentSum, Done, Error, ErrorKind, Receipt, Result, Sent, Sink, SinkCaps};
use cloud::azure::{Blob, MAX_PUT};
use image::transfer::{FileLog, Key, Record, TransferLog};
use sha2::{Digest, Sha256};

use super::map::PageMap;
use super::{FOOTER, LAYER, PIECE, ReadBack, pieces_of, stamp};
use block::ranges::{merged, outside};

/// Puts under way. Each holds one piece; eight answers of 60 ms are as much as the fastest disk takes, 500 MiB a second.
const AT_ONCE: usize = 8;
/// Zeros of fewer bytes are sent with the data around them: at the 60 MiB and the 500 requests that a page
/// blob takes in a second, a request costs as much as they do. What that makes of disks in pieces, and what would be best,
/// is shown by the test in `fragments.rs`.
const MIN_RUN: usize = 128 << 10;
/// How many puts, of up to 4 MiB each, a sample that is read back has.
pub(super) const SAMPLE: u64 = 64;

/// What makes a blob a disk, and the record that it is one.
#[derive(Debug)]
pub(super) struct Commit {
    /// Of what it holds then.
    pub(super) key: Key,
    /// Of the disk in bytes.
    pub(super) size: u64,
    pub(super) footer: [u8; 512],
    /// The key of the snapshot that it holds, and where it may be other than that: so that it can become a
    /// newer one.
    pub(super) base: Option<(Key, Vec<Range<u64>>)>,
}

impl Commit {
    /// Puts the footer, the last page, and records that all is there. `map` has the pages, if they were kept;
    /// the receipt tells how many bytes were `written`, and how many of the `pieces` were read back.
    pub(super) fn commit(
        &self,
        blob: &Blob,
        log: &FileLog,
        (content, map): (Option<ContentSum>, Option<&PageMap>),
        (written, read_back, pieces): (u64, u64, u64),
    ) -> Result<Receipt> {
        let &Self { key, size, footer, .. } = self;
        let base = match (&self.base, map) {
            (Some((base, edits)), Some(map)) => {
                map.sync()?;
                // A crash of the machine may have cost some of it.
                let whole = content == Some(map.sum(&(0..size))?);
                if !whole {
                    tracing::warn!(
                        "the record of the pages is not whole: no newer snapshot can follow this one"
                    );
                }
                whole.then_some((*base, edits.as_slice()))
            }
            _ => None,
        };
        blob.put(size, &footer)?;
        let mut last = [0; FOOTER as usize];
        blob.read(size, &mut last, None)?;
        let found = blob.properties()?.filter(|_| last == footer);
        let lost = || Error::new(ErrorKind::Changed, LAYER, "the footer is not what was sent").at(size);
        let found = found.ok_or_else(lost)?;
        let sum = content.map(|sum| Record::Content { size, sum });
        let source = Record::Source { key, size, piece: PIECE };
        let end = Record::End { size: found.size, stamp: stamp(&found.etag) };
        let edits = base.into_iter().flat_map(|(_, edits)| Record::edits(edits));
        let base = base.map(|(key, _)| Record::Base { key });
        let records = std::iter::once(source).chain(base).chain(edits).chain(sum).chain([end]);
        log.replace(&mut { records }, true)?;
        let tally = blob.tally();
        let sent = Sent { puts: tally.puts, bytes: tally.bytes_put, read_back, pieces };
        Ok(Receipt { size, written, shared: 0, content, sent: Some(sent) })
    }
}

/// Puts pages. Nobody takes the blob for a disk until the footer is in it, which is the last page.
#[derive(Debug)]
pub(super) struct PageSink {
    pub(super) blob: Blob,
    pub(super) log: FileLog,
    pub(super) map: Option<PageMap>,
    pub(super) commit: Commit,
    pub(super) done: Done,
    pub(super) read_back: ReadBack,
    pub(super) written: AtomicU64,
}

impl PageSink {
    /// What was put at once and is not all zero, by its records, each piece once.
    fn pieces(&self) -> Result<impl Iterator<Item = (Range<u64>, ContentSum)>> {
        let mut seen = Bitmap::new(self.count());
        Ok(self.log.records()?.filter_map(move |record| match record {
            Record::Range { offset, len, sum } if sum != ContentSum::default() => {
                let range = offset..offset.saturating_add(u64::from(len));
                let new = !pieces_of(&range).any(|piece| seen.contains(piece));
                pieces_of(&range).for_each(|piece| seen.set(piece, true));
                new.then_some((range, sum))
            }
            _ => None,
        }))
    }

    /// How many pieces the disk has.
    fn count(&self) -> u64 {
        self.commit.size.div_ceil(u64::from(PIECE))
    }

    /// The pieces of which the service lists other pages than were put.
    fn doubtful(&self) -> Result<Bitmap> {
        let there = self.blob.ranges(0..self.commit.size, None)?;
        let puts = self.log.records()?.filter_map(|record| match record {
            Record::Put { offset, len } => Some(offset..offset.saturating_add(u64::from(len))),
            _ => None,
        });
        let put = merged(puts.collect());
        let mut doubtful = Bitmap::new(self.count());
        for range in outside(&put, &there).into_iter().chain(outside(&there, &put)) {
            pieces_of(&range).for_each(|piece| doubtful.set(piece, true));
        }
        Ok(doubtful)
    }

    /// Reads back what was put, or a sample of it, and whatever the service lists otherwise; gives how many
    /// pieces, of how many.
    fn prove(&self) -> Result<(u64, u64)> {
        let doubtful = self.doubtful()?;
        let (mut count, mut recorded) = (0, Bitmap::new(self.count()));
        for (range, _) in self.pieces()? {
            pieces_of(&range).for_each(|piece| recorded.set(piece, true));
            count += 1;
        }
        let sampled = (self.read_back == ReadBack::Sample).then(|| sample(count, SAMPLE, &self.commit.key));
        let is_chosen = |range: &Range<u64>, number: u64| {
            sampled.as_ref().is_none_or(|sample| sample.contains(number))
                || pieces_of(range).any(|piece| doubtful.contains(piece))
        };
        let put = self.pieces()?.zip(0..).filter(|((range, _), number)| is_chosen(range, *number));
        // Where nothing was put there are zeros.
        let other = doubtful.runs().flatten().filter(|piece| !recorded.contains(*piece)).map(|piece| {
            let start = piece.saturating_mul(u64::from(PIECE));
            let end = start.saturating_add(u64::from(PIECE)).min(self.commit.size);
            (start..end, ContentSum::default())
        });
        let pieces = put.map(|(piece, _)| piece).chain(other);
        let holds = |(range, sum): &(Range<u64>, ContentSum), bytes: &[u8]| {
            Ok(ContentSum::of(bytes, range.start) == *sum)
        };
        Ok((read_back(&self.blob, pieces, |(range, _)| range.clone(), holds)?, count))
    }
}

/// Reads pieces of the blob back, several at once, and asks of each whether it `holds` what it should; gives
/// how many.
pub(super) fn read_back<T>(
    blob: &Blob,
    pieces: impl Iterator<Item = T> + Send,
    range_of: impl Fn(&T) -> Range<u64> + Sync,
    holds: impl Fn(&T, &[u8]) -> Result<bool> + Sync,
) -> Result<u64> {
    let queue = Mutex::new(pieces);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (read, failed) = (AtomicU64::new(0), Mutex::new(None));
    let one = |piece: &T, buf: &mut Vec<u8>| {
        let range = range_of(piece);
        buf.resize((range.end - range.start) as usize, 0);
        blob.read(range.start, buf, None)?;
        if holds(piece, buf)? {
            return Ok(());
        }
        let what = "what was read back is not what was sent";
        Err(Error::new(ErrorKind::Changed, LAYER, what).at(range.start))
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut buf = Vec::new();
                while let Some(piece) = next() {
                    if let Err(error) = one(&piece, &mut buf) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        return;
                    }
                    read.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(read.into_inner()),
    }
}

/// Records that a piece is there.
pub(super) fn record(log: &FileLog, range: &Range<u64>, sum: ContentSum) -> Result<()> {
    let Ok(len) = u32::try_from(range.end - range.start) else { return Ok(()) };
    log.append(Record::Range { offset: range.start, len, sum }, false)
}

/// What a blob takes.
pub(super) const CAPS: SinkCaps = SinkCaps {
    starts_zeroed: true,
    max_write: MAX_PUT,
    parallel: AT_ONCE,
    alignment: 4096,
    min_run: MIN_RUN,
    unit: MAX_PUT,
    start: PIECE as usize,
    ordered: false,
    waits: true,
};

/// `chosen` of `count` numbers by chance, the same for the same seed; all, if there are no more.
pub(super) fn sample(count: u64, chosen: u64, seed: &Key) -> Bitmap {
    let mut found = Bitmap::new(count);
    if count <= chosen {
        (0..count).for_each(|number| found.set(number, true));
    }
    let mut numbers = (0u64..).map(|round| {
        let digest = Sha256::new().chain_update(seed).chain_update(round.to_le_bytes()).finalize();
        digest.first_chunk().copied().map_or(0, u64::from_le_bytes)
    });
    while found.count() < chosen.min(count) {
        found.set(numbers.next().unwrap_or(0) % count, true);
    }
    found
}

impl Sink for PageSink {
    fn caps(&self) -> SinkCaps {
        CAPS
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        // It is empty when it begins.
        let Chunk::Data { offset, bytes } = chunk else { return Ok(()) };
        self.blob.put(offset, bytes)?;
        if let Some(map) = &self.map {
            map.put(offset, bytes)?;
        }
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.log.append(Record::Put { offset, len: bytes.len() as u32 }, false)
    }

    fn done(&self, range: Range<u64>, sum: ContentSum) -> Result<()> {
        record(&self.log, &range, sum)
    }

    fn already_done(&self) -> Result<Done> {
        Ok(self.done.clone())
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        let (read_back, pieces) = self.prove()?;
        let proven = (self.written.into_inner(), read_back, pieces);
        self.commit.commit(&self.blob, &self.log, (content, self.map.as_ref()), proven)
    }
}

const _: () = assert!(MAX_PUT.is_multiple_of(PIECE as usize));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_as_many_as_were_asked_for() {
        for count in [0, 1, 63, 64, 65, 1000, 1 << 20] {
            assert_eq!(sample(count, 64, &[7; 16]).count(), count.min(64));
        }
    }
}
