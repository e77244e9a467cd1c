//! Blocks of entries ("Block Directories", "Leaf Directories": data blocks).

use vfs::Result;

use super::{Entry, is_name, type_code, type_of};
use crate::bytes::{be16, be32, be64, byte, half, index, pad, part, put, put16, put32, put64, wide};
use crate::da::Space;
use crate::inode::Inode;
use crate::superblock::Superblock;

/// The only block of a directory: entries and index; version 4, version 5.
const BLOCK: [&[u8; 4]; 2] = [b"XD2B", b"XDB3"];
/// One of several.
const DATA: [&[u8; 4]; 2] = [b"XD2D", b"XDD3"];
/// What stands where an inode number would be in use.
const UNUSED: u16 = 0xffff;
/// The count of the index at the end of an only block, and of its unused entries.
pub(super) const TAIL: usize = 8;

fn magic(sb: &Superblock, pair: [&'static [u8; 4]; 2]) -> &'static [u8; 4] {
    let [v4, v5] = pair;
    if sb.v5() { v5 } else { v4 }
}

pub(super) fn header_len(sb: &Superblock) -> usize {
    if sb.v5() { 64 } else { 16 }
}

/// Where the three longest unused runs are told.
fn best_at(sb: &Superblock) -> usize {
    if sb.v5() { 48 } else { 4 }
}

/// Bytes of an entry with a name of this length.
pub(super) fn entry_len(sb: &Superblock, name: usize) -> usize {
    pad(name.saturating_add(11).saturating_add(usize::from(sb.features.ftype())), 8)
}

/// Where the first entry after "." and ".." lies in the first block.
pub(super) fn first_offset(sb: &Superblock) -> usize {
    header_len(sb).saturating_add(entry_len(sb, 1)).saturating_add(entry_len(sb, 2))
}

/// Where a hash leads to: the block, in file-system blocks, and the byte in it.
pub(super) fn place(space: &Space, address: u32) -> (u64, usize) {
    let byte = u64::from(address) << 3;
    let size = wide(space.size);
    let block = byte.checked_div(size).unwrap_or_default();
    (block.saturating_mul(space.step), index(byte.checked_rem(size).unwrap_or_default()))
}

/// The address of a byte of the data block with this number, as hashes lead to it.
pub(super) fn address(space: &Space, block: usize, at: usize) -> u32 {
    crate::bytes::word(block.saturating_mul(space.size).saturating_add(at) >> 3)
}

/// The entry at this byte of a block, and the byte after it.
pub(super) fn entry_at(sb: &Superblock, dir: &Inode, block: &[u8], at: usize) -> Result<(Entry, usize)> {
    let len = usize::from(byte(block, at.saturating_add(8))?);
    let name = part(block, at.saturating_add(9), len)?.to_vec();
    let after = at.saturating_add(9).saturating_add(len);
    let file_type = if sb.features.ftype() { type_of(byte(block, after)?) } else { None };
    let end = at.saturating_add(entry_len(sb, len));
    if !is_name(&name) || end > block.len() {
        return Err(dir.corrupt("a name in a directory is empty or has a \"/\" or a zero byte"));
    }
    Ok((Entry { name, inode: be64(block, at)?, file_type }, end))
}

/// All entries of a block with their places, "." and ".." among them.
pub(super) fn entries(sb: &Superblock, dir: &Inode, block: &[u8]) -> Result<Vec<(usize, Entry)>> {
    let found = part(block, 0, 4)?;
    let end = if found == magic(sb, BLOCK) {
        let tail = block.len().saturating_sub(TAIL);
        let leaves = index(be32(block, tail)?).saturating_mul(8);
        tail.checked_sub(leaves).ok_or_else(|| dir.corrupt("the index of a directory block is too long"))?
    } else if found == magic(sb, DATA) {
        block.len()
    } else {
        return Err(dir.corrupt("the magic number of a directory block is wrong"));
    };
    let mut entries = Vec::new();
    let mut at = header_len(sb);
    while at < end {
        if be16(block, at)? == UNUSED {
            let len = usize::from(be16(block, at.saturating_add(2))?);
            if len < 8 || len & 7 != 0 {
                return Err(dir.corrupt("an unused part of a directory block has no length"));
            }
            at = at.saturating_add(len);
            continue;
        }
        let (entry, next) = entry_at(sb, dir, block, at)?;
        entries.push((at, entry));
        at = next;
    }
    Ok(entries)
}

/// A block with these entries from its start on, and one unused run up to `end`; where each entry is.
pub(super) fn encode<'a>(
    sb: &Superblock,
    only: bool,
    size: usize,
    end: usize,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<(Vec<u8>, Vec<usize>)> {
    let mut block = vec![0; size];
    put(&mut block, 0, magic(sb, if only { BLOCK } else { DATA }))?;
    let mut at = header_len(sb);
    let mut places = Vec::new();
    for entry in entries {
        let len = entry_len(sb, entry.name.len());
        put64(&mut block, at, entry.inode)?;
        put(&mut block, at.saturating_add(8), &[u8::try_from(entry.name.len()).unwrap_or_default()])?;
        put(&mut block, at.saturating_add(9), &entry.name)?;
        if sb.features.ftype() {
            let after = at.saturating_add(9).saturating_add(entry.name.len());
            put(&mut block, after, &[type_code(entry.file_type)])?;
        }
        put16(&mut block, at.saturating_add(len).saturating_sub(2), half(at))?;
        places.push(at);
        at = at.saturating_add(len);
    }
    let unused = end.saturating_sub(at);
    if unused > 0 {
        put16(&mut block, at, UNUSED)?;
        put16(&mut block, at.saturating_add(2), half(unused))?;
        put16(&mut block, end.saturating_sub(2), half(at))?;
        put16(&mut block, best_at(sb), half(at))?;
        put16(&mut block, best_at(sb).saturating_add(2), half(unused))?;
    }
    Ok((block, places))
}

/// Writes the index of an only block: hashes, ascending, and addresses.
pub(super) fn put_index(block: &mut [u8], entries: &[(u32, u32)]) -> Result<()> {
    let tail = block.len().saturating_sub(TAIL);
    let start = tail.saturating_sub(entries.len().saturating_mul(8));
    crate::da::put_entries(block, start, entries)?;
    put32(block, tail, crate::bytes::word(entries.len()))
}
