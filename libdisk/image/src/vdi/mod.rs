//! VDI, the format of VirtualBox: a header, a map with an entry for each block, and the blocks in the order
//! of their first write.
//!
//! References: `VDICore.h` of VirtualBox for the fields, `block/vdi.c` of QEMU for what others make of them.
//!
//! Dynamic and fixed images are read. Differencing images (snapshots) and those of the old version 0.x are
//! refused by name.

use block::{Disk, Error};

use crate::{Format, Layer, raw};

mod ondisk;
mod read;

pub use read::Image;

const LAYER: &str = "vdi";

/// Known by a number behind a line of text, which differs by who made the file.
pub static FORMAT: Format = Format {
    name: LAYER,
    qemu_name: Some(LAYER),
    flat: false,
    recognise: |ends| ends.has(ondisk::SIGNATURE_AT, &ondisk::SIGNATURE),
    read: |path, _| {
        let in_file = |error: Error| error.in_file(path);
        let image = Image::open(raw::open_bytes(path)?).map_err(in_file)?;
        let layer = Layer { name: LAYER, text: image.text() };
        Ok((Disk::new(image), vec![layer]))
    },
};
