//! The suite of all drivers, judged by `fsck.vfat` after every change.

#![allow(clippy::print_stderr, reason = "how many operations were made, and in what time")]

use std::time::Instant;

use testimages::judge;
use testimages::length::times;
use vfs::FileSystemMut;
use vfs::conformance::{Capabilities, ModelRun, Subject, fixed_cases, model};

use crate::mtools::{KINDS, PROGRAMS, Volume};

impl Subject for Volume {
    fn capabilities(&self) -> Capabilities {
        Capabilities::FAT
    }

    fn open(&mut self) -> Box<dyn FileSystemMut + '_> {
        Box::new(fat::open_mut(self.disk_mut()).expect("the volume can be opened"))
    }

    fn judge(&mut self) {
        self.fsck();
    }
}

fn passes(kind: usize) {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let (name, options, size) = KINDS[kind];
    fixed_cases(&mut || Box::new(Volume::new(options, size)));
    // judged after every 100
    let operations = times(10_000, 10_000) as usize;
    let start = Instant::now();
    let tally = model(
        &mut Volume::new(options, size),
        &ModelRun { seed: kind as u64, operations, ..ModelRun::default() },
    );
    eprintln!("{name}: {tally:?} in {:.1?}", start.elapsed());
    assert!(tally.operations() >= operations && tally.made > operations * 3 / 4, "{tally:?}");
}

#[test]
fn fat12() {
    passes(0);
}

#[test]
fn fat16() {
    passes(1);
}

#[test]
fn fat32() {
    passes(2);
}
