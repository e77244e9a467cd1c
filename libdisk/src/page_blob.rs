//! A page blob in Azure as a place that takes a disk.

use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use block::{
    Bitmap, Chunk, ContentSum, Disk, Done, Error, ErrorKind, Event, Observer, Receipt, Result, Sent, Sink,
    SinkCaps,
};
use cloud::azure::{Blob, BlobUrl, Kind, MAX_PUT, Options, PageBlob, Properties};
use image::Existing;
use image::transfer::{FileLog, Key, Record, ResumeKey, TransferLog};
use image::vhd::{self, Footer, Identity};
use sha2::{Digest, Sha256};

use crate::{Begin, Destination, DiskSpec, FileFormat, Taken, Upload};

const LAYER: &str = "azure";
/// What is recorded at once, in bytes, and put by one request if nothing of it is zero.
const PIECE: u32 = 4 << 20;
/// Puts under way. Each holds one piece; ten answers of 60 ms are more than a blob takes in a second.
const AT_ONCE: usize = 10;
/// Zeros of fewer bytes are sent with the data around them: at the 60 MiB and the 500 requests that a page
/// blob takes in a second, a request costs as much as they do.
const MIN_RUN: usize = 128 << 10;
/// Pieces of a sample that is read back.
const SAMPLE: u64 = 64;
const FOOTER: u64 = 512;

/// How much is read back of what was sent, before it counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadBack {
    /// 64 pieces of 4 MiB, chosen by chance.
    #[default]
    Sample,
    /// All of it.
    All,
}

/// A page blob that becomes a fixed VHD. What was sent is recorded in a file of this machine, so that the
/// same again goes on.
#[derive(Debug, Clone)]
pub struct PageBlobDestination {
    /// Where it is.
    pub url: BlobUrl,
    /// How to speak to Azure.
    pub options: Options,
    /// What becomes of a blob that is there.
    pub existing: Existing,
    /// How much is read back.
    pub read_back: ReadBack,
    /// The folder for the record of the transfer.
    pub state: PathBuf,
    /// What it is called, where that stays and the URL may not: the record is kept under that name.
    pub known_as: Option<String>,
}

impl PageBlobDestination {
    /// The folder for records if nobody says otherwise: `azure` in `$REFLOAT_STATE`, else in `refloat` in
    /// `$XDG_STATE_HOME` or `~/.local/state`. `None` where none of these is set.
    pub fn default_state() -> Option<PathBuf> {
        let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = || of("XDG_STATE_HOME").or_else(|| of("HOME").map(|home| home.join(".local/state")));
        of("REFLOAT_STATE")
            .or_else(|| user().map(|state| state.join("refloat")))
            .map(|state| state.join("azure"))
    }

    /// The record of the transfer.
    fn log_path(&self) -> PathBuf {
        log_path(&self.state, self.recorded_as())
    }

