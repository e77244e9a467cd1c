//! Structures as they lie on the disk. All numbers are little-endian.

use uuid::{Uuid, uuid};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first bytes of the file (2.2.1).
pub(super) const SIGNATURE: [u8; 8] = *b"vhdxfile";
/// Where the two copies of the header are.
pub(super) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
/// Bytes of a header that its checksum is of.
pub(super) const HEADER_LEN: usize = 4096;
/// Where the two copies of the region table are.
pub(super) const REGION_TABLES: [u64; 2] = [192 << 10, 256 << 10];
/// Bytes of a region table, and of the table of the metadata.
pub(super) const TABLE_LEN: usize = 64 << 10;
/// The most entries of either.
pub(super) const MAX_ENTRIES: u32 = 2047;
/// Log, regions and blocks start at multiples of this, from the first one on: before that are the headers.
pub(super) const MIB: u64 = 1 << 20;

/// The identifier of a file and who made it (2.2.1).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileIdentifier {
    /// [`SIGNATURE`].
    pub(super) signature: [u8; 8],
    /// Which program made it, in UTF-16.
    pub(super) creator: [u8; 512],
}

/// The header (2.2.2).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// "head".
    pub(super) signature: [u8; 4],
    /// CRC-32C of 4 KiB, this field zero.
    pub(super) checksum: U32,
    /// The valid copy with the greater one is current.
    pub(super) sequence_number: U64,
    /// Changes when the file is opened for writing.
    pub(super) file_write_guid: [u8; 16],
    /// Changes before the content does.
    pub(super) data_write_guid: [u8; 16],
    /// Which log entries count; zero if the log is empty.
    pub(super) log_guid: [u8; 16],
    /// 0.
    pub(super) log_version: U16,
    /// 1.
    pub(super) version: U16,
    /// Bytes of the log.
    pub(super) log_length: U32,
    /// Where the log is.
    pub(super) log_offset: U64,
}

const _: () = assert!(size_of::<Header>() == 80);

pub(super) const HEADER_SIGNATURE: [u8; 4] = *b"head";

/// The start of a region table (2.2.3.1).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionTableHeader {
    /// "regi".
    pub(super) signature: [u8; 4],
    /// CRC-32C of 64 KiB, this field zero.
    pub(super) checksum: U32,
    /// At most [`MAX_ENTRIES`].
    pub(super) entry_count: U32,
    pub(super) reserved: U32,
}

pub(super) const REGION_SIGNATURE: [u8; 4] = *b"regi";

/// An entry of it (2.2.3.2).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionEntry {
    /// What is in the region.
    pub(super) guid: [u8; 16],
    /// Where it is.
    pub(super) file_offset: U64,
    /// Its length in bytes.
    pub(super) length: U32,
    /// Bit 0: who does not know it must not open the file.
    pub(super) required: U32,
}

const _: () = assert!(size_of::<RegionEntry>() == 32);

/// The block allocation table.
pub(super) const BAT_REGION: Uuid = uuid!("2dc27766-f623-4200-9d64-115e9bfd4a08");
/// The metadata.
pub(super) const METADATA_REGION: Uuid = uuid!("8b7ca206-4790-4b9a-b8fe-575f050f886e");

/// The start of the table of the metadata (2.6.1.1).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MetadataTableHeader {
    /// "metadata".
    pub(super) signature: [u8; 8],
    pub(super) reserved: [u8; 2],
    /// At most [`MAX_ENTRIES`].
    pub(super) entry_count: U16,
    pub(super) reserved2: [u8; 20],
}

const _: () = assert!(size_of::<MetadataTableHeader>() == 32);

pub(super) const METADATA_SIGNATURE: [u8; 8] = *b"metadata";

/// An entry of it (2.6.1.2).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MetadataEntry {
    /// What the item is.
    pub(super) item_id: [u8; 16],
    /// Where it is, from the start of the region on.
    pub(super) offset: U32,
    /// Its length in bytes.
    pub(super) length: U32,
    /// [`IS_USER`], [`IS_VIRTUAL_DISK`], [`IS_REQUIRED`].
    pub(super) flags: U32,
    pub(super) reserved: U32,
}

const _: () = assert!(size_of::<MetadataEntry>() == 32);

/// The item belongs to a user of the file, not to the format.
pub(super) const IS_USER: u32 = 1;
/// The item is about the disk, and not about the file.
pub(super) const IS_VIRTUAL_DISK: u32 = 2;
/// Who does not know the item must not open the file.
pub(super) const IS_REQUIRED: u32 = 4;

