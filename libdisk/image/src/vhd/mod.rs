//! VHD, the format that Azure takes: the disk's bytes and a footer of 512 bytes; or, in a dynamic or
//! differencing disk, a table of the blocks that were written.
//!
//! Reference: "Virtual Hard Disk Image Format Specification", Microsoft, version 1.0, 11 October 2006.
//!
//! All types are read, differencing disks behind a gate. What is spoiled and can be told all the same is a
//! [`Fault`]: a copy mends it. The size of a disk is the current size of its footer, whoever made it: readers
//! that compute it from the geometry see less of some.

use crate::Format;

mod check;
mod dynamic;
mod footer;
mod header;
mod ondisk;
mod read;
mod sparse;
mod write;

pub use check::{Finding, Report, check, check_bytes};
pub use dynamic::create_dynamic;
pub use footer::{DiskType, Footer, Geometry, Identity};
pub use read::{Fault, Image, footer_before_end, open};
pub use write::{FixedSink, MAX_SIZE, MIN_UPLOAD, SIZE_UNIT, upload_size};

const LAYER: &str = "vhd";

/// The footer is at the end, and all types but the fixed one have a copy of it at the start.
pub static FORMAT: Format = Format {
    name: LAYER,
    qemu_name: Some("vpc"),
    endings: &[],
    flat: read::is_flat,
    recognise: |ends| ends.has(0, &ondisk::COOKIE) || read::is_footer(ends.tail()),
    read: read::open_in,
};
