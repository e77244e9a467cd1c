//! A run of blocks of a file ("Extent Records").

use vfs::{FsError, Result};

use crate::bytes::be64;
use crate::superblock::Superblock;

/// Bytes of a record.
pub(crate) const LEN: usize = 16;
/// The most blocks of one record.
pub(crate) const MAX_BLOCKS: u64 = (1 << 21) - 1;

/// Which of the two parts of an inode maps the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Content, a directory, the target of a link.
    Data,
    /// Extended attributes.
    Attr,
}

/// A run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first block of the file.
    pub(crate) logical: u64,
    /// The first file-system block.
    pub(crate) physical: u64,
    pub(crate) len: u64,
    /// Reserved, reads as zeros.
    pub(crate) unwritten: bool,
}

impl Extent {
    /// The block of the file after the last.
    pub(crate) fn end(&self) -> u64 {
        self.logical.saturating_add(self.len)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let (high, low) = (be64(bytes, 0)?, be64(bytes, 8)?);
        Ok(Self {
            unwritten: high >> 63 == 1,
            logical: high >> 9 & ((1 << 54) - 1),
            physical: (high & 0x1ff) << 43 | low >> 21,
            len: low & MAX_BLOCKS,
        })
    }

    pub(crate) fn encode(&self) -> [u8; LEN] {
        let high = u64::from(self.unwritten) << 63 | self.logical << 9 | self.physical >> 43;
        let low = self.physical << 21 | self.len & MAX_BLOCKS;
        let mut bytes = [0; LEN];
        let (first, second) = bytes.split_at_mut(8);
        first.copy_from_slice(&high.to_be_bytes());
        second.copy_from_slice(&low.to_be_bytes());
        bytes
    }

    /// Refuses what lies outside a group.
    pub(crate) fn check(&self, sb: &Superblock) -> Result<()> {
        if self.len == 0 {
            return Err(FsError::corrupt("extent record", 0, "it has no blocks"));
        }
        sb.check_run(self.physical, self.len)
    }

    /// The part of it from block `from` of the file up to block `to`.
    pub(crate) fn cut(&self, from: u64, to: u64) -> Option<Self> {
        let (from, to) = (from.max(self.logical), to.min(self.end()));
        let skipped = from.saturating_sub(self.logical);
        (from < to).then(|| Self {
            logical: from,
            physical: self.physical.saturating_add(skipped),
            len: to.saturating_sub(from),
            ..*self
        })
    }
}

/// Adds a run at the end, joined with the last one where it follows it.
pub(crate) fn push(extents: &mut Vec<Extent>, sb: &Superblock, extent: Extent) {
    if let Some(last) = extents.last_mut() {
        let follows = last.end() == extent.logical
            && last.physical.saturating_add(last.len) == extent.physical
            && last.unwritten == extent.unwritten
            && sb.split(last.physical).0 == sb.split(extent.physical).0;
        let len = last.len.saturating_add(extent.len);
        if follows && len <= MAX_BLOCKS {
            last.len = len;
            return;
        }
    }
    extents.push(extent);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_at_its_widest() {
        for extent in [
            Extent { logical: 0, physical: 15, len: 1, unwritten: false },
            Extent { logical: (1 << 54) - 1, physical: (1 << 52) - 1, len: MAX_BLOCKS, unwritten: true },
        ] {
            assert_eq!(Extent::decode(&extent.encode()).unwrap(), extent);
        }
    }

    #[test]
    fn cutting() {
        let extent = Extent { logical: 10, physical: 100, len: 10, unwritten: false };
        assert_eq!(extent.cut(12, 15), Some(Extent { logical: 12, physical: 102, len: 3, ..extent }));
        assert_eq!(extent.cut(0, 100), Some(extent));
        assert_eq!(extent.cut(0, 10), None);
    }
}
