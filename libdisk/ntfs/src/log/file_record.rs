//! Changes of a record of the master file table, as the log tells them (rust-fs-ntfs, "Opcodes and current
//! dispatch").

use vfs::bytes::{
    byte, index, le16, le32, le64, low32, part, part_mut, put, put_le16, put_le32, put_le64, wide,
};
use vfs::{FsError, Result};

use super::change::Change;
use super::opcode::Opcode;
use crate::runs;

/// The record is in use.
const IN_USE: u16 = 1;
/// An index has the attribute as well.
const INDEXED: u8 = 1;
/// Bytes of the head of an attribute whose content is in clusters, with a size of what is stored.
const SPARSE_HEAD: u16 = 0x48;

/// A record, with the attribute that is changed.
struct Target<'r> {
    record: &'r mut [u8],
    at: usize,
}

fn corrupt(why: impl Into<String>) -> FsError {
    FsError::corrupt("file record", 0, why.into())
}

/// Puts bytes into what is used of a block, and moves what is behind.
pub(super) fn insert(block: &mut [u8], at: usize, used: usize, bytes: &[u8]) -> Result<()> {
    let end = used.checked_add(bytes.len()).filter(|end| *end <= block.len() && at <= used);
    let end = end.ok_or_else(|| corrupt(format!("{} bytes more do not fit", bytes.len())))?;
    let moved = part_mut(block, at, end.saturating_sub(at))?;
    moved.rotate_right(bytes.len());
    put(block, at, bytes)
}

/// Takes bytes out of what is used of a block; what is free at its end stays as it was.
pub(super) fn remove(block: &mut [u8], at: usize, len: usize, used: usize) -> Result<()> {
    let end = at.checked_add(len).filter(|end| *end <= used);
    let end = end.ok_or_else(|| corrupt(format!("{len} bytes less are more than there are")))?;
    let kept = part(block, end, used.saturating_sub(end))?.to_vec();
    put(block, at, &kept)
}

/// A length in bytes as it is stored.
pub(super) fn stored(len: usize) -> u32 {
    low32(wide(len))
}

impl Target<'_> {
    /// The place of a byte of the attribute.
    fn place(&self, offset: usize) -> Result<usize> {
        self.at.checked_add(offset).ok_or_else(|| corrupt("an attribute lies nowhere"))
    }

    fn le16(&self, offset: usize) -> Result<u16> {
        le16(self.record, self.place(offset)?)
    }

    fn le32(&self, offset: usize) -> Result<u32> {
        le32(self.record, self.place(offset)?)
    }

    fn put_le32(&mut self, offset: usize, number: u32) -> Result<()> {
        put_le32(self.record, self.place(offset)?, number)
    }

    fn put_le64(&mut self, offset: usize, number: u64) -> Result<()> {
        put_le64(self.record, self.place(offset)?, number)
    }

    /// Bytes of the record that are used.
    fn used(&self) -> Result<usize> {
        let used = index(le32(self.record, 0x18)?);
        if used > self.record.len() { Err(corrupt(format!("{used} bytes of it are used"))) } else { Ok(used) }
    }

    fn set_used(&mut self, used: usize) -> Result<()> {
        put_le32(self.record, 0x18, stored(used))
    }

    /// Puts bytes into the record.
    fn insert(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let used = self.used()?;
        insert(self.record, at, used, bytes)?;
        self.set_used(used.saturating_add(bytes.len()))
    }

    /// Takes bytes out of the record, and clears as many at its end.
    fn remove(&mut self, at: usize, len: usize) -> Result<()> {
        let used = self.used()?;
        remove(self.record, at, len, used)?;
        let left = used.saturating_sub(len);
        part_mut(self.record, left, len)?.fill(0);
        self.set_used(left)
    }

    /// Makes the attribute longer or shorter, so that it ends where a byte of it does.
    fn resize(&mut self, end: usize) -> Result<()> {
        let wanted = end.div_ceil(8).saturating_mul(8);
        let len = index(self.le32(4)?);
        if wanted > len {
            let more = wanted.saturating_sub(len);
            if more > self.record.len() {
                return Err(corrupt(format!("an attribute of {wanted} bytes does not fit")));
            }
            self.insert(self.place(len)?, &vec![0; more])?;
        } else {
            self.remove(self.place(wanted)?, len.saturating_sub(wanted))?;
        }
        self.put_le32(4, stored(wanted))
    }

    /// Replaces bytes of a value that is in the record.
    fn update_value(&mut self, offset: usize, data: &[u8], replaced: usize) -> Result<()> {
        let (start, len) = (usize::from(self.le16(0x14)?), index(self.le32(0x10)?));
        let (old, new) = (start.saturating_add(len), offset.saturating_add(data.len()));
        if offset < start {
            return Err(corrupt("the change begins in front of the value"));
        }
        let other = data.len() != replaced;
        if other && offset.saturating_add(replaced) != old {
            return Err(corrupt(format!("{} bytes for {replaced} in the midst of a value", data.len())));
        }
        if other || new > old {
            self.resize(new)?;
            self.put_le32(0x10, stored(new.saturating_sub(start)))?;
        }
        put(self.record, self.place(offset)?, data)
    }

    /// Replaces the end of an attribute's runs.
    fn update_runs(&mut self, offset: usize, data: &[u8]) -> Result<()> {
        let start = usize::from(self.le16(0x20)?);
        if offset < start {
            return Err(corrupt("the change begins in front of the runs"));
        }
        self.resize(offset.saturating_add(data.len()))?;
        put(self.record, self.place(offset)?, data)?;
        let end = self.place(index(self.le32(4)?))?;
        let coded = self.record.get(self.place(start)?..end).unwrap_or_default();
        let first = le64(self.record, self.place(0x10)?)?;
        let runs = runs::decode(coded, first, u64::MAX, 0)?;
        let last = runs.last().map_or(first, runs::Run::end).wrapping_sub(1);
        self.put_le64(0x18, last)
    }

    /// Whether the attribute is one that an index has as well: a name of the file.
    fn is_name(&self) -> Result<bool> {
        Ok(byte(self.record, self.place(8)?)? == 0 && byte(self.record, self.place(0x16)?)? & INDEXED != 0)
    }

    /// Counts the names of the file anew. There is no operation for the count itself.
    fn count_link(&mut self, change: impl Fn(u16) -> Option<u16>) -> Result<()> {
        let links =
            change(le16(self.record, 0x12)?).ok_or_else(|| corrupt("it has no such number of names"))?;
        put_le16(self.record, 0x12, links)
    }

    fn set_sizes(&mut self, data: &[u8]) -> Result<()> {
        let total = data.len() > 24;
        if total && self.le16(0x20)? < SPARSE_HEAD {
            return Err(corrupt("the attribute has no room for a size of what is stored"));
        }
        for (from, to) in [(0, 0x28), (8, 0x38), (16, 0x30)] {
            self.put_le64(to, le64(data, from)?)?;
        }
        if total { self.put_le64(0x40, le64(data, 24)?) } else { Ok(()) }
    }

    /// Adds to the lengths of an index in the record, or takes away from them.
    fn grow_index(&mut self, change: impl Fn(u32) -> Option<u32>) -> Result<()> {
        let header = usize::from(self.le16(0x14)?).saturating_add(0x10);
        for offset in [4, 0x10, header.saturating_add(4), header.saturating_add(8)] {
            let new = change(self.le32(offset)?).ok_or_else(|| corrupt("an index has no such length"))?;
            self.put_le32(offset, new)?;
        }
        Ok(())
    }
}

