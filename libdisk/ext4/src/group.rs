//! Block group descriptors ("ext4 disk layout: Block Group Descriptors").

use block::Disk;
use vfs::{FsError, Result};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bytes::{index, join16, join32, low16, low32, part, put, wide};
use crate::checksum::{crc16, crc32c};
use crate::superblock::Superblock;

/// `bg_flags`: the inode bitmap was never written; no inode is in use.
const INODE_UNINIT: u16 = 1;
/// `bg_flags`: the block bitmap was never written; only metadata are in use.
const BLOCK_UNINIT: u16 = 2;
const CHECKSUM_AT: usize = 0x1e;

/// As it is on disk; 32-byte descriptors end before `block_bitmap_hi`. Names are the document's without
/// `bg_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawGroup {
    block_bitmap_lo: U32,
    inode_bitmap_lo: U32,
    inode_table_lo: U32,
    free_blocks_count_lo: U16,
    free_inodes_count_lo: U16,
    used_dirs_count_lo: U16,
    flags: U16,
    exclude_bitmap_lo: U32,
    block_bitmap_csum_lo: U16,
    inode_bitmap_csum_lo: U16,
    itable_unused_lo: U16,
    checksum: U16,
    block_bitmap_hi: U32,
    inode_bitmap_hi: U32,
    inode_table_hi: U32,
    free_blocks_count_hi: U16,
    free_inodes_count_hi: U16,
    used_dirs_count_hi: U16,
    itable_unused_hi: U16,
    exclude_bitmap_hi: U32,
    block_bitmap_csum_hi: U16,
    inode_bitmap_csum_hi: U16,
    reserved: U32,
}
const _: () = assert!(size_of::<RawGroup>() == 64);

/// One block group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    raw: RawGroup,
    lazy: bool,
}

/// Stores both halves of a count.
fn set(low: &mut U16, high: &mut U16, n: u32) {
    low.set(low16(n));
    high.set(low16(n >> 16));
}

impl Group {
    /// First block of the block bitmap.
    pub(crate) fn block_bitmap(&self) -> u64 {
        join32(self.raw.block_bitmap_lo.get(), self.raw.block_bitmap_hi.get())
    }

    /// First block of the inode bitmap.
    pub(crate) fn inode_bitmap(&self) -> u64 {
        join32(self.raw.inode_bitmap_lo.get(), self.raw.inode_bitmap_hi.get())
    }

    /// First block of the inode table.
    pub(crate) fn inode_table(&self) -> u64 {
        join32(self.raw.inode_table_lo.get(), self.raw.inode_table_hi.get())
    }

    /// Free clusters.
    pub(crate) fn free_blocks(&self) -> u32 {
        join16(self.raw.free_blocks_count_lo.get(), self.raw.free_blocks_count_hi.get())
    }

    pub(crate) fn set_free_blocks(&mut self, n: u32) {
        set(&mut self.raw.free_blocks_count_lo, &mut self.raw.free_blocks_count_hi, n);
    }

    pub(crate) fn free_inodes(&self) -> u32 {
        join16(self.raw.free_inodes_count_lo.get(), self.raw.free_inodes_count_hi.get())
    }

    pub(crate) fn set_free_inodes(&mut self, n: u32) {
        set(&mut self.raw.free_inodes_count_lo, &mut self.raw.free_inodes_count_hi, n);
    }

    pub(crate) fn used_dirs(&self) -> u32 {
        join16(self.raw.used_dirs_count_lo.get(), self.raw.used_dirs_count_hi.get())
    }

    pub(crate) fn set_used_dirs(&mut self, n: u32) {
        set(&mut self.raw.used_dirs_count_lo, &mut self.raw.used_dirs_count_hi, n);
    }

    /// Inodes at the end of the table that were never used; their table blocks may hold anything.
    pub(crate) fn unused_inodes(&self) -> u32 {
        if self.lazy { join16(self.raw.itable_unused_lo.get(), self.raw.itable_unused_hi.get()) } else { 0 }
    }

    pub(crate) fn set_unused_inodes(&mut self, n: u32) {
        set(&mut self.raw.itable_unused_lo, &mut self.raw.itable_unused_hi, n);
    }

    /// Whether the block bitmap must be computed.
    pub(crate) fn blocks_uninitialised(&self) -> bool {
        self.lazy && self.raw.flags.get() & BLOCK_UNINIT != 0
    }

    /// Whether the inode bitmap must be computed.
    pub(crate) fn inodes_uninitialised(&self) -> bool {
        self.lazy && self.raw.flags.get() & INODE_UNINIT != 0
    }

    pub(crate) fn initialise_blocks(&mut self) {
        self.raw.flags.set(self.raw.flags.get() & !BLOCK_UNINIT);
    }

    pub(crate) fn initialise_inodes(&mut self) {
        self.raw.flags.set(self.raw.flags.get() & !INODE_UNINIT);
    }

    /// The stored checksum of the block bitmap, and how many bits of it count.
    pub(crate) fn block_bitmap_checksum(&self, sb: &Superblock) -> (u32, u32) {
        checksum_of(sb, self.raw.block_bitmap_csum_lo, self.raw.block_bitmap_csum_hi)
    }

