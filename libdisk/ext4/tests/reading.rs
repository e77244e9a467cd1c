//! What the kernel wrote, we read as the kernel reads it.

#![allow(clippy::print_stderr, reason = "a failed test says which variant it was")]

mod support;

use std::fs;

use support::{Image, VARIANTS, find};
use testimages::judge;
use testimages::population::{at, pattern, populate};
use vfs::{FileSystem, State};

#[test]
fn we_read_what_the_kernel_reads() {
    if !judge::need_kernel_mounts() {
        return;
    }
    for variant in VARIANTS.iter().filter(|variant| variant.mounts) {
        let Some(image) = Image::new(variant, 96 << 20) else { return };
        eprintln!("{}", variant.name);
        let names = if matches!(variant.name, "default" | "1k_blocks" | "tea_hash") { 5000 } else { 600 };
        image.populate(|root| populate(root, names));
        image.judge();
    }
}

#[test]
fn large_values_in_inodes_of_their_own() {
    let Some(image) = Image::new(&find("ea_inode"), 64 << 20) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    image.populate(|root| {
        fs::write(root.join("file"), "").unwrap();
        let value = pattern(30_000, 1);
        rustix::fs::lsetxattr(root.join("file"), "user.huge", &value, rustix::fs::XattrFlags::empty())
            .unwrap();
    });
    image.judge();
}

#[test]
fn what_we_do_not_write_we_still_read() {
    if !judge::need_kernel_mounts() {
        return;
    }
    // This kernel has no quota, encryption or case folding.
    // With blocks of 1 KiB and clusters the first data block is 0, and not that of the superblock.
    let with_groups = ["-b", "1024", "-O", "bigalloc,meta_bg,^resize_inode"];
    let variants: [&[&str]; 4] =
        [&["-O", "bigalloc"], &["-b", "1024", "-O", "bigalloc"], &with_groups, &["-I", "1024"]];
    for options in variants {
        let Some(image) = Image::with_options(&find("default"), 96 << 20, options) else { return };
        eprintln!("{options:?}");
        image.populate(|root| populate(root, 400));
        image.judge();
        let free: u64 = image.open().free_ranges().unwrap().iter().map(|range| range.end - range.start).sum();
        assert_eq!(free, image.open().free(u64::MAX).unwrap());
    }
}

#[test]
fn reads_past_the_end_are_short() {
    let Some(image) = Image::new(&find("inline_data"), 64 << 20) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    image.populate(|root| {
        for size in [0, 50, 100, 5000] {
            fs::write(root.join(format!("{size}")), pattern(size, 1)).unwrap();
        }
    });
    let fs = image.open();
    let mut buf = [0; 64];
    for size in [0_u64, 50, 100, 5000] {
        let file = at(&fs, &size.to_string());
        for (offset, len) in [(0, size.min(64)), (size, 0), (size + 1, 0), (u64::MAX - 9, 0)] {
            assert_eq!(
                fs.read_at(file, &mut buf, offset).unwrap() as u64,
                len,
                "{size} bytes, from {offset}"
            );
        }
        let last = fs.read_at(file, &mut buf, size.saturating_sub(1)).unwrap();
        assert_eq!(buf[..last], pattern(size as usize, 1)[size.saturating_sub(1) as usize..]);
    }
}

#[test]
fn trees_made_by_mke2fs_itself() {
    let tree = tempfile::tempdir().unwrap();
    if !judge::need_kernel_mounts() {
        return;
    }
    populate(tree.path(), 800);
    for name in ["default", "inline_data", "ext2"] {
        let Some(image) = Image::with_options(&find(name), 96 << 20, &["-d", tree.path().to_str().unwrap()])
        else {
            return;
        };
        image.judge();
    }
    // What we leave must be removable.
    let fixed = fs::File::open(tree.path().join("boot/file-60")).unwrap();
    rustix::fs::ioctl_setflags(&fixed, rustix::fs::IFlags::empty()).ok();
}

#[test]
fn a_running_machine_can_be_read() {
    let Some(image) = Image::new(&find("default"), 64 << 20) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    let mut copy = Vec::new();
    image.populate(|root| {
        fs::write(root.join("file"), "content").unwrap();
        rustix::fs::sync();
        copy = image.bytes();
        let now = ext4::open(block::Disk::new(block::Memory::new(copy.clone()))).unwrap();
        assert_eq!(now.info().unwrap().state, State::NeedsRecovery);
        assert!(now.read_dir(now.root()).is_ok());
    });
    let disk = block::DiskMut::new(block::Memory::new(copy.clone()));
    let mut fs = ext4::open_mut(disk.clone()).unwrap();
    let error = vfs::FileSystemMut::begin(&mut fs).err().unwrap().to_string();
    assert!(error.contains("needs_recovery") && error.contains("journal must be replayed"), "{error}");
    let mut after = vec![0; copy.len()];
    disk.read_at(&mut after, 0).unwrap();
    assert!(after == copy);
}

#[test]
fn what_the_superblock_says() {
    let Some(image) = Image::with_options(&find("default"), 64 << 20, &["-L", "root"]) else { return };
    let info = image.open().info().unwrap();
    assert_eq!(info.kind, "ext4");
    assert_eq!(info.label.as_deref(), Some("root"));
    assert_eq!(info.uuid.as_deref(), Some("6d0e4b1c-93f5-4a7c-8f66-0a1b2c3d4e5f"));
    assert_eq!((info.block_size, info.size), (4096, 64 << 20));
    assert_eq!(info.state, State::Clean);
    assert!(info.features.iter().any(|name| name == "metadata_csum"), "{:?}", info.features);
    assert_eq!(Image::new(&find("ext3"), 16 << 20).unwrap().open().info().unwrap().kind, "ext3");
    assert_eq!(Image::new(&find("ext2"), 16 << 20).unwrap().open().info().unwrap().kind, "ext2");

    // dumpe2fs is a second opinion on what is free.
    let output = judge::run(judge::tool("dumpe2fs").arg("-h").arg(image.path()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |key: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    assert_eq!(image.open().free(u64::MAX).unwrap(), number("Free blocks:") * 4096);
    assert_eq!(info.free_nodes, Some(number("Free inodes:")));
    let free: u64 = image.open().free_ranges().unwrap().iter().map(|range| range.end - range.start).sum();
    assert_eq!(free, image.open().free(u64::MAX).unwrap());
}
