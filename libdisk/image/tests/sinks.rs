//! What holds for every sink: nothing looks finished before it is, and equal sources make equal files.

use std::path::Path;

use block::testing::conformance;
use block::testing::fault::Fault;
use block::testing::pattern::Pattern;
use block::{CopyOptions, Disk, FileDisk, Memory, Silent, Sink, copy};
use image::qcow2::{Backing, BackingFile, Image, write_overlay};
use image::raw::{self, RawSink};
use image::vhd::{self, FixedSink, Identity};
use image::{Output, qcow2};

const SIZE: u64 = (5 << 20) + 512 * 7;
const IDENTITY: Identity = Identity { uuid: [3; 16], timestamp: 9 };

type Create = fn(&Path) -> Box<dyn Sink>;

const SINKS: [(&str, Create); 3] = [
    ("raw", |path| Box::new(RawSink::create(&Output::new(path), SIZE).unwrap())),
    ("vhd", |path| Box::new(FixedSink::create(&Output::new(path), SIZE, IDENTITY).unwrap())),
    ("qcow2", |path| Box::new(qcow2::Sink::create(&Output::new(path), SIZE).unwrap())),
];

fn source() -> Disk {
    Disk::new(Pattern::new(SIZE, 7, 0.8))
}

fn open(kind: &str, path: &Path) -> Disk {
    match kind {
        "raw" => raw::open(path).unwrap(),
        "vhd" => vhd::open(Disk::new(FileDisk::open(path).unwrap())).unwrap(),
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
        let first = std::fs::read(&paths[0]).unwrap();
        assert!(paths.iter().all(|path| std::fs::read(path).unwrap() == first), "{kind}");
    }
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
