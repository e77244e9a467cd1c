//! Chunks: which logical addresses are where on which device ("Chunk tree").

use std::collections::BTreeMap;
use std::ops::Range;

use vfs::{FsError, Result};
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, KnownLayout, Unaligned};

use crate::bytes::{index, wide};
use crate::key::{CHUNKS, Key, RawKey, kind};

/// Bytes of a stripe: the only length there is.
const STRIPE: u64 = 64 << 10;

/// Bits of a chunk's and a block group's type.
pub(crate) mod flag {
    pub(crate) const DATA: u64 = 0x1;
    pub(crate) const RAID0: u64 = 0x8;
    pub(crate) const RAID1: u64 = 0x10;
    pub(crate) const DUP: u64 = 0x20;
    pub(crate) const RAID10: u64 = 0x40;
    pub(crate) const RAID5: u64 = 0x80;
    pub(crate) const RAID6: u64 = 0x100;
    pub(crate) const RAID1C3: u64 = 0x200;
    pub(crate) const RAID1C4: u64 = 0x400;
    /// What a chunk holds.
    pub(crate) const TYPE: u64 = 0x7;
}

/// As it is on disk, without the stripes that follow.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawChunk {
    length: U64,
    owner: U64,
    stripe_len: U64,
    kind: U64,
    io_align: U32,
    io_width: U32,
    sector_size: U32,
    num_stripes: U16,
    sub_stripes: U16,
}
const _: () = assert!(size_of::<RawChunk>() == 48);

/// As it is on disk.
#[derive(Debug, Clone, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawStripe {
    devid: U64,
    offset: U64,
    dev_uuid: [u8; 16],
}
const _: () = assert!(size_of::<RawStripe>() == 32);

/// A part of a device that belongs to a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Stripe {
    pub(crate) device: u64,
    pub(crate) uuid: [u8; 16],
    /// Where it begins on the device, in bytes.
    pub(crate) offset: u64,
}

/// A run of bytes on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) device: u64,
    pub(crate) range: Range<u64>,
}

/// A run of logical addresses, and where they are.
///
/// The stripes form groups of equal content. Where there are several groups, 64 KiB go to each in turn.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) range: Range<u64>,
    pub(crate) flags: u64,
    stripes: Vec<Stripe>,
    /// Stripes of a group.
    pub(crate) copies: u64,
    /// Stripes divided by copies.
    groups: u64,
}

impl Chunk {
    /// Parses an item at byte `place`; what follows it, too.
    fn parse(key: Key, bytes: &[u8], place: u64) -> Result<(Self, &[u8])> {
        let corrupt = |what: String| FsError::corrupt(format!("chunk {key}"), place, what);
        let (raw, rest) = RawChunk::read_from_prefix(bytes).map_err(|_| corrupt("it is too short".into()))?;
        let stripes = <[RawStripe]>::ref_from_prefix_with_elems(rest, raw.num_stripes.get().into());
        let (stripes, rest) = stripes.map_err(|_| corrupt("its stripes are cut off".into()))?;
        let count = wide(stripes.len());
        let flags = raw.kind.get();
        let copies = match flags & !flag::TYPE {
            0 => 1,
            flag::DUP | flag::RAID1 => 2,
            flag::RAID1C3 => 3,
            flag::RAID1C4 => 4,
            flag::RAID0 => 1,
            flag::RAID10 => u64::from(raw.sub_stripes.get()),
            flag::RAID5 | flag::RAID6 => {
                return Err(FsError::unsupported("btrfs with chunks of RAID5 or RAID6"));
            }
            other => {
                return Err(FsError::unsupported(format!(
                    "btrfs with chunks of the unknown profile {other:#x}"
                )));
            }
        };
        let groups = count.checked_div(copies).unwrap_or_default();
        let striped = flags & (flag::RAID0 | flag::RAID10) != 0;
        if groups == 0 || groups.saturating_mul(copies) != count || (groups != 1 && !striped) {
            return Err(corrupt(format!("{count} stripes of type {flags:#x}")));
        }
        if raw.stripe_len.get() != STRIPE {
            return Err(corrupt(format!("stripes of {} bytes", raw.stripe_len.get())));
        }
        let range = match key.offset.checked_add(raw.length.get()) {
            Some(end) if end > key.offset => key.offset..end,
            _ => return Err(corrupt(format!("a length of {} bytes", raw.length.get()))),
        };
        let stripe = |raw: &RawStripe| Stripe {
            device: raw.devid.get(),
            uuid: raw.dev_uuid,
            offset: raw.offset.get(),
        };
        let stripes: Vec<Stripe> = stripes.iter().map(stripe).collect();
        let chunk = Self { range, flags, stripes, copies, groups };
        if chunk.stripes.iter().any(|stripe| stripe.offset.checked_add(chunk.stripe_length()).is_none()) {
            return Err(corrupt("a stripe that goes past all ends".into()));
        }
        Ok((chunk, rest))
    }

