//! Finishing what the log says was begun, in the order in which it was begun.

use vfs::{FsError, Result};

use crate::btree::{Owned, Shared};
use crate::change::Change;
use crate::extent::{self, Extent, Side};
use crate::log::{Intent, MappedRun, PhysicalRun};
use crate::space::{Owner, Run};

/// `rm_owner` of blocks set aside for copies on write.
pub(super) const COPY_ON_WRITE: u64 = (-9_i64).cast_unsigned();

/// `me_flags` and `pe_flags`: the lowest byte says what to do.
const TYPE: u32 = 0xff;

/// `me_flags` of changes of owners ("Reverse Mapping Updates Intent").
mod owners {
    pub(super) const ATTR: u32 = 1 << 31;
    pub(super) const TREE: u32 = 1 << 30;
    pub(super) const UNWRITTEN: u32 = 1 << 29;
    /// Their types; the second of each pair is for shared blocks.
    pub(super) const MAP: [u32; 3] = [1, 2, 7];
    pub(super) const UNMAP: [u32; 3] = [3, 4, 8];
    pub(super) const CONVERT: [u32; 2] = [5, 6];
}

/// `pe_flags` ("Reference Count Updates Intent").
mod sharing {
    pub(super) const INCREASE: u32 = 1;
    pub(super) const DECREASE: u32 = 2;
    pub(super) const STAGE: u32 = 3;
    pub(super) const UNSTAGE: u32 = 4;
}

/// `me_flags` of changes of mappings ("File Block Mapping Intent").
mod mapping {
    pub(super) const ATTR: u32 = 1 << 31;
    pub(super) const UNWRITTEN: u32 = 1 << 30;
    pub(super) const MAP: u32 = 1;
    pub(super) const UNMAP: u32 = 2;
}

fn unknown(what: &str, flags: u32) -> FsError {
    FsError::unsupported(format!("XFS with an unfinished {what} of the unknown type {flags:#x} in the log"))
}

