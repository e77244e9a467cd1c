//! The superblock, and the geometry that it tells ("Superblocks").

use block::Disk;
use vfs::{FsError, Geometry, Result};
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bytes::{index, low32, put, wide, word};
use crate::checksum;
use crate::features::{Features, incompat, ro_compat, version};

const MAGIC: u32 = 0x5846_5342;
/// Where `sb_crc` lies.
const CRC_AT: usize = 224;
/// The smallest allocation group, in blocks (`XFS_MIN_AG_BLOCKS`).
const MIN_AG_BLOCKS: u32 = 64;
/// Groups of more than this would take more memory and time than we give one file system; 1 PiB has 1024.
const MAX_GROUPS: u32 = 1 << 20;

/// `sb_qflags`: what was counted, and need not be counted again (user; group or project in version 4; group,
/// project).
const QUOTA_CHECKED: u16 = 0x4 | 0x20 | 0x100 | 0x400;

/// As it is on disk; names are the document's without `sb_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSuperblock {
    magicnum: U32,
    blocksize: U32,
    dblocks: U64,
    rblocks: U64,
    rextents: U64,
    uuid: [u8; 16],
    logstart: U64,
    rootino: U64,
    rbmino: U64,
    rsumino: U64,
    rextsize: U32,
    agblocks: U32,
    agcount: U32,
    rbmblocks: U32,
    logblocks: U32,
    versionnum: U16,
    sectsize: U16,
    inodesize: U16,
    inopblock: U16,
    fname: [u8; 12],
    blocklog: u8,
    sectlog: u8,
    inodelog: u8,
    inopblog: u8,
    agblklog: u8,
    rextslog: u8,
    inprogress: u8,
    imax_pct: u8,
    icount: U64,
    ifree: U64,
    fdblocks: U64,
    frextents: U64,
    uquotino: U64,
    gquotino: U64,
    qflags: U16,
    flags: u8,
    shared_vn: u8,
    inoalignmt: U32,
    unit: U32,
    width: U32,
    dirblklog: u8,
    logsectlog: u8,
    logsectsize: U16,
    logsunit: U32,
    features2: U32,
    bad_features2: U32,
    features_compat: U32,
    features_ro_compat: U32,
    features_incompat: U32,
    features_log_incompat: U32,
    crc: U32,
    spino_align: U32,
    pquotino: U64,
    lsn: U64,
    meta_uuid: [u8; 16],
}
const _: () = assert!(size_of::<RawSuperblock>() == 264);

/// Checked, and in natural types.
#[derive(Debug, Clone)]
pub(crate) struct Superblock {
    raw: RawSuperblock,
    /// The whole sector: what follows the fields we know stays as it is.
    sector: Vec<u8>,
    pub(crate) features: Features,
    /// Bytes of a block, a power of two from 512 to 64 KiB.
    pub(crate) block_size: u32,
    pub(crate) block_log: u32,
    /// Blocks of the data section.
    pub(crate) blocks: u64,
    /// Blocks of every allocation group but the last.
    pub(crate) ag_blocks: u32,
    pub(crate) ag_count: u32,
    /// Bits of a block number inside a group.
    pub(crate) ag_block_log: u32,
    pub(crate) sector_size: u32,
    pub(crate) inode_size: usize,
    pub(crate) inodes_per_block: u32,
    pub(crate) inodes_per_block_log: u32,
    /// Bytes of a directory block.
    pub(crate) dir_block_size: usize,
    /// The inode of the root directory.
    pub(crate) root: u64,
    /// What metadata blocks carry (`sb_meta_uuid`, else `sb_uuid`).
    pub(crate) meta_uuid: [u8; 16],
    /// First block of the internal log, as a file-system block number, and its length; `None` if the log is
    /// elsewhere.
    pub(crate) log: Option<(u64, u32)>,
    /// Bytes of a sector of the log.
    pub(crate) log_sector_size: u32,
    /// Bytes to which log writes are padded; 0 or 1 for none.
    pub(crate) log_stripe_unit: u32,
    /// `sb_icount`, `sb_ifree`, `sb_fdblocks`.
    pub(crate) inodes: u64,
    pub(crate) free_inodes: u64,
    pub(crate) free_blocks: u64,
}

