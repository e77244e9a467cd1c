//! The binary structures at the start of a physical volume.
//!
//! Reference: the LVM2 volume format as documented by libyal ("Logical Volume Manager (LVM) format", sections
//! 2 and 3).

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// LVM counts sectors of 512 bytes, whatever the device has.
pub(super) const SECTOR: u64 = 512;
/// Length of a sector, of the label and of the header of a metadata area.
pub(super) const SECTOR_LEN: usize = 512;

/// "LABELONE".
pub(super) const LABEL: [u8; 8] = *b"LABELONE";
/// The checksum of a label's sector covers all but so many bytes at its start.
pub(super) const LABEL_UNCOVERED: usize = 20;
/// "LVM2 001".
pub(super) const LABEL_TYPE: [u8; 8] = *b"LVM2 001";

/// The label, in one of the first four sectors.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Label {
    /// [`LABEL`].
    pub(super) signature: [u8; 8],
    /// The sector it is in.
    pub(super) sector: U64,
    /// Checksum of the sector from the next field on.
    pub(super) checksum: U32,
    /// Where in the sector the header of the physical volume begins.
    pub(super) header_offset: U32,
    /// [`LABEL_TYPE`].
    pub(super) label_type: [u8; 8],
}

/// The header of a physical volume. Two lists of [`Location`] follow, each closed by one of zeros: data, then
/// metadata.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// 32 letters and digits.
    pub(super) uuid: [u8; 32],
    /// Size of the device in bytes.
    pub(super) device_size: U64,
}

/// A range of the device, in bytes.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Location {
    /// Where it begins; 0 closes a list.
    pub(super) offset: U64,
    /// Its length.
    pub(super) size: U64,
}

/// " LVM2 x[5A%r0N*>".
pub(super) const AREA: [u8; 16] = *b" LVM2 x[5A%r0N*>";
/// The only version.
pub(super) const AREA_VERSION: u32 = 1;
/// The text of this area is not kept up to date.
pub(super) const IGNORED: u32 = 1;

/// The header of a metadata area.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Area {
    /// Checksum of the sector from the next field on.
    pub(super) checksum: U32,
    /// [`AREA`].
    pub(super) signature: [u8; 16],
    /// [`AREA_VERSION`].
    pub(super) version: U32,
    /// Where on the device this header is.
    pub(super) offset: U64,
    /// Length of the area, this header included.
    pub(super) size: U64,
    /// Where the text is that counts. Others may follow; the next one is of a change that is not committed.
    pub(super) text: Text,
}

/// Where in its area a text is; it may go on behind the header when it reaches the area's end.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Text {
    /// From the start of the area; 0 if there is none.
    pub(super) offset: U64,
    /// Its length.
    pub(super) size: U64,
    /// Its checksum.
    pub(super) checksum: U32,
    /// [`IGNORED`].
    pub(super) flags: U32,
}

const _: () = assert!(size_of::<Label>() == 32 && size_of::<Header>() == 40 && size_of::<Area>() == 64);

/// The checksum of all of these: CRC-32 with a start value of its own, and not inverted at the end.
pub(super) fn checksum(parts: &[&[u8]]) -> u32 {
    const START: u32 = 0xf597_a6cf;
    let mut crc = crc32fast::Hasher::new_with_initial(!START);
    for part in parts {
        crc.update(part);
    }
    !crc.finalize()
}
