//! A file or host block device as a device, with pread and pwrite.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, OFlags, SeekFrom, fallocate, ioctl_blksszget, seek};
use rustix::io::Errno;

use crate::{BlockRead, BlockWrite, Disk, DiskMut, Error, ErrorKind, Extent, FileRange, Result};

const LAYER: &str = "file";

/// What is written at once where a file system cannot zero a range by itself, in bytes.
const ZEROS: &[u8] = &[0; 256 << 10];

/// A raw file or block device. Holes of the file are `Zero` extents.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    path: PathBuf,
    size: u64,
    sector_size: u32,
    /// The run of data that was found last. The file system walks all extents of a run to find its end, so
    /// asking again for each cluster of an image would take quadratic time.
    data: Mutex<Range<u64>>,
}

impl FileDisk {
    /// Opens `path` for reading. (A write to it is then an `Io` error.)
    ///
    /// # Errors
    /// `Io` if it cannot be opened, `Unsupported` if it is neither a regular file nor a block device.
    pub fn open(path: &Path) -> Result<Self> {
        Self::with(OpenOptions::new().read(true), path)
    }

    /// Opens `path` for reading and writing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_mut(path: &Path) -> Result<Self> {
        Self::with(OpenOptions::new().read(true).write(true), path)
    }

    /// This file as a readable device.
    pub fn disk(self) -> Disk {
        Disk::new(self)
    }

    /// This file as a writable device.
    pub fn disk_mut(self) -> DiskMut {
        DiskMut::new(self)
    }

    fn with(options: &OpenOptions, path: &Path) -> Result<Self> {
        let failed = |what: &'static str, e| Error::io(LAYER, what, e).in_file(path);
        // Not waiting for who might write into a pipe; files and devices are the same for it.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = options.clone().custom_flags(flags).open(path).map_err(|e| failed("cannot open", e))?;
        let metadata = file.metadata().map_err(|e| failed("cannot stat", e))?;
        let (size, sector_size) = if metadata.is_file() {
            (metadata.len(), 512)
        } else if metadata.file_type().is_block_device() {
            let size = seek(&file, SeekFrom::End(0)).map_err(|e| failed("cannot find the size", e.into()))?;
            let sector_size =
                ioctl_blksszget(&file).map_err(|e| failed("cannot find the sector size", e.into()))?;
            (size, sector_size)
        } else {
            return Err(Error::unsupported(LAYER, "neither a regular file nor a block device").in_file(path));
        };
        Ok(Self { file, path: path.to_owned(), size, sector_size, data: Mutex::default() })
    }

    fn failed(&self, what: &'static str, offset: u64, error: impl Into<io::Error>) -> Error {
        let error = error.into();
        if error.kind() == io::ErrorKind::UnexpectedEof
            || error.raw_os_error() == Some(Errno::NXIO.raw_os_error())
        {
            return self.truncated(offset);
        }
        Error::io(LAYER, what, error).at(offset).in_file(&self.path)
    }

    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    /// Whether the file has become shorter since it was opened. (A block device cannot.)
    pub(crate) fn is_truncated(&self) -> bool {
        self.file.metadata().is_ok_and(|m| m.is_file() && m.len() < self.size)
    }

    /// The error that says so.
    pub(crate) fn truncated(&self, offset: u64) -> Error {
        let what = "the file was truncated while it was in use";
        Error::new(ErrorKind::Changed, LAYER, what).at(offset).in_file(&self.path)
    }
}

