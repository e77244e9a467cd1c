//! Content inside the inode ("ext4 disk layout: Inline Data").
//!
//! The first 60 bytes are in `i_block`, the rest is the attribute `system.data`. A directory keeps the inode
//! of ".." in the first four bytes; its entries fill the rest of the 60 and the attribute, each by itself.

use std::ops::Range;

use vfs::Result;

use crate::Ext4;
use crate::bytes::put;
use crate::change::Change;
use crate::inode::{BLOCK_LEN, Inode, flag};
use crate::xattr;

/// Where entries are in the inline data of a directory of this length.
pub(crate) fn regions(len: usize) -> Vec<Range<usize>> {
    [4..BLOCK_LEN, BLOCK_LEN..len].into_iter().filter(|region| !region.is_empty()).collect()
}

impl Ext4 {
    /// All inline data; at least 60 bytes, whatever the size says.
    pub(crate) fn inline_data(&self, inode: &Inode) -> Result<Vec<u8>> {
        let mut data = inode.block().to_vec();
        data.extend(xattr::inline_value(inode)?.unwrap_or_default());
        Ok(data)
    }
}

impl Change<'_> {
    /// Stores inline data of the same length.
    pub(crate) fn store_inline(&mut self, inode: &mut Inode, data: &[u8]) -> Result<()> {
        let (head, rest) = data.split_at_checked(BLOCK_LEN).unwrap_or((data, &[]));
        put(inode.block_mut(), 0, head)?;
        if xattr::inline_value(inode)?.is_some() {
            xattr::set_inline_value(inode, Some(rest))
        } else {
            Ok(())
        }
    }

    /// Makes an inode with inline data an empty one with blocks.
    pub(crate) fn drop_inline(&mut self, inode: &mut Inode) -> Result<()> {
        xattr::set_inline_value(inode, None)?;
        inode.set_flag(flag::INLINE_DATA, false);
        inode.set_size(0);
        self.init_mapping(inode)
    }
}
