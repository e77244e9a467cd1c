//! Reading: any file is a raw image.

use std::path::Path;

use block::{Disk, Result};

/// Opens the file or host block device `path`.
///
/// A size that is not a whole number of sectors is cut down to one: no reader sees half a sector.
///
/// # Errors
/// `Io` if it cannot be opened.
pub fn open(path: &Path) -> Result<Disk> {
    let disk = open_bytes(path)?;
    let whole = disk.size() & !511;
    if whole == disk.size() { Ok(disk) } else { disk.slice(0..whole) }
}

/// The file `path` to its last byte, for formats that are made of bytes.
pub(crate) fn open_bytes(path: &Path) -> Result<Disk> {
    block::open_file(path)
}
