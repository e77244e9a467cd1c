//! What cannot be recovered is refused by name, and no byte is changed.

use std::fs::File;
use std::os::unix::fs::FileExt;

use testimages::judge;
use vfs::{FileSystem, FileSystemMut, FsError, State};

use crate::busy::{Stop, VARIANTS, busy};
use crate::support::Image;
use crate::{able, recover};

const FEATURES_AT: usize = 212;
const CRC_AT: usize = 224;

/// Changes a word of the superblock of an image, and its checksum.
fn in_superblock(image: &Image, at: usize, word: u32) {
    let mut sector = image.bytes()[..512].to_vec();
    sector[at..at + 4].copy_from_slice(&word.to_be_bytes());
    sector[CRC_AT..CRC_AT + 4].fill(0);
    let sum = crc32c::crc32c(&sector);
    sector[CRC_AT..CRC_AT + 4].copy_from_slice(&sum.to_le_bytes());
    File::options().write(true).open(image.path()).unwrap().write_all_at(&sector, 0).unwrap();
}

#[track_caller]
fn refused(image: &Image, words: &str) {
    let before = image.bytes();
    match recover(image.path()) {
        Err(FsError::Unsupported(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{words}: {other:?}"),
    }
    assert!(image.bytes() == before, "{words}");
}

#[test]
fn what_cannot_be_recovered_is_refused_by_name() {
    if !able() {
        return;
    }
    let image = busy(&VARIANTS[0], "rw", Stop::LateLoggedCrash, 5).unwrap();
    let original = image.bytes();
    let features = u32::from_be_bytes(original[FEATURES_AT + 4..FEATURES_AT + 8].try_into().unwrap());
    for (at, word, words) in [
        // features_ro_compat, features_incompat, features_log_incompat
        (FEATURES_AT, 0x8000_000f, "unknown read-only features"),
        (FEATURES_AT + 4, features | 0x10, "needsrepair"),
        (FEATURES_AT + 4, features | 0x8000_0000, "unknown XFS features"),
        (FEATURES_AT + 8, 1, "log features in use: 0x1"),
        // The upper half of sb_logstart, and the lower one.
        (52, 0, "external log"),
    ] {
        in_superblock(&image, at, word);
        refused(&image, words);
        std::fs::write(image.path(), &original).unwrap();
    }
    // The byte order of the last record's header, where the kernel looks first.
    assert_eq!(image.open().info().unwrap().state, State::NeedsRecovery);
    let mut fs = image.open_mut();
    let refused = fs.begin().map(drop).unwrap_err();
    assert!(refused.to_string().contains("replayed first"), "{refused}");
    recover(image.path()).unwrap().expect("something to recover");
    assert_eq!(image.open().info().unwrap().state, State::Clean);
    image.open_mut().begin().map(drop).unwrap();
    let said = judge::run(judge::tool("xfs_logprint").arg("-t").arg(image.path())).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("<CLEAN>"), "{said}");
}
