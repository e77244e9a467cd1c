//! Inodes ("On-disk Inode").

use vfs::{FileType, FsError, Result, Timestamp};
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Xfs;
use crate::bytes::{half, low32, part, put, wide, word};
use crate::checksum;
use crate::extent::Side;
use crate::fork::Fork;
use crate::superblock::Superblock;

const MAGIC: u16 = 0x494e;
const CRC_AT: usize = 100;
/// Where the forks start, in version 1 and 2, and in version 3.
const OLD_CORE: usize = 100;
const CORE: usize = 176;
/// "No inode" in `di_next_unlinked`.
const NULL: u32 = u32::MAX;

/// `di_flags`.
pub(crate) mod flag {
    pub(crate) const REALTIME: u16 = 0x1;
    pub(crate) const IMMUTABLE: u16 = 0x8;
    pub(crate) const PROJINHERIT: u16 = 0x200;
}

/// `di_flags2`.
pub(crate) mod flag2 {
    pub(crate) const REFLINK: u64 = 0x2;
    pub(crate) const BIGTIME: u64 = 0x8;
    pub(crate) const NREXT64: u64 = 0x10;
    pub(crate) const METADATA: u64 = 0x20;
}

/// The core as it is on disk; names are the document's without `di_`. Versions 1 and 2 end after
/// `next_unlinked`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawInode {
    magic: U16,
    mode: U16,
    version: u8,
    format: u8,
    onlink: U16,
    uid: U32,
    gid: U32,
    nlink: U32,
    projid_lo: U16,
    projid_hi: U16,
    /// With `NREXT64` the number of extents, else 6 bytes of nothing and `di_flushiter`.
    big_nextents: U64,
    atime: U64,
    mtime: U64,
    ctime: U64,
    size: U64,
    nblocks: U64,
    extsize: U32,
    /// With `NREXT64` the number of attribute extents.
    nextents: U32,
    anextents: U16,
    forkoff: u8,
    aformat: u8,
    dmevmask: U32,
    dmstate: U16,
    flags: U16,
    generation: U32,
    next_unlinked: U32,
    crc: U32,
    changecount: U64,
    lsn: U64,
    flags2: U64,
    cowextsize: U32,
    pad2: [u8; 12],
    crtime: U64,
    ino: U64,
    uuid: [u8; 16],
}
const _: () = assert!(size_of::<RawInode>() == CORE);

/// An inode in memory.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    /// Its number on the volume.
    pub(crate) number: u64,
    raw: RawInode,
    /// What the two forks hold. An inode without attributes has no attribute fork.
    pub(crate) data: Fork,
    pub(crate) attr: Option<Fork>,
    /// Extents of each fork, also where a tree maps them.
    pub(crate) data_extents: u64,
    pub(crate) attr_extents: u64,
}

/// Where the forks start.
fn core_len(sb: &Superblock) -> usize {
    if sb.v5() { CORE } else { OLD_CORE }
}

/// Bytes for both forks together.
pub(crate) fn literal_len(sb: &Superblock) -> usize {
    sb.inode_size.saturating_sub(core_len(sb))
}

fn corrupt(number: u64, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
    FsError::corrupt(format!("inode {number}"), 0, what)
}

impl Inode {
    /// An inode as it lies in a new chunk: free.
    pub(crate) fn new_free(sb: &Superblock, number: u64, generation: u32) -> Self {
        let mut raw = RawInode::new_zeroed();
        raw.magic.set(MAGIC);
        raw.version = if sb.v5() { 3 } else { 2 };
        raw.generation.set(generation);
        raw.next_unlinked.set(NULL);
        raw.ino.set(number);
        raw.uuid = sb.meta_uuid;
        Self { number, raw, data: Fork::default(), attr: None, data_extents: 0, attr_extents: 0 }
    }

