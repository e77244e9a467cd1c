//! What holds for every sink: nothing looks finished before it is, and equal sources make equal files.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use block::testing::conformance;
use block::testing::fault::Fault;
use block::testing::pattern::Pattern;
use block::{Chunk, CopyOptions, Disk, ErrorKind, FileDisk, Memory, Silent, Sink, copy};
use image::qcow2::{Backing, BackingFile, Image, write_overlay};
use image::raw::{self, RawSink};
use image::transfer::Steady;
use image::vhd::{self, FixedSink, Identity};
use image::{Output, qcow2, vhdx};
use testimages::{dissect, judge};

const SIZE: u64 = (5 << 20) + 512 * 7;
const IDENTITY: Identity = Identity { uuid: [3; 16], timestamp: 9 };

type Create = fn(&Path) -> Box<dyn Sink>;

const SINKS: [(&str, Create); 6] = [
    ("raw", |path| Box::new(RawSink::create(&Output::new(path), SIZE).unwrap())),
    ("vhd", |path| Box::new(FixedSink::create(&Output::new(path), SIZE, IDENTITY).unwrap())),
    ("qcow2", |path| qcow2::create(&Output::new(path), SIZE).unwrap()),
    ("compressed", |path| qcow2::create_compressed(&Output::new(path), SIZE).unwrap()),
    ("vhdx", |path| vhdx::create(&Output::new(path), SIZE, 512, &[7; 32]).unwrap()),
    ("dynamic", |path| vhd::create_dynamic(&Output::new(path), SIZE, IDENTITY).unwrap()),
];

fn source() -> Disk {
    Disk::new(Pattern::new(SIZE, 7, 0.8))
}

fn open(kind: &str, path: &Path) -> Disk {
    match kind {
        "raw" => raw::open(path).unwrap(),
        "vhd" | "dynamic" => vhd::open(Disk::new(FileDisk::open(path).unwrap())).unwrap(),
        "vhdx" => vhdx::Image::open(path, &Backing::Deny).unwrap().into_disk(),
        _ => Disk::new(Image::open(path, &Backing::Deny).unwrap()),
    }
}

/// The source, and the padding that a VHD adds.
fn expected(kind: &str) -> Vec<u8> {
    let size = if kind == "vhd" { SIZE.next_multiple_of(1 << 20) } else { SIZE };
    let mut bytes = vec![0; size as usize];
    source().read_at(&mut bytes[..SIZE as usize], 0).unwrap();
    bytes
}

#[test]
fn what_was_written_reads_back_and_is_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, create) in SINKS {
        let paths = [1, 2, 5].map(|threads| {
            let path = folder.path().join(format!("{threads}.{kind}"));
            let receipt = copy(&source(), create(&path), &CopyOptions { threads }, &Silent).unwrap();
            assert!(receipt.written < SIZE, "zeros must not be written");
            path
        });
        conformance::read(&open(kind, &paths[0]), &expected(kind));
        match kind {
            "raw" => {}
            "vhd" | "dynamic" => dissect::reads("vhd", &paths[0], None, &expected(kind)),
            // It reads none that are packed by zstd.
            "compressed" => {}
            kind => dissect::reads(kind, &paths[0], None, &expected(kind)),
        }
        let first = std::fs::read(&paths[0]).unwrap();
        assert!(paths.iter().all(|path| std::fs::read(path).unwrap() == first), "{kind}");
    }
}