/// Does a change in a record without its update sequence.
pub(super) fn apply(record: &mut [u8], change: &Change) -> Result<()> {
    let (data, offset) = (&*change.data, change.place.inside);
    let mut target = Target { record, at: change.place.offset };
    let entry = target.place(offset)?;
    let of_entry = |record: &[u8], at: usize| le16(record, entry.saturating_add(at)).map(usize::from);
    match change.opcode {
        Opcode::InitializeFileRecordSegment => put(target.record, 0, data),
        Opcode::DeallocateFileRecordSegment => {
            let flags = le16(target.record, 0x16)?;
            put_le16(target.record, 0x16, flags & !IN_USE)?;
            // References to the file of before do not match any more. 0 matches all.
            let sequence = le16(target.record, 0x10)?.checked_add(1).unwrap_or(1);
            put_le16(target.record, 0x10, sequence)
        }
        Opcode::CreateAttribute => {
            target.insert(target.at, data)?;
            if target.is_name()? {
                target.count_link(|links| links.checked_add(1))?;
            }
            let instance = target.le16(0x0e)?;
            if instance >= le16(target.record, 0x28)? {
                put_le16(target.record, 0x28, instance.wrapping_add(1))?;
            }
            Ok(())
        }
        Opcode::DeleteAttribute => {
            if target.is_name()? {
                target.count_link(|links| links.checked_sub(1))?;
            }
            target.remove(target.at, index(target.le32(4)?))
        }
        Opcode::UpdateResidentValue => target.update_value(offset, data, change.replaced),
        Opcode::UpdateMappingPairs => target.update_runs(offset, data),
        Opcode::SetNewAttributeSizes => target.set_sizes(data),
        Opcode::AddIndexEntryRoot => {
            target.insert(entry, data)?;
            target.grow_index(|len| len.checked_add(stored(data.len())))
        }
        Opcode::DeleteIndexEntryRoot => {
            let len = of_entry(target.record, 8)?;
            target.remove(entry, len)?;
            target.grow_index(|old| old.checked_sub(stored(len)))
        }
        Opcode::SetIndexEntryVcnRoot => set_child(target.record, entry, data),
        Opcode::UpdateFileNameRoot => put(target.record, entry.saturating_add(0x18), data),
        Opcode::UpdateRecordDataRoot => {
            let (at, len) = (of_entry(target.record, 0)?, of_entry(target.record, 2)?);
            if data.len() > len {
                return Err(corrupt(format!("{} bytes for the {len} of an entry", data.len())));
            }
            put(target.record, entry.saturating_add(at), data)
        }
        Opcode::ZeroEndOfFileRecord => put(target.record, entry, data),
        other => Err(corrupt(format!("{other:?} is not for it"))),
    }
}

