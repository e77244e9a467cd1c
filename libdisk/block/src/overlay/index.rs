//! Which runs of a device were written, and what they hold.

use std::collections::BTreeMap;
use std::ops::Range;

/// What a written run holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Bytes, in the delta file at the same offset.
    Bytes,
    /// Zeros, kept nowhere.
    Zeros,
}

/// The written runs: disjoint, neighbours of equal content merged.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Start of a run to its end and content.
    runs: BTreeMap<u64, (u64, Content)>,
}

impl Index {
    /// The end (cut at `range.end`) and the content of the run at `range.start`; `None` where nothing was
    /// written.
    pub(super) fn at(&self, range: Range<u64>) -> (u64, Option<Content>) {
        if let Some((_, &(end, content))) = self.runs.range(..=range.start).next_back()
            && end > range.start
        {
            return (end.min(range.end), Some(content));
        }
        let next = self.runs.range(range.clone()).next().map_or(range.end, |(&start, _)| start);
        (next, None)
    }

    /// Records that `range` now holds `content`, whatever it held before.
    pub(super) fn set(&mut self, range: Range<u64>, content: Content) {
        let first = self.runs.range(..range.start).next_back().map_or(range.start, |(&start, _)| start);
        let near: Vec<_> =
            self.runs.range(first..=range.end).map(|(&start, &(end, kind))| (start..end, kind)).collect();
        let mut new = range.clone();
        for (old, kind) in near {
            if old.end < range.start {
                continue;
            }
            self.runs.remove(&old.start);
            if kind == content {
                new = new.start.min(old.start)..new.end.max(old.end);
                continue;
            }
            for rest in [old.start..range.start.min(old.end), range.end.max(old.start)..old.end] {
                if !rest.is_empty() {
                    self.runs.insert(rest.start, (rest.end, kind));
                }
            }
        }
        self.runs.insert(new.start, (new.end, content));
    }

    /// The written runs, ascending, merged whatever they hold.
    pub(super) fn written(&self) -> Vec<Range<u64>> {
        let mut merged: Vec<Range<u64>> = Vec::new();
        for (&start, &(end, _)) in &self.runs {
            match merged.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => merged.push(start..end),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(index: &Index) -> Vec<(u64, u64, Content)> {
        index.runs.iter().map(|(&start, &(end, content))| (start, end, content)).collect()
    }

    #[test]
    fn a_write_splits_merges_and_swallows() {
        use Content::{Bytes, Zeros};
        let mut index = Index::default();
        index.set(10..20, Zeros);
        index.set(12..14, Bytes);
        assert_eq!(runs(&index), [(10, 12, Zeros), (12, 14, Bytes), (14, 20, Zeros)]);
        index.set(14..16, Bytes);
        assert_eq!(runs(&index), [(10, 12, Zeros), (12, 16, Bytes), (16, 20, Zeros)]);
        index.set(30..40, Bytes);
        assert_eq!(index.written(), [10..20, 30..40]);
        index.set(11..35, Zeros);
        assert_eq!(runs(&index), [(10, 35, Zeros), (35, 40, Bytes)]);
        index.set(10..40, Bytes);
        assert_eq!(runs(&index), [(10, 40, Bytes)]);
    }

    #[test]
    fn a_lookup_ends_where_the_content_changes() {
        let mut index = Index::default();
        index.set(10..20, Content::Zeros);
        assert_eq!(index.at(0..100), (10, None));
        assert_eq!(index.at(0..5), (5, None));
        assert_eq!(index.at(15..100), (20, Some(Content::Zeros)));
        assert_eq!(index.at(15..16), (16, Some(Content::Zeros)));
        assert_eq!(index.at(20..100), (100, None));
    }
}