/// Whether the magic number is there.
pub(crate) fn probe(disk: &Disk) -> Result<bool> {
    Ok(disk.size() >= 512 && disk.read_vec(0, 4)? == MAGIC.to_be_bytes())
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
    FsError::corrupt("superblock", 0, what)
}

/// The base-two logarithm must be in `range`, and that of `size`.
fn power(what: &str, size: u32, log: u8, range: std::ops::RangeInclusive<u32>) -> Result<u32> {
    let log = u32::from(log);
    if range.contains(&log) && 1_u32.checked_shl(log) == Some(size) {
        Ok(log)
    } else {
        Err(corrupt(format!("{what} is {size}, its logarithm {log}")))
    }
}

impl RawSuperblock {
    fn features(&self) -> Features {
        let v5 = self.versionnum.get() & version::NUMBER == 5;
        let more = self.versionnum.get() & version::MORE != 0;
        let only_v5 = |word: U32| if v5 { word.get() } else { 0 };
        Features {
            version: self.versionnum.get(),
            features2: if more { self.features2.get() } else { 0 },
            ro_compat: only_v5(self.features_ro_compat),
            incompat: only_v5(self.features_incompat),
            log_incompat: only_v5(self.features_log_incompat),
        }
    }

    /// Whether the groups make up the volume: all of one size but the last, which may be smaller.
    fn check_groups(&self) -> Result<()> {
        let (size, count, log) = (self.agblocks.get(), self.agcount.get(), u32::from(self.agblklog));
        if size < MIN_AG_BLOCKS
            || log > 31
            || size.checked_next_power_of_two().map(u32::trailing_zeros) != Some(log)
        {
            return Err(corrupt(format!("groups of {size} blocks, logarithm {log}")));
        }
        if count == 0 || count > MAX_GROUPS {
            return Err(corrupt(format!("{count} groups")));
        }
        let blocks = self.dblocks.get();
        let most = u64::from(size).saturating_mul(count.into());
        let least = most.saturating_sub(u64::from(size.saturating_sub(MIN_AG_BLOCKS)));
        if !(least..=most).contains(&blocks) {
            return Err(corrupt(format!("{blocks} blocks in {count} groups of {size}")));
        }
        Ok(())
    }
}

impl Superblock {
    /// Reads and checks the primary superblock.
    pub(crate) fn read(disk: &Disk) -> Result<Self> {
        let head = disk.read_vec(0, 512)?;
        let sector_size =
            RawSuperblock::read_from_prefix(&head).map_err(|_| corrupt("it is too short"))?.0.sectsize.get();
        if !sector_size.is_power_of_two() || !(512..=32768).contains(&sector_size) {
            return Err(corrupt(format!("sectors of {sector_size} bytes")));
        }
        let sector = disk.read_vec(0, sector_size.into())?;
        Self::parse(sector, disk.size())
    }

