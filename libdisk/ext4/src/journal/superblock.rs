//! The journal's own superblock ("ext4 disk layout: Journal (jbd2), Super Block").

use vfs::{FsError, Result};
use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use crate::checksum::crc32c;

const SIZE: usize = 1024;
const CHECKSUM_AT: usize = 0xfc;
/// `s_checksum_type` of CRC-32C.
const CRC32C: u8 = 4;
/// What `s_num_fc_blocks` means when it is 0.
const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;

/// `s_feature_compat`: commit blocks carry a CRC-32 of the whole transaction.
const CHECKSUM: u32 = 1;

/// `s_feature_incompat` bits.
mod incompat {
    pub(super) const REVOKE: u32 = 0x1;
    pub(super) const BIT64: u32 = 0x2;
    pub(super) const ASYNC_COMMIT: u32 = 0x4;
    pub(super) const CSUM_V2: u32 = 0x8;
    pub(super) const CSUM_V3: u32 = 0x10;
    pub(super) const FAST_COMMIT: u32 = 0x20;
    pub(super) const KNOWN: u32 = REVOKE | BIT64 | ASYNC_COMMIT | CSUM_V2 | CSUM_V3 | FAST_COMMIT;
}

/// As it is on disk; names are the document's without `s_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSuperblock {
    header: Header,
    blocksize: U32,
    maxlen: U32,
    first: U32,
    sequence: U32,
    start: U32,
    errno: U32,
    feature_compat: U32,
    feature_incompat: U32,
    feature_ro_compat: U32,
    uuid: [u8; 16],
    nr_users: U32,
    dynsuper: U32,
    max_transaction: U32,
    max_trans_data: U32,
    checksum_type: u8,
    padding2: [u8; 3],
    num_fc_blocks: U32,
    head: U32,
    padding: [u8; 0xa0],
    checksum: U32,
    users: [u8; 0x300],
}
const _: () = assert!(size_of::<RawSuperblock>() == SIZE);

/// How tags, tails and commit blocks are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksums {
    None,
    /// One CRC-32 over each transaction, in its commit block.
    V1,
    /// CRC-32C of every block, 16 bits of it in a tag.
    V2,
    /// CRC-32C of every block, all of it in a tag.
    V3,
}

/// Checked, and in natural types.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    raw: RawSuperblock,
    pub(super) checksums: Checksums,
    /// The first block of the log.
    pub(super) first: u32,
    /// The first block after the log.
    pub(super) end: u32,
    /// The first block of fast commits; one is left out between the log and them.
    pub(super) fast_commits: Option<u32>,
    /// The start of every checksum of versions 2 and 3.
    pub(super) seed: u32,
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
    FsError::corrupt("journal superblock", 0, what)
}

impl Superblock {
    /// Checks the first block of a journal of `blocks` blocks of `block_size` bytes.
    pub(super) fn parse(bytes: &[u8], block_size: u32, blocks: u64) -> Result<Self> {
        let (raw, _) = RawSuperblock::read_from_prefix(bytes).map_err(|_| corrupt("too short"))?;
        // Version 1 ends before the features.
        let features = match raw.header.kind() {
            Some(Header::SUPERBLOCK_V1) => (0, 0, 0),
            Some(Header::SUPERBLOCK_V2) => {
                (raw.feature_compat.get(), raw.feature_incompat.get(), raw.feature_ro_compat.get())
            }
            _ => return Err(corrupt("its header is none")),
        };
        let (compat, bits, ro_compat) = features;
        let unknown = (bits & !incompat::KNOWN, ro_compat);
        if unknown != (0, 0) {
            let (bits, ro_compat) = unknown;
            let what = format!("unknown journal features: incompatible {bits:#x}, read-only {ro_compat:#x}");
            return Err(FsError::unsupported(what));
        }
        let has = |bit| bits & bit != 0;
        let checksums = match (compat & CHECKSUM != 0, has(incompat::CSUM_V2), has(incompat::CSUM_V3)) {
            (false, false, false) => Checksums::None,
            (true, false, false) => Checksums::V1,
            (false, true, false) => Checksums::V2,
            (false, false, true) => Checksums::V3,
            _ => return Err(corrupt("it has checksums of two versions")),
        };
        let seed = crc32c(!0, &raw.uuid);
        if matches!(checksums, Checksums::V2 | Checksums::V3) {
            if raw.checksum_type != CRC32C {
                return Err(FsError::unsupported(format!("journal checksum type {}", raw.checksum_type)));
            }
            if raw.computed_checksum() != raw.checksum.get() {
                return Err(corrupt("its checksum is wrong"));
            }
        }
        if raw.blocksize.get() != block_size {
            return Err(corrupt(format!("blocks of {} bytes", raw.blocksize)));
        }
        let (first, length) = (raw.first.get(), raw.maxlen.get());
        if u64::from(length) > blocks {
            return Err(corrupt(format!("{length} blocks in a journal of {blocks}")));
        }
        let fast = match raw.num_fc_blocks.get() {
            _ if !has(incompat::FAST_COMMIT) => 0,
            0 => DEFAULT_FAST_COMMIT_BLOCKS,
            blocks => blocks,
        };
        let end = length.checked_sub(fast).filter(|&end| first > 0 && first < end);
        let end = end.ok_or_else(|| corrupt("there is no room for a log"))?;
        let start = raw.start.get();
        if start != 0 && !(first..end).contains(&start) {
            return Err(corrupt(format!("the log starts at block {start}, outside of {first} to {end}")));
        }
        Ok(Self { checksums, first, end, fast_commits: (fast > 1).then(|| end.saturating_add(1)), seed, raw })
    }

    /// The block where the log starts; `None` if there is nothing in it.
    pub(super) fn start(&self) -> Option<u32> {
        Some(self.raw.start.get()).filter(|&start| start != 0)
    }

    /// The number of the first transaction of the log.
    pub(super) fn sequence(&self) -> u32 {
        self.raw.sequence.get()
    }

    /// An error that was met while it was mounted, as a number of Linux; 0 for none.
    pub(super) fn errno(&self) -> u32 {
        self.raw.errno.get()
    }

    /// Whether block numbers have 64 bits.
    pub(super) fn wide_blocks(&self) -> bool {
        self.incompat(incompat::BIT64)
    }

    /// Whether commit blocks are written without waiting for what they commit.
    pub(super) fn async_commit(&self) -> bool {
        self.incompat(incompat::ASYNC_COMMIT)
    }

    /// Whether descriptor and revoke blocks end with a checksum.
    pub(super) fn tails(&self) -> bool {
        matches!(self.checksums, Checksums::V2 | Checksums::V3)
    }

    fn incompat(&self, bit: u32) -> bool {
        self.raw.header.kind() == Some(Header::SUPERBLOCK_V2) && self.raw.feature_incompat.get() & bit != 0
    }

    /// The bytes of a journal with nothing in it, whose next transaction has this number.
    pub(super) fn emptied(mut self, sequence: u32) -> Vec<u8> {
        self.raw.sequence.set(sequence);
        self.raw.start.set(0);
        self.raw.head.set(0);
        if self.tails() {
            self.raw.checksum.set(self.raw.computed_checksum());
        }
        self.raw.as_bytes().to_vec()
    }
}

impl RawSuperblock {
    /// Over all its bytes, the field itself taken as zero.
    fn computed_checksum(&self) -> u32 {
        let (before, rest) = self.as_bytes().split_at_checked(CHECKSUM_AT).unwrap_or_default();
        let after = rest.get(4..).unwrap_or_default();
        crc32c(crc32c(crc32c(!0, before), &[0; 4]), after)
    }
}
