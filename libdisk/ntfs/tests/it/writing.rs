//! The suite that every driver passes, and volumes of Windows: all judges after each change.

use std::io::Write;

use block::{Disk, DiskMut, FileDisk};
use tempfile::NamedTempFile;
use testimages::judge::{self, Depth};
use testimages::length::times;
use vfs::FileSystemMut;
use vfs::conformance::{Capabilities, ModelRun, Subject, fixed_cases, model};

use crate::mounted::made;
use crate::recorded::recorded;

/// A volume in a file, where all judges find it.
pub(crate) struct Volume {
    file: NamedTempFile,
    judged: u32,
}

impl Volume {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Self { file, judged: 0 }
    }

    pub(crate) fn disk_mut(&self) -> DiskMut {
        FileDisk::open_mut(self.file.path()).unwrap().disk_mut()
    }

    #[allow(dead_code)]
    pub(crate) fn disk(&self) -> Disk {
        FileDisk::open(self.file.path()).unwrap().disk()
    }

    #[track_caller]
    pub(crate) fn judge(&self, depth: Depth) {
        judge::ntfs(self.file.path(), depth);
    }
}

impl Subject for Volume {
    fn capabilities(&self) -> Capabilities {
        Capabilities::FAT
    }

    fn open(&mut self) -> Box<dyn FileSystemMut + '_> {
        ntfs::open_mut(self.disk_mut()).unwrap()
    }

    fn judge(&mut self) {
        self.judged += 1;
        let everything = self.judged % 8 == 1;
        Volume::judge(self, if everything { Depth::Everything } else { Depth::Structures });
    }
}

/// Volumes of mkntfs, in which files came and went: the table of records has room.
fn used(cluster: &str) -> Option<Vec<u8>> {
    made(&["-c", cluster], 64 << 20, |top| {
        let names = || (0..300).map(|n| top.join(format!("file {n}")));
        names().for_each(|name| std::fs::write(name, b"").unwrap());
        names().skip(1).for_each(|name| std::fs::remove_file(name).unwrap());
    })
}

fn cases(bytes: Option<Vec<u8>>) {
    if let Some(bytes) = bytes {
        fixed_cases(&mut || Box::new(Volume::new(&bytes)));
    }
}

fn random(bytes: Option<Vec<u8>>, seed: u64) {
    let operations = times(300, 10_000) as usize;
    let Some(bytes) = bytes else { return };
    let mut volume = Volume::new(&bytes);
    let tally = model(&mut volume, &ModelRun { seed, operations, batch: 100, largest_file: 1 << 20 });
    assert!(tally.operations() >= operations && tally.made > operations * 3 / 4, "{tally:?}");
}

#[test]
fn fixed_cases_4k_clusters() {
    cases(used("4096"));
}

#[test]
fn fixed_cases_of_windows() {
    cases(recorded("windows-interrupted-1.recovered.img"));
}

#[test]
fn random_of_windows() {
    random(recorded("windows-interrupted-1.recovered.img"), 4);
}
