//! The suite that every driver passes, and volumes of Windows: all judges after each change.

use std::os::unix::fs::FileExt;
use std::path::Path;

use block::{Disk, DiskMut, FileDisk};
use tempfile::NamedTempFile;
use testimages::judge::{self, Depth};
use testimages::length::times;
use vfs::conformance::{Capabilities, ModelRun, Subject, fixed_cases, model};
use vfs::{FileSystemMut, Result, Transaction};

use crate::mounted::made;
use crate::recorded::recorded;
use crate::support::oracle::Oracle;

const PIECE: usize = 64 << 10;

/// A volume in a file, where all judges find it.
pub(crate) struct Volume {
    file: NamedTempFile,
    judged: u32,
}

impl Volume {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let file = NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes.len() as u64).unwrap();
        // Most of a volume is zeros, which a new file has already.
        for (number, piece) in
            bytes.chunks(PIECE).enumerate().filter(|(_, piece)| piece.iter().any(|byte| *byte != 0))
        {
            file.as_file().write_all_at(piece, (number * PIECE) as u64).unwrap();
        }
        Self { file, judged: 0 }
    }

    pub(crate) fn disk_mut(&self) -> DiskMut {
        FileDisk::open_mut(self.file.path()).unwrap().disk_mut()
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn disk(&self) -> Disk {
        FileDisk::open(self.file.path()).unwrap().disk()
    }

    /// What all judges say against it: those outside, and rust-fs-ntfs.
    pub(crate) fn complaints(&self, depth: Depth) -> Vec<String> {
        let mut complaints = judge::ntfs_complaints(self.file.path(), depth);
        match fs_ntfs::fsck::check_io(&mut Oracle(self.disk_mut())) {
            Ok(report) if report.findings.is_empty() && !report.dirty && report.records_scanned > 0 => {}
            // It does not know records of 4 KiB on sectors of 4 KiB, as mkntfs makes them.
            Err(error) if error.to_string().contains("inconsistent with record size 4096") => {}
            found => complaints.push(format!("--- rust-fs-ntfs: {found:?}")),
        }
        complaints
    }

    #[track_caller]
    pub(crate) fn judge(&self, depth: Depth) {
        let complaints = self.complaints(depth);
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }

    /// Makes a change, and has it judged by all.
    #[track_caller]
    pub(crate) fn change(&self, make: impl FnOnce(&mut dyn Transaction) -> Result<()>) {
        self.make(make);
        self.judge(Depth::Everything);
    }

    /// Makes a change.
    #[track_caller]
    pub(crate) fn make(&self, make: impl FnOnce(&mut dyn Transaction) -> Result<()>) {
        let mut fs = ntfs::open_mut(self.disk_mut()).unwrap();
        let mut change = fs.begin().unwrap();
        make(&mut *change).unwrap();
        change.commit().unwrap();
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
        let everything = self.judged % 16 == 1;
        Volume::judge(self, if everything { Depth::Everything } else { Depth::Structures });
    }
}

/// Volumes of mkntfs, in which files came and went: the table of records has room.
fn used(cluster: &str) -> Option<Vec<u8>> {
    used_with(&["-c", cluster])
}

fn used_with(options: &[&str]) -> Option<Vec<u8>> {
    made(options, 64 << 20, |top| {
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
    let operations = times(600, 10_000) as usize;
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
fn random_4k_clusters() {
    random(used("4096"), 1);
}

#[test]
fn random_512_byte_clusters() {
    random(used("512"), 2);
}

#[test]
fn random_64k_clusters() {
    random(used("65536"), 3);
}

/// Sectors of 4 KiB, and with them records of 4 KiB.
#[test]
fn random_4k_sectors() {
    random(used_with(&["-s", "4096", "-c", "4096"]), 5);
}

#[test]
fn random_of_windows() {
    random(recorded("windows-interrupted-1.recovered.img"), 4);
}