    fn open_log(&self) -> Result<FileLog> {
        let failed = |cause| Error::io(LAYER, "cannot make the folder for the record", cause);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.state);
        made.map_err(|cause| failed(cause).in_file(&self.state))?;
        FileLog::open(&self.log_path(), 0o600)
    }

    /// Forgets what was sent to what is known by that name.
    ///
    /// # Errors
    /// `Io`.
    pub fn forget(known_as: &str, state: &Path) -> Result<()> {
        let path = log_path(state, known_as);
        if path.exists() { FileLog::open(&path, 0o600)?.clear() } else { Ok(()) }
    }

    /// The sum of the content that was written to what is known by that name, if that was recorded.
    pub(crate) fn content_of(known_as: &str, state: &Path) -> Result<Option<ContentSum>> {
        let path = log_path(state, known_as);
        if path.exists() { Ok(Last::of(&FileLog::open(&path, 0o600)?)?.content) } else { Ok(None) }
    }

    /// Whether an earlier run has begun to send something to what is known by that name.
    pub(crate) fn has_begun_as(known_as: &str, state: &Path) -> bool {
        let path = log_path(state, known_as);
        let last = || FileLog::open(&path, 0o600).and_then(|log| Last::of(&log));
        path.exists() && last().is_ok_and(|last| last.source.is_some())
    }

    /// What its record is kept under.
    fn recorded_as(&self) -> &str {
        self.known_as.as_deref().unwrap_or(self.url.as_str())
    }

    fn blob(&self) -> Result<Blob> {
        Ok(Blob::new(&self.url, &self.options)?)
    }

    fn refused(&self, why: Taken) -> Error {
        Error::new(ErrorKind::Refused, LAYER, "cannot write the output")
            .because(why)
            .in_file(Path::new(&self.name()))
    }

    /// Whether what is there may be written over: nothing, an empty disk, or what the user gives up.
    fn may_write(&self, blob: &Blob, found: Option<&Properties>) -> Result<()> {
        let Some(found) = found else { return Ok(()) };
        if let Kind::Other(kind) = &found.kind {
            let what = format!("it is a {kind}, and a disk is a page blob: give it another name");
            return Err(Error::unsupported(LAYER, what).in_file(Path::new(&self.name())));
        }
        let is_empty = || Ok::<_, Error>(blob.ranges(0..found.size, None)?.is_empty());
        if self.existing == Existing::Replace || is_empty()? {
            Ok(())
        } else {
            Err(self.refused(Taken::Exists))
        }
    }

    /// Makes the blob one of `size` zeros. One of that size stays, as a disk that waits for its upload does.
    fn empty(&self, blob: &Blob, found: Option<&Properties>, size: u64) -> Result<()> {
        match found {
            Some(found) if found.kind == Kind::Page && found.size == size => {
                if !blob.ranges(0..size, None)?.is_empty() {
                    blob.clear(0..size)?;
                }
            }
            Some(_) => blob.create(size, false)?,
            None => blob.create(size, true)?,
        }
        Ok(())
    }

    /// What earlier runs have put, as far as it is there.
    fn look(
        &self,
        blob: &Blob,
        log: &FileLog,
        (key, size): (Key, u64),
        observer: &dyn Observer,
    ) -> Result<Done> {
        observer.on(Event::started("verify what is there", None));
        let there = blob.ranges(0..size, None)?;
        let pieces = size.div_ceil(u64::from(PIECE));
        let (mut done, mut broken) = (Bitmap::new(pieces), Bitmap::new(pieces));
        let (mut sum, mut ours) = (ContentSum::default(), false);
        for record in log.records()? {
            match record {
                Record::Source { key: found, size: of, piece } => {
                    let same = (found, of, piece) == (key, size, PIECE);
                    if !same {
                        (done, broken) = (Bitmap::new(pieces), Bitmap::new(pieces));
                        sum = ContentSum::default();
                    }
                    ours = same;
                }
                Record::Put { offset, len } if ours => {
                    let end = offset.saturating_add(u64::from(len));
                    let at = there.partition_point(|range| range.end <= offset);
                    let whole = there.get(at).is_some_and(|range| range.start <= offset && end <= range.end);
                    if !whole {
                        broken.set(offset / u64::from(PIECE), true);
                    }
                }
                Record::Range { offset, len, sum: of } if ours => {
                    let (piece, whole) = (offset / u64::from(PIECE), piece_len(offset, size));
                    let fits = offset.is_multiple_of(u64::from(PIECE)) && u64::from(len) == whole;
                    if fits && piece < pieces && !broken.contains(piece) && !done.contains(piece) {
                        done.set(piece, true);
                        sum = sum.and(of);
                    }
                }
                _ => {}
            }
        }
        observer.on(Event::finished());
        let end = |piece: u64| piece.saturating_mul(u64::from(PIECE)).min(size);
        let ranges = done.runs().map(|run| end(run.start)..end(run.end)).collect();
        Ok(Done { ranges, sum: Some(sum) })
    }
}

/// The record of what is sent to what is called so.
fn log_path(state: &Path, name: &str) -> PathBuf {
    let digest = Sha256::digest(name);
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let last = name.rsplit('/').next().unwrap_or_default();
    let last = last.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c));
    state.join(format!("{}-{digest}.transfer", last.take(80).collect::<String>()))
}

/// The length of the piece at `offset` of a disk.
fn piece_len(offset: u64, size: u64) -> u64 {
    u64::from(PIECE).min(size.saturating_sub(offset))
}

/// What a record says of a blob that is whole: it changes with it.
fn stamp(etag: &str) -> [u8; 16] {
    Sha256::digest(etag).first_chunk().copied().unwrap_or_default()
}

