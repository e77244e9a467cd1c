//! The edits that refloat makes, and harder ones, on volumes that the kernel filled.

#![allow(clippy::print_stderr, reason = "a failed test says which variant it was")]

mod support;

use std::time::{Duration, Instant};

use block::testing::count::Count;
use rustix::fs::{FallocateFlags, fallocate};
use support::{Image, VARIANTS, find, populate};
use testimages::judge;
use testimages::population::{TIME, at, attributes, edit, pattern};
use vfs::conformance::compare;
use vfs::{FileSystem, FileSystemMut, FsError, MemoryFs, Result, Transaction};

/// [`edit`], and what only XFS has: shared blocks, attributes elsewhere, inodes of devices that grow.
fn script(change: &mut dyn Transaction, names: usize, large: usize) -> Result<()> {
    edit(change, names, large)?;
    let file = |path: &str, change: &dyn Transaction| at(change.fs(), path);
    let var = file("var", change);
    change.replace(file("var/clone", change), &pattern(200_000, 4), TIME)?;
    change.unlink(var, b"half-a-clone")?;
    for (path, len) in [("dev/wide", 30), ("dev/socket", 300), ("dev/sda", 5000)] {
        change.set_xattr(file(path, change), b"security.selinux", Some(&pattern(len, 8)))?;
    }
    change.set_xattr(file("boot/file-100", change), b"user.remote-3", None)?;
    change.set_xattr(file("boot/file-100", change), b"user.new", Some(&pattern(60_000, 7)))?;
    for number in 0..150 {
        let name = format!("user.{number}{}", "n".repeat(number % 50));
        change.set_xattr(file("boot/file-4096", change), name.as_bytes(), None)?;
    }
    Ok(())
}

/// The kernel changes what we left, and removes it all; xfs_repair finds nothing.
fn kernel_goes_on(image: &Image) {
    image.populate(|root| {
        for number in 0..300 {
            std::fs::write(root.join(format!("after-{number}")), pattern(number * 50, 1)).unwrap();
        }
    });
    image.repair();
    image.populate(|root| {
        for entry in std::fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            judge::tool("chattr").args(["-R", "-i"]).arg(&path).output().ok();
            judge::run(judge::tool("rm").arg("-rf").arg(path));
        }
    });
    image.repair();
}

#[test]
fn the_same_edits_on_every_variant() {
    if !judge::need_kernel_mounts() {
        return;
    }
    for variant in VARIANTS {
        let large = variant.name == "everything";
        let (size, names, file) = if large { (200 << 20, 3000, 30 << 20) } else { (64 << 20, 400, 3 << 20) };
        let Some(image) = Image::new(variant, size) else { return };
        eprintln!("{}", variant.name);
        image.populate(|root| populate(root, names));
        let mut model = MemoryFs::copy_of(&image.open()).unwrap();
        let mut change = model.begin().unwrap();
        script(&mut *change, names, file).unwrap();
        change.commit().unwrap();

        let before = image.bytes();
        let mut fs = image.open_mut();
        let mut change = fs.begin().unwrap();
        script(&mut *change, names, file).unwrap();
        if let Err(difference) = compare(change.fs(), &model) {
            panic!("in the transaction: {difference}");
        }
        assert!(image.bytes() == before, "the device changed before the commit");
        change.commit().unwrap();
        if let Err(difference) = compare(&fs, &model) {
            panic!("after the commit: {difference}");
        }
        image.judge();
        if large {
            // Equal edits make equal bytes.
            let after = image.bytes();
            let again = block::DiskMut::new(block::Memory::new(before));
            let mut fs = xfs::open_mut(again.clone()).unwrap();
            let mut change = fs.begin().unwrap();
            script(&mut *change, names, file).unwrap();
            change.commit().unwrap();
            let mut bytes = vec![0; after.len()];
            again.read_at(&mut bytes, 0).unwrap();
            assert!(bytes == after, "the same edits gave other bytes");
        }
        kernel_goes_on(&image);
    }
}

#[test]
fn many_names_take_no_more_than_linear_time() {
    for name in ["everything", "1k_everything"] {
        let Some(image) = Image::new(&find(name), 300 << 20) else { return };
        let mut fs = image.open_mut();
        let mut change = fs.begin().unwrap();
        let dir = change.mkdir(change.fs().root(), b"dir", &attributes(0o755)).unwrap();
        let start = Instant::now();
        for number in 0..20_000 {
            let name = format!("a rather long name, number {number}");
            change.create(dir, name.as_bytes(), &attributes(0o644), b"").unwrap();
        }
        change.commit().unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(30), "20,000 names took {took:?}");
        image.judge();
        // Most of them go again, and with them blocks of all trees.
        let mut change = fs.begin().unwrap();
        for number in 100..20_000 {
            change.unlink(dir, format!("a rather long name, number {number}").as_bytes()).unwrap();
        }
        change.commit().unwrap();
        image.judge();
    }
}

