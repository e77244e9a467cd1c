//! Images that the kernel fills, and what it says that they hold.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use block::{Disk, FileDisk};
use btrfs::Btrfs;
use testimages::{judge, population};
use vfs::{FileSystem, FileType, NodeId};

/// A file system in a file of its own, or in several.
pub(crate) struct Image {
    files: Vec<tempfile::NamedTempFile>,
    size: u64,
}

impl Image {
    /// Makes one of `size` bytes with these options of mkfs; `None` after saying that the test is skipped.
    pub(crate) fn new(size: u64, options: &[&str]) -> Option<Self> {
        Self::on_devices(1, size, options)
    }

    /// Makes one on several devices.
    pub(crate) fn on_devices(devices: usize, size: u64, options: &[&str]) -> Option<Self> {
        if !judge::need_all(&["mkfs.btrfs", "btrfs"]) || !judge::need_kernel_mounts() {
            return None;
        }
        // In memory where that can be: every mount and unmount writes through.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let file = || {
            let file = tempfile::Builder::new().prefix("refloat-btrfs-").tempfile_in(&folder).unwrap();
            file.as_file().set_len(size).unwrap();
            file
        };
        let files: Vec<_> = (0..devices).map(|_| file()).collect();
        let paths = files.iter().map(tempfile::NamedTempFile::path);
        judge::run(judge::tool("mkfs.btrfs").args(["-q", "-L", "a label"]).args(options).args(paths));
        Some(Self { files, size })
    }

    pub(crate) fn path(&self) -> &Path {
        self.files[0].path()
    }

    pub(crate) fn disks(&self) -> Vec<Disk> {
        self.files.iter().map(|file| Disk::new(FileDisk::open(file.path()).unwrap())).collect()
    }

    pub(crate) fn open(&self) -> Btrfs {
        btrfs::open_devices(self.disks()).unwrap()
    }

    /// Mounted by the kernel until it is dropped.
    pub(crate) fn mount(&self, options: &str) -> judge::KernelMount {
        judge::KernelMount::with_options(self.path(), self.range(), options)
    }

    pub(crate) fn range(&self) -> Range<u64> {
        0..self.size
    }

    /// Damages bytes.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) {
        let file = fs::OpenOptions::new().write(true).open(self.path()).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    /// The kernel sees the tree that we see, and `btrfs check` nothing to complain of.
    #[track_caller]
    pub(crate) fn judge(&self) {
        judge::run(judge::tool("btrfs").args(["check", "-q"]).arg(self.path()));
        same(&self.open(), self.mount("ro").path());
    }
}

/// One line per path, as [`judge::manifest`] has them.
pub(crate) fn manifest(fs: &dyn FileSystem) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    let mut left = vec![(PathBuf::from("/"), fs.root())];
    while let Some((path, node)) = left.pop() {
        let meta = fs.metadata(node).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (kind, content) = match meta.file_type {
            FileType::Directory => {
                for entry in fs.read_dir(node).unwrap() {
                    assert_eq!(fs.lookup(node, &entry.name).unwrap(), entry.node);
                    assert_eq!(fs.metadata(entry.node).unwrap().file_type, entry.file_type);
                    left.push((path.join(String::from_utf8(entry.name).unwrap()), entry.node));
                }
                (0o040_000, "dir".to_owned())
            }
            FileType::Symlink => {
                let target = String::from_utf8(fs.read_link(node).unwrap()).unwrap();
                assert_eq!(target.len() as u64, meta.size);
                (0o120_000, format!("link {target}"))
            }
            FileType::Regular => (0o100_000, format!("file {} {}", meta.size, sha256(fs, node, &path))),
            FileType::CharDevice | FileType::BlockDevice => {
                let (major, minor) = meta.device.unwrap();
                let kind = if meta.file_type == FileType::CharDevice { 0o020_000 } else { 0o060_000 };
                (kind, format!("device {:#x}", rustix::fs::makedev(major, minor)))
            }
            FileType::Fifo => (0o010_000, "special".to_owned()),
            FileType::Socket => (0o140_000, "special".to_owned()),
        };
        let mode = kind | u32::from(meta.mode);
        let mut line = format!("{mode:06o} {}:{} {content}", meta.uid, meta.gid);
        for (name, value) in fs.xattrs(node).unwrap() {
            let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            line += &format!(" {}={value}", String::from_utf8_lossy(&name));
        }
        lines.insert(path.display().to_string(), line);
    }
    lines
}

/// What `sha256sum` says of the content, which is read in pieces of an odd length.
fn sha256(fs: &dyn FileSystem, node: NodeId, path: &Path) -> String {
    let copy = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    let mut buf = vec![0; 333_333];
    let mut at = 0;
    loop {
        let len =
            fs.read_at(node, &mut buf, at).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if len == 0 {
            return judge::sha256(copy.path());
        }
        copy.as_file().write_all_at(&buf[..len], at).unwrap();
        at += len as u64;
    }
}

