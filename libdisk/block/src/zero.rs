//! Finding zeros in data.

use std::ops::Range;

/// The granularity at which zeros are looked for, in bytes: the block of most file systems.
pub(crate) const GRANULE: usize = 4096;

static ZEROS: [u8; GRANULE] = [0; GRANULE];

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // A comparison is `memcmp`, as fast as memory in every build profile.
    bytes.chunks(GRANULE).all(|block| *block == ZEROS[..block.len()])
}

/// The parts of `bytes` that are not zero, ascending, found and merged in steps of 4 KiB.
pub fn nonzero_runs(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut blocks = bytes.chunks(GRANULE).map(|block| (block.len(), is_zero(block))).peekable();
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some((len, _)) = blocks.next_if(|&(_, zero)| zero) {
            at += len;
        }
        let start = at;
        while let Some((len, _)) = blocks.next_if(|&(_, zero)| !zero) {
            at += len;
        }
        (start < at).then_some(start..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_makes_a_block_data() {
        let mut bytes = vec![0; 5 * GRANULE + 10];
        assert!(is_zero(&bytes));
        assert_eq!(nonzero_runs(&bytes).count(), 0);
        for at in [GRANULE, 3 * GRANULE - 1, 5 * GRANULE + 9] {
            bytes[at] = 1;
        }
        assert!(!is_zero(&bytes));
        let runs: Vec<_> = nonzero_runs(&bytes).collect();
        assert_eq!(runs, [GRANULE..3 * GRANULE, 5 * GRANULE..5 * GRANULE + 10]);
        assert_eq!(nonzero_runs(&[]).count(), 0);
        assert!(is_zero(&[]));
    }
}
