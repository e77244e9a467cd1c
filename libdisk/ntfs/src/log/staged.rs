//! What a replay has changed: blocks as the log sees them, without their update sequences, in memory for a
//! while, and in the overlay.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use block::{Disk, DiskMut, Overlay};
use vfs::bytes::{index, le32, le64, part, put_le64, wide};
use vfs::{FsError, Result};

use super::change::Change;
use super::opcode::{Opcode, Target};
use super::page::corrupt;
use super::refused;
use super::tables::OpenAttribute;
use super::{file_record, index_block};
use crate::attribute::kind;
use crate::fixup;
use crate::stream::Stream;
use crate::volume::{Volume, system};

/// Bytes of blocks that are kept in memory.
const KEPT: usize = 8 << 20;
/// Bytes of a page, in which all of a change of a bitmap lies.
const PAGE: u64 = 4096;
/// Bytes that are written at once.
const PIECE: usize = 1 << 20;

/// Whether a change is done or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Done, if its block is older.
    Redo,
    /// Taken back, in a log that ends with a record.
    Undo { end: u64 },
}

/// What a cluster is used for in a log, and the first cluster of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    FileRecord(u64),
    IndexBlock(u64),
    Content,
}

/// A record of the master file table, or a node of an index.
#[derive(Debug)]
struct Block {
    magic: [u8; 4],
    bytes: Vec<u8>,
    /// It is one, and not what was there before it.
    valid: bool,
    changed: bool,
}

/// The changes of a replay.
#[derive(Debug)]
pub(super) struct Staged<'v> {
    volume: &'v Volume,
    disk: Disk,
    writer: DiskMut,
    /// Where the log is.
    log: Vec<Range<u64>>,
    /// By their places on the volume.
    blocks: BTreeMap<u64, Block>,
    kept: usize,
    uses: HashMap<u64, Use>,
    /// Records of the master file table, and where the log has them.
    records: BTreeMap<u64, u64>,
}

impl<'v> Staged<'v> {
    pub(super) fn new(volume: &'v Volume, log: &Stream, overlay: &Overlay) -> Result<Self> {
        Ok(Self {
            volume,
            disk: overlay.disk(),
            writer: overlay.writer(),
            log: log.ranges(&volume.boot)?,
            blocks: BTreeMap::new(),
            kept: 0,
            uses: HashMap::new(),
            records: BTreeMap::new(),
        })
    }

    /// Does a change, or takes it back.
    pub(super) fn apply(
        &mut self,
        change: &Change,
        open: &OpenAttribute,
        direction: Direction,
    ) -> Result<()> {
        let in_table = open.kind == kind::DATA && open.file.record == system::MFT;
        let in_index = open.kind == kind::INDEX_ALLOCATION;
        match (change.opcode.target(), change.opcode) {
            (Target::FileRecord, _) if in_table => self.block(change, Some(*b"FILE"), direction),
            (Target::IndexBlock, _) | (_, Opcode::UpdateNonresidentValue) if in_index => {
                self.block(change, None, direction)
            }
            (Target::Content, Opcode::UpdateNonresidentValue) if !in_table => self.content(change),
            (Target::Content, _) if !in_table && !in_index => self.bits(change),
            (_, opcode) => {
                let why =
                    format!("{opcode:?} is in attribute {:#x} of record {}", open.kind, open.file.record);
                Err(corrupt(change.lsn, why))
            }
        }
    }

    /// The clusters of a part of a page, for a use.
    fn claim(&mut self, change: &Change, range: Range<u64>, used: impl Fn(u64) -> Use) -> Result<Vec<u64>> {
        let cluster = u64::from(self.volume.boot.cluster_size);
        let outside = || corrupt(change.lsn, "the change is outside its clusters");
        let first = index(range.start.checked_div(cluster).ok_or_else(outside)?);
        let end = index(range.end.div_ceil(cluster));
        let lcns = change.place.lcns.get(first..end).filter(|lcns| !lcns.is_empty()).ok_or_else(outside)?;
        let base = lcns.first().copied().unwrap_or(0);
        for lcn in lcns {
            if *lcn == 0 || *lcn >= self.volume.boot.clusters {
                return Err(corrupt(change.lsn, format!("cluster {lcn:#x} is not on the volume")));
            }
            let place = lcn.saturating_mul(cluster);
            let place = place..place.saturating_add(cluster);
            if self.log.iter().any(|log| log.start < place.end && place.start < log.end) {
                return Err(corrupt(change.lsn, format!("the change is in the log itself, at {place:#x?}")));
            }
            let used = used(base);
            if *self.uses.entry(*lcn).or_insert(used) != used {
                let why = format!("cluster {lcn:#x} has two uses");
                return Err(refused(why));
            }
        }
        Ok(lcns.to_vec())
    }