/// Sets the node below an entry of an index: the last eight bytes of it.
pub(super) fn set_child(block: &mut [u8], entry: usize, data: &[u8]) -> Result<()> {
    let len = usize::from(le16(block, entry.saturating_add(8))?);
    if len < 0x18 || data.len() != 8 {
        return Err(corrupt(format!("a node of {} bytes below an entry of {len}", data.len())));
    }
    put(block, entry.saturating_add(len).saturating_sub(8), data)
}

#[cfg(test)]
mod tests {
    use super::super::change::Place;
    use super::*;

    /// A record with one name and with one value in it.
    fn record() -> Vec<u8> {
        let mut record = vec![0; 1024];
        record[..4].copy_from_slice(b"FILE");
        (record[0x12], record[0x14], record[0x18], record[0x28]) = (1, 0x38, 0x98, 3);
        record[0x38..0x70].copy_from_slice(&attribute(0x30, 1, b"name"));
        record[0x58] = b'n';
        record[0x70..0x90].copy_from_slice(&attribute(0x80, 0, b"value")[..0x20]);
        record[0x74] = 0x20;
        record[0x90..0x94].fill(0xff);
        record
    }

    /// An attribute of 56 bytes, in its record.
    fn attribute(kind: u8, indexed: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 0x38];
        (bytes[0], bytes[4], bytes[0x10], bytes[0x14], bytes[0x16]) =
            (kind, 0x38, value.len() as u8, 0x18, indexed);
        bytes[0x0e] = 7;
        bytes[0x18..0x18 + value.len()].copy_from_slice(value);
        bytes
    }

    fn change(opcode: Opcode, place: (usize, usize), data: &[u8], replaced: usize) -> Change {
        let (offset, inside) = place;
        let place =
            Place { attribute: 0x18, vcn: 0, lcns: vec![4], block: 0, block_size: 1024, offset, inside };
        Change { lsn: 9, opcode, data: data.to_vec(), replaced, place }
    }

    #[test]
    fn a_name_that_comes_or_goes_is_counted() {
        let before = record();
        let mut record = before.clone();
        let second = attribute(0x30, 1, b"other");
        apply(&mut record, &change(Opcode::CreateAttribute, (0x70, 0), &second, 0)).unwrap();
        assert_eq!((record[0x12], record[0x18], record[0x28]), (2, 0x98 + 0x38, 8));
        assert_eq!((&record[0x70..0xa8], &record[0xa8..0xb0]), (&second[..], &before[0x70..0x78]));
        apply(&mut record, &change(Opcode::DeleteAttribute, (0x70, 0), &[], 0)).unwrap();
        assert_eq!((record[0x12], &record[0x38..]), (1, &before[0x38..]));
        // A value is no name.
        let value = attribute(0x80, 0, b"");
        apply(&mut record, &change(Opcode::CreateAttribute, (0x90, 0), &value, 0)).unwrap();
        assert_eq!(record[0x12], 1);
        record[0x12] = 0;
        assert!(apply(&mut record, &change(Opcode::DeleteAttribute, (0x38, 0), &[], 0)).is_err());
    }

    #[test]
    fn a_value_ends_where_what_replaces_its_end_does() {
        let with = |data: &[u8], at: usize, replaced: usize| {
            let mut record = record();
            let done =
                apply(&mut record, &change(Opcode::UpdateResidentValue, (0x70, 0x18 + at), data, replaced));
            done.map(|()| {
                let len = usize::from(record[0x80]);
                (record[0x88..0x88 + len].to_vec(), record[0x74], record[0x18])
            })
        };
        assert_eq!(with(b"alu", 1, 3).unwrap(), (b"value".to_vec(), 0x20, 0x98));
        assert_eq!(with(b"ley", 3, 2).unwrap(), (b"valley".to_vec(), 0x20, 0x98));
        assert_eq!(with(b"lues, all of them", 2, 3).unwrap(), (b"values, all of them".to_vec(), 0x30, 0xa8));
        assert_eq!(with(b"", 2, 3).unwrap(), (b"va".to_vec(), 0x20, 0x98));
        // In the midst of a value, or in front of it.
        assert!(with(b"long", 1, 1).is_err());
        assert!(apply(&mut record(), &change(Opcode::UpdateResidentValue, (0x70, 4), b"x", 1)).is_err());
    }
}