/// Whether the two are the same tree: all that a manifest has, and links, times and the immutable flag.
#[track_caller]
pub(crate) fn same(fs: &dyn FileSystem, mounted: &Path) {
    let (ours, theirs) = (manifest(fs), judge::manifest(mounted));
    for (path, line) in &theirs {
        assert_eq!(ours.get(path), Some(line), "{path}");
    }
    assert!(ours.keys().eq(theirs.keys()), "we have more");
    for path in ours.keys() {
        let host = mounted.join(path.trim_start_matches('/'));
        let meta = fs::symlink_metadata(&host).unwrap();
        let node = at(fs, path);
        let known = fs.metadata(node).unwrap();
        assert_eq!(known.links, meta.nlink(), "{path}");
        if meta.ino() != 2 {
            // The kernel makes up the times of the directories that stand for subvolumes.
            assert_eq!(
                (known.mtime.seconds, i64::from(known.mtime.nanos)),
                (meta.mtime(), meta.mtime_nsec()),
                "{path}"
            );
        }
        if meta.is_file() {
            let flags = rustix::fs::ioctl_getflags(File::open(&host).unwrap());
            let immutable = flags.is_ok_and(|flags| flags.contains(rustix::fs::IFlags::IMMUTABLE));
            assert_eq!(known.immutable, immutable, "{path}");
        }
    }
}

/// The node of a path.
#[track_caller]
pub(crate) fn at(fs: &dyn FileSystem, path: &str) -> NodeId {
    path.split('/').filter(|name| !name.is_empty()).fold(fs.root(), |dir, name| {
        fs.lookup(dir, name.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"))
    })
}

/// All of a file.
#[track_caller]
pub(crate) fn content(fs: &dyn FileSystem, path: &str) -> vfs::Result<Vec<u8>> {
    let node = at(fs, path);
    let mut bytes = vec![0; fs.metadata(node).unwrap().size as usize];
    fs.read_at(node, &mut bytes, 0).map(|_| bytes)
}

pub(crate) fn xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

pub(crate) fn btrfs(arguments: &[&str], path: &Path) {
    judge::run(judge::tool("btrfs").args(arguments).arg(path));
}

/// Bytes that depend on a seed, half of which can be compressed.
pub(crate) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 4096);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state & 0x3000 == 0 {
            let word = state.to_le_bytes();
            bytes.extend(word.iter().cycle().take(500 + (state >> 50) as usize % 3000));
        }
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Fills a mounted file system with what guests have, and what btrfs keeps in ways of its own: content that
/// can be compressed, that is inside of items, in many pieces, shared, and cut.
pub(crate) fn populate(root: &Path, names: usize) {
    population::populate(root, names);
    let write = |path: &str, bytes: &[u8]| fs::write(root.join(path), bytes).unwrap();
    for size in [0, 1, 60, 1000, 2047, 2048, 2049, 4095, 4096, 4097, 70_000, 131_072, 131_073, 3 << 20] {
        write(&format!("boot/mixed-{size}"), &pattern(size, size as u64));
        write(&format!("boot/text-{size}"), &b"all work and no play ".repeat(size / 21 + 1)[..size]);
    }
    fs::hard_link(root.join("etc/fstab"), root.join("var/fstab")).unwrap();
    for len in [2000, 4000] {
        // With blocks of 4 KiB there is no room for the second.
        std::os::unix::fs::symlink("t".repeat(len), root.join(format!("etc/long-link-{len}"))).ok();
    }
    let pieces = File::create(root.join("var/pieces")).unwrap();
    for piece in 0..200_u64 {
        pieces.write_all_at(&pattern(4096, piece), piece * 8192).unwrap();
        if piece % 20 == 0 {
            pieces.sync_data().unwrap();
        }
    }
    let large = File::open(root.join("boot/file-3145728")).unwrap();
    large.sync_all().unwrap();
    let shared = File::create(root.join("var/shared")).unwrap();
    rustix::fs::ioctl_ficlone(&shared, &large).unwrap();
    shared.write_all_at(b"over what is shared", 1_000_003).unwrap();
    fs::copy(root.join("boot/text-3145728"), root.join("var/cut")).unwrap();
    let cut = fs::OpenOptions::new().write(true).open(root.join("var/cut")).unwrap();
    cut.sync_all().unwrap();
    cut.set_len(1_000_001).unwrap();
    cut.set_len(1_200_000).unwrap();
    cut.write_all_at(b"after the hole", 1_150_000).unwrap();

    xattr(&root.join("etc/fstab"), "user.larger", &pattern(1500, 5));
    xattr(&root.join("etc/link-1"), "trusted.beside", &pattern(300, 6));
    for number in 0..100 {
        let name = format!("user.{number}{}", "n".repeat(number % 50));
        xattr(&root.join("boot/file-4096"), &name, &pattern(number % 90, 7));
    }
}

/// The devices of an image as loop devices.
pub(crate) struct Loops(Vec<String>);

impl Image {
    pub(crate) fn loops(&self) -> Loops {
        let attach = |file: &tempfile::NamedTempFile| {
            let device = judge::run(judge::tool("losetup").args(["-f", "--show"]).arg(file.path()));
            String::from_utf8(device.stdout).unwrap().trim().to_owned()
        };
        Loops(self.files.iter().map(attach).collect())
    }
}

impl Loops {
    /// Mounted by the kernel until it is dropped.
    pub(crate) fn mount(&self, options: &str) -> Mount {
        let point = tempfile::tempdir().unwrap();
        let devices: String = self.0.iter().map(|device| format!(",device={device}")).collect();
        let options = format!("{options}{devices}");
        judge::run(judge::tool("mount").args(["-o", &options, &self.0[0]]).arg(point.path()));
        Mount(point)
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        judge::tool("losetup").arg("-d").args(&self.0).status().ok();
    }
}

pub(crate) struct Mount(tempfile::TempDir);

impl Mount {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        judge::tool("umount").arg(self.0.path()).status().ok();
    }
}
