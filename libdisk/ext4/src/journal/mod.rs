//! The journal ("ext4 disk layout: Journal (jbd2)"): reading the log and carrying it out.
//!
//! All its numbers are big-endian. A transaction is descriptor blocks, each followed by the blocks it
//! describes, and revoke blocks, ended by a commit block. It counts only with that one, and all transactions
//! have consecutive numbers.

mod commit;
mod descriptor;
mod replay;
mod revoke;
mod scan;
mod superblock;

use block::Disk;
use vfs::{FsError, Result};
use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Ext4;
use crate::bytes::{be32, index};
use crate::checksum::crc32c;
use crate::mapping::Extent;
use superblock::Superblock;

pub(crate) use replay::Log;

/// The inode of the journal.
const INODE: u32 = 8;
const MAGIC: u32 = 0xc03b_3998;
/// Bytes of the header of every block of the journal that is not a copy.
const HEADER: usize = 12;

/// `h_magic`, `h_blocktype`, `h_sequence`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: U32,
    blocktype: U32,
    sequence: U32,
}
const _: () = assert!(size_of::<Header>() == HEADER);

impl Header {
    const DESCRIPTOR: u32 = 1;
    const COMMIT: u32 = 2;
    const SUPERBLOCK_V1: u32 = 3;
    const SUPERBLOCK_V2: u32 = 4;
    const REVOKE: u32 = 5;

    fn parse(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// What block it is; `None` if it is none of the journal's own.
    fn kind(&self) -> Option<u32> {
        (self.magic.get() == MAGIC).then(|| self.blocktype.get())
    }
}

/// Whether transaction `a` comes after transaction `b`; numbers wrap around.
fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// The journal of a file system, open for reading.
struct Journal {
    disk: Disk,
    block_size: u32,
    /// Where its blocks lie.
    extents: Vec<Extent>,
    sb: Superblock,
}

impl Journal {
    /// Opens the journal in inode 8.
    fn open(fs: &Ext4) -> Result<Self> {
        let inode = fs.inode(INODE)?;
        let extents = fs.mapping(&inode)?.extents;
        let block_size = fs.sb.block_size;
        let blocks = inode.size().checked_div(block_size.into()).unwrap_or_default();
        let disk = fs.blocks.disk().clone();
        let first = read(&disk, block_size, &extents, 0)?;
        let sb = Superblock::parse(&first, block_size, blocks)?;
        Ok(Self { disk, block_size, extents, sb })
    }

    /// A block of the journal.
    fn read(&self, block: u32) -> Result<Vec<u8>> {
        read(&self.disk, self.block_size, &self.extents, block)
    }

    /// Where its superblock lies, in bytes.
    fn place(&self) -> Result<u64> {
        place(self.block_size, &self.extents, 0)
    }

    /// The block of the log after this one; after the last comes the first.
    fn next(&self, block: u32) -> u32 {
        let next = block.saturating_add(1);
        if next < self.sb.end { next } else { self.sb.first }
    }

    /// Whether the checksum at the end of a descriptor or revoke block is right.
    fn has_valid_tail(&self, bytes: &[u8]) -> Result<bool> {
        if !self.sb.tails() {
            return Ok(true);
        }
        let (content, tail) = bytes.split_at(bytes.len().saturating_sub(4));
        Ok(crc32c(crc32c(self.sb.seed, content), &[0; 4]) == be32(tail, 0)?)
    }

    fn corrupt(&self, block: u32, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
        let byte = place(self.block_size, &self.extents, block).unwrap_or_default();
        FsError::corrupt(format!("block {block} of the journal"), byte, what)
    }
}

fn place(block_size: u32, extents: &[Extent], block: u32) -> Result<u64> {
    let logical = u64::from(block);
    let next = extents.partition_point(|extent| extent.logical <= logical);
    let extent = next.checked_sub(1).and_then(|at| extents.get(at));
    let extent = extent.filter(|extent| logical < extent.end() && !extent.unwritten);
    let extent =
        extent.ok_or_else(|| FsError::corrupt("journal", 0, format!("its block {block} is a hole")))?;
    let physical = extent.physical.saturating_add(logical.saturating_sub(extent.logical));
    Ok(physical.saturating_mul(block_size.into()))
}

fn read(disk: &Disk, block_size: u32, extents: &[Extent], block: u32) -> Result<Vec<u8>> {
    Ok(disk.read_vec(place(block_size, extents, block)?, index(block_size))?)
}
