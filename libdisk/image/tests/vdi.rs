//! VDI, compared with what qemu-img reads.

use std::path::{Path, PathBuf};

use block::testing::conformance;
use block::{Disk, ErrorKind, FileDisk, Memory};
use image::Backing;
use image::vdi::Image;
use testimages::{dissect, judge};

/// Blocks of data, of zeros, and a last one of which the disk has but a part.
fn content() -> Vec<u8> {
    let mut bytes = vec![0; (5 << 20) + 3072];
    for (block, unit) in bytes.chunks_mut(1 << 20).enumerate() {
        if block % 2 == 0 {
            unit.iter_mut().zip(0_usize..).for_each(|(byte, at)| *byte = (at / 97 + block) as u8);
        }
    }
    bytes
}

/// A folder with the image; `None` without qemu-img.
fn made(options: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    if !judge::need_all(&["qemu-img"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let [raw, path] = ["disk.raw", "disk.vdi"].map(|name| folder.path().join(name));
    std::fs::write(&raw, content()).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path, "vdi"), options);
    Some((folder, path))
}

fn theirs(path: &Path) -> Vec<u8> {
    let out = path.with_extension("theirs");
    judge::qemu_img_convert((path, "vdi"), (&out, "raw"), "");
    std::fs::read(out).unwrap()
}

#[test]
fn dynamic_and_fixed_images_are_read_as_qemu_reads_them() {
    for options in ["", "static=on"] {
        let Some((_folder, path)) = made(options) else { return };
        let disk = Image::open(Disk::new(FileDisk::open(&path).unwrap())).unwrap().into_disk();
        let expected = theirs(&path);
        assert!(expected.starts_with(&content()));
        conformance::read(&disk, &expected);
        dissect::reads("vdi", &path, None, &expected);
    }
}

/// What VirtualBox may write and QEMU does not: other blocks, bytes before each, blocks in any order.
#[test]
fn other_layouts_of_virtualbox() {
    let Some((_folder, path)) = made("") else { return };
    let header = std::fs::read(&path).unwrap()[..512].to_vec();
    let (block, extra) = (4096_u32, 512_u32);
    let order = [2_u32, 0xffff_ffff, 0, 0xffff_fffe, 1];
    let mut bytes = header;
    put(&mut bytes, 368, &(u64::from(block) * 4 + 512).to_le_bytes());
    for (at, field) in [(340, 512), (344, 1024), (376, block), (380, extra), (384, 5), (388, 3)] {
        put(&mut bytes, at, &field.to_le_bytes());
    }
    order.iter().for_each(|entry| bytes.extend(entry.to_le_bytes()));
    bytes.resize(1024, 0);
    for number in 1..=3 {
        bytes.extend(vec![0xee; extra as usize]);
        bytes.extend(vec![number; block as usize]);
    }
    let disk = Image::open(Disk::new(Memory::new(bytes))).unwrap().into_disk();
    let expected = [3, 0, 1, 0, 2].map(|byte| vec![byte; block as usize]).concat();
    conformance::read(&disk, &expected[..4 * 4096 + 512]);
}

