//! From a place on the disk to where its bytes are.

use std::ops::Range;
use std::sync::Arc;

use block::{Disk, Error, Result};

use super::header::{Header, be64s};
use super::{LAYER, ondisk};
use crate::cache::Cache;
use crate::mapped;

/// How many bytes of L2 tables are kept. Tables of the usual 64 KiB are for 512 MiB of disk each.
const L2_CACHE: u64 = 2 << 20;
/// Subclusters of a cluster with extended L2 entries.
const SUBCLUSTERS: u64 = 32;

/// In a compressed cluster: so many bytes at this offset, from which the piece is `skip` bytes into the
/// cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) host: u64,
    pub(super) len: u64,
    pub(super) skip: u64,
}

/// Where bytes are, and how many of them are in one place.
pub(super) type Mapping = mapped::Mapping<Packed>;
pub(super) type Run = mapped::Run<Packed>;

/// L1 and L2 tables.
#[derive(Debug)]
pub(super) struct Map {
    l1: Vec<u64>,
    l2: Cache<Vec<u64>>,
}

/// The L2 table that a walk is in: that of this L1 entry.
type Current = Option<(u64, Option<Arc<Vec<u64>>>)>;

fn corrupt(what: &'static str, at: u64) -> Error {
    Error::corrupt(LAYER, what).at(at)
}

impl Map {
    pub(super) fn read(file: &Disk, header: &Header) -> Result<Self> {
        Ok(Self { l1: header.read_l1(file)?, l2: Cache::new(L2_CACHE, header.cluster_size()) })
    }

    /// The run that starts at `offset`, at most `limit` bytes long; neighbours that continue each other are
    /// merged, but for compressed clusters.
    pub(super) fn run(&self, file: &Disk, header: &Header, offset: u64, limit: u64) -> Result<Run> {
        let (mut current, end) = (None, offset.saturating_add(limit));
        Run::merged(offset, limit, |offset| self.piece(file, header, offset..end, &mut current))
    }

    /// The part of one cluster or subcluster (or of a span without an L2 table) that starts where `range` does; of
    /// clusters that are nowhere, all up to the end of `range` or of the table.
    fn piece(&self, file: &Disk, header: &Header, range: Range<u64>, current: &mut Current) -> Result<Run> {
        let offset = range.start;
        let index = offset.wrapping_shr(header.l1_span_bits());
        if !matches!(current, Some((at, _)) if *at == index) {
            *current = Some((index, self.table(file, header, index)?));
        }
        let Some((_, Some(table))) = current else {
            let span = 1_u64.wrapping_shl(header.l1_span_bits());
            return Ok(Run { mapping: Mapping::Below, len: rest_of(span, offset) });
        };
        let cluster =
            offset.wrapping_shr(header.cluster_bits) & 1_u64.wrapping_shl(header.l2_bits()).wrapping_sub(1);
        let words: u64 = if header.extended_l2 { 2 } else { 1 };
        let first = usize::try_from(cluster.wrapping_mul(words)).ok();
        let entries = first.and_then(|first| table.get(first..)).unwrap_or_default();
        let empty = empty(header, entries, words, &range);
        match entries {
            _ if empty > 0 => Ok(Run { mapping: Mapping::Below, len: empty }),
            [entry, bitmap, ..] if header.extended_l2 => extended(header, *entry, *bitmap, offset),
            [entry, ..] if !header.extended_l2 => standard(header, *entry, offset),
            _ => Err(corrupt("an L2 table is too short", offset)),
        }
    }

    /// The L2 table of an L1 entry; `None` if there is none.
    fn table(&self, file: &Disk, header: &Header, index: u64) -> Result<Option<Arc<Vec<u64>>>> {
        let entry = usize::try_from(index).ok().and_then(|index| self.l1.get(index)).copied().unwrap_or(0);
        let place = entry & ondisk::OFFSET_MASK;
        if place == 0 {
            return Ok(None);
        }
        if !is_aligned(place, header) {
            return Err(corrupt("an L2 table is not at the start of a cluster", place));
        }
        let len = usize::try_from(header.cluster_size()).unwrap_or(usize::MAX);
        self.l2.get(place, || Ok(be64s(&file.read_vec(place, len)?))).map(Some)
    }
}

