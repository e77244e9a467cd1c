//! The superblock ("ext4 disk layout: The Super Block").

use block::Disk;
use vfs::{FsError, Geometry, Result, State};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bytes::{index, join32, low32};
use crate::checksum::crc32c;
use crate::features::{Features, compat, incompat, ro_compat};

/// Where the superblock lies, in bytes.
pub(crate) const OFFSET: u64 = 1024;
const SIZE: usize = 1024;
const MAGIC: u16 = 0xef53;
const CHECKSUM_AT: usize = 0x3fc;
/// 128 TiB with 4 KiB blocks; the descriptors of more would take more memory than we give one file system.
const MAX_GROUPS: u64 = 1 << 20;

/// `s_state`: cleanly unmounted.
const VALID_FS: u16 = 1;
/// `s_state`: errors were found.
const ERROR_FS: u16 = 2;
/// `s_state`: orphans are being removed.
const ORPHAN_FS: u16 = 4;
/// `s_flags`: directory hashes take characters as unsigned.
const UNSIGNED_HASH: u32 = 2;

/// As it is on disk; names are the document's without `s_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawSuperblock {
    inodes_count: U32,
    blocks_count_lo: U32,
    r_blocks_count_lo: U32,
    free_blocks_count_lo: U32,
    free_inodes_count: U32,
    first_data_block: U32,
    log_block_size: U32,
    log_cluster_size: U32,
    blocks_per_group: U32,
    clusters_per_group: U32,
    inodes_per_group: U32,
    mtime: U32,
    wtime: U32,
    mnt_count: U16,
    max_mnt_count: U16,
    magic: U16,
    state: U16,
    errors: U16,
    minor_rev_level: U16,
    lastcheck: U32,
    checkinterval: U32,
    creator_os: U32,
    rev_level: U32,
    def_resuid: U16,
    def_resgid: U16,
    first_ino: U32,
    inode_size: U16,
    block_group_nr: U16,
    feature_compat: U32,
    feature_incompat: U32,
    feature_ro_compat: U32,
    uuid: [u8; 16],
    volume_name: [u8; 16],
    last_mounted: [u8; 64],
    algorithm_usage_bitmap: U32,
    prealloc_blocks: u8,
    prealloc_dir_blocks: u8,
    reserved_gdt_blocks: U16,
    journal_uuid: [u8; 16],
    journal_inum: U32,
    journal_dev: U32,
    last_orphan: U32,
    hash_seed: [U32; 4],
    def_hash_version: u8,
    jnl_backup_type: u8,
    desc_size: U16,
    default_mount_opts: U32,
    first_meta_bg: U32,
    mkfs_time: U32,
    jnl_blocks: [U32; 17],
    blocks_count_hi: U32,
    r_blocks_count_hi: U32,
    free_blocks_count_hi: U32,
    min_extra_isize: U16,
    want_extra_isize: U16,
    flags: U32,
    raid_stride: U16,
    mmp_interval: U16,
    mmp_block: U64,
    raid_stripe_width: U32,
    log_groups_per_flex: u8,
    checksum_type: u8,
    reserved_pad: U16,
    kbytes_written: U64,
    snapshots_and_errors: [u8; 0xc0],
    usr_quota_inum: U32,
    grp_quota_inum: U32,
    overhead_blocks: U32,
    backup_bgs: [U32; 2],
    encryption: [u8; 20],
    lpf_ino: U32,
    prj_quota_inum: U32,
    checksum_seed: U32,
    times_hi_and_encoding: [u8; 12],
    orphan_file_inum: U32,
    reserved: [u8; 0x178],
    checksum: U32,
}
const _: () = assert!(size_of::<RawSuperblock>() == SIZE);

