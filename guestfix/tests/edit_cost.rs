//! What a plan and its edits cost on a large disk: XFS on LVM, 64 GiB.

#![allow(clippy::print_stderr, reason = "what it cost")]

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use guestfix::edit::{Edit, Step};
use guestfix::facts::Machine;
use guestfix::plan::{Identity, plan};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::{Goal, View, apply};
use libdisk::block::testing::count::Count;
use libdisk::block::{FileDisk, Silent};
use testimages::judge::{self, KernelMount};
use testimages::lvm::{self, Devices};
use testimages::synthetic;

mod support;

use support::Place;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 << 30;
const BOOT: Range<u64> = MIB..1025 * MIB;
const PHYSICAL: Range<u64> = 1025 * MIB..SIZE;
/// What the initramfs of a machine with everything in it takes.
const INITRAMFS: usize = 30 << 20;

/// The synthetic guest of the same layout, on a disk of 64 GiB, with a large initramfs and thousands of
/// files; where its root is.
fn enlarged(image: &Path) -> Option<Range<u64>> {
    let small = synthetic::named("rhel-9-lvm").path()?;
    let machine = Tree::open(FileDisk::open(&small).unwrap().disk()).unwrap().machine().clone();
    File::create(image).unwrap().set_len(SIZE).unwrap();
    let mut sfdisk = judge::tool("sfdisk");
    let mut sfdisk = sfdisk.arg("--quiet").arg(image).stdin(Stdio::piped()).spawn().unwrap();
    let table = format!("label: dos\n2048,{},83,*\n{},,8e\n", (BOOT.end - BOOT.start) / 512, BOOT.end / 512);
    sfdisk.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    assert!(sfdisk.wait().unwrap().success());

    let devices = Devices::over(&[(image, PHYSICAL)]);
    devices.lvm("vgcreate", &["rhel", devices.path(0)]);
    for options in [["-L", "60g", "-n", "root"], ["-L", "1g", "-n", "swap"]] {
        devices.lvm("lvcreate", &[&["-an", "-Zn", "-Wn", "rhel"], &options[..]].concat());
    }
    let [(_, root)] = &devices.runs("rhel/root")[..] else { panic!("the root is in pieces") };
    let root = PHYSICAL.start + root.start..PHYSICAL.start + root.end;
    drop(devices);
    fill(image, &BOOT, &small, &machine, "/boot", |boot| {
        let images = fs::read_dir(boot).unwrap().map(|entry| entry.unwrap().path());
        let initramfs: Vec<_> = images.filter(|path| path.extension() == Some("img".as_ref())).collect();
        let [initramfs] = &initramfs[..] else { panic!("{initramfs:?}") };
        File::options().append(true).open(initramfs).unwrap().write_all(&ballast()).unwrap();
    });
    fill(image, &root, &small, &machine, "/", |root| {
        for number in 0..100 {
            let dir = root.join(format!("usr/share/{number}"));
            fs::create_dir_all(&dir).unwrap();
            for file in 0..100 {
                fs::write(dir.join(format!("file-{file}")), vec![b'x'; file * 40]).unwrap();
            }
        }
    });
    Some(root)
}

/// Makes an XFS in a range of the image, and fills it with what the small guest has mounted there, and more.
fn fill(
    image: &Path,
    range: &Range<u64>,
    small: &Path,
    machine: &Machine,
    point: &str,
    more: impl FnOnce(&Path),
) {
    let volume = machine
        .volumes
        .iter()
        .find(|volume| volume.mounted_at.as_deref() == Some(point))
        .expect("the volume");
    let devices = Devices::over(&[(image, range.clone())]);
    let uuid = format!("uuid={}", volume.uuid.as_deref().expect("its UUID"));
    judge::run(judge::tool("mkfs.xfs").args(["-q", "-f", "-m", &uuid]).arg(devices.path(0)));
    drop(devices);
    let from = Place::of(small, machine, volume).mount(volume);
    let to = KernelMount::with_options(image, range.clone(), "rw,nouuid");
    judge::run(judge::tool("cp").arg("-a").arg(from.path().join(".")).arg(to.path()));
    more(to.path());
}

/// An archive of one file that does not compress.
fn ballast() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = Vec::with_capacity(INITRAMFS + 8);
    let mut state = 1_u64;
    while bytes.len() < INITRAMFS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    fs::write(folder.path().join("firmware"), bytes).unwrap();
    let pack = "echo firmware | cpio --quiet -o -H newc | gzip -1";
    judge::run(judge::tool("sh").args(["-c", pack]).current_dir(folder.path())).stdout
}

#[test]
fn an_initramfs_of_30_mib_on_64_gib_of_xfs_on_lvm() {
    if !lvm::need() || !judge::need_all(&["mkfs.xfs", "xfs_repair", "sfdisk", "cpio", "gzip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.raw");
    let Some(root) = enlarged(&image) else { return };

    let goal = Goal::new(&azure::GEN1);
    let mut best: Option<(Duration, u64)> = None;
    let mut result = None;
    // The best of three: the machine has other things to do, too.
    for _ in 0..3 {
        let count = Count::default();
        let disk = count.disk(&FileDisk::open(&image).unwrap().disk());
        let start = Instant::now();
        let tree = Tree::open(disk.clone()).unwrap();
        let identity = [Identity::of("disk.raw", &disk).unwrap()];
        let plan = plan(&tree, &identity, &goal).unwrap();
        let sealed = apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0);
        let cost = (start.elapsed(), count.reads().bytes);
        best = Some(best.map_or(cost, |best| best.min(cost)));
        result = Some((plan, sealed));
    }
    let ((took, read), (plan, sealed)) = (best.unwrap(), result.unwrap());
    eprintln!("a plan and its edits on 64 GiB: {took:?}, {} MiB read", read >> 20);
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    assert!(read < 200 << 20, "{read} bytes were read");

    // It was the whole job, and well done.
    let path = |step: &Step| match &step.edit {
        Edit::PutFile { path, .. } => Some(path.clone()),
        _ => None,
    };
    let paths: Vec<_> = plan.steps.iter().filter_map(path).collect();
    let initramfs = paths.iter().find(|path| path.ends_with(".img")).expect("the initramfs is changed");
    assert!(paths.iter().any(|path| path.starts_with("/etc/")), "{paths:?}");
    let expected = Tree::open(sealed.disk()).unwrap().read(initramfs).unwrap().unwrap();
    assert!(expected.len() > INITRAMFS, "{} bytes", expected.len());
    let target = FileDisk::open_mut(&image).unwrap().disk_mut();
    sealed.merge_into(&target).unwrap();
    target.flush().unwrap();
    for range in [&BOOT, &root] {
        let devices = Devices::over(&[(&image, range.clone())]);
        judge::run(judge::tool("xfs_repair").arg("-n").arg(devices.path(0)));
    }
    let boot = KernelMount::with_options(&image, BOOT, "ro,nouuid");
    let there = fs::read(boot.path().join(initramfs.trim_start_matches("/boot/"))).unwrap();
    assert!(*there == *expected, "the kernel reads another initramfs");
}
