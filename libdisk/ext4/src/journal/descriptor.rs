//! Descriptor blocks: which blocks of the file system the blocks after them are
//! ("ext4 disk layout: Journal (jbd2), Descriptor Block").

use vfs::Result;

use super::HEADER;
use super::superblock::{Checksums, Superblock};
use crate::bytes::{be16, be32, join32};

/// The first four bytes were the magic number of the journal, and are zero in the log.
const ESCAPED: u32 = 1;
/// No UUID follows.
const SAME_UUID: u32 = 2;
const LAST: u32 = 8;
const UUID: usize = 16;

/// A block of the file system, and what of it is in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    pub(super) block: u64,
    pub(super) escaped: bool,
    /// As many bits as the format keeps.
    pub(super) checksum: u32,
}

/// Bytes of a tag without a UUID. Version 2 has two more than its fields take.
fn tag_len(sb: &Superblock) -> usize {
    match (sb.checksums, sb.wide_blocks()) {
        (Checksums::V3, _) => 16,
        (Checksums::V2, true) => 14,
        (Checksums::V2, false) => 10,
        (_, true) => 12,
        (_, false) => 8,
    }
}

/// The tags of a descriptor block.
pub(super) fn tags(sb: &Superblock, bytes: &[u8]) -> Result<Vec<Tag>> {
    let len = tag_len(sb);
    let end = bytes.len().saturating_sub(if sb.tails() { 4 } else { 0 });
    let mut tags = Vec::new();
    let mut at = HEADER;
    while at.saturating_add(len) <= end {
        let word = |n: usize| be32(bytes, at.saturating_add(n));
        let half = |n: usize| be16(bytes, at.saturating_add(n)).map(u32::from);
        let (flags, checksum) = match sb.checksums {
            Checksums::V3 => (word(4)?, word(12)?),
            _ => (half(6)?, half(4)?),
        };
        let high = if sb.wide_blocks() { word(8)? } else { 0 };
        tags.push(Tag { block: join32(word(0)?, high), escaped: flags & ESCAPED != 0, checksum });
        if flags & LAST != 0 {
            break;
        }
        at = at.saturating_add(len).saturating_add(if flags & SAME_UUID == 0 { UUID } else { 0 });
    }
    Ok(tags)
}
