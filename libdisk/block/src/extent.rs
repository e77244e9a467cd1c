//! Which parts of a device hold data and which are known to be zero.

use std::fs::File;
use std::ops::Range;

use crate::{Disk, Result};

/// What a range holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// Anything, zeros too. Always a correct answer, if a slow one.
    Data,
    /// Zeros, and that is a promise: a copy will not read it.
    Zero,
}

/// A run of bytes that are all of one kind. It starts where it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes; never zero.
    pub len: u64,
    /// What the run holds.
    pub kind: ExtentKind,
}

impl Extent {
    /// A run of data.
    pub fn data(len: u64) -> Self {
        Self { len, kind: ExtentKind::Data }
    }

    /// A run of zeros.
    pub fn zero(len: u64) -> Self {
        Self { len, kind: ExtentKind::Zero }
    }
}

/// A run of a device's bytes, as they are in a file of the host.
#[derive(Debug, Clone, Copy)]
pub struct FileRange<'a> {
    /// The file.
    pub file: &'a File,
    /// Byte offset in the file.
    pub offset: u64,
    /// Length in bytes; never zero.
    pub len: u64,
}

/// The runs of a range in ascending order, contiguous, neighbours of one kind merged. See [`Disk::extents`].
#[derive(Debug)]
pub struct Extents<'a> {
    disk: &'a Disk,
    rest: Range<u64>,
}

impl<'a> Extents<'a> {
    pub(crate) fn new(disk: &'a Disk, range: Range<u64>) -> Self {
        Self { disk, rest: range }
    }

    fn merged(&mut self) -> Result<(Range<u64>, ExtentKind)> {
        let start = self.rest.start;
        let first = self.disk.extent_at(self.rest.clone())?;
        self.rest.start = start.saturating_add(first.len);
        while self.rest.start < self.rest.end {
            let next = self.disk.extent_at(self.rest.clone())?;
            if next.kind != first.kind {
                break;
            }
            self.rest.start = self.rest.start.saturating_add(next.len);
        }
        Ok((start..self.rest.start, first.kind))
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<(Range<u64>, ExtentKind)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.start >= self.rest.end {
            return None;
        }
        let answer = self.merged();
        if answer.is_err() {
            self.rest.start = self.rest.end;
        }
        Some(answer)
    }
}
