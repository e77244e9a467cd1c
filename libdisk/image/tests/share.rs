//! File systems whose files share extents: a copy moves no bytes there. The kernel and qemu-img are the
//! judges.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use block::testing::pattern::Pattern;
use block::{CopyOptions, Disk, Receipt, Silent, Sink, copy};
use image::qcow2::{Backing, Image};
use image::raw::{self, RawSink};
use image::vhd::{FixedSink, Identity};
use image::{Durability, Output};
use testimages::judge::{self, KernelMount};

const SIZE: u64 = 24 << 20;
const VOLUME: u64 = 320 << 20;
const IDENTITY: Identity = Identity { uuid: [3; 16], timestamp: 9 };

fn copied(from: &Disk, sink: impl Sink + 'static) -> Receipt {
    copy(from, Box::new(sink), &CopyOptions { threads: 2 }, &Silent).unwrap()
}

fn vhd(path: &Path) -> FixedSink {
    FixedSink::create(&Output::new(path), SIZE, IDENTITY).unwrap()
}

/// How many of a file's extents belong to it alone, and how many do not.
fn extents(path: &Path) -> (usize, usize) {
    let output = judge::run(judge::tool("filefrag").arg("-v").arg(path));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    let (shared, own): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains("shared"));
    (own.len(), shared.len())
}

#[test]
fn vhds_share_the_extents_of_raw_and_plain_qcow2_images() {
    let programs = ["mkfs.xfs", "mkfs.btrfs", "filefrag", "qemu-img"];
    if !judge::need_all(&programs) || !judge::need_kernel_mounts() {
        return;
    }
    for mkfs in ["mkfs.xfs", "mkfs.btrfs"] {
        let volume = tempfile::NamedTempFile::new().unwrap();
        volume.as_file().set_len(VOLUME).unwrap();
        judge::run(judge::tool(mkfs).arg("-q").arg(volume.path()));
        let mount = KernelMount::read_write(volume.path(), 0..VOLUME);
        let at = |name: &str| mount.path().join(name);

        let (raw, qcow2, other) = (at("disk.raw"), at("disk.qcow2"), tempfile::tempdir().unwrap());
        copied(&Disk::new(Pattern::new(SIZE, 7, 0.7)), RawSink::create(&Output::new(&raw), SIZE).unwrap());
        judge::qemu_img_convert((&raw, "raw"), (&qcow2, "qcow2"), "");
        File::open(&qcow2).unwrap().sync_all().unwrap();
        let sources = [
            (&raw, "raw", raw::open(&raw).unwrap()),
            (&qcow2, "qcow2", Disk::new(Image::open(&qcow2, &Backing::Deny).unwrap())),
        ];
        for (path, format, disk) in sources {
            let target = at(&format!("from-{format}.vhd"));
            let receipt = copied(&disk, vhd(&target));
            assert_eq!(receipt.written, 0, "{mkfs}, {format}");
            assert!(receipt.shared > SIZE / 4 && receipt.shared <= SIZE, "{mkfs}, {format}: {receipt:?}");
            judge::qemu_img_compare((path, format), (&target, "vpc"));
            let (own, shared) = extents(&target);
            assert!(
                own <= 1 && shared > 1,
                "{mkfs}, {format}: {own} extents beside the footer are no one else's"
            );
            let (theirs, ours) = (path.metadata().unwrap().blocks(), target.metadata().unwrap().blocks());
            assert!(ours <= theirs + 8, "{mkfs}, {format}: holes were filled, {theirs} blocks became {ours}");

            // On another file system the bytes have to be moved.
            let elsewhere = other.path().join(format);
            let output = Output { durability: Durability::Buffered, ..Output::new(&elsewhere) };
            let receipt = copied(&disk, FixedSink::create(&output, SIZE, IDENTITY).unwrap());
            assert!(receipt.shared == 0 && receipt.written > SIZE / 4, "{mkfs}, {format}: {receipt:?}");
            judge::qemu_img_compare((&target, "vpc"), (&elsewhere, "vpc"));
        }
    }
}