    /// How much of its device each stripe takes.
    pub(crate) fn stripe_length(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start).div_ceil(self.groups.max(1))
    }

    pub(crate) fn stripes(&self) -> &[Stripe] {
        &self.stripes
    }

    /// The first run of copy `copy` of what lies at these logical addresses; it may be shorter than they are.
    pub(crate) fn run(&self, copy: u64, range: &Range<u64>) -> Option<Run> {
        let at = range.start.checked_sub(self.range.start)?;
        let (stripe, within) = (at.checked_div(STRIPE)?, at.checked_rem(STRIPE)?);
        let group = stripe.checked_rem(self.groups)?;
        let member = group.checked_mul(self.copies)?.checked_add(copy)?;
        let member = self.stripes.get(index(member)).filter(|_| copy < self.copies)?;
        let row = stripe.checked_div(self.groups)?.checked_mul(STRIPE)?.checked_add(within)?;
        let whole = range.end.min(self.range.end).checked_sub(range.start)?;
        let len = if self.groups == 1 { whole } else { whole.min(STRIPE.saturating_sub(within)) };
        let start = member.offset.checked_add(row)?;
        Some(Run { device: member.device, range: start..start.checked_add(len)? })
    }
}

/// All chunks by their logical addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunks(BTreeMap<u64, Chunk>);

impl Chunks {
    /// Those of the superblock's array, which lies at byte `place`.
    pub(crate) fn of_array(mut bytes: &[u8], place: u64) -> Result<Self> {
        let mut chunks = Self::default();
        while !bytes.is_empty() {
            let cut = || FsError::corrupt("system chunk array", place, "an item is cut off");
            let (key, rest) = RawKey::read_from_prefix(bytes).map_err(|_| cut())?;
            bytes = chunks.add(key.into(), rest, place)?;
        }
        Ok(chunks)
    }

    /// Adds an item of the chunk tree; what follows it.
    pub(crate) fn add<'a>(&mut self, key: Key, bytes: &'a [u8], place: u64) -> Result<&'a [u8]> {
        let corrupt = |what| FsError::corrupt(format!("chunk {key}"), place, what);
        if !key.is(CHUNKS, kind::CHUNK_ITEM) {
            return Err(corrupt("its key is not that of a chunk"));
        }
        let (chunk, rest) = Chunk::parse(key, bytes, place)?;
        let before = self.0.range(..chunk.range.end).next_back();
        if before.is_some_and(|(_, before)| before.range.end > chunk.range.start) {
            return Err(corrupt("another one has some of its addresses"));
        }
        self.0.insert(chunk.range.start, chunk);
        Ok(rest)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.0.values()
    }

    /// The chunk that has all these logical addresses.
    pub(crate) fn with(&self, range: &Range<u64>) -> Option<&Chunk> {
        let (_, chunk) = self.0.range(..=range.start).next_back()?;
        (range.end <= chunk.range.end && range.start < chunk.range.end).then_some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(flags: u64, sub_stripes: u16, stripes: u16, length: u64) -> Result<Chunk> {
        let mut bytes = [length, 2, STRIPE, flags].map(u64::to_le_bytes).concat();
        bytes.extend([0; 12]);
        bytes.extend([stripes, sub_stripes].map(u16::to_le_bytes).concat());
        for device in 1..=u64::from(stripes) {
            bytes.extend([device, device << 30, 0, 0].map(u64::to_le_bytes).concat());
        }
        Chunk::parse(Key::new(CHUNKS, kind::CHUNK_ITEM, 1 << 40), &bytes, 0).map(|(chunk, _)| chunk)
    }

    /// Device, and byte in its stripe, of the bytes at `at`.
    fn run(chunk: &Chunk, copy: u64, at: u64, len: u64) -> (u64, u64, u64) {
        let at = chunk.range.start + at;
        let run = chunk.run(copy, &(at..at + len)).unwrap();
        (run.device, run.range.start - (run.device << 30), run.range.end - run.range.start)
    }

    #[test]
    fn profiles() {
        let dup = chunk(flag::DUP | 4, 0, 2, 1 << 20).unwrap();
        assert_eq!(run(&dup, 1, 70_000, 500_000), (2, 70_000, 500_000));
        let raid0 = chunk(flag::RAID0 | 1, 0, 3, 3 << 20).unwrap();
        assert_eq!(run(&raid0, 0, 0, 500_000), (1, 0, STRIPE));
        assert_eq!(run(&raid0, 0, STRIPE * 4 + 5, 10), (2, STRIPE + 5, 10));
        let raid10 = chunk(flag::RAID10 | 1, 2, 4, 2 << 20).unwrap();
        assert_eq!(run(&raid10, 0, STRIPE, 10), (3, 0, 10));
        assert_eq!(run(&raid10, 1, STRIPE * 2 + 1, 10), (2, STRIPE + 1, 10));
        assert_eq!(dup.run(2, &dup.range), None);
    }

    #[test]
    fn what_makes_no_sense() {
        for (flags, sub, stripes) in
            [(0, 0, 2), (0, 0, 0), (flag::DUP, 0, 3), (flag::RAID10, 2, 3), (flag::RAID10, 0, 4)]
        {
            assert!(
                matches!(chunk(flags, sub, stripes, 1 << 20), Err(FsError::Corrupt { .. })),
                "{flags:#x}"
            );
        }
        assert!(matches!(chunk(flag::RAID5, 0, 3, 1 << 20), Err(FsError::Unsupported(_))));
        assert!(matches!(chunk(1 << 20, 0, 3, 1 << 20), Err(FsError::Unsupported(_))));
        assert!(chunk(0, 0, 1, 0).is_err());
        assert!(chunk(0, 0, 1, u64::MAX).is_err());
    }
}
