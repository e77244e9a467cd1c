//! Hash trees over the names of a directory ("ext4 disk layout: Hash Tree Directories").
//!
//! The first block is the root; it also holds "." and "..". Inner nodes and the root map ranges of hashes to
//! blocks; leaves are ordinary blocks of entries in no order. A hash whose lowest bit is set in an index
//! continues a run of equal hashes that began in the leaf before.

use std::sync::Arc;

use vfs::{FsError, Result};

use super::{hash, type_code};
use crate::Ext4;
use crate::bytes::{byte, le16, le32, low16, low32, part, part_mut, put, put16, put32, wide};
use crate::change::Change;
use crate::checksum::crc32c;
use crate::dir::linear::needed;
use crate::features::{compat, incompat};
use crate::inode::{Inode, flag};

/// Where "struct dx_root_info" lies in the root: behind the entries of "." and "..".
const ROOT_INFO: usize = 24;
const HASH_VERSION: usize = ROOT_INFO + 4;
const INFO_LENGTH: usize = ROOT_INFO + 5;
const LEVELS: usize = ROOT_INFO + 6;
/// Where the entries of the root and of inner nodes start.
const ROOT_ENTRIES: usize = ROOT_INFO + 8;
const NODE_ENTRIES: usize = 8;
/// Bits of a block number in an entry.
const BLOCK_MASK: u32 = 0x0fff_ffff;
/// Added to the stored hash version where characters are taken as unsigned.
const UNSIGNED: u8 = 3;

/// One node on the way to a leaf.
#[derive(Debug)]
struct Frame {
    logical: u64,
    physical: u64,
    bytes: Arc<Vec<u8>>,
    /// Hash and block; the first hash is not stored and counts as zero.
    entries: Vec<(u32, u32)>,
    /// The entry the way goes through.
    slot: usize,
}

impl Frame {
    fn entries_at(&self) -> usize {
        if self.logical == 0 { ROOT_ENTRIES } else { NODE_ENTRIES }
    }
}

impl Ext4 {
    /// Entries that a node has room for.
    fn node_capacity(&self, entries_at: usize) -> usize {
        let tail = if self.sb.checksums() { 8 } else { 0 };
        self.blocks.block_size().saturating_sub(entries_at).saturating_sub(tail) >> 3
    }

    /// "struct dx_tail": over the block up to the entries in use, the reserved word, and zero for the
    /// checksum itself.
    fn node_checksum(&self, dir: &Inode, bytes: &[u8], entries_at: usize) -> Result<(usize, u32)> {
        let (limit, count) = (le16(bytes, entries_at)?, le16(bytes, entries_at.saturating_add(2))?);
        let end = |n: u16| entries_at.saturating_add(usize::from(n) << 3);
        let sum = crc32c(dir.seed(&self.sb), part(bytes, 0, end(count))?);
        let sum = crc32c(sum, part(bytes, end(limit), 4)?);
        Ok((end(limit).saturating_add(4), crc32c(sum, &[0; 4])))
    }

    pub(super) fn check_index_node(
        &self,
        dir: &Inode,
        logical: u64,
        physical: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let entries_at = if logical == 0 { ROOT_ENTRIES } else { NODE_ENTRIES };
        let corrupt = |what| {
            FsError::corrupt(format!("index of directory {}", dir.number), self.sb.byte(physical), what)
        };
        if usize::from(le16(bytes, entries_at)?) != self.node_capacity(entries_at) {
            return Err(corrupt("a node has the wrong limit"));
        }
        let (at, sum) = self.node_checksum(dir, bytes, entries_at)?;
        if le32(bytes, at)? == sum { Ok(()) } else { Err(corrupt("the checksum of a node is wrong")) }
    }

    fn frame(&self, dir: &Inode, logical: u64, hash: u32) -> Result<Frame> {
        let (physical, bytes) = self.dir_block_at(dir, logical)?;
        let mut frame = Frame { logical, physical, bytes, entries: Vec::new(), slot: 0 };
        let at = frame.entries_at();
        let (limit, count) =
            (usize::from(le16(&frame.bytes, at)?), usize::from(le16(&frame.bytes, at.saturating_add(2))?));
        if limit != self.node_capacity(at) || count > limit || count == 0 {
            let structure = format!("index of directory {}", dir.number);
            return Err(FsError::corrupt(
                structure,
                self.sb.byte(physical),
                "a node has the wrong limit or count",
            ));
        }
        for (n, entry) in part(&frame.bytes, at, count << 3)?.chunks_exact(8).enumerate() {
            let hash = if n == 0 { 0 } else { le32(entry, 0)? };
            frame.entries.push((hash, le32(entry, 4)? & BLOCK_MASK));
        }
        frame.slot = frame.entries.partition_point(|&(start, _)| start <= hash).saturating_sub(1);
        Ok(frame)
    }

