//! The edits that refloat makes, and harder ones, on volumes that the kernel filled.

#![allow(clippy::print_stderr, reason = "a failed test says which variant it was")]

mod support;

use std::time::{Duration, Instant};

use support::{Image, VARIANTS, find};
use testimages::judge;
use testimages::mounted::Mounted;
use testimages::population::{TIME, at, attributes, edit, pattern, populate};
use vfs::conformance::compare;
use vfs::{FileSystem, FileSystemMut, FsError, MemoryFs};

#[test]
fn the_same_edits_on_every_variant() {
    if !judge::need_kernel_mounts() {
        return;
    }
    for variant in VARIANTS.iter().filter(|variant| variant.mounts) {
        let large = matches!(variant.name, "default" | "1k_blocks");
        let (size, names, file) = if large { (160 << 20, 5000, 30 << 20) } else { (64 << 20, 500, 3 << 20) };
        let Some(image) = Image::new(variant, size) else { return };
        eprintln!("{}", variant.name);
        image.populate(|root| populate(root, names));
        let mut model = MemoryFs::copy_of(&image.open()).unwrap();
        let mut change = model.begin().unwrap();
        edit(&mut *change, names, file).unwrap();
        change.commit().unwrap();

        let before = image.bytes();
        let mut fs = image.open_mut();
        let mut change = fs.begin().unwrap();
        edit(&mut *change, names, file).unwrap();
        if let Err(difference) = compare(change.fs(), &model) {
            panic!("in the transaction: {difference}");
        }
        assert!(image.bytes() == before, "the device changed before the commit");
        change.commit().unwrap();
        if let Err(difference) = compare(&fs, &model) {
            panic!("after the commit: {difference}");
        }
        image.judge();
        if !large {
            continue;
        }

        // Equal edits make equal bytes; a dropped change makes none.
        let after = image.bytes();
        let again = block::DiskMut::new(block::Memory::new(before));
        let mut fs = ext4::open_mut(again.clone()).unwrap();
        let mut change = fs.begin().unwrap();
        edit(&mut *change, names, file).unwrap();
        change.commit().unwrap();
        let mut change = fs.begin().unwrap();
        let boot = at(change.fs(), "boot");
        change.unlink(boot, b"initrd.img").unwrap();
        drop(change);
        let mut bytes = vec![0; after.len()];
        again.read_at(&mut bytes, 0).unwrap();
        assert!(bytes == after, "the same edits gave other bytes");
    }
}

#[test]
fn large_files_are_written_in_few_extents_and_little_time() {
    for name in ["default", "1k_blocks", "ext2"] {
        let Some(image) = Image::new(&find(name), 512 << 20) else { return };
        let mut fs = image.open_mut();
        let content = pattern(30 << 20, 1);
        let mut change = fs.begin().unwrap();
        let root = change.fs().root();
        let file = change.create(root, b"large", &attributes(0o644), &content).unwrap();
        change.commit().unwrap();

        let start = Instant::now();
        let mut change = fs.begin().unwrap();
        change.replace(file, &content[1..], TIME).unwrap();
        change.commit().unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{name}: replacing 30 MiB took {took:?}");
        image.judge();

        let output = judge::run(judge::tool("debugfs").args(["-R", "dump_extents large"]).arg(image.path()));
        if name != "ext2" {
            let lines = String::from_utf8_lossy(&output.stdout).lines().count();
            assert!(lines < 16, "{name}: {lines} extents");
        }
    }
}

#[test]
fn many_names_take_no_more_than_linear_time() {
    let Some(image) = Image::new(&find("default"), 512 << 20) else { return };
    let mut fs = image.open_mut();
    let mut change = fs.begin().unwrap();
    let dir = change.mkdir(change.fs().root(), b"dir", &attributes(0o755)).unwrap();
    let start = Instant::now();
    for number in 0..20_000 {
        change
            .create(dir, format!("a rather long name, number {number}").as_bytes(), &attributes(0o644), b"")
            .unwrap();
    }
    let took = start.elapsed();
    change.commit().unwrap();
    assert!(took < Duration::from_secs(20), "20,000 names took {took:?}");
    image.judge();
}

