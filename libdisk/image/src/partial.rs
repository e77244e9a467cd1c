//! An output file that looks finished only once it is.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind as IoErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use block::{Error, ErrorKind, Result};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

/// What to do when the target of a write exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// It is an error, before anything is written.
    #[default]
    Refuse,
    /// The finished output takes its place in one step; until then it stays as it is.
    Replace,
}

/// A file being written as `NAME.partial`, renamed to `NAME` by [`commit`](Self::commit). Dropped before that, it is
/// removed; after a crash, `NAME.partial` is left over and the next run starts it afresh.
#[derive(Debug)]
pub(crate) struct Partial {
    layer: &'static str,
    file: File,
    path: PathBuf,
    target: PathBuf,
    existing: Existing,
    committed: bool,
}

impl Partial {
    /// An empty sparse file of `len` bytes. It is locked, so that two runs cannot write the same target.
    pub(crate) fn create(layer: &'static str, target: &Path, len: u64, existing: Existing) -> Result<Self> {
        check_target(layer, target, existing)?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let path = target.with_file_name(name);
        let failed = |what: &'static str| {
            let path = path.clone();
            move |cause: io::Error| Error::io(layer, what, cause).in_file(&path)
        };
        let file = open_locked(layer, &path)?;
        file.set_len(0)
            .and_then(|()| file.set_len(len))
            .map_err(failed("cannot set the size of the output"))?;
        Ok(Self { layer, file, path, target: target.to_owned(), existing, committed: false })
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|cause| self.failed("cannot write the output", cause).at(offset))
    }

    /// Reads back what was written; what was not reads as zeros.
    pub(crate) fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            match self.file.read_at(buf, offset) {
                Ok(0) => {
                    buf.fill(0);
                    return Ok(());
                }
                Ok(len) => {
                    buf = buf.get_mut(len..).unwrap_or_default();
                    offset = offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
                }
                Err(cause) if cause.kind() == IoErrorKind::Interrupted => {}
                Err(cause) => return Err(self.failed("cannot read the output back", cause).at(offset)),
            }
        }
        Ok(())
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|cause| self.failed("cannot flush the output to disk", cause))
    }

    /// Makes the file durable under its own name.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.sync()?;
        self.rename().map_err(|cause| self.failed("cannot give the output its name", cause))?;
        self.committed = true;
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|cause| self.failed("cannot flush the folder of the output to disk", cause))
    }

    fn rename(&self) -> io::Result<()> {
        if self.existing == Existing::Replace {
            return std::fs::rename(&self.path, &self.target);
        }
        match rustix::fs::renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::NOREPLACE) {
            // Some file systems (NFS, some FUSE) have no such rename; a link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                std::fs::hard_link(&self.path, &self.target)?;
                std::fs::remove_file(&self.path)
            }
            other => Ok(other?),
        }
    }

    fn failed(&self, what: &'static str, cause: io::Error) -> Error {
        Error::io(self.layer, what, cause).in_file(&self.path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed
            && let Err(cause) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %cause, "the unfinished output cannot be removed");
        }
    }
}

fn check_target(layer: &'static str, target: &Path, existing: Existing) -> Result<()> {
    if target.file_name().is_none() {
        return Err(Error::new(ErrorKind::Refused, layer, "the output has no file name").in_file(target));
    }
    match std::fs::metadata(target) {
        Err(cause) if cause.kind() == IoErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Error::io(layer, "cannot look at the output", cause).in_file(target)),
        Ok(found) if !found.is_file() => {
            Err(Error::new(ErrorKind::Refused, layer, "the output exists and is not a regular file")
                .in_file(target))
        }
        Ok(_) if existing == Existing::Refuse => {
            Err(Error::new(ErrorKind::Refused, layer, "the output exists already").in_file(target))
        }
        Ok(_) => Ok(()),
    }
}

/// Opens or creates `path` and locks it; whoever held it before may have renamed it meanwhile, hence the second look.
fn open_locked(layer: &'static str, path: &Path) -> Result<File> {
    loop {
        let failed = |cause| Error::io(layer, "cannot create the output", cause).in_file(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        if file.try_lock().is_err() {
            return Err(Error::new(ErrorKind::Refused, layer, "another process is writing it").in_file(path));
        }
        let held = file.metadata().map_err(failed)?;
        match std::fs::symlink_metadata(path) {
            Ok(named) if !named.is_file() => {
                return Err(Error::new(ErrorKind::Refused, layer, "is not a regular file").in_file(path));
            }
            Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => return Ok(file),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_looks_finished_before_commit() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        let output = Partial::create("raw", &target, 1 << 20, Existing::Refuse).unwrap();
        output.write_at(b"x", 5).unwrap();
        assert!(!target.exists());
        assert!(folder.path().join("disk.img.partial").exists());
        drop(output);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_left_over_is_started_afresh() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        std::fs::write(folder.path().join("disk.img.partial"), [0xff; 5000]).unwrap();
        Partial::create("raw", &target, 4096, Existing::Refuse).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [0; 4096]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_target_is_kept_unless_asked() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        // Made between the first check and the rename, too.
        let output = Partial::create("raw", &target, 1, Existing::Refuse).unwrap();
        std::fs::write(&target, b"old").unwrap();
        assert!(output.commit().is_err());
        let refused = Partial::create("raw", &target, 1, Existing::Refuse).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        Partial::create("raw", &target, 1, Existing::Replace).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [0]);
    }

    #[test]
    fn two_writers_of_one_target_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        let _first = Partial::create("raw", &target, 1, Existing::Refuse).unwrap();
        assert_eq!(
            Partial::create("raw", &target, 1, Existing::Refuse).unwrap_err().kind(),
            ErrorKind::Refused
        );
    }
}
