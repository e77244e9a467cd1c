//! Footer and header as they lie on the disk.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "conectix": Connectix made the format.
pub(super) const COOKIE: [u8; 8] = *b"conectix";
/// Bit 1 of the features is reserved and always set.
pub(super) const FEATURES_RESERVED: u32 = 2;
/// Version 1.0.
pub(super) const VERSION_1: u32 = 0x0001_0000;
/// There is no further header, as in every fixed disk.
pub(super) const NO_DATA_OFFSET: u64 = u64::MAX;
/// "Wi2k": Windows. The alternative, "Mac ", is not what Azure's machines are.
pub(super) const HOST_WINDOWS: u32 = 0x5769_326B;

/// "Hard Disk Footer Format" of the specification.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Footer {
    /// Identifies the footer: [`COOKIE`].
    pub(super) cookie: [u8; 8],
    /// [`FEATURES_RESERVED`], and bit 0 for a temporary disk.
    pub(super) features: U32,
    /// [`VERSION_1`].
    pub(super) file_format_version: U32,
    /// Where the next structure is; [`NO_DATA_OFFSET`] in a fixed disk.
    pub(super) data_offset: U64,
    /// Seconds since 2000-01-01 00:00:00 UTC.
    pub(super) time_stamp: U32,
    /// Which program made it.
    pub(super) creator_application: [u8; 4],
    /// That program's version.
    pub(super) creator_version: U32,
    /// The system it ran on.
    pub(super) creator_host_os: U32,
    /// Size of the disk in bytes when it was made.
    pub(super) original_size: U64,
    /// Size of the disk in bytes.
    pub(super) current_size: U64,
    /// Geometry: cylinders.
    pub(super) cylinders: U16,
    /// Geometry: heads.
    pub(super) heads: u8,
    /// Geometry: sectors per track.
    pub(super) sectors_per_track: u8,
    /// 2 fixed, 3 dynamic, 4 differencing.
    pub(super) disk_type: U32,
    /// One's complement of the sum of all other bytes.
    pub(super) checksum: U32,
    /// Links a differencing disk with its parent.
    pub(super) unique_id: [u8; 16],
    /// 1 if the machine is suspended.
    pub(super) saved_state: u8,
    /// Zeros.
    pub(super) reserved: [u8; 427],
}

const _: () = assert!(size_of::<Footer>() == 512);

/// "Dynamic Disk Header Format" of the specification.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// [`HEADER_COOKIE`].
    pub(super) cookie: [u8; 8],
    /// [`NO_DATA_OFFSET`].
    pub(super) data_offset: U64,
    /// Where the block allocation table is.
    pub(super) table_offset: U64,
    /// [`VERSION_1`].
    pub(super) header_version: U32,
    /// Entries of the table.
    pub(super) max_table_entries: U32,
    /// Bytes of a block: a power of two, 2 MiB by default.
    pub(super) block_size: U32,
    /// One's complement of the sum of all other bytes.
    pub(super) checksum: U32,
    /// The unique id of the parent.
    pub(super) parent_unique_id: [u8; 16],
    /// When the parent was written last.
    pub(super) parent_time_stamp: U32,
    /// Zero.
    pub(super) reserved: U32,
    /// The name of the parent, UTF-16 with the upper half first.
    pub(super) parent_unicode_name: [u8; 512],
    /// Where more names of the parent are.
    pub(super) parent_locators: [ParentLocator; 8],
    /// Zeros.
    pub(super) reserved2: [u8; 256],
}

const _: () = assert!(size_of::<Header>() == 1024);

/// "cxsparse".
pub(super) const HEADER_COOKIE: [u8; 8] = *b"cxsparse";

/// Where a name of the parent is, and for which system.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocator {
    /// [`RELATIVE`], [`ABSOLUTE`] or another.
    pub(super) platform_code: [u8; 4],
    /// Room for the name, in sectors or in bytes.
    pub(super) platform_data_space: U32,
    /// Its length in bytes.
    pub(super) platform_data_length: U32,
    /// Zero.
    pub(super) reserved: U32,
    /// Where it is.
    pub(super) platform_data_offset: U64,
}

/// A path that counts from the folder of the image, UTF-16 with the lower half first.
pub(super) const RELATIVE: [u8; 4] = *b"W2ru";
/// A path of the machine that it comes from, in the same form.
pub(super) const ABSOLUTE: [u8; 4] = *b"W2ku";

/// An entry of the table: the block was never written. Others are the number of the sector where it is.
pub(super) const UNUSED: u32 = u32::MAX;

/// The checksum of a footer or header, whose own field `checksum` does not count.
fn computed_checksum(bytes: &[u8], checksum: &[u8]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    !sum(bytes).wrapping_sub(sum(checksum))
}

impl Footer {
    /// The checksum that the footer should carry.
    pub(super) fn computed_checksum(&self) -> u32 {
        computed_checksum(self.as_bytes(), self.checksum.as_bytes())
    }
}

impl Header {
    /// The checksum that the header should carry.
    pub(super) fn computed_checksum(&self) -> u32 {
        computed_checksum(self.as_bytes(), self.checksum.as_bytes())
    }
}
