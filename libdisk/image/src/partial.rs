//! An output file that looks finished only once it is.

use std::fs::File;
use std::io::{self, ErrorKind as IoErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use block::{
    ANY_MODE, Error, ErrorKind, FileRange, Result, check_sidecar, holds_nothing, in_the_way, is_same_file,
    open_sidecar,
};
use rustix::fs::{
    CWD, FallocateFlags, RenameFlags, copy_file_range, fallocate, fstat, fstatfs, ioctl_ficlone,
    renameat_with,
};
use rustix::io::Errno;

use crate::transfer::{Busy, forget, is_unfinished, mark};

/// Written where a file system cannot make holes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What `statfs` calls ext2, ext3 and ext4 (Linux, `include/uapi/linux/magic.h`).
const EXT4_SUPER_MAGIC: u64 = 0xef53;

/// From how many bytes on a write is worth a call of its own that finds its place.
const WORTH_PLACING: usize = 64 << 10;

/// What to do when the target of a write exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// It is an error, before anything is written.
    #[default]
    Refuse,
    /// The finished output takes its place in one step; until then it stays as it is.
    Replace,
}

/// When an output may be called finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When all of it is on the disk: a finished output survives a crash of the machine.
    #[default]
    Synced,
    /// When the kernel has all of it: for scratch copies. A crash of the machine soon after may leave holes
    /// in it.
    Buffered,
}

/// A file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub path: PathBuf,
    /// What to do if it exists.
    pub existing: Existing,
    /// When it may be called finished.
    pub durability: Durability,
    /// Its mode bits, less what the user's umask takes away; see [`block::mode_like`].
    pub mode: u32,
}

impl Output {
    /// A file that does not exist yet, durable when it is finished, and of the usual mode.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            existing: Existing::default(),
            durability: Durability::default(),
            mode: ANY_MODE,
        }
    }

    /// The same, which takes the place of a file that exists.
    pub fn replacing(path: impl Into<PathBuf>) -> Self {
        Self { existing: Existing::Replace, ..Self::new(path) }
    }
}

/// Writes a small file in one step: whoever opens it sees all of it or what was there before.
///
/// # Errors
/// `Refused` if it exists and must not be replaced, or something else is in the way; `Io`.
pub fn write_file(output: &Output, bytes: &[u8]) -> Result<()> {
    let partial = Partial::create("file", output, crate::len64(bytes))?;
    partial.write_at(bytes, 0)?;
    partial.commit()
}

/// What to do with an output that is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Left {
    /// One from an earlier run is emptied, and this one is removed.
    #[default]
    Remove,
    /// One from an earlier run is emptied, and this one is kept.
    Keep,
    /// One from an earlier run is gone on with, and this one is kept.
    Resume,
}

/// What the file `target` is called until it is whole.
pub fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    target.with_file_name(name)
}

/// A file being written as `NAME.partial`, renamed to `NAME` by [`commit`](Self::commit). Dropped before
/// that, it is removed, unless it is to be kept; after a crash, `NAME.partial` is left over. What the next
/// run does with it [`Left`] says: that it is refloat's tells the log `NAME.transfer`, and one that is
/// somebody else's is refused.
#[derive(Debug)]
pub(crate) struct Partial {
    layer: &'static str,
    file: File,
    path: PathBuf,
    output: Output,
    /// The device of the file, if files on it can share extents.
    sharing: Option<u64>,
    /// Whether a place is found for each write before it is made.
    placing: bool,
    committed: bool,
    left: Left,
}

impl Partial {
    /// An empty sparse file of `len` bytes. It is locked, so that two runs cannot write the same target.
    pub(crate) fn create(layer: &'static str, output: &Output, len: u64) -> Result<Self> {
        Ok(Self::open(layer, output, len, Left::Remove)?.0)
    }

