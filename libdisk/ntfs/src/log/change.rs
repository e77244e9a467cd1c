//! What a record of a change says: what to do, or to take back, and where (rust-fs-ntfs, "LFS record and NTFS
//! client data").

use vfs::Result;
use vfs::bytes::{index, le16, le64, part, wide};

use super::opcode::Opcode;
use super::page::corrupt;
use super::record::Record;
use super::refused;

/// Bytes in front of the clusters.
const HEAD: usize = 0x20;

/// A change, in one of its two directions.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) lsn: u64,
    pub(super) opcode: Opcode,
    /// What is written.
    pub(super) data: Vec<u8>,
    /// Bytes of what was there before.
    pub(super) replaced: usize,
    pub(super) place: Place,
}

/// Where a change is.
#[derive(Debug)]
pub(super) struct Place {
    /// The number of the attribute among those that are open.
    pub(super) attribute: u16,
    /// The first cluster in the attribute.
    pub(super) vcn: u64,
    /// The clusters on the volume, from that one on.
    pub(super) lcns: Vec<u64>,
    /// Bytes from the first cluster to the block.
    pub(super) block: u64,
    /// Bytes of the block.
    pub(super) block_size: usize,
    /// Bytes from the block to the attribute of a record, and from there on.
    pub(super) offset: usize,
    pub(super) inside: usize,
}

impl Place {
    /// Bytes from the block to what is changed, where that is in no attribute of a record.
    pub(super) fn start(&self) -> usize {
        self.offset.saturating_add(self.inside)
    }
}

fn opcode(record: &Record, at: usize) -> Result<Opcode> {
    let number = le16(&record.data, at)?;
    let unknown = || refused(format!("it has the operation {number:#x}"));
    Opcode::of(number).ok_or_else(unknown)
}

impl Record {
    /// What is done.
    pub(super) fn redo(&self) -> Result<Opcode> {
        opcode(self, 0)
    }

    /// What takes it back.
    pub(super) fn undo(&self) -> Result<Opcode> {
        opcode(self, 2)
    }

    /// The number of the open attribute, and the first cluster in it.
    pub(super) fn page(&self) -> Result<(u16, u64)> {
        Ok((self.attribute()?, le64(&self.data, 24)?))
    }

    /// Whether the change is in clusters.
    pub(super) fn has_clusters(&self) -> Result<bool> {
        Ok(le16(&self.data, 14)? != 0)
    }

    /// The number of the open attribute.
    pub(super) fn attribute(&self) -> Result<u16> {
        le16(&self.data, 12)
    }

    /// The data for what is done, up to the record's end: tables are longer than their length can say.
    pub(super) fn table(&self) -> Result<&[u8]> {
        let at = usize::from(le16(&self.data, 4)?);
        self.data.get(at..).ok_or_else(|| corrupt(self.lsn, "a table is outside its record"))
    }

    fn place(&self) -> Result<Place> {
        let data = &self.data;
        let count = usize::from(le16(data, 14)?);
        let lcns = part(data, HEAD, count.saturating_mul(8))?;
        let vcn = le64(data, 24)?;
        if vcn.checked_add(wide(count)).is_none() {
            return Err(corrupt(self.lsn, format!("cluster {vcn:#x} is in no attribute")));
        }
        Ok(Place {
            attribute: le16(data, 12)?,
            vcn,
            lcns: lcns.as_chunks::<8>().0.iter().map(|lcn| u64::from_le_bytes(*lcn)).collect(),
            block: u64::from(le16(data, 20)?).saturating_mul(512),
            block_size: usize::from(le16(data, 22)?).saturating_mul(512),
            offset: usize::from(le16(data, 16)?),
            inside: usize::from(le16(data, 18)?),
        })
    }

    /// The change as it is done.
    pub(super) fn forward(&self) -> Result<Change> {
        let (opcode, at, len) = (self.redo()?, usize::from(le16(&self.data, 4)?), le16(&self.data, 6)?);
        let len = usize::from(len);
        let stored = self.data.get(at..).unwrap_or_default();
        let mut data = stored.get(..len.min(stored.len())).unwrap_or_default().to_vec();
        // The content of a small file is not in the log. Windows recovers it as zeros.
        let may = matches!(opcode, Opcode::UpdateResidentValue | Opcode::ZeroEndOfFileRecord);
        if data.len() < len && !(self.zeros && may) {
            return Err(corrupt(self.lsn, format!("{opcode:?} has {} of {len} bytes", data.len())));
        }
        data.resize(len, 0);
        Ok(Change {
            lsn: self.lsn,
            opcode,
            data,
            replaced: index(le16(&self.data, 10)?),
            place: self.place()?,
        })
    }

    /// The change as it is taken back.
    pub(super) fn backward(&self) -> Result<Change> {
        let at = usize::from(le16(&self.data, 8)?);
        let data = part(&self.data, at, usize::from(le16(&self.data, 10)?))?.to_vec();
        let replaced = index(le16(&self.data, 6)?);
        Ok(Change { lsn: self.lsn, opcode: self.undo()?, data, replaced, place: self.place()? })
    }
}