/// Size of a block, and flags (2.6.2.1).
pub(super) const FILE_PARAMETERS: Uuid = uuid!("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
/// Size of the disk in bytes (2.6.2.2).
pub(super) const VIRTUAL_DISK_SIZE: Uuid = uuid!("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
/// Identifies the disk (2.6.2.3).
pub(super) const VIRTUAL_DISK_ID: Uuid = uuid!("beca12ab-b2e6-4523-93ef-c309e000c746");
/// 512 or 4096 (2.6.2.4).
pub(super) const LOGICAL_SECTOR_SIZE: Uuid = uuid!("8141bf1d-a96f-4709-ba47-f233a8faab5f");
/// 512 or 4096 (2.6.2.5).
pub(super) const PHYSICAL_SECTOR_SIZE: Uuid = uuid!("cda348c7-445d-4471-9cc9-e9885251c556");
/// Where the parent is (2.6.2.6).
pub(super) const PARENT_LOCATOR: Uuid = uuid!("a8d35f2d-b30b-454d-abf7-d3d84834ab0c");

/// The file parameters.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileParameters {
    /// Bytes of a block: a power of two, 1 to 256 MiB.
    pub(super) block_size: U32,
    /// Bit 0: blocks stay allocated (a fixed disk). [`HAS_PARENT`].
    pub(super) flags: U32,
}

/// All blocks are allocated.
pub(super) const LEAVE_ALLOCATED: u32 = 1;
/// The disk tells the difference to another one.
pub(super) const HAS_PARENT: u32 = 2;

/// The start of a parent locator (2.6.2.6.1).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorHeader {
    /// [`VHDX_PARENT`].
    pub(super) locator_type: [u8; 16],
    pub(super) reserved: U16,
    pub(super) key_value_count: U16,
}

/// An entry of it (2.6.2.6.2); offsets count from the start of the locator.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorEntry {
    pub(super) key_offset: U32,
    pub(super) value_offset: U32,
    pub(super) key_length: U16,
    pub(super) value_length: U16,
}

/// The parent is another VHDX (2.6.2.6.3).
pub(super) const VHDX_PARENT: Uuid = uuid!("b04aefb7-d19e-4a81-b789-25b8e9445913");

/// The states of a block, in the lowest three bits of its entry (2.5.1).
pub(super) mod state {
    pub(in super::super) const NOT_PRESENT: u64 = 0;
    pub(in super::super) const UNDEFINED: u64 = 1;
    pub(in super::super) const ZERO: u64 = 2;
    pub(in super::super) const UNMAPPED: u64 = 3;
    pub(in super::super) const FULLY_PRESENT: u64 = 6;
    pub(in super::super) const PARTIALLY_PRESENT: u64 = 7;
}

/// The bits of an entry that tell the state.
pub(super) const STATE_MASK: u64 = 7;
/// The bits of an entry that tell where in the file the block is.
pub(super) const OFFSET_MASK: u64 = !(MIB - 1);
/// Bits of a block of the sector bitmap: one for each sector of a chunk.
pub(super) const CHUNK_SECTORS: u64 = 1 << 23;

/// Log entries start and end at multiples of this (2.3).
pub(super) const LOG_SECTOR: u64 = 4096;

/// The start of a log entry (2.3.1.1).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LogEntryHeader {
    /// "loge".
    pub(super) signature: [u8; 4],
    /// CRC-32C of all of the entry, this field zero.
    pub(super) checksum: U32,
    /// Length of the entry in bytes.
    pub(super) entry_length: U32,
    /// Where in the log the oldest entry is that has to be replayed with this one.
    pub(super) tail: U32,
    /// One more than that of the entry before; never zero.
    pub(super) sequence_number: U64,
    pub(super) descriptor_count: U32,
    pub(super) reserved: U32,
    /// That of the header, if the entry counts.
    pub(super) log_guid: [u8; 16],
    /// The file is at least so long, or was cut off.
    pub(super) flushed_file_offset: U64,
    /// The file has to be at least so long.
    pub(super) last_file_offset: U64,
}

const _: () = assert!(size_of::<LogEntryHeader>() == 64);

pub(super) const LOG_SIGNATURE: [u8; 4] = *b"loge";

/// What one change of a log entry is (2.3.1.2, 2.3.1.3).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Descriptor {
    /// [`ZEROS`] or [`DATA`].
    pub(super) signature: [u8; 4],
    /// The last four bytes of the sector; of no meaning for zeros.
    pub(super) trailing_bytes: [u8; 4],
    /// The first eight bytes of the sector; for zeros their length in bytes.
    pub(super) leading_bytes: [u8; 8],
    /// Where in the file.
    pub(super) file_offset: U64,
    /// That of the entry.
    pub(super) sequence_number: U64,
}

const _: () = assert!(size_of::<Descriptor>() == 32);

/// The range becomes zeros.
pub(super) const ZEROS: [u8; 4] = *b"zero";
/// A sector of 4 KiB is written, which follows the descriptors.
pub(super) const DATA: [u8; 4] = *b"desc";

/// A sector that is written (2.3.1.4), but for its first eight and last four bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DataSector {
    /// "data".
    pub(super) signature: [u8; 4],
    /// The upper half of the entry's sequence number.
    pub(super) sequence_high: U32,
    pub(super) data: [u8; 4084],
    /// The lower half.
    pub(super) sequence_low: U32,
}

const _: () = assert!(size_of::<DataSector>() == 4096);

pub(super) const SECTOR_SIGNATURE: [u8; 4] = *b"data";
