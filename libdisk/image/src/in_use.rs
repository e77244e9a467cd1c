//! Who else uses an image: a running machine, a loop device, a mount, another refloat.
//!
//! Locks are advisory, so what is found is proof and what is not found is none: programs that lock nothing
//! are looked for in `/proc`, which shows the processes of other users to root alone.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use block::is_open_here;
use block::{Error, ErrorKind, Result, is_same_file};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{OFlags, major, minor};

const LAYER: &str = "file";

/// QEMU says what it does with an image by shared locks of single bytes: 100 and up for what it does itself,
/// 200 and up for what others must not do. This byte is "I write" (QEMU, `block/file-posix.c` and
/// `BLK_PERM_WRITE`).
const QEMU_WRITES: i64 = 101;

/// And this one is "nobody else writes".
const QEMU_NO_WRITERS: i64 = 201;

/// One who uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who, as part of a sentence: "process 71 (qemu-system-x86) has it open for writing".
    pub who: String,
    /// Whether the image may change under who reads it.
    pub writes: bool,
}

/// Everybody found who uses the image at `path`, other than by plainly reading it; nobody where there is no
/// such file. Locks that this process holds itself count.
///
/// # Errors
/// `Io` if the file cannot be opened.
pub fn users(path: &Path) -> Result<Vec<User>> {
    let failed = |cause| Error::io(LAYER, "cannot open", cause).in_file(path);
    match fs::metadata(path) {
        Ok(found) if found.is_file() || found.file_type().is_block_device() => {
            let mut users = fixtures(&found);
            users.extend(lock(&File::open(path).map_err(failed)?));
            Ok(users)
        }
        Ok(_) => Ok(Vec::new()),
        Err(cause) if cause.kind() == IoErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(failed(cause)),
    }
}

fn is_open(fd: &Path, file: &fs::Metadata) -> bool {
    fs::metadata(fd).is_ok_and(|open| is_same_file(&open, file))
}

/// An image that nobody begins to change while this lives: neither another refloat nor QEMU. Others may read
/// it, too.
#[derive(Debug)]
pub struct Reading {
    _locked: Locked,
}

impl Reading {
    /// Takes the image at `path`; `None` where somebody changes it, or where there are no locks. (Then a
    /// reader notices a change at best, by what it reads.)
    pub fn take(path: &Path) -> Option<Self> {
        let mut options = OpenOptions::new();
        // A pipe is not waited for.
        let file = Locked(options.read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?);
        let locked = fcntl(&file.0, FcntlArg::F_OFD_SETLK(&range(libc::F_RDLCK, QEMU_NO_WRITERS, 1)));
        locked.is_ok().then_some(Self { _locked: file })
    }
}

/// An image that is ours alone to change while this lives: other refloats and QEMU are refused, whatever they
/// want of it.
#[derive(Debug)]
pub struct Exclusive {
    path: PathBuf,
    _locked: Locked,
}

impl Exclusive {
    /// Takes the image at `path`, links followed.
    ///
    /// # Errors
    /// `Refused` if anybody uses it, by name where that is known; `Io` if it cannot be opened for writing.
    pub fn take(path: &Path) -> Result<Self> {
        let failed = |cause| Error::io(LAYER, "cannot open", cause).in_file(path);
        let path = fs::canonicalize(path).map_err(failed)?;
        let metadata = fs::metadata(&path).map_err(failed)?;
        if let Some(User { who, .. }) = fixtures(&metadata).first() {
            return Err(refused(&path, who));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if metadata.file_type().is_block_device() {
            // The kernel gives a device to one who asks for it alone: not while it, or a partition of it, is
            // mounted.
            options.custom_flags(libc::O_EXCL);
        }
        let file = match options.open(&path) {
            Err(cause) if cause.kind() == IoErrorKind::ResourceBusy => {
                return Err(refused(&path, "the kernel has it mounted or in a larger device"));
            }
            other => Locked(other.map_err(failed)?),
        };
        if file.0.try_lock().is_err_and(|cause| matches!(cause, fs::TryLockError::WouldBlock)) {
            return Err(refused(&path, "another program has locked it"));
        }
        match fcntl(&file.0, FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK, 0, 0))) {
            Err(nix::Error::EAGAIN | nix::Error::EACCES) => {
                let user = lock(&file.0);
                let who = user.as_ref().map_or("another program has locked it", |user| &user.who);
                Err(refused(&path, who))
            }
            // A file system without locks: nobody else has one there, either.
            _ => Ok(Self { path, _locked: file }),
        }
    }

    /// The image, with no link left in its name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file with locks. They belong to the open file, so that closing another of the same image does not end
/// them.
#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    /// The end of the locks is said, and not left to that of the file: a program that another thread just
    /// starts has the file open too, until it is a program of its own.
    fn drop(&mut self) {
        // A file system without locks has none to end.
        let _ = self.0.unlock();
        let _ = fcntl(&self.0, FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, 0, 0)));
    }
}