/// How the last transfer that a log tells of has ended.
#[derive(Default)]
struct Last {
    source: Option<(Key, u64)>,
    ended: Option<[u8; 16]>,
    content: Option<ContentSum>,
}

impl Last {
    fn of(log: &FileLog) -> Result<Self> {
        let mut last = Self::default();
        for record in log.records()? {
            match record {
                Record::Source { key, size, .. } => {
                    last = Self { source: Some((key, size)), ..Self::default() }
                }
                Record::Content { sum, .. } => last.content = Some(sum),
                Record::End { stamp, .. } => last.ended = Some(stamp),
                Record::Range { .. } | Record::Put { .. } => {}
            }
        }
        Ok(last)
    }

    /// Whether it was begun and not ended: what is there is refloat's.
    fn is_unfinished(&self) -> bool {
        self.source.is_some() && self.ended.is_none()
    }
}

impl Destination for PageBlobDestination {
    fn name(&self) -> String {
        self.known_as.clone().unwrap_or_else(|| format!("azure:{}", self.url))
    }

    fn format(&self) -> FileFormat {
        FileFormat::Vhd
    }

    fn path(&self) -> Option<&Path> {
        None
    }

    fn fit(&self, disk: Disk) -> Result<Disk> {
        volume::pad(disk, |size| {
            vhd::upload_size(size).map_err(|error| error.in_file(Path::new(&self.name())))
        })
    }

    fn has_begun(&self) -> bool {
        Self::has_begun_as(self.recorded_as(), &self.state)
    }

    fn free(&self) -> Result<()> {
        let blob = self.blob()?;
        self.may_write(&blob, blob.properties()?.as_ref())
    }

    fn begin(&self, disk: DiskSpec, observer: &dyn Observer) -> Result<Begin> {
        if disk.since.is_some() {
            return Err(Error::unsupported(LAYER, "to send only what has changed since an older snapshot"));
        }
        let (size, resumes) = (disk.size, disk.key.is_some());
        let key = disk.key.map_or_else(Key::default, |key: ResumeKey| key.with("blob", self.name()).digest());
        let total = size.checked_add(FOOTER).ok_or_else(|| Error::unsupported(LAYER, "so large a disk"))?;
        let (log, blob) = (self.open_log()?, self.blob()?);
        let (last, found) = (Last::of(&log)?, blob.properties()?);
        let same = resumes && last.source == Some((key, size));
        let fits = found.as_ref().is_some_and(|found| found.kind == Kind::Page && found.size == total);
        let unchanged = found.as_ref().is_some_and(|found| last.ended == Some(stamp(&found.etag)));
        if same && fits && unchanged {
            return Ok(Begin::Complete(Receipt { size, content: last.content, ..Receipt::default() }));
        }
        let done = if same && fits && last.is_unfinished() {
            self.look(&blob, &log, (key, size), observer)?
        } else {
            // A disk that is whole is not what an unfinished run left: it has a footer.
            let is_left = |found: &Properties| {
                let end = found.size.saturating_sub(FOOTER);
                Ok::<_, Error>(found.kind == Kind::Page && blob.ranges(end..found.size, None)?.is_empty())
            };
            let ours = last.is_unfinished() && found.as_ref().map_or(Ok(true), is_left)?;
            if !ours {
                self.may_write(&blob, found.as_ref())?;
            }
            self.empty(&blob, found.as_ref(), total)?;
            log.clear()?;
            Done::default()
        };
        log.append(Record::Source { key, size, piece: PIECE }, true)?;
        let footer = Footer::fixed(size, Identity::derive(&disk.identity)).to_bytes();
        let sink = PageSink {
            blob,
            log,
            key,
            size,
            footer,
            done,
            read_back: self.read_back,
            written: AtomicU64::new(0),
        };
        Ok(Begin::Go { sink: Box::new(sink), resumes })
    }

    fn discard(&self) -> Result<()> {
        // The blob itself is the user's, who may have made it as a disk that waits for its upload.
        self.open_log()?.clear()
    }

    fn companion(&self, number: u32) -> Box<dyn Destination> {
        let name = self.url.name();
        let (stem, extension) = name
            .rsplit_once('.')
            .map_or((name, String::new()), |(stem, extension)| (stem, format!(".{extension}")));
        let url = self.url.beside(&format!("{stem}-data{number}{extension}"));
        Box::new(Self { url, ..self.clone() })
    }

