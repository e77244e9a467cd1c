//! A tree of files with what guests have, and more.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use vfs::{Attributes, FileSystem, NodeId, Result, Timestamp, Transaction};

/// When everything new was made.
pub const TIME: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 0 };

/// Fills a mounted file system: files of many sizes, `names` names in one directory, links, devices, holes,
/// content in pieces, attributes, access lists, owners and times.
///
/// # Panics
/// When it cannot hold them.
pub fn populate(root: &Path, names: usize) {
    use rustix::fs::{FallocateFlags, Mode, XattrFlags, fallocate, mknodat};
    let write = |path: &str, bytes: &[u8]| fs::write(root.join(path), bytes).unwrap();
    let xattr = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    for dir in ["etc", "boot/grub", "dev", "many", "deep/a/b/c/d", "empty", "var/log"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for size in [0, 1, 59, 60, 61, 100, 150, 160, 200, 1023, 1024, 4095, 4096, 4097, 70_000, 3 << 20] {
        write(&format!("boot/file-{size}"), &pattern(size, size as u64));
    }
    write("etc/fstab", b"UUID=6d0e / ext4 defaults 0 1\n");
    for number in 0..names {
        // Lengths differ, and some bytes are negative where characters are signed.
        let name = format!("{number}-\u{e9}{}", "x".repeat(number * 7 % 60));
        write(&format!("many/{name}"), b"");
    }
    for number in 0..5 {
        write(&format!("empty/few-{number}"), b"small");
    }
    fs::hard_link(root.join("etc/fstab"), root.join("etc/fstab.link")).unwrap();
    for (number, len) in [1, 59, 60, 61, 120, 1000, 1023].into_iter().enumerate() {
        std::os::unix::fs::symlink("t".repeat(len), root.join(format!("etc/link-{number}"))).unwrap();
    }
    for (name, kind, mode, major, minor) in [
        ("null", rustix::fs::FileType::CharacterDevice, 0o666, 1, 3),
        ("sda", rustix::fs::FileType::BlockDevice, 0o660, 8, 0),
        ("wide", rustix::fs::FileType::BlockDevice, 0o660, 259, 70_000),
        ("pipe", rustix::fs::FileType::Fifo, 0o600, 0, 0),
        ("socket", rustix::fs::FileType::Socket, 0o600, 0, 0),
    ] {
        let device = rustix::fs::makedev(major, minor);
        mknodat(rustix::fs::CWD, root.join("dev").join(name), kind, Mode::from_raw_mode(mode), device)
            .unwrap();
    }

    // Content with holes, not yet written, and in many pieces.
    let sparse = File::create(root.join("var/sparse")).unwrap();
    for at in [0_u64, 50_000, 3 << 20, 80 << 20] {
        sparse.write_all_at(b"island", at).unwrap();
    }
    sparse.set_len(81 << 20).unwrap();
    let reserved = File::create(root.join("var/reserved")).unwrap();
    if fallocate(&reserved, FallocateFlags::empty(), 0, 1 << 20).is_ok() {
        reserved.write_all_at(b"written in the middle", 500_000).unwrap();
    }
    let (even, odd) =
        (File::create(root.join("var/even")).unwrap(), File::create(root.join("var/odd")).unwrap());
    for piece in 0..600_u64 {
        for file in [&even, &odd] {
            file.write_all_at(&pattern(4096, piece), piece * 8192).unwrap();
        }
    }

    xattr("etc/fstab", "security.selinux", b"system_u:object_r:etc_t:s0\0");
    xattr("etc/fstab", "user.large", &pattern(700, 5));
    xattr("boot/grub", "trusted.overlay.opaque", b"y");
    xattr("etc/link-0", "security.selinux", b"system_u:object_r:lnk_t:s0\0");
    xattr("boot/file-61", "user.empty", b"");
    // user::rw-, user:1000:r--, group::r--, mask::r--, other::---
    let acl: Vec<u8> =
        [(1_u16, 6_u16, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
            .iter()
            .fold(2_u32.to_le_bytes().to_vec(), |mut acl, (tag, mode, id)| {
                acl.extend([tag.to_le_bytes(), mode.to_le_bytes()].concat());
                acl.extend(id.to_le_bytes());
                acl
            });
    xattr("boot/file-1", "system.posix_acl_access", &acl);
    xattr("boot/grub", "system.posix_acl_default", &acl);

    std::os::unix::fs::chown(root.join("etc/fstab"), Some(70_000), Some(4_000_000_000)).unwrap();
    for (name, seconds) in [("file-0", 4_000_000_000_i64), ("file-1", -5), ("file-59", 10_000_000_000)] {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(
            rustix::fs::CWD,
            root.join("boot").join(name),
            &times,
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
    }
    let fixed = File::open(root.join("boot/file-60")).unwrap();
    rustix::fs::ioctl_setflags(&fixed, rustix::fs::IFlags::IMMUTABLE).ok();
}

/// The edits that refloat makes, and harder ones, on what [`populate`] has made: with `names` new names in
/// the large directory, and a new file of `large` bytes.
///
/// # Errors
/// What the file system says.
///
/// # Panics
/// Where it was not populated.
pub fn edit(change: &mut dyn Transaction, names: usize, large: usize) -> Result<()> {
    let root = change.fs().root();
    let file = |path: &str, change: &dyn Transaction| at(change.fs(), path);
    let etc = file("etc", change);
    let boot = file("boot", change);
    let many = file("many", change);

    let node = file("etc/fstab", change);
    change.replace(node, &pattern(9_000, 1), TIME)?;
    change.set_xattr(node, b"security.selinux", Some(b"system_u:object_r:new_t:s0\0"))?;
    change.set_xattr(node, b"user.large", Some(&pattern(600, 2)))?;
    change.set_owner(node, 0o4600, 1, 100_000)?;
    change.create(boot, b"initrd.img", &attributes(0o600), &pattern(large, 3))?;
    for (path, size) in
        [("var/sparse", 2 << 20), ("var/even", 5 << 20), ("var/reserved", 0), ("boot/file-150", 40)]
    {
        let node = file(path, change);
        change.replace(node, &pattern(size, 4), TIME)?;
    }
    change.unlink(file("var", change), b"odd")?;

    for number in 0..names {
        let name = format!("new-{number}-{}", "\u{e9}".repeat(number % 40));
        change.create(many, name.as_bytes(), &attributes(0o644), b"")?;
    }
    let mut listed = change.fs().read_dir(many)?;
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in listed.iter().filter(|entry| entry.name.starts_with(b"1")).take(150) {
        change.unlink(many, &entry.name)?;
    }
    let few = file("empty", change);
    for number in 0..60 {
        let labelled = Attributes {
            xattrs: vec![
                (b"security.selinux".to_vec(), b"system_u:object_r:boot_t:s0\0".to_vec()),
                (b"user.long".to_vec(), vec![7; 400]),
            ],
            ..attributes(0o640)
        };
        change.create(few, format!("labelled-{number}").as_bytes(), &labelled, &pattern(number * 100, 5))?;
    }

    change.symlink(etc, b"fast", &attributes(0o777), b"/run/short")?;
    change.symlink(etc, b"slow", &attributes(0o777), &[b'x'; 900])?;
    change.unlink(etc, b"link-1")?;
    change.unlink(etc, b"link-6")?;
    change.rename(etc, b"fstab.link", boot, b"file-1024")?;
    change.link(boot, b"hard", file("boot/file-4095", change))?;
    change.rename(file("deep/a", change), b"b", root, b"moved")?;
    let nested = change.mkdir(file("moved/c", change), b"nested", &attributes(0o1777))?;
    change.rename(root, b"deep", nested, b"deep")?;
    change.unlink(file("dev", change), b"pipe")?;
    change.unlink(file("dev", change), b"null")?;
    change.mkdir(root, b"gone", &attributes(0o700))?;
    change.unlink(root, b"gone")?;
    let acl = change.fs().xattrs(file("boot/file-1", change))?;
    let (name, value) =
        acl.iter().find(|(name, _)| name == b"system.posix_acl_access").expect("an access list");
    change.set_xattr(file("boot/file-4097", change), name, Some(value))?;
    change.set_xattr(file("boot/file-1", change), name, None)?;
    change.set_xattr(file("boot/grub", change), b"trusted.overlay.opaque", None)
}

/// Those of something new that belongs to root.
pub fn attributes(mode: u16) -> Attributes {
    Attributes { mode, uid: 0, gid: 0, time: TIME, xattrs: Vec::new() }
}

/// What stands at `path`; no link is followed.
///
/// # Panics
/// If there is nothing.
#[track_caller]
pub fn at(fs: &dyn FileSystem, path: &str) -> NodeId {
    path.split('/').filter(|name| !name.is_empty()).fold(fs.root(), |dir, name| {
        fs.lookup(dir, name.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"))
    })
}

/// Bytes that depend on a seed.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
