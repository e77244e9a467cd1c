//! Image files.

use std::io::Write;
use std::os::unix::fs::FileExt;

use libdisk::block::Disk;
use libdisk::image::{
    qcow2 as format_of_qcow2, vdi as format_of_vdi, vhd as format_of_vhd, vhdx as format_of_vhdx,
    vmdk as format_of_vmdk,
};

use crate::Pages;

/// Reads as a copy does, and as a file system does.
fn read(disk: &Disk) {
    let mut buf = vec![0; 64 << 10];
    for place in [0, 1000, 100_000, disk.size() / 2, disk.size().saturating_sub(64 << 10)] {
        let _ = disk.read_at(&mut buf, place);
    }
    let _ = disk.extents(0..disk.size().min(1 << 30)).take(1000).filter(Result::is_err).count();
    let _ = disk.file_range(0..disk.size().min(1 << 20));
}

/// What a file is.
pub fn probe(input: &[u8]) {
    let _ = libdisk::Format::probe(&Pages::new(input).disk());
}

/// VHD.
pub fn vhd(input: &[u8]) {
    if let Ok(disk) = format_of_vhd::open(Pages::new(input).disk()) {
        read(&disk);
    }
}

/// VHDX.
pub fn vhdx(input: &[u8]) {
    if let Ok(image) = format_of_vhdx::Image::of(Pages::new(input).disk()) {
        let _ = image.layers();
        read(&image.into_disk());
    }
}

/// VDI.
pub fn vdi(input: &[u8]) {
    if let Ok(image) = format_of_vdi::Image::open(Pages::new(input).disk()) {
        read(&image.into_disk());
    }
}

/// VMDK.
pub fn vmdk(input: &[u8]) {
    if let Ok(image) = format_of_vmdk::Image::open_alone(Pages::new(input).disk()) {
        read(&image.disk());
    }
}

/// qcow2, which is opened by its path.
pub fn qcow2(input: &[u8]) {
    let pages = Pages::new(input);
    let memory = tempfile::Builder::new().prefix("refloat-fuzz-").tempfile_in("/dev/shm");
    let Ok(mut file) = memory else { return };
    let (size, mut parts) = pages.parts();
    let filled = parts.try_for_each(|(at, page)| file.as_file().write_all_at(page, at));
    if filled.and(file.as_file().set_len(size)).and_then(|()| file.flush()).is_err() {
        return;
    }
    if let Ok(image) = format_of_qcow2::Image::open(file.path(), &format_of_qcow2::Backing::Deny) {
        let _ = image.layers();
        read(&Disk::new(image));
    }
}