    /// Checks an inode, in use or not; `bytes` are all of it.
    pub(crate) fn decode(sb: &Superblock, number: u64, bytes: &[u8]) -> Result<Self> {
        let corrupt = |what: &'static str| corrupt(number, what);
        // Beyond 100 bytes an old inode has its forks: they must not be taken for fields.
        let mut core = [0; CORE];
        put(&mut core, 0, part(bytes, 0, core_len(sb))?)?;
        let mut raw = RawInode::read_from_bytes(&core[..]).map_err(|_| corrupt("it is too short"))?;
        if raw.magic.get() != MAGIC {
            return Err(corrupt("its magic number is wrong"));
        }
        if sb.v5() {
            if raw.version != 3 || raw.ino.get() != number || raw.uuid != sb.meta_uuid {
                return Err(corrupt("its version, number or UUID is wrong"));
            }
            if !checksum::is_right(bytes, CRC_AT) {
                return Err(corrupt("its checksum is wrong"));
            }
        } else if !matches!(raw.version, 1 | 2) {
            return Err(corrupt("its version is wrong"));
        }
        if raw.version == 1 {
            // As the kernel does: version 2 has wider counts of names, and projects.
            raw.version = 2;
            raw.nlink.set(raw.onlink.get().into());
            raw.onlink.set(0);
            (raw.projid_lo, raw.projid_hi) = (U16::ZERO, U16::ZERO);
        }
        let wide_counts = raw.flags2.get() & flag2::NREXT64 != 0;
        let (data_extents, attr_extents) = if wide_counts {
            (raw.big_nextents.get(), raw.nextents.get().into())
        } else {
            (raw.nextents.get().into(), raw.anextents.get().into())
        };
        let mut inode = Self { number, raw, data: Fork::default(), attr: None, data_extents, attr_extents };
        if inode.raw.mode.get() == 0 {
            return Ok(inode);
        }
        let literal = part(bytes, core_len(sb), literal_len(sb))?;
        let offset = usize::from(inode.raw.forkoff).saturating_mul(8);
        if offset > literal.len() {
            return Err(corrupt("its attribute fork starts past its end"));
        }
        let split = if offset == 0 { literal.len() } else { offset };
        let (data, attr) = literal.split_at(split);
        inode.data =
            Fork::decode(data, inode.raw.format, data_extents, Some(inode.size())).map_err(corrupt)?;
        if offset > 0 {
            let fork = Fork::decode(attr, inode.raw.aformat, attr_extents, None);
            inode.attr = Some(fork.map_err(corrupt)?);
        } else if attr_extents > 0 {
            return Err(corrupt("it counts attribute extents and has no place for them"));
        }
        Ok(inode)
    }

    /// All bytes of it, with a new checksum.
    pub(crate) fn encode(&mut self, sb: &Superblock) -> Result<Vec<u8>> {
        let mut bytes = vec![0; sb.inode_size];
        let literal = literal_len(sb);
        let offset = self.fork_offset(sb)?;
        self.raw.forkoff = u8::try_from(offset >> 3).unwrap_or_default();
        self.raw.format = self.data.format();
        self.raw.aformat = self.attr.as_ref().map_or(Fork::default().format(), Fork::format);
        if self.raw.mode.get() == 0 {
            (self.raw.forkoff, self.data_extents, self.attr_extents) = (0, 0, 0);
        }
        for (fork, count) in
            [(Some(&self.data), &mut self.data_extents), (self.attr.as_ref(), &mut self.attr_extents)]
        {
            match fork {
                Some(Fork::Extents(extents)) => *count = wide(extents.len()),
                Some(Fork::Tree(_)) => {}
                Some(Fork::Device(_) | Fork::Inline(_)) | None => *count = 0,
            }
        }
        if self.raw.flags2.get() & flag2::NREXT64 != 0 {
            self.raw.big_nextents.set(self.data_extents);
            self.raw.nextents.set(word(self.attr_extents));
            self.raw.anextents.set(0);
        } else {
            self.raw.nextents.set(word(self.data_extents));
            self.raw.anextents.set(half(self.attr_extents));
        }
        put(&mut bytes, 0, part(self.raw.as_bytes(), 0, core_len(sb))?)?;
        let split = if offset == 0 { literal } else { offset };
        put(&mut bytes, core_len(sb), &self.data.encode(split)?)?;
        if let Some(attr) = &self.attr {
            let at = core_len(sb).saturating_add(split);
            put(&mut bytes, at, &attr.encode(literal.saturating_sub(split))?)?;
        }
        if sb.v5() {
            checksum::update(&mut bytes, CRC_AT)?;
        }
        Ok(bytes)
    }

