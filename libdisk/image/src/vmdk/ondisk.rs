//! The header of a sparse extent and the markers of a stream, as they lie on the disk.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "KDMV", the magic number of a hosted sparse extent.
pub(super) const MAGIC: [u8; 4] = *b"KDMV";
/// How a descriptor in a file of its own begins.
pub(super) const DESCRIPTOR: &[u8] = b"# Disk DescriptorFile";

/// All places and sizes in an extent are counted in sectors of so many bytes.
pub(super) const SECTOR: u64 = 512;

/// Flag: [`Header::line_ends`] can be tested.
pub(super) const LINE_ENDS: u32 = 1 << 0;
/// Flag: there is a redundant grain directory.
pub(super) const REDUNDANT: u32 = 1 << 1;
/// Flag: an entry of 1 in a grain table means a grain of zeros.
pub(super) const ZERO_GRAINS: u32 = 1 << 2;
/// Flag: the grains are compressed.
pub(super) const COMPRESSED: u32 = 1 << 16;
/// Flag: markers stand before grains and tables.
pub(super) const MARKERS: u32 = 1 << 17;

/// What [`Header::line_ends`] is unless the file was moved as text.
pub(super) const LINE_ENDS_ARE: [u8; 4] = *b"\n \r\n";
/// [`Header::compression`]: RFC 1950, in its default form.
pub(super) const DEFLATE: u16 = 1;
/// [`Header::directory`]: the true one is in the footer, a copy of the header before the end of the stream.
pub(super) const AT_END: u64 = u64::MAX;
/// The footer starts so many bytes before the end of the file: itself, and the marker of the end.
pub(super) const FOOTER_FROM_END: u64 = 1024;

/// An entry of a grain table: the grain is zeros, by [`ZERO_GRAINS`].
pub(super) const ZERO_GRAIN: u32 = 1;

/// `SparseExtentHeader`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// [`MAGIC`].
    pub(super) magic: [u8; 4],
    /// 1 to 3.
    pub(super) version: U32,
    /// [`LINE_ENDS`] and the others.
    pub(super) flags: U32,
    /// Size of the extent in sectors.
    pub(super) capacity: U64,
    /// Sectors of a grain: a power of two, 128 by default.
    pub(super) grain_size: U64,
    /// Where the embedded descriptor is, in sectors; 0 if there is none.
    pub(super) descriptor_offset: U64,
    /// Its length in sectors.
    pub(super) descriptor_size: U64,
    /// Entries of a grain table: 512.
    pub(super) table_entries: U32,
    /// Where the redundant grain directory is, in sectors.
    pub(super) redundant_directory: U64,
    /// Where the grain directory is, in sectors; or [`AT_END`].
    pub(super) directory: U64,
    /// Sectors before the first grain.
    pub(super) overhead: U64,
    /// Not zero: the image was not closed.
    pub(super) unclean_shutdown: u8,
    /// [`LINE_ENDS_ARE`].
    pub(super) line_ends: [u8; 4],
    /// 0 none, or [`DEFLATE`].
    pub(super) compression: U16,
}

const _: () = assert!(size_of::<Header>() == 79);

/// What stands before a compressed grain; for a length of zero, the head of a marker with its type behind it.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GrainMarker {
    /// The sector of the disk where the grain starts; of a marker, the sectors that follow it.
    pub(super) sector: U64,
    /// Bytes of the compressed data, which follow at once.
    pub(super) len: U32,
}

/// Its length in bytes.
pub(super) const GRAIN_MARKER_LEN: u64 = 12;
const _: () = assert!(size_of::<GrainMarker>() == 12);

/// A type of marker: the end of the stream.
pub(super) const END_OF_STREAM: u32 = 0;
/// A grain table follows.
pub(super) const GRAIN_TABLE: u32 = 1;
/// The grain directory follows.
pub(super) const GRAIN_DIRECTORY: u32 = 2;
/// The footer follows.
pub(super) const FOOTER: u32 = 3;
