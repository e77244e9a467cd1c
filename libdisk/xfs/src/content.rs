//! The content of files: read in pieces, written as a whole.

use vfs::{FsError, Result};

use crate::Xfs;
use crate::bytes::{index, part, wide};
use crate::change::Change;
use crate::extent::{Extent, Side};
use crate::fork::Fork;
use crate::inode::{Inode, flag, flag2};

/// So many blocks are looked through first for the next extent, then twice as many, and so on.
const FIRST_WINDOW: u64 = 1 << 12;

impl Xfs {
    /// Reads content of an inode, as far as its size goes. Holes, and what was reserved and never written,
    /// are zeros.
    pub(crate) fn read_content(&self, inode: &Inode, buf: &mut [u8], offset: u64) -> Result<usize> {
        if inode.has(flag::REALTIME) {
            return Err(FsError::unsupported(format!(
                "XFS inode {} lies in the realtime section",
                inode.number
            )));
        }
        let len = buf.len().min(index(inode.size().saturating_sub(offset)));
        let buf = buf.get_mut(..len).unwrap_or_default();
        if len == 0 {
            return Ok(0);
        }
        if let Fork::Inline(bytes) = &inode.data {
            buf.copy_from_slice(part(bytes, index(offset), len)?);
            return Ok(len);
        }
        buf.fill(0);
        let end = offset.saturating_add(wide(len));
        let log = self.sb.block_log;
        let blocks = offset >> log..self.sb.blocks_for(end);
        for extent in self.extents_in(inode, Side::Data, blocks.clone())? {
            let Some(piece) = extent.cut(blocks.start, blocks.end).filter(|piece| !piece.unwritten) else {
                continue;
            };
            let (start, stop) = ((piece.logical << log).max(offset), (piece.end() << log).min(end));
            let within = start.saturating_sub(piece.logical << log);
            let at = index(start.saturating_sub(offset));
            let to = crate::bytes::part_mut(buf, at, index(stop.saturating_sub(start)))?;
            self.blocks.disk().read_at(to, self.sb.byte(piece.physical).saturating_add(within))?;
        }
        Ok(len)
    }

    /// The first byte of an inode's content from `offset` on that is in an extent.
    pub(crate) fn next_content(&self, inode: &Inode, offset: u64) -> Result<Option<u64>> {
        let size = inode.size();
        if offset >= size || matches!(inode.data, Fork::Inline(_)) {
            return Ok((offset < size).then_some(offset));
        }
        let (log, end) = (self.sb.block_log, self.sb.blocks_for(size));
        let (mut from, mut window) = (offset >> log, FIRST_WINDOW);
        // A file may have very many extents: not all are read to find the next one.
        while from < end {
            let blocks = from..from.saturating_add(window).min(end);
            let found = self.extents_in(inode, Side::Data, blocks.clone())?;
            let written = found.iter().filter_map(|extent| extent.cut(blocks.start, blocks.end));
            if let Some(first) = written.filter(|piece| !piece.unwritten).map(|piece| piece.logical).min() {
                return Ok(Some(first.saturating_mul(1 << log).max(offset)).filter(|at| *at < size));
            }
            (from, window) = (blocks.end, window.saturating_mul(2));
        }
        Ok(None)
    }
}

impl Change<'_> {
    /// Frees all content of an inode and its tree; leaves an empty mapping.
    pub(crate) fn release_content(&mut self, inode: &mut Inode) -> Result<()> {
        if inode.has(flag::REALTIME) {
            return Err(FsError::unsupported(format!(
                "XFS inode {} lies in the realtime section",
                inode.number
            )));
        }
        self.map_ranges(inode, Side::Data, &[])?;
        (inode.data, inode.data_extents) = (Fork::default(), 0);
        inode.clear2(flag2::REFLINK);
        inode.set_size(0);
        Ok(())
    }

    /// Gives an inode without content this one.
    pub(crate) fn write_content(&mut self, inode: &mut Inode, content: &[u8]) -> Result<()> {
        let blocks = self.fs.sb.blocks_for(wide(content.len()));
        let extents = self.allocate_extents(inode, Side::Data, 0..blocks)?;
        for extent in &extents {
            self.write_blocks(*extent, content)?;
        }
        inode.set_size(wide(content.len()));
        self.set_extents(inode, Side::Data, extents)
    }

    /// Writes the part of the content that an extent holds, the last block filled up with zeros.
    fn write_blocks(&mut self, extent: Extent, content: &[u8]) -> Result<()> {
        let log = self.fs.sb.block_log;
        let (start, end) = (index(extent.logical << log), index(extent.end() << log));
        let place = self.fs.sb.byte(extent.physical);
        let content = content.get(start..end.min(content.len())).unwrap_or_default();
        let partial = content.len() & index(self.fs.sb.block_size).saturating_sub(1);
        let (whole, partial) = content.split_at(content.len().saturating_sub(partial));
        self.writer.write_at(whole, place)?;
        if !partial.is_empty() {
            let mut last = partial.to_vec();
            last.resize(index(self.fs.sb.block_size), 0);
            self.writer.write_at(&last, place.saturating_add(wide(whole.len())))?;
        }
        Ok(())
    }
}
