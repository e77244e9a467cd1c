//! Items of changed inodes ("Inode Log Item").

use vfs::Result;

use super::seal;
use super::transaction::{Item, corrupt};
use crate::bytes::{be16, be64, byte, index, le16, le32, le64, part, part_mut, put, put16, put64};
use crate::checksum;
use crate::extent::Side;
use crate::inode::flag2;
use crate::superblock::Superblock;

/// `ilf_type`.
pub(super) const KIND: u16 = 0x123b;

/// `ilf_fields`.
mod field {
    pub(super) const DATA: u32 = DATA_INLINE | DATA_EXTENTS | DATA_ROOT;
    pub(super) const DATA_INLINE: u32 = 0x2;
    pub(super) const DATA_EXTENTS: u32 = 0x4;
    pub(super) const DATA_ROOT: u32 = 0x8;
    pub(super) const DEVICE: u32 = 0x10;
    pub(super) const ATTR: u32 = ATTR_INLINE | ATTR_EXTENTS | ATTR_ROOT;
    pub(super) const ATTR_INLINE: u32 = 0x40;
    pub(super) const ATTR_EXTENTS: u32 = 0x80;
    pub(super) const ATTR_ROOT: u32 = 0x100;
    pub(super) const DATA_OWNER: u32 = 0x200;
    pub(super) const ATTR_OWNER: u32 = 0x400;
}

/// Bytes of the format, of 64-bit and of 32-bit kernels; the latter have no padding before the number.
const LEN: usize = 56;
const PADDING: usize = 4;

// Places in an inode that decide how it is read.
const MAGIC: &[u8] = b"IN";
const VERSION_AT: usize = 4;
const FLUSHITER_AT: usize = 30;
const FORKOFF_AT: usize = 82;
const NEXT_UNLINKED_AT: usize = 96;
const CRC_AT: usize = 100;
const LSN_AT: usize = 112;
const FLAGS2_AT: usize = 120;
const UUID_AT: usize = 160;
const CORE: usize = 176;
const OLD_CORE: usize = 100;

/// `di_flushiter` starts anew after this.
const FLUSHITER_MAX: u16 = 0xffff;

/// Numbers of two, four and eight bytes in an inode, times and `di_lsn` excepted.
const HALVES: &[usize] = &[0, 2, 20, 22, 80, 88, 90];
const WORDS: &[usize] = &[8, 12, 16, 72, 76, 84, 92];
const NEW_WORDS: &[usize] = &[128];
const DOUBLES: &[usize] = &[56, 64];
const NEW_DOUBLES: &[usize] = &[104, 120, 152];
const TIMES: &[usize] = &[32, 40, 48];
const NEW_TIME: usize = 144;

/// Which inode, and which parts of it.
#[derive(Debug)]
pub(super) struct Format {
    fields: u32,
    pub(super) number: u64,
    device: u32,
    /// Place and length of its buffer in blocks.
    pub(super) buffer: (u64, u16),
    /// Where it lies in the buffer, in bytes.
    offset: u32,
}

