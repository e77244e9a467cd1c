//! Damaged metadata: errors, never a panic, a hang, or memory without bound.

#![allow(clippy::print_stderr, reason = "a failed test says which damage it was")]

mod support;

use std::collections::{HashSet, VecDeque};

use block::{Disk, DiskMut, Memory};
use support::{Image, find};
use testimages::judge;
use vfs::conformance::{Rng, compare};
use vfs::{Attributes, FileSystem, FileSystemMut, NodeId, Timestamp};

/// Nodes that a walk visits: more than the volume has.
const NODES: usize = 3000;

/// A small volume with a little of everything, and the places of its metadata.
fn small(name: &str) -> Option<(Vec<u8>, Vec<usize>)> {
    let image =
        Image::with_options(&find(name), 2 << 20, &["-N", "256", "-O", "^has_journal,^resize_inode"])?;
    if !judge::need_kernel_mounts() {
        return None;
    }
    image.populate(|root| {
        use std::os::unix::fs::symlink;
        let write = |path: &str, len: usize| std::fs::write(root.join(path), vec![0xdd; len]).unwrap();
        std::fs::create_dir_all(root.join("dir/below")).unwrap();
        write("small", 50);
        write("large", 400_000);
        for number in 0..100 {
            std::fs::hard_link(root.join("small"), root.join(format!("dir/{number:080}"))).unwrap();
        }
        symlink("short", root.join("fast")).unwrap();
        symlink("long".repeat(100), root.join("slow")).unwrap();
        let none = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(root.join("small"), "user.inside", b"value", none).unwrap();
        rustix::fs::lsetxattr(root.join("large"), "user.outside", &[7; 500], none).unwrap();
        // One block of content, one hole, and so on: an extent tree with a level.
        let pieces = std::fs::File::create(root.join("pieces")).unwrap();
        for piece in 0..60 {
            std::os::unix::fs::FileExt::write_all_at(&pieces, &[0xdd; 1024], piece * 3072).unwrap();
        }
    });
    image.judge();
    let bytes = image.bytes();
    let is_content = |block: &[u8]| block.iter().all(|&byte| matches!(byte, 0 | 0xdd));
    let places = bytes.chunks(1024).enumerate().filter(|(_, block)| !is_content(block));
    let places = places.flat_map(|(at, block)| {
        // All bytes that say something, and a few zeros.
        let said = block.iter().enumerate().filter(|(at, byte)| **byte != 0 || at % 16 == 0);
        said.map(move |(within, _)| at * 1024 + within).collect::<Vec<_>>()
    });
    let places = places.collect();
    Some((bytes, places))
}

/// Uses every way to read.
fn walk(fs: &dyn FileSystem) -> Vec<NodeId> {
    fs.info().ok();
    fs.free_ranges().ok();
    let mut seen = HashSet::new();
    let mut to_do = VecDeque::from([fs.root()]);
    let mut nodes = Vec::new();
    let mut buf = vec![0; 70_000];
    while let Some(node) = to_do.pop_front().filter(|_| nodes.len() < NODES) {
        if !seen.insert(node) {
            continue;
        }
        nodes.push(node);
        let size = fs.metadata(node).map_or(0, |metadata| metadata.size);
        for offset in [0, size / 2, size.saturating_sub(1), u64::MAX - 1] {
            fs.read_at(node, &mut buf, offset).ok();
        }
        fs.read_link(node).ok();
        fs.xattrs(node).ok();
        fs.lookup(node, b"below").ok();
        to_do.extend(fs.read_dir(node).unwrap_or_default().iter().map(|entry| entry.node));
    }
    nodes
}

/// Uses every way to write; each verb in a change of its own, since an error ends a change.
fn edit(fs: &mut ext4::Ext4Mut, nodes: &[NodeId], rng: &mut Rng) {
    let attributes =
        Attributes { xattrs: vec![(b"user.new".to_vec(), vec![1; 200])], ..Attributes::default() };
    let any = |rng: &mut Rng| nodes[rng.below(nodes.len())];
    for verb in 0..8 {
        let (node, dir) = (any(rng), any(rng));
        let Ok(mut change) = fs.begin() else { return };
        let name = change
            .fs()
            .read_dir(dir)
            .unwrap_or_default()
            .first()
            .map_or(b"x".to_vec(), |entry| entry.name.clone());
        let done = match verb {
            0 => change.create(dir, b"new", &attributes, &[1; 5000]).map(|_| ()),
            1 => change.replace(node, &[2; 100_000], Timestamp::default()),
            2 => change.mkdir(dir, &[b'n'; 200], &attributes).map(|_| ()),
            3 => change.symlink(dir, b"link", &attributes, &[b't'; 300]).map(|_| ()),
            4 => change.link(dir, b"hard", node),
            5 => change.rename(dir, &name, node, b"moved"),
            6 => change.unlink(dir, &name),
            _ => change.set_xattr(node, b"user.more", Some(&[3; 300])),
        };
        if done.is_ok() {
            change.commit().ok();
        }
    }
}

fn mutate(name: &str, count: usize) {
    let count = if std::env::var_os("REFLOAT_LONG").is_some() { count * 20 } else { count };
    let Some((image, places)) = small(name) else { return };
    let mut rng = Rng::new(11);
    for turn in 0..count {
        let mut bytes = image.clone();
        let mut changed = Vec::new();
        for _ in 0..=rng.below(4) {
            let at = places[rng.below(places.len())];
            let value = match rng.below(4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << rng.below(8)),
                _ => rng.below(256) as u8,
            };
            bytes[at] = value;
            changed.push((at, value));
        }
        let told = Told { name, turn, changed: &changed };
        let device = DiskMut::new(Memory::new(bytes));
        if let Ok(mut fs) = ext4::open_mut(device) {
            let nodes = walk(&fs);
            edit(&mut fs, &nodes, &mut rng);
        }
        drop(told);
    }
}

/// Says which damage it was, should something panic.
struct Told<'a> {
    name: &'a str,
    turn: usize,
    changed: &'a [(usize, u8)],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}, turn {}: {:x?}", self.name, self.turn, self.changed);
        }
    }
}

#[test]
fn without_checksums() {
    mutate("ext4_block_maps", 300);
    mutate("gdt_csum", 300);
}

#[test]
fn extents_without_checksums() {
    mutate("1k_no_checksums", 1000);
}

#[test]
fn ext2() {
    mutate("ext2", 1000);
}

#[test]
fn inline_data_without_checksums() {
    mutate("1k_inline_data", 500);
}

#[test]
fn with_checksums() {
    mutate("1k_blocks", 300);
}

#[test]
fn damage_is_never_taken_for_content() {
    let Some((image, places)) = small("1k_blocks") else { return };
    let good = ext4::open(Disk::new(Memory::new(image.clone()))).unwrap();
    let mut rng = Rng::new(5);
    let mut noticed = 0;
    for _ in 0..500 {
        let at = places[rng.below(places.len())];
        // The block of a long target has no checksum.
        if image[at / 1024 * 1024..].starts_with(b"longlong") {
            continue;
        }
        let mut bytes = image.clone();
        bytes[at] ^= 1 << rng.below(8);
        let Ok(fs) = ext4::open(Disk::new(Memory::new(bytes))) else {
            noticed += 1;
            continue;
        };
        if let Err(difference) = compare(&good, &fs) {
            assert!(difference.what.contains("cannot be read"), "byte {at:#x}: {difference}");
            noticed += 1;
        }
    }
    // The rest lies in what a reader does not use: backups, bitmaps, free inodes.
    assert!(noticed > 200, "only {noticed} were noticed");
}
