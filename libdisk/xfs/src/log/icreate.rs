//! Items of new chunks of inodes ("Inode Creation Item").

use vfs::Result;

use super::transaction::corrupt;
use crate::bytes::{be32, half, index, word};
use crate::inode::Inode;
use crate::superblock::Superblock;

/// `icl_type`.
pub(super) const KIND: u16 = 0x123f;
/// The most blocks of a chunk: 64 inodes of 2 KiB in blocks of 1 KiB, twice.
const BLOCKS_MAX: u32 = 256;

/// Bytes of a buffer of inodes of the smallest size.
const BUFFER: u32 = 8 << 10;

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

    /// Its first byte on the volume.
    pub(super) fn place(&self, sb: &Superblock) -> u64 {
        sb.ag_byte(self.ag, self.start)
    }

    /// The buffers in which its inodes are read and written, as place and length in 512-byte blocks.
    pub(super) fn buffers(&self, sb: &Superblock) -> impl Iterator<Item = (u64, u16)> {
        let blocks = buffer_blocks(sb);
        let starts = (self.start..self.start.saturating_add(self.len)).step_by(index(blocks));
        let len = u64::from(blocks).saturating_mul(sb.block_size.into()) >> 9;
        starts.map(move |start| (sb.ag_byte(self.ag, start) >> 9, half(len)))
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

/// Blocks of a buffer of inodes: 8 KiB of inodes of 256 bytes, and as many larger ones if chunks are aligned
/// to that.
fn buffer_blocks(sb: &Superblock) -> u32 {
    let plain = BUFFER >> sb.block_log;
    let large = word(sb.inode_size >> 8).saturating_mul(BUFFER) >> sb.block_log;
    let blocks = if sb.v5() && sb.inode_alignment() >= large { large } else { plain };
    blocks.max(1)
}
