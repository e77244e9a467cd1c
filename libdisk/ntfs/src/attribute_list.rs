//! Lists of attributes: where the attributes are of a file that has more than one record (linux-ntfs
//! documentation, "$ATTRIBUTE_LIST").

use vfs::bytes::{byte, le16, le32, le64, part, put, put_le16, put_le32};
use vfs::{FsError, Result};

use crate::attribute::units;
use crate::index::node::padded;
use crate::record::Reference;

/// A list has no more bytes.
pub(crate) const LARGEST: u64 = 256 << 10;

/// Bytes of an entry in front of its name.
const HEAD: usize = 26;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) kind: u32,
    pub(crate) name: Vec<u16>,
    /// The first cluster of this part.
    pub(crate) first: u64,
    pub(crate) record: Reference,
    pub(crate) id: u16,
}

/// The entries of a list; `place` is where its file is.
pub(crate) fn decode(mut rest: &[u8], place: u64) -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    while rest.len() >= HEAD {
        let len = usize::from(le16(rest, 4)?);
        if len < HEAD || len > rest.len() {
            let why = format!("an entry has {len} bytes");
            return Err(FsError::corrupt("list of attributes", place, why));
        }
        let entry = part(rest, 0, len)?;
        let name_len = usize::from(byte(entry, 6)?).saturating_mul(2);
        let name = part(entry, usize::from(byte(entry, 7)?), name_len)?;
        listed.push(Listed {
            kind: le32(entry, 0)?,
            name: units(name),
            first: le64(entry, 8)?,
            record: Reference::of(le64(entry, 16)?),
            id: le16(entry, 24)?,
        });
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(listed)
}

/// A list of these entries.
pub(crate) fn encode(list: &[Listed]) -> Result<Vec<u8>> {
    let long = |_| FsError::Invalid("an entry of a list of attributes is too long".into());
    let mut bytes = Vec::new();
    for listed in list {
        let name: Vec<u8> = listed.name.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let mut entry = vec![0; padded(HEAD.saturating_add(name.len()))];
        put_le32(&mut entry, 0, listed.kind)?;
        let len = u16::try_from(entry.len()).map_err(long)?;
        put_le16(&mut entry, 4, len)?;
        put(&mut entry, 6, &[u8::try_from(listed.name.len()).map_err(long)?, 26])?;
        put(&mut entry, 8, &listed.first.to_le_bytes())?;
        put(&mut entry, 16, &listed.record.number().to_le_bytes())?;
        put_le16(&mut entry, 24, listed.id)?;
        put(&mut entry, HEAD, &name)?;
        bytes.extend(entry);
    }
    Ok(bytes)
}
