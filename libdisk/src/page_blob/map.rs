//! What each page of a blob holds, as far as it was put from this machine.
//!
//! A file of 16 bytes for each 4 KiB of the disk: the digest of the page, as [`ContentSum`] has it, and zero
//! for a page of zeros. So the digests add up to the sum of the content, which shows whether the file is what
//! the log beside it speaks of. It is as sparse as the disk: 4 MiB for a GiB that holds something.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use block::{ContentSum, Error, ExtentKind, FileDisk, Result, open_sidecar};

use super::LAYER;

/// What has one digest, in bytes: what file systems change at once, and what [`ContentSum`] adds up.
pub(super) const PAGE: u64 = 4096;
const ENTRY: u64 = 16;
/// Digests that are read at once.
const BATCH: u64 = 4096;
/// What no content has: nobody knows what is in the page.
const UNKNOWN: [u8; 16] = [0xff; 16];

#[derive(Debug)]
pub(super) struct PageMap {
    file: File,
    path: PathBuf,
}

impl PageMap {
    /// The map at `path` of a disk of `size` bytes, or an empty one.
    pub(super) fn open(path: &Path, size: u64) -> Result<Self> {
        let map = Self { file: open_sidecar(path, 0o600)?, path: path.to_owned() };
        let len = size.div_ceil(PAGE).saturating_mul(ENTRY);
        map.file.set_len(len).map_err(|cause| map.failed(cause))?;
        Ok(map)
    }

    fn failed(&self, cause: std::io::Error) -> Error {
        Error::io(LAYER, "cannot use the record of the pages", cause).in_file(&self.path)
    }

    /// Forgets all: every page is zero.
    pub(super) fn clear(&self) -> Result<()> {
        let len = self.file.metadata().map_err(|cause| self.failed(cause))?.len();
        let emptied = self.file.set_len(0).and_then(|()| self.file.set_len(len));
        emptied.map_err(|cause| self.failed(cause))
    }

    /// Makes what was recorded durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|cause| self.failed(cause))
    }

    /// The digests of the pages of `range`.
    fn digests(&self, range: &Range<u64>) -> Result<Vec<ContentSum>> {
        let (first, end) = (range.start / PAGE, range.end.div_ceil(PAGE));
        let mut bytes = vec![0; ((end - first) * ENTRY) as usize];
        self.file.read_exact_at(&mut bytes, first * ENTRY).map_err(|cause| self.failed(cause))?;
        let (entries, _) = bytes.as_chunks();
        Ok(entries.iter().copied().map(ContentSum::from_bytes).collect())
    }

    /// Records `bytes`, which are at `offset` now.
    pub(super) fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let entries: Vec<u8> = digests_of(offset, bytes).flat_map(ContentSum::to_bytes).collect();
        self.write(offset, &entries)
    }

    /// Records that there are zeros in `range`.
    pub(super) fn zero(&self, range: &Range<u64>) -> Result<()> {
        self.fill(range, [0; 16])
    }

    /// Records that nobody knows what is in `range`.
    pub(super) fn forget(&self, range: &Range<u64>) -> Result<()> {
        self.fill(range, UNKNOWN)
    }

    fn fill(&self, range: &Range<u64>, entry: [u8; 16]) -> Result<()> {
        batches(range).try_for_each(|batch| {
            let count = batch.end.div_ceil(PAGE) - batch.start / PAGE;
            self.write(batch.start, &entry.repeat(count as usize))
        })
    }

    fn write(&self, offset: u64, entries: &[u8]) -> Result<()> {
        let written = self.file.write_all_at(entries, offset / PAGE * ENTRY);
        written.map_err(|cause| self.failed(cause))
    }

    /// The runs of `bytes`, which are to be at `offset`, that are not known to be there.
    pub(super) fn other(&self, offset: u64, bytes: &[u8]) -> Result<Vec<Range<usize>>> {
        let known = self.digests(&(offset..offset + bytes.len() as u64))?;
        let differs = digests_of(offset, bytes).zip(known).map(|(new, old)| new != old);
        let page = PAGE as usize;
        Ok(runs(differs).map(|run| run.start * page..(run.end * page).min(bytes.len())).collect())
    }

    /// The runs of `range` that are not known to be zero.
    pub(super) fn not_zero(&self, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
        let mut found = Vec::new();
        self.each_data(range, |start, digests| {
            let held = digests.iter().map(|digest| *digest != ContentSum::default());
            for run in runs(held) {
                let end = (start + run.end as u64 * PAGE).min(range.end);
                found.push(start + run.start as u64 * PAGE..end);
            }
        })?;
        Ok(block::ranges::merged(found))
    }

    /// The sum of what is in `range`.
    pub(super) fn sum(&self, range: &Range<u64>) -> Result<ContentSum> {
        let mut sum = ContentSum::default();
        self.each_data(range, |_, digests| sum = digests.iter().copied().fold(sum, ContentSum::and))?;
        Ok(sum)
    }

    /// Calls `each` with the digests of `range`, a batch at a time and where it begins, past the holes of the
    /// file.
    fn each_data(&self, range: &Range<u64>, mut each: impl FnMut(u64, &[ContentSum])) -> Result<()> {
        if range.end - range.start <= BATCH * PAGE {
            each(range.start, &self.digests(range)?);
            return Ok(());
        }
        let file = FileDisk::open(&self.path)?.disk();
        let entries = range.start / PAGE * ENTRY..range.end.div_ceil(PAGE) * ENTRY;
        for extent in file.extents(entries) {
            let (entries, kind) = extent?;
            if kind == ExtentKind::Zero {
                continue;
            }
            // Holes are of blocks, which hold whole entries.
            let (first, end) = (entries.start / ENTRY * PAGE, entries.end.div_ceil(ENTRY) * PAGE);
            for batch in batches(&(first..end)) {
                each(batch.start, &self.digests(&batch)?);
            }
        }
        Ok(())
    }

    /// Whether `bytes`, which were read at `offset`, are what was put there.
    pub(super) fn holds(&self, offset: u64, bytes: &[u8]) -> Result<bool> {
        Ok(self.other(offset, bytes)?.is_empty())
    }
}

