//! Ranges of bytes and pieces of buffers, without a way to panic.

use std::ops::Range;

pub(crate) use vfs::bytes::{index, wide};

/// `n` rounded down to a multiple of `unit`, a power of two.
pub(crate) fn floor(n: u64, unit: u32) -> u64 {
    n & !u64::from(unit).saturating_sub(1)
}

/// `n` rounded up to a multiple of `unit`, a power of two.
pub(crate) fn ceil(n: u64, unit: u32) -> u64 {
    floor(n.saturating_add(u64::from(unit).saturating_sub(1)), unit)
}

/// What two ranges share; `None` if that is nothing.
pub(crate) fn overlap(a: &Range<u64>, b: &Range<u64>) -> Option<Range<u64>> {
    let both = a.start.max(b.start)..a.end.min(b.end);
    (!both.is_empty()).then_some(both)
}

/// The part of `buf`, which begins at `start` of something larger, that holds `range` of it.
pub(crate) fn window<'a>(buf: &'a mut [u8], start: u64, range: &Range<u64>) -> &'a mut [u8] {
    let at = |place: u64| index(place.saturating_sub(start));
    buf.get_mut(at(range.start)..at(range.end)).unwrap_or_default()
}
