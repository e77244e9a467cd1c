//! Recovery, compared with the kernel's own, file by file.
//!
//! More than 100 busy volumes, and a few damaged ones of each kind; ten times as many with `REFLOAT_LONG=1`.

#![allow(clippy::print_stderr, reason = "a failed test says which image it was")]

mod busy;
mod crafted;
mod damaged;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use block::{DiskMut, FileDisk};
use ext4::Replayed;
use support::Image;
use testimages::judge;
use vfs::{FileSystem, State};

/// The kernel recovers a copy; we recover the image; both are clean and the same.
#[track_caller]
pub(crate) fn judge_recovery(image: &Image) -> Replayed {
    let copy = kernel_recovers(image.path()).expect("the kernel mounts it");
    judge::e2fsck_clean(copy.path(), 0);
    let theirs = manifest(copy.path(), image.size);

    let replayed = recover(image.path()).unwrap().expect("something to recover");
    judge::e2fsck_clean(image.path(), 0);
    let ours = manifest(image.path(), image.size);
    for (path, line) in &theirs {
        assert_eq!(ours.get(path), Some(line), "{path}");
    }
    assert_eq!(ours.len(), theirs.len(), "we have more files than the kernel");
    assert_eq!(recover(image.path()).unwrap(), None, "a second recovery found something to do");
    replayed
}

/// What every path of an image holds.
pub(crate) fn manifest(path: &Path, size: u64) -> BTreeMap<String, String> {
    judge::manifest(judge::KernelMount::with_options(path, 0..size, "ro").path())
}

/// A copy that the kernel has recovered; `None` if it does not mount it.
pub(crate) fn kernel_recovers(path: &Path) -> Option<tempfile::NamedTempFile> {
    let copy = tempfile::Builder::new().tempfile_in(path.parent().unwrap()).unwrap();
    fs::copy(path, copy.path()).unwrap();
    let size = copy.as_file().metadata().unwrap().len();
    drop(judge::KernelMount::attempt(copy.path(), 0..size, "rw")?);
    Some(copy)
}

pub(crate) fn recover(path: &Path) -> vfs::Result<Option<Replayed>> {
    let device = DiskMut::new(FileDisk::open_mut(path).unwrap());
    let replayed = ext4::replay(&device)?;
    device.flush().unwrap();
    assert_eq!(ext4::open(device.disk())?.info()?.state, State::Clean);
    Ok(replayed)
}

/// Whether the tests can run here.
pub(crate) fn able() -> bool {
    judge::need_all(&["mke2fs", "e2fsck", "debugfs", "xfs_io", "fsfreeze"]) && judge::need_kernel_mounts()
}
