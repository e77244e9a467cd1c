//! Free space: the two trees that hold it, the free list beside them, and handing out runs of blocks
//! ("AG Free Space B+Trees").

use vfs::{FsError, Result};

use crate::ag::Group;
use crate::btree::{FIRST, FreeByBlock, FreeBySize, LAST, Owned, owner};
use crate::bytes::{index, word};
use crate::change::Change;
use crate::extent::MAX_BLOCKS;

/// Free runs that are looked at for one with the right alignment.
const PATIENCE: usize = 64;

/// A run of blocks of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) ag: u32,
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Run {
    /// The block after the last.
    pub(crate) fn end(self) -> u32 {
        self.start.saturating_add(self.len)
    }
}

/// Who a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// An inode, or one of [`owner`].
    pub(crate) owner: u64,
    /// The block of the file, and flags, as in [`Owned`].
    pub(crate) offset: u64,
}

impl Owner {
    /// One that is no inode.
    pub(crate) fn special(owner: u64) -> Self {
        Self { owner, offset: 0 }
    }
}

/// Blocks that the free list of a group should have: enough for each tree to grow by a level.
fn list_len(group: &Group) -> usize {
    let agf = &group.agf;
    let trees = [Some(agf.by_block), Some(agf.by_size), agf.rmap];
    let levels = trees.iter().flatten().map(|root| root.levels.saturating_add(1));
    index(levels.fold(0, u32::saturating_add)).saturating_mul(2)
}

/// Free blocks of a group that files do not get: the trees must be able to grow.
fn reserve(group: &Group) -> u32 {
    word(list_len(group)).saturating_add(16)
}

