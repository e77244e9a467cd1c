//! VMDK, the format of VMware: a descriptor, which is text, and extents, each a part of the disk.
//!
//! References: "Virtual Disk Format 5.0", VMware, 20 December 2011; `block/vmdk.c` of QEMU for what others make
//! of it.
//!
//! Read: monolithicSparse, monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat, vmfs (flat),
//! streamOptimized, with or without its directory, and disks that stand on another one. All other files, the
//! extents of a split disk and the disk below, are opened behind a gate. Refused by name: sparse extents of ESX
//! (COWD, seSparse), raw devices, and a piece of a split disk alone.

use crate::Format;

mod descriptor;
mod extent;
mod grain;
mod header;
mod map;
mod ondisk;
mod read;
mod stream;

pub use read::Image;

const LAYER: &str = "vmdk";

/// Known by its first bytes: of a sparse extent, or of a descriptor.
pub static FORMAT: Format = Format {
    name: LAYER,
    qemu_name: Some(LAYER),
    endings: &["vmdk"],
    flat: |_| false,
    recognise: |ends| ends.has(0, &ondisk::MAGIC) || ends.has(0, ondisk::DESCRIPTOR),
    read: |path, chain| {
        let image = Image::open_in(path, chain)?;
        Ok((image.disk(), image.layers().to_vec()))
    },
};
