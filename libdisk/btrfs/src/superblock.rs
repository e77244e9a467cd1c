//! The superblock and its copies ("Superblock").

use block::Disk;
use vfs::{FsError, Result, State};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::bytes::{index, wide};
use crate::checksum::Checksum;
use crate::features::{Features, compat_ro, incompat};

/// Where it is, and where its copies are on devices that are large enough.
pub(crate) const PLACES: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
pub(crate) const SIZE: usize = 4096;
const MAGIC: [u8; 8] = *b"_BHRfS_M";
/// What a checksum covers begins after the place for the largest.
pub(crate) const CHECKED_FROM: usize = 32;
/// Trees have at most so many levels.
pub(crate) const LEVELS: u8 = 8;

/// `flags`: the kernel met an error.
const ERROR: u64 = 1 << 2;
/// `flags` under which the kernel mounts nothing, in words.
const REFUSED: &[(u64, &str)] = &[
    (1 << 33, "a metadata dump of btrfs, which has no data"),
    (1 << 34, "a metadata dump of btrfs, which has no data"),
    (1 << 35, "btrfs whose change of the file system id was not finished"),
    (1 << 36, "btrfs whose change of the file system id was not finished"),
    (1 << 38, "btrfs whose conversion to the block group tree was not finished"),
    (1 << 39, "btrfs whose change of data checksums was not finished"),
    (1 << 40, "btrfs whose change of metadata checksums was not finished"),
];

/// What a superblock says of the device it is on.
#[derive(Debug, Clone, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDevice {
    devid: U64,
    total_bytes: U64,
    bytes_used: U64,
    io_align: U32,
    io_width: U32,
    sector_size: U32,
    kind: U64,
    generation: U64,
    start_offset: U64,
    dev_group: U32,
    seek_speed: u8,
    bandwidth: u8,
    uuid: [u8; 16],
    fsid: [u8; 16],
}
const _: () = assert!(size_of::<RawDevice>() == 98);

/// As it is on disk; names are the document's.
#[derive(Debug, Clone, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSuperblock {
    csum: [u8; 32],
    fsid: [u8; 16],
    bytenr: U64,
    flags: U64,
    magic: [u8; 8],
    generation: U64,
    root: U64,
    chunk_root: U64,
    log_root: U64,
    log_root_transid: U64,
    total_bytes: U64,
    bytes_used: U64,
    root_dir_objectid: U64,
    num_devices: U64,
    sectorsize: U32,
    nodesize: U32,
    leafsize: U32,
    stripesize: U32,
    sys_chunk_array_size: U32,
    chunk_root_generation: U64,
    compat_flags: U64,
    compat_ro_flags: U64,
    incompat_flags: U64,
    csum_type: U16,
    root_level: u8,
    chunk_root_level: u8,
    log_root_level: u8,
    dev_item: RawDevice,
    label: [u8; 256],
    cache_generation: U64,
    uuid_tree_generation: U64,
    metadata_uuid: [u8; 16],
    nr_global_roots: U64,
    reserved: [u8; 216],
    sys_chunk_array: [u8; 2048],
    super_roots: [u8; 672],
    padding: [u8; 565],
}
const _: () = assert!(size_of::<RawSuperblock>() == SIZE);

/// Where a tree begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Root {
    /// Logical address of its topmost block.
    pub(crate) logical: u64,
    pub(crate) level: u8,
    pub(crate) generation: u64,
}

/// Checked, and in natural types.
#[derive(Debug, Clone)]
pub(crate) struct Superblock {
    raw: RawSuperblock,
    pub(crate) features: Features,
    pub(crate) checksum: Checksum,
    /// Bytes of the smallest piece of data, which has one checksum; a power of two from 2 to 64 KiB.
    pub(crate) sector_size: u32,
    /// Bytes of a tree block; a power of two from the sector size to 64 KiB.
    pub(crate) node_size: u32,
    pub(crate) generation: u64,
    /// The primary one was damaged.
    is_copy: bool,
}

/// Whether the magic number is where the primary superblock has it.
pub(crate) fn probe(disk: &Disk) -> Result<bool> {
    let [place, ..] = PLACES;
    Ok(fits(disk, place) && read(disk, place)?.magic == MAGIC)
}

fn fits(disk: &Disk, place: u64) -> bool {
    disk.size().checked_sub(place).is_some_and(|rest| rest >= wide(SIZE))
}

fn read(disk: &Disk, place: u64) -> Result<RawSuperblock> {
    let bytes = disk.read_vec(place, SIZE)?;
    RawSuperblock::read_from_bytes(&bytes).map_err(|_| corrupt(place, "it is too short"))
}

fn corrupt(place: u64, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
    FsError::corrupt("superblock", place, what)
}

/// A power of two from `least` to 64 KiB.
fn power(place: u64, what: &str, size: u32, least: u32) -> Result<u32> {
    if size.is_power_of_two() && (least..=64 << 10).contains(&size) {
        Ok(size)
    } else {
        Err(corrupt(place, format!("{what} of {size} bytes")))
    }
}

impl Superblock {
    /// Reads the primary superblock; where that is damaged, the newest of its copies.
    pub(crate) fn read(disk: &Disk) -> Result<Self> {
        let [primary, copies @ ..] = PLACES;
        let error = match Self::read_at(disk, primary) {
            Err(error @ FsError::Corrupt { .. }) => error,
            other => return other,
        };
        let copies = copies.into_iter().filter(|&place| fits(disk, place));
        let sound = copies.filter_map(|place| Self::read_at(disk, place).ok());
        let Some(copy) = sound.max_by_key(|copy| copy.generation) else { return Err(error) };
        tracing::warn!(%error, generation = copy.generation, "a copy of the superblock is used");
        Ok(Self { is_copy: true, ..copy })
    }