/// Checked, and in natural types.
#[derive(Debug, Clone)]
pub(crate) struct Superblock {
    raw: RawSuperblock,
    /// The feature words.
    pub(crate) features: Features,
    /// In bytes; a power of two from 1 KiB to 64 KiB.
    pub(crate) block_size: u32,
    /// Blocks of the file system; they lie inside the device.
    pub(crate) blocks: u64,
    /// 1 with 1 KiB blocks, else 0.
    pub(crate) first_data_block: u64,
    /// Blocks of a cluster; 1 without bigalloc.
    pub(crate) cluster: u32,
    pub(crate) blocks_per_group: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) inodes: u32,
    /// The first inode that is not reserved.
    pub(crate) first_inode: u32,
    /// Bytes of an inode; a power of two from 128 to the block size.
    pub(crate) inode_size: usize,
    /// Bytes of a group descriptor: 32 or 64.
    pub(crate) descriptor_size: usize,
    pub(crate) groups: u32,
    /// The start of every `metadata_csum` checksum.
    pub(crate) seed: u32,
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
    FsError::corrupt("superblock", OFFSET, what)
}

/// Reads the 1,024 bytes, if the device has that many and they carry the magic number.
pub(crate) fn find(disk: &Disk) -> Result<Option<RawSuperblock>> {
    if disk.size() < OFFSET << 1 {
        return Ok(None);
    }
    let bytes = disk.read_vec(OFFSET, SIZE)?;
    let raw = RawSuperblock::read_from_bytes(&bytes).map_err(|_| corrupt("too short"))?;
    Ok((raw.magic.get() == MAGIC).then_some(raw))
}

/// How many blocks or inodes a group has: whole bytes of its bitmap.
fn per_group(what: &str, count: u32, most: u32) -> Result<u32> {
    if (8..=most).contains(&count) && count & 7 == 0 {
        Ok(count)
    } else {
        Err(corrupt(format!("{count} {what} per group")))
    }
}

impl RawSuperblock {
    /// Whether it is of the revision that has features, and inodes of any size.
    fn is_dynamic(&self) -> bool {
        self.rev_level.get() > 0
    }

    fn features(&self) -> Features {
        let word = |n: U32| if self.is_dynamic() { n.get() } else { 0 };
        Features {
            compat: word(self.feature_compat),
            incompat: word(self.feature_incompat),
            ro_compat: word(self.feature_ro_compat),
        }
    }

    /// Blocks of a cluster; 1 without bigalloc.
    fn cluster(&self) -> Result<u32> {
        if self.features().ro_compat & ro_compat::BIGALLOC == 0 {
            return Ok(1);
        }
        let log = self.log_cluster_size.get().checked_sub(self.log_block_size.get());
        log.and_then(|log| 1_u32.checked_shl(log)).ok_or_else(|| corrupt("the cluster size makes no sense"))
    }

    fn computed_checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32c(!0, bytes.get(..CHECKSUM_AT).unwrap_or(bytes))
    }
}

