//! Damaged volumes: anything may be refused, but nothing may panic, hang or eat memory.

#![allow(clippy::print_stderr, reason = "what was damaged, and how much of it was let through")]

#[path = "fat/mtools.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod mtools;

use std::fs;

use block::testing::count::Count;
use block::{Disk, DiskMut, Memory as Bytes};
use testimages::hostile::{Memory, cases};
use testimages::judge;
use vfs::conformance::{Rng, Structure, Target, exercise, walk};
use vfs::{Attributes, FileSystem, FileSystemMut, Timestamp};

use mtools::{KINDS, PROGRAMS, Volume};

#[global_allocator]
static MEMORY: Memory = Memory;

/// What all tests of this file may hold together.
const CEILING: usize = 32 << 20;

/// Reads of the device that one volume may cost: work that does not depend on the machine.
const READS: u64 = 100_000;

/// A volume with all kinds of entries.
fn sample(options: &[&str], size: u64) -> Vec<u8> {
    let volume = Volume::new(options, size);
    let mut fs = fat::open_mut(volume.disk_mut()).unwrap();
    let mut change = fs.begin().unwrap();
    let mut dir = change.fs().root();
    let attributes =
        Attributes { time: Timestamp { seconds: 1_600_000_000, nanos: 0 }, ..Attributes::default() };
    for depth in 0..6 {
        for file in 0..6 {
            let name = format!("{} {file}", "a longer name than eight ".repeat(depth));
            change.create(dir, name.trim().as_bytes(), &attributes, &vec![1; 3000 * file]).unwrap();
        }
        dir = change.mkdir(dir, format!("directory {depth}").as_bytes(), &attributes).unwrap();
    }
    change.commit().unwrap();
    fs::read(volume.path()).unwrap()
}

/// Where everything is, by the fields of the boot sector.
fn target(bytes: Vec<u8>) -> Target {
    let le16 = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let sector = le16(11);
    // BPB_RsvdSecCnt, BPB_NumFATs, BPB_RootEntCnt, BPB_FATSz16 or else BPB_FATSz32
    let (reserved, tables, root_entries) = (le16(14), usize::from(bytes[16]), le16(17));
    let is_fat32 = le16(22) == 0;
    let table = if is_fat32 { le16(36) } else { le16(22) };
    let root = reserved + tables * table;
    let data = root + root_entries * 32 / sector;
    let is_content = |at: &usize| bytes[at * sector..(at + 1) * sector].iter().all(|&byte| byte <= 1);
    let directories = (data..bytes.len() / sector).filter(|at| !is_content(at));
    let structure =
        |name, sectors: &mut dyn Iterator<Item = usize>| Structure::of_blocks(name, &bytes, sector, sectors);
    let mut structures = vec![
        // The parameters come first; the rest is code.
        Structure { name: "boot sector", places: (0..90).chain(510..512).collect() },
        structure("first table", &mut (reserved..reserved + table)),
        structure("second table", &mut (reserved + table..root)),
        structure("directories", &mut directories.chain(root..data)),
    ];
    if is_fat32 {
        structures.push(structure("FSInfo", &mut (1..2)));
        structures.push(structure("backup boot sector", &mut (6..7)));
    }
    Target { structures, bytes }
}

/// Uses a volume as far as it lets.
fn survives(bytes: Vec<u8>, rng: &mut Rng) -> (bool, u64, u64) {
    let reads = Count::default();
    let device = reads.disk_mut(&DiskMut::new(Bytes::new(bytes)));
    let commits = fat::open_mut(device.clone()).map(|mut fs| exercise(&mut fs, rng));
    // What may not be written may yet be read.
    let opened = fat::open(device.disk()).map(|fs| walk(&fs)).is_ok();
    let requests = reads.reads().requests;
    assert!(requests < READS, "{requests} reads");
    (opened, commits.unwrap_or(0), requests)
}

/// Small volumes, so that most of their bytes matter; FAT32 can be made small, against the specification.
const SMALL: [(&str, &[&str], u64, u64); 3] = [
    ("FAT12", &["-F", "12", "-s", "16"], 2 << 20, 3000),
    ("FAT16", &["-F", "16", "-s", "1"], 4 << 20, 3000),
    ("FAT32", &["-F", "32", "-s", "1"], 1 << 20, 4000),
];

#[test]
fn ten_thousand_damaged_volumes() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    for (name, options, size, count) in SMALL {
        let target = target(sample(options, size));
        let (mut tried, mut opened, mut commits, mut most) = (0, 0, 0, 0);
        cases(name, count, CEILING, |random| {
            let mut rng = Rng::new(random.u64(..));
            let (bytes, damage) = target.damaged(&mut rng);
            let done = survives(bytes, &mut rng);
            tried += 1;
            opened += u64::from(done.0);
            commits += done.1;
            most = most.max(done.2);
            drop(damage);
        });
        let held = MEMORY.peak_usage() >> 20;
        eprintln!(
            "{name}: of {tried}, {opened} opened, {commits} commits, {most} reads and {held} MiB at most"
        );
        assert!(
            opened > tried / 2 && commits > tried,
            "{name}: of {tried}, {opened} opened, {commits} commits"
        );
    }
    assert_eq!(SMALL.iter().map(|(_, _, _, count)| count).sum::<u64>(), 10_000);
}

#[test]
fn chains_in_a_circle() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let clean = sample(&["-F", "16", "-s", "1"], 4 << 20);
    let reserved = usize::from(u16::from_le_bytes([clean[14], clean[15]])) * 512;
    // Every cluster in turn leads to itself, to the first, or nowhere.
    for cluster in 2..60_usize {
        for target in [cluster as u16, 2, 0, 1, 0xFFF7, 0xFFF0] {
            let mut image = clean.clone();
            image[reserved + 2 * cluster..reserved + 2 * cluster + 2].copy_from_slice(&target.to_le_bytes());
            survives(image, &mut Rng::new(cluster as u64));
        }
    }
}

#[test]
fn a_circle_is_not_followed_as_far_as_the_size_of_the_file_goes() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let mut image = sample(&["-F", "16", "-s", "1"], 4 << 20);
    let table = usize::from(u16::from_le_bytes([image[14], image[15]])) * 512;
    // DIR_FstClusLO and DIR_FileSize of the file "5"
    let entry = image.windows(11).position(|name| name == b"5          ").unwrap();
    let cluster = [image[entry + 26], image[entry + 27]];
    let link = table + 2 * usize::from(u16::from_le_bytes(cluster));
    image[link..link + 2].copy_from_slice(&cluster);
    image[entry + 28..entry + 32].fill(0xff);
    let reads = Count::default();
    let fs = fat::open(reads.disk(&Disk::new(Bytes::new(image)))).unwrap();
    let file = fs.lookup(fs.root(), b"5").unwrap();
    let error = fs.read_at(file, &mut [0; 512], 1 << 31).unwrap_err();
    assert!(error.to_string().contains("larger than the volume"), "{error}");
    assert!(reads.reads().requests < 100, "{:?}", reads.reads());
}

#[test]
fn a_volume_that_claims_to_be_huge() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let mut image = sample(KINDS[2].1, 1 << 20);
    // Sectors in 32 bits, which count when there are none in 16; and sectors of a table.
    image[19..21].fill(0);
    image[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(fat::open(Disk::new(Bytes::new(image.clone()))).is_err());
    image[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(fat::open(Disk::new(Bytes::new(image))).is_err());
}
