//! The judges are such as see damage: each kind that a writer may do.

use std::process::Command;

use testimages::judge::{self, Depth};

use crate::mounted::made;
use crate::writing::Volume;

/// The kinds of damage that the laboratory's script does.
const KINDS: &[&str] = &[
    "bitmap-free",
    "bitmap-leak",
    "mftbit-free",
    "mftbit-leak",
    "size-mismatch-index",
    "index-order",
    "index-drop",
    "index-stale-seq",
    "index-bitmap",
    "cross-link",
    "link-count",
    "alloc-size",
    "mftmirr",
    "torn",
    "attr-id-dup",
    "parent-ref",
    "backup-boot",
];

#[test]
fn every_kind_of_damage_is_seen() {
    let Some(shared) = judge::shared() else { return };
    if judge::need("python3").is_none() {
        return;
    }
    let volume = made(&["-c", "4096"], 64 << 20, |top| {
        std::fs::write(top.join("big.bin"), vec![7; 3_000_000]).unwrap();
        std::fs::write(top.join("mid.bin"), vec![8; 40_000]).unwrap();
        let dir = top.join("dir");
        std::fs::create_dir(&dir).unwrap();
        for n in 0..400 {
            std::fs::write(dir.join(format!("file-number-{n}.txt")), format!("{n}")).unwrap();
        }
    });
    let Some(volume) = volume else { return };
    let sound = Volume::new(&volume);
    sound.judge(Depth::Everything);
    let damaged = Volume::new(&[]);
    for kind in KINDS {
        let mut damage = Command::new("python3");
        damage.arg(shared.join("tools/ntfs/mutate.py")).args([sound.path(), damaged.path()]).arg(kind);
        judge::run(damage.env("PYTHONDONTWRITEBYTECODE", "1"));
        assert!(std::fs::read(damaged.path()).unwrap() != volume, "{kind} does nothing");
        assert!(!damaged.complaints(Depth::Everything).is_empty(), "nobody sees {kind}");
    }
}