impl Change<'_> {
    /// Takes a run out of the free run that it lies in.
    fn take(&mut self, run: Run) -> Result<()> {
        let key = [run.start.into(), u64::MAX, u64::MAX];
        let free = self.fs.record_up_to::<FreeByBlock>(run.ag, key)?;
        let free =
            free.filter(|free| u64::from(run.end()) <= u64::from(free.start).saturating_add(free.len.into()));
        let free = free.ok_or_else(|| FsError::corrupt("bnobt", 0, "free blocks are not there"))?;
        self.remove_free(run.ag, free)?;
        let free_end = free.start.saturating_add(free.len);
        self.insert_free(run.ag, free.start, run.start)?;
        self.insert_free(run.ag, run.end(), free_end)?;
        let agf = &mut self.edit_group(run.ag)?.agf;
        agf.free_blocks = agf.free_blocks.saturating_sub(run.len);
        self.measure(run.ag)
    }

    /// Adds a run to the free ones, joined with its neighbours.
    fn give(&mut self, run: Run) -> Result<()> {
        let corrupt = |what| FsError::corrupt(format!("bnobt of group {}", run.ag), 0, what);
        if run.len == 0
            || u64::from(run.start).saturating_add(run.len.into()) > self.fs.sb.ag_len(run.ag).into()
        {
            return Err(corrupt("blocks to free lie outside their group"));
        }
        let before = self.fs.record_up_to::<FreeByBlock>(run.ag, [run.start.into(), u64::MAX, 0])?;
        let after = self.fs.record_from::<FreeByBlock>(run.ag, [run.start.into(), 0, 0])?;
        let (mut start, mut end) = (run.start, run.end());
        if let Some(before) = before {
            let before_end = before.start.saturating_add(before.len);
            if before_end > run.start {
                return Err(corrupt("blocks to free are free already"));
            }
            if before_end == run.start {
                self.remove_free(run.ag, before)?;
                start = before.start;
            }
        }
        if let Some(after) = after {
            if after.start < end {
                return Err(corrupt("blocks to free are free already"));
            }
            if after.start == end {
                self.remove_free(run.ag, after)?;
                end = end.saturating_add(after.len);
            }
        }
        self.insert_free(run.ag, start, end)?;
        let agf = &mut self.edit_group(run.ag)?.agf;
        agf.free_blocks = agf.free_blocks.saturating_add(run.len);
        self.measure(run.ag)
    }

    fn insert_free(&mut self, ag: u32, start: u32, end: u32) -> Result<()> {
        let len = end.saturating_sub(start);
        if len == 0 {
            return Ok(());
        }
        self.insert(ag, FreeByBlock { start, len })?;
        self.insert(ag, FreeBySize { start, len })
    }

    fn remove_free(&mut self, ag: u32, free: FreeByBlock) -> Result<()> {
        self.remove(ag, free)?;
        self.remove(ag, FreeBySize { start: free.start, len: free.len })
    }

    /// Finds the longest free run anew.
    fn measure(&mut self, ag: u32) -> Result<()> {
        let longest = self.fs.record_up_to::<FreeBySize>(ag, LAST)?.map_or(0, |free| free.len);
        self.edit_group(ag)?.agf.longest = longest;
        Ok(())
    }

    /// A block of the free list, for a tree.
    pub(crate) fn take_from_list(&mut self, ag: u32) -> Result<u32> {
        let list = &mut self.edit_group(ag)?.free_list;
        if list.is_empty() {
            return Err(FsError::NoSpace("the list of free blocks of a group is empty"));
        }
        Ok(list.remove(0))
    }

    /// A block that a tree gives back.
    pub(crate) fn give_to_list(&mut self, ag: u32, block: u32) -> Result<()> {
        self.edit_group(ag)?.free_list.push(block);
        self.fs.blocks.forget(self.fs.sb.join(ag, block));
        Ok(())
    }

    /// Brings the free list to the length it should have, as far as there is space. What it has too much of
    /// it keeps for a while: a tree that loses a level with every block that goes, and wins it back with
    /// every one that comes, would have no end.
    fn level_list(&mut self, ag: u32) -> Result<()> {
        let owner = Owner::special(owner::GROUP);
        let group = self.edit_group(ag)?;
        let want = list_len(group);
        for _ in want.saturating_mul(2)..group.free_list.len() {
            let Some(block) = self.edit_group(ag)?.free_list.pop() else { break };
            let run = Run { ag, start: block, len: 1 };
            self.disown(run, owner)?;
            self.give(run)?;
        }
        for _ in 0..want {
            let missing = want.saturating_sub(self.edit_group(ag)?.free_list.len());
            // The shortest free run there is: nobody misses it.
            let free = self.fs.record_from::<FreeBySize>(ag, FIRST)?;
            let Some(free) = free.filter(|_| missing > 0) else { break };
            let run = Run { ag, start: free.start, len: free.len.min(word(missing)) };
            self.take(run)?;
            self.own(run, owner)?;
            self.edit_group(ag)?.free_list.extend(run.start..run.end());
        }
        Ok(())
    }

    /// Takes exactly this free run for an owner.
    fn take_for(&mut self, run: Run, owner: Owner) -> Result<Run> {
        self.take(run)?;
        self.own(run, owner)?;
        self.fs.sb.free_blocks = self.fs.sb.free_blocks.saturating_sub(run.len.into());
        Ok(run)
    }

    /// Gives a run of an owner back.
    pub(crate) fn give_back(&mut self, run: Run, owner: Owner) -> Result<()> {
        self.disown(run, owner)?;
        self.release(run)
    }

    /// Gives back a run that no one owns any more.
    pub(crate) fn release(&mut self, run: Run) -> Result<()> {
        for block in run.start..run.end() {
            self.fs.blocks.forget(self.fs.sb.join(run.ag, block));
        }
        self.give(run)?;
        self.fs.sb.free_blocks = self.fs.sb.free_blocks.saturating_add(run.len.into());
        self.level_list(run.ag)
    }

    /// One block of a group for one of its trees.
    pub(crate) fn take_one(&mut self, ag: u32, owner: u64) -> Result<u32> {
        self.level_list(ag)?;
        let free = self.fs.record_from::<FreeBySize>(ag, FIRST)?;
        let free = free.ok_or(FsError::NoSpace("no free blocks in a group for its trees"))?;
        let run = Run { ag, start: free.start, len: 1 };
        Ok(self.take_for(run, Owner::special(owner))?.start)
    }

    /// Gives such a block back.
    pub(crate) fn give_one(&mut self, ag: u32, block: u32, owner: u64) -> Result<()> {
        self.give_back(Run { ag, start: block, len: 1 }, Owner::special(owner))
    }

    /// Takes a run of at most `want` blocks, in the group `goal` or after it: the shortest free run that has
    /// them, else the longest there is.
    pub(crate) fn allocate(&mut self, goal: u32, want: u64, owner: Owner) -> Result<Run> {
        let want = word(want.clamp(1, MAX_BLOCKS));
        let groups = self.fs.sb.ag_count;
        let goal = if goal < groups { goal } else { 0 };
        let mut best: Option<(u32, u32)> = None;
        for ag in (goal..groups).chain(0..goal) {
            let group = self.fs.group(ag)?;
            let room = group.agf.free_blocks.saturating_sub(reserve(&group)).min(group.agf.longest);
            if room > best.map_or(0, |(_, room)| room) {
                best = Some((ag, room));
            }
            if room >= want {
                break;
            }
        }
        let (ag, room) = best.ok_or(FsError::NoSpace("no free blocks"))?;
        self.level_list(ag)?;
        let len = want.min(room);
        let free = match self.fs.record_from::<FreeBySize>(ag, [len.into(), 0, 0])? {
            Some(free) => Some(free),
            None => self.fs.record_up_to::<FreeBySize>(ag, LAST)?,
        };
        let free = free.ok_or(FsError::NoSpace("no free blocks"))?;
        self.take_for(Run { ag, start: free.start, len: len.min(free.len) }, owner)
    }

    /// Takes a run of exactly `len` blocks that starts at a multiple of `align`, in this group; `None` if
    /// there is none.
    pub(crate) fn allocate_aligned(
        &mut self,
        ag: u32,
        len: u32,
        align: u32,
        owner: u64,
    ) -> Result<Option<Run>> {
        let group = self.fs.group(ag)?;
        if group.agf.longest < len || group.agf.free_blocks < len.saturating_add(reserve(&group)) {
            return Ok(None);
        }
        self.level_list(ag)?;
        let certain = len.saturating_add(align).saturating_sub(1);
        let fit = |free: FreeBySize| {
            let start = free.start.checked_next_multiple_of(align)?;
            let end = start.checked_add(len)?;
            (end <= free.start.checked_add(free.len)?).then_some(Run { ag, start, len })
        };
        let mut found = None;
        let mut seen = 0_usize;
        for from in [len, certain] {
            self.fs.records(ag, ([from.into(), 0, 0], LAST), &mut |free: FreeBySize| {
                found = fit(free);
                seen = seen.saturating_add(1);
                Ok(found.is_none() && seen < PATIENCE)
            })?;
            if found.is_some() {
                break;
            }
            seen = 0;
        }
        match found {
            Some(run) => self.take_for(run, Owner::special(owner)).map(Some),
            None => Ok(None),
        }
    }

    /// Takes a run of blocks of an inode apart from it: shared ones lose one owner, all others become free.
    pub(crate) fn give_back_shared(&mut self, run: Run, owner: Owner) -> Result<()> {
        self.disown(run, owner)?;
        for run in self.unshare(run)? {
            self.release(run)?;
        }
        Ok(())
    }
}

impl Owner {
    /// The record of a run that it owns.
    pub(crate) fn record(self, run: Run) -> Owned {
        Owned { start: run.start, len: run.len, owner: self.owner, offset: self.offset }
    }
}