    /// The version and the seed decide how this directory hashes.
    fn hash_of(&self, name: &[u8], version: u8) -> Option<u32> {
        let version = if version < UNSIGNED && self.sb.unsigned_hash() {
            version.saturating_add(UNSIGNED)
        } else {
            version
        };
        hash::hash(name, version, self.sb.hash_seed())
    }

    /// The hash version of an indexed directory, and its levels of inner nodes.
    fn root_info(&self, dir: &Inode) -> Result<(u8, u8)> {
        let (physical, root) = self.dir_block_at(dir, 0)?;
        let levels = byte(&root, LEVELS)?;
        if byte(&root, INFO_LENGTH)? != 8 || levels > self.max_levels() {
            let structure = format!("index of directory {}", dir.number);
            return Err(FsError::corrupt(structure, self.sb.byte(physical), "its root makes no sense"));
        }
        Ok((byte(&root, HASH_VERSION)?, levels))
    }

    fn max_levels(&self) -> u8 {
        if self.sb.incompat(incompat::LARGEDIR) { 2 } else { 1 }
    }

    /// The way to the leaf where a hash starts.
    fn descend(&self, dir: &Inode, hash: u32, levels: u8) -> Result<Vec<Frame>> {
        let mut path = vec![self.frame(dir, 0, hash)?];
        for _ in 0..levels {
            let next =
                path.last().and_then(|frame| frame.entries.get(frame.slot)).map_or(0, |&(_, block)| block);
            path.push(self.frame(dir, next.into(), hash)?);
        }
        Ok(path)
    }

    /// The leaf after the one a path leads to, with its hash; moves the path there.
    fn advance(&self, dir: &Inode, path: &mut Vec<Frame>) -> Result<Option<(u32, u32)>> {
        let depth = path.len();
        while let Some(frame) = path.last_mut() {
            frame.slot = frame.slot.saturating_add(1);
            if let Some(&(hash, mut block)) = frame.entries.get(frame.slot) {
                while path.len() < depth {
                    let frame = self.frame(dir, block.into(), 0)?;
                    block = frame.entries.first().map_or(0, |&(_, block)| block);
                    path.push(frame);
                }
                return Ok(Some((hash, block)));
            }
            path.pop();
        }
        Ok(None)
    }

    /// The leaves that can hold `name`; `None` if the hash is not one we know.
    pub(super) fn leaves_of(&self, dir: &Inode, name: &[u8]) -> Result<Option<Vec<u64>>> {
        let (version, levels) = self.root_info(dir)?;
        let Some(hash) = self.hash_of(name, version) else { return Ok(None) };
        let mut path = self.descend(dir, hash, levels)?;
        let mut leaves: Vec<u64> = leaf_of(&path).into_iter().collect();
        while let Some((start, block)) = self.advance(dir, &mut path)? {
            if start != hash | 1 {
                break;
            }
            leaves.push(block.into());
            if wide(leaves.len()) > self.sb.blocks {
                return Err(dir.corrupt("its index names more leaves than there are blocks"));
            }
        }
        Ok(Some(leaves))
    }
}

fn leaf_of(path: &[Frame]) -> Option<u64> {
    path.last().and_then(|frame| frame.entries.get(frame.slot)).map(|&(_, block)| block.into())
}

/// A name on its way from one leaf to another.
struct Moving {
    hash: u32,
    inode: u32,
    code: u8,
    name: Vec<u8>,
}

