//! Header and entry as they lie on the disk.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "EFI PART".
pub(super) const SIGNATURE: [u8; 8] = *b"EFI PART";
/// Revision 1.0, the only one.
pub(super) const REVISION: u32 = 0x0001_0000;

/// Table 5-5, "GPT Header".
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// [`SIGNATURE`].
    pub(super) signature: [u8; 8],
    /// [`REVISION`].
    pub(super) revision: U32,
    /// Bytes that the checksum covers: 92 or more, at most a sector.
    pub(super) header_size: U32,
    /// CRC-32 of the header with this field zero.
    pub(super) header_crc32: U32,
    /// Zero.
    pub(super) reserved: U32,
    /// The sector this header is in.
    pub(super) my_lba: U64,
    /// The sector the other header is in.
    pub(super) alternate_lba: U64,
    /// The first sector that a partition may use.
    pub(super) first_usable_lba: U64,
    /// The last sector that a partition may use.
    pub(super) last_usable_lba: U64,
    /// Identifies the disk.
    pub(super) disk_guid: [u8; 16],
    /// Where the entries begin.
    pub(super) partition_entry_lba: U64,
    /// How many entries there are.
    pub(super) number_of_partition_entries: U32,
    /// Length of an entry: 128 times a power of two.
    pub(super) size_of_partition_entry: U32,
    /// CRC-32 of all entries.
    pub(super) partition_entry_array_crc32: U32,
}

const _: () = assert!(size_of::<Header>() == 92);

/// Table 5-6, "GPT Partition Entry".
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    /// What the partition is for; zero if the entry is not used.
    pub(super) partition_type_guid: [u8; 16],
    /// Identifies the partition.
    pub(super) unique_partition_guid: [u8; 16],
    /// First sector.
    pub(super) starting_lba: U64,
    /// Last sector, inclusive.
    pub(super) ending_lba: U64,
    /// Bit 2: legacy BIOS bootable.
    pub(super) attributes: U64,
    /// The name in UTF-16, ended by a zero if shorter.
    pub(super) partition_name: [U16; 36],
}

const _: () = assert!(size_of::<Entry>() == 128);
