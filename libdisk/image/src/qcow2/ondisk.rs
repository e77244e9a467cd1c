//! Header and extensions as they lie on the disk.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "QFI\xfb".
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// The header of version 2.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// [`MAGIC`].
    pub(super) magic: [u8; 4],
    /// 2 or 3.
    pub(super) version: U32,
    /// Where the name of the backing file is; 0 if there is none.
    pub(super) backing_file_offset: U64,
    /// Length of that name in bytes, 1023 at most.
    pub(super) backing_file_size: U32,
    /// Cluster size as a power of two, 9 to 21.
    pub(super) cluster_bits: U32,
    /// Size of the disk in bytes.
    pub(super) size: U64,
    /// 0 none, 1 AES, 2 LUKS.
    pub(super) crypt_method: U32,
    /// Entries in the L1 table.
    pub(super) l1_size: U32,
    /// Where the L1 table is.
    pub(super) l1_table_offset: U64,
    /// Where the refcount table is.
    pub(super) refcount_table_offset: U64,
    /// Its length in clusters.
    pub(super) refcount_table_clusters: U32,
    /// Number of internal snapshots.
    pub(super) nb_snapshots: U32,
    /// Where their table is.
    pub(super) snapshots_offset: U64,
}

const _: () = assert!(size_of::<Header>() == 72);

/// What version 3 adds.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct HeaderV3 {
    /// Features without which the image cannot be read.
    pub(super) incompatible_features: U64,
    /// Features that can be ignored.
    pub(super) compatible_features: U64,
    /// Features that a writer who does not know them clears.
    pub(super) autoclear_features: U64,
    /// Width of a refcount as a power of two, in bits.
    pub(super) refcount_order: U32,
    /// Length of the header in bytes: 104 or more.
    pub(super) header_length: U32,
}

const _: () = assert!(size_of::<HeaderV3>() == 32);

/// An entry in the table of internal snapshots. What extends it follows, then its ID, its name, and padding to
/// 8 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Snapshot {
    /// Where its L1 table is.
    pub(super) l1_table_offset: U64,
    /// Entries in that table.
    pub(super) l1_size: U32,
    /// Length of its ID in bytes.
    pub(super) id_len: U16,
    /// Length of its name in bytes.
    pub(super) name_len: U16,
    /// When it was made, in seconds since 1970.
    pub(super) seconds: U32,
    /// And nanoseconds.
    pub(super) nanoseconds: U32,
    /// How long the machine had been running, in nanoseconds.
    pub(super) clock: U64,
    /// Length of the machine's state in bytes; 0 if there is none, or where what follows tells it.
    pub(super) vm_state_len: U32,
    /// Length of what extends this, in bytes.
    pub(super) extra_len: U32,
}

const _: () = assert!(size_of::<Snapshot>() == 40);

/// What extends an entry, as far as every image of version 3 has it.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SnapshotExtra {
    /// Length of the machine's state in bytes.
    pub(super) vm_state_len: U64,
    /// Size of the disk in bytes.
    pub(super) disk_size: U64,
}

/// The head of a header extension; its data follow, padded to 8 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Extension {
    /// What it is.
    pub(super) kind: U32,
    /// Length of its data in bytes.
    pub(super) len: U32,
}

/// The end of the extensions.
pub(super) const EXTENSION_END: u32 = 0;
/// The format of the backing file.
pub(super) const EXTENSION_BACKING_FORMAT: u32 = 0xE279_2ACA;
/// The name of the external data file.
pub(super) const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
/// Names of feature bits.
pub(super) const EXTENSION_FEATURE_NAMES: u32 = 0x6803_F857;

/// Incompatible feature: refcounts may be wrong. That does not matter to a reader.
pub(super) const DIRTY: u64 = 1 << 0;
/// Incompatible feature: the image is known to be damaged.
pub(super) const CORRUPT: u64 = 1 << 1;
/// Incompatible feature: guest data are in another file.
pub(super) const EXTERNAL_DATA: u64 = 1 << 2;
/// Incompatible feature: the compression is not zlib.
pub(super) const COMPRESSION_TYPE: u64 = 1 << 3;
/// The compression that is zstd.
pub(super) const ZSTD: u8 = 1;
/// Incompatible feature: L2 entries of 16 bytes, with subclusters.
pub(super) const EXTENDED_L2: u64 = 1 << 4;

/// Bits 9 to 55 of an L1 or L2 entry: where in the file.
pub(super) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// Bit 63: the refcount is exactly one.
pub(super) const COPIED: u64 = 1 << 63;
/// Bit 62: the cluster is compressed.
pub(super) const COMPRESSED: u64 = 1 << 62;
/// Bit 0: the cluster reads as zeros.
pub(super) const ZERO: u64 = 1;
