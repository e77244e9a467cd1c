//! Images made by the real mkfs.xfs, and the kernel's view of them.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod log;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use block::{Disk, DiskMut, FileDisk};
use testimages::judge;
use testimages::mounted::Mounted;
use testimages::population::{self, pattern};
use vfs::conformance::compare;

/// A way to make a file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) options: &'static [&'static str],
    /// MiB that the log needs: the kernel mounts no smaller one.
    log: u64,
}

pub(crate) const fn variant(name: &'static str, log: u64, options: &'static [&'static str]) -> Variant {
    Variant { name, options, log }
}

/// All that we claim to read and write; this kernel mounts them all.
pub(crate) const VARIANTS: &[Variant] = &[
    variant("default", 12, &[]),
    variant("everything", 14, &["-m", "rmapbt=1,reflink=1,bigtime=1,inobtcount=1", "-i", "nrext64=1"]),
    variant("rmapbt", 14, &["-m", "rmapbt=1,reflink=0"]),
    variant("plain_v5", 12, &["-m", "finobt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0"]),
    variant("1k_blocks", 12, &["-b", "size=1024"]),
    variant("1k_everything", 12, &["-b", "size=1024", "-m", "rmapbt=1", "-i", "nrext64=1"]),
    variant("2k_blocks", 12, &["-b", "size=2048", "-n", "size=8192"]),
    variant("16k_blocks", 48, &["-b", "size=16384", "-m", "rmapbt=1"]),
    variant("64k_blocks", 176, &["-b", "size=65536", "-m", "rmapbt=1", "-d", "agcount=1"]),
    variant("64k_directories", 24, &["-n", "size=65536"]),
    variant("1k_inodes", 12, &["-i", "size=1024", "-s", "size=4096"]),
    variant("2k_inodes", 16, &["-i", "size=2048", "-m", "rmapbt=1"]),
    variant("four_groups", 12, &["-d", "agcount=4"]),
    variant(
        "rhel7",
        12,
        &["-m", "finobt=0,rmapbt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0", "-n", "ftype=1"],
    ),
];

pub(crate) fn find(name: &str) -> Variant {
    *VARIANTS.iter().find(|variant| variant.name == name).expect("a known variant")
}

/// Whether the long tests are asked for.
pub(crate) fn long() -> bool {
    testimages::length::long()
}

/// Version 4, which this kernel has not.
pub(crate) const OLD: &[Variant] = &[
    variant("v4", 12, &["-m", "crc=0"]),
    variant("v4_without_ftype", 12, &["-m", "crc=0", "-n", "ftype=0", "-i", "size=512"]),
    variant("v4_1k_blocks", 12, &["-m", "crc=0", "-b", "size=1024"]),
];

/// A file system in a file of its own.
pub(crate) struct Image {
    file: tempfile::NamedTempFile,
    pub(crate) size: u64,
}

impl Image {
    /// Makes one of `size` bytes, the log not counted; `None` after saying that the test is skipped.
    pub(crate) fn new(variant: &Variant, size: u64) -> Option<Self> {
        Self::with_options(variant, size, &[])
    }

    pub(crate) fn with_options(variant: &Variant, size: u64, more: &[&str]) -> Option<Self> {
        // In memory where that can be: every mount and unmount writes through.
        let memory = Path::new("/dev/shm");
        Self::make(
            if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() },
            variant,
            size,
            more,
        )
    }

    /// As [`new`](Self::new), where user-mode Linux sees it, which has a /dev of its own.
    pub(crate) fn on_disk(variant: &Variant, size: u64) -> Option<Self> {
        Self::make(std::env::temp_dir(), variant, size, &[])
    }

    fn make(folder: PathBuf, variant: &Variant, size: u64, more: &[&str]) -> Option<Self> {
        if !judge::need_all(&["mkfs.xfs", "xfs_repair"]) {
            return None;
        }
        let file = tempfile::Builder::new().prefix("refloat-xfs-").tempfile_in(folder).unwrap();
        let size = size + (variant.log << 20);
        file.as_file().set_len(size).unwrap();
        let mut command = judge::tool("mkfs.xfs");
        // What tells mkfs.xfs that it is part of a test, where volumes may have less than 300 MB.
        command.env("TEST_DIR", "x").env("TEST_DEV", "x").env("QA_CHECK_FS", "x");
        command.args(["-q", "-f"]).args(variant.options).args(more);
        if size < 300 << 20 {
            command.args(["-l", &format!("size={}m", variant.log)]);
            if !variant.options.contains(&"-d") {
                // The log must fit into one group.
                command.args(["-d", "agcount=2"]);
            }
        }
        judge::run(command.arg(file.path()));
        Some(Self { file, size })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk::new(FileDisk::open(self.path()).unwrap())
    }

    pub(crate) fn device(&self) -> DiskMut {
        DiskMut::new(FileDisk::open_mut(self.path()).unwrap())
    }

    pub(crate) fn open(&self) -> xfs::Xfs {
        xfs::open(self.disk()).unwrap()
    }

    pub(crate) fn open_mut(&self) -> xfs::XfsMut {
        xfs::open_mut(self.device()).unwrap()
    }

    /// Lets the kernel change it.
    pub(crate) fn populate(&self, change: impl FnOnce(&Path)) {
        let mount = judge::KernelMount::with_options(self.path(), 0..self.size, "rw,nouuid");
        change(mount.path());
    }

    /// No error for xfs_repair.
    #[track_caller]
    pub(crate) fn repair(&self) {
        judge::run(judge::tool("xfs_repair").args(["-n", "-o", "force_geometry"]).arg(self.path()));
    }

    /// No error for xfs_repair, and the kernel sees the tree that we see.
    #[track_caller]
    pub(crate) fn judge(&self) {
        self.repair();
        if judge::need_kernel_mounts() {
            let mount = judge::KernelMount::with_options(self.path(), 0..self.size, "ro,nouuid");
            if let Err(difference) = compare(&self.open(), &Mounted::new(mount.path())) {
                panic!("we and the kernel differ: {difference}");
            }
        }
    }
}

/// Stops a mounted file system as a crash would; `how` is the command of xfs_io.
pub(crate) fn shut_down(root: &Path, how: &str) {
    judge::run(judge::tool("xfs_io").args(["-x", "-c", how]).arg(root));
}

/// Fills a mounted file system with what guests have, and what only XFS can hold.
pub(crate) fn populate(root: &Path, names: usize) {
    population::populate(root, names);
    // Shared blocks: a whole file, and one that shares all but its middle.
    let original = File::open(root.join("boot/file-3145728")).unwrap();
    for name in ["var/clone", "var/half-a-clone"] {
        let clone = File::create(root.join(name)).unwrap();
        if rustix::fs::ioctl_ficlone(&clone, &original).is_ok() && name == "var/half-a-clone" {
            clone.write_all_at(&pattern(300_000, 10), 1 << 20).unwrap();
        }
    }

    let xattr = |path: &str, name: &str, value: &[u8]| {
        let none = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(root.join(path), name, value, none).unwrap();
    };
    xattr("etc/link-6", "trusted.beside", &pattern(300, 6));
    for number in 0..200 {
        xattr(
            "boot/file-4096",
            &format!("user.{number}{}", "n".repeat(number % 50)),
            &pattern(number % 90, 7),
        );
    }
    for (number, size) in [3000, 5000, 20_000, 65_536].into_iter().enumerate() {
        xattr("boot/file-100", &format!("user.remote-{number}"), &pattern(size, 8));
    }
}
