//! Volumes made by mkntfs, and filled by ntfs-3g.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use testimages::judge;

/// A mount by ntfs-3g, which ends with it.
struct Mounted<'m>(&'m Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        judge::run(Command::new("umount").arg(self.0));
    }
}

/// A volume with what `fill` puts into it; `None`, after a visible skip, where that cannot be made.
pub(crate) fn made(options: &[&str], size: u64, fill: impl FnOnce(&Path)) -> Option<Vec<u8>> {
    if !judge::need_all(&["mkntfs", "ntfs-3g"]) || !judge::need_kernel_mounts() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("ntfs.img");
    File::create(&image).unwrap().set_len(size).unwrap();
    let mut mkntfs = Command::new(judge::need("mkntfs")?);
    judge::run(mkntfs.args(["-F", "-q", "-Q", "-L", "Données"]).args(options).arg(&image));
    let point = folder.path().join("mount");
    fs::create_dir(&point).unwrap();
    judge::run(Command::new("ntfs-3g").args(["-o", "compression"]).arg(&image).arg(&point));
    let mounted = Mounted(&point);
    fill(&point);
    drop(mounted);
    Some(fs::read(&image).unwrap())
}
