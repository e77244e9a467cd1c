//! The log of an image, as bytes.

use std::ops::Range;

use block::Disk;

/// Basic blocks, of which the log consists.
pub(crate) const BLOCK: usize = 512;
const MAGIC: &[u8] = &[0xfe, 0xed, 0xba, 0xbe];
/// Bytes of a record's header that its checksum covers, and where it is.
const SUMMED: usize = 328;
const CRC_AT: usize = 32;
/// `h_cycle_data`: the first words of the record's blocks, in whose places the number of the round is.
const WORDS_AT: usize = 44;
/// How many of them one block of header has.
const WORDS: usize = 64;

pub(crate) fn be32(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Where the log lies, in bytes.
fn log(disk: &Disk) -> Range<usize> {
    let superblock = disk.read_vec(0, BLOCK).unwrap();
    let (block_log, group_log) = (superblock[120], superblock[124]);
    let start = u64::from_be_bytes(superblock[48..56].try_into().unwrap());
    let group = (start >> group_log) as usize;
    let within = (start & ((1 << group_log) - 1)) as usize;
    let start = (group * be32(&superblock, 84) + within) << block_log;
    start..start + (be32(&superblock, 96) << block_log)
}

/// Where the records lie, the oldest first, as long as none of them goes round the end.
pub(crate) fn records(disk: &Disk) -> Vec<Range<usize>> {
    let log = log(disk);
    let mut records = Vec::new();
    let mut at = log.start;
    while at < log.end {
        let header = disk.read_vec(at as u64, BLOCK).unwrap();
        if !header.starts_with(MAGIC) {
            at += BLOCK;
            continue;
        }
        let headers = be32(&header, 320).div_ceil(32 << 10).max(1);
        let end = at + headers * BLOCK + be32(&header, 12).next_multiple_of(BLOCK);
        if end <= log.end {
            records.push(at..end);
        }
        at = end;
    }
    records
}

/// A record with one block of header as it was before its blocks got the number of the round.
pub(crate) fn unpacked(record: &[u8]) -> Vec<u8> {
    let mut plain = record.to_vec();
    for (number, block) in plain.chunks_mut(BLOCK).skip(1).take(WORDS).enumerate() {
        let at = WORDS_AT + 4 * number;
        block[..4].copy_from_slice(&record[at..at + 4]);
    }
    plain
}

/// Writes the right checksum into a record with one block of header.
pub(crate) fn seal(record: &mut [u8]) {
    let len = be32(record, 12);
    if record.len() < BLOCK + len {
        return;
    }
    record[CRC_AT..CRC_AT + 4].fill(0);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&record[..SUMMED]), &record[BLOCK..BLOCK + len]);
    record[CRC_AT..CRC_AT + 4].copy_from_slice(&sum.to_le_bytes());
}