/// The digests of the pages of `bytes`, which begin at `offset`.
fn digests_of(offset: u64, bytes: &[u8]) -> impl Iterator<Item = ContentSum> {
    bytes
        .chunks(PAGE as usize)
        .zip((offset..).step_by(PAGE as usize))
        .map(|(page, at)| ContentSum::of(page, at))
}

fn batches(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.clone().step_by((BATCH * PAGE) as usize).map(move |start| start..(start + BATCH * PAGE).min(end))
}

/// The runs of the places that are true.
fn runs(places: impl Iterator<Item = bool>) -> impl Iterator<Item = Range<usize>> {
    let mut places = places.enumerate().peekable();
    std::iter::from_fn(move || {
        let (start, _) = places.find(|(_, is)| *is)?;
        let mut end = start + 1;
        while places.next_if(|(_, is)| *is).is_some() {
            end += 1;
        }
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_what_is_in_each_page_and_what_that_adds_up_to() {
        let folder = tempfile::tempdir().unwrap();
        fn one<T>(range: Range<T>) -> Vec<Range<T>> {
            std::iter::once(range).collect()
        }
        let (size, path) = (64 << 20, folder.path().join("x.pages"));
        let mut bytes = vec![0; 8 * 4096];
        bytes[2 * 4096..6 * 4096].iter_mut().zip(0u32..).for_each(|(byte, at)| *byte = (at / 7 + 1) as u8);
        let at = 33 << 20;
        {
            let map = PageMap::open(&path, size).unwrap();
            assert_eq!(map.other(at, &bytes).unwrap(), one(2 * 4096..6 * 4096));
            map.put(at, &bytes).unwrap();
        }
        let map = PageMap::open(&path, size).unwrap();
        assert!(map.holds(at, &bytes).unwrap() && !map.holds(at + PAGE, &bytes).unwrap());
        assert_eq!(map.sum(&(0..size)).unwrap(), ContentSum::of(&bytes, at));
        let rest = map.sum(&(at + 4 * PAGE..size)).unwrap();
        assert_eq!(rest, ContentSum::of(&bytes[4 * 4096..], at + 4 * PAGE));
        assert_eq!(map.not_zero(&(0..size)).unwrap(), one(at + 2 * PAGE..at + 6 * PAGE));
        bytes[3 * 4096 + 7] ^= 1;
        assert_eq!(map.other(at, &bytes).unwrap(), one(3 * 4096..4 * 4096));
        map.zero(&(at + 2 * PAGE..at + 3 * PAGE)).unwrap();
        map.forget(&(at..at + PAGE)).unwrap();
        // What nobody knows is zero no more than anything else.
        assert_eq!(map.other(at, &bytes).unwrap(), [0..4096, 2 * 4096..4 * 4096]);
        assert_eq!(map.not_zero(&(0..size)).unwrap(), [at..at + PAGE, at + 3 * PAGE..at + 6 * PAGE]);
        map.clear().unwrap();
        assert_eq!(map.sum(&(0..size)).unwrap(), ContentSum::default());
    }
}
