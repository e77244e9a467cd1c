//! Inodes ("ext4 disk layout: Index Nodes").

use vfs::{FileType, FsError, Result, Timestamp};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Ext4;
use crate::bytes::{index, join16, join32, le16, le32, low16, low32, part, put, put16, put32, wide};
use crate::checksum::crc32c;
use crate::features::ro_compat;
use crate::superblock::Superblock;

/// The root directory.
pub(crate) const ROOT: u32 = 2;

/// `i_flags`.
pub(crate) mod flag {
    pub(crate) const IMMUTABLE: u32 = 0x10;
    pub(crate) const ENCRYPT: u32 = 0x800;
    pub(crate) const INDEX: u32 = 0x1000;
    pub(crate) const HUGE_FILE: u32 = 0x4_0000;
    pub(crate) const EXTENTS: u32 = 0x8_0000;
    pub(crate) const VERITY: u32 = 0x10_0000;
    pub(crate) const EA_INODE: u32 = 0x20_0000;
    pub(crate) const INLINE_DATA: u32 = 0x1000_0000;
    pub(crate) const PROJINHERIT: u32 = 0x2000_0000;
    pub(crate) const CASEFOLD: u32 = 0x4000_0000;
    /// `EXT4_COMPRBLK_FL`.
    pub(crate) const COMPRESSED: u32 = 0x200;
}

/// Bytes of `i_block`.
pub(crate) const BLOCK_LEN: usize = 60;

/// The first 128 bytes as they are on disk; names are the document's without `i_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawInode {
    mode: U16,
    uid: U16,
    size_lo: U32,
    atime: U32,
    ctime: U32,
    mtime: U32,
    dtime: U32,
    gid: U16,
    links_count: U16,
    blocks_lo: U32,
    flags: U32,
    version: U32,
    block: [u8; BLOCK_LEN],
    generation: U32,
    file_acl_lo: U32,
    size_high: U32,
    obso_faddr: U32,
    blocks_high: U16,
    file_acl_high: U16,
    uid_high: U16,
    gid_high: U16,
    checksum_lo: U16,
    reserved: U16,
}
const _: () = assert!(size_of::<RawInode>() == 128);

// The fields after the first 128 bytes, as offsets from there.
const EXTRA_ISIZE: usize = 0;
const CHECKSUM_HI: usize = 2;
const CTIME_EXTRA: usize = 4;
const MTIME_EXTRA: usize = 8;
const ATIME_EXTRA: usize = 12;
const CRTIME: usize = 16;
const CRTIME_EXTRA: usize = 20;
const PROJID: usize = 28;

/// An inode in memory.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    /// Its number, from 1.
    pub(crate) number: u32,
    raw: RawInode,
    /// What follows the first 128 bytes.
    rest: Vec<u8>,
}

impl Inode {
    /// An empty inode.
    pub(crate) fn new(sb: &Superblock, number: u32, generation: u32) -> Result<Self> {
        let mut rest = vec![0; sb.inode_size.saturating_sub(128)];
        if !rest.is_empty() {
            put16(&mut rest, EXTRA_ISIZE, sb.extra_isize())?;
        }
        let mut raw = RawInode::new_zeroed();
        raw.generation.set(generation);
        Ok(Self { number, raw, rest })
    }

    pub(crate) fn generation(&self) -> u32 {
        self.raw.generation.get()
    }

    /// What it is; `Corrupt` for a type that does not exist.
    pub(crate) fn file_type(&self) -> Result<FileType> {
        Ok(match self.raw.mode.get() >> 12 {
            0x1 => FileType::Fifo,
            0x2 => FileType::CharDevice,
            0x4 => FileType::Directory,
            0x6 => FileType::BlockDevice,
            0x8 => FileType::Regular,
            0xa => FileType::Symlink,
            0xc => FileType::Socket,
            other => return Err(self.corrupt(format!("file type {other:#x}"))),
        })
    }

    pub(crate) fn set_file_type(&mut self, file_type: FileType) {
        let bits = match file_type {
            FileType::Fifo => 0x1000,
            FileType::CharDevice => 0x2000,
            FileType::Directory => 0x4000,
            FileType::BlockDevice => 0x6000,
            FileType::Regular => 0x8000,
            FileType::Symlink => 0xa000,
            FileType::Socket => 0xc000,
        };
        self.raw.mode.set(self.permissions() | bits);
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.raw.mode.get() >> 12 == 4
    }

    /// The low 12 bits of the mode.
    pub(crate) fn permissions(&self) -> u16 {
        self.raw.mode.get() & 0o7777
    }

    pub(crate) fn set_permissions(&mut self, mode: u16) {
        self.raw.mode.set(self.raw.mode.get() & 0xf000 | mode & 0o7777);
    }