    fn read_at(disk: &Disk, place: u64) -> Result<Self> {
        if !fits(disk, place) {
            return Err(corrupt(place, "the device ends before it"));
        }
        let bytes = disk.read_vec(place, SIZE)?;
        let raw = RawSuperblock::read_from_bytes(&bytes).map_err(|_| corrupt(place, "it is too short"))?;
        if raw.magic != MAGIC {
            return Err(corrupt(place, "the magic number is missing"));
        }
        let checksum = Checksum::of_type(raw.csum_type.get())?;
        if !checksum.is_right(bytes.get(CHECKED_FROM..).unwrap_or_default(), &raw.csum) {
            return Err(corrupt(place, "its checksum is wrong"));
        }
        if raw.bytenr.get() != place {
            return Err(corrupt(place, format!("it says that it is at byte {:#x}", raw.bytenr.get())));
        }
        let features = Features { incompat: raw.incompat_flags.get(), compat_ro: raw.compat_ro_flags.get() };
        features.check_readable()?;
        if let Some((_, what)) = REFUSED.iter().find(|(bit, _)| raw.flags.get() & bit != 0) {
            return Err(FsError::unsupported(*what));
        }
        let sector_size = power(place, "sectors", raw.sectorsize.get(), 2 << 10)?;
        let node_size = power(place, "tree blocks", raw.nodesize.get(), sector_size)?;
        if [raw.root_level, raw.chunk_root_level, raw.log_root_level].iter().any(|&level| level >= LEVELS) {
            return Err(corrupt(place, "a tree of more than eight levels"));
        }
        if raw.dev_item.total_bytes.get() > disk.size() {
            let what = format!(
                "the device should have {} bytes and has {}",
                raw.dev_item.total_bytes.get(),
                disk.size()
            );
            return Err(corrupt(place, what));
        }
        let generation = raw.generation.get();
        Ok(Self { features, checksum, sector_size, node_size, generation, is_copy: false, raw })
    }

    /// The root tree.
    pub(crate) fn root(&self) -> Root {
        let raw = &self.raw;
        Root { logical: raw.root.get(), level: raw.root_level, generation: self.generation }
    }

    /// The chunk tree.
    pub(crate) fn chunk_root(&self) -> Root {
        let raw = &self.raw;
        let generation = raw.chunk_root_generation.get();
        Root { logical: raw.chunk_root.get(), level: raw.chunk_root_level, generation }
    }

    /// The chunk items without which the chunk tree cannot be read.
    pub(crate) fn system_chunks(&self) -> Result<&[u8]> {
        let len = index(self.raw.sys_chunk_array_size.get());
        let chunks = self.raw.sys_chunk_array.get(..len);
        chunks.ok_or_else(|| self.corrupt(format!("a system chunk array of {len} bytes")))
    }

    /// The inode of the directory in the root tree.
    pub(crate) fn root_dir(&self) -> u64 {
        self.raw.root_dir_objectid.get()
    }

    /// Whether something was synced to the log that no commit has taken over.
    pub(crate) fn has_log(&self) -> bool {
        self.raw.log_root.get() != 0
    }

    /// Whether block groups are in a tree of their own, else in the extent tree.
    pub(crate) fn has_block_group_tree(&self) -> bool {
        self.features.compat_ro(compat_ro::BLOCK_GROUP_TREE)
    }

    /// Devices of the file system.
    pub(crate) fn devices(&self) -> u64 {
        self.raw.num_devices.get()
    }

    /// Number and UUID of the device it is on.
    pub(crate) fn device(&self) -> (u64, [u8; 16]) {
        (self.raw.dev_item.devid.get(), self.raw.dev_item.uuid)
    }

    /// Bytes of that device which belong to chunks, and all of them.
    pub(crate) fn device_use(&self) -> (u64, u64) {
        (self.raw.dev_item.bytes_used.get(), self.raw.dev_item.total_bytes.get())
    }

    /// Bytes of all devices.
    pub(crate) fn size(&self) -> u64 {
        self.raw.total_bytes.get()
    }

    /// The UUID by which the file system is known.
    pub(crate) fn uuid(&self) -> [u8; 16] {
        self.raw.fsid
    }

    /// The UUID that tree blocks carry: the first it had, if that was changed.
    pub(crate) fn metadata_uuid(&self) -> [u8; 16] {
        if self.features.incompat(incompat::METADATA_UUID) { self.raw.metadata_uuid } else { self.raw.fsid }
    }

    pub(crate) fn label(&self) -> Option<String> {
        vfs::bytes::label(&self.raw.label)
    }

    pub(crate) fn state(&self) -> State {
        if self.is_copy {
            State::Errors("the primary superblock is damaged".to_owned())
        } else if self.raw.flags.get() & ERROR != 0 {
            State::Errors("BTRFS_SUPER_FLAG_ERROR: the kernel met an error".to_owned())
        } else if self.has_log() {
            State::NeedsRecovery
        } else {
            State::Clean
        }
    }

    pub(crate) fn corrupt(&self, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
        corrupt(self.raw.bytenr.get(), what)
    }
}