    /// Where the attribute fork starts, in bytes after the core; 0 if there is none.
    fn fork_offset(&self, sb: &Superblock) -> Result<usize> {
        let before = usize::from(self.raw.forkoff).saturating_mul(8);
        let need = self.data.need();
        let offset = match (&self.attr, &self.data) {
            (None, _) => return if need <= literal_len(sb) { Ok(0) } else { Err(self.too_long()) },
            (_, Fork::Device(_)) => 8,
            (Some(_), _) if before > 0 && need <= before && self.data_room(sb) >= before => before,
            _ => self.data_room(sb),
        };
        let attr = self.attr.as_ref().map_or(0, Fork::need);
        let fits = offset > 0 && need <= offset && attr <= literal_len(sb).saturating_sub(offset);
        if fits { Ok(offset) } else { Err(self.too_long()) }
    }

    fn too_long(&self) -> FsError {
        self.corrupt("its forks are too long")
    }

    /// Bytes that the data fork can have beside the attributes: what it has, if they fit behind it, or more.
    pub(crate) fn data_room(&self, sb: &Superblock) -> usize {
        let Some(attr) = &self.attr else { return literal_len(sb) };
        let before = usize::from(self.raw.forkoff).saturating_mul(8);
        let latest = literal_len(sb).saturating_sub(attr.room(Side::Attr)) & !7;
        if attr.need() <= literal_len(sb).saturating_sub(before) { before.max(latest) } else { latest }
    }

    /// Bytes that the attribute fork can have beside the data.
    pub(crate) fn attr_room(&self, sb: &Superblock) -> usize {
        literal_len(sb).saturating_sub(self.data.room(Side::Data)) & !7
    }