    fn verify(&self) -> Result<Upload> {
        let disk = PageBlob::open(&self.url, &self.options)?.disk();
        Ok(Upload {
            form: Some(vhd::check_bytes(&disk)?),
            content: Self::content_of(self.recorded_as(), &self.state)?,
        })
    }
}

/// Puts pages. Nobody takes the blob for a disk until the footer is in it, which is the last page.
#[derive(Debug)]
struct PageSink {
    blob: Blob,
    log: FileLog,
    key: Key,
    size: u64,
    footer: [u8; 512],
    done: Done,
    read_back: ReadBack,
    written: AtomicU64,
}

impl PageSink {
    /// The pieces that were put and are not all zero, by their records.
    fn pieces(&self) -> Result<impl Iterator<Item = (Range<u64>, ContentSum)>> {
        let mut seen = Bitmap::new(self.count());
        Ok(self.log.records()?.filter_map(move |record| match record {
            Record::Range { offset, len, sum } if sum != ContentSum::default() => {
                let piece = offset / u64::from(PIECE);
                let new = !seen.contains(piece);
                seen.set(piece, true);
                new.then(|| (offset..offset.saturating_add(u64::from(len)), sum))
            }
            _ => None,
        }))
    }

    /// How many pieces the disk has.
    fn count(&self) -> u64 {
        self.size.div_ceil(u64::from(PIECE))
    }

    /// The pieces of which the service lists other pages than were put.
    fn doubtful(&self) -> Result<Bitmap> {
        let there = self.blob.ranges(0..self.size, None)?;
        let puts = self.log.records()?.filter_map(|record| match record {
            Record::Put { offset, len } => Some(offset..offset.saturating_add(u64::from(len))),
            _ => None,
        });
        let put = merged(puts.collect());
        let mut doubtful = Bitmap::new(self.count());
        for range in outside(&put, &there).into_iter().chain(outside(&there, &put)) {
            let (first, end) = (range.start / u64::from(PIECE), range.end.div_ceil(u64::from(PIECE)));
            (first..end).for_each(|piece| doubtful.set(piece, true));
        }
        Ok(doubtful)
    }

