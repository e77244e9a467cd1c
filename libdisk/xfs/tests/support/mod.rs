//! Images made by the real mkfs.xfs, and the kernel's view of them.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod log;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use block::{Disk, DiskMut, FileDisk};
use testimages::judge;
use vfs::conformance::compare;
use vfs::{DirEntry, FileSystem, FileType, FsError, Info, Metadata, NodeId, Result, Timestamp};

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
    std::env::var_os("REFLOAT_LONG").is_some()
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

/// A directory of this machine as a file system: what the kernel says of a mounted image.
pub(crate) struct Mounted {
    root: NodeId,
    paths: RefCell<HashMap<NodeId, PathBuf>>,
}

impl Mounted {
    pub(crate) fn new(root: &Path) -> Self {
        let id = NodeId(fs::symlink_metadata(root).unwrap().ino());
        Self { root: id, paths: RefCell::new(HashMap::from([(id, root.to_owned())])) }
    }

    fn path(&self, node: NodeId) -> PathBuf {
        self.paths.borrow()[&node].clone()
    }
}

fn io<T>(result: std::io::Result<T>) -> Result<T> {
    result.map_err(|error| FsError::Device(block::Error::io("kernel", "a file", error)))
}

fn file_type(kind: fs::FileType) -> FileType {
    match kind {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_symlink() => FileType::Symlink,
        kind if kind.is_char_device() => FileType::CharDevice,
        kind if kind.is_block_device() => FileType::BlockDevice,
        kind if kind.is_fifo() => FileType::Fifo,
        kind if kind.is_socket() => FileType::Socket,
        _ => FileType::Regular,
    }
}

impl FileSystem for Mounted {
    fn info(&self) -> Result<Info> {
        Err(FsError::unsupported("the kernel's view has no superblock"))
    }

    fn root(&self) -> NodeId {
        self.root
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        Ok(NodeId(io(fs::symlink_metadata(self.path(dir).join(OsStr::from_bytes(name))))?.ino()))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let path = self.path(node);
        let meta = io(fs::symlink_metadata(&path))?;
        let file_type = file_type(meta.file_type());
        let device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice)
            .then(|| (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())));
        let immutable = matches!(file_type, FileType::Regular | FileType::Directory) && {
            let file = io(File::open(&path))?;
            rustix::fs::ioctl_getflags(&file).is_ok_and(|flags| flags.contains(rustix::fs::IFlags::IMMUTABLE))
        };
        Ok(Metadata {
            file_type,
            mode: (meta.mode() & 0o7777) as u16,
            uid: meta.uid(),
            gid: meta.gid(),
            size: meta.size(),
            links: meta.nlink(),
            mtime: Timestamp { seconds: meta.mtime(), nanos: meta.mtime_nsec() as u32 },
            device,
            immutable,
        })
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in io(fs::read_dir(self.path(dir)))? {
            let entry = io(entry)?;
            let meta = io(fs::symlink_metadata(entry.path()))?;
            let node = NodeId(meta.ino());
            self.paths.borrow_mut().insert(node, entry.path());
            let name = entry.file_name().as_bytes().to_vec();
            entries.push(DirEntry { name, node, file_type: file_type(meta.file_type()) });
        }
        Ok(entries)
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        let file = io(File::open(self.path(node)))?;
        let mut done = 0;
        while done < buf.len() {
            match io(file.read_at(&mut buf[done..], offset + done as u64))? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        Ok(io(fs::read_link(self.path(node)))?.as_os_str().as_bytes().to_vec())
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let path = self.path(node);
        let mut names = vec![0_u8; 64 << 10];
        let count = rustix::fs::llistxattr(&path, &mut names[..]).map_err(std::io::Error::from);
        let count = io(count)?;
        let mut found = Vec::new();
        // Access lists are listed twice: as the kernel shows them, and as they are stored.
        let shown = |name: &&[u8]| !name.is_empty() && !name.starts_with(b"trusted.SGI_ACL");
        for name in names[..count].split(|&byte| byte == 0).filter(shown) {
            let mut value = vec![0_u8; 64 << 10];
            let len = io(rustix::fs::lgetxattr(&path, name, &mut value[..]).map_err(std::io::Error::from))?;
            found.push((name.to_vec(), value[..len].to_vec()));
        }
        found.sort();
        Ok(found)
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        Ok(Vec::new())
    }
}

