//! Records ("Log Records"): a header of one block, more for records of over 32 KiB, and the operations.

use vfs::{FsError, Result};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BLOCK, Log, MAGIC, RECORD_MAX, next_cycle};
use crate::bytes::{index, pad, part, put, word};

/// Bytes of a record whose rounds one block of header keeps.
const PER_HEADER: u32 = 32 << 10;
/// Rounds that a block of header keeps.
const ROUNDS: usize = 64;
/// Where they are, in the first and in all other blocks of the header.
const ROUNDS_AT: usize = 44;
const MORE_ROUNDS_AT: usize = 4;
const CRC_AT: usize = 32;
/// Bytes of header that the checksum covers: the structure of 64-bit and of 32-bit kernels.
const SUMMED: [usize; 2] = [328, 324];
/// The same of the other blocks of the header.
const MORE_SUMMED: usize = 260;

/// `h_fmt` of little-endian machines.
pub(super) const LITTLE_ENDIAN: u32 = 1;
/// `h_version` of records with more than one header block.
pub(super) const VERSION_2: u32 = 2;

/// The first block as it is on disk; names are the document's without `h_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    pub(super) magicno: U32,
    pub(super) cycle: U32,
    pub(super) version: U32,
    pub(super) len: U32,
    pub(super) lsn: U64,
    pub(super) tail_lsn: U64,
    /// Little-endian.
    pub(super) crc: [u8; 4],
    pub(super) prev_block: U32,
    pub(super) num_logops: U32,
    pub(super) cycle_data: [U32; ROUNDS],
    pub(super) fmt: U32,
    pub(super) fs_uuid: [u8; 16],
    pub(super) size: U32,
    pub(super) padding: [u8; 188],
}
const _: () = assert!(size_of::<RawHeader>() == 512);

/// What a header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// Where it lies.
    pub(super) block: u32,
    pub(super) cycle: u32,
    version: u32,
    /// Bytes of operations.
    pub(super) len: u32,
    pub(super) lsn: u64,
    /// Where the log started when it was written.
    pub(super) tail_lsn: u64,
    /// How many operations there are.
    pub(super) operations: u32,
    format: u32,
    uuid: [u8; 16],
    /// The most bytes of operations that a record had when it was written.
    pub(super) size: u32,
}

impl Header {
    /// The header in this block; `None` if there is none.
    pub(super) fn read(log: &Log, block: u32) -> Result<Option<Self>> {
        let bytes = log.read(block, 1)?;
        let raw = RawHeader::ref_from_prefix(&bytes).map_err(|_| log.corrupt(block, "it is too short"))?.0;
        if raw.magicno.get() != MAGIC {
            return Ok(None);
        }
        Ok(Some(Self {
            block,
            cycle: raw.cycle.get(),
            version: raw.version.get(),
            len: raw.len.get(),
            lsn: raw.lsn.get(),
            tail_lsn: raw.tail_lsn.get(),
            operations: raw.num_logops.get(),
            format: raw.fmt.get(),
            uuid: raw.fs_uuid,
            size: raw.size.get(),
        }))
    }

    /// Blocks of the header.
    pub(super) fn header_blocks(&self) -> u32 {
        if self.version & VERSION_2 != 0 && self.size > PER_HEADER {
            self.size.div_ceil(PER_HEADER)
        } else {
            1
        }
    }

    /// Blocks of the whole record.
    pub(super) fn blocks(&self) -> u32 {
        self.header_blocks().saturating_add(self.len.div_ceil(BLOCK))
    }

    /// Whether it can be a record at all.
    pub(super) fn is_possible(&self) -> bool {
        let most = self.size.max(PER_HEADER);
        matches!(self.version, 1 | VERSION_2) && most <= RECORD_MAX && (1..=most).contains(&self.len)
    }

    /// Refuses records of another file system, or of a machine of another kind.
    pub(super) fn check_origin(&self, log: &Log) -> Result<()> {
        if self.format != LITTLE_ENDIAN {
            let what = format!("an XFS log in the byte order of another machine (format {})", self.format);
            return Err(FsError::unsupported(what));
        }
        // Very old logs have none.
        if self.uuid != log.sb.uuid() && self.uuid != [0; 16] {
            return Err(log.corrupt(self.block, "the record belongs to another file system"));
        }
        Ok(())
    }

    /// Reads all of the record.
    pub(super) fn load(&self, log: &Log) -> Result<Record> {
        if !self.is_possible() {
            return Err(log.corrupt(self.block, "the header of a record makes no sense"));
        }
        let mut header = log.read(self.block, self.blocks())?;
        let body = header.split_off(index(self.header_blocks()).saturating_mul(index(BLOCK)));
        Ok(Record { header, body, len: index(self.len) })
    }
}