/// Bytes from the start of `range` on that are in clusters whose entries, of so many words, say that they are nowhere: most
/// of a large disk is, and each cluster of it by itself would take as long as the data.
fn empty(header: &Header, entries: &[u64], words: u64, range: &Range<u64>) -> u64 {
    let wanted = range.end.saturating_sub(range.start).wrapping_shr(header.cluster_bits).saturating_add(2);
    let wanted = usize::try_from(wanted.saturating_mul(words)).unwrap_or(usize::MAX);
    let zeros = entries.iter().take(wanted).take_while(|word| **word == 0).count();
    match u64::try_from(zeros).unwrap_or(0).checked_div(words).and_then(|clusters| clusters.checked_sub(1)) {
        Some(further) => rest_of(header.cluster_size(), range.start)
            .saturating_add(further.saturating_mul(header.cluster_size())),
        None => 0,
    }
}

/// Bytes from `offset` to the end of its unit; `unit` is a power of two.
fn rest_of(unit: u64, offset: u64) -> u64 {
    unit.wrapping_sub(offset & unit.wrapping_sub(1))
}

fn is_aligned(place: u64, header: &Header) -> bool {
    place & header.cluster_size().wrapping_sub(1) == 0
}

/// A standard L2 entry.
fn standard(header: &Header, entry: u64, offset: u64) -> Result<Run> {
    let len = rest_of(header.cluster_size(), offset);
    let within = header.cluster_size().wrapping_sub(len);
    if entry & ondisk::COMPRESSED != 0 {
        return Ok(Run { mapping: compressed(header, entry, within)?, len });
    }
    if entry & ondisk::ZERO != 0 {
        if header.version < 3 {
            return Err(corrupt("a zero cluster in an image of version 2", offset));
        }
        return Ok(Run { mapping: Mapping::Zero, len });
    }
    let mapping = match host(header, entry)? {
        None => Mapping::Below,
        Some(host) => Mapping::Data(host.saturating_add(within)),
    };
    Ok(Run { mapping, len })
}

/// An extended L2 entry: bits 0 to 31 of the bitmap say which subclusters are here, bits 32 to 63 which are
/// zero.
fn extended(header: &Header, entry: u64, bitmap: u64, offset: u64) -> Result<Run> {
    let rest = rest_of(header.cluster_size(), offset);
    let within = header.cluster_size().wrapping_sub(rest);
    if entry & ondisk::COMPRESSED != 0 {
        return Ok(Run { mapping: compressed(header, entry, within)?, len: rest });
    }
    let subcluster = header.cluster_size() / SUBCLUSTERS;
    let len = rest_of(subcluster, offset);
    let bit = 1_u64.wrapping_shl(u32::try_from(within.checked_div(subcluster).unwrap_or(0)).unwrap_or(0));
    let mapping = match (bitmap & bit != 0, bitmap & bit.wrapping_shl(32) != 0) {
        (true, true) => return Err(corrupt("a subcluster is both data and zero", offset)),
        (false, true) => Mapping::Zero,
        (false, false) => Mapping::Below,
        (true, false) => match host(header, entry)? {
            None => return Err(corrupt("a subcluster has data, but no place for it", offset)),
            Some(host) => Mapping::Data(host.saturating_add(within)),
        },
    };
    Ok(Run { mapping, len })
}

/// Where the cluster of a plain entry is; `None` if nowhere.
fn host(header: &Header, entry: u64) -> Result<Option<u64>> {
    let host = entry & ondisk::OFFSET_MASK;
    if !is_aligned(host, header) {
        return Err(corrupt("a cluster of data is not at the start of a cluster", host));
    }
    // In an external data file, offset 0 is a place like any other.
    let at_zero = header.data_file.is_some() && entry & ondisk::COPIED != 0;
    Ok((host != 0 || at_zero).then_some(host))
}

/// A compressed cluster: the offset takes 62 - (cluster_bits - 8) bits, the rest counts 512-byte sectors
/// after the first.
fn compressed(header: &Header, entry: u64, skip: u64) -> Result<Mapping> {
    let offset_bits = 70_u32.saturating_sub(header.cluster_bits);
    let host = entry & 1_u64.wrapping_shl(offset_bits).wrapping_sub(1);
    if header.data_file.is_some() {
        return Err(corrupt("a compressed cluster in an image with an external data file", host));
    }
    let sectors = (entry & ondisk::COMPRESSED.wrapping_sub(1)).wrapping_shr(offset_bits).saturating_add(1);
    Ok(Mapping::Packed(Packed { host, len: sectors.saturating_mul(512).saturating_sub(host & 511), skip }))
}