    /// The same, or what an earlier run left, cut or extended to `len` bytes; says which: `true` if it was
    /// empty.
    pub(crate) fn open(layer: &'static str, output: &Output, len: u64, left: Left) -> Result<(Self, bool)> {
        check_target(layer, &output.path, output.existing)?;
        let path = partial_path(&output.path);
        let file = open_locked(layer, &path, output.mode)?;
        check_ours(&output.path, &file)?;
        // From here on an error removes it.
        let output = output.clone();
        let mut partial =
            Self { layer, file, path, output, sharing: None, placing: false, committed: false, left };
        if left == Left::Remove {
            // Before anything is in it.
            mark(&partial.output.path, partial.output.mode)?;
        }
        let left_over = partial.start(len)?;
        Ok((partial, !(left_over && left == Left::Resume)))
    }

    /// Brings the file to `len` bytes, empties it if it is not kept, and finds out what its file system can
    /// do. Gives whether there was anything in it.
    fn start(&mut self, len: u64) -> Result<bool> {
        let look = "cannot look at the output";
        // Not where it is empty already: ext4 takes a truncation to nothing as a sign that the file is being
        // replaced, and waits at close until all of it has its place.
        let left_over = self.file.metadata().map_err(|cause| self.failed(look, cause))?.len() > 0;
        if left_over && self.left != Left::Resume {
            self.file.set_len(0).map_err(|cause| self.failed("cannot empty the output", cause))?;
        }
        self.sharing = sharing(&self.file).map_err(|cause| self.failed(look, cause))?;
        // ext4 takes what is written into a hole block by block, under a lock: in a place that was found in
        // one step, the same write takes two thirds of the time. XFS, btrfs and tmpfs gain nothing.
        self.placing =
            fstatfs(&self.file).is_ok_and(|found| u64::try_from(found.f_type) == Ok(EXT4_SUPER_MAGIC));
        let size = self.file.set_len(len);
        size.map_err(|cause| self.failed("cannot set the size of the output", cause))?;
        Ok(left_over)
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        if self.placing && bytes.len() >= WORTH_PLACING {
            // Where it fails, the write itself says what is the matter, or does without (ext3).
            let _ = fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset, crate::len64(bytes));
        }
        self.file
            .write_all_at(bytes, offset)
            .map_err(|cause| self.failed("cannot write the output", cause).at(offset))
    }

    /// Makes the file so long at least, with a hole at its end.
    pub(crate) fn extend(&self, len: u64) -> Result<()> {
        let found = self.file.metadata().map_err(|cause| self.failed("cannot look at the output", cause))?;
        if found.len() >= len {
            return Ok(());
        }
        self.file.set_len(len).map_err(|cause| self.failed("cannot set the size of the output", cause))
    }

    /// Makes a range read as zeros, freeing its place where the file system can.
    pub(crate) fn zero(&self, offset: u64, len: u64) -> Result<()> {
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, punch, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            other => {
                return other
                    .map_err(|cause| self.failed("cannot write the output", cause.into()).at(offset));
            }
        }
        let end = offset.saturating_add(len);
        let mut at = offset;
        while at < end {
            let len = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(ZEROS.len());
            self.write_at(ZEROS.get(..len).unwrap_or_default(), at)?;
            at = at.saturating_add(crate::len64(&ZEROS));
        }
        Ok(())
    }

    /// Makes the range of `from` that of this file at `offset`, too, holes included; `false` if the two
    /// cannot share it.
    pub(crate) fn share(&self, offset: u64, from: FileRange<'_>) -> Result<bool> {
        let Ok(found) = fstat(from.file) else { return Ok(false) };
        let Ok(block) = u64::try_from(found.st_blksize) else { return Ok(false) };
        // where blocks do not meet, Linux would copy the bytes, and fill the holes
        let aligned = [from.offset, offset].iter().all(|place| place.is_multiple_of(block));
        if !aligned || self.sharing != Some(found.st_dev) {
            return Ok(false);
        }
        let (mut source, mut target) = (from.offset, offset);
        let mut rest = usize::try_from(from.len).unwrap_or(usize::MAX);
        while rest > 0 {
            match copy_file_range(from.file, Some(&mut source), &self.file, Some(&mut target), rest) {
                // The source has become shorter; who reads it will say so.
                Ok(0) => return Ok(false),
                Ok(len) => rest = rest.saturating_sub(len),
                Err(Errno::INTR) => {}
                Err(Errno::NOSPC) => return Err(self.failed("cannot write the output", Errno::NOSPC.into())),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
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

    /// Makes everything written so far durable, if that is wanted.
    pub(crate) fn sync(&self) -> Result<()> {
        match self.output.durability {
            Durability::Buffered => Ok(()),
            Durability::Synced => {
                self.file.sync_all().map_err(|cause| self.failed("cannot flush the output to disk", cause))
            }
        }
    }

    /// Gives the file its own name; if that is wanted, all is durable then.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.sync()?;
        self.rename().map_err(|cause| self.failed("cannot give the output its name", cause))?;
        self.committed = true;
        if self.left == Left::Remove {
            forget(&self.output.path)?;
        }
        if self.output.durability == Durability::Buffered {
            return Ok(());
        }
        let folder = match self.output.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|cause| self.failed("cannot flush the folder of the output to disk", cause))
    }

    fn rename(&self) -> io::Result<()> {
        let target = &self.output.path;
        if self.output.existing == Existing::Replace {
            return std::fs::rename(&self.path, target);
        }
        match renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            // Some file systems (NFS, some FUSE) have no such rename; a link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                std::fs::hard_link(&self.path, target)?;
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
        if !self.committed && self.left == Left::Remove {
            if let Err(cause) = std::fs::remove_file(&self.path) {
                tracing::warn!(path = %self.path.display(), %cause, "the unfinished output cannot be removed");
            }
            if let Err(cause) = forget(&self.output.path) {
                tracing::warn!(%cause, "the log of the unfinished output cannot be removed");
            }
        }
        // Said, and not left to the end of the file: a program that another thread just starts has the file
        // open too, until it is a program of its own.
        if let Err(cause) = self.file.unlock() {
            tracing::warn!(path = %self.path.display(), %cause, "the output stays locked");
        }
    }
}

