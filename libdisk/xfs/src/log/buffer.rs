//! Items of changed buffers ("Buffer Log Item").

use vfs::Result;

use super::BLOCK;
use super::transaction::{Item, corrupt};
use crate::bytes::{be32, index, le16, le32, le64, part, part_mut, put};
use crate::checksum;
use crate::superblock::Superblock;

/// `blf_type`.
pub(super) const KIND: u16 = 0x123c;
/// Bytes that a bit of the map stands for.
const CHUNK: usize = 128;
/// Words of the map of the largest buffer, and one that a kernel of old added.
const MAP_MAX: usize = 17;
/// The largest buffer that is changed, in blocks.
const BLOCKS_MAX: u16 = 128;

// Places of the fields of the format.
const FLAGS_AT: usize = 4;
const LEN_AT: usize = 6;
const BLKNO_AT: usize = 8;
const MAP_SIZE_AT: usize = 16;
const MAP_AT: usize = 20;

/// `blf_flags`.
mod flag {
    /// Inodes, of which only the links of the lists of those without a name count.
    pub(super) const UNLINKED: u16 = 0x1;
    pub(super) const CANCEL: u16 = 0x2;
    /// Quotas of users, projects, groups: the bits of their kinds, two places further up.
    pub(super) const QUOTAS: u16 = 0x1c;
}

/// The upper bits of `blf_flags` for directories: block, data, free, leaf (two kinds), node.
const DIRECTORY: std::ops::RangeInclusive<u16> = 10..=15;

/// Where `di_next_unlinked` is in an inode.
const NEXT_UNLINKED_AT: usize = 96;
/// Where `di_crc` is.
const INODE_CRC_AT: usize = 100;

/// Which buffer, and which parts of it.
#[derive(Debug)]
pub(super) struct Format {
    flags: u16,
    /// Place and length in blocks.
    pub(super) place: (u64, u16),
    /// A bit for every 128 bytes that are in the log.
    map: Vec<u32>,
}

impl Format {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let words = index(le32(bytes, MAP_SIZE_AT)?);
        if words > MAP_MAX {
            return Err(corrupt("buffer item", "the map of its changes is too long"));
        }
        let map = part(bytes, MAP_AT, words.saturating_mul(4))?;
        Ok(Self {
            flags: le16(bytes, FLAGS_AT)?,
            place: (le64(bytes, BLKNO_AT)?, le16(bytes, LEN_AT)?),
            map: map.chunks_exact(4).map(|word| le32(word, 0)).collect::<Result<_>>()?,
        })
    }

    /// Older content of the buffer must not be written: it is metadata no more.
    pub(super) fn is_cancel(&self) -> bool {
        self.flags & flag::CANCEL != 0
    }

    pub(super) fn is_unlinked_list(&self) -> bool {
        self.flags & flag::UNLINKED != 0
    }

    /// The kind of the quotas that it holds, as `d_type` has it; 0 if it holds none.
    pub(super) fn quotas(&self) -> u8 {
        u8::try_from((self.flags & flag::QUOTAS) >> 2).unwrap_or_default()
    }

    /// Whether it is a block of a directory, or may be a node of one.
    pub(super) fn is_directory(&self) -> bool {
        DIRECTORY.contains(&(self.flags >> 11))
    }

    /// The order inside a transaction.
    pub(super) fn rank(&self) -> u8 {
        match (self.is_cancel(), self.is_unlinked_list()) {
            (true, _) => 3,
            (false, true) => 2,
            (false, false) => 0,
        }
    }

    /// Bytes of the buffer.
    pub(super) fn len(&self) -> Result<usize> {
        let (_, blocks) = self.place;
        if blocks == 0 || blocks > BLOCKS_MAX {
            return Err(corrupt("buffer item", format!("a buffer of {blocks} blocks")));
        }
        Ok(usize::from(blocks).saturating_mul(index(BLOCK)))
    }

    fn has(&self, chunk: usize) -> bool {
        self.map
            .get(chunk >> 5)
            .is_some_and(|word| word.checked_shr(crate::bytes::word(chunk & 31)).unwrap_or(0) & 1 == 1)
    }

    /// The parts of the buffer that are in the log. A run of set bits is one region, or several.
    fn parts<'a>(&self, item: &'a Item) -> Result<Vec<(usize, &'a [u8])>> {
        let end = self.map.len().saturating_mul(32);
        let mut parts = Vec::new();
        let mut chunk = 0;
        let mut regions = item.regions.iter().skip(1);
        while chunk < end {
            if !self.has(chunk) {
                chunk = chunk.saturating_add(1);
                continue;
            }
            let run = (chunk..end).take_while(|&chunk| self.has(chunk)).count();
            let region = regions.next().ok_or_else(|| corrupt("buffer item", "a changed part is missing"))?;
            let run = run.min(region.len() >> 7);
            if run == 0 {
                return Err(corrupt("buffer item", "a changed part is too short"));
            }
            let at = chunk.saturating_mul(CHUNK);
            parts.push((at, part(region, 0, run.saturating_mul(CHUNK))?));
            chunk = chunk.saturating_add(run);
        }
        Ok(parts)
    }

    /// Changes a buffer.
    pub(super) fn apply(&self, item: &Item, buffer: &mut [u8]) -> Result<()> {
        self.parts(item)?.into_iter().try_for_each(|(at, bytes)| put(buffer, at, bytes))
    }

    /// Changes the links of the lists in a buffer of inodes.
    pub(super) fn apply_unlinked(&self, sb: &Superblock, item: &Item, buffer: &mut [u8]) -> Result<()> {
        let parts = self.parts(item)?;
        for (number, inode) in buffer.chunks_exact_mut(sb.inode_size.max(1)).enumerate() {
            let at = number.saturating_mul(sb.inode_size).saturating_add(NEXT_UNLINKED_AT);
            let holds =
                |(from, bytes): &&(usize, &[u8])| (*from..from.saturating_add(bytes.len())).contains(&at);
            let Some((from, bytes)) = parts.iter().find(holds) else { continue };
            let next = part(bytes, at.saturating_sub(*from), 4)?;
            if be32(next, 0)? == 0 {
                return Err(corrupt("buffer item", "a list of inodes without a name goes on with inode 0"));
            }
            part_mut(inode, NEXT_UNLINKED_AT, 4)?.copy_from_slice(next);
            if sb.v5() {
                checksum::update(inode, INODE_CRC_AT)?;
            }
        }
        Ok(())
    }
}
