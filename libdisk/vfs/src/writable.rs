//! A driver and the device it writes to.

use std::ops::Range;

use block::DiskMut;

use crate::{DirEntry, FileSystem, FileSystemMut, Info, Metadata, NodeId, Result, Transaction};

/// A driver that can change what it reads. It is a [`FileSystemMut`] as part of a [`Writable`].
pub trait Editable: FileSystem {
    /// Starts a change that goes to `device`, the one this file system was opened from.
    ///
    /// # Errors
    /// As [`FileSystemMut::begin`].
    fn begin_on<'a>(&'a mut self, device: &'a DiskMut) -> Result<Box<dyn Transaction + 'a>>;
}

/// A file system opened over a writable device.
#[derive(Debug)]
pub struct Writable<F> {
    fs: F,
    device: DiskMut,
}

impl<F: Editable> Writable<F> {
    /// Puts together a file system and the device that it was opened from.
    pub fn new(fs: F, device: DiskMut) -> Self {
        Self { fs, device }
    }
}

impl<F: Editable> FileSystem for Writable<F> {
    fn info(&self) -> Result<Info> {
        self.fs.info()
    }

    fn free(&self, enough: u64) -> Result<u64> {
        self.fs.free(enough)
    }

    fn root(&self) -> NodeId {
        self.fs.root()
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        self.fs.lookup(dir, name)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.fs.metadata(node)
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        self.fs.read_dir(dir)
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.fs.read_at(node, buf, offset)
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.fs.read_link(node)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.fs.xattrs(node)
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        self.fs.free_ranges()
    }
}

impl<F: Editable> FileSystemMut for Writable<F> {
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        self.fs.begin_on(&self.device)
    }
}