#[test]
fn an_index_of_three_levels() {
    let Some(image) = Image::with_options(&find("large_dir"), 512 << 20, &["-N", "120000"]) else { return };
    let mut fs = image.open_mut();
    let mut change = fs.begin().unwrap();
    let root = change.fs().root();
    let dir = change.mkdir(root, b"dir", &attributes(0o755)).unwrap();
    let mut hard = root;
    for number in 0..80_000_u32 {
        // A file has at most 65,000 names.
        if number % 60_000 == 0 {
            hard = change.create(root, format!("file-{number}").as_bytes(), &attributes(0o644), b"").unwrap();
        }
        change.link(dir, format!("{number:0240}").as_bytes(), hard).unwrap();
    }
    change.commit().unwrap();
    judge::e2fsck_clean(image.path(), 0);
    let output = judge::run(judge::tool("debugfs").args(["-R", "htree_dump /dir"]).arg(image.path()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Indirect levels: 2"), "{}", text.lines().take(12).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_fragmented_volume_gets_deep_extent_trees() {
    for name in ["default", "1k_blocks", "ext2"] {
        let Some(image) = Image::new(&find(name), 96 << 20) else { return };
        let mut fs = image.open_mut();
        let block_size = u64::from(fs.info().unwrap().block_size);
        eprintln!("{name}");
        // Fill the volume with small files and take every other one away: no two free blocks touch.
        let mut change = fs.begin().unwrap();
        let root = change.fs().root();
        let dir = change.mkdir(root, b"small", &attributes(0o755)).unwrap();
        let count = 6000;
        for number in 0..count {
            change.create(dir, format!("{number}").as_bytes(), &attributes(0o644), &[1]).unwrap();
        }
        let mut free: u64 =
            change.fs().free_ranges().unwrap().iter().map(|range| range.end - range.start).sum();
        free -= free / 50;
        change.create(root, b"rest", &attributes(0o644), &vec![2; free as usize]).unwrap();
        for number in (0..count).step_by(2) {
            change.unlink(dir, format!("{number}").as_bytes()).unwrap();
        }
        change.commit().unwrap();
        let content = pattern((count / 2 * block_size) as usize, 9);
        let mut change = fs.begin().unwrap();
        let file = change.create(root, b"pieces", &attributes(0o644), &content).unwrap();
        change.commit().unwrap();
        let mut read = vec![0; content.len()];
        assert_eq!(fs.read_at(file, &mut read, 0).unwrap(), read.len());
        assert!(read == content);
        image.judge();
        let mut change = fs.begin().unwrap();
        change.unlink(root, b"pieces").unwrap();
        change.unlink(root, b"rest").unwrap();
        change.commit().unwrap();
        image.judge();
    }
}

#[test]
fn a_full_volume_stays_clean() {
    for name in ["default", "ext2", "inline_data"] {
        let Some(image) = Image::new(&find(name), 16 << 20) else { return };
        let before = image.bytes();
        let mut fs = image.open_mut();
        let root = fs.root();
        let free = fs.free(u64::MAX).unwrap() as usize;
        let mut change = fs.begin().unwrap();
        let error =
            change.create(root, b"too large", &attributes(0o644), &vec![1; free + (1 << 20)]).unwrap_err();
        assert!(matches!(error, FsError::NoSpace(_)), "{error}");
        assert!(change.commit().is_err(), "a failed change was committed");
        assert!(image.bytes() == before);

        let mut change = fs.begin().unwrap();
        change.create(root, b"fits", &attributes(0o644), &vec![1; free - free / 20]).unwrap();
        change.commit().unwrap();
        let mut made = 0;
        loop {
            let mut change = fs.begin().unwrap();
            match change.create(root, format!("file {made}").as_bytes(), &attributes(0o644), &[2; 70_000]) {
                Ok(_) => change.commit().unwrap(),
                Err(FsError::NoSpace(_)) => break,
                Err(error) => panic!("{error}"),
            }
            made += 1;
        }
        assert!(made > 0);
        image.judge();
        let inodes = fs.info().unwrap().free_nodes.unwrap();
        let mut change = fs.begin().unwrap();
        for number in 0..inodes {
            change.symlink(root, format!("link {number}").as_bytes(), &attributes(0o777), b"x").ok();
        }
        drop(change);
        image.judge();
    }
}

#[test]
fn a_large_volume() {
    // Sparse: 3 TiB of groups that were never initialised.
    let Some(image) = Image::new(&find("default"), 3 << 40) else { return };
    let mut fs = image.open_mut();
    let mut change = fs.begin().unwrap();
    let root = change.fs().root();
    change.create(root, b"file", &attributes(0o644), &pattern(40 << 20, 1)).unwrap();
    change.mkdir(root, b"dir", &attributes(0o755)).unwrap();
    change.commit().unwrap();
    if judge::need_kernel_mounts() {
        let mount = judge::KernelMount::with_options(image.path(), 0..image.size, "ro");
        compare(&image.open(), &Mounted::new(mount.path())).unwrap();
    }
    judge::e2fsck_clean(image.path(), 0);
}

#[test]
fn every_hash_of_names() {
    // e2fsck checks that each name is in the leaf of its hash, and the kernel looks each one up.
    for (algorithm, flags) in
        [("legacy", 1), ("half_md4", 1), ("tea", 1), ("legacy", 2), ("half_md4", 2), ("tea", 2)]
    {
        let Some(image) = Image::new(&find("1k_blocks"), 32 << 20) else { return };
        judge::run(judge::tool("tune2fs").args(["-E", &format!("hash_alg={algorithm}")]).arg(image.path()));
        image.debugfs(&format!("set_super_value flags {flags}"));
        let mut fs = image.open_mut();
        let mut change = fs.begin().unwrap();
        let root = change.fs().root();
        for number in 0..600_usize {
            let name = format!("{number}{}", "\u{e9}\u{4e2d}-".repeat(number % 30));
            change.create(root, name.as_bytes(), &attributes(0o644), b"").unwrap();
        }
        change.commit().unwrap();
        eprintln!("{algorithm}, flags {flags}");
        image.judge();
    }
}

#[test]
fn volumes_of_many_groups() {
    // 32 groups; the content covers a dozen that were never initialised, and takes them from several flexible
    // groups.
    for name in ["meta_bg", "gdt_csum", "no_flex_bg", "sparse_super2", "1k_blocks", "ext2_plain"] {
        let Some(image) = Image::new(&find(name), 256 << 20) else { return };
        let mut fs = image.open_mut();
        let mut change = fs.begin().unwrap();
        let root = change.fs().root();
        change.create(root, b"file", &attributes(0o644), &pattern(90 << 20, 1)).unwrap();
        for number in 0..2500 {
            let dir = change.mkdir(root, format!("dir {number}").as_bytes(), &attributes(0o755)).unwrap();
            change.create(dir, b"file", &attributes(0o644), b"content").unwrap();
        }
        change.commit().unwrap();
        eprintln!("{name}");
        image.judge();
    }
}

#[test]
fn a_directory_of_more_directories_than_can_be_counted() {
    if !testimages::length::long() {
        return;
    }
    let Some(image) = Image::with_options(&find("1k_blocks"), 512 << 20, &["-N", "80000"]) else { return };
    let mut fs = image.open_mut();
    let mut change = fs.begin().unwrap();
    let root = change.fs().root();
    let dir = change.mkdir(root, b"dir", &attributes(0o755)).unwrap();
    for number in 0..65_010 {
        change.mkdir(dir, format!("{number}").as_bytes(), &attributes(0o755)).unwrap();
    }
    assert_eq!(change.fs().metadata(dir).unwrap().links, 1);
    change.commit().unwrap();
    judge::e2fsck_clean(image.path(), 0);
}

#[test]
fn attribute_blocks_that_inodes_share() {
    let Some(image) = Image::new(&find("128_byte_inodes"), 32 << 20) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    // The kernel lets inodes with equal attributes share a block.
    image.populate(|root| {
        for number in 0..10 {
            let path = root.join(format!("{number}"));
            std::fs::write(&path, "x").unwrap();
            let none = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(&path, "security.selinux", b"system_u:object_r:etc_t:s0\0", none).unwrap();
        }
    });
    let mut model = MemoryFs::copy_of(&image.open()).unwrap();
    let mut fs = image.open_mut();
    for target in [&mut fs as &mut dyn FileSystemMut, &mut model] {
        let mut change = target.begin().unwrap();
        let root = change.fs().root();
        change.unlink(root, b"0").unwrap();
        let node = at(change.fs(), "1");
        change.set_xattr(node, b"user.more", Some(b"value")).unwrap();
        let node = at(change.fs(), "2");
        change.set_xattr(node, b"security.selinux", None).unwrap();
        change.commit().unwrap();
    }
    compare(&fs, &model).unwrap();
    image.judge();
}