    /// Changes a record of the master file table, or a node of an index.
    fn block(&mut self, change: &Change, file: Option<[u8; 4]>, direction: Direction) -> Result<()> {
        let (lsn, place) = (change.lsn, &change.place);
        let size = place.block_size;
        let fits = match file {
            Some(_) => size == index(self.volume.boot.record_size),
            None => (512..=65536).contains(&size) && size.is_power_of_two(),
        };
        if !fits {
            return Err(corrupt(lsn, format!("a block has {size} bytes")));
        }
        let cluster = u64::from(self.volume.boot.cluster_size);
        let used = |base| if file.is_some() { Use::FileRecord(base) } else { Use::IndexBlock(base) };
        let lcns = self.claim(change, place.block..place.block.saturating_add(wide(size)), used)?;
        let first = lcns.first().copied().unwrap_or(0);
        if !lcns.iter().copied().eq((first..).take(lcns.len())) {
            let why = format!("a block is in the clusters {lcns:x?}");
            return Err(refused(why));
        }
        let inside = place.block.checked_rem(cluster).unwrap_or(0);
        if !inside.is_multiple_of(wide(size).min(cluster)) {
            return Err(corrupt(lsn, format!("a block begins at byte {inside:#x} of a cluster")));
        }
        let at = first.saturating_mul(cluster).saturating_add(inside);
        if file.is_some() {
            self.note_record(change, at)?;
        }
        let magic = file.unwrap_or(*b"INDX");
        let block = self.load(at, magic, size)?;
        let whole = match file {
            Some(_) => change.opcode == Opcode::InitializeFileRecordSegment,
            None => change.opcode == Opcode::UpdateNonresidentValue && place.start() == 0,
        };
        if !block.valid {
            if !whole || part(&change.data, 0, 4).ok() != Some(&magic[..]) {
                let why = format!("{:?} is for what is no whole block, at byte {at:#x}", change.opcode);
                return Err(corrupt(lsn, why));
            }
            block.bytes.fill(0);
        } else if direction == Direction::Redo && le64(&block.bytes, 8)? >= lsn {
            return Ok(());
        }
        let done = match file {
            Some(_) => file_record::apply(&mut block.bytes, change),
            None => index_block::apply(&mut block.bytes, change),
        };
        done.map_err(|error| corrupt(lsn, format!("{:?} at byte {at:#x}: {error}", change.opcode)))?;
        // What an entry of an index says of its file Windows changes without a new number in the block.
        if !change.opcode.keeps_number() {
            let number = match direction {
                Direction::Redo => lsn,
                // No record has it, and all that the log has are older.
                Direction::Undo { end } => end.saturating_add(1),
            };
            put_le64(&mut block.bytes, 8, number)?;
        }
        (block.valid, block.changed) = (true, true);
        Ok(())
    }

    /// Takes note of where the log has a record of the master file table.
    fn note_record(&mut self, change: &Change, at: u64) -> Result<()> {
        let lost = || corrupt(change.lsn, "a record of the master file table lies nowhere");
        let boot = &self.volume.boot;
        let offset = change.place.vcn.checked_mul(boot.cluster_size.into()).ok_or_else(lost)?;
        let offset = offset.checked_add(change.place.block).ok_or_else(lost)?;
        let number = offset.checked_div(boot.record_size.into()).ok_or_else(lost)?;
        if *self.records.entry(number).or_insert(at) != at {
            return Err(corrupt(change.lsn, format!("record {number} is in two places")));
        }
        Ok(())
    }

    /// The block at a place.
    fn load(&mut self, at: u64, magic: [u8; 4], size: usize) -> Result<&mut Block> {
        if self.kept >= KEPT && !self.blocks.contains_key(&at) {
            self.flush()?;
        }
        match self.blocks.entry(at) {
            Entry::Occupied(entry) if entry.get().bytes.len() == size => Ok(entry.into_mut()),
            Entry::Occupied(_) => {
                let why = format!("the block at byte {at:#x} has two sizes");
                Err(refused(why))
            }
            Entry::Vacant(entry) => {
                let mut bytes = self.disk.read_vec(at, size)?;
                let valid = fixup::take_off(&mut bytes, magic, "block", at).is_ok();
                self.kept = self.kept.saturating_add(size);
                Ok(entry.insert(Block { magic, bytes, valid, changed: false }))
            }
        }
    }

    /// Writes what is in memory.
    fn flush(&mut self) -> Result<()> {
        self.kept = 0;
        for (at, mut block) in std::mem::take(&mut self.blocks) {
            if block.changed {
                fixup::put_on(&mut block.bytes, block.magic, "block", at)?;
                self.writer.write_at(&block.bytes, at)?;
            }
        }
        Ok(())
    }

