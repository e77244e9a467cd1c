//! Searches.

use std::collections::HashSet;

use vfs::{FsError, Result};

use super::node::{Child, Entries};
use super::{Key, Record};
use crate::Xfs;
use crate::ag::{Group, Root};

/// The lowest and the highest key.
pub(crate) const FIRST: Key = [0; 3];
pub(crate) const LAST: Key = [u64::MAX; 3];

/// A visit to all records in a range of keys.
struct Visit<'a, R> {
    fs: &'a Xfs,
    ag: u32,
    from: Key,
    to: Key,
    /// Takes a record; `false` ends the visit.
    each: &'a mut dyn FnMut(R) -> Result<bool>,
    /// A block that is met twice would make the tree endless.
    seen: HashSet<u32>,
}

impl<R: Record> Visit<'_, R> {
    fn node(&mut self, block: u32, level: u32) -> Result<bool> {
        if !self.seen.insert(block) {
            let byte = self.fs.sb.ag_byte(self.ag, block);
            let structure = format!("{} of group {}", R::KIND.name, self.ag);
            return Err(FsError::corrupt(structure, byte, "a block has two parents"));
        }
        match self.fs.node::<R>(self.ag, block, level)?.entries {
            Entries::Records(records) => {
                for record in records {
                    if record.high_key() >= self.from && record.key() <= self.to && !(self.each)(record)? {
                        return Ok(false);
                    }
                }
            }
            Entries::Children(children) => {
                let level = level.saturating_sub(1);
                for child in self.overlapping(&children) {
                    if !self.node(child.block, level)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// The children that may have records of the range.
    fn overlapping(&self, children: &[Child]) -> Vec<Child> {
        let first = match R::OVERLAPPING {
            true => 0,
            false => children.partition_point(|child| child.low <= self.from).saturating_sub(1),
        };
        let end = children.partition_point(|child| child.low <= self.to);
        let children = children.get(first..end).unwrap_or_default();
        children.iter().filter(|child| !R::OVERLAPPING || child.high >= self.from).copied().collect()
    }
}

impl Xfs {
    /// The root of a tree of a group; `None` where the file system has no such tree.
    pub(super) fn root_of<R: Record>(&self, ag: u32) -> Result<Option<Root>> {
        Ok(match self.groups.get(&ag) {
            Some(group) => R::root(group),
            None => R::root(&Group::read(self, ag)?),
        })
    }

    /// Hands all records that touch a range of keys to `each`, ascending, until it says `false`.
    pub(crate) fn records<R: Record>(
        &self,
        ag: u32,
        (from, to): (Key, Key),
        each: &mut dyn FnMut(R) -> Result<bool>,
    ) -> Result<()> {
        if let Some(root) = self.root_of::<R>(ag)? {
            let mut visit = Visit { fs: self, ag, from, to, each, seen: HashSet::new() };
            visit.node(root.block, root.levels.saturating_sub(1))?;
        }
        Ok(())
    }

    /// The first record whose key is at least `key`.
    pub(crate) fn record_from<R: Record>(&self, ag: u32, key: Key) -> Result<Option<R>> {
        let mut found = None;
        self.records(ag, (key, LAST), &mut |record: R| {
            if record.key() >= key {
                found = Some(record);
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// The last record whose key is at most `key`.
    pub(crate) fn record_up_to<R: Record>(&self, ag: u32, key: Key) -> Result<Option<R>> {
        let Some(root) = self.root_of::<R>(ag)? else { return Ok(None) };
        let mut block = root.block;
        for level in (0..root.levels).rev() {
            match self.node::<R>(ag, block, level)?.entries {
                Entries::Records(records) => {
                    let after = records.partition_point(|record| record.key() <= key);
                    return Ok(after.checked_sub(1).and_then(|at| records.get(at).copied()));
                }
                Entries::Children(children) => {
                    let after = children.partition_point(|child| child.low <= key);
                    match after.checked_sub(1).and_then(|at| children.get(at)) {
                        Some(child) => block = child.block,
                        None => return Ok(None),
                    }
                }
            }
        }
        Ok(None)
    }
}
