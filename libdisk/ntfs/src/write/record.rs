//! Records as they are changed: attributes are put in, taken out, and replaced.

use std::cmp::Ordering;

use vfs::bytes::{byte, index, le16, le32, le64, part, put, put_le16, put_le32, wide};
use vfs::{FsError, Result};

use crate::attribute::{kind, units};
use crate::index::node::padded;
use crate::record::{DIRECTORY, IN_USE, Reference};
use crate::runs::{self, Run};
use crate::upcase::Capitals;

/// Bytes of an attribute in front of what it holds, in the record and in clusters.
const RESIDENT: usize = 24;
const CLUSTERS: usize = 64;

/// A record, its update sequence taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawRecord {
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Where an attribute is in its record, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u32,
    pub(crate) name: Vec<u16>,
    pub(crate) id: u16,
    /// The first cluster of this part.
    pub(crate) first: u64,
    pub(crate) resident: bool,
    pub(crate) flags: u16,
    /// It is in an index.
    pub(crate) indexed: bool,
    pub(crate) at: usize,
    pub(crate) len: usize,
}

impl Header {
    /// The order of attributes in a record, and in a list.
    pub(crate) fn order(&self, other: &Self, capitals: &Capitals) -> Ordering {
        let names = || capitals.full_order(&self.name, &other.name);
        self.kind.cmp(&other.kind).then_with(names).then_with(|| self.first.cmp(&other.first))
    }
}

/// Sizes of a stream in clusters, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sizes {
    pub(crate) allocated: u64,
    pub(crate) size: u64,
    pub(crate) initialized: u64,
}

/// What an attribute holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'v> {
    Resident(&'v [u8]),
    /// A part has sizes if it is the first one.
    Clusters(&'v [Run], Sizes),
}

/// What an attribute is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'l> {
    pub(crate) kind: u32,
    pub(crate) name: &'l [u16],
}

/// An attribute as bytes, still without its number.
pub(crate) fn encode(label: Label<'_>, value: Value<'_>) -> Result<Vec<u8>> {
    let long = |_| FsError::Invalid("an attribute is too long".into());
    let name: Vec<u8> = label.name.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let head = match value {
        Value::Resident(_) => RESIDENT,
        Value::Clusters(..) => CLUSTERS,
    };
    let behind = padded(head.saturating_add(name.len()));
    let content = match value {
        Value::Resident(content) => content.to_vec(),
        Value::Clusters(runs, _) => runs::encode(runs)?,
    };
    let len = padded(behind.saturating_add(content.len()));
    let mut bytes = vec![0; len];
    put_le32(&mut bytes, 0, label.kind)?;
    put_le32(&mut bytes, 4, u32::try_from(len).map_err(long)?)?;
    put(&mut bytes, 9, &[u8::try_from(label.name.len()).map_err(long)?])?;
    put_le16(&mut bytes, 10, u16::try_from(head).map_err(long)?)?;
    put(&mut bytes, head, &name)?;
    put(&mut bytes, behind, &content)?;
    let behind = u16::try_from(behind).map_err(long)?;
    match value {
        Value::Resident(content) => {
            put_le32(&mut bytes, 16, u32::try_from(content.len()).map_err(long)?)?;
            put_le16(&mut bytes, 20, behind)?;
            // A name of a file is in the index of its directory.
            put(&mut bytes, 22, &[u8::from(label.kind == kind::FILE_NAME)])?;
        }
        Value::Clusters(runs, sizes) => {
            put(&mut bytes, 8, &[1])?;
            let first = runs.first().map_or(0, |run| run.vcn);
            // The last cluster of an empty stream is -1.
            let last = runs.last().map_or(first, Run::end).wrapping_sub(1);
            put_le16(&mut bytes, 32, behind)?;
            for (at, number) in
                [(16, first), (24, last), (40, sizes.allocated), (48, sizes.size), (56, sizes.initialized)]
            {
                put(&mut bytes, at, &number.to_le_bytes())?;
            }
        }
    }
    Ok(bytes)
}

