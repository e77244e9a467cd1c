//! A file or host block device as a device, with pread and pwrite.

use std::path::Path;

use crate::Result;

/// A raw file or block device.
#[derive(Debug)]
pub struct FileDisk;

impl FileDisk {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// `Io` if it cannot be opened.
    pub fn open(_path: &Path) -> Result<Self> {
        todo!("being written")
    }

    /// Opens `path` for reading and writing.
    ///
    /// # Errors
    /// `Io` if it cannot be opened.
    pub fn open_mut(_path: &Path) -> Result<Self> {
        todo!("being written")
    }
}
