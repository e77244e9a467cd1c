//! The log: changes of the metadata that may not have reached their places.
//!
//! It is a ring of entries. Which of them count, says the header by a GUID, and the newest entry by where
//! its oldest companion is (2.3). What is replayed goes into an overlay: the file stays as it is.

use std::ops::Range;

use block::{Concat, Disk, Overlay, Result};
use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::header::Header;
use super::{corrupt, ondisk};

/// An entry whose checksum is right.
#[derive(Debug, Clone)]
struct Entry {
    /// Where in the log it starts.
    start: u64,
    /// Its length in bytes.
    len: u64,
    raw: ondisk::LogEntryHeader,
}

/// Entries that follow each other and belong together.
type Sequence = Vec<Entry>;

/// The log of a file.
struct Log<'a> {
    file: &'a Disk,
    place: Range<u64>,
    guid: Uuid,
}

/// The file as it is when its log is replayed, and how many entries that took; itself if the log is empty.
///
/// # Errors
/// `Corrupt` if the log holds no entries that can be replayed, or the file is shorter than they say.
pub(super) fn replay(file: Disk, header: &Header) -> Result<(Disk, usize)> {
    if header.log_guid.is_nil() {
        return Ok((file, 0));
    }
    let place = header.log.clone();
    if place.end > file.size() || place.is_empty() {
        return Err(corrupt("the log lies past the end of the file").at(place.start));
    }
    let log = Log { file: &file, place, guid: header.log_guid };
    let unreplayable = "the log is not empty, and holds no whole sequence of entries to replay";
    let sequence = log.active()?.ok_or_else(|| corrupt(unreplayable).at(log.place.start))?;

    let flushed = sequence.iter().map(|entry| entry.raw.flushed_file_offset.get()).max().unwrap_or(0);
    if flushed > file.size() {
        let what = format!("the file was cut off: its log says that it has {flushed} bytes at least");
        return Err(corrupt(what).at(file.size()));
    }
    let last = sequence.iter().map(|entry| entry.raw.last_file_offset.get()).max().unwrap_or(0);
    let overlay = Overlay::new(Concat::padded(file.clone(), last.max(file.size()))?)?;
    for entry in &sequence {
        log.apply(entry, &overlay)?;
    }
    Ok((overlay.seal()?.disk(), sequence.len()))
}

