//! A block of attributes by their hashes ("Leaf Attributes").

use vfs::Result;

use super::{Attribute, VALUE_MAX, flag};
use crate::bytes::{be16, be32, byte, half, index, pad, part, put, put16, put32};
use crate::da::{self, count_at};
use crate::inode::Inode;
use crate::superblock::Superblock;

/// Version 4, version 5.
const LEAF: [u16; 2] = [0xfbee, 0x3bee];
const ENTRY: usize = 8;

fn header_len(sb: &Superblock) -> usize {
    if sb.v5() { 80 } else { 32 }
}

/// An entry; where the value is not in the leaf: the block of the fork, and the length.
pub(super) enum Parsed {
    Local(Attribute),
    Remote(Attribute, u32, usize),
}

pub(super) fn parse(sb: &Superblock, inode: &Inode, leaf: &[u8]) -> Result<Vec<Parsed>> {
    if da::magic_of(leaf)? != da::magic(sb, LEAF) {
        return Err(inode.corrupt("the magic number of an attribute leaf is wrong"));
    }
    let count = usize::from(be16(leaf, count_at(sb))?);
    let entries = part(leaf, header_len(sb), count.saturating_mul(ENTRY))?;
    let mut parsed = Vec::new();
    for entry in entries.chunks_exact(ENTRY) {
        let (at, flags) = (usize::from(be16(entry, 4)?), byte(entry, 6)?);
        if flags & flag::INCOMPLETE != 0 {
            continue;
        }
        let space = flags & flag::SPACES;
        if flags & flag::LOCAL != 0 {
            let value_len = usize::from(be16(leaf, at)?);
            let name_len = usize::from(byte(leaf, at.saturating_add(2))?);
            let at = at.saturating_add(3);
            let name = part(leaf, at, name_len)?.to_vec();
            let value = part(leaf, at.saturating_add(name_len), value_len)?.to_vec();
            parsed.push(Parsed::Local(Attribute { space, name, value }));
        } else {
            let (block, value_len) = (be32(leaf, at)?, index(be32(leaf, at.saturating_add(4))?));
            let name_len = usize::from(byte(leaf, at.saturating_add(8))?);
            let name = part(leaf, at.saturating_add(9), name_len)?.to_vec();
            if value_len > VALUE_MAX {
                return Err(inode.corrupt("the value of an attribute is longer than 64 KiB"));
            }
            parsed.push(Parsed::Remote(Attribute { space, name, value: Vec::new() }, block, value_len));
        }
    }
    Ok(parsed)
}

/// Whether the value goes into the leaf.
pub(super) fn is_local(sb: &Superblock, attribute: &Attribute) -> bool {
    local_len(attribute) < index((sb.block_size >> 1).saturating_add(sb.block_size >> 2))
}

fn local_len(attribute: &Attribute) -> usize {
    pad(attribute.name.len().saturating_add(attribute.value.len()).saturating_add(3), 4)
}

/// Bytes of an attribute in the leaf, its entry not counted.
fn stored_len(sb: &Superblock, attribute: &Attribute) -> usize {
    if is_local(sb, attribute) {
        local_len(attribute)
    } else {
        // Two bytes more than there are fields: C pads the structure.
        pad(attribute.name.len().saturating_add(11), 4)
    }
}

/// Attributes, sorted by hash, as the runs that fit a leaf each.
pub(super) fn parts(sb: &Superblock, attributes: &[Attribute]) -> Vec<std::ops::Range<usize>> {
    let room = index(sb.block_size).saturating_sub(header_len(sb));
    let mut parts = Vec::new();
    let (mut start, mut used) = (0, 0_usize);
    for (at, attribute) in attributes.iter().enumerate() {
        let len = stored_len(sb, attribute).saturating_add(ENTRY);
        if used.saturating_add(len) > room {
            parts.push(start..at);
            (start, used) = (at, 0);
        }
        used = used.saturating_add(len);
    }
    parts.push(start..attributes.len());
    parts
}

/// A leaf; `remote` tells where the values lie that are not in it, 0 for those that are.
pub(super) fn encode(
    sb: &Superblock,
    neighbours: (u32, u32),
    attributes: &[Attribute],
    remote: &[u32],
) -> Result<Vec<u8>> {
    let size = index(sb.block_size);
    let mut leaf = da::start_block(sb, size, LEAF, neighbours)?;
    let mut at = size;
    let mut entry = header_len(sb);
    for (attribute, block) in attributes.iter().zip(remote) {
        let local = is_local(sb, attribute);
        at = at.saturating_sub(stored_len(sb, attribute));
        put32(&mut leaf, entry, attribute.hash())?;
        put16(&mut leaf, entry.saturating_add(4), half(at))?;
        let flags = attribute.space | if local { flag::LOCAL } else { 0 };
        put(&mut leaf, entry.saturating_add(6), &[flags])?;
        entry = entry.saturating_add(ENTRY);
        let name_len = [u8::try_from(attribute.name.len()).unwrap_or_default()];
        if local {
            put16(&mut leaf, at, half(attribute.value.len()))?;
            put(&mut leaf, at.saturating_add(2), &name_len)?;
            let name_at = at.saturating_add(3);
            put(&mut leaf, name_at, &attribute.name)?;
            put(&mut leaf, name_at.saturating_add(attribute.name.len()), &attribute.value)?;
        } else {
            put32(&mut leaf, at, *block)?;
            put32(&mut leaf, at.saturating_add(4), crate::bytes::word(attribute.value.len()))?;
            put(&mut leaf, at.saturating_add(8), &name_len)?;
            put(&mut leaf, at.saturating_add(9), &attribute.name)?;
        }
    }
    // Count, bytes of names and values, the first of them; then the only unused run.
    let head = count_at(sb);
    put16(&mut leaf, head, half(attributes.len()))?;
    put16(&mut leaf, head.saturating_add(2), half(size.saturating_sub(at)))?;
    put16(&mut leaf, head.saturating_add(4), half(at))?;
    put16(&mut leaf, head.saturating_add(8), half(entry))?;
    put16(&mut leaf, head.saturating_add(10), half(at.saturating_sub(entry)))?;
    Ok(leaf)
}