/// A record in memory.
pub(super) struct Record {
    header: Vec<u8>,
    body: Vec<u8>,
    len: usize,
}

impl Record {
    /// Whether it was written as a whole; `None` if its writer did not say so with a checksum.
    pub(super) fn is_whole(&self) -> Result<Option<bool>> {
        let stored = part(&self.header, CRC_AT, 4)?;
        if stored == [0; 4] {
            return Ok(None);
        }
        for len in SUMMED {
            if self.sum(len)?.to_le_bytes() == stored {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    /// CRC-32C of the headers, its own field taken as zero, and of the operations.
    fn sum(&self, header_len: usize) -> Result<u32> {
        let mut first = part(&self.header, 0, header_len)?.to_vec();
        put(&mut first, CRC_AT, &[0; 4])?;
        let mut sum = crc32c::crc32c(&first);
        let headers = self.len.div_ceil(index(PER_HEADER));
        for header in self.header.chunks_exact(index(BLOCK)).take(headers).skip(1) {
            sum = crc32c::crc32c_append(sum, part(header, 0, MORE_SUMMED)?);
        }
        Ok(crc32c::crc32c_append(sum, part(&self.body, 0, self.len)?))
    }

    /// The operations, with their first words back in their places.
    pub(super) fn operations(mut self) -> Result<Vec<u8>> {
        let mut headers = self.header.chunks_exact(index(BLOCK));
        let mut rounds_at = ROUNDS_AT;
        for blocks in self.body.chunks_mut(ROUNDS.saturating_mul(index(BLOCK))) {
            let header = headers.next().unwrap_or_default();
            for (slot, block) in blocks.chunks_mut(index(BLOCK)).enumerate() {
                let at = rounds_at.saturating_add(slot.saturating_mul(4));
                put(block, 0, part(header, at, 4)?)?;
            }
            rounds_at = MORE_ROUNDS_AT;
        }
        self.body.truncate(self.len);
        Ok(self.body)
    }

    /// A record with these operations, as it is written to the log, where the round ends after `left` blocks.
    pub(super) fn new(mut header: RawHeader, operations: &[u8], left: u32) -> Result<Self> {
        header.len.set(word(operations.len()));
        let cycle = header.cycle.get();
        let mut body = operations.to_vec();
        body.resize(pad(operations.len(), index(BLOCK)), 0);
        let headers = header.size.get().div_ceil(PER_HEADER).max(1);
        let mut record = Self { header: header.as_bytes().to_vec(), body, len: operations.len() };
        record.header.resize(index(headers).saturating_mul(index(BLOCK)), 0);
        let mut rounds_at = ROUNDS_AT;
        let bodies = record.body.chunks(ROUNDS.saturating_mul(index(BLOCK)));
        for (blocks, header) in bodies.zip(record.header.chunks_mut(index(BLOCK))) {
            for (slot, block) in blocks.chunks(index(BLOCK)).enumerate() {
                put(header, rounds_at.saturating_add(slot.saturating_mul(4)), part(block, 0, 4)?)?;
            }
            rounds_at = MORE_ROUNDS_AT;
        }
        let blocks = record.header.chunks_mut(index(BLOCK)).chain(record.body.chunks_mut(index(BLOCK)));
        for (block, number) in blocks.zip(0..).skip(1) {
            put(block, 0, &if number < left { cycle } else { next_cycle(cycle) }.to_be_bytes())?;
        }
        let [len, _] = SUMMED;
        let sum = record.sum(len)?;
        put(&mut record.header, CRC_AT, &sum.to_le_bytes())?;
        Ok(record)
    }

    /// All its blocks.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.header.append(&mut self.body);
        self.header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn the_first_words_come_back_from_all_headers() {
        let operations: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(7) >> 3) as u8).collect();
        let mut header = RawHeader::new_zeroed();
        header.cycle = U32::new(9);
        header.size = U32::new(RECORD_MAX);
        // The round ends in the middle of it.
        let bytes = Record::new(header, &operations, 100).unwrap().into_bytes();
        let (header, body) = bytes.split_at(8 * 512);
        assert_eq!(super::super::cycle(&body[91 * 512..]).unwrap(), 9);
        assert_eq!(super::super::cycle(&body[92 * 512..]).unwrap(), 10);
        let record = || Record { header: header.to_vec(), body: body.to_vec(), len: operations.len() };
        assert_eq!(record().is_whole().unwrap(), Some(true));
        assert_eq!(record().operations().unwrap(), operations);
        let mut torn = record();
        torn.body[300 * 512] ^= 1;
        assert_eq!(torn.is_whole().unwrap(), Some(false));
    }
}
