//! Damaged volumes: anything may be refused, but nothing may panic, hang or eat memory.

#[path = "../it/mounted.rs"]
mod mounted;

use std::fs;

use block::{Disk, Memory};
use mounted::made;
use testimages::hostile;
use vfs::conformance::walk;

#[global_allocator]
static MEMORY: hostile::Memory = hostile::Memory;

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

#[test]
fn damaged_records_and_indexes() {
    let volume = made(&["-c", "4096"], 4 << 20, |top| {
        for n in 0..60 {
            fs::write(top.join(format!("file {n}")), vec![1; n * 300]).unwrap();
        }
        let dir = top.join("dir");
        fs::create_dir(&dir).unwrap();
        (0..100).for_each(|n| fs::write(dir.join(format!("a longer name, number {n}")), b"x").unwrap());
        std::os::unix::fs::symlink("file 1", top.join("link")).unwrap();
    });
    let Some(volume) = volume else { return };
    let found = |magic: &[u8]| -> Vec<usize> {
        (0..volume.len()).step_by(1024).filter(|at| volume[*at..].starts_with(magic)).collect()
    };
    let (records, nodes) = (found(b"FILE"), found(b"INDX"));
    assert!(records.len() > 100 && !nodes.is_empty());
    let (mut opened, mut tried) = (0, 0);
    hostile::cases("ntfs", 10_000, 64 << 20, |random| {
        let mut bytes = volume.clone();
        for _ in 0..random.usize(1..4) {
            let (at, len) = match random.u8(..10) {
                0 => (0, 512),
                1..=6 => (records[random.usize(..records.len())], 1024),
                _ => (nodes[random.usize(..nodes.len())], 4096),
            };
            hostile::damage(random, &mut bytes[at..at + len], 0..len / 3);
        }
        tried += 1;
        opened += u64::from(look(bytes));
    });
    assert!(opened > tried / 2, "{opened} of {tried} were opened");
}