impl RawRecord {
    /// A record in use that has no attributes yet, in the place of one that was not.
    pub(crate) fn new(number: u64, size: usize, sequence: u16, update: u16) -> Result<Self> {
        let mut bytes = vec![0; size];
        let numbers = size.div_euclid(512).saturating_add(1);
        let first = padded(numbers.saturating_mul(2).saturating_add(48));
        put(&mut bytes, 0, b"FILE")?;
        put_le16(&mut bytes, 4, 48)?;
        put_le16(&mut bytes, 6, u16::try_from(numbers).unwrap_or(0))?;
        put_le16(&mut bytes, 16, sequence)?;
        put_le16(&mut bytes, 20, u16::try_from(first).unwrap_or(0))?;
        put_le16(&mut bytes, 22, IN_USE)?;
        put_le32(&mut bytes, 24, u32::try_from(first.saturating_add(8)).unwrap_or(0))?;
        put_le32(&mut bytes, 28, u32::try_from(size).unwrap_or(0))?;
        put_le32(&mut bytes, 44, vfs::bytes::low32(number))?;
        put_le16(&mut bytes, 48, update)?;
        put_le32(&mut bytes, first, kind::END)?;
        Ok(Self { number, bytes })
    }

    pub(crate) fn reference(&self) -> Result<Reference> {
        Ok(Reference { record: self.number, sequence: le16(&self.bytes, 16)? })
    }

    /// Makes it a part of another record.
    pub(crate) fn set_base(&mut self, base: Reference) -> Result<()> {
        put(&mut self.bytes, 32, &base.number().to_le_bytes())
    }

    pub(crate) fn flags(&self) -> Result<u16> {
        le16(&self.bytes, 22)
    }

    pub(crate) fn is_directory(&self) -> Result<bool> {
        Ok(self.flags()? & DIRECTORY != 0)
    }

    pub(crate) fn set_directory(&mut self) -> Result<()> {
        let flags = self.flags()? | DIRECTORY;
        put_le16(&mut self.bytes, 22, flags)
    }

    pub(crate) fn links(&self) -> Result<u16> {
        le16(&self.bytes, 18)
    }

    pub(crate) fn set_links(&mut self, links: u16) -> Result<()> {
        put_le16(&mut self.bytes, 18, links)
    }

    /// Takes the record out of use; its next use has the next number, which is never 0.
    pub(crate) fn release(&mut self) -> Result<()> {
        let sequence = match le16(&self.bytes, 16)?.wrapping_add(1) {
            0 => 1,
            n => n,
        };
        put_le16(&mut self.bytes, 16, sequence)?;
        let flags = self.flags()? & !IN_USE;
        put_le16(&mut self.bytes, 22, flags)
    }

    /// A record that was never used.
    pub(crate) fn retire(&mut self) -> Result<()> {
        put_le16(&mut self.bytes, 22, 0)
    }

    fn used(&self) -> Result<usize> {
        Ok(index(le32(&self.bytes, 24)?))
    }

    /// Bytes for more attributes.
    pub(crate) fn room(&self) -> Result<usize> {
        Ok(self.bytes.len().saturating_sub(self.used()?))
    }

    /// All attributes. The record was parsed before, so that they fit it.
    pub(crate) fn headers(&self) -> Result<Vec<Header>> {
        let mut headers = Vec::new();
        let mut at = usize::from(le16(&self.bytes, 20)?);
        loop {
            let kind = le32(&self.bytes, at)?;
            if kind == kind::END {
                return Ok(headers);
            }
            let len = index(le32(&self.bytes, at.saturating_add(4))?);
            let bytes = part(&self.bytes, at, len)?;
            if len < RESIDENT {
                return Err(FsError::corrupt("attribute", wide(at), "its length is none"));
            }
            let resident = byte(bytes, 8)? == 0;
            let name_len = usize::from(byte(bytes, 9)?).saturating_mul(2);
            headers.push(Header {
                kind,
                name: units(part(bytes, usize::from(le16(bytes, 10)?), name_len)?),
                id: le16(bytes, 14)?,
                first: if resident { 0 } else { le64(bytes, 16)? },
                resident,
                flags: le16(bytes, 12)?,
                indexed: resident && byte(bytes, 22)? != 0,
                at,
                len,
            });
            at = at.saturating_add(len);
        }
    }