    pub(crate) fn uid(&self) -> u32 {
        join16(self.raw.uid.get(), self.raw.uid_high.get())
    }

    pub(crate) fn gid(&self) -> u32 {
        join16(self.raw.gid.get(), self.raw.gid_high.get())
    }

    pub(crate) fn set_owner(&mut self, uid: u32, gid: u32) {
        self.raw.uid.set(low16(uid));
        self.raw.uid_high.set(low16(uid >> 16));
        self.raw.gid.set(low16(gid));
        self.raw.gid_high.set(low16(gid >> 16));
    }

    pub(crate) fn size(&self) -> u64 {
        join32(self.raw.size_lo.get(), self.raw.size_high.get())
    }

    pub(crate) fn set_size(&mut self, size: u64) {
        self.raw.size_lo.set(low32(size));
        self.raw.size_high.set(low32(size >> 32));
    }

    pub(crate) fn links(&self) -> u16 {
        self.raw.links_count.get()
    }

    pub(crate) fn set_links(&mut self, links: u16) {
        self.raw.links_count.set(links);
    }

    /// When it was removed; of an orphan, the next one in the list.
    pub(crate) fn dtime(&self) -> u32 {
        self.raw.dtime.get()
    }

    pub(crate) fn set_dtime(&mut self, time: u32) {
        self.raw.dtime.set(time);
    }

