//! Members of RAIDs that a firmware makes. Their metadata are in the last sectors of the disk.
//!
//! References: "Common RAID Disk Data Format Specification" of the SNIA, version 2.0; for the others, which
//! have no public document, `dmraid`.

use block::Result;

use super::head::{Piece, Volume};
use super::{Signature, SignatureKind, found};

/// Of each format: which sector from the end, the place in it, the magic number.
const MAGICS: [(SignatureKind, u64, usize, &[u8]); 9] = [
    (SignatureKind::IntelRaid, 2, 0, b"Intel Raid ISM Cfg Sig. "),
    (SignatureKind::NvidiaRaid, 2, 0, b"NVIDIA"),
    (SignatureKind::LsiRaid, 1, 0, b"$XIDE$"),
    (SignatureKind::AdaptecRaid, 1, 0, &[0x37, 0xfc, 0x4d, 0x1e]),
    (SignatureKind::PromiseRaid, 63, 0, b"Promise Technology, Inc."),
    (SignatureKind::PromiseRaid, 255, 0, b"Promise Technology, Inc."),
    (SignatureKind::PromiseRaid, 256, 0, b"Promise Technology, Inc."),
    (SignatureKind::Highpoint45Raid, 11, 0, &[0xf3, 0x16, 0x78, 0x5a]),
    (SignatureKind::Highpoint45Raid, 11, 0, &[0xfd, 0x16, 0x78, 0x5a]),
];

/// The anchor of DDF: "DE 11 DE 11", and the place of its GUID.
const DDF: ([u8; 4], usize) = ([0xde, 0x11, 0xde, 0x11], 8);

pub(super) fn probe(volume: &Volume<'_>) -> Result<Option<Signature>> {
    for (kind, sector, at, magic) in MAGICS {
        if volume.sector_from_end(sector)?.is(at, magic) {
            return Ok(found(kind, None, None));
        }
    }
    for sector in [1, 257] {
        let anchor = volume.sector_from_end(sector)?;
        if anchor.is(0, &DDF.0) {
            return Ok(found(SignatureKind::DdfRaid, anchor.text(DDF.1, 24), None));
        }
    }
    let last = volume.sector_from_end(1)?;
    if is_via(&last) {
        return Ok(found(SignatureKind::ViaRaid, None, None));
    }
    if is_silicon(&last) {
        return Ok(found(SignatureKind::SiliconRaid, None, None));
    }
    if is_jmicron(&last) {
        return Ok(found(SignatureKind::JmicronRaid, None, None));
    }
    // That of HighPoint 37x is in sector 9.
    let magics = [[0xf0, 0x16, 0x78, 0x5a], [0xfd, 0x16, 0x78, 0x5a]];
    let is_37x = magics.iter().any(|magic| volume.head.is(9 * 512 + 32, magic));
    Ok(if is_37x { found(SignatureKind::Highpoint37Raid, None, None) } else { None })
}

/// The sum of little-endian 16-bit words.
fn words(sector: &Piece, len: usize) -> u16 {
    let (words, _) = sector.slice(0, len).as_chunks();
    words.iter().fold(0, |sum: u16, word| sum.wrapping_add(u16::from_le_bytes(*word)))
}

/// Two bytes are no magic number, so the sums of these three formats have to be right as well.
fn is_via(sector: &Piece) -> bool {
    let sum = sector.slice(0, 50).iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    sector.is(0, &[0x55, 0xaa]) && sector.u8(2) <= 1 && sector.u8(50) == sum
}

fn is_silicon(sector: &Piece) -> bool {
    sector.is(0x60, &[0, 0, 0, 0x2f]) && words(sector, 320) == 0
}

fn is_jmicron(sector: &Piece) -> bool {
    sector.is(0, b"JM") && matches!(words(sector, 128), 0 | 1)
}