    /// Calls for the pieces of a part of a page on the volume: the place of each, and which of the bytes it has.
    fn pieces(
        &mut self,
        change: &Change,
        range: Range<u64>,
        mut each: impl FnMut(&Self, u64, Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let lcns = self.claim(change, range.clone(), |_| Use::Content)?;
        let cluster = u64::from(self.volume.boot.cluster_size);
        let mut at = range.start;
        for lcn in lcns {
            let inside = at.checked_rem(cluster).unwrap_or(0);
            let len = cluster.saturating_sub(inside).min(range.end.saturating_sub(at));
            let done = index(at.saturating_sub(range.start));
            let place = lcn.saturating_mul(cluster).saturating_add(inside);
            each(self, place, done..done.saturating_add(index(len)))?;
            at = at.saturating_add(len);
        }
        Ok(())
    }

    /// Changes the content of a stream.
    fn content(&mut self, change: &Change) -> Result<()> {
        let start = change.place.block.saturating_add(wide(change.place.start()));
        let range = start..start.saturating_add(wide(change.data.len()));
        if range.is_empty() {
            return Ok(());
        }
        self.pieces(change, range, |staged, place, piece| {
            Ok(staged.writer.write_at(change.data.get(piece).unwrap_or_default(), place)?)
        })
    }

    /// Changes bits of a bitmap.
    fn bits(&mut self, change: &Change) -> Result<()> {
        let set = change.opcode == Opcode::SetBitsInNonresidentBitMap;
        let (first, count) = (le32(&change.data, 0)?, le32(&change.data, 4)?);
        if count == 0 {
            return Ok(());
        }
        let (first, end) = (u64::from(first), u64::from(first).saturating_add(count.into()));
        if u64::from(count) > PAGE.saturating_mul(8) || change.place.start() != 0 {
            return Err(corrupt(change.lsn, format!("{count} bits are changed in one page")));
        }
        let base = change.place.block;
        let range = base.saturating_add(first / 8)..base.saturating_add(end.div_ceil(8));
        self.pieces(change, range, |staged, place, piece| {
            let mut bytes = staged.disk.read_vec(place, piece.len())?;
            for (byte, number) in bytes.iter_mut().zip(wide(piece.start).saturating_add(first / 8)..) {
                for bit in 0..8_u32 {
                    let at = number.saturating_mul(8).saturating_add(bit.into());
                    if (first..end).contains(&at) {
                        let mask = 1_u8.checked_shl(bit).unwrap_or(0);
                        *byte = if set { *byte | mask } else { *byte & !mask };
                    }
                }
            }
            Ok(staged.writer.write_at(&bytes, place)?)
        })
    }

    /// Ends the replay: looks whether the log was this volume's, brings the mirror of the first records up to
    /// date, and resets the log.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        let volume = Volume::open(self.disk.clone())?;
        for (number, at) in &self.records {
            let place = volume.place(*number);
            if place != *at {
                let why = format!("it has record {number} at byte {at:#x}, and the volume at {place:#x}");
                return Err(FsError::corrupt(
                    "$LogFile",
                    0,
                    format!("it is the log of another volume: {why}"),
                ));
            }
        }
        self.mirror(&volume)?;
        let log = super::stream(&volume)?.map(|log| log.ranges(&volume.boot)).transpose()?;
        if log.as_ref() != Some(&self.log) {
            return Err(FsError::corrupt("$LogFile", 0, "it says that it is elsewhere"));
        }
        let empty = vec![0xff; PIECE];
        for range in &self.log {
            let mut at = range.start;
            while at < range.end {
                let left = index(range.end.saturating_sub(at)).min(PIECE);
                self.writer.write_at(empty.get(..left).unwrap_or_default(), at)?;
                at = at.saturating_add(wide(left));
            }
        }
        Ok(())
    }

    /// Copies the first records of the master file table to their mirror.
    fn mirror(&self, volume: &Volume) -> Result<()> {
        let missing = || FsError::corrupt("$MFTMirr", 0, "it has no content");
        let mirror =
            volume.stream(&*volume.file(system::MFT_MIRROR)?, kind::DATA, &[])?.ok_or_else(missing)?;
        let size = u64::from(volume.boot.record_size);
        let most = size.saturating_mul(4).max(volume.boot.cluster_size.into());
        let ranges = mirror.ranges(&volume.boot)?;
        let places = ranges.iter().flat_map(|range| {
            let starts = (range.start..range.end).step_by(index(size));
            starts.filter(|at| at.saturating_add(size) <= range.end)
        });
        let records = 0..volume.records().min(most.checked_div(size).unwrap_or(0));
        for (number, at) in records.zip(places) {
            let record = self.disk.read_vec(volume.place(number), index(size))?;
            if self.disk.read_vec(at, index(size))? != record {
                self.writer.write_at(&record, at)?;
            }
        }
        Ok(())
    }
}