#[test]
fn a_fragmented_volume_gets_deep_extent_trees() {
    for name in ["everything", "1k_everything"] {
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
        free -= free / 20;
        change.create(root, b"rest", &attributes(0o644), &vec![2; free as usize]).unwrap();
        for number in (0..count).step_by(2) {
            change.unlink(dir, format!("{number}").as_bytes()).unwrap();
        }
        change.commit().unwrap();
        image.repair();
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
        kernel_goes_on(&image);
    }
}

#[test]
fn a_full_volume_stays_clean() {
    for name in ["default", "everything", "64k_blocks"] {
        let Some(image) = Image::new(&find(name), 48 << 20) else { return };
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
        change.create(root, b"fits", &attributes(0o644), &vec![1; free / 2]).unwrap();
        change.commit().unwrap();
        let mut made = 0;
        loop {
            let mut change = fs.begin().unwrap();
            match change.create(root, format!("file {made}").as_bytes(), &attributes(0o644), &[2; 700_000]) {
                Ok(_) => change.commit().unwrap(),
                Err(FsError::NoSpace(_)) => break,
                Err(error) => panic!("{error}"),
            }
            made += 1;
        }
        assert!(made > 0);
        image.judge();
    }
}

/// Chunks of inodes with parts missing, which the kernel makes where there is no room for whole ones.
#[test]
fn sparse_inodes() {
    if !judge::need_kernel_mounts() || !judge::need_all(&["xfs_db", "xfs_io"]) {
        return;
    }
    for name in ["default", "everything"] {
        let Some(image) = Image::new(&find(name), 40 << 20) else { return };
        image.populate(|root| {
            std::fs::create_dir(root.join("many")).unwrap();
            // Without the blocks that the kernel keeps for itself.
            judge::run(judge::tool("xfs_io").args(["-x", "-c", "resblks 0"]).arg(root));
            let fill = std::fs::File::create(root.join("fill")).unwrap();
            let block = 4096;
            let blocks = (0..20_000).take_while(|number| {
                fallocate(&fill, FallocateFlags::empty(), number * block, block).is_ok()
            });
            // Seven free blocks in a row: a chunk takes eight, half a one four.
            for number in (0..blocks.count() as u64 - 7).step_by(15) {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&fill, hole, number * block, 7 * block).unwrap();
            }
            for number in 0..3000 {
                if std::fs::write(root.join(format!("many/{number}")), "").is_err() {
                    break;
                }
            }
        });
        let mut command = judge::tool("xfs_db");
        for ag in ["0", "1"] {
            command.args(["-r", "-c", &format!("agi {ag}"), "-c", "addr root", "-c", "p recs"]);
        }
        let output = judge::run(command.arg(image.path()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(",0xff00,32,") || text.contains(",0xff,32,"), "no chunk has a hole:\n{text}");

        let mut fs = image.open_mut();
        let mut change = fs.begin().unwrap();
        let many = at(change.fs(), "many");
        let names = change.fs().read_dir(many).unwrap();
        for entry in names.iter().step_by(3) {
            change.unlink(many, &entry.name).unwrap();
        }
        for number in 0..200 {
            change.create(many, format!("new-{number}").as_bytes(), &attributes(0o644), b"").unwrap();
        }
        change.commit().unwrap();
        image.judge();
        let mut change = fs.begin().unwrap();
        for entry in change.fs().read_dir(many).unwrap() {
            change.unlink(many, &entry.name).unwrap();
        }
        change.commit().unwrap();
        image.judge();
        kernel_goes_on(&image);
    }
}

/// The edits of a plan on the root of a machine with 64 GiB: what they read and how long they take.
#[test]
fn a_large_volume_is_edited_at_little_cost() {
    let Some(image) = Image::new(&find("everything"), 64 << 30) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    image.populate(|root| {
        populate(root, 3000);
        for dir in 0..100 {
            let dir = root.join(format!("usr-{dir}"));
            std::fs::create_dir(&dir).unwrap();
            for file in 0..100 {
                std::fs::write(dir.join(format!("file-{file}")), pattern(file * 40, 1)).unwrap();
            }
        }
    });
    let start = Instant::now();
    let count = Count::default();
    let mut fs = xfs::open_mut(count.disk_mut(&image.device())).unwrap();
    let mut change = fs.begin().unwrap();
    script(&mut *change, 50, 30 << 20).unwrap();
    change.commit().unwrap();
    let (took, read) = (start.elapsed(), count.reads().bytes);
    eprintln!("{took:?}, {read} bytes read");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(read < 50 << 20, "{read} bytes were read");
    image.judge();
}