/// The device of `file`, which is empty, if files on it can share extents.
fn sharing(file: &File) -> io::Result<Option<u64>> {
    // To clone an empty file onto itself changes nothing, and fails where there are no clones.
    match ioctl_ficlone(file, file) {
        Ok(()) => Ok(Some(file.metadata()?.dev())),
        Err(_) => Ok(None),
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
            Err(Error::new(ErrorKind::Refused, layer, "the output already exists").in_file(target))
        }
        Ok(_) => Ok(()),
    }
}

/// Refuses what lies under the name of the unfinished output of `target` and is somebody else's.
///
/// # Errors
/// `Refused` because of [`block::InTheWay`]; `Io`.
pub fn check_partial(target: &Path) -> Result<()> {
    let path = partial_path(target);
    if !check_sidecar(&path)? {
        return Ok(());
    }
    let file = File::open(&path).map_err(|cause| Error::io("file", "cannot open", cause).in_file(&path))?;
    check_ours(target, &file)
}

/// Ours is what has a log beside it that says so. What holds nothing is nobody's loss.
fn check_ours(target: &Path, file: &File) -> Result<()> {
    if holds_nothing(file) || is_unfinished(target)? {
        return Ok(());
    }
    Err(in_the_way(&partial_path(target), "it holds something that refloat did not write"))
}

