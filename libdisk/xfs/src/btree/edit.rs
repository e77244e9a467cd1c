//! Inserting and removing records.
//!
//! A change goes down to a leaf and comes back up: a block that has become too full is split, one that has
//! become less than half full shares with a neighbour or takes it in, and every parent learns the keys of the
//! child that changed.

use vfs::{FsError, Result};

use super::node::{Child, Entries, Node, capacity};
use super::{Key, Record};
use crate::ag::{MAX_LEVELS, NULL, Root};
use crate::change::Change;

/// A node on the way from the root to a leaf.
struct Step<R> {
    block: u32,
    node: Node<R>,
    /// The child that the way leads to, or the place of the record in a leaf.
    slot: usize,
}

fn corrupt<R: Record>(ag: u32, what: &'static str) -> FsError {
    FsError::corrupt(format!("{} of group {ag}", R::KIND.name), 0, what)
}

impl Change<'_> {
    /// Adds a record; there is none with its key yet.
    pub(crate) fn insert<R: Record>(&mut self, ag: u32, record: R) -> Result<()> {
        let mut steps = self.path::<R>(ag, record.key())?;
        let leaf = steps.last_mut().ok_or_else(|| corrupt::<R>(ag, "it has no root"))?;
        if let Entries::Records(records) = &mut leaf.node.entries {
            if records.get(leaf.slot).is_some_and(|there| there.key() == record.key()) {
                return Err(corrupt::<R>(ag, "it has the new record already"));
            }
            records.insert(leaf.slot.min(records.len()), record);
        }
        self.settle(ag, steps)
    }

    /// Takes a record out; it must be there.
    pub(crate) fn remove<R: Record>(&mut self, ag: u32, record: R) -> Result<()> {
        let mut steps = self.path::<R>(ag, record.key())?;
        let leaf = steps.last_mut().ok_or_else(|| corrupt::<R>(ag, "it has no root"))?;
        if let Entries::Records(records) = &mut leaf.node.entries {
            if records.get(leaf.slot) != Some(&record) {
                return Err(corrupt::<R>(ag, "a record that another structure tells of is not there"));
            }
            records.remove(leaf.slot);
        }
        self.settle(ag, steps)
    }

    fn path<R: Record>(&self, ag: u32, key: Key) -> Result<Vec<Step<R>>> {
        let root = self.fs.root_of::<R>(ag)?.ok_or_else(|| corrupt::<R>(ag, "there is no such tree"))?;
        let mut steps: Vec<Step<R>> = Vec::new();
        let mut block = root.block;
        for level in (0..root.levels).rev() {
            let node = self.fs.node::<R>(ag, block, level)?;
            let slot = match &node.entries {
                Entries::Records(records) => records.partition_point(|record| record.key() < key),
                Entries::Children(children) => {
                    let slot = children.partition_point(|child| child.low <= key).saturating_sub(1);
                    let child = children.get(slot).ok_or_else(|| corrupt::<R>(ag, "a node is empty"))?;
                    steps.push(Step { block, node: node.clone(), slot });
                    block = child.block;
                    continue;
                }
            };
            steps.push(Step { block, node, slot });
        }
        Ok(steps)
    }

    /// Brings a changed leaf and the nodes above it in order.
    fn settle<R: Record>(&mut self, ag: u32, mut steps: Vec<Step<R>>) -> Result<()> {
        while let Some(step) = steps.pop() {
            match steps.last_mut() {
                Some(parent) => self.settle_child(ag, parent, step)?,
                None => self.settle_root(ag, step)?,
            }
        }
        Ok(())
    }

    fn settle_root<R: Record>(&mut self, ag: u32, mut root: Step<R>) -> Result<()> {
        let level = root.node.level;
        if root.node.len() > capacity::<R>(&self.fs.sb, level) {
            if level.saturating_add(1) >= MAX_LEVELS {
                return Err(FsError::NoSpace("a tree of a group cannot grow higher"));
            }
            let (left, right) = self.split(ag, &mut root)?;
            let block = self.tree_block::<R>(ag)?;
            let entries = Entries::Children(vec![left, right]);
            let level = level.saturating_add(1);
            self.fs.stage_node::<R>(ag, block, &Node { level, left: NULL, right: NULL, entries })?;
            return self.set_root::<R>(ag, Root { block, levels: level.saturating_add(1) });
        }
        match &root.node.entries {
            Entries::Children(children) if children.len() == 1 => {
                let only = children.first().map_or(NULL, |child| child.block);
                self.set_root::<R>(ag, Root { block: only, levels: level })?;
                self.free_tree_block::<R>(ag, root.block)
            }
            _ => self.fs.stage_node(ag, root.block, &root.node),
        }
    }

    fn set_root<R: Record>(&mut self, ag: u32, root: Root) -> Result<()> {
        R::set_root(self.edit_group(ag)?, root);
        Ok(())
    }

    fn settle_child<R: Record>(&mut self, ag: u32, parent: &mut Step<R>, mut child: Step<R>) -> Result<()> {
        let most = capacity::<R>(&self.fs.sb, child.node.level);
        let Entries::Children(siblings) = &mut parent.node.entries else {
            return Err(corrupt::<R>(ag, "a leaf has children"));
        };
        let slot = parent.slot;
        if child.node.len() > most {
            let (left, right) = self.split(ag, &mut child)?;
            siblings.splice(slot..=slot, [left, right]);
            return Ok(());
        }
        // The neighbour to the right, else the one to the left.
        let first = if slot.saturating_add(1) < siblings.len() { slot } else { slot.saturating_sub(1) };
        let second = first.saturating_add(1);
        if child.node.len() >= most >> 1 || second >= siblings.len() {
            self.fs.stage_node(ag, child.block, &child.node)?;
            let entry =
                child.node.as_child(child.block).ok_or_else(|| corrupt::<R>(ag, "a block is empty"))?;
            siblings.splice(slot..=slot, [entry]);
            return Ok(());
        }
        let other = if first == slot { second } else { first };
        let other = siblings.get(other).ok_or_else(|| corrupt::<R>(ag, "a node is empty"))?.block;
        let other = Step { block: other, node: self.fs.node(ag, other, child.node.level)?, slot: 0 };
        let (mut left, right) = if first == slot { (child, other) } else { (other, child) };
        let after = right.node.right;
        left.node.append(right.node);
        if left.node.len() <= most {
            left.node.right = after;
            self.link_back::<R>(ag, after, left.block, left.node.level)?;
            self.fs.stage_node(ag, left.block, &left.node)?;
            let entry = left.node.as_child(left.block).ok_or_else(|| corrupt::<R>(ag, "a block is empty"))?;
            siblings.splice(first..=second, [entry]);
            return self.free_tree_block::<R>(ag, right.block);
        }
        left.node.right = after;
        let pair = self.divide(ag, &mut left, right.block)?;
        siblings.splice(first..=second, [pair.0, pair.1]);
        Ok(())
    }

    /// Moves the upper half of a node to a new block at its right.
    fn split<R: Record>(&mut self, ag: u32, step: &mut Step<R>) -> Result<(Child, Child)> {
        let block = self.tree_block::<R>(ag)?;
        self.divide(ag, step, block)
    }

    /// Moves the upper half of a node to this block, and stages both.
    fn divide<R: Record>(&mut self, ag: u32, step: &mut Step<R>, block: u32) -> Result<(Child, Child)> {
        let mut right = step.node.split_off(step.node.len() >> 1);
        right.left = step.block;
        step.node.right = block;
        self.link_back::<R>(ag, right.right, block, right.level)?;
        self.fs.stage_node(ag, step.block, &step.node)?;
        self.fs.stage_node(ag, block, &right)?;
        let entry = |node: &Node<R>, block: u32| {
            node.as_child(block).ok_or_else(|| corrupt::<R>(ag, "a block is empty"))
        };
        Ok((entry(&step.node, step.block)?, entry(&right, block)?))
    }

    /// Tells a block that its left neighbour is another one now.
    fn link_back<R: Record>(&mut self, ag: u32, block: u32, left: u32, level: u32) -> Result<()> {
        if block == NULL {
            return Ok(());
        }
        let mut node = self.fs.node::<R>(ag, block, level)?;
        node.left = left;
        self.fs.stage_node(ag, block, &node)
    }

    /// A block for a tree.
    fn tree_block<R: Record>(&mut self, ag: u32) -> Result<u32> {
        let block = match R::OWNER {
            Some(owner) => self.take_one(ag, owner)?,
            None => self.take_from_list(ag)?,
        };
        R::count_block(self.edit_group(ag)?, true);
        Ok(block)
    }

    fn free_tree_block<R: Record>(&mut self, ag: u32, block: u32) -> Result<()> {
        R::count_block(self.edit_group(ag)?, false);
        match R::OWNER {
            Some(owner) => self.give_one(ag, block, owner),
            None => self.give_to_list(ag, block),
        }
    }
}
