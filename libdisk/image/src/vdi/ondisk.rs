//! The header as it lies on the disk, and the entries of the map.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where the signature is: behind the text.
pub(super) const SIGNATURE_AT: usize = 64;
/// 0xbeda107f.
pub(super) const SIGNATURE: [u8; 4] = [0x7f, 0x10, 0xda, 0xbe];
/// Major version 1, in the upper half of the field.
pub(super) const MAJOR: u32 = 1;
/// The least length of the header from [`Header::header_size`] on: version 1.1 without the second geometry.
pub(super) const HEADER_SIZE: u32 = 384;

/// Bytes before [`Header::header_size`] counts.
pub(super) const PREHEADER_LEN: u64 = 72;

/// Blocks are allocated when they are first written.
pub(super) const DYNAMIC: u32 = 1;
/// All blocks are allocated.
pub(super) const FIXED: u32 = 2;
/// The changes since a snapshot, to be undone.
pub(super) const UNDO: u32 = 3;
/// The changes since a snapshot.
pub(super) const DIFFERENCING: u32 = 4;

/// An entry of the map: the block was never written.
pub(super) const UNALLOCATED: u32 = 0xffff_ffff;
/// An entry of the map: the block is all zeros.
pub(super) const ZERO: u32 = 0xffff_fffe;

/// `VDIPREHEADER` and `VDIHEADER1`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// Text for people.
    pub(super) text: [u8; 64],
    /// [`SIGNATURE`].
    pub(super) signature: [u8; 4],
    /// Major version in the upper half, minor version in the lower.
    pub(super) version: U32,
    /// Length of the header from here on, in bytes.
    pub(super) header_size: U32,
    /// [`DYNAMIC`], [`FIXED`], [`UNDO`] or [`DIFFERENCING`].
    pub(super) image_type: U32,
    /// Flags of VirtualBox, of no effect on the content.
    pub(super) image_flags: U32,
    /// What the user says of it.
    pub(super) comment: [u8; 256],
    /// Where the map is.
    pub(super) offset_blocks: U32,
    /// Where the first block is.
    pub(super) offset_data: U32,
    /// Geometry: cylinders; not used.
    pub(super) cylinders: U32,
    /// Geometry: heads; not used.
    pub(super) heads: U32,
    /// Geometry: sectors per track; not used.
    pub(super) sectors: U32,
    /// Bytes of a sector: 512.
    pub(super) sector_size: U32,
    /// Zero.
    pub(super) unused: U32,
    /// Size of the disk in bytes.
    pub(super) disk_size: U64,
    /// Bytes of a block: a power of two, 1 MiB by default.
    pub(super) block_size: U32,
    /// Bytes of the image before the data of each block: 0 by default.
    pub(super) block_extra: U32,
    /// Entries of the map.
    pub(super) blocks: U32,
    /// Blocks that are in the file.
    pub(super) blocks_allocated: U32,
    /// Identifies the image.
    pub(super) uuid_create: [u8; 16],
    /// Changes with its content.
    pub(super) uuid_modify: [u8; 16],
    /// Identifies the image below, zero if there is none.
    pub(super) uuid_linkage: [u8; 16],
    /// Its [`uuid_modify`](Self::uuid_modify), zero if there is none.
    pub(super) uuid_parent_modify: [u8; 16],
}

const _: () = assert!(size_of::<Header>() == 456);
