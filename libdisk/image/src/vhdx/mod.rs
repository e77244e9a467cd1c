//! VHDX, the format of Hyper-V: regions in whole MiB for the metadata and for a table of blocks, a log of
//! changes to these, and the blocks.
//!
//! Reference: \[MS-VHDX\], "Virtual Hard Disk v2 (VHDX) File Format"; numbers in comments are its clauses.
//!
//! Read: fixed, dynamic and differencing disks (these behind a gate), with sectors of 512 and 4,096 bytes. A
//! log that is not empty is replayed into an overlay, the file stays as it is; one that cannot be replayed is
//! `Corrupt`. Regions and items of the metadata that have to be known and are not are refused by their GUID.

use block::Error;

use crate::Format;

mod header;
mod log;
mod metadata;
mod ondisk;
mod read;
mod write;

pub use read::Image;
pub use write::create;

const LAYER: &str = "vhdx";

/// Known by its first eight bytes.
pub static FORMAT: Format = Format {
    name: LAYER,
    qemu_name: Some(LAYER),
    endings: &["vhdx", "avhdx"],
    flat: |_| false,
    recognise: |ends| ends.has(0, &ondisk::SIGNATURE),
    read: |path, chain| {
        let image = Image::open_in(path, chain)?;
        let layers = image.layers();
        Ok((image.into_disk(), layers))
    },
};

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}
