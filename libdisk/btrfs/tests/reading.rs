//! What the kernel wrote, we read as the kernel reads it.

#![allow(clippy::print_stderr, reason = "a failed test says which variant it was")]

mod support;

use std::fs;
use std::path::Path;

use block::{DiskMut, FileDisk};
use support::{Image, at, btrfs, content, populate, same};
use testimages::judge;
use testimages::population::pattern;
use vfs::{FileSystem, FsError, State};

/// A name, options of mkfs, options of mount.
type Variant = (&'static str, &'static [&'static str], &'static str);

const VARIANTS: &[Variant] = &[
    ("default", &[], "rw"),
    ("zlib", &["--csum", "xxhash"], "compress-force=zlib"),
    ("lzo", &["--csum", "sha256"], "compress-force=lzo"),
    ("zstd", &["--csum", "blake2"], "compress-force=zstd"),
    (
        "old",
        &["-O", "^no-holes,^extref,^skinny-metadata", "-R", "^free-space-tree", "-n", "4096"],
        "compress=zlib",
    ),
    ("large blocks", &["-n", "65536", "-d", "dup"], "max_inline=0"),
    ("no checksums", &["-m", "single"], "nodatasum"),
    ("mixed", &["--mixed"], "compress=lzo"),
];

#[test]
fn we_read_what_the_kernel_reads() {
    for (name, mkfs, mount) in VARIANTS {
        let Some(image) = Image::new(256 << 20, mkfs) else { return };
        eprintln!("{name}");
        populate(image.mount(mount).path(), if *name == "default" { 3000 } else { 100 });
        image.judge();
        let info = image.open().info().unwrap();
        assert_eq!((info.kind, info.label.as_deref(), info.size), ("btrfs", Some("a label"), 256 << 20));
        assert_eq!(info.state, State::Clean);
        let free = image.open().free(u64::MAX).unwrap();
        assert!(free > 16 << 20 && free < 250 << 20, "{free}");
    }
}

#[test]
fn the_uuid_is_what_blkid_says() {
    let Some(image) = Image::new(128 << 20, &[]) else { return };
    let uuid = || {
        let blkid =
            judge::run(judge::tool("blkid").args(["-p", "-s", "UUID", "-o", "value"]).arg(image.path()));
        String::from_utf8(blkid.stdout).unwrap().trim().to_owned()
    };
    let made = uuid();
    assert_eq!(image.open().info().unwrap().uuid, Some(made.clone()));
    // A new one that the tree blocks do not have.
    judge::run(judge::tool("btrfstune").arg("-m").arg(image.path()));
    assert_ne!(uuid(), made);
    let fs = image.open();
    assert_eq!(fs.info().unwrap().uuid, Some(uuid()));
    assert!(fs.info().unwrap().features.contains(&"metadata_uuid".to_owned()));
    assert!(fs.read_dir(fs.root()).unwrap().is_empty());
}

/// As openSUSE has it: the root is a snapshot, and the default; other subvolumes stand in "@".
fn like_suse(root: &Path) {
    btrfs(&["subvolume", "create"], &root.join("@"));
    for name in ["home", "boot/grub2", ".snapshots"] {
        let path = root.join("@").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        btrfs(&["subvolume", "create"], &path);
        fs::write(path.join("inside"), name).unwrap();
    }
    fs::create_dir(root.join("@/.snapshots/1")).unwrap();
    let snapshot = root.join("@/.snapshots/1/snapshot");
    btrfs(&["subvolume", "create"], &snapshot);
    fs::create_dir_all(snapshot.join("etc")).unwrap();
    fs::write(snapshot.join("etc/os-release"), "ID=sles\n").unwrap();
    btrfs(&["subvolume", "set-default"], &snapshot);
    // What was taken of "@" has neither of the subvolumes in it.
    let second = root.join("@/.snapshots/2");
    fs::create_dir(&second).unwrap();
    btrfs(&["subvolume", "snapshot", "-r", root.join("@").to_str().unwrap()], &second.join("snapshot"));
    fs::write(root.join("@/after"), "the snapshot does not have this").unwrap();
    // One that is gone, and may be half deleted.
    btrfs(&["subvolume", "create"], &root.join("gone"));
    btrfs(&["subvolume", "delete"], &root.join("gone"));
}

#[test]
fn subvolumes_and_snapshots() {
    let Some(image) = Image::new(128 << 20, &[]) else { return };
    like_suse(image.mount("rw").path());
    image.judge();
    let fs = image.open();
    assert_eq!(content(&fs, "etc/os-release").unwrap(), b"ID=sles\n");
    let all = fs.subvolumes().unwrap();
    let listed = {
        let mount = image.mount("ro,subvolid=5");
        let list = judge::run(judge::tool("btrfs").args(["subvolume", "list", "-a"]).arg(mount.path()));
        String::from_utf8(list.stdout).unwrap()
    };
    let number = |line: &str| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    let path = |line: &str| line.split("path ").nth(1).unwrap().trim_start_matches("<FS_TREE>/").to_owned();
    let theirs: Vec<(u64, String)> = listed.lines().map(|line| (number(line), path(line))).collect();
    let ours: Vec<(u64, String)> =
        all[1..].iter().map(|known| (known.id, String::from_utf8(known.path.clone()).unwrap())).collect();
    assert_eq!(ours, theirs);
    assert_eq!((all[0].id, all[0].path.as_slice()), (5, &b""[..]));
    let read_only: Vec<bool> = all.iter().map(|known| known.read_only).collect();
    assert_eq!(read_only.iter().filter(|read_only| **read_only).count(), 1);

    for known in &all {
        let path = String::from_utf8(known.path.clone()).unwrap();
        let mount = image.mount(&format!("ro,subvolid={}", known.id));
        same(&image.open().with_subvolume(known.id).unwrap(), mount.path());
        let fs = image.open().with_subvolume_at(&known.path).unwrap();
        assert_eq!(fs.subvolume(), known.id);
        drop(mount);
        same(&fs, image.mount(&format!("ro,subvol=/{path}")).path());
    }
    assert!(matches!(image.open().with_subvolume(256 + 1000), Err(FsError::NotFound)));
    assert!(matches!(image.open().with_subvolume_at(b"@/nothing"), Err(FsError::NotFound)));
    assert!(matches!(image.open().with_subvolume_at(b"@/boot"), Err(FsError::Invalid(_))));
    // Nothing in a snapshot stands for what is not there.
    let fs = image.open().with_subvolume_at(b"@/.snapshots/2/snapshot").unwrap();
    let stub = at(&fs, "home");
    assert!(fs.read_dir(stub).unwrap().is_empty());
    assert!(matches!(fs.lookup(stub, b"inside"), Err(FsError::NotFound)));
    assert!(matches!(fs.read_at(stub, &mut [0], 0), Err(FsError::IsADirectory)));
}

#[test]
fn several_devices() {
    for profile in ["raid0", "raid1", "raid10", "raid1c3", "single"] {
        let options = ["-d", profile, "-m", if profile == "single" { "raid1" } else { profile }];
        let Some(image) = Image::on_devices(4, 256 << 20, &options) else { return };
        eprintln!("{profile}");
        let devices = image.loops();
        populate(devices.mount("rw").path(), 50);
        same(&image.open(), devices.mount("ro").path());
        let mut disks = image.disks();
        disks.reverse();
        btrfs::open_devices(disks).unwrap();
        let error = btrfs::open(image.disks().remove(0)).unwrap_err();
        assert!(error.to_string().contains("btrfs on 4 devices, of which 1 are here"), "{error}");
    }
    let Some(image) = Image::on_devices(3, 256 << 20, &["-d", "raid5", "-m", "raid1"]) else { return };
    let error = btrfs::open_devices(image.disks()).unwrap_err();
    assert!(error.to_string().contains("RAID5"), "{error}");
}

#[test]
fn what_was_synced_and_not_committed() {
    let Some(image) = Image::new(128 << 20, &[]) else { return };
    {
        let mount = image.mount("rw,commit=300");
        fs::write(mount.path().join("early"), "committed").unwrap();
        judge::run(judge::tool("sync").arg("-f").arg(mount.path()));
        fs::write(mount.path().join("late"), "synced").unwrap();
        fs::File::open(mount.path().join("late")).unwrap().sync_all().unwrap();
        // As a disk that is copied while it is in use.
        let bytes = fs::read(image.path()).unwrap();
        drop(mount);
        fs::write(image.path(), bytes).unwrap();
    }
    let fs = image.open();
    assert_eq!(fs.info().unwrap().state, State::NeedsRecovery);
    assert_eq!(content(&fs, "early").unwrap(), b"committed");
    assert!(matches!(fs.lookup(fs.root(), b"late"), Err(FsError::NotFound)));
    let device = DiskMut::new(FileDisk::open_mut(image.path()).unwrap());
    let error = btrfs::replay(&device).unwrap_err();
    assert!(error.to_string().contains("replaying the log of btrfs"), "{error}");
    same(&fs, image.mount("ro,rescue=nologreplay").path());
    // The kernel replays it.
    drop(image.mount("rw"));
    assert_eq!(image.open().info().unwrap().state, State::Clean);
    assert!(!btrfs::replay(&device).unwrap());
    assert_eq!(content(&image.open(), "late").unwrap(), b"synced");
}

#[test]
fn damage_is_read_around_where_there_is_a_copy() {
    let Some(image) = Image::new(256 << 20, &["-d", "dup"]) else { return };
    populate(image.mount("rw").path(), 100);
    let bytes = fs::read(image.path()).unwrap();
    let sound = support::manifest(&image.open());
    // The first copy of every tree block, and of the data of a file.
    let fsid = bytes[0x10020..0x10030].to_vec();
    let mut seen = std::collections::BTreeSet::new();
    for place in (1 << 20..bytes.len()).step_by(16 << 10) {
        let is_block = bytes[place + 0x20..].starts_with(&fsid);
        if is_block && seen.insert(bytes[place + 0x30..place + 0x38].to_vec()) {
            image.write(&[0xff; 8], place as u64 + 200);
        }
    }
    assert!(seen.len() > 20);
    let file = pattern(3 << 20, 3 << 20);
    let places: Vec<usize> =
        (0..bytes.len()).step_by(4096).filter(|place| bytes[*place..].starts_with(&file[..4096])).collect();
    assert_eq!(places.len(), 2, "two copies of the data");
    image.write(&[0xff; 5000], places[0] as u64 + 10_000);
    assert_eq!(support::manifest(&image.open()), sound);
    // The other copy, too.
    image.write(&[0xff; 5000], places[1] as u64 + 10_000);
    let error = content(&image.open(), "boot/file-3145728").unwrap_err();
    assert!(error.to_string().contains("the checksum is wrong"), "{error}");
}

#[test]
fn a_damaged_superblock_has_a_copy() {
    let Some(image) = Image::new(128 << 20, &[]) else { return };
    fs::write(image.mount("rw").path().join("file"), "content").unwrap();
    image.write(&[0xff], 0x10048);
    let fs = image.open();
    assert!(matches!(fs.info().unwrap().state, State::Errors(_)));
    assert_eq!(content(&fs, "file").unwrap(), b"content");
    image.write(&[0xff], (64 << 20) + 0x48);
    assert!(matches!(btrfs::open(image.disks().remove(0)), Err(FsError::Corrupt { .. })));
    // Without the magic number it is not btrfs, whatever is left of it.
    image.write(&[0], 0x10040);
    assert!(!btrfs::probe(&image.disks()[0]).unwrap());
}

#[test]
fn what_is_not_read_or_written_is_named() {
    let Some(image) = Image::new(128 << 20, &[]) else { return };
    let device = || DiskMut::new(FileDisk::open_mut(image.path()).unwrap());
    let error = btrfs::open_mut(&device()).unwrap_err();
    assert!(matches!(error, FsError::Unsupported(_)));
    assert!(error.to_string().contains("writing to btrfs"), "{error}");
    let good = fs::read(image.path()).unwrap();
    for (at, bit, name) in [
        (0xbd, 0x10, "zoned"),
        (0xbd, 0x20, "extent_tree_v2"),
        (0xbd, 0x40, "raid_stripe_tree"),
        (0xc3, 0x80, "unknown btrfs features, incompatible: 0x8000000000000000"),
        (0xc4, 9, "checksums of the unknown type 9"),
        (0x3c, 0x8, "change of the file system id"),
    ] {
        let mut superblock = good[0x10000..0x11000].to_vec();
        superblock[at] |= bit;
        let sum = crc32c::crc32c(&superblock[32..]).to_le_bytes();
        superblock[..4].copy_from_slice(&sum);
        image.write(&superblock, 0x10000);
        let error = btrfs::open(image.disks().remove(0)).unwrap_err();
        assert!(matches!(error, FsError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn nothing_that_is_needed_counts_as_free() {
    for options in [&[][..], &["--mixed"], &["-d", "dup"]] {
        let Some(image) = Image::new(256 << 20, options) else { return };
        {
            let mount = image.mount("rw");
            populate(mount.path(), 200);
            fs::remove_file(mount.path().join("boot/text-3145728")).unwrap();
        }
        let free = image.open().free_ranges().unwrap();
        let total: u64 = free.iter().map(|range| range.end - range.start).sum();
        assert!(total > 40 << 20, "{total}");
        for range in free {
            let junk = vec![0xa5; (range.end - range.start) as usize];
            image.write(&junk, range.start);
        }
        image.judge();
    }
}
