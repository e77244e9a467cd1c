//! Attributes: what a record of the master file table is made of (linux-ntfs documentation, "Attribute
//! header").

use std::ops::Range;

use vfs::bytes::{byte, index, le16, le32, le64, part};
use vfs::{FsError, Result};

use crate::runs::{self, Run};

/// What an attribute is.
pub(crate) mod kind {
    pub(crate) const STANDARD_INFORMATION: u32 = 0x10;
    pub(crate) const ATTRIBUTE_LIST: u32 = 0x20;
    pub(crate) const FILE_NAME: u32 = 0x30;
    pub(crate) const OBJECT_ID: u32 = 0x40;
    pub(crate) const SECURITY_DESCRIPTOR: u32 = 0x50;
    pub(crate) const VOLUME_NAME: u32 = 0x60;
    pub(crate) const VOLUME_INFORMATION: u32 = 0x70;
    pub(crate) const DATA: u32 = 0x80;
    pub(crate) const INDEX_ROOT: u32 = 0x90;
    pub(crate) const INDEX_ALLOCATION: u32 = 0xa0;
    pub(crate) const BITMAP: u32 = 0xb0;
    pub(crate) const REPARSE_POINT: u32 = 0xc0;
    /// Behind the last one.
    pub(crate) const END: u32 = 0xffff_ffff;
}

/// The stream is compressed.
pub(crate) const COMPRESSED: u16 = 0x00ff;
/// It is encrypted.
pub(crate) const ENCRYPTED: u16 = 0x4000;
/// It has holes.
pub(crate) const SPARSE: u16 = 0x8000;

/// An attribute, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) kind: u32,
    /// In UTF-16.
    pub(crate) name: Vec<u16>,
    pub(crate) flags: u16,
    pub(crate) id: u16,
    pub(crate) body: Body,
}

/// Where its content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// In the record.
    Resident(Vec<u8>),
    /// In clusters.
    Clusters {
        /// Of a part that is not the first one, sizes are 0.
        size: u64,
        initialized: u64,
        /// Clusters of a unit that is compressed, as a power of two; 0 for none.
        unit: u8,
        /// The first cluster of this part.
        first: u64,
        runs: Vec<Run>,
    },
}

/// A text in UTF-16.
pub(crate) fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
}

/// The attributes in the used part of a record, on a volume of so many clusters.
pub(crate) fn all(record: &[u8], used: Range<usize>, clusters: u64, place: u64) -> Result<Vec<Attribute>> {
    let corrupt = |at: usize, why: &str| {
        let offset = place.saturating_add(vfs::bytes::wide(at));
        FsError::corrupt("attribute", offset, why.to_owned())
    };
    let mut found = Vec::new();
    let mut at = used.start;
    while at < used.end {
        let kind = le32(record, at)?;
        if kind == kind::END {
            return Ok(found);
        }
        let len = index(le32(record, at.saturating_add(4))?);
        let fits = at.checked_add(len).is_some_and(|end| end <= used.end);
        if len < 24 || !len.is_multiple_of(8) || !fits {
            return Err(corrupt(at, "its length is none"));
        }
        let bytes = part(record, at, len)?;
        found.push(one(bytes, kind, clusters, place)?);
        at = at.saturating_add(len);
    }
    Err(corrupt(at, "no end of the attributes is there"))
}

fn one(bytes: &[u8], kind: u32, clusters: u64, place: u64) -> Result<Attribute> {
    let name_len = usize::from(byte(bytes, 9)?);
    let name = units(part(bytes, usize::from(le16(bytes, 10)?), name_len.saturating_mul(2))?);
    let body = if byte(bytes, 8)? == 0 {
        let len = index(le32(bytes, 16)?);
        Body::Resident(part(bytes, usize::from(le16(bytes, 20)?), len)?.to_vec())
    } else {
        let first = le64(bytes, 16)?;
        let runs = usize::from(le16(bytes, 32)?);
        let coded =
            bytes.get(runs..).ok_or_else(|| FsError::corrupt("attribute", place, "its runs are outside"))?;
        let runs = runs::decode(coded, first, clusters, place)?;
        let last = le64(bytes, 24)?;
        // An empty stream ends before its first cluster.
        if last.wrapping_add(1) != runs.last().map_or(first, Run::end) {
            let why = format!("its last cluster is {last}, and its runs end elsewhere");
            return Err(FsError::corrupt("attribute", place, why));
        }
        let sized = first == 0;
        let at = |at| if sized { le64(bytes, at) } else { Ok(0) };
        Body::Clusters { size: at(48)?, initialized: at(56)?, unit: byte(bytes, 34)?, first, runs }
    };
    Ok(Attribute { kind, name, flags: le16(bytes, 12)?, id: le16(bytes, 14)?, body })
}
