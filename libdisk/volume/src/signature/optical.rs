//! File systems of optical discs, which disks have, too.
//!
//! References: ECMA-119 (ISO 9660), ECMA-167 and the *OSTA Universal Disk Format Specification* 2.60.

use block::Result;

use super::head::{Piece, Volume};
use super::{Signature, SignatureKind, found};

/// Where the descriptors of the volume begin, and how long each is.
const DESCRIPTORS: u64 = 32 << 10;
const DESCRIPTOR: u64 = 2048;
/// No disc has more.
const MAX_DESCRIPTORS: u64 = 64;

pub(super) fn iso9660(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let (mut primary, mut joliet) = (None, None);
    for number in 0..MAX_DESCRIPTORS {
        let place = DESCRIPTORS.saturating_add(number.saturating_mul(DESCRIPTOR));
        let descriptor = volume.piece(place, DESCRIPTOR)?;
        if !descriptor.is(1, b"CD001") {
            break;
        }
        match descriptor.u8(0) {
            1 if primary.is_none() => primary = Some(descriptor),
            // The escape sequences of UCS-2: the supplementary descriptor is one of Joliet.
            2 if [b"%/@", b"%/C", b"%/E"].iter().any(|escape| descriptor.is(88, *escape)) => {
                joliet = descriptor.utf16(40, 32, u16::from_be_bytes);
            }
            255 => break,
            _ => {}
        }
    }
    let Some(primary) = primary else { return Ok(None) };
    let label = primary.text(40, 32);
    // The label of Joliet has small letters, but is cut off after 16 characters.
    let label = match (label, joliet) {
        (Some(label), Some(joliet)) if label.starts_with(&joliet) => Some(label),
        (label, joliet) => joliet.or(label),
    };
    let date = iso_date(&primary, 830).or_else(|| iso_date(&primary, 813));
    Ok(found(SignatureKind::Iso9660, date, label))
}

/// A date of 16 digits, as `blkid` writes it: "2026-11-29-01-43-54-00".
fn iso_date(descriptor: &Piece, at: usize) -> Option<String> {
    let digits = str::from_utf8(descriptor.slice(at, 16)).ok()?;
    let is_set = digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.bytes().any(|byte| byte != b'0');
    if digits.len() != 16 || !is_set {
        return None;
    }
    let (year, rest) = digits.split_at_checked(4)?;
    let pairs: Vec<_> =
        rest.as_bytes().as_chunks::<2>().0.iter().flat_map(|pair| str::from_utf8(pair)).collect();
    Some(format!("{year}-{}", pairs.join("-")))
}

pub(super) fn udf(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let mut marks = (0..MAX_DESCRIPTORS).map(|number| {
        let place = DESCRIPTORS.saturating_add(number.saturating_mul(DESCRIPTOR));
        volume.piece(place, 16)
    });
    let is_udf = loop {
        match marks.next().transpose()? {
            Some(mark) if mark.is(1, b"NSR02") || mark.is(1, b"NSR03") => break true,
            Some(mark) if [&b"BEA01"[..], b"BOOT2", b"CD001", b"CDW02"].iter().any(|id| mark.is(1, id)) => {}
            _ => break false,
        }
    };
    if !is_udf {
        return Ok(None);
    }
    for sector in [512, 2048, 4096, 1024] {
        let anchor = volume.piece(256_u64.saturating_mul(sector), 512)?;
        if anchor.le16(0) == 2 && anchor.le32(12) == 256 {
            let (label, uuid) = udf_names(volume, &anchor, sector)?;
            return Ok(found(SignatureKind::Udf, uuid, label));
        }
    }
    Ok(found(SignatureKind::Udf, None, None))
}

/// Label and identifier, from the descriptors that the anchor names.
fn udf_names(volume: &Volume<'_>, anchor: &Piece, sector: u64) -> Result<(Option<String>, Option<String>)> {
    let (mut label, mut of_primary, mut uuid) = (None, None, None);
    let count = u64::from(anchor.le32(16)).checked_div(sector).unwrap_or(0).min(MAX_DESCRIPTORS);
    for number in 0..count {
        let place = u64::from(anchor.le32(20)).saturating_add(number).saturating_mul(sector);
        let descriptor = volume.piece(place, 512)?;
        match descriptor.le16(0) {
            1 => {
                of_primary = dstring(&descriptor, 24, 32);
                uuid = dstring(&descriptor, 72, 128).and_then(|set| udf_identifier(&set));
            }
            6 => label = dstring(&descriptor, 84, 128),
            8 => break,
            _ => {}
        }
    }
    Ok((label.or(of_primary), uuid))
}

/// Text whose first byte is the number of bits of a character, and whose last byte is its length.
fn dstring(descriptor: &Piece, at: usize, field: usize) -> Option<String> {
    let last = at.checked_add(field)?.checked_sub(1)?;
    let len = usize::from(descriptor.u8(last)).min(field.checked_sub(1)?).checked_sub(1)?;
    let start = at.checked_add(1)?;
    match descriptor.u8(at) {
        8 | 254 => {
            let text: String = descriptor.slice(start, len).iter().map(|byte| char::from(*byte)).collect();
            Some(text.split('\0').next()?.trim_end().to_owned()).filter(|text| !text.is_empty())
        }
        16 | 255 => descriptor.utf16(start, len, u16::from_be_bytes),
        _ => None,
    }
}

/// The first 16 characters of the identifier of the volume set, which are digits of a number unless somebody
/// chose a text: then they are what its bytes are in digits.
fn udf_identifier(set: &str) -> Option<String> {
    let bytes = set.as_bytes();
    let is_hex = |len: usize| bytes.get(..len).is_some_and(|part| part.iter().all(u8::is_ascii_hexdigit));
    let digits = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = |part: &[u8]| String::from_utf8_lossy(part).to_ascii_lowercase();
    if is_hex(16) {
        return bytes.get(..16).map(text);
    }
    if is_hex(8) {
        return Some(text(bytes.get(..8)?) + &digits(bytes.get(8..12)?));
    }
    bytes.get(..8).map(digits)
}
