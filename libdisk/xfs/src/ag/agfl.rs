//! The blocks that a group has set aside for its free space trees ("AG Free List").

use vfs::{FsError, Result};

use super::{Agf, NULL, sector_byte};
use crate::bytes::{be32, index, part, put, put32};
use crate::checksum;
use crate::superblock::Superblock;

const MAGIC: u32 = 0x5841_464c;
const UUID_AT: usize = 8;
const CRC_AT: usize = 32;

/// Where the block numbers start; version 4 has nothing else.
fn header_len(sb: &Superblock) -> usize {
    if sb.v5() { 36 } else { 0 }
}

/// Entries that the sector has.
pub(crate) fn capacity(sb: &Superblock) -> usize {
    index(sb.sector_size).saturating_sub(header_len(sb)) >> 2
}

pub(super) fn parse(sb: &Superblock, ag: u32, agf: &Agf, sector: &[u8]) -> Result<Vec<u32>> {
    let byte = sector_byte(sb, ag, 3);
    let corrupt = |what: &'static str| FsError::corrupt(format!("AGFL {ag}"), byte, what);
    if sb.v5() {
        if be32(sector, 0)? != MAGIC || be32(sector, 4)? != ag || part(sector, UUID_AT, 16)? != sb.meta_uuid {
            return Err(corrupt("its magic number, number or UUID is wrong"));
        }
        if !checksum::is_right(sector, CRC_AT) {
            return Err(corrupt("its checksum is wrong"));
        }
    }
    let (first, last, count) = agf.free_list();
    let capacity = capacity(sb);
    let first = index(first);
    if first >= capacity || index(last) >= capacity || index(count) > capacity {
        return Err(corrupt("the AGF tells of entries that do not exist"));
    }
    let wrapped = first.saturating_add(index(count)).saturating_sub(1).checked_rem(capacity);
    if count > 0 && wrapped != Some(index(last)) {
        return Err(corrupt("the AGF tells first, last and count that contradict each other"));
    }
    let slots = (first..capacity).chain(0..first).take(index(count));
    let blocks = slots.map(|slot| be32(sector, header_len(sb).saturating_add(slot.saturating_mul(4))));
    let blocks = blocks.collect::<Result<Vec<_>>>()?;
    if blocks.iter().any(|&block| block == 0 || block >= sb.ag_len(ag)) {
        return Err(corrupt("it holds a block outside its group"));
    }
    Ok(blocks)
}

/// The sector with these blocks from its first entry on.
pub(super) fn encode(sb: &Superblock, ag: u32, blocks: &[u32]) -> Result<Vec<u8>> {
    if blocks.len() > capacity(sb) {
        return Err(FsError::NoSpace("the list of free blocks of a group"));
    }
    let mut sector = vec![0; index(sb.sector_size)];
    for slot in 0..capacity(sb) {
        let at = header_len(sb).saturating_add(slot.saturating_mul(4));
        put32(&mut sector, at, blocks.get(slot).copied().unwrap_or(NULL))?;
    }
    if sb.v5() {
        put32(&mut sector, 0, MAGIC)?;
        put32(&mut sector, 4, ag)?;
        put(&mut sector, UUID_AT, &sb.meta_uuid)?;
        checksum::update(&mut sector, CRC_AT)?;
    }
    Ok(sector)
}
