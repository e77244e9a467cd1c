//! The suite of all drivers, judged by `fsck.vfat` after every change.

use testimages::judge;
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
    let (_, options, size) = KINDS[kind];
    fixed_cases(&mut || Box::new(Volume::new(options, size)));
    let seeds = if std::env::var_os("REFLOAT_LONG").is_some() { 40 } else { 3 };
    for seed in 1..=seeds {
        model(&mut Volume::new(options, size), &ModelRun { seed, ..ModelRun::default() });
    }
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
