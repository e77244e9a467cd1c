//! Which driver opens a volume.

use block::{Disk, DiskMut};
use vfs::{FileSystem, FileSystemMut, FsError, Result};

/// Opens the file system on `volume`; `None` if there is nothing known on it.
///
/// # Errors
/// `Unsupported` by name for what is known and not opened (LVM, LUKS, swap, ...); what the driver reports.
pub fn open_filesystem(volume: &Disk) -> Result<Option<Box<dyn FileSystem>>> {
    if ext4::probe(volume)? {
        return Ok(Some(Box::new(ext4::open(volume.clone())?)));
    }
    if xfs::probe(volume)? {
        return Ok(Some(Box::new(xfs::open(volume.clone())?)));
    }
    if btrfs::probe(volume)? {
        return Ok(Some(Box::new(btrfs::open(volume.clone())?)));
    }
    if fat::probe(volume)? {
        return Ok(Some(Box::new(fat::open(volume.clone())?)));
    }
    nothing(volume)
}

/// Opens a subvolume of the btrfs on `volume` by its path from the top, as the mount option `subvol` does; `None` if there is no
/// such subvolume, or no btrfs.
///
/// # Errors
/// What the driver reports.
pub fn open_subvolume(volume: &Disk, path: &str) -> Result<Option<Box<dyn FileSystem>>> {
    if !btrfs::probe(volume)? {
        return Ok(None);
    }
    match btrfs::open(volume.clone())?.with_subvolume_at(path.as_bytes()) {
        Ok(fs) => Ok(Some(Box::new(fs))),
        Err(FsError::NotFound | FsError::NotADirectory | FsError::Invalid(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the file system on `volume` for changes; over an overlay, always.
///
/// # Errors
/// As [`open_filesystem`].
pub fn open_filesystem_mut(volume: &DiskMut) -> Result<Option<Box<dyn FileSystemMut>>> {
    let view = volume.disk();
    if ext4::probe(&view)? {
        return Ok(Some(Box::new(ext4::open_mut(volume.clone())?)));
    }
    if xfs::probe(&view)? {
        return Ok(Some(Box::new(xfs::open_mut(volume.clone())?)));
    }
    if btrfs::probe(&view)? {
        match btrfs::open_mut(volume)? {}
    }
    if fat::probe(&view)? {
        return Ok(Some(Box::new(fat::open_mut(volume.clone())?)));
    }
    nothing(&view)
}

/// Brings the file system on `volume` into the state that its journal says; over an overlay, always. Says whether there was
/// anything to do.
///
/// # Errors
/// `Unsupported` by name for what cannot be replayed, `Corrupt` for what must not be; `volume` is as it was then.
pub fn replay_filesystem(volume: &DiskMut) -> Result<bool> {
    let view = volume.disk();
    Ok(ext4::probe(&view)? && ext4::replay(volume)?.is_some()
        || xfs::probe(&view)? && xfs::replay(volume)?.is_some()
        || btrfs::probe(&view)? && btrfs::replay(volume)?)
}

/// No driver wants it: refuse what is known by name.
fn nothing<T>(volume: &Disk) -> Result<Option<T>> {
    match volume::signature(volume)? {
        Some(found) => Err(FsError::unsupported(format!("the volume is {}", found.describe()))),
        None => Ok(None),
    }
}
