//! Reading: any file is a raw image.

use std::path::Path;

use block::{Concat, Disk, Result};

/// No reader sees less of a disk at once, in bytes.
const SECTOR: u64 = 512;

/// Opens the file or host block device `path`.
///
/// A last sector of which the file has only the beginning ends in zeros, as QEMU has it, so that nothing of
/// the file is lost.
///
/// # Errors
/// `Io` if it cannot be opened, `Unsupported` if it is neither a regular file nor a block device.
pub fn open(path: &Path) -> Result<Disk> {
    padded(open_bytes(path)?)
}

/// The same of bytes that are open.
pub(crate) fn padded(disk: Disk) -> Result<Disk> {
    let size = disk.size().next_multiple_of(SECTOR);
    Concat::padded(disk, size)
}

/// The file `path` to its last byte, for formats that are made of bytes.
pub(crate) fn open_bytes(path: &Path) -> Result<Disk> {
    block::open_file(path)
}
