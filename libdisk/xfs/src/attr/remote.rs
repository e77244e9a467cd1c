//! Values in blocks of their own ("Remote Attribute Values").

use std::ops::Range;

use vfs::Result;

use crate::Xfs;
use crate::bytes::{be32, be64, index, part, put, put32, put64, wide, word};
use crate::change::Change;
use crate::checksum;
use crate::extent::Side;
use crate::inode::Inode;
use crate::superblock::Superblock;

const MAGIC: u32 = 0x5841_524d;
const OFFSET_AT: usize = 4;
const BYTES_AT: usize = 8;
const CRC_AT: usize = 12;
const UUID_AT: usize = 16;
const OWNER_AT: usize = 32;
const DADDR_AT: usize = 40;
const LSN_AT: usize = 48;
/// What stands for the place in the log: these blocks are never logged.
const NO_LSN: u64 = u64::MAX;

fn header_len(sb: &Superblock) -> usize {
    if sb.v5() { 56 } else { 0 }
}

/// Bytes of a value that a block holds.
fn room(sb: &Superblock) -> usize {
    index(sb.block_size).saturating_sub(header_len(sb))
}

/// Blocks for a value of this length.
pub(super) fn blocks(sb: &Superblock, len: usize) -> u64 {
    wide(len.div_ceil(room(sb).max(1)))
}

impl Xfs {
    /// The blocks of a range of the attribute fork.
    fn attribute_blocks(&self, inode: &Inode, range: Range<u64>) -> Result<Vec<u64>> {
        let mut blocks = Vec::new();
        for extent in self.extents_in(inode, Side::Attr, range.clone())? {
            if let Some(piece) = extent.cut(range.start, range.end) {
                blocks.extend(piece.physical..piece.physical.saturating_add(piece.len));
            }
        }
        if wide(blocks.len()) != range.end.saturating_sub(range.start) {
            return Err(inode.corrupt("the value of an attribute is not mapped"));
        }
        Ok(blocks)
    }

    /// A value of `len` bytes from block `at` of the attribute fork on.
    pub(super) fn remote_value(&self, inode: &Inode, at: u32, len: usize) -> Result<Vec<u8>> {
        let range = u64::from(at)..u64::from(at).saturating_add(blocks(&self.sb, len));
        let mut value = Vec::with_capacity(len);
        for block in self.attribute_blocks(inode, range)? {
            let bytes = self.blocks.read(block)?;
            let piece = room(&self.sb).min(len.saturating_sub(value.len()));
            if self.sb.v5() {
                let right = be32(&bytes, 0)? == MAGIC
                    && index(be32(&bytes, OFFSET_AT)?) == value.len()
                    && index(be32(&bytes, BYTES_AT)?) == piece
                    && be64(&bytes, OWNER_AT)? == inode.number
                    && be64(&bytes, DADDR_AT)? == self.sb.daddr(block)
                    && part(&bytes, UUID_AT, 16)? == self.sb.meta_uuid
                    && checksum::is_right(&bytes, CRC_AT);
                if !right {
                    return Err(inode.corrupt("the header of an attribute's value is wrong"));
                }
            }
            value.extend_from_slice(part(&bytes, header_len(&self.sb), piece)?);
        }
        Ok(value)
    }
}

impl Change<'_> {
    /// Stages a value; the fork has the blocks already.
    pub(super) fn write_remote_value(&mut self, inode: &Inode, at: u32, value: &[u8]) -> Result<()> {
        let range = u64::from(at)..u64::from(at).saturating_add(blocks(&self.fs.sb, value.len()));
        let places = self.fs.attribute_blocks(inode, range)?;
        let room = room(&self.fs.sb).max(1);
        for (number, (block, piece)) in places.into_iter().zip(value.chunks(room)).enumerate() {
            let sb = &self.fs.sb;
            let mut bytes = vec![0; index(sb.block_size)];
            put(&mut bytes, header_len(sb), piece)?;
            if sb.v5() {
                put32(&mut bytes, 0, MAGIC)?;
                put32(&mut bytes, OFFSET_AT, word(number.saturating_mul(room)))?;
                put32(&mut bytes, BYTES_AT, word(piece.len()))?;
                put(&mut bytes, UUID_AT, &sb.meta_uuid)?;
                put64(&mut bytes, OWNER_AT, inode.number)?;
                put64(&mut bytes, DADDR_AT, sb.daddr(block))?;
                put64(&mut bytes, LSN_AT, NO_LSN)?;
                checksum::update(&mut bytes, CRC_AT)?;
            }
            self.fs.blocks.stage(block, bytes)?;
        }
        Ok(())
    }
}
