//! A digest of content that many threads take together.

use std::fmt;

use twox_hash::XxHash3_128;

use crate::is_zero;
use crate::zero::GRANULE;

/// The sum of the digests of all aligned blocks of 4 KiB that are not zero.
///
/// Sums are added in any order and for any pieces of a device, so threads need not wait for each other and an
/// interrupted copy goes on with what it had; zeros cost nothing. Each block's digest is XXH3-128 with its
/// number as the seed; a last, short block counts as if zeros followed. It finds out whether content is what
/// was written. It does not withstand an attacker, who could write the record of it as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ContentSum(u128);

impl ContentSum {
    /// The sum over `bytes`, which lie at `offset` of a device: a multiple of 4 KiB. All but the last piece
    /// of a device are of whole blocks.
    pub fn of(bytes: &[u8], offset: u64) -> Self {
        let first = offset / GRANULE as u64;
        let mut sum = Self::default();
        for (block, number) in bytes.chunks(GRANULE).zip(first..).filter(|(block, _)| !is_zero(block)) {
            let digest = if block.len() == GRANULE {
                XxHash3_128::oneshot_with_seed(number, block)
            } else {
                let mut padded = [0; GRANULE];
                padded[..block.len()].copy_from_slice(block);
                XxHash3_128::oneshot_with_seed(number, &padded)
            };
            sum = sum.and(Self(digest));
        }
        sum
    }

    /// The sum of this and of other content of the same device.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The sum as it is stored, little-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// A sum that was stored.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}

impl fmt::Display for ContentSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_make_the_whole() {
        let mut bytes = vec![0; 100 * GRANULE + 77];
        fastrand::Rng::with_seed(1).fill(&mut bytes[3 * GRANULE..50 * GRANULE]);
        bytes[100 * GRANULE + 70] = 1;
        let whole = ContentSum::of(&bytes, 0);
        let cuts = [0, 3, 4, 60, 99, 100].map(|block| block * GRANULE);
        let mut ends = cuts[1..].to_vec();
        ends.push(bytes.len());
        let pieces = cuts.iter().rev().zip(ends.iter().rev());
        let parts = pieces.map(|(start, end)| ContentSum::of(&bytes[*start..*end], *start as u64));
        assert_eq!(parts.fold(ContentSum::default(), ContentSum::and), whole);
        // Zeros that follow, and those of whole blocks, change nothing.
        bytes.resize(200 * GRANULE, 0);
        assert_eq!(ContentSum::of(&bytes, 0), whole);
        assert_eq!(ContentSum::from_bytes(whole.to_bytes()), whole);
        assert_eq!(ContentSum::of(&[0; 9000], 0), ContentSum::default());
    }

    #[test]
    fn content_and_place_count() {
        let mut bytes = vec![0; 4 * GRANULE];
        bytes[..GRANULE].fill(1);
        bytes[GRANULE..2 * GRANULE].fill(2);
        let whole = ContentSum::of(&bytes, 0);
        assert_ne!(ContentSum::of(&bytes, GRANULE as u64), whole, "moved by a block");
        let (first, second) = bytes.split_at_mut(GRANULE);
        first.swap_with_slice(&mut second[..GRANULE]);
        assert_ne!(ContentSum::of(&bytes, 0), whole, "two blocks changed places");
        bytes[5] ^= 1;
        assert_ne!(ContentSum::of(&bytes, 0), whole);
    }
}