    /// A fork; an inode without attributes has an empty one.
    pub(crate) fn fork(&self, side: Side) -> Fork {
        match side {
            Side::Data => self.data.clone(),
            Side::Attr => self.attr.clone().unwrap_or_default(),
        }
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

    pub(crate) fn is_dir(&self) -> bool {
        self.raw.mode.get() >> 12 == 4
    }

    /// Whether it is in use.
    pub(crate) fn is_used(&self) -> bool {
        self.raw.mode.get() != 0
    }

    /// Makes a free inode one of this type, with one name (a directory has two).
    pub(crate) fn start(&mut self, sb: &Superblock, file_type: FileType) {
        let bits = match file_type {
            FileType::Fifo => 0x1000,
            FileType::CharDevice => 0x2000,
            FileType::Directory => 0x4000,
            FileType::BlockDevice => 0x6000,
            FileType::Regular => 0x8000,
            FileType::Symlink => 0xa000,
            FileType::Socket => 0xc000,
        };
        let fresh = Self::new_free(sb, self.number, self.raw.generation.get());
        *self = fresh;
        self.raw.mode.set(bits);
        self.raw.changecount.set(1);
        let mut flags2 = 0;
        for (has, flag) in [(sb.has_bigtime(), flag2::BIGTIME), (sb.has_nrext64(), flag2::NREXT64)] {
            flags2 |= if has { flag } else { 0 };
        }
        self.raw.flags2.set(flags2);
        self.set_links(if file_type == FileType::Directory { 2 } else { 1 });
    }

    /// Makes it a free inode again, of the next generation.
    pub(crate) fn end(&mut self, sb: &Superblock) {
        let generation = self.raw.generation.get().wrapping_add(1);
        *self = Self::new_free(sb, self.number, generation);
        self.raw.format = Fork::default().format();
        self.raw.aformat = Fork::default().format();
    }

    /// The low 12 bits of the mode.
    pub(crate) fn permissions(&self) -> u16 {
        self.raw.mode.get() & 0o7777
    }

    pub(crate) fn set_permissions(&mut self, mode: u16) {
        self.raw.mode.set(self.raw.mode.get() & 0xf000 | mode & 0o7777);
    }

    pub(crate) fn uid(&self) -> u32 {
        self.raw.uid.get()
    }

    pub(crate) fn gid(&self) -> u32 {
        self.raw.gid.get()
    }

    pub(crate) fn set_owner(&mut self, uid: u32, gid: u32) {
        self.raw.uid.set(uid);
        self.raw.gid.set(gid);
    }

    pub(crate) fn size(&self) -> u64 {
        self.raw.size.get()
    }

    pub(crate) fn set_size(&mut self, size: u64) {
        self.raw.size.set(size);
    }

    pub(crate) fn links(&self) -> u32 {
        self.raw.nlink.get()
    }

    pub(crate) fn set_links(&mut self, links: u32) {
        self.raw.nlink.set(links);
    }

    /// Blocks of both forks, trees included.
    pub(crate) fn blocks(&self) -> u64 {
        self.raw.nblocks.get()
    }

    pub(crate) fn count_blocks(&mut self, more: u64, less: u64) {
        self.raw.nblocks.set(self.blocks().saturating_add(more).saturating_sub(less));
    }

    /// The next inode in its list of those without a name; [`u32::MAX`] for none.
    pub(crate) fn next_unlinked(&self) -> u32 {
        self.raw.next_unlinked.get()
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.raw.flags.get() & flag != 0
    }

    pub(crate) fn has2(&self, flag: u64) -> bool {
        self.raw.flags2.get() & flag != 0
    }

    pub(crate) fn clear2(&mut self, flag: u64) {
        self.raw.flags2.set(self.raw.flags2.get() & !flag);
    }

    /// One more change was made to it.
    pub(crate) fn count_change(&mut self) {
        self.raw.changecount.set(self.raw.changecount.get().wrapping_add(1));
    }

    fn bigtime(&self) -> bool {
        self.has2(flag2::BIGTIME)
    }

    pub(crate) fn mtime(&self) -> Timestamp {
        decode_time(self.raw.mtime.get(), self.bigtime())
    }

    /// Stores times in the wider form where the file system has it.
    fn widen_times(&mut self, sb: &Superblock) {
        if self.bigtime() || !sb.has_bigtime() {
            return;
        }
        self.raw.flags2.set(self.raw.flags2.get() | flag2::BIGTIME);
        let raw = &mut self.raw;
        for time in [&mut raw.atime, &mut raw.mtime, &mut raw.ctime, &mut raw.crtime] {
            time.set(encode_time(decode_time(time.get(), false), true));
        }
    }

    /// Sets the times of content and inode.
    pub(crate) fn set_mtime(&mut self, sb: &Superblock, time: Timestamp) {
        self.widen_times(sb);
        let time = encode_time(time, self.bigtime());
        self.raw.mtime.set(time);
        self.raw.ctime.set(time);
    }

    /// Sets all times.
    pub(crate) fn set_times(&mut self, sb: &Superblock, time: Timestamp) {
        self.set_mtime(sb, time);
        self.raw.atime = self.raw.mtime;
        if sb.v5() {
            self.raw.crtime = self.raw.mtime;
        }
    }

    /// A new inode belongs to its directory's project where that says so.
    pub(crate) fn inherit_project(&mut self, dir: &Inode) {
        if dir.has(flag::PROJINHERIT) {
            self.raw.projid_lo = dir.raw.projid_lo;
            self.raw.projid_hi = dir.raw.projid_hi;
            if self.is_dir() {
                self.raw.flags.set(self.raw.flags.get() | flag::PROJINHERIT);
            }
        }
    }

    /// Major and minor number, of a device node.
    pub(crate) fn device(&self) -> Option<(u32, u32)> {
        if !matches!(self.file_type(), Ok(FileType::CharDevice | FileType::BlockDevice)) {
            return None;
        }
        match self.data {
            // 14 bits of major, 18 of minor number (`sysv_encode_dev`).
            Fork::Device(device) => Some((device >> 18 & 0x3fff, device & 0x3_ffff)),
            _ => None,
        }
    }

    /// Something about this inode contradicts the format.
    pub(crate) fn corrupt(&self, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
        corrupt(self.number, what)
    }
}

/// What wide times count from: the earliest of the narrow ones.
const BIGTIME_EPOCH: i64 = 1 << 31;
const NANOS: u64 = 1_000_000_000;

/// "Timestamps": 32 bits of seconds and 32 of nanoseconds, or 64 of nanoseconds.
fn decode_time(stored: u64, bigtime: bool) -> Timestamp {
    if bigtime {
        let seconds = i64::try_from(stored.checked_div(NANOS).unwrap_or_default()).unwrap_or_default();
        let nanos = stored.checked_rem(NANOS).unwrap_or_default();
        return Timestamp { seconds: seconds.saturating_sub(BIGTIME_EPOCH), nanos: low32(nanos) };
    }
    let seconds = low32(stored >> 32).cast_signed();
    Timestamp { seconds: seconds.into(), nanos: low32(stored).min(999_999_999) }
}

/// What cannot be stored becomes the nearest that can.
fn encode_time(time: Timestamp, bigtime: bool) -> u64 {
    let nanos = u64::from(time.nanos.min(999_999_999));
    if bigtime {
        let most = i64::try_from(u64::MAX.checked_div(NANOS).unwrap_or_default()).unwrap_or_default();
        let seconds = time.seconds.saturating_add(BIGTIME_EPOCH).clamp(0, most.saturating_sub(1));
        return seconds.cast_unsigned().saturating_mul(NANOS).saturating_add(nanos);
    }
    let seconds = time.seconds.clamp(i32::MIN.into(), i32::MAX.into());
    u64::from(low32(seconds.cast_unsigned())) << 32 | nanos
}

impl Xfs {
    /// An inode, in use or not, as a change would see it.
    pub(crate) fn any_inode(&self, number: u64) -> Result<Inode> {
        let (block, at) = self.sb.inode_place(number)?;
        let bytes = self.blocks.read(block)?;
        Inode::decode(&self.sb, number, part(&bytes, at, self.sb.inode_size)?)
    }

