//! Ranges of bytes, many at once.

use std::ops::Range;

/// Ranges in their order, none touching another.
pub fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
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
pub fn outside(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
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

/// Those of `ranges` that are in `others`, both ascending.
pub fn inside(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    outside(ranges, &outside(ranges, others))
}

/// `ranges` in any order, as whole units of `unit` bytes of a disk of `size` bytes.
pub fn whole(ranges: impl Iterator<Item = Range<u64>>, unit: u64, size: u64) -> Vec<Range<u64>> {
    let whole =
        ranges.map(|range| range.start - range.start % unit..range.end.next_multiple_of(unit).min(size));
    merged(whole.filter(|range| range.start < range.end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_found_on_both_sides() {
        let put = merged(vec![8..12, 0..4, 4..6]);
        assert_eq!(put, [0..6, 8..12]);
        assert_eq!(outside(&put, &[0..6, 8..12]), []);
        assert_eq!(outside(&put, &[2..3, 5..9]), [0..2, 3..5, 9..12]);
        assert_eq!(outside(&[2..3, 5..9, 20..21], &put), [6..8, 20..21]);
        assert_eq!(outside(&put, &[]), put);
        assert_eq!(inside(&[2..3, 5..9, 20..21], &put), [2..3, 5..6, 8..9]);
        assert_eq!(whole([9..10, 3..4, 0..0, 13..14].into_iter(), 4, 15), [0..4, 8..15]);
    }
}