    pub(crate) fn set_block_bitmap_checksum(&mut self, n: u32) {
        set(&mut self.raw.block_bitmap_csum_lo, &mut self.raw.block_bitmap_csum_hi, n);
    }

    /// As [`block_bitmap_checksum`](Self::block_bitmap_checksum).
    pub(crate) fn inode_bitmap_checksum(&self, sb: &Superblock) -> (u32, u32) {
        checksum_of(sb, self.raw.inode_bitmap_csum_lo, self.raw.inode_bitmap_csum_hi)
    }

    pub(crate) fn set_inode_bitmap_checksum(&mut self, n: u32) {
        set(&mut self.raw.inode_bitmap_csum_lo, &mut self.raw.inode_bitmap_csum_hi, n);
    }

    /// The bytes with a new checksum.
    pub(crate) fn encode(&mut self, sb: &Superblock, group: u32) -> Result<&[u8]> {
        if let Some(checksum) =
            descriptor_checksum(sb, group, part(self.raw.as_bytes(), 0, sb.descriptor_size)?)?
        {
            self.raw.checksum.set(checksum);
        }
        part(self.raw.as_bytes(), 0, sb.descriptor_size)
    }
}

fn checksum_of(sb: &Superblock, low: U16, high: U16) -> (u32, u32) {
    if sb.descriptor_size == 64 { (join16(low.get(), high.get()), !0) } else { (low.get().into(), 0xffff) }
}

/// The checksum that belongs into a descriptor, if descriptors have one.
fn descriptor_checksum(sb: &Superblock, group: u32, bytes: &[u8]) -> Result<Option<u16>> {
    let before = part(bytes, 0, CHECKSUM_AT)?;
    let after = bytes.get(32..).unwrap_or_default();
    if sb.checksums() {
        let sum = crc32c(crc32c(sb.seed, &group.to_le_bytes()), before);
        Ok(Some(low16(crc32c(crc32c(sum, &[0, 0]), after))))
    } else if sb.lazy_groups() {
        let sum = crc16(crc16(!0, sb.uuid()), &group.to_le_bytes());
        Ok(Some(crc16(crc16(sum, before), after)))
    } else {
        Ok(None)
    }
}

/// Where the descriptor of a group lies, in bytes ("Layout: Meta Block Groups").
pub(crate) fn descriptor_place(sb: &Superblock, group: u32) -> u64 {
    let per_block = sb.descriptors_per_block();
    let group = u64::from(group);
    let table_block = group.checked_div(per_block).unwrap_or_default();
    let within = group.checked_rem(per_block).unwrap_or_default();
    let block = if sb.in_meta_group(low32(group)) {
        match low32(table_block.saturating_mul(per_block)) {
            0 => sb.own_block().saturating_add(1),
            first => sb.group_start(first).saturating_add(u64::from(sb.has_superblock(first))),
        }
    } else {
        sb.own_block().saturating_add(1).saturating_add(table_block)
    };
    sb.byte(block).saturating_add(within.saturating_mul(wide(sb.descriptor_size)))
}

/// Reads and checks all descriptors.
pub(crate) fn read_all(disk: &Disk, sb: &Superblock) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    let mut table = Vec::new();
    let table_blocks = inode_table_blocks(sb);
    for number in 0..sb.groups {
        let place = descriptor_place(sb, number);
        let within = index(u64::from(number).checked_rem(sb.descriptors_per_block()).unwrap_or_default());
        if within == 0 {
            table = disk.read_vec(place, index(sb.block_size))?;
        }
        let bytes = part(&table, within.saturating_mul(sb.descriptor_size), sb.descriptor_size)?;
        let corrupt = |what: String| FsError::corrupt(format!("group descriptor {number}"), place, what);
        let mut raw = RawGroup::new_zeroed();
        put(raw.as_mut_bytes(), 0, bytes)?;
        if descriptor_checksum(sb, number, bytes)?.is_some_and(|sum| sum != raw.checksum.get()) {
            return Err(corrupt("its checksum is wrong".to_owned()));
        }
        let group = Group { raw, lazy: sb.lazy_groups() };
        let table_end = group.inode_table().saturating_add(table_blocks);
        let outside = |block: u64, end: u64| block <= sb.own_block() || end > sb.blocks;
        for (name, start, end) in [
            ("block bitmap", group.block_bitmap(), group.block_bitmap().saturating_add(1)),
            ("inode bitmap", group.inode_bitmap(), group.inode_bitmap().saturating_add(1)),
            ("inode table", group.inode_table(), table_end),
        ] {
            if outside(start, end) {
                return Err(corrupt(format!("its {name} at block {start} lies outside the file system")));
            }
        }
        groups.push(group);
    }
    Ok(groups)
}

/// Blocks of the inode table of one group.
pub(crate) fn inode_table_blocks(sb: &Superblock) -> u64 {
    let bytes = u64::from(sb.inodes_per_group).saturating_mul(wide(sb.inode_size));
    bytes.div_ceil(u64::from(sb.block_size))
}
