//! Images made by the real mke2fs, and the kernel's view of them.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::path::Path;

use block::{Disk, DiskMut, FileDisk};
use testimages::judge;
use testimages::mounted::Mounted;
use vfs::conformance::{Capabilities, Subject, compare};
use vfs::{FileSystem, FileSystemMut};

/// A way to make a file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) options: &'static [&'static str],
    /// Whether this kernel mounts it.
    pub(crate) mounts: bool,
}

impl Variant {
    pub(crate) const fn new(name: &'static str, options: &'static [&'static str]) -> Self {
        Self { name, options, mounts: true }
    }

    pub(crate) fn has_journal(&self) -> bool {
        let has = |words: &str| self.options.join(" ").contains(words);
        !has("-t ext2") && !has("^has_journal")
    }

    pub(crate) fn block_size(&self) -> u32 {
        let size = self.options.windows(2).find(|pair| pair[0] == "-b").map(|pair| pair[1].parse());
        size.and_then(|size| size.ok()).expect("all variants say the size of their blocks")
    }
}

/// All that we claim to read and write.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant::new("default", &["-t", "ext4", "-b", "4096"]),
    Variant::new("orphan_file", &["-t", "ext4", "-b", "4096", "-O", "orphan_file,metadata_csum_seed"]),
    Variant::new("inline_data", &["-t", "ext4", "-b", "4096", "-O", "inline_data"]),
    Variant::new("1k_blocks", &["-t", "ext4", "-b", "1024"]),
    Variant::new("2k_blocks", &["-t", "ext4", "-b", "2048"]),
    Variant::new("no_journal", &["-t", "ext4", "-b", "4096", "-O", "^has_journal"]),
    Variant::new("gdt_csum", &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit,uninit_bg"]),
    Variant::new("no_checksums", &["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^uninit_bg"]),
    Variant::new("128_byte_inodes", &["-t", "ext4", "-b", "4096", "-I", "128"]),
    Variant::new("512_byte_inodes", &["-t", "ext4", "-b", "4096", "-I", "512"]),
    Variant::new("ext3", &["-t", "ext3", "-b", "4096"]),
    Variant::new("ext2", &["-t", "ext2", "-b", "1024"]),
    Variant::new(
        "ext2_plain",
        &["-t", "ext2", "-b", "1024", "-O", "^dir_index,^filetype,^sparse_super,^resize_inode"],
    ),
    Variant::new("ext4_block_maps", &["-t", "ext4", "-b", "1024", "-O", "^extent,^64bit"]),
    Variant::new("meta_bg", &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"]),
    Variant::new("sparse_super2", &["-t", "ext4", "-b", "1024", "-O", "sparse_super2,^resize_inode"]),
    Variant::new("large_dir", &["-t", "ext4", "-b", "1024", "-O", "large_dir"]),
    Variant::new("ea_inode", &["-t", "ext4", "-b", "4096", "-O", "ea_inode"]),
    Variant::new("no_flex_bg", &["-t", "ext4", "-b", "1024", "-O", "^flex_bg"]),
    Variant::new(
        "tea_hash",
        &["-t", "ext4", "-b", "1024", "-E", "hash_seed=12345678-1234-1234-1234-123456789abc"],
    ),
    Variant { name: "64k_blocks", options: &["-t", "ext4", "-b", "65536"], mounts: false },
];

pub(crate) fn find(name: &str) -> Variant {
    *VARIANTS.iter().chain(UNCHECKED).find(|variant| variant.name == name).expect("a known variant")
}

/// Small blocks and no checksums, for damage that must get through to the parsers.
const UNCHECKED: &[Variant] = &[
    Variant::new(
        "1k_no_checksums",
        &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg,ea_inode"],
    ),
    Variant::new(
        "1k_inline_data",
        &["-t", "ext4", "-b", "1024", "-O", "inline_data,^metadata_csum,^uninit_bg"],
    ),
];

/// Whether the long runs were asked for, by setting `REFLOAT_LONG`.
pub(crate) fn long() -> bool {
    testimages::length::long()
}

/// A file system in a file of its own.
pub(crate) struct Image {
    file: tempfile::NamedTempFile,
    pub(crate) size: u64,
    mounts: bool,
}

impl Image {
    /// Makes one; `None` after saying that the test is skipped.
    pub(crate) fn new(variant: &Variant, size: u64) -> Option<Self> {
        Self::with_options(variant, size, &[])
    }

    pub(crate) fn with_options(variant: &Variant, size: u64, more: &[&str]) -> Option<Self> {
        if !judge::need_all(&["mke2fs", "e2fsck"]) {
            return None;
        }
        // In memory where that can be: every mount and unmount writes through.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let file = tempfile::Builder::new().prefix("refloat-ext4-").tempfile_in(folder).unwrap();
        file.as_file().set_len(size).unwrap();
        let mut command = judge::tool("mke2fs");
        command.args(["-q", "-F"]).args(variant.options).args(more);
        // A fixed identity: runs of one seed are equal runs.
        command.args(["-U", "6d0e4b1c-93f5-4a7c-8f66-0a1b2c3d4e5f"]).arg(file.path());
        judge::run(&mut command);
        if variant.name == "tea_hash" {
            judge::run(judge::tool("tune2fs").args(["-E", "hash_alg=tea"]).arg(file.path()));
        }
        Some(Self { file, size, mounts: variant.mounts })
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

    pub(crate) fn open(&self) -> ext4::Ext4 {
        ext4::open(self.disk()).unwrap()
    }

    pub(crate) fn open_mut(&self) -> ext4::Ext4Mut {
        ext4::open_mut(self.device()).unwrap()
    }

    pub(crate) fn debugfs(&self, command: &str) {
        judge::run(judge::tool("debugfs").args(["-w", "-R", command]).arg(self.path()));
    }

    /// Lets the kernel change it.
    pub(crate) fn populate(&self, change: impl FnOnce(&Path)) {
        let mount = judge::KernelMount::read_write(self.path(), 0..self.size);
        change(mount.path());
    }

    /// Its bytes while the kernel uses it as `work` says, whose answer is held until then. The image itself
    /// changes on.
    pub(crate) fn bytes_in_use<T>(&self, options: &str, work: impl FnOnce(&Path) -> T) -> Vec<u8> {
        let mount = judge::KernelMount::with_options(self.path(), 0..self.size, options);
        let held = work(mount.path());
        // The kernel writes when it likes: until nothing changes between two reads.
        let mut before = self.bytes();
        let bytes = loop {
            let after = self.bytes();
            if before == after {
                break after;
            }
            before = after;
        };
        drop(held);
        bytes
    }

    /// No error for e2fsck, and the kernel sees the tree that we see.
    #[track_caller]
    pub(crate) fn judge(&self) {
        judge::e2fsck_clean(self.path(), 0);
        if self.mounts && judge::need_kernel_mounts() {
            let mount = judge::KernelMount::with_options(self.path(), 0..self.size, "ro");
            if let Err(difference) = compare(&self.open(), &Mounted::new(mount.path())) {
                panic!("we and the kernel differ: {difference}");
            }
        }
    }
}

impl Subject for Image {
    fn capabilities(&self) -> Capabilities {
        let block_size = self.open().info().unwrap().block_size as usize;
        // s_inode_size, in the superblock
        let mut inode_size = [0; 2];
        self.disk().read_at(&mut inode_size, 1024 + 0x58).unwrap();
        Capabilities {
            symlinks: Some((block_size - 1).min(4095)),
            xattrs: Some(if block_size == 1024 { 500 } else { 2000 }),
            nanoseconds: u16::from_le_bytes(inode_size) > 128,
            ..Capabilities::UNIX
        }
    }

    fn open(&mut self) -> Box<dyn FileSystemMut + '_> {
        Box::new(self.open_mut())
    }

    fn judge(&mut self) {
        Self::judge(self);
    }
}
