//! Records of the master file table, and where they are (linux-ntfs documentation, "FILE record").

use vfs::bytes::{index, le16, le32, le64};
use vfs::{FsError, Result};

use crate::attribute::{self, Attribute};
use crate::fixup;

/// The record is in use.
pub(crate) const IN_USE: u16 = 1;
/// It is a directory.
pub(crate) const DIRECTORY: u16 = 2;

/// A reference: the number of a record, and how often the record was used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    pub(crate) record: u64,
    pub(crate) sequence: u16,
}

impl Reference {
    pub(crate) fn of(number: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        Self { record: u64::from_le_bytes([a, b, c, d, e, f, 0, 0]), sequence: u16::from_le_bytes([g, h]) }
    }

    /// As it is on the volume.
    pub(crate) fn number(self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.record.to_le_bytes();
        let [g, h] = self.sequence.to_le_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// A record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) sequence: u16,
    pub(crate) links: u16,
    pub(crate) in_use: bool,
    pub(crate) directory: bool,
    /// The record that this one is a part of.
    pub(crate) base: Option<Reference>,
    pub(crate) attributes: Vec<Attribute>,
}

impl Record {
    /// The record in some bytes as they are on the volume.
    pub(crate) fn read(mut bytes: Vec<u8>, number: u64, clusters: u64, place: u64) -> Result<Self> {
        fixup::take_off(&mut bytes, *b"FILE", "file record", place)?;
        Self::parse(&bytes, number, clusters, place)
    }

    /// The record in some bytes whose update sequence was taken off.
    pub(crate) fn parse(bytes: &[u8], number: u64, clusters: u64, place: u64) -> Result<Self> {
        let flags = le16(bytes, 22)?;
        let (first, used) = (usize::from(le16(bytes, 20)?), index(le32(bytes, 24)?));
        if used > bytes.len() || first > used || !first.is_multiple_of(8) {
            let why = format!("it says that {used} bytes of it are used, from {first} on");
            return Err(FsError::corrupt("file record", place, why));
        }
        let base = le64(bytes, 32)?;
        let in_use = flags & IN_USE != 0;
        let attributes =
            if in_use { attribute::all(bytes, first..used, clusters, place)? } else { Vec::new() };
        Ok(Self {
            number,
            sequence: le16(bytes, 16)?,
            links: le16(bytes, 18)?,
            in_use,
            directory: flags & DIRECTORY != 0,
            base: (base != 0).then(|| Reference::of(base)),
            attributes,
        })
    }
}
