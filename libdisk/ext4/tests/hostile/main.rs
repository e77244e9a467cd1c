//! Damaged metadata: errors, never a panic, a hang, or memory without bound.

#![allow(clippy::print_stderr, reason = "what was damaged, and how much of it was let through")]

#[path = "../support/mod.rs"]
mod support;
mod targets;

use std::collections::BTreeSet;

use block::testing::count::Count;
use block::{Disk, DiskMut, Memory as Bytes};
use targets::{busy, clean};
use testimages::hostile::{Memory, cases};
use vfs::FileSystem;
use vfs::conformance::{Rng, Target, compare, exercise};

#[global_allocator]
static MEMORY: Memory = Memory;

/// What all tests of this file may hold together.
const CEILING: usize = 32 << 20;

/// Reads of the device that one volume may cost: work that does not depend on the machine.
const READS: u64 = 5000;

/// Volumes that were unmounted, by variant, and how many damaged copies of each.
const CLEAN: &[(&str, u64)] = &[
    ("1k_no_checksums", 2500),
    ("1k_inline_data", 1000),
    ("ext2", 1500),
    ("ext4_block_maps", 500),
    ("gdt_csum", 500),
    ("1k_blocks", 500),
];

/// Volumes in use, by variant and further features.
const BUSY: &[(&str, &str, u64)] = &[
    ("1k_no_checksums", "^orphan_file", 1500),
    ("1k_no_checksums", "orphan_file", 1500),
    ("1k_blocks", "orphan_file", 500),
];

/// Damages the target so often, and recovers and uses what is left; its structures.
fn survives(name: &str, target: &Target, count: u64) -> BTreeSet<&'static str> {
    let (mut tried, mut opened, mut commits, mut most) = (0, 0, 0, 0);
    cases(name, count, CEILING, |random| {
        let mut rng = Rng::new(random.u64(..));
        let (bytes, damage) = target.damaged(&mut rng);
        let reads = Count::default();
        let device = reads.disk_mut(&DiskMut::new(Bytes::new(bytes)));
        tried += 1;
        ext4::replay(&device).ok();
        if let Ok(mut fs) = ext4::open_mut(device) {
            opened += 1;
            commits += exercise(&mut fs, &mut rng);
        }
        let requests = reads.reads().requests;
        most = most.max(requests);
        assert!(requests < READS, "{name}: {requests} reads");
        drop(damage);
    });
    let held = MEMORY.peak_usage() >> 20;
    eprintln!("{name}: of {tried}, {opened} opened, {commits} commits, {most} reads and {held} MiB at most");
    assert!(opened > tried / 4 && commits > tried, "{name}: of {tried}, {opened} opened, {commits} commits");
    target.structures.iter().map(|structure| structure.name).collect()
}

#[test]
fn unmounted_volumes() {
    let mut structures = BTreeSet::new();
    for (name, count) in CLEAN {
        let Some(target) = clean(name) else { return };
        structures.extend(survives(name, &target, *count));
    }
    let all = [
        "block bitmap",
        "block maps",
        "directories",
        "extended attributes",
        "extent tree blocks",
        "extent tree roots",
        "group descriptors",
        "htree",
        "inline data",
        "inode bitmap",
        "inodes",
        "superblock",
    ];
    assert!(structures.iter().eq(&all), "{structures:?}");
}

#[test]
fn volumes_in_use() {
    let mut structures = BTreeSet::new();
    for (name, features, count) in BUSY {
        let Some(target) = busy(name, features) else { return };
        structures.extend(survives(&format!("{name}, {features}, in use"), &target, *count));
    }
    let own = ["journal blocks", "journal superblock", "logged blocks", "orphan file"];
    assert!(own.iter().all(|name| structures.contains(name)), "{structures:?}");
}

#[test]
fn there_are_ten_thousand() {
    let clean: u64 = CLEAN.iter().map(|(_, count)| count).sum();
    let busy: u64 = BUSY.iter().map(|(_, _, count)| count).sum();
    assert_eq!(clean + busy, 10_000);
}

#[test]
fn a_name_that_leaves_its_directory_is_corrupt() {
    let Some(Target { mut bytes, .. }) = clean("1k_no_checksums") else { return };
    let at = bytes.windows(6).position(|name| name == b"pieces").unwrap();
    bytes[at..at + 6].copy_from_slice(b"../../");
    let fs = ext4::open(Disk::new(Bytes::new(bytes))).unwrap();
    let error = fs.read_dir(fs.root()).unwrap_err();
    assert!(error.to_string().contains("a name with '/'"), "{error}");
}

#[test]
fn damage_is_never_taken_for_content() {
    let Some(Target { bytes: image, structures }) = clean("1k_blocks") else { return };
    let good = ext4::open(Disk::new(Bytes::new(image.clone()))).unwrap();
    let mut rng = Rng::new(5);
    let mut noticed = 0;
    for turn in 0..1000 {
        let places = &structures[turn % structures.len()].places;
        let at = places[rng.below(places.len())];
        let mut bytes = image.clone();
        bytes[at] ^= 1 << rng.below(8);
        let Ok(fs) = ext4::open(Disk::new(Bytes::new(bytes))) else {
            noticed += 1;
            continue;
        };
        if let Err(difference) = compare(&good, &fs) {
            assert!(difference.what.contains("cannot be read"), "byte {at:#x}: {difference}");
            noticed += 1;
        }
    }
    // The rest lies in what a reader does not use: bitmaps, free inodes.
    assert!(noticed > 400, "only {noticed} were noticed");
}
