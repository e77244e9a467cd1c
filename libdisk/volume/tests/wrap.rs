//! A bare file system behind a partition table and GRUB, judged by sfdisk, sgdisk, parted, e2fsck and the
//! BIOS's own rules.

use std::path::Path;

use block::{Disk, ErrorKind, FileDisk, Zeros};
use testimages::{judge, loader};
use volume::grub::Grub;
use volume::wrap::{HEAD, head, wrap_bare};
use volume::{Kind, boot};

const SIGNATURE: u32 = 0xEC2D_EB1A;

fn grub() -> Option<Grub> {
    let (boot, core) = loader::grub()?;
    Some(Grub::new(&boot, &core).unwrap())
}

/// An ext4 of this size with a file in it.
fn bare(path: &Path, size: u64) -> Disk {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("file"), "content").unwrap();
    std::fs::File::create(path).unwrap().set_len(size).unwrap();
    judge::run(judge::tool("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).arg(tree.path()).arg(path));
    FileDisk::open(path).unwrap().disk()
}

fn write(disk: &Disk, path: &Path) {
    std::fs::write(path, disk.read_vec(0, usize::try_from(disk.size()).unwrap()).unwrap()).unwrap();
}

fn told(program: &str, arguments: &[&str], path: &Path) -> String {
    let output = judge::run(judge::tool(program).args(arguments).arg(path));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_table_is_what_others_read() {
    if !judge::need_all(&["mke2fs", "e2fsck", "sfdisk", "sgdisk", "parted"]) {
        return;
    }
    let Some(grub) = grub() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (folder.path().join("bare.img"), folder.path().join("disk.img"));
    // the last one with a part of a sector that is no part of the file system
    for size in [16 << 20, (20 << 20) + 4096, (16 << 20) + 100] {
        let disk = bare(&before, size);
        let sectors = size / 512;
        let wrapped = wrap_bare(disk, &head(size, SIGNATURE, &grub).unwrap()).unwrap();
        assert_eq!(wrapped.size(), size + HEAD);
        write(&wrapped, &after);

        let dump = told("sfdisk", &["-d"], &after);
        assert!(dump.contains("label: dos") && dump.contains("label-id: 0xec2deb1a"), "{dump}");
        let lines: Vec<&str> = dump.lines().filter(|line| line.contains("start=")).collect();
        let [line] = lines[..] else { panic!("{dump}") };
        let line = line.replace(' ', "");
        assert!(line.ends_with(&format!("start=2048,size={sectors},type=83,bootable")), "{line}");
        assert!(!told("sfdisk", &["-V"], &after).contains("overlap"));

        let parted =
            told("parted", &["-s", "-m", after.to_str().unwrap(), "unit", "s", "print"], Path::new("free"));
        let partition = format!("1:2048s:{}s:{sectors}s:ext4::boot;", sectors + 2047);
        assert!(parted.contains(":msdos:") && parted.contains(&partition), "{parted}");

        let sgdisk = told("sgdisk", &["-p"], &after);
        let words: Vec<Vec<&str>> = sgdisk.lines().map(|line| line.split_whitespace().collect()).collect();
        let last = (sectors + 2047).to_string();
        assert!(words.iter().any(|words| words.starts_with(&["1", "2048", &last])), "{sgdisk}");

        judge::e2fsck_clean(&after, HEAD);
        let moved = judge::cut(&after, HEAD..HEAD + size);
        assert_eq!(judge::sha256(moved.path()), judge::sha256(&before));
    }
}

/// What our own reader makes of it, and GRUB's images where the setup program of GRUB would put them.
#[test]
fn the_disk_starts_by_bios() {
    let Some(grub) = grub() else { return };
    let size = 16 << 20;
    let head = head(size, SIGNATURE, &grub).unwrap();
    let wrapped = wrap_bare(Disk::new(Zeros::new(size)), &head).unwrap();
    let table = volume::read(&wrapped).unwrap();
    assert_eq!(table.kind, Kind::Mbr { disk_signature: SIGNATURE });
    assert_eq!(table.partitions[0].part_uuid, "ec2deb1a-01");
    let firmware = boot::firmware(&wrapped, &table).unwrap();
    assert!(firmware.bios.likely && !firmware.uefi.likely, "{firmware:?}");
    assert_eq!(firmware.bios.found, ["boot code of GRUB in the MBR", "partition 1 is active"]);
    let (boot_img, core_img) = loader::grub().unwrap();
    let differing: Vec<usize> = (0..440).filter(|&at| head[at] != boot_img[at]).collect();
    assert!(differing.iter().all(|at| [0x64, 0x66, 0x67].contains(at)), "{differing:?}");
    assert_eq!(head[512 + 512..512 + core_img.len()], core_img[512..]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(grub) = grub() else { return };
    let kind = |size: u64| head(size, SIGNATURE, &grub).map(drop).map_err(|error| error.kind());
    assert_eq!(kind((u64::from(u32::MAX) - 2048) * 512), Ok(()));
    for size in [0, 511, (u64::from(u32::MAX) - 2047) * 512, 4 << 40, u64::MAX] {
        assert_eq!(kind(size), Err(ErrorKind::Unsupported), "{size}");
    }
    let size = 16 << 20;
    let head = head(size, SIGNATURE, &grub).unwrap();
    let bare = Disk::new(Zeros::new(size));
    let wrapped = wrap_bare(bare.clone(), &head).unwrap();
    let kind = |disk: Disk, head: &[u8]| wrap_bare(disk, head).unwrap_err().kind();
    assert_eq!(kind(wrapped, &head), ErrorKind::Refused, "twice");
    assert_eq!(kind(Disk::new(Zeros::new(size + 512)), &head), ErrorKind::Refused, "for another disk");
    let smaller = kind(Disk::new(Zeros::new(size - 512)), &head);
    assert!(matches!(smaller, ErrorKind::Refused | ErrorKind::Corrupt), "{smaller:?}");
    let mut long = head.clone();
    long.resize((1 << 20) + 1, 0);
    assert_eq!(kind(bare, &long), ErrorKind::Refused);
}