    /// Checks a superblock sector; the device has `size` bytes.
    pub(crate) fn parse(sector: Vec<u8>, size: u64) -> Result<Self> {
        let (raw, _) = RawSuperblock::read_from_prefix(&sector).map_err(|_| corrupt("it is too short"))?;
        if raw.magicnum.get() != MAGIC {
            return Err(corrupt("its magic number is wrong"));
        }
        let features = raw.features();
        features.check_readable()?;
        if features.v5() && !checksum::is_right(&sector, CRC_AT) {
            return Err(corrupt("its checksum is wrong"));
        }
        if raw.inprogress != 0 {
            return Err(FsError::unsupported("an XFS that mkfs did not finish"));
        }
        if raw.rblocks.get() != 0 {
            return Err(FsError::unsupported("XFS with a realtime section"));
        }

        let block_log = power("the block size", raw.blocksize.get(), raw.blocklog, 9..=16)?;
        power("the sector size", raw.sectsize.get().into(), raw.sectlog, 9..=15)?;
        let inode_log = power("the inode size", raw.inodesize.get().into(), raw.inodelog, 8..=11)?;
        let inodes_per_block_log =
            power("the number of inodes in a block", raw.inopblock.get().into(), raw.inopblog, 0..=8)?;
        if inode_log.saturating_add(inodes_per_block_log) != block_log {
            return Err(corrupt("block size and inode size contradict each other"));
        }
        if features.v5() && inode_log < 9 {
            return Err(corrupt("inodes of less than 512 bytes in version 5"));
        }
        raw.check_groups()?;
        let blocks = raw.dblocks.get();
        if blocks > size >> block_log {
            return Err(corrupt(format!(
                "it tells of {blocks} blocks of {}, the volume has {size} bytes",
                raw.blocksize.get()
            )));
        }
        let dir_log = block_log.saturating_add(raw.dirblklog.into());
        let dir_block_size = 1_usize.checked_shl(dir_log).filter(|_| dir_log <= 16);
        let dir_block_size = dir_block_size.ok_or_else(|| corrupt("directory blocks of over 64 KiB"))?;
        let log_sector_size = match raw.logsectsize.get() {
            0 => 512,
            size if size.is_power_of_two() && (512..=32768).contains(&size) => u32::from(size),
            size => return Err(corrupt(format!("log sectors of {size} bytes"))),
        };
        let log = (raw.logstart.get() != 0).then(|| (raw.logstart.get(), raw.logblocks.get()));
        let meta_uuid = if features.incompat(incompat::META_UUID) { raw.meta_uuid } else { raw.uuid };
        let superblock = Self {
            features,
            block_size: raw.blocksize.get(),
            block_log,
            blocks,
            ag_blocks: raw.agblocks.get(),
            ag_count: raw.agcount.get(),
            ag_block_log: raw.agblklog.into(),
            sector_size: raw.sectsize.get().into(),
            inode_size: raw.inodesize.get().into(),
            inodes_per_block: raw.inopblock.get().into(),
            inodes_per_block_log,
            dir_block_size,
            root: raw.rootino.get(),
            meta_uuid,
            log,
            log_sector_size,
            log_stripe_unit: raw.logsunit.get(),
            inodes: raw.icount.get(),
            free_inodes: raw.ifree.get(),
            free_blocks: raw.fdblocks.get(),
            raw,
            sector,
        };
        if let Some((start, len)) = superblock.log {
            superblock.check_run(start, len.into())?;
        }
        Ok(superblock)
    }

    /// Version 5: metadata blocks carry checksums, owners and the UUID.
    pub(crate) fn v5(&self) -> bool {
        self.features.v5()
    }

    pub(crate) fn has_finobt(&self) -> bool {
        self.features.ro_compat(ro_compat::FINOBT)
    }

    pub(crate) fn has_rmapbt(&self) -> bool {
        self.features.ro_compat(ro_compat::RMAPBT)
    }

    pub(crate) fn has_reflink(&self) -> bool {
        self.features.ro_compat(ro_compat::REFLINK)
    }

    pub(crate) fn has_sparse_inodes(&self) -> bool {
        self.features.incompat(incompat::SPARSE)
    }

    pub(crate) fn has_bigtime(&self) -> bool {
        self.features.incompat(incompat::BIGTIME)
    }

    pub(crate) fn has_nrext64(&self) -> bool {
        self.features.incompat(incompat::NREXT64)
    }

    /// Blocks to which chunks of inodes are aligned in their group; at least 1.
    pub(crate) fn inode_alignment(&self) -> u32 {
        if self.v5() || self.features.version(version::ALIGN) { self.raw.inoalignmt.get().max(1) } else { 1 }
    }

    pub(crate) fn label(&self) -> Option<String> {
        vfs::bytes::label(&self.raw.fname)
    }

    pub(crate) fn uuid_text(&self) -> String {
        uuid::Uuid::from_bytes(self.raw.uuid).hyphenated().to_string()
    }

    /// `sb_uuid`, which log records carry.
    pub(crate) fn uuid(&self) -> [u8; 16] {
        self.raw.uuid
    }

    /// The inodes that no directory names: realtime bitmap and summary, quota files.
    pub(crate) fn internal_inodes(&self) -> [u64; 5] {
        let raw = &self.raw;
        [raw.rbmino, raw.rsumino, raw.uquotino, raw.gquotino, raw.pquotino].map(U64::get)
    }

    /// Blocks of a group.
    pub(crate) fn ag_len(&self, ag: u32) -> u32 {
        let before = u64::from(ag).saturating_mul(self.ag_blocks.into());
        low32(self.blocks.saturating_sub(before).min(self.ag_blocks.into()))
    }

    /// A file-system block number as the group and the block in it.
    pub(crate) fn split(&self, block: u64) -> (u32, u32) {
        let ag = word(block >> self.ag_block_log);
        let mask = 1_u64.checked_shl(self.ag_block_log).unwrap_or_default().wrapping_sub(1);
        (ag, low32(block & mask))
    }

