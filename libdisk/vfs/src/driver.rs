//! What a driver gives to the table of file systems.

use block::{Disk, DiskMut};

use crate::{FileSystem, FileSystemMut, Result};

/// Opens a volume with the subvolume at a path as its root.
pub type OpenSubvolume = fn(Disk, &[u8]) -> Result<Box<dyn FileSystem>>;

/// A driver of a file system format.
#[derive(Debug)]
pub struct Driver {
    /// What people call the format: "ext4".
    pub name: &'static str,
    /// Whether a volume has the marks of the format. It may still be one that cannot be opened.
    pub probe: fn(&Disk) -> Result<bool>,
    /// Opens a volume for reading, as it is without its journal.
    pub open: fn(Disk) -> Result<Box<dyn FileSystem>>,
    /// Opens one for changes.
    pub open_mut: fn(DiskMut) -> Result<Box<dyn FileSystemMut>>,
    /// Brings a volume into the state that its journal says; tells whether there was anything to do.
    pub replay: fn(&DiskMut) -> Result<bool>,
    /// Opens one with a subvolume as its root, by the path from the top; where the format has such.
    pub open_subvolume: Option<OpenSubvolume>,
}
