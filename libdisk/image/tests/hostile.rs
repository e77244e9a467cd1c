//! Damaged images: an error or a disk, never a panic, a hang, or memory without bounds.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use block::{Concat, Disk, Memory as Bytes};
use image::Backing;
use image::qcow2::{self, Image, Snapshots};
use image::vhd::{FixedSink, Identity};
use image::{Output, vdi, vhd, vhdx, vmdk};
use testimages::hostile::{Memory, Rng, cases, damage, mangle};
use testimages::judge;
use testimages::vhdx::{Change, Patch};

#[global_allocator]
static MEMORY: Memory = Memory;

/// For each format.
const CASES: u64 = 10_000;
/// What all tests of this file may hold together: five images, their caches (6 MiB), the buffers of whole
/// reads.
const CEILING: usize = 64 << 20;
const SIZE: usize = 256 << 10;
const SECTOR: usize = 512;

/// A third each of random bytes, of text, and of zeros.
fn content() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    let mut random = Rng::with_seed(1);
    for (at, unit) in bytes.chunks_mut(20 << 10).enumerate() {
        match at % 3 {
            0 => random.fill(unit),
            1 => unit.iter_mut().zip(0..).for_each(|(byte, n)| *byte = (n / 97 + at) as u8),
            _ => {}
        }
    }
    bytes
}

/// Reads as a copy does, and as a file system does.
fn read(disk: &Disk) {
    let mut buf = vec![0; 64 << 10];
    for place in [0, 1000, 100_000, disk.size().saturating_sub(64 << 10)] {
        let _ = disk.read_at(&mut buf, place);
    }
    let _ = disk.extents(0..disk.size().min(1 << 30)).take(1000).filter(Result::is_err).count();
    let _ = disk.file_range(0..disk.size().min(1 << 20));
}

fn damaged_qcow2(options: &[&str]) {
    if !judge::need_all(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [raw, path] = ["disk.raw", "disk.qcow2"].map(|name| folder.path().join(name));
    std::fs::write(&raw, content()).unwrap();
    judge::run(
        Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .args(options)
            .args([&raw, &path]),
    );
    let good = std::fs::read(&path).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let mut opened = 0;
    cases(&format!("qcow2 {options:?}"), CASES / 4, CEILING, |random| {
        let mut bytes = good.clone();
        // The header, or the tables behind it.
        let hot = if random.bool() { 112 } else { 40_000 };
        damage(random, &mut bytes, 0..hot);
        if random.u8(..8) == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        }
        replace(&file, &bytes);
        if let Ok(image) = Image::open(&path, &Backing::Deny) {
            opened += 1;
            read(&Disk::new(image));
        }
    });
    assert!(opened > 100, "no damage left anything to read");
}

/// Not by emptying the file first: ext4 would wait for the disk each time.
fn replace(file: &File, bytes: &[u8]) {
    file.write_all_at(bytes, 0).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

#[test]
fn damaged_qcow2_images() {
    damaged_qcow2(&["-o", "cluster_size=4k"]);
}

#[test]
fn damaged_qcow2_images_of_zlib() {
    damaged_qcow2(&["-c", "-o", "cluster_size=4k"]);
}

#[test]
fn damaged_qcow2_images_of_zstd() {
    damaged_qcow2(&["-c", "-o", "cluster_size=4k,compression_type=zstd"]);
}

#[test]
fn damaged_qcow2_images_with_subclusters() {
    damaged_qcow2(&["-o", "extended_l2=on,cluster_size=16k"]);
}

/// The table of internal snapshots, and the tables of each.
#[test]
fn damaged_internal_snapshots_of_qcow2() {
    if !judge::need_all(&["qemu-img", "qemu-io"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [raw, path] = ["disk.raw", "disk.qcow2"].map(|name| folder.path().join(name));
    std::fs::write(&raw, content()).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path, "qcow2"), "cluster_size=4k");
    for name in ["one", "two"] {
        judge::run(Command::new("qemu-img").args(["snapshot", "-c", name]).arg(&path));
        judge::run(Command::new("qemu-io").args(["-f", "qcow2", "-c", "write -P 9 0 100k"]).arg(&path));
    }
    let good = std::fs::read(&path).unwrap();
    let table = u64::from_be_bytes(good[64..72].try_into().unwrap()) as usize;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let (mut opened, mut read_anyway) = (0, 0);
    cases("internal snapshots of qcow2", CASES / 4, CEILING, |random| {
        let mut bytes = good.clone();
        // Where the header tells of them, the table, or the tables that it names.
        let hot = match random.u8(..4) {
            0 => 60..72,
            1 => 0..good.len(),
            _ => table..table + 160,
        };
        damage(random, &mut bytes, hot);
        if random.u8(..8) == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        }
        replace(&file, &bytes);
        let _ = Snapshots::of(&path).map(|snapshots| snapshots.text());
        for named in ["1", "two"] {
            if let Ok(content) = qcow2::open_snapshot(&path, named, &Backing::Deny) {
                opened += 1;
                read(&content.disk);
            }
        }
        read_anyway += u32::from(Image::open(&path, &Backing::Deny).is_ok());
    });
    assert!(opened > 100, "no damage left anything to read");
    assert!(read_anyway > 1000, "a damaged table of snapshots keeps the active state from being read");
}

