//! Lists of subkeys: a key goes to its place in them, and a list that is full is split.

use super::Edit;
use crate::cells::{NONE, narrow};
use crate::error::{Error, Result};
use crate::key::KeyNode;
use crate::name;
use crate::subkeys::{Leaf, LeafKind, Lists};

/// A leaf of so many keys is split when one is added: Windows 7 has no larger ones, Windows 10 none larger
/// than the second. One that is larger than the first is of the second kind.
const FULL: [usize; 2] = [506, 1012];

impl Edit {
    fn name_of(&self, at: u32) -> Result<String> {
        KeyNode::read(&self.hive.cells, at)?.name(&self.hive.cells, at)
    }

    /// Puts a key into its parent's lists.
    pub(super) fn add_to_list(&mut self, parent: u32, key: u32, name: &str) -> Result<()> {
        let node = KeyNode::read(&self.hive.cells, parent)?;
        let mut lists = Lists::read(&self.hive.cells, &node, parent)?;
        if lists.leaves.is_empty() {
            let kind = if self.hive.minor() >= 5 { LeafKind::Hash } else { LeafKind::Hint };
            let at = self.allocate(kind.stride().saturating_add(4))?;
            lists.leaves.push(Leaf { at, kind, entries: Vec::new() });
        }
        // The last leaf whose first key is not behind the new one.
        let mut which = 0_usize;
        for (n, leaf) in lists.leaves.iter().enumerate().skip(1) {
            let first = leaf.keys().next().unwrap_or(NONE);
            if name::order(&self.name_of(first)?, name).is_gt() {
                break;
            }
            which = n;
        }
        let Some(leaf) = lists.leaves.get_mut(which) else { return Ok(()) };
        let mut place = 0_usize;
        for key in leaf.keys() {
            let known = KeyNode::read(&self.hive.cells, key)?.name(&self.hive.cells, key)?;
            if name::order(&known, name).is_gt() {
                break;
            }
            place = place.saturating_add(1);
        }
        leaf.entries.insert(place, leaf.kind.entry(key, name));
        let len = leaf.entries.len().saturating_sub(1);
        if FULL.contains(&len) || len > FULL.into_iter().max().unwrap_or(0) {
            let entries = leaf.entries.split_off(len.div_euclid(2));
            let kind = leaf.kind;
            let mut behind = Leaf { at: NONE, kind, entries };
            behind.at = self.replace(None, &behind.bytes())?;
            lists.leaves.insert(which.saturating_add(1), behind);
        }
        self.write_lists(parent, &mut lists, which)
    }

    /// Takes a key out of its parent's lists.
    pub(super) fn remove_from_list(&mut self, parent: u32, key: u32) -> Result<()> {
        let node = KeyNode::read(&self.hive.cells, parent)?;
        let mut lists = Lists::read(&self.hive.cells, &node, parent)?;
        let place = lists
            .leaves
            .iter()
            .enumerate()
            .find_map(|(n, leaf)| leaf.keys().position(|found| found == key).map(|at| (n, at)));
        let lost = || Error::corrupt("key", key, "its parent does not list it");
        let (which, at) = place.ok_or_else(lost)?;
        if let Some(leaf) = lists.leaves.get_mut(which) {
            leaf.entries.remove(at);
        }
        if lists.leaves.get(which).is_some_and(|leaf| leaf.entries.is_empty()) {
            let empty = lists.leaves.remove(which);
            self.release(empty.at)?;
        }
        self.write_lists(parent, &mut lists, which)
    }

    /// Writes the leaf that was changed, the list of leaves, and what the key says of both.
    fn write_lists(&mut self, key: u32, lists: &mut Lists, which: usize) -> Result<()> {
        if let Some(leaf) = lists.leaves.get_mut(which) {
            leaf.at = self.replace(Some(leaf.at), &leaf.bytes())?;
        }
        let list = match (lists.root, &*lists.leaves) {
            (root, []) => {
                if let Some(root) = root {
                    self.release(root)?;
                }
                NONE
            }
            (None, [leaf]) => leaf.at,
            (root, leaves) => {
                let count = u16::try_from(leaves.len()).map_err(|_| Error::Refused {
                    what: "one more key".to_owned(),
                    why: "its parent has as many as one can have",
                })?;
                let mut bytes = [*b"ri", count.to_le_bytes()].concat();
                leaves.iter().for_each(|leaf| bytes.extend(leaf.at.to_le_bytes()));
                self.replace(root, &bytes)?
            }
        };
        let mut node = KeyNode::read(&self.hive.cells, key)?;
        node.subkey_list = list.into();
        node.subkeys = narrow(lists.keys().count()).into();
        self.write_key(key, &mut node)
    }

    /// Frees the lists of a key that goes.
    pub(super) fn free_lists(&mut self, lists: &Lists) -> Result<()> {
        lists.leaves.iter().map(|leaf| leaf.at).chain(lists.root).try_for_each(|at| self.release(at))
    }
}
