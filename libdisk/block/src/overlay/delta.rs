//! What an overlay and its writers share: the base, the delta file, the index.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::index::{Content, Index};
use crate::{BlockRead, BlockWrite, Disk, DiskMut, Error, ErrorKind, Extent, FileRange, Result};

const LAYER: &str = "overlay";

/// The largest piece moved at once while merging, in bytes.
const PIECE: u64 = 1 << 20;

/// Whether writes are still taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Sealed,
    Poisoned,
}

#[derive(Debug)]
struct State {
    index: Index,
    phase: Phase,
}

/// Base, delta file and index. A write holds the lock until it is complete; a read holds it only to look up a
/// run, so it sees each run either before or after a concurrent write.
#[derive(Debug)]
pub(super) struct Delta {
    base: Disk,
    file: File,
    state: RwLock<State>,
}

impl Delta {
    pub(super) fn new(base: Disk) -> Result<Self> {
        let file = tempfile::tempfile()
            .map_err(|e| Error::io(LAYER, "cannot create the temporary file for changes", e))?;
        Ok(Self { base, file, state: RwLock::new(State { index: Index::default(), phase: Phase::Open }) })
    }

    pub(super) fn base(&self) -> &Disk {
        &self.base
    }

    pub(super) fn dirty(&self) -> Vec<Range<u64>> {
        self.state().index.written()
    }

    pub(super) fn seal(&self) -> Result<()> {
        let mut state = self.state.write().map_err(|_| poisoned())?;
        if state.phase == Phase::Poisoned {
            return Err(poisoned());
        }
        state.phase = Phase::Sealed;
        Ok(())
    }

    pub(super) fn merge_into(&self, target: &DiskMut) -> Result<()> {
        let size = self.base.size();
        if target.size() != size {
            let what =
                format!("changes to a device of {size} bytes do not fit one of {} bytes", target.size());
            return Err(Error::new(ErrorKind::OutOfRange, LAYER, what));
        }
        if self.state.is_poisoned() || self.state().phase == Phase::Poisoned {
            return Err(poisoned());
        }
        let mut buf = Vec::new();
        for run in self.dirty() {
            let mut start = run.start;
            while start < run.end {
                let (end, content) = self.state().index.at(start..run.end);
                let end = match content {
                    Some(Content::Zeros) => {
                        target.zero_range(start..end)?;
                        end
                    }
                    // Nothing turns back into base, so this is bytes.
                    Some(Content::Bytes) | None => {
                        let end = end.min(start + PIECE);
                        buf.resize((end - start) as usize, 0);
                        self.read_file(&mut buf, start)?;
                        target.write_at(&buf, start)?;
                        end
                    }
                };
                start = end;
            }
        }
        Ok(())
    }

    /// The state, for reading. A panic during a write is told by `RwLock` and handled where it matters.
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_file(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file
            .read_exact_at(buf, offset)
            .map_err(|e| Error::io(LAYER, "cannot read the changes back", e).at(offset))
    }

    fn write_file(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(buf, offset)
            .map_err(|e| Error::io(LAYER, "cannot keep the changes", e).at(offset))
    }

    /// Reads one run into `buf`, which lies inside it.
    fn read_run(&self, content: Option<Content>, buf: &mut [u8], offset: u64) -> Result<()> {
        match content {
            Some(Content::Bytes) => self.read_file(buf, offset),
            Some(Content::Zeros) => {
                buf.fill(0);
                Ok(())
            }
            None => self.base.read_at(buf, offset),
        }
    }

    fn sector(&self) -> u64 {
        u64::from(self.base.sector_size()).max(1)
    }

    /// The end of the sector that holds the byte before `offset`; the last sector may be short.
    fn sector_end(&self, offset: u64) -> u64 {
        offset.next_multiple_of(self.sector()).min(self.base.size())
    }

    fn sector_start(&self, offset: u64) -> u64 {
        offset - offset % self.sector()
    }

    /// Makes all of the sector at `start` bytes of the delta file, so that a part of it can be overwritten.
    fn materialize(&self, index: &Index, start: u64) -> Result<()> {
        let end = self.sector_end(start + 1);
        let (_, content) = index.at(start..end);
        if content == Some(Content::Bytes) {
            return Ok(());
        }
        let mut sector = vec![0; (end - start) as usize];
        self.read_run(content, &mut sector, start)?;
        self.write_file(&sector, start)
    }

    fn write(&self, index: &mut Index, buf: &[u8], offset: u64) -> Result<()> {
        let end = offset + buf.len() as u64;
        let (first, last) = (self.sector_start(offset), self.sector_start(end));
        if first < offset {
            self.materialize(index, first)?;
        }
        if self.sector_end(end) > end && (last > first || first == offset) {
            self.materialize(index, last)?;
        }
        self.write_file(buf, offset)?;
        index.set(first..self.sector_end(end), Content::Bytes);
        Ok(())
    }

    fn zero(&self, index: &mut Index, range: Range<u64>) -> Result<()> {
        let first = self.sector_end(range.start).min(range.end);
        let last =
            if self.sector_end(range.end) == range.end { range.end } else { self.sector_start(range.end) };
        let last = last.max(first);
        for part in [range.start..first, last..range.end] {
            if !part.is_empty() {
                self.write(index, &vec![0; (part.end - part.start) as usize], part.start)?;
            }
        }
        if first < last {
            index.set(first..last, Content::Zeros);
        }
        Ok(())
    }

    /// Runs one write under the lock; if it fails, the overlay is poisoned.
    fn change(&self, write: impl FnOnce(&mut Index) -> Result<()>) -> Result<()> {
        let mut state = self.state.write().map_err(|_| poisoned())?;
        match state.phase {
            Phase::Open => {}
            Phase::Sealed => {
                return Err(Error::new(ErrorKind::Refused, LAYER, "it is sealed and takes no more writes"));
            }
            Phase::Poisoned => return Err(poisoned()),
        }
        write(&mut state.index).inspect_err(|_| state.phase = Phase::Poisoned)
    }
}

fn poisoned() -> Error {
    Error::new(ErrorKind::Poisoned, LAYER, "an earlier write failed, so its changes are incomplete")
}

impl BlockRead for Arc<Delta> {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.base.size()
    }

    fn sector_size(&self) -> u32 {
        self.base.sector_size()
    }

    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let (end, content) = self.state().index.at(offset..offset + buf.len() as u64);
            let (run, rest) = buf.split_at_mut((end - offset) as usize);
            self.read_run(content, run, offset)?;
            (buf, offset) = (rest, end);
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let (end, content) = self.state().index.at(range.clone());
        match content {
            Some(Content::Bytes) => Ok(Extent::data(end - range.start)),
            Some(Content::Zeros) => Ok(Extent::zero(end - range.start)),
            None => self.base.extent_at(range.start..end),
        }
    }

    /// What was not changed. (What was may be changed again.)
    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        let (end, content) = self.state().index.at(range.clone());
        match content {
            Some(_) => Ok(None),
            None => self.base.file_range(range.start..end),
        }
    }
}

impl BlockWrite for Arc<Delta> {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.change(|index| self.write(index, buf, offset))
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        self.change(|index| self.zero(index, range))
    }

    /// Nothing to do: the delta does not outlive the process.
    fn flush(&self) -> Result<()> {
        self.change(|_| Ok(()))
    }
}