#[test]
fn damaged_vdis() {
    if !judge::need_all(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [raw, path] = ["disk.raw", "disk.vdi"].map(|name| folder.path().join(name));
    // Three blocks, the second of them zeros.
    let sparse = [content(), vec![0; (2 << 20) - SIZE], content()].concat();
    std::fs::write(&raw, sparse).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path, "vdi"), "");
    let mut good = std::fs::read(&path).unwrap();
    // What is in the blocks decides nothing: the first pages will do.
    good.truncate(64 << 10);
    let mut opened = 0;
    cases("vdi", CASES, CEILING, |random| {
        let mut bytes = good[..good.len().min(1 << random.u32(8..18))].to_vec();
        // The header from its signature on, or the map.
        let hot = if random.bool() { 64..472 } else { 512..528 };
        damage(random, &mut bytes, hot);
        if let Ok(image) = vdi::Image::open(Disk::new(Bytes::new(bytes))) {
            opened += 1;
            read(&image.into_disk());
        }
    });
    assert!(opened > 100, "no damage left anything to read");
}

fn damaged_vmdk(options: &str, hot: std::ops::Range<usize>) {
    if !judge::need_all(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [raw, path] = ["disk.raw", "disk.vmdk"].map(|name| folder.path().join(name));
    std::fs::write(&raw, content()).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path, "vmdk"), options);
    let good = std::fs::read(&path).unwrap();
    let mut opened = 0;
    cases(&format!("vmdk {options}"), CASES / 4, CEILING, |random| {
        let mut bytes = good.clone();
        // The header, or the directories and tables.
        let place = if random.bool() { 0..80 } else { hot.clone() };
        damage(random, &mut bytes, place);
        if random.u8(..8) == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        }
        if let Ok(image) = vmdk::Image::open_alone(Disk::new(Bytes::new(bytes))) {
            opened += 1;
            read(&image.disk());
        }
    });
    assert!(opened > 100, "no damage left anything to read");
}

#[test]
fn damaged_vmdks() {
    damaged_vmdk("", 512..26 << 10);
}

#[test]
fn damaged_streams() {
    damaged_vmdk("subformat=streamOptimized", 512..80 << 10);
}

/// A text that names files: none but those of the folder is opened, and no text makes it slow.
#[test]
fn damaged_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vmdk");
    std::fs::write(folder.path().join("a.raw"), content()).unwrap();
    let good = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"custom\"\n\
        RW 100 FLAT \"a.raw\" 0\nRW 9 ZERO\nRW 100 FLAT \"a.raw\" 7\n";
    let gate = Backing::AllowIn(folder.path().to_owned());
    let mut opened = 0;
    cases("vmdk descriptor", CASES / 4, CEILING, |random| {
        let mut bytes = good.as_bytes().to_vec();
        mangle(random, &mut bytes, 75..160);
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(image) = vmdk::Image::open(&path, &gate) {
            opened += 1;
            assert!(image.files().iter().all(|file| file.ends_with("a.raw") || *file == path));
            read(&image.disk());
        }
    });
    assert!(opened > 100, "no damage left anything to read");
}

fn fixed_vhd(path: &Path) -> Vec<u8> {
    let identity = Identity { uuid: [7; 16], timestamp: 1 };
    let sink = FixedSink::create(&Output::new(path), 1 << 20, identity).unwrap();
    block::Sink::finish(Box::new(sink), None).unwrap();
    std::fs::read(path).unwrap()
}

/// The sum of the footer's bytes but those of the sum itself, inverted: so that the damage gets past it.
fn fix_checksum(footer: &mut [u8]) {
    footer[64..68].fill(0);
    let sum = footer.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
}

#[test]
fn damaged_vhds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    // Of the disk its last sector will do: a footer tells of a size, the file has it or not.
    let whole = fixed_vhd(&path);
    let mut opened = 0;
    cases("vhd", CASES, CEILING, |random| {
        let len = [2 * SECTOR, 64 << 10, whole.len()][random.usize(..3)];
        let mut bytes = whole[whole.len() - len..].to_vec();
        let footer = bytes.len() - SECTOR;
        // A copy at the start, as other types than the fixed one have it.
        if random.bool() {
            bytes.copy_within(footer.., 0);
        }
        // The fields; what is behind them is reserved.
        damage(random, &mut bytes[footer..], 0..85);
        if random.bool() {
            fix_checksum(&mut bytes[footer..]);
        }
        if random.u8(..8) == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        }
        if let Ok(image) = vhd::open(Disk::new(Bytes::new(bytes.clone()))) {
            opened += 1;
            assert_eq!(image.size() + SECTOR as u64, bytes.len() as u64);
            read(&image);
        }
        if random.u8(..8) == 0 {
            std::fs::write(&path, &bytes).unwrap();
            let _ = vhd::check(&path);
        }
    });
    assert!(opened > 100, "no damage left anything to read");
}

