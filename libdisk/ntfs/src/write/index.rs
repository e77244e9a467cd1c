//! Entries of directories: found again, put in, and taken out.
//!
//! A node that is full is split, its middle entry goes up. A node that would be left empty, or lose an entry
//! that divides two nodes, has the whole index built anew: that is rare, and leaves nothing to mend.

use std::cmp::Ordering;
use std::collections::HashSet;

use vfs::bytes::{index, part, wide};
use vfs::{FsError, Result};

use super::Change;
use super::bitmap::turn;
use super::file::File;
use super::record::{Label, Value};
use crate::attribute::kind;
use crate::index::node::{Node, ROOT_HEAD, Slot};
use crate::index::{DEEPEST, Shape, corrupt};
use crate::read::I30;
use crate::record::Reference;
use crate::runs::Run;
use crate::stream::Stream;

const ROOT: Label<'static> = Label { kind: kind::INDEX_ROOT, name: I30 };
const BLOCKS: Label<'static> = Label { kind: kind::INDEX_ALLOCATION, name: I30 };
const BITMAP: Label<'static> = Label { kind: kind::BITMAP, name: I30 };

/// Bytes of a record that the blocks of an index take, and the bitmap of them.
const PROMOTED: usize = 160;

/// Nodes that an index may have.
const MOST_BLOCKS: u64 = 1 << 20;

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Root,
    Block(u64),
}

/// A node on the way down to a name: where it is, and the place of the name in it.
#[derive(Debug)]
struct Step {
    at: At,
    node: Node,
    position: usize,
}

