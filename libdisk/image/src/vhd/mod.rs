//! VHD, the format that Azure takes: the disk's bytes and a footer of 512 bytes.
//!
//! Reference: "Virtual Hard Disk Image Format Specification", Microsoft, version 1.0, 11 October 2006.
//!
//! Only the fixed type is read and written. Dynamic and differencing disks are refused by name.

use crate::Format;

mod check;
mod footer;
mod ondisk;
mod read;
mod write;

pub use check::{Finding, Report, check, check_bytes};
pub use footer::{DiskType, Footer, Geometry, Identity};
pub use read::{Fixed, open};
pub use write::{FixedSink, MAX_SIZE, MIN_UPLOAD, SIZE_UNIT, upload_size};

const LAYER: &str = "vhd";

/// The footer is at the end, and all types but the fixed one have a copy of it at the start.
pub static FORMAT: Format = Format {
    name: LAYER,
    qemu_name: Some("vpc"),
    flat: true,
    recognise: |ends| ends.has(0, &ondisk::COOKIE) || ends.has_footer(&ondisk::COOKIE),
    read: |path, _| read::open_layers(path),
};
