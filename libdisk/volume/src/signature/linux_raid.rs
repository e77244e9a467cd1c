//! Members of RAIDs of Linux (`md`).
//!
//! Reference: `include/uapi/linux/raid/md_p.h` of Linux.

use block::Result;
use uuid::Uuid;

use super::head::{Piece, Volume};
use super::{Signature, SignatureKind, found};

/// A RAID of Linux, as one of its members tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raid {
    /// Version of the metadata: "0.90", "1.0", "1.1", "1.2".
    pub version: &'static str,
    /// As `mdadm` calls it: "raid1", "raid10", "linear".
    pub level: String,
    /// How many members it has when it is whole.
    pub members: u32,
}

/// 0xa92b4efc.
const MAGIC: [u8; 4] = [0xfc, 0x4e, 0x2b, 0xa9];

/// Versions 1.0 and 0.90 are at the end of the volume, the others near its start.
pub(super) fn probe(volume: &Volume<'_>) -> Result<Option<Signature>> {
    if let Some(found) = at_the_end(volume)? {
        return Ok(Some(found));
    }
    for (place, version) in [(0, "1.1"), (4096, "1.2")] {
        let block = volume.head.after(place);
        if block.is(0, &MAGIC) && block.le32(4) == 1 {
            return Ok(version_1(&block, version));
        }
    }
    Ok(None)
}

/// What the array holds begins where such a volume does.
pub(super) fn at_the_end(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let size = volume.size();
    if let Some(place) = size.checked_sub(8 << 10).map(|at| at & !4095) {
        let block = volume.piece(place, 256)?;
        if block.is(0, &MAGIC) && block.le32(4) == 1 {
            return Ok(version_1(&block, "1.0"));
        }
    }
    if let Some(place) = (size & !0xffff).checked_sub(64 << 10) {
        let block = volume.piece(place, 256)?;
        if block.is(0, &MAGIC) && block.le32(4) == 0 {
            return Ok(version_0_90(&block));
        }
    }
    Ok(None)
}

/// `mdp_superblock_1`.
fn version_1(block: &Piece, version: &'static str) -> Option<Signature> {
    let raid = Raid { version, level: level(block.le32(72)), members: block.le32(92) };
    let found = found(SignatureKind::LinuxRaid, block.uuid(16), block.text(32, 32))?;
    Some(Signature { raid: Some(raid), ..found })
}

/// `mdp_super_t`: words, and the UUID is four of them.
fn version_0_90(block: &Piece) -> Option<Signature> {
    let [a, b, c, d] = [20, 52, 56, 60].map(|at| u128::from(block.le32(at)));
    let uuid = Uuid::from_u128(a << 96 | b << 64 | c << 32 | d);
    let raid = Raid { version: "0.90", level: level(block.le32(28)), members: block.le32(40) };
    let uuid = Some(uuid).filter(|uuid| !uuid.is_nil()).map(|uuid| uuid.to_string());
    Some(Signature { raid: Some(raid), ..found(SignatureKind::LinuxRaid, uuid, None)? })
}

/// What `mdadm` calls a level.
fn level(number: u32) -> String {
    match number.cast_signed() {
        -1 => "linear".to_owned(),
        -4 => "multipath".to_owned(),
        -5 => "faulty".to_owned(),
        number => format!("raid{number}"),
    }
}