impl Change<'_> {
    /// What stands in front of the root node, and the shape of the other nodes.
    fn shape(&self, dir: &File) -> Result<(Vec<u8>, Shape)> {
        let root = dir.resident(ROOT)?.ok_or(FsError::NotADirectory)?;
        let shape = Shape::of(&root, self.fs.volume.boot.cluster_size)?;
        Ok((part(&root, 0, ROOT_HEAD)?.to_vec(), shape))
    }

    /// Gives a new directory an empty index, of the shape that its directory has.
    pub(super) fn start_index(&mut self, dir: &mut File, parent: &File) -> Result<()> {
        let (head, _) = self.shape(parent)?;
        self.place(dir, ROOT, Value::Resident(&Node::default().as_root(&head)?))
    }

    fn block(&self, dir: &File, shape: Shape, number: u64) -> Result<Vec<u8>> {
        let missing = || corrupt(format!("node {number} is outside it"));
        let stream = self.stream(dir, BLOCKS)?.ok_or_else(missing)?;
        let mut block = vec![0; shape.block_size];
        let volume = &self.fs.volume;
        let len = stream.read(&volume.disk, &volume.boot, &mut block, shape.place(number)?)?;
        if len == block.len() { Ok(block) } else { Err(missing()) }
    }

    fn node(&self, dir: &File, at: At) -> Result<Node> {
        let node = match at {
            At::Root => Node::in_root(&dir.resident(ROOT)?.ok_or(FsError::NotADirectory)?)?,
            At::Block(number) => Node::in_block(self.block(dir, self.shape(dir)?.1, number)?, number)?,
        };
        if node.is_sound() { Ok(node) } else { Err(corrupt("some entries of a node have nodes below")) }
    }

    /// Writes a node; whether it fits.
    fn write_node(&mut self, dir: &mut File, at: At, node: &Node) -> Result<bool> {
        let (head, shape) = self.shape(dir)?;
        match at {
            At::Root if node.len() > dir.base()?.bytes.len() => Ok(false),
            At::Root => self.set(dir, ROOT, Value::Resident(&node.as_root(&head)?)),
            At::Block(number) => {
                let old = self.block(dir, shape, number)?;
                let Some(block) = node.as_block(number, &old)? else { return Ok(false) };
                let stream = self.stream(dir, BLOCKS)?.ok_or(FsError::NotFound)?;
                stream.write(&self.writer, &self.fs.volume.boot, &block, shape.place(number)?)?;
                Ok(true)
            }
        }
    }

    /// The way from the root to where a name is, or would be in a leaf; and whether it is there.
    fn descend(&self, dir: &File, name: &[u16]) -> Result<(Vec<Step>, bool)> {
        let mut path = Vec::new();
        let mut at = At::Root;
        while path.len() < DEEPEST {
            let node = self.node(dir, at)?;
            let mut position = node.slots.len();
            let mut found = false;
            for (number, slot) in node.slots.iter().enumerate() {
                let order = self.fs.capitals.full_order(name, &slot.name()?);
                if order != Ordering::Greater {
                    (position, found) = (number, order == Ordering::Equal);
                    break;
                }
            }
            let below = node.slots.get(position).map_or(node.last, |slot| slot.child);
            path.push(Step { at, node, position });
            match below {
                Some(number) if !found => at = At::Block(number),
                _ => return Ok((path, found)),
            }
        }
        Err(corrupt(format!("it has more than {DEEPEST} levels")))
    }

    /// Brings what an entry says of its file up to date.
    pub(super) fn update_entry(
        &mut self,
        dir: &mut File,
        name: &[u16],
        reference: Reference,
        facts: &[u8],
    ) -> Result<()> {
        let (mut path, found) = self.descend(dir, name)?;
        let missing = || corrupt(format!("record {} is not in its directory", reference.record));
        let mut step = path.pop().filter(|_| found).ok_or_else(missing)?;
        let slot = step.node.slots.get_mut(step.position).ok_or_else(missing)?;
        if slot.reference != reference.number() {
            return Err(missing());
        }
        vfs::bytes::put(&mut slot.key, 8, facts)?;
        self.write_node(dir, step.at, &step.node).map(drop)
    }

    /// Puts an entry in.
    pub(super) fn insert_entry(&mut self, dir: &mut File, reference: Reference, key: Vec<u8>) -> Result<()> {
        let slot = Slot { reference: reference.number(), key, child: None };
        let (mut path, found) = self.descend(dir, &slot.name()?)?;
        let Step { mut at, mut node, position } = path.pop().ok_or(FsError::NotFound)?;
        if found || !node.is_leaf() {
            return Err(FsError::Exists);
        }
        node.slots.insert(position.min(node.slots.len()), slot);
        while !self.write_node(dir, at, &node)? {
            let At::Block(number) = at else {
                // The root keeps nothing but the way to a node that has all.
                let block = self.promote(dir)?;
                at = At::Block(block);
                path.push(Step {
                    at: At::Root,
                    node: Node { slots: Vec::new(), last: Some(block) },
                    position: 0,
                });
                continue;
            };
            let (front, mut middle, back) = split(node)?;
            // Who names this block means what is in front of an entry that stays where it is.
            let added = self.add_block(dir)?;
            if !self.write_node(dir, At::Block(added), &front)?
                || !self.write_node(dir, At::Block(number), &back)?
            {
                return Err(corrupt("an entry is longer than a node"));
            }
            middle.child = Some(added);
            let above = path.pop().ok_or_else(|| corrupt("the root is a block"))?;
            (at, node) = (above.at, above.node);
            node.slots.insert(above.position.min(node.slots.len()), middle);
        }
        Ok(())
    }

    /// Makes the root a node that leads to a new block, and has nothing else.
    fn promote(&mut self, dir: &mut File) -> Result<u64> {
        self.make_room(dir, PROMOTED)?;
        self.write_root(dir, &Node { slots: Vec::new(), last: Some(0) })?;
        let block = self.add_block(dir)?;
        self.write_root(dir, &Node { slots: Vec::new(), last: Some(block) })?;
        Ok(block)
    }

    /// Writes the root, which has no entries.
    fn write_root(&mut self, dir: &mut File, node: &Node) -> Result<()> {
        if self.write_node(dir, At::Root, node)?
            || (self.start_list(dir)? && self.write_node(dir, At::Root, node)?)
        {
            return Ok(());
        }
        Err(full(dir))
    }

    /// The runs and the size of the blocks.
    fn blocks(&self, dir: &File) -> Result<(Vec<Run>, u64)> {
        match self.stream(dir, BLOCKS)? {
            None => Ok((Vec::new(), 0)),
            Some(Stream::Clusters { runs, size, unit: None, .. }) => Ok((runs, size)),
            Some(_) => Err(corrupt("its blocks are not simply in clusters")),
        }
    }

    /// Takes a free block, or adds one.
    fn add_block(&mut self, dir: &mut File) -> Result<u64> {
        let (_, shape) = self.shape(dir)?;
        let block_size = wide(shape.block_size);
        let (_, size) = self.blocks(dir)?;
        let have = size.checked_div(block_size).unwrap_or(0);
        let mut bitmap = self.content(dir, BITMAP, MOST_BLOCKS)?.unwrap_or_default();
        let is_free = |block: &u64| {
            let byte = bitmap.get(index(block.div_euclid(8))).copied().unwrap_or(0);
            byte.wrapping_shr(u32::try_from(block & 7).unwrap_or(0)) & 1 == 0
        };
        let block = (0..have).find(is_free).unwrap_or(have);
        if block >= have {
            self.set_blocks(dir, shape, have.saturating_add(1))?;
        }
        let bytes = index(block.div_euclid(8)).saturating_add(1).next_multiple_of(8);
        if bitmap.len() < bytes {
            bitmap.resize(bytes, 0);
        }
        if !turn(&mut bitmap, 0, block..block.saturating_add(1), true) {
            return Err(corrupt("its bitmap changes"));
        }
        self.put(dir, BITMAP, &bitmap)?;
        Ok(block.saturating_mul(block_size).checked_div(shape.unit).unwrap_or(0))
    }

    /// Gives an index so many blocks; those that are new are empty.
    fn set_blocks(&mut self, dir: &mut File, shape: Shape, count: u64) -> Result<()> {
        let (runs, before) = self.blocks(dir)?;
        let old = self.stream(dir, BLOCKS)?;
        let size = count.saturating_mul(wide(shape.block_size));
        if count > MOST_BLOCKS {
            return Err(FsError::NoSpace("nodes of a directory"));
        }
        let runs = self.resize_runs(runs, size)?;
        let now = self.set_runs(dir, BLOCKS, runs.clone(), index(size))?;
        let stream = self.stream(dir, BLOCKS)?.ok_or(FsError::NotFound)?;
        let mut block = vec![0; shape.block_size];
        // All of them, if they moved: what they were is still where it was.
        for place in (if now == runs { before } else { 0 }..size).step_by(shape.block_size) {
            block.fill(0);
            if let Some(old) = old.as_ref().filter(|_| place < before) {
                old.read(&self.fs.volume.disk, &self.fs.volume.boot, &mut block, place)?;
            }
            stream.write(&self.writer, &self.fs.volume.boot, &block, place)?;
        }
        Ok(())
    }

    /// Takes the entry of a name out.
    pub(super) fn remove_entry(&mut self, dir: &mut File, name: &[u16], reference: Reference) -> Result<()> {
        let (mut path, found) = self.descend(dir, name)?;
        let missing = || corrupt(format!("record {} is not in its directory", reference.record));
        let mut step = path.pop().filter(|_| found).ok_or_else(missing)?;
        if step.node.slots.get(step.position).is_none_or(|slot| slot.reference != reference.number()) {
            return Err(missing());
        }
        if step.node.is_leaf() && (step.at == At::Root || step.node.slots.len() > 1) {
            step.node.slots.remove(step.position);
            return self.write_node(dir, step.at, &step.node).map(drop);
        }
        let mut slots = self.slots(dir)?;
        slots.retain(|slot| slot.reference != reference.number() || slot.name().is_ok_and(|own| own != name));
        self.rebuild(dir, slots)
    }

    /// Some entries of a directory: those in front.
    pub(super) fn some_slots(&self, dir: &File) -> Result<Vec<Slot>> {
        let (path, _) = self.descend(dir, &[])?;
        Ok(path.into_iter().rev().flat_map(|step| step.node.slots).collect())
    }

    /// All entries in their order, as those of a leaf.
    pub(super) fn slots(&self, dir: &File) -> Result<Vec<Slot>> {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        // What is to come, the next thing last: a node, or an entry.
        let mut to_do = vec![(Some(At::Root), None)];
        while let Some((at, slot)) = to_do.pop() {
            all.extend(slot);
            let Some(at) = at else { continue };
            if let At::Block(number) = at
                && !seen.insert(number)
            {
                return Err(corrupt(format!("it comes to node {number} twice")));
            }
            let node = self.node(dir, at)?;
            to_do.extend(node.last.map(|child| (Some(At::Block(child)), None)));
            for mut slot in node.slots.into_iter().rev() {
                let child = slot.child.take();
                to_do.push((None, Some(slot)));
                to_do.extend(child.map(|child| (Some(At::Block(child)), None)));
            }
        }
        Ok(all)
    }

    /// Builds an index anew, of these entries.
    fn rebuild(&mut self, dir: &mut File, slots: Vec<Slot>) -> Result<()> {
        let (_, shape) = self.shape(dir)?;
        let mut node = Node { slots, last: None };
        if self.write_node(dir, At::Root, &node)? {
            return self.drop_blocks(dir);
        }
        // The root is small while the others are made, level by level.
        self.write_node(dir, At::Root, &Node::default())?;
        let number = |block: usize| {
            let place = wide(block).saturating_mul(wide(shape.block_size));
            place.checked_div(shape.unit).unwrap_or(0)
        };
        let mut blocks: Vec<Node> = Vec::new();
        loop {
            let mut above = Node::default();
            for (packed, divider) in pack(node, Node::room(shape.block_size))? {
                let child = Some(number(blocks.len()));
                blocks.push(packed);
                match divider {
                    Some(slot) => above.slots.push(Slot { child, ..slot }),
                    None => above.last = child,
                }
            }
            self.set_blocks(dir, shape, wide(blocks.len()))?;
            let mut bitmap = vec![0; blocks.len().div_ceil(64).saturating_mul(8)];
            turn(&mut bitmap, 0, 0..wide(blocks.len()), true);
            self.put(dir, BITMAP, &bitmap)?;
            if above.slots.is_empty() {
                self.write_root(dir, &above)?;
                break;
            }
            if self.write_node(dir, At::Root, &above)? {
                break;
            }
            node = above;
        }
        for (block, node) in blocks.iter().enumerate() {
            if !self.write_node(dir, At::Block(number(block)), node)? {
                return Err(corrupt("an entry is longer than a node"));
            }
        }
        Ok(())
    }

    /// Takes the blocks from an index whose root has all.
    fn drop_blocks(&mut self, dir: &mut File) -> Result<()> {
        for label in [BLOCKS, BITMAP] {
            if let Some(Stream::Clusters { runs, .. }) = self.stream(dir, label)? {
                self.free_runs(&runs)?;
            }
            dir.remove(label)?;
        }
        Ok(())
    }
}

