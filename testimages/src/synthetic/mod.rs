//! Synthetic guests: disk images small enough to build in a second and true enough to fool whoever inspects
//! them.
//!
//! Each is what an instance on EC2 leaves behind, and each trips other rules. They are built by the real
//! tools, as any user, and none of our parsers takes part. The same recipe makes the same bytes; images are
//! kept in the [cache]. Kernels, modules and programs in them are phonies too: nothing of another's code is
//! inside.

mod alpine;
mod disk;
mod ec2;
mod grub;
mod guests;
mod initrd;
mod kernel;
mod loaders;
mod network;
mod rpm;
mod selinux;
mod systemd_boot;
mod tree;
mod windows;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

use anyhow::Result;

use crate::{cache, judge};

/// The firmware a guest boots with, hence the kind of Azure machine it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// BIOS: `azure-gen1`.
    Gen1,
    /// UEFI: `azure-gen2`.
    Gen2,
}

/// What a synthetic guest needs of the machine that builds it.
const TOOLS: &[&str] = &[
    "mke2fs",
    "debugfs",
    "mkfs.vfat",
    "mkfs.xfs",
    "mcopy",
    "sfdisk",
    "sgdisk",
    "gcc",
    "depmod",
    "matchpathcon",
    "cpio",
    "gzip",
    "lz4",
    "xz",
    "zstd",
];

/// All that decides what an image holds, for the cache's key.
const RECIPE: &[&[u8]] = &[
    include_bytes!("mod.rs"),
    include_bytes!("alpine.rs"),
    include_bytes!("disk.rs"),
    include_bytes!("ec2.rs"),
    include_bytes!("grub.rs"),
    include_bytes!("guests.rs"),
    include_bytes!("guests/debian.rs"),
    include_bytes!("guests/lvm.rs"),
    include_bytes!("guests/pv.rs"),
    include_bytes!("guests/ubuntu.rs"),
    include_bytes!("initrd.rs"),
    include_bytes!("kernel.rs"),
    include_bytes!("loaders.rs"),
    include_bytes!("network.rs"),
    include_bytes!("rpm.rs"),
    include_bytes!("rpm/amazon.rs"),
    include_bytes!("rpm/fedora.rs"),
    include_bytes!("rpm/lvm.rs"),
    include_bytes!("rpm/red_hat.rs"),
    include_bytes!("rpm/suse.rs"),
    include_bytes!("selinux.rs"),
    include_bytes!("systemd_boot.rs"),
    include_bytes!("tree.rs"),
];

/// A guest, as a raw disk image.
#[derive(Clone, Copy)]
pub struct SyntheticGuest {
    /// Its name in tests and golden files.
    pub name: &'static str,
    /// What is special about it.
    pub description: &'static str,
    /// The machine it is meant for.
    pub generation: Generation,
    build: fn(&Path) -> Result<()>,
}

impl std::fmt::Debug for SyntheticGuest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyntheticGuest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SyntheticGuest {
    /// The tools that build it, and all that decides what it holds.
    fn needs(&self) -> (&'static [&'static str], &'static [&'static [u8]]) {
        let is_windows = windows::ALL.iter().chain([&windows::LARGE]).any(|guest| guest.name == self.name);
        if is_windows { (windows::TOOLS, windows::RECIPE) } else { (TOOLS, RECIPE) }
    }

    /// The raw image, built unless the cache has it; `None`, after a visible skip, when a tool is missing.
    /// All tests share it: copy it before you write to it.
    ///
    /// # Panics
    /// When a tool that is there fails.
    #[track_caller]
    pub fn path(&self) -> Option<PathBuf> {
        let (tools, sources) = self.needs();
        // Files get into NTFS by a mount.
        let able = judge::need_all(tools) && (!tools.contains(&"ntfs-3g") || judge::need_user_mounts());
        able.then(|| {
            let file = format!("{}.raw", self.name);
            let recipe: Vec<&[u8]> = [self.name.as_bytes()].iter().chain(sources).copied().collect();
            cache::cached(&file, &recipe, |out| (self.build)(&out.join(&file)))
                .unwrap_or_else(|error| panic!("{error:?}"))
        })
    }

    /// A copy to write to, in a directory of its own; holes stay holes.
    ///
    /// # Panics
    /// When it cannot be built or copied.
    #[track_caller]
    pub fn copy_into(&self, directory: &Path) -> Option<PathBuf> {
        let copy = directory.join(format!("{}.raw", self.name));
        judge::qemu_img_convert((&self.path()?, "raw"), (&copy, "raw"), "");
        Some(copy)
    }

    /// The same with further files, or others, on its first partition, which is that of a Windows.
    ///
    /// # Panics
    /// When they cannot be written.
    #[track_caller]
    pub fn copy_with(&self, directory: &Path, files: &[(String, Vec<u8>)]) -> Option<PathBuf> {
        let copy = self.copy_into(directory)?;
        windows::add(&copy, files).unwrap_or_else(|error| panic!("{error:?}"));
        Some(copy)
    }

    /// The image converted by `qemu-img` into one of [`WRAPPINGS`].
    ///
    /// # Panics
    /// When qemu-img fails.
    #[track_caller]
    pub fn wrapped(&self, wrapping: &Wrapping) -> Option<PathBuf> {
        judge::need("qemu-img")?;
        let raw = self.path()?;
        let file = format!("{}.{}", self.name, wrapping.name);
        // Some guests are others each time they are built.
        let made = raw.metadata().and_then(|raw| raw.modified()).expect("the image is there");
        let made = made.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let made = made.to_le_bytes();
        let recipe: Vec<&[u8]> = [file.as_bytes(), wrapping.options.as_bytes(), &made]
            .iter()
            .chain(self.needs().1)
            .copied()
            .collect();
        let built = cache::cached(&file, &recipe, |out| {
            judge::qemu_img_convert((&raw, "raw"), (&out.join(&file), wrapping.format), wrapping.options);
            Ok(())
        });
        Some(built.unwrap_or_else(|error| panic!("{error:?}")))
    }
}

