//! What the records of a log add up to.

use std::ops::Range;

use block::ContentSum;

use super::{Key, Record};

/// What a log tells of one transfer.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Its key, and the size of the disk.
    pub source: Option<(Key, u64)>,
    /// The key of what the target is but for the edits. An unfinished transfer that has one turns it into
    /// another.
    pub base: Option<Key>,
    /// Where it may be other than that, in bytes.
    pub edits: Vec<Range<u64>>,
    /// How the target looked before the first of these edits was made.
    pub before: Option<[u8; 16]>,
    /// How it looked when all was there.
    pub ended: Option<[u8; 16]>,
    /// The sum of its content then.
    pub content: Option<ContentSum>,
}

impl Run {
    /// The last transfer of these records.
    pub fn of(records: impl Iterator<Item = Record>) -> Self {
        records.fold(Self::default(), |mut last, record| {
            last.add(record);
            last
        })
    }

    /// The last transfer of these records, and the last one before it that had ended. One that was not finished leaves
    /// there what it has not written over.
    pub(super) fn and_before(records: impl Iterator<Item = Record>) -> (Self, Option<Self>) {
        records.fold((Self::default(), None), |(mut last, mut before), record| {
            if matches!(record, Record::Source { .. }) && last.ended.is_some() {
                before = Some(last.clone());
            }
            last.add(record);
            (last, before)
        })
    }

    /// Goes on to the next record.
    fn add(&mut self, record: Record) {
        match record {
            Record::Source { key, size, .. } => *self = Self { source: Some((key, size)), ..Self::default() },
            Record::Base { key } => self.base = Some(key),
            Record::Edit { offset, len } => self.edits.push(offset..offset.saturating_add(len.into())),
            Record::Before { stamp } => self.before = Some(stamp),
            Record::End { stamp, .. } => self.ended = Some(stamp),
            Record::Content { sum, .. } => self.content = Some(sum),
            Record::Range { .. } | Record::Put { .. } => {}
        }
    }

    /// Whether it was begun and not ended: what is there is refloat's.
    pub fn is_unfinished(&self) -> bool {
        self.source.is_some() && self.ended.is_none()
    }

    /// Whether it is another one than that of `key`.
    pub(super) fn is_not(&self, key: Key) -> bool {
        self.source.is_none_or(|(of, _)| of != key)
    }

    /// Whether it is based on `key`. What was edited nowhere is its own base.
    pub(super) fn is_of(&self, key: Option<Key>) -> bool {
        key.is_some() && self.base.or(self.source.map(|(key, _)| key)) == key
    }
}
