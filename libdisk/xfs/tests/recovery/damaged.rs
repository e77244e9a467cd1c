//! Damaged logs: what the kernel would not replay is not replayed, and nothing panics, hangs or takes all memory.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use block::{Disk, Memory, Overlay};
use testimages::judge;
use vfs::FsError;

use crate::busy::{Stop, VARIANTS, busy};
use crate::load::Random;
use crate::{Tree, long, recover, same, tree, turn};

const BLOCK: usize = 512;
const MAGIC: &[u8] = &[0xfe, 0xed, 0xba, 0xbe];
/// Bytes of a record's header that its checksum covers, and where it is.
const SUMMED: usize = 328;
const CRC_AT: usize = 32;

fn be32(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Where the log lies, in bytes.
fn log(image: &[u8]) -> Range<usize> {
    let (block_log, group_log) = (image[120], image[124]);
    let start = u64::from_be_bytes(image[48..56].try_into().unwrap());
    let group = (start >> group_log) as usize;
    let within = (start & ((1 << group_log) - 1)) as usize;
    let start = (group * be32(image, 84) + within) << block_log;
    start..start + (be32(image, 96) << block_log)
}

/// Where the records lie, the oldest first, as long as none of them goes round the end.
fn records(image: &[u8]) -> Vec<Range<usize>> {
    let log = log(image);
    let mut records = Vec::new();
    let mut at = log.start;
    while at < log.end {
        if !image[at..].starts_with(MAGIC) {
            at += BLOCK;
            continue;
        }
        let headers = be32(image, at + 320).div_ceil(32 << 10).max(1);
        let end = at + headers * BLOCK + be32(image, at + 12).next_multiple_of(BLOCK);
        if end <= log.end {
            records.push(at..end);
        }
        at = end;
    }
    records
}

/// Writes the right checksum into a record with one block of header.
fn seal(record: &mut [u8]) {
    let len = be32(record, 12);
    if record.len() < BLOCK + len {
        return;
    }
    record[CRC_AT..CRC_AT + 4].fill(0);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&record[..SUMMED]), &record[BLOCK..BLOCK + len]);
    record[CRC_AT..CRC_AT + 4].copy_from_slice(&sum.to_le_bytes());
}

/// What the kernel makes of an image, and whether that is a sound file system; `None` if it does not mount it.
fn kernel_recovers(path: &Path, size: u64) -> Option<(Tree, bool)> {
    let copy = tempfile::Builder::new().tempfile_in(path.parent().unwrap()).unwrap();
    fs::copy(path, copy.path()).unwrap();
    let point = tempfile::tempdir().unwrap();
    let mut mount = judge::tool("mount");
    mount.args(["-o", "loop,nouuid"]).arg(copy.path()).arg(point.path());
    if !mount.output().unwrap().status.success() {
        return None;
    }
    judge::run(judge::tool("umount").arg(point.path()));
    let sound = judge::tool("xfs_repair").arg("-n").arg(copy.path()).output().unwrap().status.success();
    Some((tree(copy.path(), size, "ro,norecovery"), sound))
}

#[test]
fn damaged_logs_are_replayed_or_refused_as_the_kernel_does() {
    let Some(_turn) = turn() else { return };
    let (mut replayed, mut unsound, mut refused) = (0, 0, 0);
    for (variant, mount) in [("default", "rw"), ("everything", "rw,logbsize=256k")] {
        let variant = VARIANTS.iter().find(|other| other.name == variant).unwrap();
        let image = busy(variant, mount, Stop::LateLoggedCrash, 77).unwrap();
        let original = image.bytes();
        let records = records(&original);
        for seed in 1..=if long() { 100 } else { 3_u64 } {
            let mut random = Random::new(seed);
            let mut bytes = original.clone();
            // Mostly the last ones, which may be torn.
            let last = records.len() - 1;
            let number =
                if random.below(4) == 0 { random.below(records.len()) } else { last - random.below(10) };
            let record = records[number].clone();
            match random.below(3) {
                // A part was never written.
                0 => {
                    let block = record.start + random.below(record.len() / BLOCK) * BLOCK;
                    bytes[block..block + BLOCK].fill(0);
                }
                1 => bytes[record.start + random.below(BLOCK)] ^= 1 << random.below(8),
                _ => bytes[record.start + random.below(record.len())] ^= 1 << random.below(8),
            }
            fs::write(image.path(), &bytes).unwrap();
            let theirs = kernel_recovers(image.path(), image.size);
            match (theirs, recover(image.path())) {
                // The rest of the log was lost, and with it what some blocks in their places rely on.
                (Some((_, false)), _) => unsound += 1,
                (Some((theirs, true)), Ok(_)) => {
                    same(&tree(image.path(), image.size, "ro,norecovery"), &theirs);
                    replayed += 1;
                }
                (None, Err(FsError::Corrupt { .. } | FsError::Unsupported(_))) => refused += 1,
                (theirs, ours) => {
                    panic!("{mount} seed {seed}: kernel mounted: {}, we: {ours:?}", theirs.is_some())
                }
            }
        }
    }
    eprintln!("{replayed} replayed, {unsound} no file system afterwards, {refused} refused");
    assert!(replayed > 0 && replayed > unsound, "{replayed} replayed, {unsound} unsound, {refused} refused");
}

/// With right checksums all damage gets through to the parsers.
#[test]
fn hostile_logs_do_no_harm() {
    let Some(_turn) = turn() else { return };
    let (mut done, mut refused) = (0, 0);
    let variant = VARIANTS.iter().find(|other| other.name == "everything").unwrap();
    let image = busy(variant, "rw", Stop::LoggedCrash, 78).unwrap();
    let original = image.bytes();
    let records = records(&original);
    let base = Disk::new(Memory::new(original.clone()));
    for seed in 1..=if long() { 3000 } else { 60_u64 } {
        let mut random = Random::new(seed);
        let overlay = Overlay::new(base.clone()).unwrap();
        for _ in 0..=random.below(3) {
            let record = records[random.below(records.len())].clone();
            let mut bytes = original[record.clone()].to_vec();
            for _ in 0..=random.below(4) {
                // Headers of records and operations, formats of items: most of what matters is in the first blocks.
                let span = [64, 2 * BLOCK, 8 * BLOCK, bytes.len()][random.below(4)].min(bytes.len());
                let at = random.below(span);
                bytes[at] = match random.below(4) {
                    0 => 0xff,
                    1 => 0,
                    2 => bytes[at] ^ 1 << random.below(8),
                    _ => random.below(256) as u8,
                };
            }
            seal(&mut bytes);
            overlay.writer().write_at(&bytes, record.start as u64).unwrap();
        }
        let start = Instant::now();
        match xfs::replay(&overlay.writer()) {
            Ok(_) => done += 1,
            Err(_) => refused += 1,
        }
        assert!(start.elapsed() < Duration::from_secs(20), "seed {seed}");
    }
    eprintln!("{done} recovered, {refused} refused");
    assert!(done > 5 && refused > 5, "{done} recovered, {refused} refused");
}
