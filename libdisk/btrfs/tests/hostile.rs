//! Damaged volumes: errors, never a panic, a hang, or memory without bound.

#![allow(clippy::print_stderr, reason = "what was damaged, and how much of it was let through")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use block::testing::count::Count;
use block::{BlockRead, Disk, Extent};
use support::{Image, btrfs, xattr};
use testimages::hostile::{Memory, cases};
use testimages::judge;
use vfs::conformance::{Rng, Structure, Target, compare, walk};

#[global_allocator]
static MEMORY: Memory = Memory;

/// What a test of this file may hold.
const CEILING: usize = 48 << 20;

/// Reads of the device that one volume may cost: work that does not depend on the machine.
const READS: u64 = 20_000;

/// All tree blocks have this size, and pages, too.
const PAGE: usize = 4096;

/// A device of which only a few pages are not zero.
#[derive(Debug)]
struct Pages {
    bytes: Vec<u8>,
    /// Where in `bytes` a page is.
    index: BTreeMap<u64, usize>,
    size: u64,
}

impl BlockRead for Pages {
    fn layer(&self) -> &'static str {
        "pages"
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        let mut rest = buf;
        let mut at = offset;
        while !rest.is_empty() {
            let within = at as usize % PAGE;
            let (piece, more) = rest.split_at_mut(rest.len().min(PAGE - within));
            match self.index.get(&(at / PAGE as u64)) {
                Some(page) => piece.copy_from_slice(&self.bytes[page + within..][..piece.len()]),
                None => piece.fill(0),
            }
            at += piece.len() as u64;
            rest = more;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> block::Result<Extent> {
        Ok(Extent::data(range.end - range.start))
    }
}

/// A sound volume, its pages that are not zero, and which of them have checksums.
struct Sound {
    target: Target,
    index: BTreeMap<u64, usize>,
    size: u64,
    sealed: Vec<usize>,
}

impl Sound {
    /// A volume with these bytes in its pages; their checksums are made right.
    fn disk(&self, mut bytes: Vec<u8>) -> Disk {
        for &at in &self.sealed {
            let page = &mut bytes[at..at + PAGE];
            let sum = crc32c::crc32c(&page[32..]).to_le_bytes();
            page[..4].copy_from_slice(&sum);
        }
        Disk::new(Pages { bytes, index: self.index.clone(), size: self.size })
    }
}

fn fill(root: &Path, name: &str) {
    let write = |path: String, bytes: &[u8]| fs::write(root.join(path), bytes).unwrap();
    write(format!("{name}-small"), "inside of the item ".repeat(60).as_bytes());
    write(format!("{name}-large"), "compressed, in sectors ".repeat(3000).as_bytes());
    write(format!("{name}-random"), &support::pattern(20_000, 1));
    fs::create_dir(root.join(name)).unwrap();
    for number in 0..24 {
        fs::hard_link(root.join(format!("{name}-small")), root.join(format!("{name}/{number:050}"))).unwrap();
    }
    std::os::unix::fs::symlink("target", root.join(format!("{name}/link"))).unwrap();
    xattr(&root.join(name), "user.attribute", b"value");
    fs::File::create(root.join(format!("{name}/hole"))).unwrap().set_len(8 << 20).unwrap();
}

/// A volume with a little of everything; `None` after saying that the tests are skipped.
static SOUND: LazyLock<Option<Sound>> = LazyLock::new(sound);

fn sound() -> Option<Sound> {
    let image = Image::new(32 << 20, &["--mixed", "-m", "single", "-d", "single", "-n", "4096"])?;
    for compression in ["zlib", "lzo", "zstd"] {
        let mount = image.mount(&format!("compress-force={compression}"));
        fill(mount.path(), compression);
    }
    {
        let mount = image.mount("rw,nodatasum");
        btrfs(&["subvolume", "create"], &mount.path().join("below"));
        fill(&mount.path().join("below"), "plain");
        let source = mount.path().to_str().unwrap().to_owned();
        btrfs(&["subvolume", "snapshot", &source], &mount.path().join("snapshot"));
    }
    image.judge();
    let whole = fs::read(image.path()).unwrap();
    let dump = judge::run(judge::tool("btrfs").args(["inspect-internal", "dump-tree"]).arg(image.path()));
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    let live: BTreeSet<u64> = dump
        .lines()
        .filter(|line| line.starts_with("leaf ") || line.starts_with("node "))
        .filter_map(|line| line.split(' ').nth(1)?.parse().ok())
        .collect();

    let (mut bytes, mut index) = (Vec::new(), BTreeMap::new());
    let mut blocks: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    let mut sealed = Vec::new();
    for (number, page) in whole.chunks(PAGE).enumerate() {
        if page.iter().all(|&byte| byte == 0) {
            continue;
        }
        let at = bytes.len();
        let word = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
        let is_superblock = number == 16;
        let is_block = page[0x20..0x30] == whole[0x10020..0x10030] && live.contains(&word(0x30));
        if is_superblock || is_block {
            sealed.push(at);
            let name = match word(0x58) {
                _ if is_superblock => "superblock",
                1 => "root tree",
                2 => "extent tree",
                3 => "chunk tree",
                7 => "checksum tree",
                5 | 256.. => "subvolumes",
                _ => "other trees",
            };
            blocks.entry(name).or_default().push(at / PAGE);
        }
        index.insert(number as u64, at);
        bytes.extend(page);
    }
    let structures = blocks.into_iter().filter(|(name, _)| *name != "other trees");
    let structures =
        structures.map(|(name, blocks)| Structure::of_blocks(name, &bytes, PAGE, blocks)).collect();
    Some(Sound { target: Target { bytes, structures }, index, size: whole.len() as u64, sealed })
}

#[test]
fn ten_thousand_damaged_volumes() {
    let Some(sound) = &*SOUND else { return };
    let names: Vec<&str> = sound.target.structures.iter().map(|structure| structure.name).collect();
    assert_eq!(
        names,
        ["checksum tree", "chunk tree", "extent tree", "root tree", "subvolumes", "superblock"]
    );
    let whole = walk(&btrfs::open(sound.disk(sound.target.bytes.clone())).unwrap()).len();
    assert!(whole > 30, "{whole} nodes");
    // Not what making the volume took.
    MEMORY.reset_peak_usage();
    let (mut opened, mut nodes, mut most) = (0, 0, 0);
    cases("btrfs", 10_000, CEILING, |random| {
        let mut rng = Rng::new(random.u64(..));
        let (bytes, damage) = sound.target.damaged(&mut rng);
        let reads = Count::default();
        if let Ok(fs) = btrfs::open(reads.disk(&sound.disk(bytes))) {
            opened += 1;
            nodes += walk(&fs).len();
            let _ = fs.subvolumes().map(|known| known.len());
        }
        let requests = reads.reads().requests;
        most = most.max(requests);
        assert!(requests < READS, "{requests} reads");
        drop(damage);
    });
    let held = MEMORY.peak_usage() >> 20;
    eprintln!("{opened} opened, {nodes} nodes, {most} reads and {held} MiB at most");
    assert!(opened > 3000 && nodes > opened * 10, "{opened} opened, {nodes} nodes");
}

#[test]
fn damage_is_never_taken_for_content() {
    let Some(sound) = &*SOUND else { return };
    let good = btrfs::open(sound.disk(sound.target.bytes.clone())).unwrap();
    let mut rng = Rng::new(5);
    let mut noticed = 0;
    for turn in 0..200 {
        let places = &sound.target.structures[turn % sound.target.structures.len()].places;
        let at = places[rng.below(places.len())];
        let mut bytes = sound.target.bytes.clone();
        bytes[at] ^= 1 << rng.below(8);
        let pages = Pages { bytes, index: sound.index.clone(), size: sound.size };
        let Ok(fs) = btrfs::open(Disk::new(pages)) else {
            noticed += 1;
            continue;
        };
        if let Err(difference) = compare(&good, &fs) {
            assert!(difference.what.contains("cannot be read"), "byte {at:#x}: {difference}");
            noticed += 1;
        }
    }
    // The rest is in the extent tree, which says only what is free.
    assert!(noticed > 130, "only {noticed} were noticed");
}