impl Change<'_> {
    /// Whether a directory that outgrows its first block gets an index.
    pub(super) fn can_index(&self) -> bool {
        self.fs.sb.compat(compat::DIR_INDEX) && self.fs.hash_of(b"", self.fs.sb.hash_version()).is_some()
    }

    fn stage_node(
        &mut self,
        dir: &Inode,
        physical: u64,
        mut bytes: Vec<u8>,
        entries_at: usize,
    ) -> Result<()> {
        if self.fs.sb.checksums() {
            let (at, sum) = self.fs.node_checksum(dir, &bytes, entries_at)?;
            put32(&mut bytes, at, sum)?;
        }
        self.fs.blocks.stage(physical, bytes)
    }

    /// Stages the first block of an indexed directory.
    pub(super) fn stage_index_root(&mut self, dir: &Inode, physical: u64, bytes: Vec<u8>) -> Result<()> {
        self.stage_node(dir, physical, bytes, ROOT_ENTRIES)
    }

    fn stage_frame(&mut self, dir: &Inode, frame: &Frame) -> Result<()> {
        let mut bytes = frame.bytes.to_vec();
        let at = frame.entries_at();
        let limit = self.fs.node_capacity(at);
        let room = part_mut(&mut bytes, at, limit << 3)?;
        room.fill(0);
        for (slot, &(hash, block)) in room.chunks_exact_mut(8).zip(&frame.entries) {
            put32(slot, 0, hash)?;
            put32(slot, 4, block)?;
        }
        put16(room, 0, low16(wide(limit)))?;
        put16(room, 2, low16(wide(frame.entries.len())))?;
        self.stage_node(dir, frame.physical, bytes, at)
    }

    /// Adds an inner node with these entries and returns its block in the directory.
    fn add_node(&mut self, dir: &mut Inode, entries: Vec<(u32, u32)>) -> Result<u32> {
        let (logical, physical) = self.append_block(dir)?;
        let mut bytes = vec![0; self.fs.blocks.block_size()];
        let len = low16(wide(bytes.len().min(65535)));
        put16(&mut bytes, 4, len)?;
        self.stage_frame(dir, &Frame { logical, physical, bytes: bytes.into(), entries, slot: 0 })?;
        Ok(low32(logical))
    }

    /// Turns a directory of one block into an indexed one: its names move into a leaf, the block becomes the
    /// root.
    pub(super) fn make_index(&mut self, dir: &mut Inode) -> Result<()> {
        let (root, old) = self.fs.dir_block_at(dir, 0)?;
        let parent = self.fs.parent_of(dir)?;
        let room = self.fs.entry_room();
        let (leaf, physical) = self.append_block(dir)?;

        let layout = self.fs.layout(dir, self.fs.sb.byte(root));
        let mut names = Vec::new();
        for entry in layout.entries(part(&old, 0, room)?) {
            let entry = entry?;
            if entry.inode != 0 && entry.name != b"." && entry.name != b".." {
                names.push((entry.inode, entry.file_type, entry.name));
            }
        }
        let mut bytes = vec![0; self.fs.blocks.block_size()];
        layout.pack(part_mut(&mut bytes, 0, room)?, names)?;
        self.stage_entries(dir, physical, bytes)?;

        let mut bytes = vec![0; self.fs.blocks.block_size()];
        let code = type_code(vfs::FileType::Directory);
        layout.pack(&mut bytes, [(dir.number, code, b".".as_slice()), (parent, code, b"..".as_slice())])?;
        put(&mut bytes, HASH_VERSION, &[self.fs.sb.hash_version(), 8])?;
        dir.set_flag(flag::INDEX, true);
        let frame = Frame {
            logical: 0,
            physical: root,
            bytes: bytes.into(),
            entries: vec![(0, low32(leaf))],
            slot: 0,
        };
        self.stage_frame(dir, &frame)
    }

    /// Adds a name to an indexed directory; every turn adds a level, splits a node, or splits the leaf.
    pub(super) fn insert_indexed(
        &mut self,
        dir: &mut Inode,
        name: &[u8],
        inode: u32,
        code: u8,
    ) -> Result<()> {
        let unusable =
            || FsError::unsupported("writing to an ext4 directory whose index has an unknown hash");
        if !self.fs.is_indexed(dir) {
            return Err(FsError::unsupported("writing to an indexed directory of ext4 without dir_index"));
        }
        loop {
            let (version, levels) = self.fs.root_info(dir)?;
            let hash = self.fs.hash_of(name, version).ok_or_else(unusable)?;
            let mut path = self.fs.descend(dir, hash, levels)?;
            let leaf = leaf_of(&path).unwrap_or_default();
            let (physical, bytes) = self.fs.dir_block_at(dir, leaf)?;
            let layout = self.fs.layout(dir, self.fs.sb.byte(physical));
            let mut bytes = bytes.to_vec();
            if layout.insert(part_mut(&mut bytes, 0, self.fs.entry_room())?, name, inode, code)? {
                return self.stage_entries(dir, physical, bytes);
            }
            let full = |frame: &Frame| frame.entries.len() >= self.fs.node_capacity(frame.entries_at());
            match path.iter().rposition(|frame| !full(frame)) {
                Some(at) if at.saturating_add(1) == path.len() => {
                    let Some(parent) = path.last_mut() else { return Err(unusable()) };
                    self.split_leaf(dir, parent, physical, version)?;
                }
                Some(at) => self.split_node(dir, &mut path, at)?,
                None => self.add_level(dir, &mut path, levels)?,
            }
        }
    }

    /// Moves the upper half of the hashes of a full leaf into a new one.
    fn split_leaf(&mut self, dir: &mut Inode, parent: &mut Frame, physical: u64, version: u8) -> Result<()> {
        let room = self.fs.entry_room();
        let layout = self.fs.layout(dir, self.fs.sb.byte(physical));
        let mut old = self.fs.blocks.read(physical)?.to_vec();
        let mut names = Vec::new();
        for entry in layout.entries(part(&old, 0, room)?) {
            let entry = entry?;
            if entry.inode != 0 {
                let hash = self.fs.hash_of(entry.name, version).unwrap_or_default();
                names.push(Moving {
                    hash,
                    inode: entry.inode,
                    code: entry.file_type,
                    name: entry.name.to_vec(),
                });
            }
        }
        names.sort_by_key(|moving| moving.hash);
        let mut stay = 0_usize;
        let mut used = 0_usize;
        for moving in &names {
            used = used.saturating_add(needed(&moving.name));
            if used > room >> 1 {
                break;
            }
            stay = stay.saturating_add(1);
        }
        let stay = stay.clamp(1, names.len().saturating_sub(1).max(1));
        let go = names.split_off(stay.min(names.len()));
        let (Some(last), Some(first)) = (names.last(), go.first()) else {
            return Err(FsError::corrupt(
                format!("directory {}", dir.number),
                self.fs.sb.byte(physical),
                "a full leaf with one name",
            ));
        };
        let start = first.hash | u32::from(first.hash == last.hash);

        let (leaf, new) = self.append_block(dir)?;
        for (block, names) in [(physical, &names), (new, &go)] {
            let names = names.iter().map(|moving| (moving.inode, moving.code, moving.name.as_slice()));
            layout.pack(part_mut(&mut old, 0, room)?, names)?;
            self.stage_entries(dir, block, old.clone())?;
        }
        parent.entries.insert(parent.slot.saturating_add(1), (start, low32(leaf)));
        self.stage_frame(dir, parent)
    }

    /// Splits the full node below `path[at]`, which has room for one more.
    fn split_node(&mut self, dir: &mut Inode, path: &mut [Frame], at: usize) -> Result<()> {
        let [.., parent, child] = path.get_mut(..=at.saturating_add(1)).unwrap_or_default() else {
            return Ok(());
        };
        let upper = child.entries.split_off(child.entries.len() >> 1);
        let start = upper.first().map_or(0, |&(hash, _)| hash);
        let block = self.add_node(dir, upper)?;
        parent.entries.insert(parent.slot.saturating_add(1), (start, block));
        self.stage_frame(dir, child)?;
        self.stage_frame(dir, parent)
    }

    /// Moves all entries of a full root one level down.
    fn add_level(&mut self, dir: &mut Inode, path: &mut [Frame], levels: u8) -> Result<()> {
        if levels >= self.fs.max_levels() {
            return Err(FsError::NoSpace("the index of the directory is full"));
        }
        let Some(root) = path.first_mut() else { return Ok(()) };
        let block = self.add_node(dir, std::mem::take(&mut root.entries))?;
        root.entries.push((0, block));
        let mut bytes = root.bytes.to_vec();
        put(&mut bytes, LEVELS, &[levels.saturating_add(1)])?;
        root.bytes = bytes.into();
        self.stage_frame(dir, root)
    }
}