impl Log<'_> {
    fn len(&self) -> u64 {
        self.place.end.saturating_sub(self.place.start)
    }

    /// The 4 KiB at `offset` of the ring, which may be past its end once.
    fn sector(&self, offset: u64) -> Result<[u8; 4096]> {
        let within = offset.checked_rem(self.len()).unwrap_or(0);
        let mut sector = [0; 4096];
        self.file.read_at(&mut sector, self.place.start.saturating_add(within))?;
        Ok(sector)
    }

    /// The valid sequence whose newest entry is the newest of all (2.3.2), from its oldest entry on.
    fn active(&self) -> Result<Option<Sequence>> {
        let mut found: Option<Sequence> = None;
        let newest = |sequence: &Sequence| sequence.last().map(|entry| entry.raw.sequence_number.get());
        let mut tail = 0;
        while tail < self.len() {
            let sequence = self.sequence(tail)?;
            let Some(head) = sequence.last() else {
                tail = tail.saturating_add(ondisk::LOG_SECTOR);
                continue;
            };
            // Entries of a sequence that goes on at the start of the ring are not looked at twice from there
            // on: the walk ends at the end of the ring.
            tail = sequence.iter().map(|entry| entry.len).fold(tail, u64::saturating_add);
            let oldest = u64::from(head.raw.tail.get());
            let first = sequence.iter().position(|entry| entry.start == oldest);
            if let Some(first) = first
                && found.as_ref().and_then(newest) < newest(&sequence)
            {
                found = Some(sequence.into_iter().skip(first).collect());
            }
        }
        Ok(found)
    }

    /// The entries from `start` on, each with the sequence number after that of the one before.
    fn sequence(&self, start: u64) -> Result<Sequence> {
        let mut sequence = Sequence::new();
        let mut len = 0_u64;
        while let Some(entry) = self.entry(start.saturating_add(len), self.len().saturating_sub(len))? {
            let before = sequence.last().map(|before: &Entry| before.raw.sequence_number.get());
            let follows =
                before.is_none_or(|before| before.checked_add(1) == Some(entry.raw.sequence_number.get()));
            if !follows {
                break;
            }
            len = len.saturating_add(entry.len);
            sequence.push(entry);
        }
        Ok(sequence)
    }

    /// The entry at `offset` of the ring, if it is whole and no longer than `room`.
    fn entry(&self, offset: u64, room: u64) -> Result<Option<Entry>> {
        if room < ondisk::LOG_SECTOR {
            return Ok(None);
        }
        let mut sector = self.sector(offset)?;
        let Ok((raw, _)) = ondisk::LogEntryHeader::read_from_prefix(&sector) else { return Ok(None) };
        let len = u64::from(raw.entry_length.get());
        let counts = raw.signature == ondisk::LOG_SIGNATURE
            && Uuid::from_bytes_le(raw.log_guid) == self.guid
            && raw.sequence_number.get() != 0
            && (ondisk::LOG_SECTOR..=room).contains(&len)
            && len.is_multiple_of(ondisk::LOG_SECTOR);
        if !counts {
            return Ok(None);
        }
        // Sector by sector: every one has marks of its own, so that a false length is seen soon.
        let described = descriptor_sectors(&raw);
        let mut sum = 0;
        let mut at = 0;
        while at < len {
            if at > 0 {
                sector = self.sector(offset.saturating_add(at))?;
            } else if let Some(field) = sector.get_mut(4..8) {
                field.fill(0);
            }
            let data = ondisk::DataSector::ref_from_bytes(&sector).ok().filter(|_| at >= described);
            if data.is_some_and(|data| !belongs(data, &raw)) {
                return Ok(None);
            }
            sum = crc32c::crc32c_append(sum, &sector);
            at = at.saturating_add(ondisk::LOG_SECTOR);
        }
        let start = offset.checked_rem(self.len()).unwrap_or(0);
        Ok((sum == raw.checksum.get()).then_some(Entry { start, len, raw }))
    }

    /// Makes the changes of `entry`.
    fn apply(&self, entry: &Entry, overlay: &Overlay) -> Result<()> {
        let wrong = |what: &'static str| corrupt(what).at(self.place.start.saturating_add(entry.start));
        let mut data = descriptor_sectors(&entry.raw);
        let writer = overlay.writer();
        let outside =
            |error: block::Error| wrong("a log entry is about a place outside the file").because(error);
        for number in 0..u64::from(entry.raw.descriptor_count.get()) {
            let at = number.saturating_mul(32).saturating_add(64);
            if at >= entry.len {
                return Err(wrong("a log entry is too short for its descriptors"));
            }
            let sector = self.sector(entry.start.saturating_add(at & !4095))?;
            let within = usize::try_from(at & 4095).unwrap_or(0);
            let raw = sector.get(within..).and_then(|rest| ondisk::Descriptor::read_from_prefix(rest).ok());
            let (raw, _) = raw.ok_or_else(|| wrong("a descriptor is cut off"))?;
            let place = raw.file_offset.get();
            if raw.sequence_number != entry.raw.sequence_number || !place.is_multiple_of(ondisk::LOG_SECTOR) {
                return Err(wrong("a descriptor of a log entry is not of that entry"));
            }
            match raw.signature {
                ondisk::ZEROS => {
                    let end = place.saturating_add(u64::from_le_bytes(raw.leading_bytes));
                    writer.zero_range(place..end).map_err(outside)?;
                }
                ondisk::DATA => {
                    let sector = self.sector(entry.start.saturating_add(data))?;
                    let found = ondisk::DataSector::ref_from_bytes(&sector);
                    let whole = found.ok().filter(|found| data < entry.len && belongs(found, &entry.raw));
                    let Some(found) = whole else { return Err(wrong("a log entry lacks a sector of data")) };
                    let bytes = [raw.leading_bytes.as_bytes(), &found.data, &raw.trailing_bytes].concat();
                    writer.write_at(&bytes, place).map_err(outside)?;
                    data = data.saturating_add(ondisk::LOG_SECTOR);
                }
                _ => return Err(wrong("a descriptor of a log entry is of no known kind")),
            }
        }
        Ok(())
    }
}

/// Where in an entry its descriptors end and the sectors of data begin, in bytes.
fn descriptor_sectors(raw: &ondisk::LogEntryHeader) -> u64 {
    let descriptors = u64::from(raw.descriptor_count.get()).saturating_mul(32);
    descriptors.saturating_add(64).next_multiple_of(ondisk::LOG_SECTOR)
}

/// Whether a sector of data is of this entry.
fn belongs(data: &ondisk::DataSector, entry: &ondisk::LogEntryHeader) -> bool {
    let number = entry.sequence_number.get().to_le_bytes();
    let told = [data.sequence_low.as_bytes(), data.sequence_high.as_bytes()].concat();
    data.signature == ondisk::SECTOR_SIGNATURE && told == number
}
