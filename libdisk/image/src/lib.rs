//! Formats of image files: what lies between a file on the host and the disk that a guest sees.
//!
//! One folder per format, each with `read` and, where we write it, `write`, and a line in [`FORMATS`], from
//! which all lists of formats come. On-disk structures are in `ondisk`, read as they are, then checked and
//! turned into plain types; nothing else looks at the bytes.
//!
//! | format | read | write |
//! |---|---|---|
//! | [`raw`] | yes | yes |
//! | [`vhd`] | fixed, dynamic, differencing | fixed, dynamic |
//! | [`qcow2`] versions 2 and 3 | zlib, zstd, extended L2, backing chains, external data, internal snapshots by name | standalone (plain, zstd), overlay |
//! | [`vhdx`] | fixed, dynamic, differencing; the log is replayed | dynamic |
//! | [`vdi`] dynamic and static | yes | no |
//! | [`vmdk`] | sparse, flat, split, streamOptimized, on another disk | no |
//! | [`ova`] | its disks in place | no |
//! | [`packed`] | gzip, zstd, xz, bzip2, unpacked when they are opened | no |
//!
//! # Safety of the output
//!
//! Everything is written as `NAME.partial`, flushed, and renamed: a run that is killed leaves nothing that
//! looks finished.
//!
//! # Hostile images
//!
//! Sizes in an image never size an allocation or a loop unchecked. An image that names other files opens them
//! only where the caller allowed it.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod backing;
mod cache;
mod foreign;
mod format;
pub mod in_use;
mod laid;
mod mapped;
pub mod ova;
pub mod packed;
mod parent;
mod partial;
mod pool;
pub mod qcow2;
pub mod raw;
pub mod transfer;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

pub use backing::Backing;
pub use foreign::is_foreign;
pub(crate) use format::Layered;
pub use format::{Content, Ends, FORMATS, Format, Layer};
pub use partial::{Durability, Existing, Left, Output, check_partial, partial_path, write_file};

/// The length of a buffer as a device knows it.
fn len64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
