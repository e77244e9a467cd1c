//! Who owns each block ("Reverse-Mapping B+Tree").

use vfs::{FsError, Result};

use crate::btree::Owned;
use crate::change::Change;
use crate::space::{Owner, Run};

/// Keys of the records that cover any of the blocks `from` to `to`.
fn covering(from: u32, to: u32) -> ([u64; 3], [u64; 3]) {
    ([from.into(), 0, 0], [to.into(), u64::MAX, u64::MAX])
}

/// Whether the second run goes on where the first one ends, in the volume and in its owner.
fn follows(first: &Owned, second: &Owned) -> bool {
    first.end() == u64::from(second.start)
        && first.owner == second.owner
        && first.offset & Owned::FLAGS == second.offset & Owned::FLAGS
        && (!first.has_offset() || first.offset.saturating_add(first.len.into()) == second.offset)
}

/// The part of a record from its block `skipped` on, so many blocks long.
fn cut(record: &Owned, skipped: u32, len: u32) -> Owned {
    let offset =
        if record.has_offset() { record.offset.saturating_add(skipped.into()) } else { record.offset };
    Owned { start: record.start.saturating_add(skipped), len, offset, ..*record }
}

impl Change<'_> {
    /// The record that covers a run of blocks of an owner, or its first blocks.
    fn owned(&self, run: Run, owner: Owner) -> Result<Owned> {
        let wanted = owner.record(run);
        let mut found = None;
        self.fs.records(run.ag, covering(run.start, run.start), &mut |record: Owned| {
            let part = cut(&record, run.start.saturating_sub(record.start), run.len);
            if part == wanted {
                found = Some(record);
            }
            Ok(found.is_none())
        })?;
        let missing = || {
            let structure = format!("rmapbt of group {}", run.ag);
            let byte = self.fs.sb.ag_byte(run.ag, run.start);
            FsError::corrupt(
                structure,
                byte,
                format!("it does not know that {:#x} owns a block", owner.owner),
            )
        };
        found.ok_or_else(missing)
    }

    /// Writes down that blocks have this owner.
    pub(crate) fn own(&mut self, run: Run, owner: Owner) -> Result<()> {
        if !self.fs.sb.has_rmapbt() {
            return Ok(());
        }
        let mut new = owner.record(run);
        let (mut before, mut after) = (None, None);
        let range = covering(run.start.saturating_sub(1), run.start.saturating_add(run.len));
        self.fs.records(run.ag, range, &mut |record: Owned| {
            if follows(&record, &new) {
                before = Some(record);
            } else if follows(&new, &record) {
                after = Some(record);
            }
            Ok(true)
        })?;
        if let Some(before) = before {
            self.remove(run.ag, before)?;
            new = Owned { len: before.len.saturating_add(new.len), ..before };
        }
        if let Some(after) = after {
            self.remove(run.ag, after)?;
            new.len = new.len.saturating_add(after.len);
        }
        self.insert(run.ag, new)
    }

    /// Writes down that blocks do not have this owner any more.
    pub(crate) fn disown(&mut self, run: Run, owner: Owner) -> Result<()> {
        if !self.fs.sb.has_rmapbt() {
            return Ok(());
        }
        let (mut run, mut owner) = (run, owner);
        while run.len > 0 {
            let record = self.owned(run, owner)?;
            let skipped = run.start.saturating_sub(record.start);
            let len = run.len.min(record.len.saturating_sub(skipped));
            if len == 0 {
                return Err(FsError::corrupt("rmapbt", 0, "a record has no blocks"));
            }
            self.remove(run.ag, record)?;
            let rest = skipped.saturating_add(len);
            for (skipped, len) in [(0, skipped), (rest, record.len.saturating_sub(rest))] {
                if len > 0 {
                    self.insert(run.ag, cut(&record, skipped, len))?;
                }
            }
            owner.offset = cut(&owner.record(run), len, 0).offset;
            run = Run { start: run.start.saturating_add(len), len: run.len.saturating_sub(len), ..run };
        }
        Ok(())
    }
}
