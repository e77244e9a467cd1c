//! The targets of symbolic links ("Symbolic Links").

use vfs::{FsError, Result};

use crate::Xfs;
use crate::bytes::{be32, be64, index, part, put, put32, put64, wide, word};
use crate::change::Change;
use crate::checksum;
use crate::extent::Side;
use crate::fork::Fork;
use crate::inode::Inode;
use crate::superblock::Superblock;

/// The longest target, with the zero byte that the kernel adds in memory.
pub(crate) const TARGET_MAX: usize = 1024;

const MAGIC: u32 = 0x5853_4c4d;
const OFFSET_AT: usize = 4;
const BYTES_AT: usize = 8;
const CRC_AT: usize = 12;
const UUID_AT: usize = 16;
const OWNER_AT: usize = 32;
const DADDR_AT: usize = 40;

fn header_len(sb: &Superblock) -> usize {
    if sb.v5() { 56 } else { 0 }
}

/// Bytes of a target that a run of blocks holds: it has one header, whatever its length.
fn room(sb: &Superblock, blocks: u64) -> usize {
    index(blocks << sb.block_log).saturating_sub(header_len(sb))
}

/// Blocks for a target, should every one of them be a run of its own.
fn blocks(sb: &Superblock, len: usize) -> u64 {
    wide(len.div_ceil(room(sb, 1).max(1)))
}

impl Xfs {
    /// The target of a link.
    pub(crate) fn target(&self, link: &Inode) -> Result<Vec<u8>> {
        let len = index(link.size());
        if len == 0 || len > TARGET_MAX {
            return Err(link.corrupt(format!("a symbolic link of {len} bytes")));
        }
        if let Fork::Inline(target) = &link.data {
            return Ok(target.clone());
        }
        let mut target = Vec::with_capacity(len);
        for extent in self.extents_in(link, Side::Data, 0..blocks(&self.sb, len))? {
            let piece = room(&self.sb, extent.len).min(len.saturating_sub(target.len()));
            if piece == 0 || extent.len > blocks(&self.sb, TARGET_MAX) {
                return Err(link.corrupt("a symbolic link has more blocks than it needs"));
            }
            let mut bytes = Vec::new();
            for block in extent.physical..extent.physical.saturating_add(extent.len) {
                bytes.extend_from_slice(&self.blocks.read(block)?);
            }
            if self.sb.v5() {
                let right = be32(&bytes, 0)? == MAGIC
                    && index(be32(&bytes, OFFSET_AT)?) == target.len()
                    && index(be32(&bytes, BYTES_AT)?) == piece
                    && be64(&bytes, OWNER_AT)? == link.number
                    && be64(&bytes, DADDR_AT)? == self.sb.daddr(extent.physical)
                    && part(&bytes, UUID_AT, 16)? == self.sb.meta_uuid
                    && checksum::is_right(&bytes, CRC_AT);
                if !right {
                    return Err(link.corrupt("the header of a symbolic link's block is wrong"));
                }
            }
            target.extend_from_slice(part(&bytes, header_len(&self.sb), piece)?);
        }
        if target.len() == len { Ok(target) } else { Err(link.corrupt("its target is not mapped")) }
    }
}

impl Change<'_> {
    /// Gives a link its target: inside the inode if there is room.
    pub(crate) fn write_target(&mut self, link: &mut Inode, target: &[u8]) -> Result<()> {
        if target.is_empty() || target.len() >= TARGET_MAX || target.contains(&0) {
            return Err(FsError::Invalid("a target has 1 to 1023 bytes, none of them zero".into()));
        }
        link.set_size(wide(target.len()));
        if target.len() <= link.data_room(&self.fs.sb) {
            link.data = Fork::Inline(target.to_vec());
            return Ok(());
        }
        self.write_remote_target(link, target)
    }

    /// Gives a link its target in blocks of its own.
    pub(crate) fn write_remote_target(&mut self, link: &mut Inode, target: &[u8]) -> Result<()> {
        link.data = Fork::default();
        let extents = self.allocate_extents(link, Side::Data, 0..blocks(&self.fs.sb, target.len()))?;
        let mut done = 0_usize;
        for extent in &extents {
            let sb = &self.fs.sb;
            let mut bytes = vec![0; index(extent.len << sb.block_log)];
            let end = done.saturating_add(room(sb, extent.len)).min(target.len());
            let piece = target.get(done..end).unwrap_or_default();
            put(&mut bytes, header_len(sb), piece)?;
            if sb.v5() {
                put32(&mut bytes, 0, MAGIC)?;
                put32(&mut bytes, OFFSET_AT, word(done))?;
                put32(&mut bytes, BYTES_AT, word(piece.len()))?;
                put(&mut bytes, UUID_AT, &sb.meta_uuid)?;
                put64(&mut bytes, OWNER_AT, link.number)?;
                put64(&mut bytes, DADDR_AT, sb.daddr(extent.physical))?;
                checksum::update(&mut bytes, CRC_AT)?;
            }
            let size = index(sb.block_size);
            let places = extent.physical..extent.physical.saturating_add(extent.len);
            for (block, piece) in places.zip(bytes.chunks(size)) {
                self.fs.blocks.stage(block, piece.to_vec())?;
            }
            done = end;
        }
        self.set_extents(link, Side::Data, extents)
    }
}
