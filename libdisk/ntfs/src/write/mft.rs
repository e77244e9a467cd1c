//! Records of the master file table: taken, freed, and added at its end.

use vfs::bytes::{index, le16, wide};
use vfs::{FsError, Result};

use super::Change;
use super::bitmap::turn;
use super::content::DATA;
use super::file::File;
use super::record::{Label, RawRecord, Value};
use crate::attribute::kind;
use crate::record::Record;
use crate::stream::Stream;
use crate::volume::{Volume, system};

/// One bit for each record.
const BITMAP: Label<'static> = Label { kind: kind::BITMAP, name: &[] };

/// The first record that is not the volume's own, or kept for it.
const FIRST: u64 = 24;

/// Bytes that the table grows by.
const GROWTH: u64 = 64 << 10;

/// Records that a table may have: more than 2^32 the format does not know.
const MOST: u64 = 1 << 32;

/// Bytes of the bitmap that are looked at at once.
const PIECE: u64 = 64 << 10;

impl Change<'_> {
    /// Sets or clears a record's bit.
    fn mark_record(&mut self, number: u64, used: bool) -> Result<()> {
        let table = self.load(system::MFT)?;
        let corrupt = |why: &str| FsError::corrupt("$MFT:$Bitmap", 0, why.to_owned());
        let stream = self.stream(&table, BITMAP)?.ok_or_else(|| corrupt("it is not there"))?;
        let (at, base) = (number.div_euclid(8), number & !7);
        let volume = &self.fs.volume;
        let mut byte = [0];
        let len = stream.read(&volume.disk, &volume.boot, &mut byte, at)?;
        if len == 0 || !turn(&mut byte, base, number..number.saturating_add(1), used) {
            return Err(corrupt(if used { "a free record is in use" } else { "a record in use is free" }));
        }
        stream.write(&self.writer, &volume.boot, &byte, at)
    }

    /// The first record that is free, if one is.
    fn find_free_record(&self) -> Result<Option<u64>> {
        let volume = &self.fs.volume;
        let table = self.load(system::MFT)?;
        let missing = || FsError::corrupt("$MFT:$Bitmap", 0, "it is not there");
        let stream = self.stream(&table, BITMAP)?.ok_or_else(missing)?;
        let records = volume.records();
        let mut at = FIRST.div_euclid(8);
        let end = records.div_ceil(8).min(stream.size());
        while at < end {
            let mut piece = vec![0; index(end.saturating_sub(at).min(PIECE))];
            stream.read(&volume.disk, &volume.boot, &mut piece, at)?;
            if let Some((place, byte)) = (at..).zip(&piece).find(|(_, byte)| **byte != 0xff) {
                let number = place.saturating_mul(8).saturating_add(u64::from(byte.trailing_ones()));
                return Ok(Some(number).filter(|number| *number < records));
            }
            at = at.saturating_add(wide(piece.len()));
        }
        Ok(None)
    }

    /// Takes a record that is free. It has no attributes, and is written with its file.
    pub(super) fn new_record(&mut self) -> Result<RawRecord> {
        let number = match self.find_free_record()? {
            Some(number) => number,
            None => self.grow_table()?,
        };
        self.mark_record(number, true)?;
        let size = index(self.fs.volume.boot.record_size);
        let mut old = self.fs.volume.bytes(number)?;
        let place = self.fs.volume.place(number);
        let (sequence, update) = match crate::fixup::take_off(&mut old, *b"FILE", "file record", place) {
            Ok(()) => {
                if Record::parse(&old, number, self.fs.volume.boot.clusters, place)?.in_use {
                    let why = format!("record {number} is in use, and marked as free");
                    return Err(FsError::corrupt("$MFT:$Bitmap", 0, why));
                }
                (le16(&old, 16)?.max(1), le16(&old, usize::from(le16(&old, 4)?))?)
            }
            // It was never used.
            Err(_) if old.iter().all(|byte| *byte == 0) => (1, 1),
            Err(error) => return Err(error),
        };
        RawRecord::new(number, size, sequence, update)
    }

    /// Takes a record out of use, and writes it so.
    pub(super) fn free_record(&mut self, mut record: RawRecord) -> Result<()> {
        record.release()?;
        self.write_record(&record)?;
        self.mark_record(record.number, false)
    }

    /// Adds a record to a file, for attributes that its other ones have no room for; its place in the file.
    pub(super) fn add_record(&mut self, file: &mut File) -> Result<usize> {
        if file.number() == system::MFT {
            return Err(FsError::unsupported("one more record for $MFT"));
        }
        let mut record = self.new_record()?;
        record.set_base(file.reference()?)?;
        file.records.push(record);
        Ok(file.records.len().saturating_sub(1))
    }

    /// Adds records to the table; the first of them.
    fn grow_table(&mut self) -> Result<u64> {
        let boot = self.fs.volume.boot;
        let record_size = u64::from(boot.record_size);
        let mut table = self.load(system::MFT)?;
        let Some(Stream::Clusters { runs, size, initialized, .. }) = self.stream(&table, DATA)? else {
            return Err(FsError::corrupt("$MFT", 0, "it is not in clusters"));
        };
        let first = size.checked_div(record_size).unwrap_or(0);
        let cluster = u64::from(boot.cluster_size);
        let wanted = size.saturating_add(GROWTH).next_multiple_of(cluster.max(record_size));
        let count = wanted.checked_div(record_size).unwrap_or(0);
        if count > MOST {
            return Err(FsError::NoSpace("records"));
        }
        // Clusters that lie side by side, if any: each run takes room in a record.
        let runs = self.resize_runs(runs, wanted)?;
        let mut sizes = self.sizes(&runs, index(wanted));
        sizes.initialized = wanted;
        if initialized != size || !self.set(&mut table, DATA, Value::Clusters(&runs, sizes))? {
            return Err(FsError::unsupported("more records in an $MFT that is in so many pieces"));
        }
        self.grow_bitmap(&mut table, count)?;
        // Its own records are where they were.
        let moved = Stream::Clusters { runs, size: wanted, initialized: wanted, unit: None };
        for number in first..count {
            let mut record = RawRecord::new(number, index(record_size), 1, 1)?;
            record.retire()?;
            crate::fixup::put_on(&mut record.bytes, *b"FILE", "file record", 0)?;
            moved.write(&self.writer, &boot, &record.bytes, number.saturating_mul(record_size))?;
        }
        self.store(table)?;
        self.fs.volume = Volume::open(self.overlay.disk())?;
        Ok(first)
    }

    /// Makes the bitmap of records long enough.
    fn grow_bitmap(&mut self, table: &mut File, records: u64) -> Result<()> {
        let bytes = records.div_ceil(64).saturating_mul(8);
        let bitmap = self.stream(table, BITMAP)?;
        let bitmap = bitmap.ok_or_else(|| FsError::corrupt("$MFT:$Bitmap", 0, "it is not there"))?;
        if bitmap.size() >= bytes {
            return Ok(());
        }
        let mut content = self.content(table, BITMAP, MOST.div_euclid(8))?.unwrap_or_default();
        content.resize(index(bytes), 0);
        self.put(table, BITMAP, &content)
    }
}
