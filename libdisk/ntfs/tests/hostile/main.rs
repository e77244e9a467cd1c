//! Damaged volumes: anything may be refused, but nothing may panic, hang or eat memory.

#[path = "../it/mounted.rs"]
mod mounted;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use block::testing::count::Count;
use block::{Disk, DiskMut, Memory, Overlay};
use mounted::{in_pieces, made};
use support::script::{script, write};
use testimages::hostile;
use testimages::ntfs::structures::log;
use vfs::conformance::{Rng, exercise, walk};

#[global_allocator]
static MEMORY: hostile::Memory = hostile::Memory;

/// Reads of the device that one volume may cost: work that does not depend on the machine.
const READS: u64 = 200_000;

/// Uses a volume as far as it lets; whether it could be opened.
fn look(bytes: Vec<u8>) -> bool {
    let Ok(fs) = ntfs::open(Disk::new(Memory::new(bytes))) else { return false };
    let _ = fs.info();
    for node in walk(&*fs).into_iter().take(500) {
        let _ = (fs.metadata(node), fs.read_link(node), fs.next_data(node, 100));
        let mut buf = [0; 5000];
        let _ = (fs.read_at(node, &mut buf, 0), fs.read_at(node, &mut buf, 70_000));
        let _ = (fs.lookup(node, b"file 7"), fs.read_dir(node));
    }
    true
}

/// A volume, and where its structures are: boot sector, records, nodes of indexes, bits of clusters.
struct Sample {
    bytes: Vec<u8>,
    records: Vec<usize>,
    nodes: Vec<usize>,
    bitmap: usize,
}

/// A sample; with a file in so many pieces that it has a list of its attributes, if the volume is large
/// enough.
fn sample(size: u64, pieces: usize) -> Option<Sample> {
    let mut bytes = made(&["-c", "4096"], size, |top| {
        for n in 0..60 {
            fs::write(top.join(format!("file {n}")), vec![1; n * 300]).unwrap();
        }
        let dir = top.join("dir");
        fs::create_dir(&dir).unwrap();
        (0..100).for_each(|n| fs::write(dir.join(format!("a longer name, number {n}")), b"x").unwrap());
        std::os::unix::fs::symlink("file 1", top.join("link")).unwrap();
    })?;
    if pieces > 0 {
        bytes = in_pieces(bytes, "pieces", pieces);
    }
    let found = |magic: &[u8]| -> Vec<usize> {
        (0..bytes.len()).step_by(1024).filter(|at| bytes[*at..].starts_with(magic)).collect()
    };
    let (records, nodes) = (found(b"FILE"), found(b"INDX"));
    assert!(records.len() > 100 && !nodes.is_empty());
    let fs = ntfs::open(Disk::new(Memory::new(bytes.clone()))).unwrap();
    let mut content = vec![0; bytes.len() / 4096 / 8];
    let bitmap = fs.lookup(fs.root(), b"$Bitmap").unwrap();
    assert_eq!(fs.read_at(bitmap, &mut content, 0).unwrap(), content.len());
    let bitmap = bytes.chunks(4096).position(|cluster| cluster.starts_with(&content)).unwrap();
    // A record that is a part of another one: there are lists.
    assert!(pieces == 0 || records.iter().any(|at| bytes[at + 32..at + 40] != [0; 8]));
    Some(Sample { records, nodes, bitmap: bitmap * 4096, bytes })
}

impl Sample {
    fn damaged(&self, random: &mut hostile::Rng) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for _ in 0..random.usize(1..4) {
            let (at, len) = match random.u8(..10) {
                0 => (0, 512),
                1 => (self.bitmap, 128),
                2..=6 => (self.records[random.usize(..self.records.len())], 1024),
                _ => (self.nodes[random.usize(..self.nodes.len())], 4096),
            };
            hostile::damage(random, &mut bytes[at..at + len], 0..len / 3);
        }
        bytes
    }
}

#[test]
fn damaged_records_and_indexes() {
    let Some(sample) = sample(4 << 20, 0) else { return };
    let (mut opened, mut tried) = (0, 0);
    hostile::cases("ntfs", 10_000, 64 << 20, |random| {
        tried += 1;
        opened += u64::from(look(sample.damaged(random)));
    });
    assert!(opened > tried / 2, "{opened} of {tried} were opened");
}

#[test]
fn damaged_volumes_are_changed() {
    let Some(sample) = sample(10 << 20, 400) else { return };
    let (mut begun, mut tried, mut commits) = (0, 0, 0);
    hostile::cases("ntfs, changed", 300, 64 << 20, |random| {
        tried += 1;
        let reads = Count::default();
        let device = reads.disk_mut(&DiskMut::new(Memory::new(sample.damaged(random))));
        let Ok(mut fs) = ntfs::open_mut(device) else { return };
        begun += u64::from(fs.begin().is_ok());
        commits += exercise(&mut *fs, &mut Rng::new(random.u64(..)));
        let requests = reads.reads().requests;
        assert!(requests < READS, "{requests} reads");
    });
    assert!(begun > tried / 2 && commits > 2 * begun, "{begun} of {tried}, {commits} commits");
}

#[test]
fn damaged_logs() {
    let script = script(1024);
    let (start, _) = log(&script.volume);
    let (mut replayed, mut tried) = (0, 0);
    hostile::cases("ntfs log", 200, 64 << 20, |random| {
        let ([plain, copied], _) = write(&script, random);
        let volume = Overlay::new(if random.bool() { plain } else { copied }).unwrap();
        for _ in 0..random.usize(1..4) {
            let change = random.choice(&script.changes).unwrap();
            let (place, len) = match random.u8(..8) {
                0 => (start + 4096 * random.u64(..2), 0x100),
                // Pages in the ring, and copies of them.
                1..=3 => (start + 4096 * random.u64(34..40), 4096),
                4 | 5 => (start + 4096 * random.u64(2..8), 4096),
                // What they change.
                _ => (change.lcns[0] * 1024, 1024),
            };
            let mut bytes = volume.disk().read_vec(place, len).unwrap();
            hostile::damage(random, &mut bytes, 0x40.min(len / 4)..len / 2);
            volume.writer().write_at(&bytes, place).unwrap();
        }
        let before = volume.dirty();
        tried += 1;
        let reads = Count::default();
        match ntfs::replay(&reads.disk_mut(&volume.writer())) {
            Ok(_) => replayed += 1,
            Err(_) => assert_eq!(volume.dirty(), before),
        }
        let requests = reads.reads().requests;
        assert!(requests < READS, "{requests} reads");
        if let Ok(fs) = ntfs::open(volume.disk()) {
            let _ = fs.info();
        }
    });
    assert!(replayed > tried / 10 && replayed < tried, "{replayed} of {tried} were replayed");
}