/// Inode numbers of more than 32 bits, and groups of a tebibyte.
#[test]
fn a_huge_volume() {
    let Some(image) = Image::with_options(&find("everything"), 8 << 40, &["-l", "size=64m"]) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    // The kernel puts directories into all groups in turn.
    image.populate(|root| {
        for number in 0..12 {
            std::fs::create_dir(root.join(format!("dir-{number}"))).unwrap();
            std::fs::write(root.join(format!("dir-{number}/file")), pattern(5000, number)).unwrap();
        }
    });
    let mut fs = image.open_mut();
    let root = fs.root();
    let dirs: Vec<_> = (0..12).map(|number| at(&fs, &format!("dir-{number}"))).collect();
    assert!(dirs.iter().any(|dir| dir.0 > u32::MAX.into()), "{dirs:?}");
    let mut change = fs.begin().unwrap();
    for &dir in &dirs {
        for number in 0..20 {
            change.create(dir, format!("new-{number}").as_bytes(), &attributes(0o644), &[1; 9000]).unwrap();
        }
        let below = change.mkdir(dir, b"below", &attributes(0o755)).unwrap();
        change.symlink(below, b"link", &attributes(0o777), &[b't'; 500]).unwrap();
    }
    change.rename(dirs[3], b"below", root, b"moved").unwrap();
    change.rename(root, b"dir-5", dirs[0], b"dir-5").unwrap();
    change.unlink(dirs[7], b"file").unwrap();
    change.commit().unwrap();
    image.judge();
}

/// With another UUID than the one that all metadata carry.
#[test]
fn a_volume_with_a_new_uuid() {
    let Some(image) = Image::new(&find("everything"), 48 << 20) else { return };
    if !judge::need_kernel_mounts() || judge::need("xfs_db").is_none() {
        return;
    }
    image.populate(|root| populate(root, 100));
    judge::run(judge::tool("xfs_db").args(["-x", "-c", "uuid generate"]).arg(image.path()));
    let mut fs = image.open_mut();
    assert!(fs.info().unwrap().features.iter().any(|feature| feature == "meta_uuid"));
    let mut change = fs.begin().unwrap();
    script(&mut *change, 50, 1 << 20).unwrap();
    change.commit().unwrap();
    image.judge();
}

/// More attributes than one node has leaves for.
#[test]
fn an_attribute_index_of_two_levels() {
    let Some(image) = Image::new(&find("1k_everything"), 48 << 20) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    image.populate(|root| {
        std::fs::write(root.join("file"), "content").unwrap();
        for number in 0..1500 {
            let (name, value) = (format!("user.{number}"), pattern(100, number));
            rustix::fs::lsetxattr(root.join("file"), name, &value, rustix::fs::XattrFlags::empty()).unwrap();
        }
    });
    image.judge();
    let mut fs = image.open_mut();
    let mut change = fs.begin().unwrap();
    let file = at(change.fs(), "file");
    change.set_xattr(file, b"user.7", Some(b"another value")).unwrap();
    change.set_xattr(file, b"user.new", Some(&pattern(30_000, 1))).unwrap();
    change.commit().unwrap();
    assert!(fs.xattrs(file).unwrap().len() == 1501);
    image.judge();
    kernel_goes_on(&image);
}

/// A node of leaves, and if `REFLOAT_LONG` is set more names than one node has leaves for.
#[test]
fn a_directory_index_with_nodes() {
    let Some(image) = Image::new(&find("everything"), 250 << 20) else { return };
    let count = if support::long() { 270_000 } else { 20_000 };
    let mut fs = image.open_mut();
    let mut change = fs.begin().unwrap();
    let root = change.fs().root();
    let dir = change.mkdir(root, b"dir", &attributes(0o755)).unwrap();
    let file = change.create(root, b"file", &attributes(0o644), b"").unwrap();
    for number in 0..count {
        change.link(dir, format!("{number}").as_bytes(), file).unwrap();
    }
    change.commit().unwrap();
    assert_eq!(fs.lookup(dir, b"12345").unwrap(), file);
    image.repair();
    kernel_goes_on(&image);
}
