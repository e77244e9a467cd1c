//! Building a tree from a list of runs.
//!
//! A tree is always built anew, over the blocks of the old one: contents are replaced as a whole, and
//! directories grow by a block at a time and have few extents. So every node but the last of a level is full.

use vfs::{FsError, Result};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use super::{HEADER, MAGIC, MAX_LEN, RawExtent, RawHeader, RawIndex, capacity, checksum, tail};
use crate::bytes::{index, low16, low32, put, put32, wide};
use crate::change::Change;
use crate::inode::{BLOCK_LEN, Inode};
use crate::mapping::Extent;

fn header(entries: usize, max: usize, depth: u16) -> RawHeader {
    RawHeader {
        magic: MAGIC.into(),
        entries: low16(wide(entries)).into(),
        max: low16(wide(max)).into(),
        depth: depth.into(),
        generation: U32::ZERO,
    }
}

/// The entries of leaves: runs cut to what one entry can say.
fn leaf_entries(extents: &[Extent]) -> Result<Vec<RawExtent>> {
    let mut entries = Vec::new();
    for extent in extents {
        // An unwritten run must stay below the length that marks it.
        let most = u64::from(if extent.unwritten { MAX_LEN.saturating_sub(1) } else { MAX_LEN });
        let mut done = 0_u64;
        while done < extent.len {
            let len = low16(extent.len.saturating_sub(done).min(most));
            let block = u32::try_from(extent.logical.saturating_add(done));
            let block = block.map_err(|_| FsError::Invalid("the file is longer than 2^32 blocks".into()))?;
            let physical = extent.physical.saturating_add(done);
            entries.push(RawExtent {
                block: block.into(),
                len: if extent.unwritten { len.saturating_add(MAX_LEN) } else { len }.into(),
                start_hi: low16(physical >> 32).into(),
                start_lo: low32(physical).into(),
            });
            done = done.saturating_add(len.into());
        }
    }
    Ok(entries)
}

/// One level: the first file block of each entry, and its bytes.
type Level = Vec<(U32, Vec<u8>)>;

impl Change<'_> {
    /// Gives `inode` a tree of these extents, made of blocks of `pool` as far as they go; takes what it needs
    /// from there.
    pub(crate) fn write_extent_tree(
        &mut self,
        inode: &mut Inode,
        extents: &[Extent],
        pool: &mut Vec<u64>,
    ) -> Result<u64> {
        let room = capacity(self.fs.blocks.block_size());
        let root_room = capacity(BLOCK_LEN);
        let entries = leaf_entries(extents)?;
        let mut level: Level =
            entries.into_iter().map(|entry| (entry.block, entry.as_bytes().to_vec())).collect();
        let mut depth = 0_u16;
        let mut blocks = 0_u64;
        while level.len() > root_room {
            let mut above = Level::new();
            for entries in level.chunks(room) {
                let goal = extents.first().map_or(0, |first| first.physical);
                let block = self.tree_block(pool, goal)?;
                blocks = blocks.saturating_add(1);
                self.stage_extent_node(inode, block, entries, depth)?;
                let first = entries.first().map_or(U32::ZERO, |(first, _)| *first);
                let leaf_hi = low16(block >> 32).into();
                let entry =
                    RawIndex { block: first, leaf_lo: low32(block).into(), leaf_hi, unused: U16::ZERO };
                above.push((first, entry.as_bytes().to_vec()));
            }
            level = above;
            depth = depth.saturating_add(1);
        }
        let root = inode.block_mut();
        root.fill(0);
        put(root, 0, header(level.len(), root_room, depth).as_bytes())?;
        put(root, HEADER, &concat(&level))?;
        Ok(blocks)
    }

    fn stage_extent_node(
        &mut self,
        inode: &Inode,
        block: u64,
        entries: &[(U32, Vec<u8>)],
        depth: u16,
    ) -> Result<()> {
        let size = index(self.fs.sb.block_size);
        let mut bytes = vec![0; size];
        put(&mut bytes, 0, header(entries.len(), capacity(size), depth).as_bytes())?;
        put(&mut bytes, HEADER, &concat(entries))?;
        if self.fs.sb.checksums() {
            let sum = checksum(&self.fs.sb, inode, &bytes);
            put32(&mut bytes, tail(size), sum)?;
        }
        self.fs.blocks.stage(block, bytes)
    }
}

fn concat(entries: &[(U32, Vec<u8>)]) -> Vec<u8> {
    entries.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
}
