//! Small directories, inside their inodes ("Short Form Directories").

use vfs::Result;

use super::{Entry, data, is_name, type_code, type_of};
use crate::Xfs;
use crate::bytes::{be32, be64, byte, half, low32, part};
use crate::inode::Inode;
use crate::superblock::Superblock;

/// Bytes of an inode number.
fn inode_len(long: bool) -> usize {
    if long { 8 } else { 4 }
}

fn inode_at(bytes: &[u8], at: usize, long: bool) -> Result<u64> {
    if long { be64(bytes, at) } else { Ok(be32(bytes, at)?.into()) }
}

/// The names and the parent.
pub(super) fn parse(fs: &Xfs, dir: &Inode, bytes: &[u8]) -> Result<(Vec<Entry>, u64)> {
    let (count, long) = (byte(bytes, 0)?, byte(bytes, 1)? > 0);
    let parent = inode_at(bytes, 2, long)?;
    let mut at = inode_len(long).saturating_add(2);
    let mut entries = Vec::new();
    for _ in 0..count {
        let len = usize::from(byte(bytes, at)?);
        let name = part(bytes, at.saturating_add(3), len)?.to_vec();
        at = at.saturating_add(3).saturating_add(len);
        let mut file_type = None;
        if fs.sb.features.ftype() {
            file_type = type_of(byte(bytes, at)?);
            at = at.saturating_add(1);
        }
        let inode = inode_at(bytes, at, long)?;
        at = at.saturating_add(inode_len(long));
        if !is_name(&name) {
            return Err(dir.corrupt("a name in a directory is empty or has a \"/\" or a zero byte"));
        }
        entries.push(Entry { name, inode, file_type });
    }
    Ok((entries, parent))
}

/// Bytes of a small directory with so many names of so many bytes in all.
pub(super) fn len(sb: &Superblock, names: usize, bytes: usize, long: bool) -> usize {
    let fixed = usize::from(sb.features.ftype()).saturating_add(3).saturating_add(inode_len(long));
    let header = inode_len(long).saturating_add(2);
    names.saturating_mul(fixed).saturating_add(bytes).saturating_add(header)
}

/// The content of the inode. Every entry says where it would be in the next larger form.
pub(super) fn encode<'a>(
    sb: &Superblock,
    parent: u64,
    entries: impl Iterator<Item = &'a Entry> + Clone,
) -> Vec<u8> {
    let is_long = |inode: u64| inode > u32::MAX.into();
    let longs = entries.clone().filter(|entry| is_long(entry.inode)).count();
    let longs = longs.saturating_add(usize::from(is_long(parent)));
    let long = longs > 0;
    let put_inode = |bytes: &mut Vec<u8>, inode: u64| {
        if long { bytes.extend(inode.to_be_bytes()) } else { bytes.extend(low32(inode).to_be_bytes()) }
    };
    let count = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    let mut bytes = vec![count(entries.clone().count()), count(longs)];
    put_inode(&mut bytes, parent);
    let mut offset = data::first_offset(sb);
    for entry in entries {
        bytes.push(count(entry.name.len()));
        bytes.extend(half(offset).to_be_bytes());
        bytes.extend(&entry.name);
        if sb.features.ftype() {
            bytes.push(type_code(entry.file_type));
        }
        put_inode(&mut bytes, entry.inode);
        offset = offset.saturating_add(data::entry_len(sb, entry.name.len()));
    }
    bytes
}
