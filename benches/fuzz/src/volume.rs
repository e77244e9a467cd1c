//! What lies between a disk and its file systems.

use libdisk::block::Disk;
use libdisk::volume::{self, lvm2 as format_of_lvm2};

use crate::Pages;

/// Both tables are found by one reader; what it finds is opened.
fn table(disk: &Disk) {
    let Ok(table) = volume::read(disk) else { return };
    let _ = table.places(0, disk.size());
    for partition in &table.partitions {
        if let Ok(part) = partition.open(disk) {
            let _ = volume::signature(&part);
        }
    }
}

/// GPT.
pub fn gpt(input: &[u8]) {
    table(&Pages::new(input).disk());
}

/// MBR, with logical partitions.
pub fn mbr(input: &[u8]) {
    let disk = Pages::new(input).disk();
    let _ = volume::mbr::Mbr::read(&disk);
    table(&disk);
}

/// What a volume is by its magic numbers.
pub fn signature(input: &[u8]) {
    if let Ok(Some(found)) = volume::signature(&Pages::new(input).disk()) {
        let _ = found.describe();
    }
}

/// LVM2, on a disk of its own.
pub fn lvm2(input: &[u8]) {
    let disk = Pages::new(input).disk();
    let Ok(scan) = format_of_lvm2::scan(&[("a".to_owned(), disk.clone())]) else { return };
    for group in &scan.groups {
        for volume in &group.volumes {
            let map = scan.map(&group.name, &volume.name);
            if let Ok(opened) = map.and_then(|map| map.open(std::slice::from_ref(&disk))) {
                let _ = opened.read_vec(0, 4096);
            }
        }
    }
}
