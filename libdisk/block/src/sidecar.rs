//! Files that are written beside others: an output in the making, an undo file, the log of a transfer.
//!
//! Their names are known beforehand, so anybody may have put something else there: a link to the image that
//! is being read, a pipe that nobody reads. All of them are opened here, and only if they are what they
//! should be: new, or a regular file with one name.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

use crate::{Error, ErrorKind, Result};

const LAYER: &str = "file";

/// The mode bits of a file that everybody may have, less what the user's umask takes away.
pub const ANY_MODE: u32 = 0o666;

/// Opens the file `path` for reading and writing, or makes it with the mode `mode`. What it holds is kept.
///
/// The mode is a limit: a file that is there already loses what is beyond it.
///
/// # Errors
/// `Refused`, and nothing was changed, if it is there and is a link, another name of some other file,
/// anything but a regular file, or open in this process; `Io`.
pub fn open_sidecar(path: &Path, mode: u32) -> Result<File> {
    // Before it is opened: to open a device may already do something.
    if check_sidecar(path)? && is_open_here(path) {
        return Err(refused(path).because("this run reads it"));
    }
    let failed = |cause| Error::io(LAYER, "cannot open", cause).in_file(path);
    // The same again while it is opened, for one who puts a link or a pipe there just now.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(mode).custom_flags(flags);
    let file = options.open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    check(path, &found)?;
    let kept = found.mode() & 0o7777;
    if kept & !mode != 0 {
        file.set_permissions(fs::Permissions::from_mode(kept & mode)).map_err(failed)?;
    }
    Ok(file)
}

/// Whether `path` is a regular file with one name; `false` if there is nothing.
///
/// # Errors
/// `Refused` if it is anything else; `Io`.
pub fn check_sidecar(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(Error::io(LAYER, "cannot look at", cause).in_file(path)),
        Ok(found) => check(path, &found).map(|()| true),
    }
}

fn check(path: &Path, found: &Metadata) -> Result<()> {
    let kind = found.file_type();
    let what = match () {
        () if kind.is_symlink() => "it is a symbolic link",
        () if kind.is_dir() => "it is a folder",
        () if kind.is_fifo() => "it is a named pipe",
        () if kind.is_socket() => "it is a socket",
        () if kind.is_block_device() || kind.is_char_device() => "it is a device",
        () if found.nlink() > 1 => "it has another name, a hard link",
        () => return Ok(()),
    };
    Err(in_the_way(path, what))
}

/// Something that is not refloat's has the name of a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct InTheWay {
    /// The name.
    pub path: PathBuf,
    why: &'static str,
}

/// Refuses what lies at `path`, because of [`InTheWay`]; `why` says what it is.
pub fn in_the_way(path: &Path, why: &'static str) -> Error {
    refused(path).because(InTheWay { path: path.to_owned(), why })
}

fn refused(path: &Path) -> Error {
    Error::new(ErrorKind::Refused, LAYER, "refloat keeps a file of its own under this name").in_file(path)
}

/// Whether a file has no content, at most a size: it is nobody's loss. A file system that cannot tell holes
/// says that all is content.
pub fn holds_nothing(file: &File) -> bool {
    match seek(file, SeekFrom::Data(0)) {
        Err(Errno::NXIO) => true,
        Err(_) => file.metadata().is_ok_and(|found| found.len() == 0),
        Ok(_) => false,
    }
}

/// The mode of a file that holds something of the file `path`: whoever may not read that one may not read it,
/// either.
///
/// # Errors
/// `Io` if it cannot be found.
pub fn mode_like(path: &Path) -> Result<u32> {
    let found = fs::metadata(path).map_err(|cause| Error::io(LAYER, "cannot stat", cause).in_file(path))?;
    Ok(found.mode() & ANY_MODE | 0o600)
}

/// Whether this process has the file at `path` open, by whatever name: what it reads must not be what it
/// writes.
pub fn is_open_here(path: &Path) -> bool {
    let Ok(file) = fs::metadata(path) else { return false };
    let mut open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    open.any(|fd| fs::metadata(fd.path()).is_ok_and(|open| is_same_file(&open, &file)))
}

/// Whether both are one file, or one block device by whichever node.
pub fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    if b.file_type().is_block_device() {
        return a.file_type().is_block_device() && a.rdev() == b.rdev();
    }
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn what_is_not_a_file_of_its_own_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::hard_link(&precious, at("hard")).unwrap();
        std::os::unix::fs::symlink("precious", at("symbolic")).unwrap();
        std::os::unix::fs::symlink("nothing", at("dangling")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        let table = [
            ("hard", "hard link"),
            ("symbolic", "symbolic link"),
            ("dangling", "symbolic link"),
            ("pipe", "named pipe"),
            ("socket", "socket"),
            ("folder", "folder"),
        ];
        for (name, what) in table {
            let error = open_sidecar(&at(name), ANY_MODE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{name}");
            let why = std::error::Error::source(&error).unwrap().to_string();
            assert!(why.contains(what) && error.to_string().contains(name), "{error}: {why}");
        }
        assert_eq!(open_sidecar(Path::new("/dev/null"), ANY_MODE).unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert!(!at("nothing").exists());
    }

    #[test]
    fn what_this_process_has_open_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let open = open_sidecar(&path, ANY_MODE).unwrap();
        assert!(is_open_here(&path));
        assert_eq!(open_sidecar(&path, ANY_MODE).unwrap_err().kind(), ErrorKind::Refused);
        drop(open);
        open_sidecar(&path, ANY_MODE).unwrap();
    }

    #[test]
    fn the_mode_is_never_wider() {
        let folder = tempfile::tempdir().unwrap();
        let (image, path) = (folder.path().join("image"), folder.path().join("file"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        fs::write(&image, "").unwrap();
        for (of_image, allowed) in [(0o600, 0o600), (0o755, 0o644), (0o440, 0o640), (0o400, 0o600)] {
            fs::set_permissions(&image, fs::Permissions::from_mode(of_image)).unwrap();
            let limit = mode_like(&image).unwrap();
            assert_eq!(limit, allowed);
            drop(open_sidecar(&path, limit).unwrap());
            assert_eq!(mode(&path) & !allowed, 0);
            // One that an earlier run left with a wider mode.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
            drop(open_sidecar(&path, limit).unwrap());
            assert_eq!(mode(&path), allowed);
            fs::remove_file(&path).unwrap();
        }
    }
}