impl Superblock {
    /// Reads and checks the superblock.
    pub(crate) fn read(disk: &Disk) -> Result<Self> {
        let raw = find(disk)?.ok_or_else(|| corrupt("the magic number is missing"))?;
        let features = raw.features();
        features.check_readable()?;
        let has_checksums = features.ro_compat & ro_compat::METADATA_CSUM != 0;
        if has_checksums && raw.checksum_type != 1 {
            return Err(FsError::unsupported(format!("ext4 checksum type {}", raw.checksum_type)));
        }
        if has_checksums && raw.computed_checksum() != raw.checksum.get() {
            return Err(corrupt("its checksum is wrong"));
        }
        if raw.creator_os.get() == 1 {
            return Err(FsError::unsupported("ext2 made by GNU Hurd"));
        }

        let block_size = match raw.log_block_size.get() {
            log @ 0..=6 => 1024_u32 << log,
            log => return Err(corrupt(format!("the block size is 2^{log} KiB"))),
        };
        let cluster = raw.cluster()?;
        let wide64 = features.incompat & incompat::BIT64 != 0;
        let high = if wide64 { raw.blocks_count_hi.get() } else { 0 };
        let blocks = join32(raw.blocks_count_lo.get(), high);
        let first_data_block = u64::from(raw.first_data_block.get());
        match blocks.checked_mul(u64::from(block_size)) {
            Some(bytes) if bytes <= disk.size() => {}
            _ => {
                return Err(corrupt(format!(
                    "its {blocks} blocks do not fit the device of {} bytes",
                    disk.size()
                )));
            }
        }
        // With blocks of 1 KiB the superblock is block 1, and group 0 starts with it, but in clusters it
        // starts with block 0.
        let is_early = first_data_block == 0 && block_size == 1024 && cluster == 1;
        if is_early || first_data_block > 1 || blocks <= first_data_block {
            return Err(corrupt("the first data block makes no sense"));
        }
        // Each group has a bitmap of one block for its clusters, and one for its inodes.
        let bits = block_size.saturating_mul(8);
        let blocks_per_group = per_group("blocks", raw.blocks_per_group.get(), bits.saturating_mul(cluster))?;
        if blocks_per_group.checked_rem(cluster) != Some(0) {
            return Err(corrupt(format!("{blocks_per_group} blocks per group")));
        }
        let inodes_per_group = per_group("inodes", raw.inodes_per_group.get(), bits)?;
        let inode_size = if raw.is_dynamic() { raw.inode_size.get() } else { 128 };
        if inode_size < 128 || !inode_size.is_power_of_two() || u32::from(inode_size) > block_size {
            return Err(corrupt(format!("inodes of {inode_size} bytes")));
        }
        let descriptor_size = match raw.desc_size.get() {
            _ if !wide64 => 32,
            64 => 64,
            size => return Err(FsError::unsupported(format!("ext4 group descriptors of {size} bytes"))),
        };
        let groups = blocks.saturating_sub(first_data_block).div_ceil(u64::from(blocks_per_group));
        let groups = u32::try_from(groups).ok().filter(|&groups| u64::from(groups) <= MAX_GROUPS);
        let groups = groups.ok_or_else(|| FsError::unsupported("ext4 with more than 2^20 block groups"))?;
        let inodes = raw.inodes_count.get();
        if u64::from(inodes) > u64::from(groups).saturating_mul(u64::from(inodes_per_group)) || inodes < 11 {
            return Err(corrupt(format!("{inodes} inodes in {groups} groups of {inodes_per_group}")));
        }
        let seed = if features.incompat & incompat::CSUM_SEED != 0 {
            raw.checksum_seed.get()
        } else {
            crc32c(!0, &raw.uuid)
        };
        let first_inode = if raw.is_dynamic() { raw.first_ino.get().max(11) } else { 11 };
        Ok(Self {
            features,
            block_size,
            blocks,
            first_data_block,
            cluster,
            blocks_per_group,
            inodes_per_group,
            inodes,
            first_inode,
            inode_size: usize::from(inode_size),
            descriptor_size,
            groups,
            seed,
            raw,
        })
    }

    /// Whether a `s_feature_compat` bit is set.
    pub(crate) fn compat(&self, bit: u32) -> bool {
        self.features.compat & bit != 0
    }

    /// Whether a `s_feature_incompat` bit is set.
    pub(crate) fn incompat(&self, bit: u32) -> bool {
        self.features.incompat & bit != 0
    }

    /// Whether a `s_feature_ro_compat` bit is set.
    pub(crate) fn ro_compat(&self, bit: u32) -> bool {
        self.features.ro_compat & bit != 0
    }

    /// Whether metadata carry CRC-32C checksums.
    pub(crate) fn checksums(&self) -> bool {
        self.ro_compat(ro_compat::METADATA_CSUM)
    }

    /// Whether group descriptors carry a checksum, and so "not initialised" flags.
    pub(crate) fn lazy_groups(&self) -> bool {
        self.ro_compat(ro_compat::METADATA_CSUM | ro_compat::GDT_CSUM)
    }

    /// The volume label.
    pub(crate) fn label(&self) -> Option<String> {
        vfs::bytes::label(&self.raw.volume_name)
    }

    /// The UUID in bytes.
    pub(crate) fn uuid(&self) -> &[u8; 16] {
        &self.raw.uuid
    }

    /// The UUID as `blkid` writes it.
    pub(crate) fn uuid_text(&self) -> String {
        let mut text = String::with_capacity(36);
        for (at, byte) in self.raw.uuid.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }

