//! Fuzz targets: any bytes are an answer or an error, never a panic, a hang, or memory without bounds.
//!
//! One function a parser. `cargo xtask fuzz` builds and runs them; `cargo fuzz run --fuzz-dir benches/fuzz
//! --features libfuzzer TARGET` does so with a nightly compiler and its address sanitizer.
//!
//! What is a disk to its parser is given as [`Pages`]: a few pages of a device that is zero elsewhere, so
//! that a file system of 16 MiB is an input of some KiB.

mod filesystem;
mod hive;
mod image;
mod initrd;
mod pages;
mod text;
mod volume;

pub use filesystem::{btrfs, ext4, fat, jbd2, ntfs, ntfs_log, xfs, xfs_log};
pub use hive::{hive, hive_log};
pub use image::{probe, qcow2, vdi, vhd, vhdx, vmdk};
pub use initrd::{codecs, cpio, modules};
pub use pages::Pages;
pub use text::{plan, text};
pub use volume::{gpt, lvm2, mbr, signature};
