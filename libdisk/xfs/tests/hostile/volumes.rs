//! Volumes that were unmounted: all their metadata.

use std::ops::Range;

use block::Overlay;
use block::testing::count::Count;
use testimages::hostile::cases;
use testimages::judge;
use vfs::FileSystem;
use vfs::conformance::{Damage, Rng, Structure, Target, compare, exercise};

use crate::support::{Image, Variant, find, variant};
use crate::{CEILING, MEMORY, READS};

/// A kind of structure: its name, its magic number and where that is, its length in blocks (0 for a sector of
/// 512 bytes), and where its checksum is.
type Kind = (&'static str, &'static [u8], usize, usize, usize);

/// Blocks of 1 KiB, directory blocks of 4 KiB.
const KINDS: &[Kind] = &[
    ("superblock", b"XFSB", 0, 0, 224),
    ("free space headers", b"XAGF", 0, 0, 216),
    ("inode headers", b"XAGI", 0, 0, 312),
    ("free lists", b"XAFL", 0, 0, 32),
    ("inodes", b"IN", 0, 0, 100),
    ("free space by place", b"AB3B", 0, 1, 52),
    ("free space by size", b"AB3C", 0, 1, 52),
    ("inode tree", b"IAB3", 0, 1, 52),
    ("free inode tree", b"FIB3", 0, 1, 52),
    ("owners", b"RMB3", 0, 1, 52),
    ("shared blocks", b"R3FC", 0, 1, 52),
    ("extent tree", b"BMA3", 0, 1, 64),
    ("directory blocks", b"XDB3", 0, 4, 4),
    ("directory data", b"XDD3", 0, 4, 4),
    ("directory free space", b"XDF3", 0, 4, 4),
    ("directory leaf", b"\x3d\xf1", 8, 4, 12),
    ("directory leaves", b"\x3d\xff", 8, 4, 12),
    ("attribute leaves", b"\x3b\xee", 8, 1, 12),
    ("attribute values", b"XARM", 0, 1, 12),
    ("symbolic links", b"XSLM", 0, 1, 12),
];

/// Bytes of the largest.
const LARGEST: usize = 4 << 10;

/// A structure of the volume: its place, and where in it the checksum is.
struct Part {
    place: Range<usize>,
    checksum: usize,
}

/// A volume, and a target of its metadata alone, one part after another.
struct Volume {
    image: Image,
    target: Target,
    parts: Vec<Part>,
}

impl Volume {
    /// With a little of everything, but for the structures that the variant does not have.
    fn new(variant: &Variant, without: &[&str]) -> Option<Self> {
        let image = Image::new(variant, 24 << 20)?;
        if !judge::need_kernel_mounts() {
            return None;
        }
        image.populate(fill);
        image.judge();
        let disk = image.disk();
        let mut parts = Vec::new();
        let mut structures: Vec<Structure> =
            KINDS.iter().map(|(name, ..)| Structure { name, places: Vec::new() }).collect();
        let mut compact = Vec::new();
        for start in (0..image.size as usize - LARGEST).step_by(512) {
            let found = disk.read_vec(start as u64, LARGEST).unwrap();
            for ((_, magic, at, blocks, checksum), structure) in KINDS.iter().zip(&mut structures) {
                let (len, step) = if *blocks == 0 { (512, 512) } else { (blocks * 1024, 1024) };
                let part = &found[..len];
                let whole = start.is_multiple_of(step)
                    && part[*at..].starts_with(magic)
                    && checksum_of(part, *checksum) == part[*checksum..*checksum + 4];
                // Some of the inodes will do: there are many free ones, all alike.
                if whole && structure.places.len() < 60 * 512 {
                    let from = compact.len();
                    compact.extend_from_slice(part);
                    let says = |at: &usize| compact[*at] != 0 || at.is_multiple_of(16);
                    structure.places.extend((from..compact.len()).filter(says));
                    parts.push(Part { place: start..start + len, checksum: *checksum });
                }
            }
        }
        for structure in &structures {
            assert_eq!(structure.places.is_empty(), without.contains(&structure.name), "{}", structure.name);
        }
        structures.retain(|structure| !structure.places.is_empty());
        let target = Target { bytes: compact, structures };
        Some(Self { image, target, parts })
    }

    /// A damaged copy. Most parts that were hit get a checksum that fits.
    fn damaged(&self, rng: &mut Rng) -> (Overlay, Damage) {
        let (bytes, damage) = self.target.damaged(rng);
        let overlay = Overlay::new(self.image.disk()).unwrap();
        let mut at = 0;
        for part in &self.parts {
            let len = part.place.len();
            let mut piece = bytes[at..at + len].to_vec();
            if piece != self.target.bytes[at..at + len] {
                if !rng.one_in(8) {
                    let sum = checksum_of(&piece, part.checksum);
                    piece[part.checksum..part.checksum + 4].copy_from_slice(&sum);
                }
                overlay.writer().write_at(&piece, part.place.start as u64).unwrap();
            }
            at += len;
        }
        (overlay, damage)
    }
}