    /// An inode that is in use.
    pub(crate) fn inode(&self, number: u64) -> Result<Inode> {
        let inode = self.any_inode(number)?;
        if inode.is_used() { Ok(inode) } else { Err(FsError::NotFound) }
    }

    /// Stages an inode.
    pub(crate) fn stage_inode(&mut self, inode: &mut Inode) -> Result<()> {
        let (block, at) = self.sb.inode_place(inode.number)?;
        let mut bytes = self.blocks.read(block)?.to_vec();
        put(&mut bytes, at, &inode.encode(&self.sb)?)?;
        self.blocks.stage(block, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_both_forms() {
        for seconds in [-2_147_483_648, -1, 0, 1, 0x7fff_ffff] {
            let time = Timestamp { seconds, nanos: 123_456_789 };
            assert_eq!(decode_time(encode_time(time, false), false), time);
            assert_eq!(decode_time(encode_time(time, true), true), time);
        }
        let late = Timestamp { seconds: 16_000_000_000, nanos: 1 };
        assert_eq!(decode_time(encode_time(late, true), true), late);
        assert_eq!(decode_time(encode_time(late, false), false).seconds, 0x7fff_ffff);
        let never = Timestamp { seconds: i64::MAX, nanos: 999_999_999 };
        assert!(decode_time(encode_time(never, true), true).seconds > 16_000_000_000);
    }
}