    /// Reads back what was put, or a sample of it, and whatever the service lists otherwise; gives how many
    /// pieces, of how many.
    fn prove(&self) -> Result<(u64, u64)> {
        let doubtful = self.doubtful()?;
        let (mut count, mut recorded) = (0, Bitmap::new(self.count()));
        for (range, _) in self.pieces()? {
            recorded.set(range.start / u64::from(PIECE), true);
            count += 1;
        }
        let sampled = (self.read_back == ReadBack::Sample).then(|| sample(count, SAMPLE, &self.key));
        let is_chosen = |range: &Range<u64>, number: u64| {
            sampled.as_ref().is_none_or(|sample| sample.contains(number))
                || doubtful.contains(range.start / u64::from(PIECE))
        };
        let put = self.pieces()?.zip(0..).filter(|((range, _), number)| is_chosen(range, *number));
        // Where nothing was put there are zeros.
        let other = doubtful.runs().flatten().filter(|piece| !recorded.contains(*piece)).map(|piece| {
            let start = piece.saturating_mul(u64::from(PIECE));
            (start..start + piece_len(start, self.size), ContentSum::default())
        });
        let queue = Mutex::new(put.map(|(piece, _)| piece).chain(other));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let (read, failed) = (AtomicU64::new(0), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    let mut buf = Vec::new();
                    while let Some((range, sum)) = next() {
                        if let Err(error) = self.prove_piece(&range, sum, &mut buf) {
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
            None => Ok((read.into_inner(), count)),
        }
    }

    fn prove_piece(&self, range: &Range<u64>, sum: ContentSum, buf: &mut Vec<u8>) -> Result<()> {
        buf.resize((range.end - range.start) as usize, 0);
        self.blob.read(range.start, buf, None)?;
        if ContentSum::of(buf, range.start) == sum {
            return Ok(());
        }
        let what = "what was read back is not what was sent";
        Err(Error::new(ErrorKind::Changed, LAYER, what).at(range.start))
    }
}

/// `chosen` of `count` numbers by chance, the same for the same seed; all, if there are no more.
fn sample(count: u64, chosen: u64, seed: &Key) -> Bitmap {
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

/// Ranges in their order, none touching another.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// What is in `ranges` and not in `others`, both ascending.
fn outside(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    for range in ranges {
        let mut at = range.start;
        let first = others.partition_point(|other| other.end <= range.start);
        for other in others[first..].iter().take_while(|other| other.start < range.end) {
            if at < other.start {
                found.push(at..other.start);
            }
            at = at.max(other.end);
        }
        if at < range.end {
            found.push(at..range.end);
        }
    }
    found
}

impl Sink for PageSink {
    fn caps(&self) -> SinkCaps {
        SinkCaps {
            starts_zeroed: true,
            max_write: MAX_PUT,
            parallel: AT_ONCE,
            alignment: 4096,
            min_run: MIN_RUN,
            unit: PIECE as usize,
            waits: true,
        }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        // It is empty when it begins.
        let Chunk::Data { offset, bytes } = chunk else { return Ok(()) };
        self.blob.put(offset, bytes)?;
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.log.append(Record::Put { offset, len: bytes.len() as u32 }, false)
    }

    fn done(&self, range: Range<u64>, sum: ContentSum) -> Result<()> {
        let Ok(len) = u32::try_from(range.end - range.start) else { return Ok(()) };
        self.log.append(Record::Range { offset: range.start, len, sum }, false)
    }

    fn already_done(&self) -> Result<Done> {
        Ok(self.done.clone())
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        let (read_back, pieces) = self.prove()?;
        self.blob.put(self.size, &self.footer)?;
        let mut last = [0; FOOTER as usize];
        self.blob.read(self.size, &mut last, None)?;
        let found = self.blob.properties()?.filter(|_| last == self.footer);
        let lost = || Error::new(ErrorKind::Changed, LAYER, "the footer is not what was sent").at(self.size);
        let found = found.ok_or_else(lost)?;
        let (key, size) = (self.key, self.size);
        let content_record = content.map(|sum| Record::Content { size, sum });
        let source = Record::Source { key, size, piece: PIECE };
        let end = Record::End { size: found.size, stamp: stamp(&found.etag) };
        self.log.replace(&mut std::iter::once(source).chain(content_record).chain([end]), true)?;
        let tally = self.blob.tally();
        let sent = Sent { puts: tally.puts, bytes: tally.bytes_put, read_back, pieces };
        let written = self.written.into_inner();
        Ok(Receipt { size, written, shared: 0, content, sent: Some(sent) })
    }
}

const _: () = assert!(PIECE as usize <= MAX_PUT);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> PageBlobDestination {
        PageBlobDestination {
            url: url.parse().unwrap(),
            options: Options::default(),
            existing: Existing::Refuse,
            read_back: ReadBack::Sample,
            state: "/nowhere".into(),
            known_as: None,
        }
    }

    #[test]
    fn companions_and_records_have_names_of_their_own() {
        let first = at("https://a.blob.core.windows.net/c/os.vhd");
        assert_eq!(first.name(), "azure:https://a.blob.core.windows.net/c/os.vhd");
        assert_eq!(first.companion(2).name(), "azure:https://a.blob.core.windows.net/c/os-data2.vhd");
        let other = at("https://b.blob.core.windows.net/c/os.vhd");
        assert_ne!(first.log_path(), other.log_path());
        assert!(first.log_path().to_str().unwrap().starts_with("/nowhere/os.vhd-"));
    }

    #[test]
    fn a_sample_has_as_many_as_were_asked_for() {
        for count in [0, 1, 63, 64, 65, 1000, 1 << 20] {
            assert_eq!(sample(count, 64, &[7; 16]).count(), count.min(64));
        }
    }

    #[test]
    fn what_differs_is_found_on_both_sides() {
        let put = merged(vec![8..12, 0..4, 4..6]);
        assert_eq!(put, [0..6, 8..12]);
        assert_eq!(outside(&put, &[0..6, 8..12]), []);
        assert_eq!(outside(&put, &[2..3, 5..9]), [0..2, 3..5, 9..12]);
        assert_eq!(outside(&[2..3, 5..9, 20..21], &put), [6..8, 20..21]);
        assert_eq!(outside(&put, &[]), put);
    }
}