/// As a snapshot of VirtualBox makes it: blocks that were written, zeroed, and not touched since.
#[test]
fn differencing_images_read_from_their_parent() {
    let Some((folder, parent)) = made("") else { return };
    let good = std::fs::read(&parent).unwrap();
    let child = folder.path().join("Snapshots.vdi");
    let map = u32::from_le_bytes(good[340..344].try_into().unwrap()) as usize;
    let mut bytes = good.clone();
    bytes[76..80].copy_from_slice(&4_u32.to_le_bytes());
    // The parent's ids, and others of its own.
    bytes.copy_within(392..424, 424);
    bytes[392..424].fill(9);
    // Block 2 is the child's own, 4 is zeroed, and the rest is the parent's.
    let (two, size) = (u32::from_le_bytes(bytes[map + 8..map + 12].try_into().unwrap()) as usize, 1 << 20);
    let data = u32::from_le_bytes(bytes[344..348].try_into().unwrap()) as usize + two * size;
    bytes[data..data + size].fill(0x77);
    bytes[map..map + 4].fill(0xff);
    bytes[map + 16..map + 20].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
    std::fs::write(&child, bytes).unwrap();
    let mut expected = theirs(&parent);
    expected[2 * size..3 * size].fill(0x77);
    expected[4 * size..5 * size].fill(0);

    let allowed = Backing::AllowIn(folder.path().to_owned());
    let open = |backing: &Backing| image::vdi::FORMAT.open(&child, backing, &block::Silent);
    let content = open(&allowed).unwrap();
    let names: Vec<_> = content.layers.iter().map(|layer| layer.name).collect();
    assert_eq!((names, content.files.len()), (vec!["vdi", "parent", "vdi"], 2));
    conformance::read(&content.disk, &expected);
    dissect::reads("vdi", &child, Some(&parent), &expected);

    assert_eq!(open(&Backing::Deny).unwrap_err().kind(), ErrorKind::Refused);
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(open(&Backing::AllowIn(elsewhere.path().to_owned())).unwrap_err().kind(), ErrorKind::Refused);
    let mut written = good.clone();
    put(&mut written, 408, &[1; 16]);
    std::fs::write(&parent, written).unwrap();
    assert_eq!(open(&allowed).unwrap_err().kind(), ErrorKind::Corrupt);
    std::fs::remove_file(&parent).unwrap();
    assert_eq!(open(&allowed).unwrap_err().kind(), ErrorKind::Refused);
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

#[test]
fn fields_that_contradict_each_other_or_the_file_are_refused() {
    let Some((_folder, path)) = made("") else { return };
    let good = std::fs::read(&path).unwrap();
    type Case<'a> = (usize, &'a [u8], ErrorKind, &'a str);
    let cases: [Case<'_>; 21] = [
        (64, &[0], ErrorKind::Corrupt, "magic number"),
        (68, &[1, 0, 0, 0], ErrorKind::Unsupported, "version 0.1"),
        (68, &[0, 0, 2, 0], ErrorKind::Unsupported, "version 2.0"),
        (72, &[40, 1, 0, 0], ErrorKind::Corrupt, "296 bytes long"),
        (76, &[3], ErrorKind::Unsupported, "undo images"),
        (76, &[4], ErrorKind::Refused, "snapshot"),
        (76, &[5], ErrorKind::Unsupported, "type 5"),
        (340, &[0, 0, 0, 0], ErrorKind::Corrupt, "between the header"),
        (340, &[0, 0, 0, 0x10], ErrorKind::Corrupt, "between the header"),
        (340, &[0xd8, 1, 0, 0], ErrorKind::Corrupt, "start with a sector"),
        (344, &[0, 2, 0, 0], ErrorKind::Corrupt, "between the header"),
        (360, &[0, 16, 0, 0], ErrorKind::Corrupt, "sectors of 4096"),
        (368, &[0xff; 8], ErrorKind::Corrupt, "a disk of"),
        (368, &[0, 0, 0x70, 0, 0, 0, 0, 0], ErrorKind::Corrupt, "7 blocks"),
        (376, &[1, 0, 16, 0], ErrorKind::Corrupt, "blocks of"),
        (376, &[0, 0, 0, 0], ErrorKind::Corrupt, "blocks of 0"),
        (376, &[0, 1, 0, 0], ErrorKind::Corrupt, "blocks of 256"),
        (384, &[1, 0, 0, 0], ErrorKind::Corrupt, "the map is for 1"),
        (388, &[9, 0, 0, 0], ErrorKind::Corrupt, "9 blocks are allocated"),
        (424, &[1; 16], ErrorKind::Refused, "snapshot"),
        (440, &[1; 16], ErrorKind::Refused, "snapshot"),
    ];
    for (at, field, kind, text) in cases {
        let mut bytes = good.clone();
        put(&mut bytes, at, field);
        let error = Image::open(Disk::new(Memory::new(bytes))).unwrap_err();
        assert_eq!(error.kind(), kind, "{at}: {error}");
        assert!(error.to_string().contains(text), "{at}: {error}");
    }
    for len in [0, 64, 455, 513] {
        let error = Image::open(Disk::new(Memory::new(good[..len].to_vec()))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{len}: {error}");
    }
}

#[test]
fn blocks_that_are_not_there_are_said_to_be_so() {
    let Some((_folder, path)) = made("") else { return };
    let good = std::fs::read(&path).unwrap();
    let map = u32::from_le_bytes(good[340..344].try_into().unwrap()) as usize;
    let mut wild = good.clone();
    put(&mut wild, map, &[0, 0, 0, 0x70]);
    let cut = good[..good.len() - (1 << 20)].to_vec();
    for (bytes, at, text) in [(wild, 0, "which can have"), (cut, 4 << 20, "past the end of the file")] {
        let disk = Image::open(Disk::new(Memory::new(bytes))).unwrap().into_disk();
        let error = disk.read_vec(at, 512).unwrap_err();
        assert_eq!((error.kind(), error.layer()), (ErrorKind::Corrupt, "vdi"), "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(disk.extents(0..disk.size()).any(|extent| extent.is_err()));
    }
}
