//! Revoke blocks: blocks of the file system of which older copies in the log must not be written
//! ("ext4 disk layout: Journal (jbd2), Revocation Block").

use std::collections::HashMap;

use vfs::{FsError, Result};

use super::superblock::Superblock;
use super::{HEADER, is_after};
use crate::bytes::{be32, index, join32, part};

/// A log with more revoked blocks than this is no honest one: they are metadata blocks, 16 GiB of them.
const LIMIT: usize = 1 << 22;

/// The blocks that were revoked, each with the last transaction that did.
#[derive(Debug, Default)]
pub(super) struct Revoked(HashMap<u64, u32>);

impl Revoked {
    /// Adds the records of a revoke block of transaction `sequence`; later ones come later.
    pub(super) fn add(&mut self, sb: &Superblock, bytes: &[u8], sequence: u32) -> Result<()> {
        let corrupt = || FsError::corrupt("journal revoke block", 0, "its records do not fit it");
        let room = bytes.len().saturating_sub(if sb.tails() { 4 } else { 0 });
        let start = HEADER.saturating_add(4);
        let len = index(be32(bytes, HEADER)?).checked_sub(start).ok_or_else(corrupt)?;
        if start.saturating_add(len) > room {
            return Err(corrupt());
        }
        let size = if sb.wide_blocks() { 8 } else { 4 };
        for record in part(bytes, start, len)?.chunks_exact(size) {
            let first = be32(record, 0)?;
            let block = if size == 8 { join32(be32(record, 4)?, first) } else { first.into() };
            self.0.insert(block, sequence);
            if self.0.len() > LIMIT {
                return Err(FsError::unsupported("a journal with more than 2^22 revoked blocks"));
            }
        }
        Ok(())
    }

    /// Whether the copy of a block in transaction `sequence` must not be written.
    pub(super) fn covers(&self, block: u64, sequence: u32) -> bool {
        self.0.get(&block).is_some_and(|&revoked| !is_after(sequence, revoked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_written_again_after_its_revocation_is_not_covered() {
        let revoked = Revoked(HashMap::from([(7, u32::MAX)]));
        assert!(revoked.covers(7, u32::MAX) && revoked.covers(7, u32::MAX - 1));
        // Numbers of transactions wrap around.
        assert!(!revoked.covers(7, 0) && !revoked.covers(8, u32::MAX));
    }
}
