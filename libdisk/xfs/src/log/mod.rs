//! The log ("Journaling Log"): finding what it holds, carrying it out, and leaving it clean.
//!
//! It is a ring of 512-byte blocks. Every write is a record: a header, then operations, each a piece of a
//! transaction. The first four bytes of each block say in which round through the ring it was written, and
//! stand in the header meanwhile. A place in the log is its round ("cycle") and its block: the log sequence
//! number, LSN.
//!
//! A transaction is a list of items, each with its format first and then the changed parts of a buffer, an
//! inode or a quota. The formats are in the byte order of the machine that wrote them, which must be
//! little-endian here; what they change on the volume is big-endian.

mod buffer;
mod directory;
mod dquot;
mod head;
mod icreate;
mod inode;
mod intent;
mod record;
mod replay;
mod seal;
mod transaction;
mod unmount;

use block::Disk;
use vfs::{FsError, Result};

use crate::bytes::{be32, index, low32};
use crate::superblock::Superblock;

pub(crate) use head::Ends;
pub(crate) use intent::{Intent, MappedRun, PhysicalRun};
pub(crate) use replay::{Replay, replay};

/// Bytes of a block of the log. Places of buffers are counted in the same unit.
const BLOCK: u32 = 512;
/// What every record starts with.
const MAGIC: u32 = 0xfeed_babe;
/// The longest record.
const RECORD_MAX: u32 = 256 << 10;
/// `sb_versionnum` of volumes of version 4 with version 2 of the log.
const VERSION_2: u16 = 0x400;
/// Records that the kernel has under way at the same time.
const IN_FLIGHT: u32 = 8;
/// Blocks before the head that may not be written although later ones are.
const WINDOW: u32 = 4096;
const _: () = assert!(WINDOW == IN_FLIGHT * RECORD_MAX / BLOCK);

/// The log of a file system, open for reading.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Disk,
    /// Its first byte on the volume.
    start: u64,
    /// How many blocks it has.
    blocks: u32,
    sb: Superblock,
}

impl Log {
    /// Opens the log of a file system.
    pub(crate) fn open(disk: &Disk, sb: &Superblock) -> Result<Self> {
        let Some((first, len)) = sb.log else {
            return Err(FsError::unsupported("XFS with an external log"));
        };
        let blocks = u64::from(len).saturating_mul(sb.block_size.into()) >> 9;
        let log = Self { disk: disk.clone(), start: sb.byte(first), blocks: low32(blocks), sb: sb.clone() };
        if blocks > 1 << 23 || blocks < u64::from(WINDOW >> 3) {
            return Err(log.corrupt(0, format!("a log of {blocks} blocks")));
        }
        Ok(log)
    }

    /// Whether headers of records may have several blocks.
    fn version_2(&self) -> bool {
        self.sb.v5() || self.sb.features.version(VERSION_2)
    }

    /// Where a block lies on the volume.
    fn place(&self, block: u32) -> u64 {
        u64::from(block).saturating_mul(BLOCK.into()).saturating_add(self.start)
    }

    /// The block that is so many further on; after the last comes the first.
    fn after(&self, block: u32, count: u32) -> u32 {
        let sum = u64::from(block).saturating_add(count.into());
        low32(sum.checked_rem(self.blocks.into()).unwrap_or_default())
    }

    /// How many blocks lie between two, forward.
    fn distance(&self, from: u32, to: u32) -> u32 {
        match to.checked_sub(from) {
            Some(distance) => distance,
            None => to.saturating_add(self.blocks).saturating_sub(from),
        }
    }

    /// Reads blocks, round the end.
    fn read(&self, block: u32, count: u32) -> Result<Vec<u8>> {
        let first = count.min(self.blocks.saturating_sub(block));
        let bytes = |count: u32| index(count).saturating_mul(index(BLOCK));
        let mut read = self.disk.read_vec(self.place(block), bytes(first))?;
        if first < count {
            read.extend(self.disk.read_vec(self.start, bytes(count.saturating_sub(first)))?);
        }
        Ok(read)
    }

    /// The rounds of blocks, round the end.
    fn cycles(&self, block: u32, count: u32) -> Result<Vec<u32>> {
        self.read(block, count)?.chunks_exact(index(BLOCK)).map(cycle).collect()
    }

    fn cycle(&self, block: u32) -> Result<u32> {
        cycle(&self.read(block, 1)?)
    }

    fn corrupt(&self, block: u32, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
        FsError::corrupt(format!("block {block} of the log"), self.place(block), what)
    }
}

/// The round in which a block was written: its first word, or the second of a header.
fn cycle(block: &[u8]) -> Result<u32> {
    match be32(block, 0)? {
        MAGIC => be32(block, 4),
        cycle => Ok(cycle),
    }
}

/// The round after this one; none has the number that marks a header.
fn next_cycle(cycle: u32) -> u32 {
    let next = cycle.wrapping_add(1);
    if next == MAGIC { next.wrapping_add(1) } else { next }
}

/// The block of a log sequence number.
fn block_of(lsn: u64) -> u32 {
    low32(lsn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::{DiskMut, FileDisk};
    use std::fs;
    use std::os::unix::fs::FileExt;
    use testimages::judge;

    /// The kernel finds the unmount record and goes on after it, wherever it lies, round the end included.
    #[test]
    fn a_log_is_clean_at_every_place() {
        if !judge::need_all(&["mkfs.xfs", "xfs_repair", "xfs_logprint"]) || !judge::need_kernel_mounts() {
            return;
        }
        let size = 64 << 20;
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(size).unwrap();
        let mut mkfs = judge::tool("mkfs.xfs");
        mkfs.env("TEST_DIR", "x").env("TEST_DEV", "x").env("QA_CHECK_FS", "x");
        judge::run(mkfs.args(["-q", "-f", "-d", "agcount=2", "-l", "size=12m"]).arg(image.path()));
        let device = || DiskMut::new(FileDisk::open_mut(image.path()).unwrap());
        let fs = crate::open(device().disk()).unwrap();
        let log = Log::open(fs.blocks.disk(), &fs.sb).unwrap();
        // Rounds ascend, for what was written in one stays on the volume.
        for (head, round) in
            [0, 1, 700, log.blocks - 2, log.blocks - 1].into_iter().zip([10_u32, 20, 30, 40, 50])
        {
            // A torn record of this round lies after the head.
            for block in 0..log.blocks {
                let ahead = (head + 3..head + 40).contains(&block);
                let cycle = if block < head || ahead { round } else { round - 1 };
                image.as_file().write_all_at(&cycle.to_be_bytes(), log.place(block)).unwrap();
            }
            let ends = Ends { head, cycle: round, last: None, tail: head, clean: false };
            log.write_unmount(&ends, &device()).unwrap();
            let found = log.ends().unwrap();
            assert_eq!((found.clean, found.head), (true, (head + 2) % log.blocks));
            assert_eq!(found.cycle, if head + 2 < log.blocks { round } else { round + 1 });

            let said = judge::run(judge::tool("xfs_logprint").arg("-t").arg(image.path())).stdout;
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(said.contains("<CLEAN>"), "{said}");
            for number in 0..3 {
                let mount = judge::KernelMount::read_write(image.path(), 0..size);
                fs::write(mount.path().join(format!("{head}-{number}")), "text").unwrap();
            }
            judge::run(judge::tool("xfs_repair").arg("-n").arg(image.path()));
            assert!(log.ends().unwrap().clean);
        }
    }
}