    /// Whether it can be edited as it is.
    pub(crate) fn state(&self) -> State {
        let orphans = self.raw.state.get() & ORPHAN_FS != 0
            || self.raw.last_orphan.get() != 0
            || self.ro_compat(ro_compat::ORPHAN_PRESENT);
        match self.errors() {
            _ if self.incompat(incompat::RECOVER) => State::NeedsRecovery,
            Some(what) => State::Errors(what.to_owned()),
            None if orphans => State::NeedsRecovery,
            None => State::Clean,
        }
    }

    /// What its state says that only a check of the whole can mend.
    fn errors(&self) -> Option<&'static str> {
        let state = self.raw.state.get();
        if state & ERROR_FS != 0 {
            Some("EXT4_ERROR_FS: errors were found while it was mounted")
        } else if state & VALID_FS == 0 {
            Some("EXT4_VALID_FS is not set: it was not unmounted cleanly")
        } else {
            None
        }
    }

    /// Refuses to write what must not be written, by name.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.features.check_writable()?;
        self.check_sound()?;
        if self.state() == State::NeedsRecovery {
            let what = "writing to ext4 with an orphan list: inodes must be removed or truncated first";
            return Err(FsError::unsupported(what));
        }
        Ok(())
    }

    /// Refuses what not even recovery may write, by name.
    pub(crate) fn check_recoverable(&self) -> Result<()> {
        self.features.check_recoverable()?;
        self.check_sound()
    }

    fn check_sound(&self) -> Result<()> {
        if let Some(what) = self.errors() {
            return Err(FsError::unsupported(format!("writing to ext4 that is not clean: {what}")));
        }
        if self.compat(compat::HAS_JOURNAL) && self.raw.journal_inum.get() == 0 {
            return Err(FsError::unsupported("writing to ext4 with an external journal"));
        }
        Ok(())
    }

    /// The first inode of the orphan list, 0 for none.
    pub(crate) fn last_orphan(&self) -> u32 {
        self.raw.last_orphan.get()
    }

    /// The inode of the orphan file.
    pub(crate) fn orphan_file(&self) -> u32 {
        self.raw.orphan_file_inum.get()
    }

    /// Forgets that anything was to be recovered.
    pub(crate) fn set_recovered(&mut self) {
        self.features.incompat &= !incompat::RECOVER;
        self.features.ro_compat &= !ro_compat::ORPHAN_PRESENT;
        self.raw.feature_incompat.set(self.features.incompat);
        self.raw.feature_ro_compat.set(self.features.ro_compat);
        self.raw.last_orphan.set(0);
        self.raw.state.set(self.raw.state.get() & !ORPHAN_FS);
    }

    /// The seed of directory hashes.
    pub(crate) fn hash_seed(&self) -> [u32; 4] {
        self.raw.hash_seed.map(U32::get)
    }

    /// The hash version of new indexed directories.
    pub(crate) fn hash_version(&self) -> u8 {
        self.raw.def_hash_version
    }

    /// Whether directory hashes take characters as unsigned.
    pub(crate) fn unsigned_hash(&self) -> bool {
        self.raw.flags.get() & UNSIGNED_HASH != 0
    }

    /// How many bytes after the first 128 of a new inode are fields.
    pub(crate) fn extra_isize(&self) -> u16 {
        if self.inode_size == 128 { 0 } else { self.raw.want_extra_isize.get().clamp(32, 124) & !3 }
    }

    /// Descriptor blocks that lie right after every copy of the superblock, and blocks kept free for more.
    pub(crate) fn descriptor_blocks(&self) -> u64 {
        let all = u64::from(self.groups).div_ceil(self.descriptors_per_block());
        let old_style = if self.incompat(incompat::META_BG) {
            u64::from(self.raw.first_meta_bg.get()).min(all)
        } else {
            all
        };
        old_style.saturating_add(u64::from(self.raw.reserved_gdt_blocks.get()))
    }

    /// Group descriptors of a block.
    pub(crate) fn descriptors_per_block(&self) -> u64 {
        u64::from(self.block_size >> if self.descriptor_size == 64 { 6 } else { 5 })
    }

    /// Whether the descriptors of `group` lie in its meta block group.
    pub(crate) fn in_meta_group(&self, group: u32) -> bool {
        let meta_group = u64::from(group).checked_div(self.descriptors_per_block()).unwrap_or_default();
        self.incompat(incompat::META_BG) && meta_group >= u64::from(self.raw.first_meta_bg.get())
    }

    /// Whether `group` starts with a copy of the superblock ("Layout: Sparse super block").
    pub(crate) fn has_superblock(&self, group: u32) -> bool {
        if group == 0 {
            true
        } else if self.compat(compat::SPARSE_SUPER2) {
            self.raw.backup_bgs.iter().any(|backup| backup.get() == group)
        } else {
            !self.ro_compat(ro_compat::SPARSE_SUPER) || [3, 5, 7].iter().any(|&base| is_power(base, group))
        }
    }

    /// The block that the superblock is in: the first one that holds anything but a boot sector.
    pub(crate) fn own_block(&self) -> u64 {
        1024_u64.checked_div(u64::from(self.block_size)).unwrap_or_default()
    }

    /// The first block of a group.
    pub(crate) fn group_start(&self, group: u32) -> u64 {
        let start = u64::from(group).saturating_mul(u64::from(self.blocks_per_group));
        start.saturating_add(self.first_data_block)
    }

    /// Blocks of a group; the last one may be short.
    pub(crate) fn group_len(&self, group: u32) -> u32 {
        low32(self.blocks.saturating_sub(self.group_start(group)).min(u64::from(self.blocks_per_group)))
    }

    /// The group a block lies in, and its index there.
    pub(crate) fn group_of(&self, block: u64) -> (u32, u32) {
        let index = block.saturating_sub(self.first_data_block);
        let size = u64::from(self.blocks_per_group);
        let group = index.checked_div(size).unwrap_or_default();
        (low32(group), low32(index.checked_rem(size).unwrap_or_default()))
    }

    /// The group an inode lies in, and its index there.
    pub(crate) fn group_of_inode(&self, number: u32) -> (u32, u32) {
        let index = number.saturating_sub(1);
        let group = index.checked_div(self.inodes_per_group).unwrap_or_default();
        (group, index.checked_rem(self.inodes_per_group).unwrap_or_default())
    }

    /// Where a block starts, in bytes.
    pub(crate) fn byte(&self, block: u64) -> u64 {
        block.saturating_mul(u64::from(self.block_size))
    }

    /// Sets a feature bit that the first use of a feature sets.
    pub(crate) fn enable_compat(&mut self, bit: u32) {
        self.features.compat |= bit;
        self.raw.feature_compat.set(self.features.compat);
    }

    /// As [`enable_compat`](Self::enable_compat).
    pub(crate) fn enable_ro_compat(&mut self, bit: u32) {
        self.features.ro_compat |= bit;
        self.raw.feature_ro_compat.set(self.features.ro_compat);
    }

    /// The bytes with new free counts and checksum.
    pub(crate) fn encode(&mut self, free_blocks: u64, free_inodes: u32) -> &[u8] {
        self.raw.free_blocks_count_lo.set(low32(free_blocks));
        if self.incompat(incompat::BIT64) {
            self.raw.free_blocks_count_hi.set(low32(free_blocks >> 32));
        }
        self.raw.free_inodes_count.set(free_inodes);
        if self.checksums() {
            self.raw.checksum.set(self.raw.computed_checksum());
        }
        self.raw.as_bytes()
    }
}

impl Geometry for Superblock {
    fn block_size(&self) -> usize {
        index(self.block_size)
    }

    fn place(&self, block: u64) -> Result<u64> {
        let place = self.byte(block);
        if block < self.blocks {
            return Ok(place);
        }
        Err(FsError::corrupt("block pointer", place, format!("there are only {} blocks", self.blocks)))
    }
}

fn is_power(base: u32, n: u32) -> bool {
    let mut power = 1_u32;
    while power < n {
        power = power.saturating_mul(base);
    }
    power == n
}