    /// The opposite of [`split`](Self::split).
    pub(crate) fn join(&self, ag: u32, block: u32) -> u64 {
        u64::from(ag) << self.ag_block_log | u64::from(block)
    }

    /// Whether a run of blocks lies inside one group.
    pub(crate) fn check_run(&self, block: u64, len: u64) -> Result<()> {
        let (ag, within) = self.split(block);
        let end = u64::from(within).saturating_add(len);
        if ag < self.ag_count && len > 0 && end <= u64::from(self.ag_len(ag)) {
            return Ok(());
        }
        Err(FsError::corrupt(
            "block pointer",
            0,
            format!("blocks {block:#x} to {:#x} do not lie inside a group", block.saturating_add(len)),
        ))
    }

    /// The byte offset on the volume of a block of a group; nothing is checked.
    pub(crate) fn ag_byte(&self, ag: u32, block: u32) -> u64 {
        let linear = u64::from(ag).saturating_mul(self.ag_blocks.into()).saturating_add(u64::from(block));
        linear.saturating_mul(self.block_size.into())
    }

    /// The byte offset on the volume of a file-system block; nothing is checked.
    pub(crate) fn byte(&self, block: u64) -> u64 {
        let (ag, within) = self.split(block);
        self.ag_byte(ag, within)
    }

    /// What a block's header says of its place: the 512-byte unit at which it starts.
    pub(crate) fn daddr(&self, block: u64) -> u64 {
        self.byte(block) >> 9
    }

    /// Blocks that hold `bytes`.
    pub(crate) fn blocks_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.block_size.into())
    }

    /// The block and the byte in it where an inode lies, by the bits of its number.
    pub(crate) fn inode_place(&self, number: u64) -> Result<(u64, usize)> {
        let per_block = u64::from(self.inodes_per_block).saturating_sub(1);
        let block = number >> self.inodes_per_block_log;
        if self.check_run(block, 1).is_err() {
            return Err(FsError::NotFound);
        }
        Ok((block, index(number & per_block).saturating_mul(self.inode_size)))
    }

    /// An inode's group and its number there.
    pub(crate) fn split_inode(&self, number: u64) -> (u32, u32) {
        let bits = self.ag_block_log.saturating_add(self.inodes_per_block_log);
        let mask = 1_u64.checked_shl(bits).unwrap_or_default().wrapping_sub(1);
        (word(number >> bits), low32(number & mask))
    }

    /// The opposite of [`split_inode`](Self::split_inode).
    pub(crate) fn join_inode(&self, ag: u32, within: u32) -> u64 {
        let bits = self.ag_block_log.saturating_add(self.inodes_per_block_log);
        u64::from(ag) << bits | u64::from(within)
    }

    /// There are extended attributes from now on.
    pub(crate) fn note_attributes(&mut self) {
        self.features.version |= version::ATTR;
        self.raw.versionnum.set(self.features.version);
    }

    /// Whether quotas are counted.
    pub(crate) fn has_quota(&self) -> bool {
        self.features.version(version::QUOTA) && self.raw.qflags.get() != 0
    }

    /// The kernel shall count all quotas anew when it mounts next.
    pub(crate) fn forget_quota_counts(&mut self) {
        self.raw.qflags.set(self.raw.qflags.get() & !QUOTA_CHECKED);
    }

    /// The sector with the counters as they are now, and a new checksum.
    pub(crate) fn encode(&mut self) -> Result<&[u8]> {
        self.raw.icount.set(self.inodes);
        self.raw.ifree.set(self.free_inodes);
        self.raw.fdblocks.set(self.free_blocks);
        put(&mut self.sector, 0, self.raw.as_bytes())?;
        if self.v5() {
            checksum::update(&mut self.sector, CRC_AT)?;
        }
        Ok(&self.sector)
    }

    /// Bytes of the volume.
    pub(crate) fn size(&self) -> u64 {
        self.blocks.saturating_mul(wide(self.block_size))
    }
}

impl Geometry for Superblock {
    fn block_size(&self) -> usize {
        index(self.block_size)
    }

    fn place(&self, block: u64) -> Result<u64> {
        self.check_run(block, 1)?;
        Ok(self.byte(block))
    }
}
