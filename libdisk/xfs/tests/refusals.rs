//! What we do not handle is refused by name, before anything is written.

mod support;

use std::fs;

use block::{DiskMut, Memory};
use support::{Image, find};
use testimages::judge;
use vfs::{FileSystem, FileSystemMut, FsError, State};

/// A default volume, with other bytes in its superblock.
fn patched(at: usize, bytes: &[u8]) -> Option<DiskMut> {
    let image = Image::new(&find("default"), 48 << 20)?;
    let mut volume = image.bytes();
    volume[at..at + bytes.len()].copy_from_slice(bytes);
    volume[224..228].fill(0);
    let sum = crc32c::crc32c(&volume[..512]).to_le_bytes();
    volume[224..228].copy_from_slice(&sum);
    Some(DiskMut::new(Memory::new(volume)))
}

fn content(device: &DiskMut) -> Vec<u8> {
    let mut bytes = vec![0; device.size() as usize];
    device.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Reading works; writing is refused with these words, and changes no byte.
#[track_caller]
fn only_reading(device: Option<DiskMut>, words: &str) {
    let Some(device) = device else { return };
    let before = content(&device);
    let mut fs = xfs::open_mut(device.clone()).unwrap();
    fs.read_dir(fs.root()).unwrap();
    fs.free_ranges().unwrap();
    match fs.begin().err() {
        Some(FsError::Unsupported(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{words}: {other:?}"),
    }
    assert!(content(&device) == before);
}

/// Not even reading works.
#[track_caller]
fn nothing(device: Option<DiskMut>, words: &str) {
    let Some(device) = device else { return };
    match xfs::open(device.disk()) {
        Err(FsError::Unsupported(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{words}: {other:?}"),
    }
    assert!(xfs::probe(&device.disk()).unwrap());
}

#[test]
fn features_that_prevent_writing() {
    only_reading(patched(212, &[0x10, 0, 0, 0]), "unknown read-only features: 0x10000000");
    only_reading(patched(216, &[0, 0, 0, 0x1b]), "needsrepair: xfs_repair must run first");
    only_reading(patched(216, &[0, 0, 0, 0x8b]), "parent");
    only_reading(patched(220, &[0, 0, 0, 1]), "log features in use: 0x1");
    only_reading(patched(48, &[0; 8]), "an external log");
    if let Some(image) = Image::with_options(&find("default"), 48 << 20, &["-n", "version=ci"]) {
        only_reading(Some(image.device()), "ascii-ci");
    }
    for options in [["-m", "crc=0", "-l", "lazy-count=0"], ["-m", "crc=0", "-i", "attr=1"]] {
        if let Some(image) = Image::with_options(&find("default"), 48 << 20, &options) {
            only_reading(Some(image.device()), "version 4 without");
        }
    }
}

#[test]
fn features_that_prevent_reading() {
    nothing(patched(216, &[0x80, 0, 0, 0x0b]), "unknown XFS features, incompatible: 0x80000000");
    nothing(patched(216, &[0, 0, 1, 0x0b]), "metadir");
    nothing(patched(16, &[0, 0, 0, 0, 0, 0, 0, 9]), "a realtime section");
    nothing(patched(100, &[0xb4, 0xa3]), "XFS version 3");
    nothing(patched(100, &[0x94, 0xa5]), "version 1 directories");
    nothing(patched(126, &[1]), "mkfs did not finish");
}

#[test]
fn a_running_machine_can_be_read_and_not_written() {
    let Some(image) = Image::new(&find("default"), 48 << 20) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    assert_eq!(image.open().info().unwrap().state, State::Clean);
    let mut copy = Vec::new();
    image.populate(|root| {
        fs::write(root.join("file"), "content").unwrap();
        rustix::fs::sync();
        copy = image.bytes();
    });
    let device = DiskMut::new(Memory::new(copy));
    let state = xfs::open(device.disk()).unwrap().info().unwrap().state;
    assert_eq!(state, State::NeedsRecovery);
    only_reading(Some(device), "its log must be replayed first");
}

#[test]
fn what_the_superblock_says() {
    let Some(image) = Image::with_options(&find("everything"), 48 << 20, &["-L", "root"]) else { return };
    let info = image.open().info().unwrap();
    let blkid = |tag: &str| {
        let output = judge::run(judge::tool("blkid").args(["-o", "value", "-s", tag]).arg(image.path()));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(info.kind, blkid("TYPE"));
    assert_eq!(info.label.as_deref(), Some("root"));
    assert_eq!(info.uuid, Some(blkid("UUID")));
    assert_eq!((info.block_size, info.size), (4096, image.size));
    for name in ["v5", "finobt", "rmapbt", "reflink", "inobtcount", "sparse", "bigtime", "nrext64"] {
        assert!(info.features.iter().any(|feature| feature == name), "{name}: {:?}", info.features);
    }
    // xfs_db is a second opinion on what is free.
    let output = judge::run(judge::tool("xfs_db").args(["-r", "-c", "freesp -s"]).arg(image.path()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let blocks = text.lines().find_map(|line| line.strip_prefix("total free blocks ")).unwrap();
    let free: u64 = image.open().free_ranges().unwrap().iter().map(|range| range.end - range.start).sum();
    // It counts the free lists in.
    let listed = blocks.trim().parse::<u64>().unwrap() * 4096 - free;
    assert!(listed < 64 * 4096, "{blocks} blocks, {free} bytes");
}
