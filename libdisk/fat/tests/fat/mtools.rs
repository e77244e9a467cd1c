//! FAT volumes made and looked at by dosfstools and mtools.

use std::fs::File;
use std::path::{Path, PathBuf};

use block::{Disk, DiskMut, FileDisk};
use tempfile::TempDir;
use testimages::judge;

/// What the tests need.
pub(crate) const PROGRAMS: &[&str] = &["mkfs.vfat", "fsck.vfat", "mcopy", "mmd", "mdir"];

/// The three widths, on volumes just large enough: name, `mkfs.vfat` options, size.
pub(crate) const KINDS: [(&str, &[&str], u64); 3] = [
    ("FAT12", &["-F", "12", "-s", "16"], 24 << 20),
    ("FAT16", &["-F", "16", "-s", "4"], 24 << 20),
    ("FAT32", &["-F", "32", "-s", "1"], 40 << 20),
];

/// A volume in a temporary file.
pub(crate) struct Volume {
    folder: TempDir,
}

impl Volume {
    /// A new file system with the label "REFLOAT" and the serial number 1234-ABCD.
    pub(crate) fn new(options: &[&str], size: u64) -> Self {
        let volume = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        File::create(volume.path()).and_then(|file| file.set_len(size)).expect("a sparse file");
        let mut mkfs = judge::tool("mkfs.vfat");
        judge::run(mkfs.args(options).args(["-i", "1234ABCD", "-n", "REFLOAT"]).arg(volume.path()));
        volume
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("volume")
    }

    /// A file beside the volume, for what goes in and comes out.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn disk(&self) -> Disk {
        FileDisk::open(&self.path()).expect("the volume can be opened").disk()
    }

    /// The volume itself, with no overlay: only so can the judges see it at once.
    pub(crate) fn disk_mut(&self) -> DiskMut {
        FileDisk::open_mut(&self.path()).expect("the volume can be opened").disk_mut()
    }

    /// `fsck.vfat -n` finds nothing.
    #[track_caller]
    pub(crate) fn fsck(&self) {
        judge::run(judge::tool("fsck.vfat").arg("-n").arg(self.path()));
    }

    /// Runs an mtool on the volume; `arguments` name files in it as "::/path".
    #[track_caller]
    pub(crate) fn mtool(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut command = judge::tool(program);
        command.env("MTOOLS_SKIP_CHECK", "1").env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        judge::run(command.arg("-i").arg(self.path()).args(arguments)).stdout
    }

    /// Copies a tree of the host into the root directory.
    #[track_caller]
    pub(crate) fn copy_in(&self, from: &Path) {
        for entry in from.read_dir().expect("a folder") {
            let path = entry.expect("a folder entry").path();
            self.mtool("mcopy", &["-s", "-m", path.to_str().expect("a name in UTF-8"), "::/"]);
        }
    }

    /// Copies the whole tree out, as mtools reads it.
    #[track_caller]
    pub(crate) fn copy_out(&self, to: &str) -> PathBuf {
        let to = self.beside(to);
        std::fs::create_dir(&to).expect("a new folder");
        self.mtool("mcopy", &["-s", "-m", "-n", "::/*", to.to_str().expect("a name in UTF-8")]);
        to
    }
}