/// `bytes` in place of what `disk` has at `at`.
fn patched(disk: &Disk, at: usize, bytes: Vec<u8>) -> Disk {
    let (start, end) = (at as u64, (at + bytes.len()) as u64);
    let parts = vec![
        disk.slice(0..start).unwrap(),
        Disk::new(Bytes::new(bytes)),
        disk.slice(end..disk.size()).unwrap(),
    ];
    Disk::new(Concat::new(parts).unwrap())
}

/// An image of [`content`] of the format `format`, of two blocks and a hole.
fn sparse(format: &str, options: &str) -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    if !judge::need_all(&["qemu-img"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let [raw, path] = ["disk.raw", "disk.image"].map(|name| folder.path().join(name));
    std::fs::write(&raw, [content(), vec![0; (4 << 20) - SIZE], content()].concat()).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path, format), options);
    Some((folder, path))
}

#[test]
fn damaged_vhdxs() {
    let Some((_folder, path)) = sparse("vhdx", "block_size=1M") else { return };
    let mut patch = Patch::of(&path);
    let (bat, metadata, (log, _)) = (patch.bat, patch.metadata(), patch.log());
    patch.set_log_guid([5; 16]);
    let changes = [
        Change::Zero(bat as u64 + 4096, 8192),
        Change::Data(bat as u64, patch.bytes[bat..bat + 4096].to_vec()),
    ];
    let entry = patch.put_log(0, [5; 16], 1, 0, &changes);
    let good = Disk::new(Bytes::new(patch.bytes.clone()));
    // Where decisions are, how long what a checksum is of is, and how much of it is worth damage.
    let areas = [
        (64 << 10, 4096, 80),
        (128 << 10, 4096, 80),
        (192 << 10, 64 << 10, 80),
        (256 << 10, 64 << 10, 80),
        (metadata, 4096, 32 * 6),
        (metadata + (64 << 10), 4096, 64),
        (bat, 4096, 64),
        (log, entry, 160),
    ];
    let mut opened = 0;
    cases("vhdx", CASES / 2, CEILING, |random| {
        let mut disk = good.clone();
        for _ in 0..=random.usize(..2) {
            let (at, len, hot) = areas[random.usize(..areas.len())];
            let mut bytes = disk.read_vec(at as u64, len).unwrap();
            damage(random, &mut bytes[..hot], 0..hot);
            if random.u8(..4) > 0 && ![metadata, metadata + (64 << 10), bat].contains(&at) {
                bytes[4..8].fill(0);
                let sum = crc32c::crc32c(&bytes);
                bytes[4..8].copy_from_slice(&sum.to_le_bytes());
            }
            disk = patched(&disk, at, bytes);
        }
        if random.u8(..8) == 0 {
            disk = disk.slice(0..random.u64(..disk.size())).unwrap();
        }
        if let Ok(image) = vhdx::Image::of(disk) {
            opened += 1;
            read(&image.into_disk());
        }
    });
    assert!(opened > 100, "no damage left anything to read");
}

#[test]
fn damaged_dynamic_vhds() {
    let Some((_folder, path)) = sparse("vpc", "subformat=dynamic,force_size=on") else { return };
    let good = Disk::new(Bytes::new(std::fs::read(&path).unwrap()));
    let mut opened = 0;
    cases("dynamic vhd", CASES / 2, CEILING, |random| {
        let mut disk = good.clone();
        // Both footers, the header, the table and the first bitmap.
        let (at, len, hot, sum) = *random
            .choice(&[
                (0, 512, 85, Some(64)),
                (good.size() as usize - 512, 512, 85, Some(64)),
                (512, 1024, 48, Some(36)),
                (512, 1024, 1024, Some(36)),
                (1536, 1024, 16, None),
            ])
            .unwrap();
        let mut bytes = disk.read_vec(at as u64, len).unwrap();
        damage(random, &mut bytes[..hot], 0..hot);
        if let Some(sum) = sum.filter(|_| random.u8(..4) > 0) {
            bytes[sum..sum + 4].fill(0);
            let right = !bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
            bytes[sum..sum + 4].copy_from_slice(&right.to_be_bytes());
        }
        disk = patched(&disk, at, bytes);
        if random.u8(..8) == 0 {
            disk = disk.slice(0..random.u64(..disk.size())).unwrap();
        }
        if let Ok(disk) = vhd::open(disk) {
            opened += 1;
            read(&disk);
        }
    });
    assert!(opened > 100, "no damage left anything to read");
}
