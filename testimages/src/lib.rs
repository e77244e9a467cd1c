//! Guests to test on, and the programs that judge what refloat wrote.
//!
//! Nothing here uses refloat's own parsers: an image made or checked with our own code proves nothing. Images
//! are built by the real tools (`mke2fs`, `sgdisk`, `mkfs.vfat`, `depmod`, `cpio`), and judged by programs we
//! did not write.

pub mod azure_cli;
pub mod azurite;
pub mod boto;
pub mod cache;
pub mod dissect;
pub mod engine;
pub mod hostile;
pub mod judge;
pub mod lab;
pub mod length;
pub mod loader;
pub mod lvm;
pub mod moto;
pub mod mounted;
pub mod mutants;
pub mod ntfs;
pub mod population;
mod python;
pub mod real;
pub mod reports;
pub mod seeds;
pub mod synthetic;
pub mod user_mode_linux;
pub mod vhdx;
