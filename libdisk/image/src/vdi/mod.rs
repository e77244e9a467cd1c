//! VDI, the format of VirtualBox: a header, a map with an entry for each block, and the blocks in the order
//! of their first write.
//!
//! References: `VDICore.h` of VirtualBox for the fields, `block/vdi.c` of QEMU for what others make of them.
//!
//! Dynamic, fixed and differencing images (snapshots) are read, these behind a gate: they know their parent by
//! its id alone, and it is looked for in the allowed folder. Undo images and those of the old version 0.x are
//! refused by name.

use crate::Format;

mod ondisk;
mod parent;
mod read;

pub use read::Image;

const LAYER: &str = "vdi";

/// Known by a number behind a line of text, which differs by who made the file.
pub static FORMAT: Format = Format {
    name: LAYER,
    qemu_name: Some(LAYER),
    endings: &["vdi"],
    flat: |_| false,
    recognise: |ends| ends.has(ondisk::SIGNATURE_AT, &ondisk::SIGNATURE),
    read: read::open_in,
};
