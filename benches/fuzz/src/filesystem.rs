//! File systems: read as a whole, changed in every way over an overlay, and read again.

use libdisk::block::{Disk, DiskMut, Overlay};
use libdisk::vfs::conformance::{Rng, exercise, walk};
use libdisk::vfs::{FileSystem, FileSystemMut, Result};
use libdisk::{
    btrfs as driver_of_btrfs, ext4 as driver_of_ext4, fat as driver_of_fat, ntfs as driver_of_ntfs,
    xfs as driver_of_xfs,
};

use crate::Pages;

fn over(disk: Disk) -> Option<DiskMut> {
    Overlay::new(disk).ok().map(|overlay| overlay.writer())
}

fn read<F: FileSystem>(opened: Result<F>) {
    if let Ok(fs) = opened {
        walk(&fs);
    }
}

fn change<F: FileSystemMut>(opened: Result<F>) {
    if let Ok(mut fs) = opened {
        exercise(&mut fs, &mut Rng::new(1));
    }
}

/// ext2, ext3 and ext4.
pub fn ext4(input: &[u8]) {
    let disk = Pages::new(input).disk();
    let _ = driver_of_ext4::probe(&disk);
    read(driver_of_ext4::open(disk.clone()));
    over(disk).into_iter().for_each(|device| change(driver_of_ext4::open_mut(device)));
}

/// The journal of ext3 and ext4.
pub fn jbd2(input: &[u8]) {
    let Some(device) = over(Pages::new(input).disk()) else { return };
    if driver_of_ext4::replay(&device).is_ok() {
        read(driver_of_ext4::open(device.disk()));
    }
}

/// XFS.
pub fn xfs(input: &[u8]) {
    let disk = Pages::new(input).disk();
    let _ = driver_of_xfs::probe(&disk);
    read(driver_of_xfs::open(disk.clone()));
    over(disk).into_iter().for_each(|device| change(driver_of_xfs::open_mut(device)));
}

/// The log of XFS.
pub fn xfs_log(input: &[u8]) {
    let Some(device) = over(Pages::new(input).disk()) else { return };
    if driver_of_xfs::replay(&device).is_ok() {
        read(driver_of_xfs::open(device.disk()));
    }
}

/// btrfs, whose checksums are made right.
pub fn btrfs(input: &[u8]) {
    let disk = Pages::new(input).sealed().disk();
    let _ = driver_of_btrfs::probe(&disk);
    if let Ok(fs) = driver_of_btrfs::open(disk) {
        let _ = fs.subvolumes();
        walk(&fs);
    }
}

/// FAT12, FAT16 and FAT32.
pub fn fat(input: &[u8]) {
    let disk = Pages::new(input).disk();
    let _ = driver_of_fat::probe(&disk);
    read(driver_of_fat::open(disk.clone()));
    over(disk).into_iter().for_each(|device| change(driver_of_fat::open_mut(device)));
}

/// NTFS.
pub fn ntfs(input: &[u8]) {
    let disk = Pages::new(input).disk();
    let _ = driver_of_ntfs::probe(&disk);
    if let Ok(fs) = driver_of_ntfs::open(disk.clone()) {
        let _ = fs.free(u64::MAX);
        walk(&*fs);
    }
    if let Some(Ok(mut fs)) = over(disk).map(driver_of_ntfs::open_mut) {
        exercise(&mut *fs, &mut Rng::new(1));
    }
}

/// The log of NTFS.
pub fn ntfs_log(input: &[u8]) {
    let Some(device) = over(Pages::new(input).disk()) else { return };
    if driver_of_ntfs::replay(&device).is_ok()
        && let Ok(fs) = driver_of_ntfs::open(device.disk())
    {
        walk(&*fs);
    }
}
