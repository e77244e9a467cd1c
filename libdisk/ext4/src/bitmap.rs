//! Block and inode bitmaps ("ext4 disk layout: Block and inode Bitmaps").

use std::ops::Range;

use vfs::{FsError, Result};

use crate::Ext4;
use crate::bytes::{index, low32, part, wide};
use crate::checksum::crc32c;
use crate::group::inode_table_blocks;

/// The bitmap of one group; a set bit is in use.
#[derive(Debug, Clone)]
pub(crate) struct Bitmap {
    bytes: Vec<u8>,
    bits: u32,
}

impl Bitmap {
    /// The first `bits` bits free, the rest of the block in use.
    fn empty(block_size: usize, bits: u32) -> Self {
        let mut bitmap = Self { bytes: vec![0; block_size], bits: low32(wide(block_size) << 3) };
        bitmap.set(bits..bitmap.bits, true);
        bitmap.bits = bits;
        bitmap
    }

    /// All of its block.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether bit `at` is set; a bit past the end is.
    pub(crate) fn get(&self, at: u32) -> bool {
        at >= self.bits || self.bytes.get(index(at >> 3)).is_none_or(|byte| byte >> (at & 7) & 1 == 1)
    }

    /// Sets or clears a range.
    pub(crate) fn set(&mut self, range: Range<u32>, value: bool) {
        let mut at = range.start;
        while at < range.end {
            let whole = at & 7 == 0 && range.end.saturating_sub(at) >= 8;
            let mask = if whole { 0xff } else { 1_u8 << (at & 7) };
            if let Some(byte) = self.bytes.get_mut(index(at >> 3)) {
                *byte = if value { *byte | mask } else { *byte & !mask };
            }
            at = at.saturating_add(if whole { 8 } else { 1 });
        }
    }

    /// The first bit at or after `from` that has this value.
    pub(crate) fn find(&self, from: u32, value: bool) -> Option<u32> {
        let flip = if value { 0 } else { 0xff };
        let mut at = from;
        while at < self.bits {
            let byte = self.bytes.get(index(at >> 3))?;
            let wanted = (byte ^ flip) >> (at & 7);
            if wanted != 0 {
                return Some(at.saturating_add(wanted.trailing_zeros())).filter(|&at| at < self.bits);
            }
            at = (at | 7).saturating_add(1);
        }
        None
    }

    /// The runs of free bits from `from` on.
    pub(crate) fn free_runs(&self, from: u32) -> impl Iterator<Item = Range<u32>> {
        let mut from = from;
        std::iter::from_fn(move || {
            let start = self.find(from, false)?;
            from = self.find(start, true).unwrap_or(self.bits);
            Some(start..from)
        })
    }
}

impl Ext4 {
    /// The block bitmap of a group; its bits are clusters.
    pub(crate) fn block_bitmap(&self, number: u32) -> Result<Bitmap> {
        let (sb, group) = (&self.sb, self.group(number)?);
        let bits = sb.group_len(number).div_ceil(sb.cluster.max(1));
        if group.blocks_uninitialised() {
            let mut bitmap = Bitmap::empty(index(sb.block_size), bits);
            for used in self.own_metadata(number)? {
                let start = used.start.checked_div(sb.cluster).unwrap_or_default();
                bitmap.set(start..used.end.div_ceil(sb.cluster.max(1)), true);
            }
            return Ok(bitmap);
        }
        let covered = sb.blocks_per_group.checked_div(sb.cluster).unwrap_or_default() >> 3;
        let place = group.block_bitmap();
        self.bitmap("block bitmap", number, place, bits, covered, group.block_bitmap_checksum(sb))
    }

    /// The inode bitmap of a group.
    pub(crate) fn inode_bitmap(&self, number: u32) -> Result<Bitmap> {
        let (sb, group) = (&self.sb, self.group(number)?);
        let bits = sb.inodes_per_group;
        if group.inodes_uninitialised() {
            return Ok(Bitmap::empty(index(sb.block_size), bits));
        }
        self.bitmap(
            "inode bitmap",
            number,
            group.inode_bitmap(),
            bits,
            bits >> 3,
            group.inode_bitmap_checksum(sb),
        )
    }

    fn bitmap(
        &self,
        name: &str,
        number: u32,
        block: u64,
        bits: u32,
        covered: u32,
        (expected, mask): (u32, u32),
    ) -> Result<Bitmap> {
        let bytes = self.blocks.read(block)?;
        if self.sb.checksums() && crc32c(self.sb.seed, part(&bytes, 0, index(covered))?) & mask != expected {
            let name = format!("{name} of group {number}");
            return Err(FsError::corrupt(name, self.sb.byte(block), "its checksum is wrong"));
        }
        Ok(Bitmap { bytes: bytes.to_vec(), bits })
    }

    /// The blocks of a group, counted from its start, that its own metadata take
    /// ("Layout": superblock, descriptors, bitmaps, inode table).
    fn own_metadata(&self, number: u32) -> Result<Vec<Range<u32>>> {
        let (sb, group) = (&self.sb, self.group(number)?);
        let start = sb.group_start(number);
        let end = start.saturating_add(u64::from(sb.group_len(number)));
        let one = |block: u64| block..block.saturating_add(1);
        let table = group.inode_table();
        let ranges = [
            start..start.saturating_add(self.base_metadata(number)),
            one(group.block_bitmap()),
            one(group.inode_bitmap()),
            table..table.saturating_add(inode_table_blocks(sb)),
        ];
        let clamp = |block: u64| low32(block.clamp(start, end).saturating_sub(start));
        Ok(ranges
            .into_iter()
            .map(|range| clamp(range.start)..clamp(range.end))
            .filter(|range| !range.is_empty())
            .collect())
    }

    /// Blocks at the start of a group that copies of the superblock and the descriptors take.
    pub(crate) fn base_metadata(&self, number: u32) -> u64 {
        let sb = &self.sb;
        let before = if number == 0 { sb.own_block().saturating_sub(sb.group_start(0)) } else { 0 };
        let copy = u64::from(sb.has_superblock(number)).saturating_add(before);
        if sb.in_meta_group(number) {
            let per_block = sb.descriptors_per_block();
            let within = u64::from(number).checked_rem(per_block).unwrap_or_default();
            let descriptors = within == 0 || within == 1 || within.saturating_add(1) == per_block;
            copy.saturating_add(u64::from(descriptors))
        } else if copy > 0 {
            sb.descriptor_blocks().saturating_add(copy)
        } else {
            0
        }
    }

    /// All blocks that hold the layout itself, ascending, and so never a file's.
    pub(crate) fn system_zones(&self) -> Vec<Range<u64>> {
        let table_blocks = inode_table_blocks(&self.sb);
        let mut zones = Vec::new();
        zones.push(0..self.sb.own_block().saturating_add(1));
        for (number, group) in (0..self.sb.groups).zip(&self.groups) {
            let start = self.sb.group_start(number);
            zones.push(start..start.saturating_add(self.base_metadata(number)));
            zones.extend(
                [(group.block_bitmap(), 1), (group.inode_bitmap(), 1), (group.inode_table(), table_blocks)]
                    .map(|(block, len)| block..block.saturating_add(len)),
            );
        }
        zones.retain(|zone| !zone.is_empty());
        zones.sort_unstable_by_key(|zone| zone.start);
        zones.dedup_by(|next, zone| {
            let merge = next.start <= zone.end;
            if merge {
                zone.end = zone.end.max(next.end);
            }
            merge
        });
        zones
    }
}