    /// The content of an attribute that is in the record.
    pub(crate) fn value(&self, header: &Header) -> Result<&[u8]> {
        let bytes = part(&self.bytes, header.at, header.len)?;
        part(bytes, usize::from(le16(bytes, 20)?), index(le32(bytes, 16)?))
    }

    /// Changes some of the content of an attribute that is in the record.
    pub(crate) fn patch(&mut self, header: &Header, at: usize, bytes: &[u8]) -> Result<()> {
        let attribute = vfs::bytes::part_mut(&mut self.bytes, header.at, header.len)?;
        let (len, content) = (index(le32(attribute, 16)?), usize::from(le16(attribute, 20)?));
        put(vfs::bytes::part_mut(attribute, content, len)?, at, bytes)
    }

    /// Puts bytes in the place of `len` at `at`; whether there is room for them.
    fn splice(&mut self, at: usize, len: usize, new: &[u8]) -> Result<bool> {
        let used = self.used()?;
        let after = used.saturating_sub(len).saturating_add(new.len());
        if after > self.bytes.len() {
            return Ok(false);
        }
        let end = at.saturating_add(len);
        let behind = part(&self.bytes, end, used.saturating_sub(end))?.to_vec();
        put(&mut self.bytes, at, new)?;
        put(&mut self.bytes, at.saturating_add(new.len()), &behind)?;
        // What was used, and is not any more.
        if let Some(rest) = self.bytes.get_mut(after..used.max(after)) {
            rest.fill(0);
        }
        put_le32(&mut self.bytes, 24, u32::try_from(after).unwrap_or(0))?;
        Ok(true)
    }

    /// Puts an attribute in the place of another one, whose number it gets; whether there is room.
    pub(crate) fn replace(&mut self, header: &Header, mut attribute: Vec<u8>) -> Result<bool> {
        put_le16(&mut attribute, 14, header.id)?;
        self.splice(header.at, header.len, &attribute)
    }

    /// Takes an attribute out.
    pub(crate) fn remove(&mut self, header: &Header) -> Result<()> {
        self.splice(header.at, header.len, &[]).map(drop)
    }

    /// Puts an attribute in, at its place in the order and with the next number; whether there is room.
    pub(crate) fn insert(&mut self, mut attribute: Vec<u8>, capitals: &Capitals) -> Result<bool> {
        if attribute.len() > self.room()? {
            return Ok(false);
        }
        let headers = self.headers()?;
        let wanted = Self { number: 0, bytes: [&[0; 24], &*attribute].concat() }.lone_header()?;
        let next = headers.iter().find(|header| header.order(&wanted, capitals) == Ordering::Greater);
        let end = || headers.last().map(|last| last.at.saturating_add(last.len));
        let first = usize::from(le16(&self.bytes, 20)?);
        let at = next.map(|next| next.at).or_else(end).unwrap_or(first);
        let id = le16(&self.bytes, 40)?;
        // The numbers begin anew after 65,536 changes: one that nobody has.
        let taken = |id: u16| headers.iter().any(|header| header.id == id);
        let id = (id..).chain(0..id).find(|id| !taken(*id)).unwrap_or(id);
        put_le16(&mut attribute, 14, id)?;
        put_le16(&mut self.bytes, 40, id.wrapping_add(1))?;
        self.splice(at, 0, &attribute)
    }

    /// The header of an attribute that stands alone, behind 24 bytes.
    fn lone_header(&self) -> Result<Header> {
        let mut record = self.clone();
        put_le16(&mut record.bytes, 20, 24)?;
        record.bytes.extend(kind::END.to_le_bytes());
        record.headers()?.pop().ok_or_else(|| FsError::corrupt("attribute", 0, "it is none"))
    }
}
