//! Initramfs surgery: puts kernel modules into an existing initramfs without running any guest code.
//!
//! The crate works on bytes: an initramfs goes in, a new initramfs comes out. What it needs from the guest's
//! root file system, its `/lib/modules/<kver>`, it reads through [`ModuleTree`].
//!
//! 1. [`Archive::parse`] splits the image into its segments and shows the tree the kernel will unpack from
//!    them.
//! 2. [`missing`] tells, for each wanted module, whether it is built in, there, can be added, or does not
//!    exist.
//! 3. [`inject`] adds the modules, everything they depend on, and the indexes by which they are found.
//! 4. [`verify`] reads the new bytes back and proves that each module resolves.
//!
//! Sources: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst` (segments and newc
//! records) and kmod's description of its index format in `libkmod-index.c`; the recipe as a whole was proven
//! by booting.
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

mod archive;
mod closure;
mod codec;
mod coverage;
mod cpio;
mod error;
mod generator;
mod inject;
pub mod kmod;
mod modules;
mod scan;
mod segment;
mod verify;

pub use archive::{Archive, Limits};
pub use codec::Codec;
pub use coverage::{Coverage, ModuleState, missing};
pub use cpio::{Entry, Kind};
pub use error::{Error, Result};
pub use generator::Generator;
pub use inject::{Injected, Mode, Request, inject, put_files};
pub use modules::ModuleTree;
pub use segment::Segment;
pub use verify::{Verified, prove, verify};
