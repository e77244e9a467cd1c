//! Items of new chunks of inodes ("Inode Creation Item").

use std::ops::Range;

use vfs::Result;

use super::transaction::corrupt;
use crate::bytes::{be32, index};
use crate::inode::Inode;
use crate::superblock::Superblock;

/// `icl_type`.
pub(super) const KIND: u16 = 0x123f;
/// The most blocks of a chunk: 64 inodes of 2 KiB in blocks of 1 KiB, twice.
const BLOCKS_MAX: u32 = 256;

/// Where new inodes lie. The fields are big-endian on all machines.
#[derive(Debug)]
pub(super) struct Format {
    ag: u32,
    start: u32,
    len: u32,
    generation: u32,
}

impl Format {
    pub(super) fn parse(sb: &Superblock, bytes: &[u8]) -> Result<Self> {
        let format = Self {
            ag: be32(bytes, 4)?,
            start: be32(bytes, 8)?,
            len: be32(bytes, 20)?,
            generation: be32(bytes, 24)?,
        };
        let (count, size) = (be32(bytes, 12)?, be32(bytes, 16)?);
        let inodes = u64::from(format.len).saturating_mul(sb.inodes_per_block.into());
        if index(size) != sb.inode_size || u64::from(count) != inodes || format.len > BLOCKS_MAX {
            return Err(corrupt("inode creation item", format!("{count} inodes of {size} bytes")));
        }
        if format.start >= sb.ag_blocks {
            return Err(corrupt("inode creation item", "it lies outside its group"));
        }
        Ok(format)
    }

    /// The first byte on the volume, and the 512-byte blocks.
    pub(super) fn place(&self, sb: &Superblock) -> (u64, Range<u64>) {
        let start = sb.ag_byte(self.ag, self.start);
        let len = u64::from(self.len).saturating_mul(sb.block_size.into());
        (start, start >> 9..start.saturating_add(len) >> 9)
    }

    /// The inodes, all free.
    pub(super) fn content(&self, sb: &Superblock) -> Result<Vec<u8>> {
        let first = self.start << sb.inodes_per_block_log;
        let count = self.len << sb.inodes_per_block_log;
        let mut bytes = Vec::new();
        for within in first..first.saturating_add(count) {
            let number = sb.join_inode(self.ag, within);
            bytes.extend(Inode::new_free(sb, number, self.generation).encode(sb)?);
        }
        Ok(bytes)
    }
}
