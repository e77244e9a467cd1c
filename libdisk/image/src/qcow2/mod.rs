//! qcow2, versions 2 and 3.
//!
//! Reference: `docs/interop/qcow2.rst` of QEMU ("Qcow2 Image File Format").
//!
//! Read: zlib and zstd clusters, extended L2 entries, backing chains and external data files behind a gate. Refused by
//! name: encryption, images marked corrupt, incompatible features that we do not know. Internal snapshots and bitmaps
//! are not looked at: what is read is the active state.
//!
//! Written: standalone images ([`Sink`]) and overlays over a backing file ([`write_overlay`]), never compressed.

mod backing;
mod cache;
mod decode;
mod header;
mod map;
mod ondisk;
mod overlay;
mod read;
mod sink;
mod write;

pub use backing::Backing;
pub use overlay::write_overlay;
pub use read::Image;
pub use sink::Sink;
pub use write::BackingFile;

const LAYER: &str = "qcow2";