impl Format {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let shift = if bytes.len() < LEN { PADDING } else { 0 };
        let at = |place: usize| place.saturating_sub(shift);
        Ok(Self {
            fields: le32(bytes, 4)?,
            number: le64(bytes, at(16))?,
            device: le32(bytes, at(24))?,
            buffer: (le64(bytes, at(40))?, u16::try_from(le32(bytes, at(48))?).unwrap_or(0)),
            offset: le32(bytes, at(52))?,
        })
    }

    /// Where the inode lies on the volume, in bytes.
    pub(super) fn place(&self) -> u64 {
        self.buffer.0.saturating_mul(512).saturating_add(self.offset.into())
    }

    /// Whether it is a directory, by its changed core.
    pub(super) fn is_directory(item: &Item) -> Result<bool> {
        Ok(le16(item.region(1), 2)? >> 12 == 4)
    }

    /// The sides of which the tree was taken over from another inode.
    pub(super) fn new_owner(&self) -> impl Iterator<Item = Side> {
        let sides = [(field::DATA_OWNER, Side::Data), (field::ATTR_OWNER, Side::Attr)];
        sides.into_iter().filter(|(flag, _)| self.fields & flag != 0).map(|(_, side)| side)
    }

    fn corrupt(&self, what: &'static str) -> vfs::FsError {
        corrupt("inode item", format!("inode {}: {what}", self.number))
    }

    /// Changes an inode, all of whose bytes these are; `false` if what is there is newer.
    pub(super) fn apply(&self, sb: &Superblock, item: &Item, inode: &mut [u8], lsn: u64) -> Result<bool> {
        let new = item.region(1);
        if part(inode, 0, 2)? != MAGIC {
            return Err(self.corrupt("there is none where it should be"));
        }
        if le16(new, 0)?.to_be_bytes() != MAGIC || byte(new, VERSION_AT)? < if sb.v5() { 3 } else { 1 } {
            return Err(self.corrupt("its magic number or version is wrong"));
        }
        if sb.v5() {
            let there = be64(inode, LSN_AT)?;
            if seal::is_known(there) && there > lsn {
                return Ok(false);
            }
        } else if !self.is_later(inode, new)? {
            return Ok(false);
        }
        self.apply_core(sb, new, inode, lsn)?;

        let core = if sb.v5() { CORE } else { OLD_CORE };
        let literal = part_mut(inode, core, sb.inode_size.saturating_sub(core))?;
        if self.fields & field::DEVICE != 0 {
            put(literal, 0, &self.device.to_be_bytes())?;
        }
        let offset = usize::from(byte(new, FORKOFF_AT)?).saturating_mul(8);
        let (data, attr) = literal
            .split_at_mut_checked(if offset == 0 { literal.len() } else { offset })
            .ok_or_else(|| self.corrupt("its attribute fork starts past its end"))?;
        let mut regions = item.regions.iter().skip(2).map(Vec::as_slice);
        if self.fields & field::DATA != 0 {
            let root = self.fields & field::DATA_ROOT != 0;
            self.apply_fork(sb, regions.next().unwrap_or_default(), root, data)?;
        }
        if self.fields & field::ATTR != 0 {
            let root = self.fields & field::ATTR_ROOT != 0;
            self.apply_fork(sb, regions.next().unwrap_or_default(), root, attr)?;
        }
        if sb.v5() {
            checksum::update(inode, CRC_AT)?;
        }
        Ok(true)
    }

    /// Without a place in the log, inodes count how often they were written.
    fn is_later(&self, there: &[u8], new: &[u8]) -> Result<bool> {
        let (there, new) = (be16(there, FLUSHITER_AT)?, le16(new, FLUSHITER_AT)?);
        Ok(new >= there || there == FLUSHITER_MAX && new < FLUSHITER_MAX >> 1)
    }

    /// The core, turned into big-endian numbers.
    fn apply_core(&self, sb: &Superblock, new: &[u8], inode: &mut [u8], lsn: u64) -> Result<()> {
        let mut core = [0; CORE];
        let len = if sb.v5() { CORE } else { NEXT_UNLINKED_AT };
        put(&mut core, 0, part(new, 0, len)?)?;
        let flags2 = if sb.v5() { le64(new, FLAGS2_AT)? } else { 0 };
        let mut turn = |at: usize, len: usize| part_mut(&mut core, at, len).map(<[u8]>::reverse);
        for (places, len) in [(HALVES, 2), (WORDS, 4), (DOUBLES, 8)] {
            places.iter().try_for_each(|&at| turn(at, len))?;
        }
        let mut time = |at: usize| {
            if flags2 & flag2::BIGTIME != 0 {
                return turn(at, 8);
            }
            turn(at, 4)?;
            turn(at.saturating_add(4), 4)
        };
        TIMES.iter().try_for_each(|&at| time(at))?;
        if sb.v5() {
            time(NEW_TIME)?;
            NEW_WORDS.iter().try_for_each(|&at| turn(at, 4))?;
            NEW_DOUBLES.iter().try_for_each(|&at| turn(at, 8))?;
        }
        // Old fields that are no more, and the number of extents in their place.
        put16(&mut core, 6, 0)?;
        let extents = if flags2 & flag2::NREXT64 != 0 { le64(new, 24)? } else { 0 };
        put64(&mut core, 24, extents)?;
        if !sb.v5() {
            return put(inode, 0, part(&core, 0, NEXT_UNLINKED_AT)?);
        }
        put64(&mut core, LSN_AT, lsn)?;
        put(&mut core, 132, &[0; 12])?;
        // The list of those without a name is changed by buffers only.
        let next = part(inode, NEXT_UNLINKED_AT, 4)?.to_vec();
        put(&mut core, NEXT_UNLINKED_AT, &next)?;
        if part(&core, UUID_AT, 16)? != sb.meta_uuid || be64(&core, 152)? != self.number {
            return Err(self.corrupt("its number or UUID is wrong"));
        }
        put(inode, 0, &core)
    }

    fn apply_fork(&self, sb: &Superblock, new: &[u8], root: bool, fork: &mut [u8]) -> Result<()> {
        if !root {
            return put(fork, 0, new);
        }
        // The root has the header of a block in memory, and as many places as it needs.
        let header = if sb.v5() { 72 } else { 24 };
        let count = usize::from(be16(new, 6)?);
        let places = new.len().saturating_sub(header) >> 4;
        let fork_places = fork.len().saturating_sub(4) >> 4;
        if count > places || count > fork_places {
            return Err(self.corrupt("the root of a tree is too long"));
        }
        let len = count.saturating_mul(8);
        put(fork, 0, part(new, 4, 4)?)?;
        put(fork, 4, part(new, header, len)?)?;
        let pointers = part(new, header.saturating_add(places.saturating_mul(8)), len)?;
        put(fork, fork_places.saturating_mul(8).saturating_add(4), pointers)
    }
}

/// The blocks below one of the tree of a fork ("B+tree Extent List"); `None` if it is none.
pub(super) fn tree_children(sb: &Superblock, block: &[u8]) -> Result<Option<Vec<u64>>> {
    const HEADER: usize = 72;
    if part(block, 0, 4)? != b"BMA3" {
        return Ok(None);
    }
    let (level, count) = (be16(block, 4)?, usize::from(be16(block, 6)?));
    if level == 0 {
        return Ok(Some(Vec::new()));
    }
    let capacity = index(sb.block_size).saturating_sub(HEADER) >> 4;
    let pointers = part(block, capacity.saturating_mul(8).saturating_add(HEADER), count.saturating_mul(8))?;
    pointers.chunks_exact(8).map(|pointer| be64(pointer, 0)).collect::<Result<_>>().map(Some)
}

/// Says in a block of such a tree whose it is.
pub(super) fn set_tree_owner(block: &mut [u8], number: u64) -> Result<()> {
    put64(block, 56, number)?;
    checksum::update(block, 64)
}