/// CRC-32C with the checksum's own bytes as zeros, little-endian.
fn checksum_of(part: &[u8], at: usize) -> [u8; 4] {
    let mut part = part.to_vec();
    part[at..at + 4].fill(0);
    crc32c::crc32c(&part).to_le_bytes()
}

fn fill(root: &std::path::Path) {
    use std::os::unix::fs::{FileExt, symlink};
    let write = |path: &str, len: usize| std::fs::write(root.join(path), vec![0xdd; len]).unwrap();
    for dir in ["dir/below", "leaf", "node", "block"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    write("small", 50);
    write("large", 400_000);
    for (dir, count) in [("dir", 3), ("block", 40), ("leaf", 100), ("node", 700)] {
        for number in 0..count {
            std::fs::hard_link(root.join("small"), root.join(format!("{dir}/{number:080}"))).unwrap();
        }
    }
    symlink("short", root.join("fast")).unwrap();
    symlink("long".repeat(200), root.join("slow")).unwrap();
    let none = rustix::fs::XattrFlags::empty();
    let xattr = |path: &str, name: &str, len: usize| {
        rustix::fs::lsetxattr(root.join(path), name, &vec![7; len], none).unwrap();
    };
    xattr("small", "user.inside", 5);
    xattr("large", "user.remote", 5000);
    for number in 0..60 {
        xattr("large", &format!("user.outside-{number}"), 50);
    }
    let pieces = std::fs::File::create(root.join("pieces")).unwrap();
    for piece in 0..100 {
        pieces.write_all_at(&[0xdd; 1024], piece * 3072).unwrap();
    }
    let clone = std::fs::File::create(root.join("clone")).unwrap();
    // Not every variant can.
    rustix::fs::ioctl_ficlone(&clone, std::fs::File::open(root.join("large")).unwrap()).ok();
}

/// Damages the volume so often, and uses what is left.
fn survives(name: &str, volume: &Volume, count: u64) {
    let (mut tried, mut opened, mut commits, mut most) = (0, 0, 0, 0);
    cases(name, count, CEILING, |random| {
        let mut rng = Rng::new(random.u64(..));
        let (overlay, damage) = volume.damaged(&mut rng);
        let reads = Count::default();
        tried += 1;
        if let Ok(mut fs) = xfs::open_mut(reads.disk_mut(&overlay.writer())) {
            opened += 1;
            commits += exercise(&mut fs, &mut rng);
        }
        let requests = reads.reads().requests;
        most = most.max(requests);
        assert!(requests < READS, "{requests} reads");
        drop(damage);
    });
    let held = MEMORY.peak_usage() >> 20;
    eprintln!("{name}: of {tried}, {opened} opened, {commits} commits, {most} reads and {held} MiB at most");
    assert!(opened > tried / 2 && commits > tried, "of {tried}, {opened} opened, {commits} commits");
}

/// With [`damaged_volumes_of_few_features`] these are ten thousand.
#[test]
fn damaged_volumes() {
    let Some(volume) = Volume::new(&find("1k_everything"), &[]) else { return };
    survives("xfs", &volume, 6500);
}

#[test]
fn damaged_volumes_of_few_features() {
    let options = &["-b", "size=1024", "-m", "finobt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0"];
    let without = ["free inode tree", "owners", "shared blocks"];
    let Some(volume) = Volume::new(&variant("1k_plain_v5", 12, options), &without) else { return };
    survives("xfs of few features", &volume, 3500);
}

#[test]
fn damage_is_never_taken_for_content() {
    let Some(volume) = Volume::new(&find("1k_everything"), &[]) else { return };
    let good = volume.image.open();
    let mut rng = Rng::new(5);
    let mut noticed = 0;
    for turn in 0..200 {
        let structures = &volume.target.structures;
        let places = &structures[turn % structures.len()].places;
        let mut at = places[rng.below(places.len())];
        let part = volume.parts.iter().find(|part| {
            let inside = at < part.place.len();
            if !inside {
                at -= part.place.len();
            }
            inside
        });
        let place = (part.unwrap().place.start + at) as u64;
        let overlay = Overlay::new(volume.image.disk()).unwrap();
        let old = overlay.disk().read_vec(place, 1).unwrap()[0];
        overlay.writer().write_at(&[old ^ 1 << rng.below(8)], place).unwrap();
        let Ok(fs) = xfs::open(overlay.disk()) else {
            noticed += 1;
            continue;
        };
        if let Err(difference) = compare(&good, &fs) {
            assert!(difference.what.contains("cannot be read"), "byte {place:#x}: {difference}");
            noticed += 1;
        }
        let _ = fs.free_ranges();
    }
    // The rest lies in what a reader does not use: trees of groups, free inodes.
    assert!(noticed > 40, "only {noticed} were noticed");
}
