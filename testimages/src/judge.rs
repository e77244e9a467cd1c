//! The outside judges: programs we did not write, asked whether what we wrote is well formed.
//!
//! A judge that is not installed makes its test skip *visibly*: a `SKIPPED:` line on the real stderr (not the
//! captured one) and in `target/skipped.txt`. With `CI=true` a missing program is a failure. Every judgement
//! panics with the command and all it printed, so that a failed test explains itself.

mod ntfs;
mod ntfs3;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::length;

pub use ntfs::{Depth, ntfs, ntfs_complaints, ntfs_manifest};
pub use ntfs3::ntfs3;

/// The Debian package of each program a test may ask for, when it does not bear the program's name.
const PACKAGES: &[(&str, &str)] = &[
    ("blkid", "util-linux"),
    ("debugfs", "e2fsprogs"),
    ("depmod", "kmod"),
    ("dracut", "dracut-core"),
    ("dumpe2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("filefrag", "e2fsprogs"),
    ("findmnt", "util-linux"),
    ("flock", "util-linux"),
    ("fsck.vfat", "dosfstools"),
    ("fsfreeze", "util-linux"),
    ("grub-editenv", "grub-common"),
    ("grub-fstest", "grub-common"),
    ("grub-mkimage", "grub-common"),
    ("grub-script-check", "grub-common"),
    ("losetup", "mount"),
    ("hivexregedit", "libwin-hivex-perl"),
    ("linux.uml", "user-mode-linux"),
    ("lsinitramfs", "initramfs-tools-core"),
    ("lsinitrd", "dracut-core"),
    ("lvm", "lvm2"),
    ("matchpathcon", "selinux-utils"),
    ("mcopy", "mtools"),
    ("mdir", "mtools"),
    ("mke2fs", "e2fsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkfs.vfat", "dosfstools"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkntfs", "ntfs-3g"),
    ("mmd", "mtools"),
    ("modinfo", "kmod"),
    ("modprobe", "kmod"),
    ("mkntfs", "ntfs-3g"),
    ("mtype", "mtools"),
    ("ntfsfix", "ntfs-3g"),
    ("ntfsinfo", "ntfs-3g"),
    ("objcopy", "binutils"),
    ("qemu-img", "qemu-utils"),
    ("qemu-io", "qemu-utils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("resize2fs", "e2fsprogs"),
    ("sfdisk", "fdisk"),
    ("sgdisk", "gdisk"),
    ("tune2fs", "e2fsprogs"),
    ("unmkinitramfs", "initramfs-tools-core"),
    ("xfs_db", "xfsprogs"),
    ("xfs_io", "xfsprogs"),
    ("xfs_repair", "xfsprogs"),
    ("xmllint", "libxml2-utils"),
    ("xz", "xz-utils"),
];

/// Programs whose tests take long: they boot, trace every call, or install from a network.
const SLOW: &[&str] =
    &["chromium", "debootstrap", "linux.uml", "npm", "python3", "qemu-system-x86_64", "strace"];

/// Where administrators' programs are, for users whose `PATH` leaves them out.
const SBIN: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The path of `program`; `None` after saying that the running test is skipped.
///
/// # Panics
/// When `CI=true` and the program is missing: a runner that cannot judge must not pass.
pub fn need(program: &str) -> Option<PathBuf> {
    if SLOW.contains(&program) && length::quick() {
        skip(&format!("{program}, which a quick run leaves out"));
        return None;
    }
    let found = find(program);
    if found.is_none() {
        let package =
            PACKAGES.iter().find(|(name, _)| *name == program).map_or(program, |(_, package)| package);
        missing(&format!("{program} (Debian package {package})"));
    }
    found
}

/// All of `programs`, or a visible skip that names the first one missing.
pub fn need_all(programs: &[&str]) -> bool {
    programs.iter().all(|program| need(program).is_some())
}

/// Whether this process may loop-mount file systems (root, and a kernel with loop devices); a visible skip if
/// not.
pub fn need_kernel_mounts() -> bool {
    if length::quick() {
        skip("a mount, which a quick run leaves out");
        return false;
    }
    let able = rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists();
    if !able {
        missing("root and loop devices, for a kernel mount");
    }
    able
}

/// Whether this process may mount file systems of programs (root, and FUSE in the kernel); a visible skip if
/// not.
pub fn need_user_mounts() -> bool {
    let able = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !able {
        missing("root and /dev/fuse, for a mount by ntfs-3g");
    }
    able
}

/// The lab and recorded data beside the checkout (`../shared`). It is no part of the repository, so its
/// absence is a visible skip everywhere, CI included.
pub fn shared() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let found = path.canonicalize().ok();
    if found.is_none() {
        skip("../shared, which is not in the repository");
    }
    found
}

/// Says that the running test is skipped for want of `what`; for requirements that no package meets.
pub fn skip(what: &str) {
    // A runner that gives each test a process of its own runs it on the main thread, and tells its name.
    let named = std::env::var("NEXTEST_TEST_NAME").ok();
    let thread = std::thread::current();
    let name = named.as_deref().or(thread.name()).unwrap_or("a test");
    let line = format!("SKIPPED: {name} needs {what}\n");
    // The handle, not `eprintln!`: the test harness captures the latter and hides it when the test passes.
    let _ = std::io::stderr().write_all(line.as_bytes());
    // target/debug/deps/<test> -> target
    let target = std::env::current_exe().ok().and_then(|exe| exe.ancestors().nth(3).map(Path::to_owned));
    if let Some(target) = target {
        let log = File::options().create(true).append(true).open(target.join("skipped.txt"));
        let _ = log.and_then(|mut log| log.write_all(line.as_bytes()));
    }
}

/// As [`skip`], but a failure when `CI=true`: a runner must have what a package brings.
pub(crate) fn missing(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs {what}");
    skip(what);
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(SBIN.iter().map(PathBuf::from));
    places.map(|place| place.join(program)).find(|candidate| candidate.is_file())
}

/// Runs `command`; its output, when it ends well.
///
/// # Panics
/// With the command line and all it printed, when it cannot run or ends with an error.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{}", told(command, &output));
    output
}

fn told(command: &Command, output: &Output) -> String {
    format!(
        "{command:?}: {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The command of an outside program, found also in the administrators' directories, and speaking English.
pub fn tool(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    command.env("LC_ALL", "C");
    command
}

/// `e2fsck -fn`: the ext2/3/4 file system at byte `offset` of `image` has no error, and no journal left to
/// recover.
///
/// # Panics
/// When it is not clean.
#[track_caller]
pub fn e2fsck_clean(image: &Path, offset: u64) {
    let mut command = tool("e2fsck");
    command.args(["-f", "-n"]).arg(format!("{}?offset={offset}", image.display()));
    let output = run(&mut command);
    let all = told(&command, &output);
    assert!(!all.contains("skipping journal recovery"), "the journal still has to be recovered\n{all}");
}

/// `fsck.vfat -n`: the FAT file system in `range` of `image` has no error.
///
/// # Panics
/// When it has one.
#[track_caller]
pub fn fsck_vfat(image: &Path, range: Range<u64>) {
    let cut = cut(image, range);
    run(tool("fsck.vfat").arg("-n").arg(cut.path()));
}

/// `xfs_repair -n`: the XFS in `range` of `image` has no error, and no log left to recover.
///
/// # Panics
/// When it is not clean.
#[track_caller]
pub fn xfs_repair(image: &Path, range: Range<u64>) {
    let cut = cut(image, range);
    let mut command = tool("xfs_repair");
    let output = run(command.args(["-n", "-f"]).arg(cut.path()));
    let all = told(&command, &output);
    assert!(!all.contains("valuable metadata changes in a log"), "the log still has to be recovered\n{all}");
}

/// The bytes `range` of `image` as a file of their own, for judges that know no offsets.
#[track_caller]
pub fn cut(image: &Path, range: Range<u64>) -> tempfile::NamedTempFile {
    let mut cut = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut file =
        File::open(image).unwrap_or_else(|error| panic!("cannot open {}: {error}", image.display()));
    file.seek(SeekFrom::Start(range.start)).expect("seek");
    std::io::copy(&mut file.take(range.end - range.start), cut.as_file_mut()).expect("copy");
    cut
}

/// `sgdisk -v`: both GPT headers and tables are right, at the right places.
///
/// # Panics
/// When sgdisk sees a problem.
#[track_caller]
pub fn sgdisk_verify(image: &Path) {
    let mut command = tool("sgdisk");
    let output = run(command.arg("-v").arg(image));
    let all = told(&command, &output);
    assert!(all.contains("No problems found"), "{all}");
}

/// `qemu-img info`, as its JSON document. `format` is qemu's name (`raw`, `qcow2`, `vpc`, `vhdx`, `vmdk`).
#[track_caller]
pub fn qemu_img_info(image: &Path, format: &str) -> serde_json::Value {
    let output = run(tool("qemu-img").args(["info", "--output=json", "-f", format]).arg(image));
    serde_json::from_slice(&output.stdout).expect("qemu-img prints JSON")
}

/// `qemu-img compare`: both images have the same content.
///
/// # Panics
/// When a byte differs; qemu-img says which.
#[track_caller]
pub fn qemu_img_compare(a: (&Path, &str), b: (&Path, &str)) {
    run(tool("qemu-img").args(["compare", "-f", a.1, "-F", b.1]).args([a.0, b.0]));
}

/// `qemu-img check`: the metadata of the image has neither errors nor leaks.
///
/// # Panics
/// When it has.
#[track_caller]
pub fn qemu_img_check(image: &Path, format: &str) {
    run(tool("qemu-img").args(["check", "-f", format]).arg(image));
}

/// `qemu-img convert` of `from` to `to`; `options` such as `subformat=fixed,force_size=on`.
#[track_caller]
pub fn qemu_img_convert(from: (&Path, &str), to: (&Path, &str), options: &str) {
    let mut command = tool("qemu-img");
    command.args(["convert", "-f", from.1, "-O", to.1]);
    if !options.is_empty() {
        command.args(["-o", options]);
    }
    run(command.args([from.0, to.0]));
}

/// A file system of an image mounted by the kernel; unmounted when dropped, also on panic.
#[derive(Debug)]
pub struct KernelMount {
    point: TempDir,
}

impl KernelMount {
    /// Mounts the file system in `range` of `image` (a raw file) through a loop device, read-only. A dirty
    /// journal is left alone, so the image does not change.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[track_caller]
    pub fn read_only(image: &Path, range: Range<u64>) -> Self {
        Self::with_options(image, range, "ro,noload")
    }

    /// Mounts the file system in `range` of `image` through a loop device, writable: the kernel replays its
    /// journal.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[track_caller]
    pub fn read_write(image: &Path, range: Range<u64>) -> Self {
        Self::with_options(image, range, "rw")
    }

    /// As the two above, with the given mount options.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[track_caller]
    pub fn with_options(image: &Path, range: Range<u64>, options: &str) -> Self {
        let (point, mut mount) = Self::prepare(image, range, options);
        run(&mut mount);
        Self { point }
    }

    /// As [`with_options`](Self::with_options), for what the kernel may refuse: `None` then.
    pub fn attempt(image: &Path, range: Range<u64>, options: &str) -> Option<Self> {
        let (point, mut mount) = Self::prepare(image, range, options);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(Self { point })
    }

    fn prepare(image: &Path, range: Range<u64>, options: &str) -> (TempDir, Command) {
        let point = TempDir::with_prefix("refloat-mount-").expect("a temporary directory");
        let options = format!("loop,offset={},sizelimit={},{options}", range.start, range.end - range.start);
        let mut mount = tool("mount");
        mount.arg("-o").arg(options).arg(image).arg(point.path());
        (point, mount)
    }

    /// The mount point.
    pub fn path(&self) -> &Path {
        self.point.path()
    }
}

impl Drop for KernelMount {
    fn drop(&mut self) {
        let unmounted = |option: &[&str]| {
            let mut umount = tool("umount");
            umount.args(option).arg(self.point.path()).stderr(Stdio::null());
            umount.status().is_ok_and(|status| status.success())
        };
        // A program that another thread just starts may hold our files, until it is a program of its own.
        for _ in 0..50 {
            if unmounted(&[]) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // A process that still sits in the mount keeps it busy: detach it then, so that nothing outlives the
        // test.
        unmounted(&["--lazy"]);
    }
}

/// What a directory tree holds: each path with its type, mode, owner, extended attributes, and content
/// (SHA-256, link target or device number). Times and inode numbers are left out. Two equal manifests are two
/// equal trees.
///
/// # Panics
/// When a file of the tree cannot be read.
#[track_caller]
pub fn manifest(root: &Path) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let content = if meta.is_dir() {
            let children =
                fs::read_dir(&path).unwrap_or_else(|error| panic!("cannot list {}: {error}", path.display()));
            left.extend(children.map(|child| child.expect("a directory entry").path()));
            "dir".to_owned()
        } else if meta.is_symlink() {
            format!("link {}", fs::read_link(&path).expect("a link").display())
        } else if meta.is_file() {
            format!("file {} {}", meta.len(), sha256(&path))
        } else if meta.file_type().is_char_device() || meta.file_type().is_block_device() {
            format!("device {:#x}", meta.rdev())
        } else {
            "special".to_owned()
        };
        let name = format!("/{}", path.strip_prefix(root).expect("below the root").display());
        let line = format!("{:06o} {}:{} {content}{}", meta.mode(), meta.uid(), meta.gid(), xattrs(&path));
        entries.insert(name, line);
    }
    entries
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Panics
/// When it cannot be read.
#[track_caller]
pub fn sha256(path: &Path) -> String {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count =
            file.read(&mut buffer).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        if count == 0 {
            return hex(&digest.finalize());
        }
        digest.update(&buffer[..count]);
    }
}

/// The SHA-256 of some bytes, in hex.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0_u8; 64 << 10];
    let Ok(count) = rustix::fs::llistxattr(path, &mut names[..]) else { return String::new() };
    let mut names: Vec<_> = names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    let mut line = String::new();
    for name in names {
        let mut value = vec![0_u8; 64 << 10];
        let count = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap_or(0);
        line += &format!(" {}={}", String::from_utf8_lossy(name), hex(&value[..count]));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_skipped_not_passed() {
        if std::env::var("CI").as_deref() != Ok("true") {
            assert_eq!(need("no-such-judge"), None);
        }
        assert!(need("mount").is_some());
    }

    #[test]
    fn an_empty_ext4_is_clean_and_a_damaged_one_is_not() {
        if !need_all(&["mke2fs", "e2fsck"]) {
            return;
        }
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(9 << 20).unwrap();
        run(tool("mke2fs").args(["-q", "-t", "ext4", "-E", "offset=1048576"]).arg(image.path()).arg("8m"));
        e2fsck_clean(image.path(), 1 << 20);
        // The block bitmap's checksum no longer fits once a bit of it is turned.
        let mut file = File::options().write(true).open(image.path()).unwrap();
        file.seek(SeekFrom::Start((1 << 20) + 1024 + 0x0c)).unwrap();
        file.write_all(&[0xff; 4]).unwrap();
        assert!(std::panic::catch_unwind(|| e2fsck_clean(image.path(), 1 << 20)).is_err());
    }

    #[test]
    fn a_kernel_mount_ends_with_its_guard_and_manifests_see_changes() {
        if !need_all(&["mke2fs"]) || !need_kernel_mounts() {
            return;
        }
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(8 << 20).unwrap();
        run(tool("mke2fs").args(["-q", "-t", "ext4"]).arg(image.path()));
        let mount = KernelMount::read_write(image.path(), 0..8 << 20);
        let before = manifest(mount.path());
        fs::write(mount.path().join("file"), "text").unwrap();
        let after = manifest(mount.path());
        assert!(!before.contains_key("/file") && after["/file"].contains("file 4 "), "{after:?}");
        let point = mount.path().to_owned();
        drop(mount);
        assert!(!point.exists());
    }
}
