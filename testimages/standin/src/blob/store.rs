//! What a page blob holds: the pages that were put, and nothing where none was.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// What is kept together, in bytes.
const CHUNK: u64 = 64 << 10;
/// The size of a page.
pub(super) const PAGE: u64 = 512;

/// A page blob.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) size: u64,
    /// It changes with every change.
    pub(super) version: u64,
    /// It belongs to a managed disk, and is made by that alone.
    pub(super) is_of_disk: bool,
    chunks: HashMap<u64, Vec<u8>>,
    /// Start and end of what was put; none touches another.
    ranges: BTreeMap<u64, u64>,
}

impl Pages {
    pub(super) fn new(size: u64, version: u64) -> Self {
        Self { size, version, ..Self::default() }
    }

    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) {
        self.version += 1;
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let skip = (at % CHUNK) as usize;
            let (part, after) = rest.split_at(rest.len().min(CHUNK as usize - skip));
            let chunk = self.chunks.entry(at / CHUNK).or_insert_with(|| vec![0; CHUNK as usize]);
            chunk[skip..skip + part.len()].copy_from_slice(part);
            at += part.len() as u64;
            rest = after;
        }
        let (mut start, mut end) = (offset, at);
        if let Some((&before, &until)) = self.ranges.range(..=start).next_back()
            && until >= start
        {
            start = before;
            end = end.max(until);
        }
        while let Some((&next, &until)) = self.ranges.range(start..=end).next() {
            end = end.max(until);
            self.ranges.remove(&next);
        }
        self.ranges.insert(start, end);
    }

    /// Puts what is not zero of all that it holds, by pages.
    pub(super) fn put_data(&mut self, bytes: &[u8]) {
        for (at, chunk) in (0..).step_by(CHUNK as usize).zip(bytes.chunks(CHUNK as usize)) {
            if chunk.iter().any(|byte| *byte != 0) {
                self.put(at, chunk);
            }
        }
    }

    pub(super) fn clear(&mut self, range: Range<u64>) {
        self.version += 1;
        let whole = self.list(0..self.size);
        self.ranges.clear();
        for held in whole {
            for left in [held.start..held.end.min(range.start), held.start.max(range.end)..held.end] {
                if left.start < left.end {
                    self.ranges.insert(left.start, left.end);
                }
            }
        }
        let ranges = &self.ranges;
        self.chunks.retain(|number, chunk| {
            let start = number * CHUNK;
            for (at, page) in (start..).step_by(PAGE as usize).zip(chunk.chunks_mut(PAGE as usize)) {
                if range.contains(&at) {
                    page.fill(0);
                }
            }
            ranges.range(..start + CHUNK).next_back().is_some_and(|(_, end)| *end > start)
        });
    }

    pub(super) fn read(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let mut at = range.start;
        while at < range.end {
            let skip = (at % CHUNK) as usize;
            let len = (CHUNK as usize - skip).min((range.end - at) as usize);
            match self.chunks.get(&(at / CHUNK)) {
                Some(chunk) => bytes.extend_from_slice(&chunk[skip..skip + len]),
                None => bytes.resize(bytes.len() + len, 0),
            }
            at += len as u64;
        }
        bytes
    }

    /// What was put in `within`.
    pub(super) fn list(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let held = self.ranges.iter().map(|(start, end)| *start.max(&within.start)..*end.min(&within.end));
        held.filter(|range| range.start < range.end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_and_what_was_cleared_is_not() {
        let mut pages = Pages::new(1 << 20, 0);
        pages.put(512, &[1; 1024]);
        pages.put(4096, &[2; 512]);
        pages.put(1536, &[3; 512]);
        assert_eq!(pages.list(0..1 << 20), [512..2048, 4096..4608]);
        assert_eq!(pages.list(1024..4352), [1024..2048, 4096..4352]);
        pages.put((64 << 10) - 512, &[4; 1024]);
        assert_eq!(
            pages.read((64 << 10) - 1024..(64 << 10) + 1024),
            [vec![0; 512], vec![4; 1024], vec![0; 512]].concat()
        );
        pages.clear(1024..4096);
        assert_eq!(pages.list(0..5000), [512..1024, 4096..4608]);
        assert_eq!(pages.read(512..2048), [vec![1; 512], vec![0; 1024]].concat());
        pages.clear(0..1 << 20);
        assert!(pages.list(0..1 << 20).is_empty() && pages.chunks.is_empty());
    }
}
