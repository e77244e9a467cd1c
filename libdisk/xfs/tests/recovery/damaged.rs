//! Damaged logs: what the kernel would not replay is not replayed.

use std::fs;
use std::path::Path;

use testimages::judge;
use vfs::FsError;

use crate::busy::{Stop, VARIANTS, busy};
use crate::load::Random;
use crate::support::log::{BLOCK, records};
use crate::{Tree, able, long, recover, same, tree};

/// What the kernel makes of an image, and whether that is a sound file system; `None` if it does not mount
/// it.
fn kernel_recovers(path: &Path, size: u64) -> Option<(Tree, bool)> {
    let copy = tempfile::Builder::new().tempfile_in(path.parent().unwrap()).unwrap();
    fs::copy(path, copy.path()).unwrap();
    drop(judge::KernelMount::attempt(copy.path(), 0..size, "rw,nouuid")?);
    let sound = judge::tool("xfs_repair").arg("-n").arg(copy.path()).output().unwrap().status.success();
    Some((tree(copy.path(), size, "ro,norecovery"), sound))
}

#[test]
fn damaged_logs_are_replayed_or_refused_as_the_kernel_does() {
    if !able() {
        return;
    }
    let (mut replayed, mut unsound, mut refused) = (0, 0, 0);
    for (variant, mount) in [("default", "rw"), ("everything", "rw,logbsize=256k")] {
        let variant = VARIANTS.iter().find(|other| other.name == variant).unwrap();
        let image = busy(variant, mount, Stop::LateLoggedCrash, 77).unwrap();
        let original = image.bytes();
        let records = records(&image.disk());
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