/// Fills a mounted file system with what guests have, and more.
pub(crate) fn populate(root: &Path, names: usize) {
    use rustix::fs::{FallocateFlags, Mode, XattrFlags, fallocate, mknodat};
    let write = |path: &str, bytes: &[u8]| fs::write(root.join(path), bytes).unwrap();
    let xattr = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    for dir in ["etc", "boot/grub", "dev", "many", "deep/a/b/c/d", "empty", "var/log"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for size in [0, 1, 59, 60, 61, 100, 150, 160, 200, 1023, 1024, 4095, 4096, 4097, 70_000, 3 << 20] {
        write(&format!("boot/file-{size}"), &pattern(size, size as u64));
    }
    write("etc/fstab", b"UUID=6d0e / ext4 defaults 0 1\n");
    for number in 0..names {
        // Lengths differ, and some bytes are negative where characters are signed.
        let name = format!("{number}-\u{e9}{}", "x".repeat(number * 7 % 60));
        write(&format!("many/{name}"), b"");
    }
    for number in 0..5 {
        write(&format!("empty/few-{number}"), b"small");
    }
    fs::hard_link(root.join("etc/fstab"), root.join("etc/fstab.link")).unwrap();
    for (number, len) in [1, 59, 60, 61, 120, 1000, 1023].into_iter().enumerate() {
        std::os::unix::fs::symlink("t".repeat(len), root.join(format!("etc/link-{number}"))).unwrap();
    }
    for (name, kind, mode, major, minor) in [
        ("null", rustix::fs::FileType::CharacterDevice, 0o666, 1, 3),
        ("sda", rustix::fs::FileType::BlockDevice, 0o660, 8, 0),
        ("wide", rustix::fs::FileType::BlockDevice, 0o660, 259, 70_000),
        ("pipe", rustix::fs::FileType::Fifo, 0o600, 0, 0),
        ("socket", rustix::fs::FileType::Socket, 0o600, 0, 0),
    ] {
        let device = rustix::fs::makedev(major, minor);
        mknodat(rustix::fs::CWD, root.join("dev").join(name), kind, Mode::from_raw_mode(mode), device)
            .unwrap();
    }

    // Content with holes, not yet written, and in many pieces.
    let sparse = File::create(root.join("var/sparse")).unwrap();
    for at in [0_u64, 50_000, 3 << 20, 80 << 20] {
        sparse.write_all_at(b"island", at).unwrap();
    }
    sparse.set_len(81 << 20).unwrap();
    let reserved = File::create(root.join("var/reserved")).unwrap();
    if fallocate(&reserved, FallocateFlags::empty(), 0, 1 << 20).is_ok() {
        reserved.write_all_at(b"written in the middle", 500_000).unwrap();
    }
    let (even, odd) =
        (File::create(root.join("var/even")).unwrap(), File::create(root.join("var/odd")).unwrap());
    for piece in 0..600_u64 {
        for file in [&even, &odd] {
            file.write_all_at(&pattern(4096, piece), piece * 8192).unwrap();
        }
    }

    // Shared blocks: a whole file, and one that shares all but its middle.
    let original = File::open(root.join("boot/file-3145728")).unwrap();
    for name in ["var/clone", "var/half-a-clone"] {
        let clone = File::create(root.join(name)).unwrap();
        if rustix::fs::ioctl_ficlone(&clone, &original).is_ok() && name == "var/half-a-clone" {
            clone.write_all_at(&pattern(300_000, 10), 1 << 20).unwrap();
        }
    }

    xattr("etc/fstab", "security.selinux", b"system_u:object_r:etc_t:s0\0");
    xattr("etc/fstab", "user.large", &pattern(700, 5));
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
    xattr("boot/grub", "trusted.overlay.opaque", b"y");
    xattr("etc/link-0", "security.selinux", b"system_u:object_r:lnk_t:s0\0");
    xattr("boot/file-61", "user.empty", b"");
    // user::rw-, user:1000:r--, group::r--, mask::r--, other::---
    let acl: Vec<u8> =
        [(1_u16, 6_u16, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
            .iter()
            .fold(2_u32.to_le_bytes().to_vec(), |mut acl, (tag, mode, id)| {
                acl.extend([tag.to_le_bytes(), mode.to_le_bytes()].concat());
                acl.extend(id.to_le_bytes());
                acl
            });
    xattr("boot/file-1", "system.posix_acl_access", &acl);
    xattr("boot/grub", "system.posix_acl_default", &acl);

    std::os::unix::fs::chown(root.join("etc/fstab"), Some(70_000), Some(4_000_000_000)).unwrap();
    for (name, seconds) in [("file-0", 4_000_000_000_i64), ("file-1", -5), ("file-59", 10_000_000_000)] {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(
            rustix::fs::CWD,
            root.join("boot").join(name),
            &times,
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
    }
    let fixed = File::open(root.join("boot/file-60")).unwrap();
    rustix::fs::ioctl_setflags(&fixed, rustix::fs::IFlags::IMMUTABLE).ok();
}

/// Bytes that depend on a seed.
pub(crate) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The node of a path.
#[track_caller]
pub(crate) fn at(fs: &dyn FileSystem, path: &str) -> NodeId {
    path.split('/').filter(|name| !name.is_empty()).fold(fs.root(), |dir, name| {
        fs.lookup(dir, name.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"))
    })
}
