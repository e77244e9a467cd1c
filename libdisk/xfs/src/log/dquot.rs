//! Items of quotas, and of quotas that were turned off ("Quota Update Data Log Item", "Quota Off Log Item").

use vfs::Result;

use super::seal;
use super::transaction::{Item, corrupt};
use crate::bytes::{be64, byte, le32, le64, part, put};
use crate::checksum;
use crate::superblock::Superblock;

/// `qlf_type` of both items.
pub(super) const KIND: u16 = 0x123d;
pub(super) const OFF_KIND: u16 = 0x123e;

const BLKNO_AT: usize = 8;
const BOFFSET_AT: usize = 20;
/// `qf_flags`, in the second item.
const OFF_FLAGS_AT: usize = 4;

/// A quota on the volume ("Quota Inodes"): magic number, kind, checksum, place in the log, length.
const MAGIC: &[u8] = b"DQ";
const TYPE_AT: usize = 3;
const CRC_AT: usize = 108;
const LSN_AT: usize = 112;
pub(super) const LEN: usize = 136;
/// Bytes of it that are in the log.
const LOGGED: usize = 104;
/// `d_type`, beside flags.
const TYPES: u8 = 0x7;

/// Which kinds of quotas an item turned off, as `d_type` has them (user 1, project 2, group 4).
pub(super) fn turned_off(item: &Item) -> Result<u8> {
    // The accounting flags: user 0x1, group 0x40, project 0x8.
    let flags = le32(item.format(), OFF_FLAGS_AT)?;
    let kinds = [(0x1, 1), (0x8, 2), (0x40, 4)];
    Ok(kinds.iter().filter(|(flag, _)| flags & flag != 0).fold(0, |kinds, (_, kind)| kinds | kind))
}

/// Where the quota of an item lies on the volume, in bytes.
pub(super) fn place(item: &Item) -> Result<u64> {
    let block = le64(item.format(), BLKNO_AT)?;
    let within = u64::from(le32(item.format(), BOFFSET_AT)?);
    Ok(block.saturating_mul(512).saturating_add(within))
}

/// Which kind of quota it is.
pub(super) fn kind(item: &Item) -> Result<u8> {
    Ok(byte(item.region(1), TYPE_AT)? & TYPES)
}

/// Changes a quota, of [`LEN`] bytes; `false` if what is there is newer.
pub(super) fn apply(sb: &Superblock, item: &Item, quota: &mut [u8], lsn: u64) -> Result<bool> {
    let new = item.region(1);
    if part(new, 0, 2)? != MAGIC || part(quota, 0, 2)? != MAGIC {
        return Err(corrupt("quota item", "its magic number, or that of the quota, is wrong"));
    }
    if sb.v5() {
        let there = be64(quota, LSN_AT)?;
        if seal::is_known(there) && there > lsn {
            return Ok(false);
        }
    }
    put(quota, 0, part(new, 0, LOGGED.min(new.len()))?)?;
    if sb.v5() {
        checksum::update(quota, CRC_AT)?;
    }
    Ok(true)
}
