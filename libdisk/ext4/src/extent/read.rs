//! Looking up and walking.

use std::sync::Arc;

use vfs::{FsError, Result};

use super::{Node, checksum, node, tail};
use crate::Ext4;
use crate::bytes::le32;
use crate::inode::Inode;
use crate::mapping::Walk;

fn read(fs: &Ext4, inode: &Inode, block: u64) -> Result<Arc<Vec<u8>>> {
    let bytes = fs.blocks.read(block)?;
    if fs.sb.checksums() && checksum(&fs.sb, inode, &bytes) != le32(&bytes, tail(bytes.len()))? {
        let structure = format!("extent tree of inode {}", inode.number);
        return Err(FsError::corrupt(structure, fs.sb.byte(block), "the checksum of a node is wrong"));
    }
    Ok(bytes)
}

/// See [`Ext4::map`].
pub(crate) fn map(fs: &Ext4, inode: &Inode, logical: u64) -> Result<(Option<u64>, u64)> {
    // The first block of the file after what the current node covers.
    let mut limit = u64::MAX;
    let mut depth = None;
    let mut place = 0;
    let mut held: Option<Arc<Vec<u8>>> = None;
    loop {
        let bytes = held.as_ref().map_or(inode.block().as_slice(), |bytes| bytes.as_slice());
        let (child, child_depth) = match node(bytes, depth, inode, place)? {
            Node::Leaf(extents) => {
                let next = extents.partition_point(|extent| u64::from(extent.block.get()) <= logical);
                if let Some(extent) =
                    next.checked_sub(1).and_then(|at| extents.get(at)).map(|raw| raw.decode())
                    && logical < extent.end()
                {
                    let skip = logical.saturating_sub(extent.logical);
                    let physical = extent.physical.saturating_add(skip);
                    return Ok(((!extent.unwritten).then_some(physical), extent.len.saturating_sub(skip)));
                }
                let end = extents.get(next).map_or(limit, |extent| extent.block.get().into());
                return Ok((None, end.saturating_sub(logical)));
            }
            Node::Inner(found, children) => {
                let next = children.partition_point(|child| u64::from(child.block.get()) <= logical);
                if let Some(sibling) = children.get(next) {
                    limit = limit.min(sibling.block.get().into());
                }
                match next.checked_sub(1).and_then(|at| children.get(at)) {
                    Some(child) => (child.child(), found.saturating_sub(1)),
                    None => return Ok((None, limit.saturating_sub(logical))),
                }
            }
        };
        held = Some(read(fs, inode, child)?);
        depth = Some(child_depth);
        place = fs.sb.byte(child);
    }
}

/// Walks the whole tree.
pub(crate) fn walk(walk: &mut Walk<'_>) -> Result<()> {
    let inode = walk.inode;
    visit(walk, inode.block(), None, 0)
}

/// Recursion ends: every level is one less deep, and the root's depth is limited.
fn visit(walk: &mut Walk<'_>, bytes: &[u8], depth: Option<u16>, place: u64) -> Result<()> {
    match node(bytes, depth, walk.inode, place)? {
        Node::Leaf(extents) => {
            for extent in extents.iter().map(|raw| raw.decode()) {
                if extent.len == 0 {
                    let structure = format!("extent tree of inode {}", walk.inode.number);
                    return Err(FsError::corrupt(structure, place, "an empty extent"));
                }
                walk.fs.check_run(walk.inode, extent.physical, extent.len)?;
                walk.found(extent)?;
            }
        }
        Node::Inner(depth, children) => {
            for child in children {
                let block = child.child();
                walk.enter(block)?;
                let bytes = read(walk.fs, walk.inode, block)?;
                visit(walk, &bytes, Some(depth.saturating_sub(1)), walk.fs.sb.byte(block))?;
            }
        }
    }
    Ok(())
}