/// A guest of several disks, each a raw image.
#[derive(Clone, Copy)]
pub struct SyntheticMachine {
    /// Its name in tests.
    pub name: &'static str,
    /// What is special about it.
    pub description: &'static str,
    /// The machine it is meant for.
    pub generation: Generation,
    disks: usize,
    build: fn(&[PathBuf]) -> Result<()>,
}

impl SyntheticMachine {
    /// The names of its files, that of the disk it starts from first.
    fn files(&self) -> Vec<String> {
        let further = (1..self.disks).map(|number| format!("{}-data{number}.raw", self.name));
        std::iter::once(format!("{}.raw", self.name)).chain(further).collect()
    }

    /// The raw images, as [`SyntheticGuest::path`].
    ///
    /// # Panics
    /// When a tool that is there fails.
    #[track_caller]
    pub fn paths(&self) -> Option<Vec<PathBuf>> {
        judge::need_all(TOOLS).then(|| {
            let files = self.files();
            let recipe: Vec<&[u8]> = [self.name.as_bytes()].iter().chain(RECIPE).copied().collect();
            let build =
                |out: &Path| (self.build)(&files.iter().map(|file| out.join(file)).collect::<Vec<_>>());
            let first = cache::cached(&files[0], &recipe, build).unwrap_or_else(|error| panic!("{error:?}"));
            files.iter().map(|file| first.with_file_name(file)).collect()
        })
    }

    /// Copies to write to, in a directory of their own; holes stay holes.
    ///
    /// # Panics
    /// When they cannot be built or copied.
    #[track_caller]
    pub fn copy_into(&self, directory: &Path) -> Option<Vec<PathBuf>> {
        let copy = |path: PathBuf| {
            let copy = directory.join(path.file_name().expect("a file"));
            judge::qemu_img_convert((&path, "raw"), (&copy, "raw"), "");
            copy
        };
        Some(self.paths()?.into_iter().map(copy).collect())
    }
}

/// Every synthetic guest of several disks.
pub fn machines() -> &'static [SyntheticMachine] {
    if crate::lvm::need() { guests::lvm::MACHINES } else { &[] }
}

/// An image format around a guest.
#[derive(Clone, Copy, Debug)]
pub struct Wrapping {
    /// Its name, also the end of the file's name.
    pub name: &'static str,
    /// qemu's name of the format.
    pub format: &'static str,
    options: &'static str,
}

/// The formats guests come wrapped in.
pub const WRAPPINGS: &[Wrapping] = &[
    Wrapping { name: "qcow2", format: "qcow2", options: "" },
    Wrapping { name: "zlib.qcow2", format: "qcow2", options: "cluster_size=4k,compression_type=zlib" },
    Wrapping { name: "fixed.vhd", format: "vpc", options: "subformat=fixed,force_size=on" },
    Wrapping { name: "dynamic.vhd", format: "vpc", options: "subformat=dynamic,force_size=on" },
    Wrapping { name: "vhdx", format: "vhdx", options: "" },
    Wrapping { name: "stream.vmdk", format: "vmdk", options: "subformat=streamOptimized" },
];

/// Every synthetic guest.
pub fn all() -> &'static [SyntheticGuest] {
    static ALL: LazyLock<Vec<SyntheticGuest>> = LazyLock::new(|| {
        let lvm = if crate::lvm::need() { [guests::lvm::ALL, rpm::lvm::ALL].concat() } else { Vec::new() };
        [guests::ALL, guests::pv::ALL, systemd_boot::ALL, alpine::ALL, rpm::ALL, &lvm].concat()
    });
    &ALL
}

/// Every synthetic Windows guest.
pub fn windows() -> &'static [SyntheticGuest] {
    windows::ALL
}

/// A driver of Windows: headers, and no code.
pub fn windows_driver(name: &str) -> Vec<u8> {
    windows::driver(name)
}

/// The boot configuration of a Windows guest, by itself: a small hive.
///
/// # Errors
/// If `hivexregedit` is not there.
pub fn windows_store() -> anyhow::Result<Vec<u8>> {
    windows::store()
}

/// A Windows guest of 30 GiB, a sparse file: nobody should read all of it.
pub fn large_windows() -> &'static SyntheticGuest {
    &windows::LARGE
}

/// The guest of this name.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn named(name: &str) -> &'static SyntheticGuest {
    let found = all().iter().chain(windows()).find(|guest| guest.name == name);
    found.unwrap_or_else(|| panic!("no synthetic guest is called {name}"))
}

/// The guest of `refloat demo`: a Debian on a 32 MiB disk, which packs to less than 4 MiB.
pub fn demo() -> &'static SyntheticGuest {
    &guests::DEMO
}