impl BlockRead for FileDisk {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buf, offset).map_err(|e| self.failed("cannot read", offset, e))
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let Range { start, end } = range;
        let failed = |e: Errno| self.failed("cannot find the holes", start, e);
        let known = || self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().clone();
        if found.contains(&start) {
            return Ok(Extent::data(found.end.min(end) - start));
        }
        // Seeking moves the file's own position, which nobody uses.
        match seek(&self.file, SeekFrom::Data(start)) {
            Ok(data) if data > start => Ok(Extent::zero(data.min(end) - start)),
            Ok(_) => {
                let hole = seek(&self.file, SeekFrom::Hole(start)).map_err(failed)?;
                *known() = start..hole;
                Ok(Extent::data(hole.min(end) - start))
            }
            // No data up to the end of the file, wherever that is now.
            Err(Errno::NXIO) if !self.is_truncated() => Ok(Extent::zero(end - start)),
            // A block device, or a file system that does not know its holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Extent::data(end - start)),
            Err(e) => Err(failed(e)),
        }
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        Ok(Some(FileRange { file: &self.file, offset: range.start, len: range.end - range.start }))
    }
}

impl BlockWrite for FileDisk {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(buf, offset).map_err(|e| self.failed("cannot write", offset, e))
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        let len = range.end - range.start;
        match fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, range.start, len)
        {
            Ok(()) => return Ok(()),
            // Not on this file system or device, or not at this alignment.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {}
            Err(e) => return Err(self.failed("cannot zero", range.start, e)),
        }
        let mut offset = range.start;
        while offset < range.end {
            let piece = (range.end - offset).min(ZEROS.len() as u64);
            self.write_at(&ZEROS[..piece as usize], offset)?;
            offset += piece;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io(LAYER, "cannot flush", e).in_file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;

    fn sparse_file() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[7; 4096], 512 << 10).unwrap();
        (dir, path)
    }

    #[test]
    fn holes_are_zero_extents() {
        let (_dir, path) = sparse_file();
        let disk = FileDisk::open(&path).unwrap().disk();
        let runs: Vec<_> = disk.extents(0..disk.size()).map(|run| run.unwrap()).collect();
        use crate::ExtentKind::{Data, Zero};
        let (start, end) = (512 << 10, (512 << 10) + 4096);
        assert_eq!(runs, [(0..start, Zero), (start..end, Data), (end..1 << 20, Zero)]);
        assert_eq!(disk.extent_at(start + 10..start + 20).unwrap(), Extent::data(10));
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let (_dir, path) = sparse_file();
        let disk = FileDisk::open(&path).unwrap().disk();
        File::options().write(true).open(&path).unwrap().set_len(600 << 10).unwrap();
        let end = 1 << 20;
        assert_eq!(disk.read_at(&mut [0; 8], 700 << 10).unwrap_err().kind(), ErrorKind::Changed);
        assert_eq!(disk.extent_at(700 << 10..end).unwrap_err().kind(), ErrorKind::Changed);
        assert_eq!(disk.extent_at((512 << 10) + 4096..end).unwrap_err().kind(), ErrorKind::Changed);
    }

    #[test]
    fn a_zeroed_range_reads_as_zeros_and_keeps_its_neighbours() {
        let (_dir, path) = sparse_file();
        let disk = FileDisk::open_mut(&path).unwrap().disk_mut();
        let start = 512 << 10;
        disk.zero_range(start + 100..start + 4000).unwrap();
        disk.flush().unwrap();
        let bytes = disk.disk().read_vec(start, 4096).unwrap();
        assert!(bytes[..100].iter().chain(&bytes[4000..]).all(|&byte| byte == 7));
        assert!(bytes[100..4000].iter().all(|&byte| byte == 0));
        assert_eq!(disk.size(), 1 << 20);
    }

    #[test]
    fn what_is_not_a_disk_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(FileDisk::open(dir.path()).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(FileDisk::open(&dir.path().join("none")).unwrap_err().kind(), ErrorKind::Io);
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(FileDisk::open(&pipe).unwrap_err().kind(), ErrorKind::Unsupported);
        let (_dir, path) = sparse_file();
        let read_only = DiskMut::new(FileDisk::open(&path).unwrap());
        assert_eq!(read_only.write_at(&[1], 0).unwrap_err().kind(), ErrorKind::Io);
    }
}
