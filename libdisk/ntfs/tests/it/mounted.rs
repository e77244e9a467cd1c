//! Volumes made by mkntfs, and filled by ntfs-3g.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use block::{Disk, Memory, Overlay};
use testimages::judge;
use vfs::{Attributes, Transaction};

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

/// A volume with a file of `count` clusters of 4 KiB in about as many pieces: between small files, every
/// second of which was taken away.
pub(crate) fn in_pieces(bytes: Vec<u8>, name: &str, count: usize) -> Vec<u8> {
    let size = bytes.len();
    let volume = Overlay::new(Disk::new(Memory::new(bytes))).unwrap();
    let mut fs = ntfs::open_mut(volume.writer()).unwrap();
    let root = fs.root();
    let mut change = fs.begin().unwrap();
    let make = |change: &mut dyn Transaction, name: &str, clusters: usize| {
        let content: Vec<u8> = (0..clusters).flat_map(|n| [n as u8; 4096]).collect();
        change.create(root, name.as_bytes(), &Attributes::default(), &content).unwrap();
    };
    let small = 2 * count + 100;
    (0..small).for_each(|n| make(&mut *change, &format!("small {n}"), 1));
    let free = change.fs().free(u64::MAX).unwrap() as usize / 4096;
    make(&mut *change, "rest", free - 40);
    for n in (0..small).step_by(2) {
        change.unlink(root, format!("small {n}").as_bytes()).unwrap();
    }
    make(&mut *change, name, count);
    change.commit().unwrap();
    volume.disk().read_vec(0, size).unwrap()
}
