//! Damaged logs: what jbd2 would not replay is not replayed, and nothing panics, hangs or takes all memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use block::{Disk, Memory, Overlay};
use testimages::judge;
use vfs::{FileSystem, FsError};

use crate::busy::{Random, Stop, busy};
use crate::support::{Image, find, long};
use crate::{able, kernel_recovers, manifest, recover};

/// Where the blocks of the journal are, as byte offsets.
fn journal(image: &Image) -> Vec<usize> {
    let output = judge::run(judge::tool("debugfs").args(["-R", "blocks <8>"]).arg(image.path()));
    let blocks = String::from_utf8_lossy(&output.stdout).into_owned();
    let size = image.open().info().unwrap().block_size as usize;
    blocks.split_whitespace().map(|block| block.parse::<usize>().unwrap() * size).collect()
}

/// The blocks of the log that are the journal's own.
fn own_blocks(bytes: &[u8], journal: &[usize]) -> Vec<usize> {
    let own = |at: &usize| bytes[*at..].starts_with(&[0xc0, 0x3b, 0x39, 0x98]);
    journal.iter().copied().filter(own).collect()
}

fn is_clean(path: &Path) -> bool {
    judge::tool("e2fsck").arg("-fn").arg(path).output().unwrap().status.success()
}

/// Turns a few bytes of one block.
fn damage(bytes: &mut [u8], block: usize, block_size: usize, random: &mut Random) {
    match random.below(4) {
        // The block was never written.
        0 => bytes[block..block + block_size].fill(0),
        1 => bytes[block + random.below(16)] ^= 1 << random.below(8),
        2 => bytes[block + random.below(64)] = random.below(256) as u8,
        _ => bytes[block + random.below(block_size)] ^= 1 << random.below(8),
    }
}

#[test]
fn damaged_logs_are_replayed_or_refused_as_the_kernel_does() {
    if !able() {
        return;
    }
    let (mut replayed, mut unsound, mut refused) = (0, 0, 0);
    for (kind, mount) in [
        ("default", "rw"),
        ("1k_blocks", "rw,data=journal"),
        ("orphan_file", "rw,journal_async_commit,data=writeback"),
    ] {
        let image = busy(&find(kind), mount, Stop::LoggedCrash, 77).unwrap();
        let original = image.bytes();
        let block_size = image.open().info().unwrap().block_size as usize;
        let journal = journal(&image);
        let own = own_blocks(&original, &journal);
        for seed in 1..=if long() { 150 } else { 5_u64 } {
            let mut random = Random::new(seed);
            let mut bytes = original.clone();
            // Mostly the log's own blocks, but for the superblock, of which the kernel uses its own copy.
            let blocks = if random.below(4) == 0 { &journal[1..] } else { &own[1..] };
            let block = blocks[random.below(blocks.len())];
            damage(&mut bytes, block, block_size, &mut random);
            fs::write(image.path(), &bytes).unwrap();
            match (kernel_recovers(image.path()), recover(image.path())) {
                // The rest of the log was lost, and with it what some blocks in their places rely on.
                (Some(copy), _) if !is_clean(copy.path()) => unsound += 1,
                (Some(copy), Ok(_)) => {
                    let same = manifest(image.path(), image.size) == manifest(copy.path(), image.size);
                    assert!(same, "{mount} seed {seed}");
                    replayed += 1;
                }
                (None, Err(FsError::Corrupt { .. })) => refused += 1,
                (theirs, ours) => {
                    panic!("{mount} seed {seed}: kernel mounted: {}, we: {ours:?}", theirs.is_some())
                }
            }
        }
    }
    eprintln!("{replayed} replayed, {unsound} no file system afterwards, {refused} refused");
    assert!(replayed > 3 && refused > 0, "{replayed} replayed, {refused} refused");
}

/// Without checksums all damage gets through: of the superblocks, the descriptors, the inodes, the log.
#[test]
fn hostile_logs_and_orphans_do_no_harm() {
    if !able() {
        return;
    }
    let (mut done, mut refused) = (0, 0);
    for (kind, mount) in
        [("no_checksums", "rw"), ("ext3", "rw,data=journal"), ("no_checksums", "rw,journal_checksum")]
    {
        let image = busy(&find(kind), mount, Stop::Snapshot, 78).unwrap();
        let original = image.bytes();
        let block_size = image.open().info().unwrap().block_size as usize;
        let journal = journal(&image);
        let own = own_blocks(&original, &journal);
        let tables: Vec<usize> = (0..300).map(|block| block * block_size).collect();
        let base = Disk::new(Memory::new(original.clone()));
        for seed in 1..=if long() { 5000 } else { 300_u64 } {
            let mut random = Random::new(seed);
            let overlay = Overlay::new(base.clone()).unwrap();
            for _ in 0..=random.below(3) {
                let (at, span) = match random.below(6) {
                    0 => (1024, 512),
                    1 => (journal[0], 128),
                    2 => (tables[random.below(tables.len())], block_size),
                    // The first inodes: the journal, and what was made first.
                    3 => (tables[random.below(20)], block_size),
                    _ => (own[random.below(own.len())], 64),
                };
                let at = at + random.below(span);
                let byte = match random.below(4) {
                    0 => 0xff,
                    1 => 0,
                    2 => original[at] ^ 1 << random.below(8),
                    _ => random.below(256) as u8,
                };
                overlay.writer().write_at(&[byte], at as u64).unwrap();
            }
            let start = Instant::now();
            match ext4::replay(&overlay.writer()) {
                Ok(_) => done += 1,
                Err(_) => refused += 1,
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{mount} seed {seed}");
        }
    }
    eprintln!("{done} recovered, {refused} refused");
    assert!(done > 50 && refused > 50, "{done} recovered, {refused} refused");
}