    /// Whether any of these flags is set.
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.raw.flags.get() & flags != 0
    }

    pub(crate) fn set_flag(&mut self, flag: u32, on: bool) {
        let flags = self.raw.flags.get();
        self.raw.flags.set(if on { flags | flag } else { flags & !flag });
    }

    /// `i_block`: the root of an extent tree or block map, a short target, inline data, a device number.
    pub(crate) fn block(&self) -> &[u8; BLOCK_LEN] {
        &self.raw.block
    }

    pub(crate) fn block_mut(&mut self) -> &mut [u8; BLOCK_LEN] {
        &mut self.raw.block
    }

    /// The block of extended attributes.
    pub(crate) fn xattr_block(&self) -> Option<u64> {
        let block = join32(self.raw.file_acl_lo.get(), self.raw.file_acl_high.get().into());
        (block != 0).then_some(block)
    }

    pub(crate) fn set_xattr_block(&mut self, block: Option<u64>) {
        let block = block.unwrap_or_default();
        self.raw.file_acl_lo.set(low32(block));
        self.raw.file_acl_high.set(low16(block >> 32));
    }

    /// `i_blocks` in units of 512 bytes (or, of a huge file, of blocks).
    fn sectors(&self) -> u64 {
        join32(self.raw.blocks_lo.get(), self.raw.blocks_high.get().into())
    }

    /// Stores how many blocks it takes ("Inode: i_blocks" for the units).
    pub(crate) fn set_blocks(&mut self, sb: &Superblock, blocks: u64) -> Result<()> {
        let sectors = blocks.saturating_mul(u64::from(sb.block_size >> 9));
        let huge = sectors >= 1 << 48;
        let wide = sectors >> 32 != 0;
        if wide && !sb.ro_compat(ro_compat::HUGE_FILE) {
            return Err(FsError::Invalid(
                "a file of more than 2 TiB needs the ext4 feature huge_file".into(),
            ));
        }
        self.set_flag(flag::HUGE_FILE, huge);
        let value = if huge { blocks } else { sectors };
        self.raw.blocks_lo.set(low32(value));
        self.raw.blocks_high.set(low16(value >> 32));
        Ok(())
    }

    /// Counts the attribute block in or out.
    pub(crate) fn count_xattr_block(&mut self, sb: &Superblock, added: bool) -> Result<()> {
        let per_block = if self.has(flag::HUGE_FILE) { 1 } else { u64::from(sb.block_size >> 9).max(1) };
        let blocks = self.sectors().checked_div(per_block).unwrap_or_default();
        self.set_blocks(sb, if added { blocks.saturating_add(1) } else { blocks.saturating_sub(1) })
    }

    /// How many of the bytes after the first 128 are fields.
    fn extra_isize(&self) -> Result<usize> {
        if self.rest.is_empty() {
            return Ok(0);
        }
        let extra = usize::from(le16(&self.rest, EXTRA_ISIZE)?);
        if extra > self.rest.len() || extra & 3 != 0 {
            return Err(self.corrupt(format!("i_extra_isize is {extra}")));
        }
        Ok(extra)
    }

    fn extra(&self, at: usize) -> Option<u32> {
        let end = at.checked_add(4)?;
        (self.extra_isize().ok()? >= end).then(|| le32(&self.rest, at).ok()).flatten()
    }

    fn set_extra(&mut self, at: usize, n: u32) -> Result<()> {
        if self.extra(at).is_some() { put32(&mut self.rest, at, n) } else { Ok(()) }
    }

    /// The space for attributes inside the inode.
    pub(crate) fn xattr_area(&self) -> Result<&[u8]> {
        let from = self.xattr_area_start()?;
        Ok(self.rest.get(from..).unwrap_or_default())
    }

    /// See [`xattr_area`](Self::xattr_area).
    pub(crate) fn xattr_area_mut(&mut self) -> Result<&mut [u8]> {
        let from = self.xattr_area_start()?;
        Ok(self.rest.get_mut(from..).unwrap_or_default())
    }

    /// An inode whose fields were never extended has no space for attributes either.
    fn xattr_area_start(&self) -> Result<usize> {
        Ok(match self.extra_isize()? {
            0 => self.rest.len(),
            extra => extra,
        })
    }

    pub(crate) fn mtime(&self) -> Timestamp {
        decode_time(self.raw.mtime.get(), self.extra(MTIME_EXTRA).unwrap_or_default())
    }

    /// Sets the times of content and inode.
    pub(crate) fn set_mtime(&mut self, time: Timestamp) -> Result<()> {
        let (low, extra) = encode_time(time, self.extra(MTIME_EXTRA).is_some());
        self.raw.mtime.set(low);
        self.raw.ctime.set(low);
        self.set_extra(MTIME_EXTRA, extra)?;
        self.set_extra(CTIME_EXTRA, extra)
    }

    /// Sets all times.
    pub(crate) fn set_times(&mut self, time: Timestamp) -> Result<()> {
        self.set_mtime(time)?;
        let (low, extra) = encode_time(time, self.extra(ATIME_EXTRA).is_some());
        self.raw.atime.set(low);
        self.set_extra(ATIME_EXTRA, extra)?;
        self.set_extra(CRTIME, low)?;
        self.set_extra(CRTIME_EXTRA, extra)
    }

    /// A new inode belongs to its directory's project where that says so.
    pub(crate) fn inherit_project(&mut self, dir: &Inode) -> Result<()> {
        if dir.has(flag::PROJINHERIT) {
            self.set_flag(flag::PROJINHERIT, self.is_dir());
            self.set_extra(PROJID, dir.extra(PROJID).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Major and minor number, of a device node.
    pub(crate) fn device(&self) -> Option<(u32, u32)> {
        if !matches!(self.file_type(), Ok(FileType::CharDevice | FileType::BlockDevice)) {
            return None;
        }
        let (old, new) = (le32(&self.raw.block, 0).ok()?, le32(&self.raw.block, 4).ok()?);
        Some(if old != 0 {
            (old >> 8 & 0xff, old & 0xff)
        } else {
            (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00)
        })
    }

    /// The start of the checksums of all blocks that belong to this inode.
    pub(crate) fn seed(&self, sb: &Superblock) -> u32 {
        crc32c(crc32c(sb.seed, &self.number.to_le_bytes()), &self.raw.generation.get().to_le_bytes())
    }

    /// Whether the inode stores the high half of its checksum.
    fn wide_checksum(&self) -> bool {
        self.extra_isize().is_ok_and(|extra| extra >= 4)
    }

    /// The checksum of all its bytes, the checksum fields taken as zero.
    fn checksum(&self, sb: &Superblock) -> Result<u32> {
        let mut copy = self.clone();
        copy.raw.checksum_lo.set(0);
        if copy.wide_checksum() {
            put16(&mut copy.rest, CHECKSUM_HI, 0)?;
        }
        let sum = crc32c(crc32c(self.seed(sb), copy.raw.as_bytes()), &copy.rest);
        Ok(if copy.wide_checksum() { sum } else { sum & 0xffff })
    }

    fn stored_checksum(&self) -> Result<u32> {
        let high = if self.wide_checksum() { le16(&self.rest, CHECKSUM_HI)? } else { 0 };
        Ok(join16(self.raw.checksum_lo.get(), high))
    }

    /// The bytes with a new checksum.
    pub(crate) fn encode(&mut self, sb: &Superblock) -> Result<Vec<u8>> {
        if sb.checksums() {
            let sum = self.checksum(sb)?;
            self.raw.checksum_lo.set(low16(sum));
            if self.wide_checksum() {
                put16(&mut self.rest, CHECKSUM_HI, low16(sum >> 16))?;
            }
        }
        Ok([self.raw.as_bytes(), &self.rest].concat())
    }

    /// Something about this inode contradicts the format.
    pub(crate) fn corrupt(&self, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
        FsError::corrupt(format!("inode {}", self.number), 0, what)
    }

    /// Refuses, by name, inodes whose content we can neither read nor replace.
    pub(crate) fn check_plain(&self) -> Result<()> {
        for (flag, name) in [(flag::ENCRYPT, "encrypted"), (flag::COMPRESSED, "compressed")] {
            if self.has(flag) {
                return Err(FsError::unsupported(format!("ext4 inode {} is {name}", self.number)));
            }
        }
        Ok(())
    }

    /// Refuses, by name, inodes that we can read but not change.
    pub(crate) fn check_editable(&self) -> Result<()> {
        self.check_plain()?;
        for (flag, name) in [
            (flag::VERITY, "is protected by verity"),
            (flag::CASEFOLD, "is a case-folding directory"),
            (flag::EA_INODE, "is an attribute's value"),
        ] {
            if self.has(flag) {
                return Err(FsError::unsupported(format!("writing: ext4 inode {} {name}", self.number)));
            }
        }
        Ok(())
    }
}

/// "Inode Timestamps": two more bits of seconds, thirty of nanoseconds.
fn decode_time(low: u32, extra: u32) -> Timestamp {
    let epoch = i64::from(extra & 3) << 32;
    Timestamp {
        seconds: i64::from(low.cast_signed()).saturating_add(epoch),
        nanos: (extra >> 2).min(999_999_999),
    }
}

/// Low 32 bits of the seconds, and the extra word; what cannot be stored becomes the nearest that can.
fn encode_time(time: Timestamp, has_extra: bool) -> (u32, u32) {
    let (min, max) = (i64::from(i32::MIN), if has_extra { 0x3_7fff_ffff } else { i64::from(i32::MAX) });
    let seconds = time.seconds.clamp(min, max);
    let low = low32(seconds.cast_unsigned());
    let epoch = seconds.saturating_sub(i64::from(low.cast_signed())).cast_unsigned() >> 32 & 3;
    (low, time.nanos.min(999_999_999) << 2 | low32(epoch))
}

/// Where an inode lies: its block in the table, and the byte in it.
fn place(fs: &Ext4, number: u32) -> Result<(u64, usize)> {
    if number == 0 || number > fs.sb.inodes {
        return Err(FsError::NotFound);
    }
    let (group, within) = fs.sb.group_of_inode(number);
    let byte = u64::from(within).saturating_mul(wide(fs.sb.inode_size));
    let size = u64::from(fs.sb.block_size);
    let block = fs.group(group)?.inode_table().saturating_add(byte.checked_div(size).unwrap_or_default());
    Ok((block, index(byte.checked_rem(size).unwrap_or_default())))
}

impl Ext4 {
    /// The bytes of an inode, whether in use or not, with nothing checked.
    pub(crate) fn raw_inode(&self, number: u32) -> Result<Inode> {
        let (block, at) = place(self, number)?;
        let bytes = self.blocks.read(block)?;
        let (raw, rest) = RawInode::read_from_prefix(part(&bytes, at, self.sb.inode_size)?)
            .map_err(|_| FsError::corrupt(format!("inode {number}"), self.sb.byte(block), "too short"))?;
        Ok(Inode { number, raw, rest: rest.to_vec() })
    }

    /// An inode that is in use.
    pub(crate) fn inode(&self, number: u32) -> Result<Inode> {
        if self.raw_inode(number)?.links() == 0 {
            return Err(FsError::NotFound);
        }
        self.checked_inode(number)
    }

    /// An inode that is in use, or waits for its removal.
    pub(crate) fn checked_inode(&self, number: u32) -> Result<Inode> {
        let inode = self.raw_inode(number)?;
        if self.sb.checksums() && inode.checksum(&self.sb)? != inode.stored_checksum()? {
            let (block, at) = place(self, number)?;
            let byte = self.sb.byte(block).saturating_add(wide(at));
            return Err(FsError::corrupt(format!("inode {number}"), byte, "its checksum is wrong"));
        }
        inode.extra_isize()?;
        Ok(inode)
    }

    /// Stages an inode.
    pub(crate) fn stage_inode(&mut self, inode: &mut Inode) -> Result<()> {
        let (block, at) = place(self, inode.number)?;
        let mut bytes = self.blocks.read(block)?.to_vec();
        put(&mut bytes, at, &inode.encode(&self.sb)?)?;
        self.blocks.stage(block, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_beyond_2038() {
        for seconds in [-2_147_483_648, -1, 0, 1, 0x7fff_ffff, 0x8000_0000, 0x1_0000_0000, 0x3_7fff_ffff] {
            let time = Timestamp { seconds, nanos: 123_456_789 };
            let (low, extra) = encode_time(time, true);
            assert_eq!(decode_time(low, extra), time);
        }
        assert_eq!(encode_time(Timestamp { seconds: 1 << 40, nanos: 0 }, false).0, 0x7fff_ffff);
    }
}
