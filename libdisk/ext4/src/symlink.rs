//! Symbolic links ("ext4 disk layout: Symbolic Links").

use vfs::{FsError, Result};

use crate::Ext4;
use crate::bytes::{index, part, wide};
use crate::inode::{BLOCK_LEN, Inode, flag};

/// Whether the target lies in `i_block`; it ends there with a zero byte.
pub(crate) fn is_fast(inode: &Inode) -> bool {
    inode.size() < wide(BLOCK_LEN) && !inode.has(flag::EXTENTS | flag::INLINE_DATA)
}

impl Ext4 {
    /// The target.
    pub(crate) fn target(&self, inode: &Inode) -> Result<Vec<u8>> {
        inode.check_plain()?;
        let len = index(inode.size());
        if inode.has(flag::INLINE_DATA) {
            return Ok(part(&self.inline_data(inode)?, 0, len)
                .map_err(|_| inode.corrupt("its target is cut off"))?
                .to_vec());
        }
        if is_fast(inode) {
            return Ok(part(inode.block(), 0, len)?.to_vec());
        }
        if len >= self.blocks.block_size() {
            return Err(inode.corrupt(format!("its target has {len} bytes")));
        }
        match self.map(inode, 0)?.0 {
            Some(block) => Ok(part(&self.blocks.read(block)?, 0, len)?.to_vec()),
            None => Err(FsError::corrupt(format!("inode {}", inode.number), 0, "its target is a hole")),
        }
    }
}
