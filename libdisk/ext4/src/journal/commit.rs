//! Commit blocks ("ext4 disk layout: Journal (jbd2), Commit Block").

use vfs::{FsError, Result};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use super::superblock::{Checksums, Superblock};
use crate::checksum::crc32c;

const CHECKSUM_AT: usize = 0x10;
/// Bytes of the header after the checksum, padding included.
const AFTER_CHECKSUM: usize = 0x2c;
/// `h_chksum_type` of CRC-32, and the bytes of one.
const CRC32: (u8, u8) = (1, 4);

/// As it is on disk; names are the document's without `h_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Commit {
    header: Header,
    chksum_type: u8,
    chksum_size: u8,
    padding: [u8; 2],
    chksum: [U32; 8],
    commit_sec: U64,
    commit_nsec: U32,
}

impl Commit {
    pub(super) fn parse(bytes: &[u8]) -> Result<&Self> {
        let short = |_| FsError::corrupt("journal commit block", 0, "too short");
        Self::ref_from_prefix(bytes).map_err(short).map(|(commit, _)| commit)
    }

    /// When it was written, in seconds.
    pub(super) fn time(&self) -> u64 {
        self.commit_sec.get()
    }

    /// Whether its checksum is right. `bytes` is all of its block, `sum` the CRC-32 of the transaction.
    pub(super) fn is_valid(&self, sb: &Superblock, bytes: &[u8], sum: TransactionSum) -> bool {
        let [stored, ..] = self.chksum;
        let stored = stored.get();
        match sb.checksums {
            Checksums::None => true,
            // The journal may have been mounted without checksums meanwhile.
            Checksums::V1 => match (self.chksum_type, self.chksum_size) {
                (0, 0) => stored == 0,
                kind => kind == CRC32 && stored == sum.0,
            },
            Checksums::V2 | Checksums::V3 => {
                let (before, rest) = bytes.split_at_checked(CHECKSUM_AT).unwrap_or_default();
                let after = rest.get(4..).unwrap_or_default();
                let start = crc32c(crc32c(sb.seed, before), &[0; 4]);
                // All that counts is in the first sector; the others may not have been written.
                let (header, _) = after.split_at_checked(AFTER_CHECKSUM).unwrap_or_default();
                let zeros = vec![0; after.len().saturating_sub(AFTER_CHECKSUM)];
                crc32c(start, after) == stored || crc32c(crc32c(start, header), &zeros) == stored
            }
        }
    }
}

/// The CRC-32 over all descriptor and content blocks of a transaction, most significant bit first, with no
/// inversion at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransactionSum(u32);

impl TransactionSum {
    pub(super) const START: Self = Self(!0);

    /// The usual CRC-32 takes the least significant bit first, so bits are turned round on the way in and
    /// out.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let turned: Vec<u8> = bytes.iter().map(|byte| byte.reverse_bits()).collect();
        let mut crc = crc32fast::Hasher::new_with_initial(!self.0.reverse_bits());
        crc.update(&turned);
        self.0 = (!crc.finalize()).reverse_bits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_answer() {
        // The check value of CRC-32/MPEG-2 in the CRC catalogue.
        let mut sum = TransactionSum::START;
        sum.add(b"1234");
        sum.add(b"56789");
        assert_eq!(sum.0, 0x0376_e6e7);
    }
}
