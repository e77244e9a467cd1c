//! qcow2, versions 2 and 3.
//!
//! Reference: `docs/interop/qcow2.rst` of QEMU ("Qcow2 Image File Format").
//!
//! Read: zlib and zstd clusters, extended L2 entries, backing chains and external data files behind a gate;
//! the active state, or that of an internal snapshot by its ID or name ([`open_snapshot`]). Refused by name:
//! encryption, images marked corrupt, incompatible features that we do not know. Bitmaps are not looked at, nor
//! the memory of a machine that a snapshot keeps.
//!
//! Written: standalone images, plain ([`create`]) or compressed by zstd ([`create_compressed`]), and overlays over a
//! backing file ([`write_overlay`]).

use block::Disk;

use crate::Format;
pub use crate::backing::Backing;

mod compress;
mod decode;
mod header;
mod map;
mod ondisk;
mod overlay;
mod read;
mod sink;
mod snapshot;
mod write;

pub use compress::create_compressed;
pub use overlay::write_overlay;
pub use read::{Image, open_snapshot};
pub use sink::create;
pub use snapshot::{Snapshot, Snapshots};
pub use write::BackingFile;

const LAYER: &str = "qcow2";

/// Known by its first four bytes.
pub static FORMAT: Format = Format {
    name: LAYER,
    qemu_name: Some(LAYER),
    endings: &["qcow2", "qcow"],
    flat: |_| false,
    recognise: |ends| ends.has(0, &ondisk::MAGIC),
    read: |path, chain| {
        let image = Image::open_in(path, None, chain)?;
        let layers = image.layers();
        Ok((Disk::new(image), layers))
    },
};