/// Disks of all sizes, with data at both ends and nothing between, and with nothing at all.
#[test]
fn others_read_what_we_write() {
    if !judge::need_all(&["qemu-img", "qemu-io"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let sizes = [512, SIZE, (2 << 20) + 512, 2039 << 30, (5 << 40) + (3 << 20), 64 << 40_u64];
    for (size, format) in sizes.into_iter().flat_map(|size| [(size, "vpc"), (size, "vhdx")]) {
        for data in [false, true] {
            let output = Output::replacing(&path);
            let sink = match format {
                "vpc" if size > 2040 << 30 => continue,
                "vpc" => vhd::create_dynamic(&output, size, IDENTITY).unwrap(),
                _ => vhdx::create(&output, size, 512, &[7; 32]).unwrap(),
            };
            if data {
                sink.put(Chunk::Data { offset: 0, bytes: &[1; 512] }).unwrap();
                sink.put(Chunk::Data { offset: size - 512, bytes: &[2; 512] }).unwrap();
            }
            sink.finish(None).unwrap();
            assert!(path.metadata().unwrap().blocks() * 512 < 24 << 20, "must be sparse");
            if format == "vhdx" {
                judge::qemu_img_check(&path, "vhdx");
            }
            let info = judge::qemu_img_info(&path, format);
            assert_eq!(info["virtual-size"].as_u64(), Some(size), "{format}");
            let mut read = judge::tool("qemu-io");
            let (first, last) = if !data {
                (0, 0)
            } else if size == 512 {
                (2, 2)
            } else {
                (1, 2)
            };
            read.args(["-r", "-f", format, "-c", &format!("read -P {first} 0 512")]);
            read.args(["-c", &format!("read -P {last} {} 512", size - 512)]);
            let told = judge::run(read.arg(&path)).stdout;
            assert!(!String::from_utf8_lossy(&told).contains("failed"), "{format}, {size}: {told:?}");
            let disk = open(if format == "vpc" { "vhd" } else { "vhdx" }, &path);
            assert_eq!((disk.size(), disk.read_vec(0, 1).unwrap()), (size, vec![first]));
        }
    }
    for size in [0, (64 << 40) + 1, u64::MAX] {
        let refused = vhdx::create(&Output::replacing(&path), size, 512, &[7; 32]).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let refused = vhd::create_dynamic(&Output::replacing(&path), size, IDENTITY).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }
}

/// All identifiers of a VHDX come from the source's identity.
#[test]
fn a_vhdx_of_sectors_of_4096_bytes_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    let sink = vhdx::create(&Output::new(&path), SIZE, 4096, &[7; 32]).unwrap();
    copy(&source(), sink, &CopyOptions { threads: 1 }, &Silent).unwrap();
    let disk = open("vhdx", &path);
    assert_eq!((disk.sector_size(), disk.size()), (4096, SIZE.next_multiple_of(4096)));
    let mut theirs = ::vhdx::VhdxReader::open(&path).unwrap();
    assert_eq!(theirs.logical_sector_size(), 4096);
    let mut bytes = vec![0; disk.size() as usize];
    std::io::Read::read_exact(&mut theirs, &mut bytes).unwrap();
    assert!(bytes.starts_with(&expected("vhdx")));
}

/// The copy fails at every one of its reads: whatever had been written by then, nothing is left that looks
/// finished.
#[test]
fn a_copy_that_fails_anywhere_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, create) in SINKS {
        let path = folder.path().join(format!("disk.{kind}"));
        let mut failed = 0;
        for number in 0.. {
            let faulty = Fault::new().reads(number..u64::MAX).disk(&source());
            let done = copy(&faulty, create(&path), &CopyOptions { threads: 2 }, &Silent);
            if done.is_ok() {
                break;
            }
            failed += 1;
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{kind}, read {number}");
        }
        assert!(failed > 1 && path.exists());
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_overlay_that_fails_anywhere_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("overlay.qcow2");
    let backing = BackingFile { path: Path::new("base.raw"), format: "raw" };
    for number in 0.. {
        let faulty = Fault::new().reads(number..u64::MAX).disk(&Disk::new(Memory::new(expected("raw"))));
        let overlay = block::Overlay::new(faulty).unwrap();
        for place in (0..SIZE - 5000).step_by(1 << 20) {
            if overlay.writer().write_at(&[1; 4096], place.next_multiple_of(512)).is_err() {
                break;
            }
        }
        let Ok(sealed) = overlay.seal() else { continue };
        match write_overlay(&sealed, &Output::new(&path), &backing, &Silent) {
            Ok(_) if number > 0 => return,
            _ => assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "read {number}"),
        }
    }
}

/// Half of an old source and half of a new one is neither: the copy ends with an error, and leaves nothing.
#[test]
fn a_source_that_changes_meanwhile_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["source.raw", "target.raw"].map(|name| folder.path().join(name));
    std::fs::write(&from, vec![7; 4 << 20]).unwrap();
    let copied = |change: &dyn Fn()| {
        let steady = Steady::of([from.as_path()]).unwrap();
        let sink = RawSink::create(&Output::new(&to), 4 << 20).unwrap();
        change();
        copy(&raw::open(&from).unwrap(), steady.guard(Box::new(sink)), &CopyOptions::default(), &Silent)
    };
    let write = || {
        let file = std::fs::File::options().write(true).open(&from).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"new", 4096).unwrap();
    };
    let error = copied(&write).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    assert!(error.to_string().contains("source.raw") && !to.exists(), "{error}");
    copied(&|| ()).unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().len(), 4 << 20);
}
