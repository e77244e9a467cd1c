//! What is left when a machine stops: inodes that were open without a name, and blocks set aside for copies
//! on write.

use vfs::{FsError, Result};

use super::intents::COPY_ON_WRITE;
use crate::ag::NULL;
use crate::btree::{LAST, Shared};
use crate::change::Change;
use crate::space::{Owner, Run};

impl Change<'_> {
    /// Removes all inodes that have no name; how many there were.
    pub(super) fn remove_nameless(&mut self) -> Result<u64> {
        let mut removed = 0_u64;
        for ag in 0..self.fs.sb.ag_count {
            for bucket in 0..self.fs.group(ag)?.agi.unlinked.len() {
                while let Some(first) = self.first_nameless(ag, bucket)? {
                    let inode = self.fs.any_inode(self.fs.sb.join_inode(ag, first))?;
                    if !inode.is_used() || inode.links() != 0 {
                        return Err(
                            inode.corrupt("it is in a list of inodes without a name, and should not be")
                        );
                    }
                    let next = inode.next_unlinked();
                    let list = self.edit_group(ag)?.agi.unlinked.get_mut(bucket);
                    *list.ok_or(FsError::NotFound)? = next;
                    self.remove_inode(inode)?;
                    removed = removed.saturating_add(1);
                }
            }
        }
        Ok(removed)
    }

    fn first_nameless(&self, ag: u32, bucket: usize) -> Result<Option<u32>> {
        let first = self.fs.group(ag)?.agi.unlinked.get(bucket).copied();
        Ok(first.filter(|&first| first != NULL))
    }

    /// Frees all blocks that were set aside for copies on write; how many runs there were.
    pub(super) fn free_staged(&mut self) -> Result<u64> {
        let mut freed = 0_u64;
        for ag in 0..self.fs.sb.ag_count {
            let mut staged = Vec::new();
            let first = [Shared::STAGING.into(), 0, 0];
            self.fs.records(ag, (first, LAST), &mut |record: Shared| {
                staged.push(record);
                Ok(true)
            })?;
            for record in staged {
                self.remove(ag, record)?;
                let run = Run { ag, start: record.start & !Shared::STAGING, len: record.len };
                self.fs.sb.check_run(self.fs.sb.join(ag, run.start), run.len.into())?;
                self.give_back(run, Owner::special(COPY_ON_WRITE))?;
                freed = freed.saturating_add(1);
            }
        }
        Ok(freed)
    }
}
