//! A set of numbers, one bit each: 16 MiB for the blocks of the largest volume.

use std::ops::Range;

/// Which of the first `len` numbers are in a set.
#[derive(Debug, Clone)]
pub struct Bitmap {
    words: Vec<u64>,
    len: u64,
}

impl Bitmap {
    /// The empty set.
    pub fn new(len: u64) -> Self {
        Self { words: vec![0; usize::try_from(len.div_ceil(64)).unwrap_or(usize::MAX)], len }
    }

    fn word(&mut self, at: u64) -> Option<&mut u64> {
        self.words.get_mut(usize::try_from(at / 64).ok()?)
    }

    /// Puts `at` in or takes it out. What is past the end is neither.
    pub fn set(&mut self, at: u64, value: bool) {
        let bit = 1 << (at % 64);
        match self.word(at) {
            Some(word) if value => *word |= bit,
            Some(word) => *word &= !bit,
            None => {}
        }
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Whether `at` is in the set.
    pub fn contains(&self, at: u64) -> bool {
        let word = usize::try_from(at / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    /// How many are in the set.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).fold(0, u64::saturating_add)
    }

    /// The first number from `at` on that is in the set, or is not.
    fn next(&self, at: u64, value: bool) -> Option<u64> {
        let skip = if value { 0 } else { u64::MAX };
        let mut at = at;
        while at < self.len {
            let word = usize::try_from(at / 64).ok().and_then(|word| self.words.get(word))?;
            if at.is_multiple_of(64) && *word == skip {
                at = at.saturating_add(64);
            } else if self.contains(at) == value {
                return Some(at);
            } else {
                at = at.saturating_add(1);
            }
        }
        None
    }

    /// The same numbers, each larger by `by`.
    #[must_use]
    pub fn shifted(&self, by: u64) -> Self {
        let mut shifted = Self::new(self.len.saturating_add(by));
        self.runs().flatten().for_each(|at| shifted.set(at.saturating_add(by), true));
        shifted
    }

    /// The runs of the set, ascending.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = self.next(at, true)?;
            let end = self.next(start, false).unwrap_or(self.len);
            at = end;
            Some(start..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_merged() {
        let mut bits = Bitmap::new(1000);
        for at in [0, 1, 63, 64, 65, 999, 1500].into_iter().chain(200..500) {
            bits.set(at, true);
        }
        bits.set(300, false);
        let runs: Vec<_> = bits.runs().collect();
        assert_eq!(runs, [0..2, 63..66, 200..300, 301..500, 999..1000]);
        assert_eq!(bits.count(), 305);
        let shifted: Vec<_> = bits.shifted(2).runs().collect();
        assert_eq!(shifted, [2..4, 65..68, 202..302, 303..502, 1001..1002]);
        assert!(bits.contains(64) && !bits.contains(66) && !bits.contains(1500));
        bits.clear();
        assert_eq!(bits.runs().count(), 0);
        (0..1000).for_each(|at| bits.set(at, true));
        assert!(bits.runs().eq(std::iter::once(0..1000)));
        assert_eq!(Bitmap::new(0).runs().count(), 0);
    }
}
