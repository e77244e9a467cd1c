//! Which driver opens a volume.

use block::{Disk, DiskMut};
use vfs::{Driver, FileSystem, FileSystemMut, FsError, Result};

/// Every file system that is opened: a line each. A volume is offered to them in this order.
pub static FILE_SYSTEMS: [&Driver; 5] =
    [&ext4::DRIVER, &xfs::DRIVER, &btrfs::DRIVER, &fat::DRIVER, &ntfs::DRIVER];

/// The driver whose marks the volume has; none for a member of an array, whatever it begins with.
///
/// # Errors
/// What the device reports.
pub fn driver(volume: &Disk) -> Result<Option<&'static Driver>> {
    for driver in FILE_SYSTEMS {
        if (driver.probe)(volume)? {
            return Ok(if volume::is_member(volume)? { None } else { Some(driver) });
        }
    }
    Ok(None)
}

/// Opens the file system on `volume`; `None` if there is nothing known on it.
///
/// # Errors
/// `Unsupported` by name for what is known and not opened (LVM, LUKS, swap, ...); what the driver reports.
pub fn open_filesystem(volume: &Disk) -> Result<Option<Box<dyn FileSystem>>> {
    match driver(volume)? {
        Some(driver) => (driver.open)(volume.clone()).map(Some),
        None => nothing(volume),
    }
}

/// Opens a subvolume of the file system on `volume` by its path from the top, as the mount option `subvol` of
/// btrfs does; `None` if there is no such subvolume, or its format has none.
///
/// # Errors
/// What the driver reports.
pub fn open_subvolume(volume: &Disk, path: &str) -> Result<Option<Box<dyn FileSystem>>> {
    let Some(open) = driver(volume)?.and_then(|driver| driver.open_subvolume) else { return Ok(None) };
    match open(volume.clone(), path.as_bytes()) {
        Ok(fs) => Ok(Some(fs)),
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
    match driver(&view)? {
        Some(driver) => (driver.open_mut)(volume.clone()).map(Some),
        None => nothing(&view),
    }
}

/// Brings the file system on `volume` into the state that its journal says; over an overlay, always. Says
/// whether there was anything to do.
///
/// # Errors
/// `Unsupported` by name for what cannot be replayed, `Corrupt` for what must not be; `volume` is as it was
/// then.
pub fn replay_filesystem(volume: &DiskMut) -> Result<bool> {
    driver(&volume.disk())?.map_or(Ok(false), |driver| (driver.replay)(volume))
}

/// No driver wants it: refuse what is known by name.
fn nothing<T>(volume: &Disk) -> Result<Option<T>> {
    match volume::signature(volume)? {
        Some(found) => Err(FsError::unsupported(format!("the volume is {}", found.describe()))),
        None => Ok(None),
    }
}
