//! qcow2, versions 2 and 3.
//!
//! Reference: `docs/interop/qcow2.rst` of QEMU ("Qcow2 Image File Format").
//!
//! Read: zlib and zstd clusters, extended L2 entries, backing chains and external data files behind a gate. Refused by
//! name: encryption, images marked corrupt, incompatible features that we do not know. Internal snapshots and bitmaps
//! are not looked at: what is read is the active state.

mod backing;
mod cache;
mod decode;
mod header;
mod map;
mod ondisk;
mod read;

pub use backing::Backing;
pub use read::Image;

const LAYER: &str = "qcow2";
