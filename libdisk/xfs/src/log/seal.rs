//! The place in the log and the checksum that blocks of metadata carry ("Self-Describing Metadata").

use vfs::Result;

use crate::bytes::{be16, be64, part, put64};
use crate::checksum;
use crate::features::incompat;
use crate::superblock::Superblock;

/// Where a kind of block keeps them.
#[derive(Debug, Clone, Copy)]
struct Places {
    lsn: usize,
    uuid: usize,
    crc: usize,
}

const fn places(lsn: usize, uuid: usize, crc: usize) -> Option<Places> {
    Some(Places { lsn, uuid, crc })
}

/// By the magic number. Inodes and quotas have their own; the blocks of long values of attributes are never
/// logged.
fn kind(sb: &Superblock, bytes: &[u8]) -> Option<Places> {
    match bytes.first_chunk()? {
        b"AB3B" | b"AB3C" | b"IAB3" | b"FIB3" | b"RMB3" | b"R3FC" => places(24, 32, 52),
        b"BMA3" => places(32, 40, 64),
        b"XAGF" => places(208, 64, 216),
        b"XAGI" => places(320, 296, 312),
        b"XAFL" => places(24, 8, 32),
        b"XSLM" => places(48, 16, 12),
        b"XDB3" | b"XDD3" | b"XDF3" => places(16, 24, 4),
        b"XFSB" => places(240, if sb.features.incompat(incompat::META_UUID) { 248 } else { 32 }, 224),
        _ => match be16(bytes, 8) {
            Ok(0x3df1 | 0x3dff | 0x3bee | 0x3ebe) => places(24, 32, 12),
            _ => None,
        },
    }
}

/// Where in the log the last change of this block is; `None` if it does not say so.
pub(super) fn lsn(sb: &Superblock, bytes: &[u8]) -> Option<u64> {
    let places = kind(sb, bytes)?;
    let own = part(bytes, places.uuid, 16).is_ok_and(|uuid| uuid == sb.meta_uuid);
    be64(bytes, places.lsn).ok().filter(|_| own).filter(|&lsn| is_known(lsn))
}

/// Whether it is a place in the log.
pub(super) fn is_known(lsn: u64) -> bool {
    lsn != 0 && lsn != u64::MAX
}

/// Says in a block that it was changed last at this place of the log.
pub(super) fn update(sb: &Superblock, bytes: &mut [u8], lsn: u64) -> Result<()> {
    let Some(places) = kind(sb, bytes) else { return Ok(()) };
    put64(bytes, places.lsn, lsn)?;
    checksum::update(bytes, places.crc)
}

/// Stores the checksum only.
pub(super) fn update_checksum(sb: &Superblock, bytes: &mut [u8]) -> Result<()> {
    match kind(sb, bytes) {
        Some(places) => checksum::update(bytes, places.crc),
        None => Ok(()),
    }
}
