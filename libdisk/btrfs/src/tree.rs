//! Walks through trees ("Trees").
//!
//! A block must hold the keys that the pointer to it promises: from the pointer's own key to below the next
//! pointer's. So a walk meets ascending keys, and no block twice, whatever the pointers say.

use std::ops::RangeInclusive;
use std::sync::Arc;

use vfs::{FsError, Result};

use crate::key::{Key, tree};
use crate::node::{Item, Node};
use crate::superblock::Root;
use crate::volume::{Expected, Volume};

/// A tree of items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree {
    pub(crate) id: u64,
    root: Root,
}

impl Tree {
    pub(crate) fn new(id: u64, root: Root) -> Self {
        Self { id, root }
    }

    fn root(&self) -> Expected {
        let Root { logical, level, generation } = self.root;
        Expected { logical, level, generation, first: None, below: None }
    }

    /// Whether a block is the one that the way to it tells of.
    pub(crate) fn check(&self, node: &Node, expected: &Expected) -> Result<()> {
        let wrong = |what: String| {
            let block = format!("tree block {:#x} of tree {}", expected.logical, self.id);
            Err(FsError::corrupt(block, node.place, what))
        };
        if node.level != expected.level {
            return wrong(format!("its level is {}, not {}", node.level, expected.level));
        }
        if node.generation != expected.generation {
            return wrong(format!("its generation is {}, not {}", node.generation, expected.generation));
        }
        // Subvolumes share blocks.
        let is_ours =
            node.owner == self.id || (tree::is_subvolume(self.id) && tree::is_subvolume(node.owner));
        if !is_ours {
            return wrong(format!("it belongs to tree {}", node.owner));
        }
        if expected.first.is_some() && node.key(0) != expected.first {
            return wrong("its first key is not that of the pointer to it".to_owned());
        }
        let last = node.len().checked_sub(1).and_then(|last| node.key(last));
        if let (Some(last), Some(below)) = (last, expected.below)
            && last >= below
        {
            return wrong("its last key is past that of the next block".to_owned());
        }
        Ok(())
    }
}

/// What a position of a node leads to; all keys of the node are below `below`.
fn child(node: &Node, at: usize, below: Option<Key>) -> Option<Expected> {
    let (logical, generation) = node.pointer(at)?;
    let below = node.key(at.saturating_add(1)).or(below);
    Some(Expected { logical, level: node.level.checked_sub(1)?, generation, first: node.key(at), below })
}

impl Volume {
    /// The items with keys in a range, ascending.
    pub(crate) fn items<'a>(&'a self, tree: &'a Tree, keys: RangeInclusive<Key>) -> Items<'a> {
        Items { volume: self, tree, keys, way: None }
    }

    /// The item with this key.
    pub(crate) fn item(&self, tree: &Tree, key: Key) -> Result<Option<Item>> {
        Ok(self.last_item(tree, key)?.filter(|item| item.key == key))
    }

    /// The last item up to this key.
    pub(crate) fn last_item(&self, tree: &Tree, key: Key) -> Result<Option<Item>> {
        let mut expected = tree.root();
        loop {
            let node = self.node(tree, &expected)?;
            let Some(at) = node.up_to(key).checked_sub(1) else { return Ok(None) };
            match child(&node, at, expected.below) {
                Some(below) => expected = below,
                None => return Ok(node.item(at)),
            }
        }
    }
}

/// A block on the way down, the position that comes next in it, and the key that ends it.
#[derive(Debug)]
struct Step {
    node: Arc<Node>,
    next: usize,
    below: Option<Key>,
}

/// Items of a tree. After an error there are no more.
#[derive(Debug)]
pub(crate) struct Items<'a> {
    volume: &'a Volume,
    tree: &'a Tree,
    keys: RangeInclusive<Key>,
    /// `None` before the first.
    way: Option<Vec<Step>>,
}

impl Items<'_> {
    /// A block, from the first position that can have keys of the range.
    fn enter(&self, expected: &Expected) -> Result<Step> {
        let node = self.volume.node(self.tree, expected)?;
        let up_to = node.up_to(*self.keys.start());
        let has_start = up_to.checked_sub(1).and_then(|at| node.key(at)) == Some(*self.keys.start());
        // In a node, the start may be below the pointer before.
        let back = usize::from(node.level > 0 || has_start);
        Ok(Step { next: up_to.saturating_sub(back), below: expected.below, node })
    }

    fn advance(&mut self) -> Result<Option<Item>> {
        if self.way.is_none() {
            let root = self.enter(&self.tree.root())?;
            self.way = Some(vec![root]);
        }
        loop {
            let Some(step) = self.way.as_mut().and_then(|way| way.last_mut()) else { return Ok(None) };
            let at = step.next;
            match step.node.key(at) {
                Some(key) if key > *self.keys.end() => return Ok(None),
                Some(_) => step.next = at.saturating_add(1),
                None => {
                    self.way.as_mut().and_then(Vec::pop);
                    continue;
                }
            }
            match child(&step.node, at, step.below) {
                Some(below) => {
                    let step = self.enter(&below)?;
                    self.way.get_or_insert_default().push(step);
                }
                None => return Ok(step.node.item(at)),
            }
        }
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if !matches!(next, Ok(Some(_))) {
            self.way = Some(Vec::new());
        }
        next.transpose()
    }
}