/// Opens or creates `path` and locks it; whoever held it before may have renamed it meanwhile, hence the
/// second look.
fn open_locked(layer: &'static str, path: &Path, mode: u32) -> Result<File> {
    loop {
        let file = open_sidecar(path, mode)?;
        if file.try_lock().is_err() {
            let taken = Error::new(ErrorKind::Refused, layer, "the output cannot be taken");
            return Err(taken.because(Busy).in_file(path));
        }
        let failed = |cause| Error::io(layer, "cannot look at the output", cause).in_file(path);
        let held = file.metadata().map_err(failed)?;
        if std::fs::symlink_metadata(path).is_ok_and(|named| is_same_file(&named, &held)) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::{FileLog, Record, TransferLog, log_path};

    #[test]
    fn nothing_looks_finished_before_commit() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        let output = Partial::create("raw", &Output::new(&target), 1 << 20).unwrap();
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
        // As a run leaves them that is killed.
        mark(&target, ANY_MODE).unwrap();
        std::fs::write(folder.path().join("disk.img.partial"), [0xff; 5000]).unwrap();
        Partial::create("raw", &Output::new(&target), 4096).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [0; 4096]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, partial) = (folder.path().join("disk.img"), folder.path().join("disk.img.partial"));
        let refused = |left: Left| {
            for refused in [
                check_partial(&target).unwrap_err(),
                Partial::open("raw", &Output::replacing(&target), 4096, left).unwrap_err(),
            ] {
                assert_eq!(refused.kind(), ErrorKind::Refused);
                assert!(refused.to_string().contains("disk.img.partial"), "{refused}");
            }
            assert_eq!(std::fs::read(&partial).unwrap(), b"precious");
        };
        std::fs::write(&partial, "precious").unwrap();
        [Left::Remove, Left::Keep, Left::Resume].into_iter().for_each(refused);
        // The log of an output that is whole tells nothing of it.
        mark(&target, ANY_MODE).unwrap();
        let log = FileLog::open(&log_path(&target), ANY_MODE).unwrap();
        log.append(Record::End { size: 1, stamp: [0; 16] }, false).unwrap();
        drop(log);
        std::fs::write(&target, "whole").unwrap();
        [Left::Remove, Left::Keep, Left::Resume].into_iter().for_each(refused);
        // One that only has a size holds nothing.
        std::fs::remove_file(&target).unwrap();
        std::fs::remove_file(log_path(&target)).unwrap();
        File::create(&partial).unwrap().set_len(1 << 20).unwrap();
        check_partial(&target).unwrap();
        Partial::create("raw", &Output::new(&target), 4096).unwrap().commit().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_left_over_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        let (output, empty) = Partial::open("raw", &Output::new(&target), 300_000, Left::Resume).unwrap();
        assert!(empty);
        mark(&target, ANY_MODE).unwrap();
        output.write_at(&[7; 300_000], 0).unwrap();
        // A program that was started meanwhile has it open, and does not hold its lock.
        let file = output.file.try_clone().unwrap();
        let mut other = std::process::Command::new("sleep").arg("100").stdin(file).spawn().unwrap();
        drop(output);
        let (output, empty) = Partial::open("raw", &Output::new(&target), 200_000, Left::Resume).unwrap();
        assert!(!empty);
        other.kill().unwrap();
        other.wait().unwrap();
        output.zero(1000, 150_000).unwrap();
        output.commit().unwrap();
        let mut expected = vec![7; 200_000];
        expected[1000..151_000].fill(0);
        assert_eq!(std::fs::read(&target).unwrap(), expected);
    }

    #[test]
    fn an_existing_target_is_kept_unless_asked() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        // Made between the first check and the rename, too.
        let output = Partial::create("raw", &Output::new(&target), 1).unwrap();
        std::fs::write(&target, b"old").unwrap();
        assert!(output.commit().is_err());
        let refused = Partial::create("raw", &Output::new(&target), 1).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        Partial::create("raw", &Output::replacing(&target), 1).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [0]);
    }

    #[test]
    fn two_writers_of_one_target_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        let _first = Partial::create("raw", &Output::new(&target), 1).unwrap();
        assert_eq!(Partial::create("raw", &Output::new(&target), 1).unwrap_err().kind(), ErrorKind::Refused);
    }
}
