//! Fixed VHDs, judged by qemu-img.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use block::{Chunk, Disk, ErrorKind, FileDisk, Memory, Sink};
use image::Output;
use image::vhd::{self, FixedSink, Identity};
use testimages::judge;

const IDENTITY: Identity = Identity { uuid: *b"refloat identity", timestamp: 800_000_000 };

/// A VHD of a disk of `size` bytes that is empty but for its first and last bytes.
fn write(path: &Path, size: u64) {
    let sink = FixedSink::create(&Output::new(path), size, IDENTITY).unwrap();
    sink.put(Chunk::Data { offset: 0, bytes: b"first" }).unwrap();
    sink.put(Chunk::Data { offset: size - 4, bytes: b"last" }).unwrap();
    assert!(!path.exists(), "must not look finished");
    let receipt = Box::new(sink).finish(None).unwrap();
    assert_eq!(receipt.written, 9);
}

fn file(path: &Path) -> Disk {
    Disk::new(FileDisk::open(path).unwrap())
}

/// Sizes that are not whole cylinders and not whole MiB, past every branch of the geometry, and beyond its
/// 127 GiB.
const SIZES: [u64; 10] = [
    1,
    (20 << 20) + 512,
    (64 << 20) - 512,
    64 << 20,
    (511 << 20) + 12345,
    1 << 30,
    (127 << 30) + 7,
    2040 << 30,
    (2 << 40) + (5 << 20),
    32 << 40,
];

#[test]
fn qemu_sees_the_whole_disk_whatever_its_size() {
    // tmpfs: ext4 has no files of 32 TiB.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    for size in SIZES.into_iter().filter(|size| *size > 8) {
        let path = folder.path().join("disk.vhd");
        write(&path, size);
        let padded = size.next_multiple_of(1 << 20);
        assert_eq!(path.metadata().unwrap().size(), padded + 512);
        assert!(path.metadata().unwrap().blocks() < 64, "must be sparse");

        let disk = vhd::open(file(&path)).unwrap();
        assert_eq!(disk.size(), padded);
        let mut last = [0; 4];
        disk.read_at(&mut last, size - 4).unwrap();
        assert_eq!(&last, b"last");
        assert_eq!(vhd::check(&path).unwrap().findings.iter().filter(|f| !f.ok && f.id != "size").count(), 0);

        // Larger ones than 2040 GiB qemu does not open.
        if padded <= 2040 << 30 && judge::need("qemu-img").is_some() {
            let info = judge::qemu_img_info(&path, "vpc");
            assert_eq!(info["virtual-size"].as_u64(), Some(padded), "size {size}");
            assert_eq!(info["format"].as_str(), Some("vpc"));
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn qemu_reads_the_same_content() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (vhd, raw) = (folder.path().join("disk.vhd"), folder.path().join("disk.raw"));
    let size = (37 << 20) + 4096;
    write(&vhd, size);
    let mut bytes = vec![0; 38 << 20];
    bytes[..5].copy_from_slice(b"first");
    bytes[size as usize - 4..size as usize].copy_from_slice(b"last");
    std::fs::write(&raw, bytes).unwrap();
    judge::qemu_img_compare((&vhd, "vpc"), (&raw, "raw"));
}

#[test]
fn our_footer_differs_from_qemus_in_identity_and_geometry_only() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, theirs) = (folder.path().join("disk.raw"), folder.path().join("theirs.vhd"));
    for size in [64_u64 << 20, 513 << 20, 5 << 30, 127 << 30] {
        std::fs::File::create(&raw).unwrap().set_len(size).unwrap();
        judge::qemu_img_convert((&raw, "raw"), (&theirs, "vpc"), "subformat=fixed,force_size=on");
        assert!(vhd::check(&theirs).unwrap().well_formed());
        let ours = folder.path().join(format!("ours-{size}.vhd"));
        write(&ours, size);
        let footer = |path: &Path| {
            let mut footer = file(path).read_vec(size, 512).unwrap();
            footer[24..28].fill(0); // time
            footer[32..36].fill(0); // creator version
            footer[56..60].fill(0); // geometry: with force_size, qemu always writes the largest
            footer[64..84].fill(0); // checksum, id
            footer
        };
        assert_eq!(footer(&ours), footer(&theirs));
    }
}

#[test]
fn our_geometry_is_qemus() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, theirs) = (folder.path().join("disk.raw"), folder.path().join("theirs.vhd"));
    for size in [1_u64 << 20, 64 << 20, 200 << 20, 513 << 20, 5 << 30, 60 << 30, 127 << 30] {
        std::fs::File::create(&raw).unwrap().set_len(size).unwrap();
        // Without force_size, qemu rounds the disk up to whole cylinders.
        judge::qemu_img_convert((&raw, "raw"), (&theirs, "vpc"), "subformat=fixed");
        let theirs = vhd::Fixed::open(file(&theirs)).unwrap();
        assert_eq!(vhd::Geometry::of_size(theirs.footer().size()), theirs.footer().geometry());
    }
}

#[test]
fn other_types_are_refused_by_name() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, path) = (folder.path().join("disk.raw"), folder.path().join("disk.vhd"));
    std::fs::File::create(&raw).unwrap().set_len(4 << 20).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path, "vpc"), "subformat=dynamic");
    let error = vhd::open(file(&path)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("dynamic"), "{error}");
    let report = vhd::check(&path).unwrap();
    assert!(report.findings.iter().any(|f| f.id == "type" && !f.ok));
}

#[test]
fn equal_sources_make_equal_files() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.vhd"), folder.path().join("b.vhd"));
    write(&a, 3 << 20);
    write(&b, 3 << 20);
    assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
}

#[test]
fn an_unfinished_vhd_is_no_vhd() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    let sink = FixedSink::create(&Output::new(&path), 3 << 20, IDENTITY).unwrap();
    sink.put(Chunk::Data { offset: 0, bytes: &[1; 4096] }).unwrap();
    // As after a crash: the file is there under its other name, and has no footer.
    let partial = file(&folder.path().join("disk.vhd.partial"));
    assert!(vhd::open(partial).is_err());
    drop(sink);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn chunks_outside_the_disk_and_sizes_outside_the_format_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    for size in [0, (32 << 40) + 1, u64::MAX] {
        let error = FixedSink::create(&Output::new(&path), size, IDENTITY).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let sink = FixedSink::create(&Output::new(&path), 1 << 20, IDENTITY).unwrap();
    for offset in [(1 << 20) - 1, 1 << 20, u64::MAX] {
        let error = sink.put(Chunk::Data { offset, bytes: b"xy" }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
    }
}

#[test]
fn every_damaged_footer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    write(&path, 1 << 20);
    let bytes = std::fs::read(&path).unwrap();
    for bit in 0..512 * 8 {
        let mut bytes = bytes.clone();
        bytes[(1 << 20) + bit / 8] ^= 1 << (bit % 8);
        assert!(vhd::open(Disk::new(Memory::new(bytes))).is_err(), "bit {bit}");
    }
    for cut in [0, 1, 511, 512, 513, 1 << 20] {
        assert!(vhd::open(Disk::new(Memory::new(bytes[..cut].to_vec()))).is_err(), "cut at {cut}");
    }
}