fn refused(path: &Path, who: &str) -> Error {
    Error::new(ErrorKind::Refused, LAYER, format!("the image is in use: {who}")).in_file(path)
}

/// Who has a lock on bytes of the file.
fn lock(file: &File) -> Option<User> {
    let user = |who: &str, writes| Some(User { who: who.to_owned(), writes });
    if is_locked(file, libc::F_RDLCK, 0, 0) {
        return user("another program has locked it to change it", true);
    }
    if is_locked(file, libc::F_WRLCK, QEMU_WRITES, 1) {
        return user("QEMU has it open for writing", true);
    }
    is_locked(file, libc::F_WRLCK, 0, 0).then_some(())?;
    user("another program, say QEMU or refloat, has locked it against changes", false)
}

/// Whether somebody's lock is in the way of a lock of this kind.
fn is_locked(file: &File, kind: libc::c_int, start: i64, len: i64) -> bool {
    let mut found = range(kind, start, len);
    let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut found));
    asked.is_ok() && libc::c_int::from(found.l_type) != libc::F_UNLCK
}

/// A lock of `len` bytes; 0 is all to the end.
fn range(kind: libc::c_int, start: i64, len: i64) -> libc::flock {
    // Both constants are single digits.
    let short = |constant| libc::c_short::try_from(constant).unwrap_or_default();
    libc::flock { l_type: short(kind), l_whence: short(libc::SEEK_SET), l_start: start, l_len: len, l_pid: 0 }
}

/// Loop devices, mounts, and processes that have it open for writing.
fn fixtures(image: &fs::Metadata) -> Vec<User> {
    let mut users = Vec::new();
    if image.file_type().is_block_device() {
        users.extend(
            mounts(&device(image.rdev()))
                .into_iter()
                .map(|point| User { who: format!("it is mounted at {point}"), writes: true }),
        );
    } else {
        users.extend(loops(image));
    }
    users.extend(writers(image));
    users
}

/// A device as `/sys` and `/proc` write it: "7:0".
fn device(number: u64) -> String {
    format!("{}:{}", major(number), minor(number))
}

/// Whatever can be listed: `/sys` and `/proc` change while they are read.
fn entries(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

/// The loop devices that the file is behind.
fn loops(image: &fs::Metadata) -> Vec<User> {
    let mut users = Vec::new();
    for sys in entries("/sys/block") {
        let backing = text(sys.join("loop/backing_file"));
        let is_image =
            !backing.is_empty() && fs::metadata(backing).is_ok_and(|file| is_same_file(&file, image));
        if !is_image {
            continue;
        }
        let name = sys.file_name().unwrap_or_default().to_string_lossy();
        let mounted = mounts(&text(sys.join("dev")));
        let mounted = mounted.first().map(|point| format!(", mounted at {point}")).unwrap_or_default();
        users.push(User {
            who: format!("it is attached to /dev/{name}{mounted}"),
            writes: text(sys.join("ro")) != "1",
        });
    }
    users
}

/// Where a block device, or a partition of it, is mounted.
fn mounts(device: &str) -> Vec<String> {
    let parts = entries(format!("/sys/dev/block/{device}")).map(|part| text(part.join("dev")));
    let devices: Vec<String> = parts.filter(|part| !part.is_empty()).chain([device.to_owned()]).collect();
    let table = text("/proc/self/mountinfo");
    // proc(5): the third field is the device, the fifth the mount point.
    let lines = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.filter_map(|fields| {
        let mounted = devices.iter().any(|device| fields.get(2) == Some(&device.as_str()));
        mounted.then(|| fields.get(4).copied().unwrap_or_default().to_owned())
    });
    found.collect()
}

/// The processes, other than this one, that have the file open for writing.
fn writers(image: &fs::Metadata) -> Vec<User> {
    let ours = std::process::id().to_string();
    let mut users = Vec::new();
    for process in entries("/proc") {
        let id = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if id == ours || !id.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        if entries(process.join("fd")).any(|fd| opened_for_writing(&process, &fd, image)) {
            let name = text(process.join("comm"));
            users.push(User { who: format!("process {id} ({name}) has it open for writing"), writes: true });
        }
    }
    users
}

fn opened_for_writing(process: &Path, fd: &Path, image: &fs::Metadata) -> bool {
    if !is_open(fd, image) {
        return false;
    }
    // proc(5): a line "flags:", in octal.
    let info = text(process.join("fdinfo").join(fd.file_name().unwrap_or_default()));
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or_default();
    OFlags::from_bits_retain(flags).intersects(OFlags::WRONLY | OFlags::RDWR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken() {
        let image = tempfile::NamedTempFile::new().unwrap();
        let ours = Exclusive::take(image.path()).unwrap();
        assert_eq!(Exclusive::take(image.path()).unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(users(image.path()).unwrap().len(), 1);
        // As a program has it that is being started meanwhile.
        let _inherited = ours._locked.0.try_clone().unwrap();
        drop(ours);
        assert_eq!(users(image.path()).unwrap(), []);
        Exclusive::take(image.path()).unwrap();
    }
}
