//! Handing out inodes, and taking them back ("Inode B+Trees", "Sparse Inodes").

use vfs::{FsError, Result};

use crate::btree::{CHUNK, Chunk, FIRST, FreeChunk, LAST, owner};
use crate::bytes::index;
use crate::change::Change;
use crate::inode::Inode;
use crate::space::{Owner, Run};

impl Change<'_> {
    /// Takes a free inode, in the group of its directory or after it. It is not staged yet.
    pub(crate) fn allocate_inode(&mut self, dir: u64) -> Result<Inode> {
        let groups = self.fs.sb.ag_count;
        let goal = self.fs.sb.split_inode(dir).0;
        for ag in (goal..groups).chain(0..goal) {
            if self.fs.group(ag)?.agi.free_count > 0 {
                return self.take_inode(ag);
            }
            if self.make_chunk(ag)? {
                return self.take_inode(ag);
            }
        }
        Err(FsError::NoSpace("no free inodes, and no space for more"))
    }

    /// A chunk of a group that has a free inode.
    fn chunk_with_space(&self, ag: u32) -> Result<Chunk> {
        let mut found = None;
        let mut look = |chunk: Chunk| {
            found = (chunk.usable() != 0).then_some(chunk);
            Ok(found.is_none())
        };
        if self.fs.sb.has_finobt() {
            self.fs.records(ag, (FIRST, LAST), &mut |chunk: FreeChunk| look(chunk.0))?;
        } else {
            self.fs.records(ag, (FIRST, LAST), &mut look)?;
        }
        let missing = || FsError::corrupt(format!("AGI {ag}"), 0, "it counts free inodes that no chunk has");
        found.ok_or_else(missing)
    }

    fn take_inode(&mut self, ag: u32) -> Result<Inode> {
        let chunk = self.chunk_with_space(ag)?;
        let bit = chunk.usable().trailing_zeros();
        let mut taken = chunk;
        taken.free &= !(1_u64.checked_shl(bit).unwrap_or_default());
        taken.free_count = taken.free_count.saturating_sub(1);
        self.replace_chunk(ag, chunk, Some(taken))?;
        let agi = &mut self.edit_group(ag)?.agi;
        agi.free_count = agi.free_count.saturating_sub(1);
        self.fs.sb.free_inodes = self.fs.sb.free_inodes.saturating_sub(1);
        let number = self.fs.sb.join_inode(ag, chunk.start.saturating_add(bit));
        let inode = self.fs.any_inode(number)?;
        if inode.is_used() {
            return Err(inode.corrupt("it counts as free and is in use"));
        }
        Ok(inode)
    }

    /// Replaces the record of a chunk in both trees, or removes it.
    fn replace_chunk(&mut self, ag: u32, old: Chunk, new: Option<Chunk>) -> Result<()> {
        self.remove(ag, old)?;
        if let Some(new) = new {
            self.insert(ag, new)?;
        }
        if self.fs.sb.has_finobt() {
            if old.free_count > 0 {
                self.remove(ag, FreeChunk(old))?;
            }
            if let Some(new) = new.filter(|new| new.free_count > 0) {
                self.insert(ag, FreeChunk(new))?;
            }
        }
        Ok(())
    }

    /// Makes a chunk of free inodes in a group; `false` if it has no room for one.
    fn make_chunk(&mut self, ag: u32) -> Result<bool> {
        // With large blocks one block has several chunks.
        let inodes = self.fs.sb.inodes_per_block.max(CHUNK);
        let blocks = inodes >> self.fs.sb.inodes_per_block_log;
        let align = self.fs.sb.inode_alignment();
        let Some(run) = self.allocate_aligned(ag, blocks, align, owner::INODES)? else { return Ok(false) };
        let sb = self.fs.sb.clone();
        let first = run.start << sb.inodes_per_block_log;
        for block in run.start..run.start.saturating_add(run.len) {
            let mut bytes = Vec::with_capacity(index(sb.block_size));
            for slot in 0..sb.inodes_per_block {
                let within = (block << sb.inodes_per_block_log).saturating_add(slot);
                let number = sb.join_inode(ag, within);
                let generation = crc32c::crc32c(&number.to_be_bytes());
                bytes.extend(Inode::new_free(&sb, number, generation).encode(&sb)?);
            }
            self.fs.blocks.stage(sb.join(ag, block), bytes)?;
        }
        let mut start = first;
        while start < first.saturating_add(inodes) {
            let sparse = sb.has_sparse_inodes();
            let chunk = Chunk { start, holes: 0, count: 64, free_count: CHUNK, free: u64::MAX, sparse };
            self.insert(ag, chunk)?;
            if sb.has_finobt() {
                self.insert(ag, FreeChunk(chunk))?;
            }
            start = start.saturating_add(CHUNK);
        }
        let agi = &mut self.edit_group(ag)?.agi;
        agi.count = agi.count.saturating_add(inodes);
        agi.free_count = agi.free_count.saturating_add(inodes);
        agi.newest = first;
        self.fs.sb.inodes = self.fs.sb.inodes.saturating_add(inodes.into());
        self.fs.sb.free_inodes = self.fs.sb.free_inodes.saturating_add(inodes.into());
        Ok(true)
    }

    /// Makes an inode free again, and its chunk free space if it was the last one in use.
    pub(crate) fn free_inode(&mut self, mut inode: Inode) -> Result<()> {
        let (ag, within) = self.fs.sb.split_inode(inode.number);
        let corrupt = |what: &'static str| FsError::corrupt(format!("inobt of group {ag}"), 0, what);
        let chunk = self.fs.record_up_to::<Chunk>(ag, [within.into(), 0, 0])?;
        let chunk = chunk.filter(|chunk| within.saturating_sub(chunk.start) < CHUNK);
        let chunk = chunk.ok_or_else(|| corrupt("no chunk has an inode that is in use"))?;
        let bit = 1_u64.checked_shl(within.saturating_sub(chunk.start)).unwrap_or_default();
        if chunk.free & bit != 0 {
            return Err(corrupt("an inode that is in use counts as free"));
        }
        inode.end(&self.fs.sb);
        self.fs.stage_inode(&mut inode)?;
        let freed = Chunk { free: chunk.free | bit, free_count: chunk.free_count.saturating_add(1), ..chunk };
        let empty = freed.free == u64::MAX && self.fs.sb.inodes_per_block <= CHUNK;
        self.replace_chunk(ag, chunk, (!empty).then_some(freed))?;
        let agi = &mut self.edit_group(ag)?.agi;
        agi.free_count = agi.free_count.saturating_add(1);
        self.fs.sb.free_inodes = self.fs.sb.free_inodes.saturating_add(1);
        if empty { self.free_chunk(ag, freed) } else { Ok(()) }
    }

    /// Gives back the blocks of a chunk that is in no tree any more.
    fn free_chunk(&mut self, ag: u32, chunk: Chunk) -> Result<()> {
        let count = u32::from(chunk.count);
        let agi = &mut self.edit_group(ag)?.agi;
        agi.count = agi.count.saturating_sub(count);
        agi.free_count = agi.free_count.saturating_sub(chunk.free_count);
        if agi.newest == chunk.start {
            agi.newest = crate::ag::NULL;
        }
        self.fs.sb.inodes = self.fs.sb.inodes.saturating_sub(count.into());
        self.fs.sb.free_inodes = self.fs.sb.free_inodes.saturating_sub(chunk.free_count.into());
        let log = self.fs.sb.inodes_per_block_log;
        let blocks = CHUNK >> log;
        let first = chunk.start >> log;
        // Parts of four inodes may be missing; a block has one part or several, or a part has several blocks.
        let missing = |block: u32| {
            let part = (block << log) >> 2;
            chunk.holes >> part.min(15) & 1 == 1
        };
        let mut run = Run { ag, start: first, len: 0 };
        for block in 0..=blocks {
            if block < blocks && !missing(block) {
                run.len = run.len.saturating_add(1);
                continue;
            }
            if run.len > 0 {
                self.give_back(run, Owner::special(owner::INODES))?;
            }
            run = Run { ag, start: first.saturating_add(block).saturating_add(1), len: 0 };
        }
        Ok(())
    }
}