impl Change<'_> {
    /// Finishes an intent.
    pub(super) fn finish_intent(&mut self, intent: Intent) -> Result<()> {
        tracing::debug!(?intent, "finishing");
        match intent {
            Intent::Free(runs) => runs.into_iter().try_for_each(|run| self.finish_free(run)),
            Intent::Owners(runs) => runs.into_iter().try_for_each(|run| self.finish_owners(run)),
            Intent::Sharing(runs) => runs.into_iter().try_for_each(|run| self.finish_sharing(run)),
            Intent::Mapping(runs) => runs.into_iter().try_for_each(|run| self.finish_mapping(run)),
            Intent::Other(name) => {
                Err(FsError::unsupported(format!("XFS with {name} that was not finished in the log")))
            }
        }
    }

    fn run(&self, start: u64, len: u32) -> Result<Run> {
        self.fs.sb.check_run(start, len.into())?;
        let (ag, start) = self.fs.sb.split(start);
        Ok(Run { ag, start, len })
    }

    /// Frees blocks. Nobody says who owned them, and often that was written down already.
    fn finish_free(&mut self, run: PhysicalRun) -> Result<()> {
        let run = self.run(run.start, run.len)?;
        let mut owner = None;
        let key = [run.start.into(), 0, 0];
        self.fs.records(run.ag, (key, [run.start.into(), u64::MAX, u64::MAX]), &mut |record: Owned| {
            let skipped = run.start.saturating_sub(record.start);
            let offset = if record.has_offset() {
                record.offset.saturating_add(skipped.into())
            } else {
                record.offset
            };
            owner = Some(Owner { owner: record.owner, offset });
            Ok(false)
        })?;
        match owner {
            Some(owner) => self.give_back(run, owner),
            None => self.release(run),
        }
    }

    fn finish_owners(&mut self, mapped: MappedRun) -> Result<()> {
        let run = self.run(mapped.start, mapped.len)?;
        let flags =
            [(owners::ATTR, Owned::ATTR), (owners::TREE, Owned::TREE), (owners::UNWRITTEN, Owned::UNWRITTEN)];
        let flags = flags.iter().filter(|(flag, _)| mapped.flags & flag != 0);
        let flags = flags.fold(0, |flags, (_, flag)| flags | flag);
        let counts = Owned::is_inode(mapped.owner) && flags & Owned::TREE == 0;
        let offset = if counts { mapped.offset } else { 0 } | flags;
        let owner = Owner { owner: mapped.owner, offset };
        match mapped.flags & TYPE {
            kind if owners::MAP.contains(&kind) => self.own(run, owner),
            kind if owners::UNMAP.contains(&kind) => self.disown(run, owner),
            kind if owners::CONVERT.contains(&kind) => {
                self.disown(run, Owner { offset: offset ^ Owned::UNWRITTEN, ..owner })?;
                self.own(run, owner)
            }
            _ => Err(unknown("change of owners (RUI)", mapped.flags)),
        }
    }

    fn finish_sharing(&mut self, physical: PhysicalRun) -> Result<()> {
        let run = self.run(physical.start, physical.len)?;
        match physical.flags & TYPE {
            sharing::INCREASE => self.share(run),
            sharing::DECREASE => self.unshare(run)?.into_iter().try_for_each(|run| self.release(run)),
            sharing::STAGE => self.insert(run.ag, staged(run.start, run.len)),
            sharing::UNSTAGE => self.unstage(run),
            _ => Err(unknown("change of shared blocks (CUI)", physical.flags)),
        }
    }

    /// Takes blocks out of those that are set aside for copies on write.
    fn unstage(&mut self, run: Run) -> Result<()> {
        let key = u64::from(run.start | Shared::STAGING);
        let record = self.fs.record_up_to::<Shared>(run.ag, [key, 0, 0])?;
        let (start, end) = (run.start | Shared::STAGING, run.end() | Shared::STAGING);
        let record = record.filter(|record| record.start >= Shared::STAGING && record.end() >= end);
        let record = record.ok_or_else(|| {
            FsError::corrupt(
                format!("refcountbt of group {}", run.ag),
                0,
                "it does not know of blocks set aside",
            )
        })?;
        self.remove(run.ag, record)?;
        for (start, end) in [(record.start, start), (end, record.end())] {
            if start < end {
                self.insert(run.ag, staged(start, end.saturating_sub(start)))?;
            }
        }
        Ok(())
    }

    fn finish_mapping(&mut self, mapped: MappedRun) -> Result<()> {
        let run = self.run(mapped.start, mapped.len)?;
        let attr = mapped.flags & mapping::ATTR != 0;
        let side = if attr { Side::Attr } else { Side::Data };
        let mut inode = self.fs.inode(mapped.owner)?;
        let new = Extent {
            logical: mapped.offset,
            physical: mapped.start,
            len: mapped.len.into(),
            unwritten: mapped.flags & mapping::UNWRITTEN != 0,
        };
        let flags = if attr { Owned::ATTR } else { 0 } | if new.unwritten { Owned::UNWRITTEN } else { 0 };
        let owner = Owner { owner: mapped.owner, offset: mapped.offset | flags };
        let old = self.fs.extents(&inode, side)?;
        let (mut before, mut after): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        let mut replaced = Vec::new();
        for extent in old {
            before.extend(extent.cut(0, new.logical));
            replaced.extend(extent.cut(new.logical, new.end()));
            after.extend(extent.cut(new.end(), u64::MAX));
        }
        match mapped.flags & TYPE {
            mapping::MAP if replaced.is_empty() => {
                self.own(run, owner)?;
                inode.count_blocks(new.len, 0);
                before.push(new);
            }
            mapping::UNMAP if replaced == [new] => {
                self.disown(run, owner)?;
                inode.count_blocks(0, new.len);
            }
            mapping::MAP | mapping::UNMAP => {
                return Err(inode.corrupt("its mapping is not what the log says"));
            }
            _ => return Err(unknown("change of a mapping (BUI)", mapped.flags)),
        }
        let mut extents = Vec::new();
        before.into_iter().chain(after).for_each(|extent| extent::push(&mut extents, &self.fs.sb, extent));
        self.set_extents(&mut inode, side, extents)?;
        self.fs.stage_inode(&mut inode)
    }
}

/// The record of blocks set aside for copies on write.
fn staged(start: u32, len: u32) -> Shared {
    Shared { start: start | Shared::STAGING, len, count: 1 }
}
