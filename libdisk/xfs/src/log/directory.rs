//! Directory blocks of several blocks of the volume that are not neighbours. Each piece is a buffer of its
//! own in the log, but the checksum, in the first, is over all of them.

use std::collections::BTreeSet;

use block::DiskMut;
use vfs::Result;

use super::seal;
use crate::Xfs;
use crate::bytes::{index, part, wide};
use crate::extent::Side;

/// What the log changed of such blocks.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// The directories that were changed.
    pub(super) directories: BTreeSet<u64>,
    /// Buffers that may be pieces, by their byte on the volume.
    pub(super) buffers: BTreeSet<u64>,
}

impl Pieces {
    /// Stores the checksums of all blocks of which a piece was changed.
    pub(super) fn seal(&self, device: &DiskMut) -> Result<()> {
        if self.buffers.is_empty() {
            return Ok(());
        }
        let fs = crate::open(device.disk())?;
        for &number in &self.directories {
            self.seal_directory(&fs, number, device)?;
        }
        Ok(())
    }

    fn seal_directory(&self, fs: &Xfs, number: u64, device: &DiskMut) -> Result<()> {
        // It may have been removed, and even its place among the inodes.
        let Ok(inode) = fs.any_inode(number) else { return Ok(()) };
        if !inode.is_used() || !inode.is_dir() {
            return Ok(());
        }
        let sb = &fs.sb;
        let unit = wide(sb.dir_block_size >> sb.block_log);
        let unit_log = unit.trailing_zeros();
        let mut changed = BTreeSet::new();
        for extent in fs.extents(&inode, Side::Data)? {
            let start = sb.byte(extent.physical);
            let end = start.saturating_add(extent.len << sb.block_log);
            for place in self.buffers.range(start..end) {
                let logical = extent.logical.saturating_add(place.saturating_sub(start) >> sb.block_log);
                changed.insert(logical >> unit_log << unit_log);
            }
        }
        for from in changed {
            let to = from.saturating_add(unit);
            let mut first = None;
            let mut bytes = Vec::with_capacity(sb.dir_block_size);
            for piece in fs.extents_in(&inode, Side::Data, from..to)? {
                let Some(piece) = piece.cut(from, to) else { continue };
                let place = sb.byte(piece.physical);
                first.get_or_insert(place);
                bytes.extend(device.disk().read_vec(place, index(piece.len << sb.block_log))?);
            }
            if let Some(first) = first.filter(|_| bytes.len() == sb.dir_block_size) {
                seal::update_checksum(sb, &mut bytes)?;
                device.write_at(part(&bytes, 0, index(sb.block_size))?, first)?;
            }
        }
        Ok(())
    }
}