fn full(dir: &File) -> FsError {
    FsError::unsupported(format!("a directory whose record {} is full", dir.number()))
}

/// A node in two, and the entry between them.
fn split(mut node: Node) -> Result<(Node, Slot, Node)> {
    let half = node.len().div_euclid(2);
    let mut sum = 0_usize;
    let at = node.slots.iter().position(|slot| {
        sum = sum.saturating_add(slot.len());
        sum >= half
    });
    // Both keep an entry.
    let last = node.slots.len().checked_sub(2).filter(|last| *last > 0);
    let last = last.ok_or_else(|| corrupt("an entry is longer than a node"))?;
    let at = at.unwrap_or(last).clamp(1, last);
    let back = Node { slots: node.slots.split_off(at.saturating_add(1)), last: node.last };
    let middle = node.slots.pop().ok_or(FsError::NotFound)?;
    Ok((Node { slots: node.slots, last: middle.child }, middle, back))
}

/// Nodes for the entries of one that is too large, each with the entry behind it; the last has none behind
/// it.
fn pack(node: Node, room: usize) -> Result<Vec<(Node, Option<Slot>)>> {
    // Some room for entries to come.
    let full = room.div_euclid(8).saturating_mul(7);
    let mut packed = Vec::new();
    let mut slots = node.slots.into_iter().peekable();
    let mut now = Node::default();
    while let Some(slot) = slots.next() {
        let more = now.len().saturating_add(slot.len()).saturating_add(8);
        // What follows the divider has an entry too.
        if more > full && !now.slots.is_empty() && slots.peek().is_some() {
            now.last = slot.child;
            packed.push((std::mem::take(&mut now), Some(slot)));
        } else {
            now.slots.push(slot);
        }
    }
    if now.len() > room {
        return Err(corrupt("an entry is longer than a node"));
    }
    now.last = node.last;
    packed.push((now, None));
    Ok(packed)
}
