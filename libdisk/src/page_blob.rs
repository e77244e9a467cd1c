//! A page blob in Azure as a place that takes a disk.

mod delta;
#[cfg(test)]
mod fragments;
mod map;
mod sink;

use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use block::{
    Bitmap, ContentSum, Disk, Done, Error, ErrorKind, Event, Observer, Receipt, Result, check_sidecar,
};
use cloud::azure::{Blob, BlobUrl, Kind, Options, PageBlob, Properties};
use image::Existing;
use image::transfer::{FileLog, Key, Record, ResumeKey, Run, TransferLog};
use image::vhd::{self, Footer, Identity};
use sha2::{Digest, Sha256};
use volume::Fitted;

use crate::{Base, Begin, Destination, DiskSpec, FileFormat, Older, Taken, Upload};
use delta::Edits;
use map::PageMap;
use sink::{Commit, PageSink};

const LAYER: &str = "azure";
/// What is recorded starts at multiples of this and is as many of them as were put at once, in bytes. The smaller, the
/// nearer to the data a put may begin, and the fewer there are; a block of a snapshot that is read for two of them is
/// fetched once, and kept in memory for the other.
const PIECE: u32 = 64 << 10;
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
        if path.exists() {
            FileLog::open(&path, 0o600)?.clear()?;
        }
        remove_pages(&path)
    }

    /// The sum of the content that was written to what is known by that name, if that was recorded.
    ///
    /// # Errors
    /// `Io`.
    pub fn content_of(known_as: &str, state: &Path) -> Result<Option<ContentSum>> {
        let path = log_path(state, known_as);
        if path.exists() { Ok(Run::of(FileLog::open(&path, 0o600)?.records()?).content) } else { Ok(None) }
    }

    /// Whether an earlier run has begun to send something to what is known by that name.
    pub(crate) fn has_begun_as(known_as: &str, state: &Path) -> bool {
        let path = log_path(state, known_as);
        let last = || Ok::<_, Error>(Run::of(FileLog::open(&path, 0o600)?.records()?));
        path.exists() && last().is_ok_and(|last| last.source.is_some())
    }

    /// The sum of the content that was written to it, if that was recorded.
    pub(crate) fn content(&self) -> Result<Option<ContentSum>> {
        Self::content_of(self.recorded_as(), &self.state)
    }

    /// Where another disk of the same machine goes.
    pub(crate) fn beside(&self, number: u32) -> Self {
        let name = self.url.name();
        let (stem, extension) = name
            .rsplit_once('.')
            .map_or((name, String::new()), |(stem, extension)| (stem, format!(".{extension}")));
        let url = self.url.beside(&format!("{stem}-data{number}{extension}"));
        Self { url, ..self.clone() }
    }

    /// Deletes the blob; its record stays.
    pub(crate) fn delete(&self) -> Result<()> {
        Ok(self.blob()?.delete()?)
    }

    /// What its record is kept under.
    fn recorded_as(&self) -> &str {
        self.known_as.as_deref().unwrap_or(self.url.as_str())
    }

    /// What a log calls something that is put there.
    fn key_of(&self, key: ResumeKey) -> Key {
        key.with("blob", self.name()).digest()
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
                    let end = offset.saturating_add(u64::from(len));
                    let is_edge = |at: u64| at.is_multiple_of(u64::from(PIECE)) || at == size;
                    let fits = is_edge(offset) && is_edge(end) && end <= size;
                    let of_it = pieces_of(&(offset..end));
                    // What was put twice counts once.
                    if fits && !of_it.clone().any(|piece| broken.contains(piece) || done.contains(piece)) {
                        of_it.for_each(|piece| done.set(piece, true));
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

/// The record of what is in each page, which goes with the one at `log`.
fn pages_path(log: &Path) -> PathBuf {
    log.with_extension("pages")
}

/// Forgets what is in each page.
fn remove_pages(log: &Path) -> Result<()> {
    let path = pages_path(log);
    if !check_sidecar(&path)? {
        return Ok(());
    }
    let failed = |cause| Error::io(LAYER, "cannot remove the record of the pages", cause).in_file(&path);
    std::fs::remove_file(&path).map_err(failed)
}

/// The numbers of the pieces that a range touches.
fn pieces_of(range: &Range<u64>) -> Range<u64> {
    range.start / u64::from(PIECE)..range.end.div_ceil(u64::from(PIECE))
}

/// Whether the last page of a blob of `total` bytes holds anything.
fn has_footer(blob: &Blob, total: u64) -> Result<bool> {
    Ok(!blob.ranges(total.saturating_sub(FOOTER)..total, None)?.is_empty())
}

/// What a record says of a blob that is whole: it changes with it.
fn stamp(etag: &str) -> [u8; 16] {
    Sha256::digest(etag).first_chunk().copied().unwrap_or_default()
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

    fn follows(&self) -> bool {
        true
    }

    fn fit(&self, disk: Disk) -> Result<Fitted> {
        volume::fitted(disk, |size| {
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

    fn can_follow(&self, older: &Older, newer: &Base) -> Result<()> {
        let (path, blob) = (self.log_path(), self.blob()?);
        let last = if path.exists() { Run::of(self.open_log()?.records()?) } else { Run::default() };
        self.held(&blob, &last, blob.properties()?.as_ref(), (older, newer)).map(drop)
    }

    fn begin(&self, disk: DiskSpec, observer: &dyn Observer) -> Result<Begin> {
        let size = disk.size;
        let total = size.checked_add(FOOTER).ok_or_else(|| Error::unsupported(LAYER, "so large a disk"))?;
        let (log, blob) = (self.open_log()?, self.blob()?);
        let (last, found) = (Run::of(log.records()?), blob.properties()?);
        let key = disk.key.map(|key| self.key_of(key));
        let commit = Commit {
            key: key.unwrap_or_default(),
            size,
            footer: Footer::fixed(size, Identity::derive(&disk.identity)).to_bytes(),
            base: disk.base.as_ref().map(|base| (self.key_of(base.key.clone()), base.edits.clone())),
        };
        let same = key.is_some_and(|key| last.source == Some((key, size)));
        let fits = found.as_ref().is_some_and(|found| found.kind == Kind::Page && found.size == total);
        let unchanged = found.as_ref().is_some_and(|found| last.ended == Some(stamp(&found.etag)));
        if same && fits && unchanged {
            return Ok(Begin::Complete(Receipt { size, content: last.content, ..Receipt::default() }));
        }
        if let Some(older) = &disk.since {
            let none = || Error::unsupported(LAYER, "what has changed of a disk that is no snapshot");
            let newer = disk.base.as_ref().ok_or_else(none)?;
            let held = self.held(&blob, &last, found.as_ref(), (older, newer))?;
            let piece = u64::from(disk.piece);
            let changes = older.changes.runs().map(|run| run.start * piece..run.end * piece).collect();
            let edits = Edits { blob, log, last, commit, held, changes };
            return self.edit(edits, (older, newer), observer);
        }
        let map = || PageMap::open(&pages_path(&self.log_path()), size);
        let map = disk.base.is_some().then(map).transpose()?;
        let done = if same && fits && last.is_unfinished() {
            self.look(&blob, &log, (commit.key, size), observer)?
        } else {
            // A disk that is whole is not what an unfinished run left: it has a footer.
            let is_left = |found: &Properties| {
                Ok::<_, Error>(found.kind == Kind::Page && !has_footer(&blob, found.size)?)
            };
            let ours = last.is_unfinished() && found.as_ref().map_or(Ok(true), is_left)?;
            if !ours {
                self.may_write(&blob, found.as_ref())?;
            }
            self.empty(&blob, found.as_ref(), total)?;
            log.clear()?;
            match &map {
                Some(map) => map.clear()?,
                None => remove_pages(&self.log_path())?,
            }
            Done::default()
        };
        log.append(Record::Source { key: commit.key, size, piece: PIECE }, true)?;
        let (read_back, written) = (self.read_back, AtomicU64::new(0));
        let sink = PageSink { blob, log, map, commit, done, read_back, written };
        Ok(Begin::Go { sink: Box::new(sink), resumes: key.is_some() })
    }

    fn discard(&self) -> Result<()> {
        // The blob itself is the user's, who may have made it as a disk that waits for its upload.
        self.open_log()?.clear()?;
        remove_pages(&self.log_path())
    }

    fn companion(&self, number: u32) -> Box<dyn Destination> {
        Box::new(self.beside(number))
    }

    fn verify(&self) -> Result<Upload> {
        let disk = PageBlob::open(&self.url, &self.options)?.disk();
        Ok(Upload { form: Some(vhd::check_bytes(&disk)?), content: self.content()? })
    }
}

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
}
