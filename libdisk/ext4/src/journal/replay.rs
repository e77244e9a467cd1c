//! Carrying out a log.

use block::DiskMut;
use vfs::{FsError, Result};

use super::descriptor::{Tag, tags};
use super::revoke::Revoked;
use super::scan::{Scan, Transaction, scan};
use super::superblock::Checksums;
use super::{Journal, MAGIC};
use crate::Ext4;
use crate::bytes::{le16, le32, low16, put};
use crate::checksum::crc32c;
use crate::recovery::Replayed;

/// `EXT4_FC_TAG_HEAD`, the first tag of the first block of fast commits ("Journal (jbd2), Fast commits").
const FAST_COMMIT_HEAD: u16 = 9;

/// The log of a journal, ready to be carried out.
pub(crate) struct Log {
    journal: Journal,
    scan: Scan,
    revoked: Revoked,
}

impl Log {
    /// Reads the log of a file system that needs recovery; refuses one that cannot be carried out.
    pub(crate) fn read(fs: &Ext4) -> Result<Self> {
        let journal = Journal::open(fs)?;
        let errno = journal.sb.errno();
        if errno != 0 {
            return Err(FsError::unsupported(format!(
                "the ext4 journal says that error {errno} was met while it was mounted: run e2fsck"
            )));
        }
        let scan = match journal.sb.start() {
            Some(start) => scan(&journal, start)?,
            None => Scan { transactions: Vec::new(), next: journal.sb.sequence() },
        };
        let mut log = Self { journal, scan, revoked: Revoked::default() };
        log.refuse_fast_commits()?;
        for Transaction { sequence, revokes, .. } in &log.scan.transactions {
            for &block in revokes {
                log.revoked.add(&log.journal.sb, &log.journal.read(block)?, *sequence)?;
            }
        }
        Ok(log)
    }

    /// Fast commits after the last transaction are changes of another kind, that we cannot carry out.
    fn refuse_fast_commits(&self) -> Result<()> {
        let (Some(first), Some(_)) = (self.journal.sb.fast_commits, self.journal.sb.start()) else {
            return Ok(());
        };
        let first = self.journal.read(first)?;
        // Tag and length of two bytes each, features, number of the transaction: little-endian, unlike the
        // rest.
        if le16(&first, 0)? == FAST_COMMIT_HEAD && le32(&first, 8)? == self.scan.next {
            return Err(FsError::unsupported(
                "an ext4 journal with fast commits: mount a copy of the disk once and unmount it",
            ));
        }
        Ok(())
    }

    /// Writes every block that was committed to `device`, in order, and empties the journal.
    pub(crate) fn replay(self, fs: &Ext4, device: &DiskMut, replayed: &mut Replayed) -> Result<()> {
        for transaction in &self.scan.transactions {
            for &descriptor in &transaction.descriptors {
                let mut at = descriptor;
                for tag in tags(&self.journal.sb, &self.journal.read(descriptor)?)? {
                    at = self.journal.next(at);
                    if self.revoked.covers(tag.block, transaction.sequence) {
                        replayed.revoked = replayed.revoked.saturating_add(1);
                        continue;
                    }
                    let content = self.content(at, &tag, transaction.sequence)?;
                    device.write_at(&content, fs.blocks.place(tag.block)?)?;
                    replayed.blocks = replayed.blocks.saturating_add(1);
                }
            }
            replayed.transactions = replayed.transactions.saturating_add(1);
        }
        let place = self.journal.place()?;
        if self.journal.sb.start().is_some() {
            // One number is left out, so that a block of the transaction that was not committed never counts.
            device.write_at(&self.journal.sb.emptied(self.scan.next.wrapping_add(1)), place)?;
        }
        Ok(())
    }

    /// The block that a tag describes, as it is to be written.
    fn content(&self, block: u32, tag: &Tag, sequence: u32) -> Result<Vec<u8>> {
        let sb = &self.journal.sb;
        let mut bytes = self.journal.read(block)?;
        let sum = || crc32c(crc32c(sb.seed, &sequence.to_be_bytes()), &bytes);
        let valid = match sb.checksums {
            Checksums::None | Checksums::V1 => true,
            Checksums::V2 => u32::from(low16(sum())) == tag.checksum,
            Checksums::V3 => sum() == tag.checksum,
        };
        if !valid {
            let what = format!("the checksum of a copy in transaction {sequence} is wrong: run e2fsck");
            return Err(self.journal.corrupt(block, what));
        }
        if tag.escaped {
            put(&mut bytes, 0, &MAGIC.to_be_bytes())?;
        }
        Ok(bytes)
    }
}
