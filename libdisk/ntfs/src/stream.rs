//! Streams: the content of an attribute, in the record or in clusters, with holes and compressed units.

use std::ops::Range;

use block::{Disk, DiskMut};
use vfs::bytes::{index, wide};
use vfs::{FsError, Result};

use crate::attribute::{self, Attribute, Body};
use crate::boot_sector::BootSector;
use crate::lznt1;
use crate::runs::Run;

/// Clusters of a unit that is compressed, as a power of two: no more than so many.
const LARGEST_UNIT: u8 = 8;

/// The content of an attribute.
#[derive(Debug, Clone)]
pub(crate) enum Stream {
    Resident(Vec<u8>),
    Clusters {
        runs: Vec<Run>,
        size: u64,
        /// What is behind reads as zeros.
        initialized: u64,
        /// Clusters of a unit, for a compressed stream.
        unit: Option<u64>,
    },
}

impl Stream {
    /// The stream of an attribute whose parts are given, in their order.
    pub(crate) fn of(parts: Vec<Attribute>, place: u64) -> Result<Self> {
        let corrupt = |why: &str| FsError::corrupt("attribute", place, why.to_owned());
        let mut parts = parts.into_iter();
        let head = parts.next().ok_or(FsError::NotFound)?;
        if head.flags & attribute::ENCRYPTED != 0 {
            return Err(FsError::unsupported("a file that EFS encrypts"));
        }
        let compressed = head.flags & attribute::COMPRESSED;
        if compressed > 1 {
            return Err(FsError::unsupported(format!("compression of the kind {compressed}")));
        }
        let (size, initialized, unit, mut runs) = match head.body {
            Body::Resident(bytes) => return Ok(Self::Resident(bytes)),
            Body::Clusters { size, initialized, unit, first: 0, runs } => (size, initialized, unit, runs),
            Body::Clusters { .. } => return Err(corrupt("its first part is missing")),
        };
        for part in parts {
            let next = runs.last().map_or(0, Run::end);
            match part.body {
                Body::Clusters { first, runs: more, .. } if first == next => runs.extend(more),
                _ => return Err(corrupt("a part of it is missing")),
            }
        }
        let unit = match (compressed, unit) {
            (0, _) => None,
            (_, 1..=LARGEST_UNIT) => 1_u64.checked_shl(u32::from(unit)),
            _ => return Err(corrupt("its units of compression have no size")),
        };
        Ok(Self::Clusters { runs, size, initialized: initialized.min(size), unit })
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Resident(bytes) => wide(bytes.len()),
            Self::Clusters { size, .. } => *size,
        }
    }

    /// Reads from `offset` on; short only at the end.
    pub(crate) fn read(&self, disk: &Disk, boot: &BootSector, buf: &mut [u8], offset: u64) -> Result<usize> {
        let left = index(self.size().saturating_sub(offset));
        let len = buf.len().min(left);
        let Some(buf) = buf.get_mut(..len) else { return Ok(0) };
        match self {
            Self::Resident(bytes) => {
                let at = index(offset);
                let from = bytes.get(at..).and_then(|rest| rest.get(..len)).unwrap_or_default();
                buf.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            Self::Clusters { runs, initialized, unit, .. } => {
                let stored = index(initialized.saturating_sub(offset)).min(len);
                let (front, behind) = buf.split_at_mut(stored);
                behind.fill(0);
                match unit {
                    None => read_runs(runs, disk, boot, front, offset)?,
                    Some(unit) => read_units(runs, *unit, disk, boot, front, offset)?,
                }
            }
        }
        Ok(len)
    }

    /// Where on the volume its bytes are, in their order.
    ///
    /// # Errors
    /// `Corrupt` if some of them are nowhere or in two places: it is for streams of the volume itself, which
    /// have no holes.
    pub(crate) fn ranges(&self, boot: &BootSector) -> Result<Vec<Range<u64>>> {
        let corrupt = |why: &str| FsError::corrupt("attribute", 0, why.to_owned());
        let Self::Clusters { runs, size, .. } = self else { return Err(corrupt("it is in its record")) };
        let cluster = u64::from(boot.cluster_size);
        let mut left = *size;
        let mut ranges = Vec::new();
        for run in runs {
            let start =
                run.lcn.and_then(|lcn| lcn.checked_mul(cluster)).ok_or_else(|| corrupt("it has a hole"))?;
            let len = run.len.saturating_mul(cluster).min(left);
            left = left.saturating_sub(len);
            if len > 0 {
                ranges.push(start..start.saturating_add(len));
            }
        }
        let mut sorted = ranges.clone();
        sorted.sort_unstable_by_key(|range| range.start);
        if left > 0 {
            return Err(corrupt("its end is nowhere"));
        }
        if !sorted.is_sorted_by(|one, next| one.end <= next.start) {
            return Err(corrupt("a cluster is in it twice"));
        }
        Ok(ranges)
    }

    /// All of it, if it has no more than `most` bytes.
    pub(crate) fn read_all(
        &self,
        disk: &Disk,
        boot: &BootSector,
        most: u64,
        what: &'static str,
    ) -> Result<Vec<u8>> {
        if self.size() > most {
            let why = format!("it has {} bytes, and no more than {most} are known", self.size());
            return Err(FsError::corrupt(what, 0, why));
        }
        let mut bytes = vec![0; index(self.size())];
        self.read(disk, boot, &mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes over what is stored already.
    pub(crate) fn write(&self, writer: &DiskMut, boot: &BootSector, bytes: &[u8], offset: u64) -> Result<()> {
        let plain = |why: &str| FsError::corrupt("attribute", 0, why.to_owned());
        let Self::Clusters { runs, initialized, unit: None, .. } = self else {
            return Err(plain("it is not simply in clusters"));
        };
        if offset.saturating_add(wide(bytes.len())) > *initialized {
            return Err(plain("it ends before what is to be written"));
        }
        each_run(runs, boot, bytes.len(), offset, |lcn, range| {
            let place = lcn.ok_or_else(|| plain("it has a hole"))?;
            Ok(writer.write_at(bytes.get(range).unwrap_or_default(), place)?)
        })
    }

    /// The first byte from `offset` on that is stored.
    pub(crate) fn next_data(&self, boot: &BootSector, offset: u64) -> Option<u64> {
        if offset >= self.size() {
            return None;
        }
        let Self::Clusters { runs, initialized, unit: None, .. } = self else { return Some(offset) };
        let cluster = u64::from(boot.cluster_size);
        let stored = runs.iter().filter(|run| run.lcn.is_some());
        let mut ranges =
            stored.map(|run| (run.vcn.saturating_mul(cluster), run.end().saturating_mul(cluster)));
        let (start, _) = ranges.find(|(_, end)| *end > offset)?;
        Some(start.max(offset)).filter(|found| found < initialized)
    }
}

/// Calls for each piece of a range of a stream: where it is on the volume, unless it is in a hole, and which
/// bytes of the range it has. What has no runs is missing.
fn each_run(
    runs: &[Run],
    boot: &BootSector,
    len: usize,
    offset: u64,
    mut each: impl FnMut(Option<u64>, Range<usize>) -> Result<()>,
) -> Result<()> {
    let cluster = u64::from(boot.cluster_size);
    let mut done = 0;
    while done < len {
        let at = offset.saturating_add(wide(done));
        let vcn = at.checked_div(cluster).unwrap_or(0);
        let missing = || FsError::corrupt("attribute", 0, format!("its cluster {vcn} is nowhere"));
        let number = runs.partition_point(|run| run.end() <= vcn);
        let run = runs.get(number).filter(|run| run.vcn <= vcn).ok_or_else(missing)?;
        let inside = at.saturating_sub(run.vcn.saturating_mul(cluster));
        let left = run.len.saturating_mul(cluster).saturating_sub(inside);
        let end = done.saturating_add(index(left)).min(len);
        let place = run.lcn.map(|lcn| lcn.saturating_mul(cluster).saturating_add(inside));
        each(place, done..end)?;
        done = end;
    }
    Ok(())
}

/// Reads clusters as they are.
fn read_runs(runs: &[Run], disk: &Disk, boot: &BootSector, buf: &mut [u8], offset: u64) -> Result<()> {
    each_run(runs, boot, buf.len(), offset, |place, range| {
        let piece = buf.get_mut(range).unwrap_or_default();
        match place {
            None => piece.fill(0),
            Some(place) => disk.read_at(piece, place)?,
        }
        Ok(())
    })
}

/// Reads a compressed stream, unit by unit.
fn read_units(
    runs: &[Run],
    unit: u64,
    disk: &Disk,
    boot: &BootSector,
    mut buf: &mut [u8],
    mut offset: u64,
) -> Result<()> {
    let bytes = unit.saturating_mul(u64::from(boot.cluster_size));
    while !buf.is_empty() {
        let number = offset.checked_div(bytes).unwrap_or(0);
        let content = read_unit(runs, number.saturating_mul(unit), unit, disk, boot)?;
        let inside = index(offset.checked_rem(bytes).unwrap_or(0));
        let from = content.get(inside..).unwrap_or_default();
        let len = buf.len().min(from.len());
        if len == 0 {
            return Err(FsError::corrupt("compressed unit", 0, "it is empty"));
        }
        let (front, rest) = buf.split_at_mut(len);
        front.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        buf = rest;
        offset = offset.saturating_add(wide(len));
    }
    Ok(())
}

/// The content of one unit: all of its clusters are stored, or none, or those of its packed form.
fn read_unit(runs: &[Run], first: u64, unit: u64, disk: &Disk, boot: &BootSector) -> Result<Vec<u8>> {
    let cluster = u64::from(boot.cluster_size);
    let end = first.saturating_add(unit);
    let inside = runs.iter().filter(|run| run.vcn < end && run.end() > first && run.lcn.is_some());
    let stored = inside.map(|run| run.end().min(end)).max().map_or(0, |last| last.saturating_sub(first));
    let len = index(unit.saturating_mul(cluster));
    let mut bytes = vec![0; index(stored.saturating_mul(cluster))];
    if stored > 0 {
        read_runs(runs, disk, boot, &mut bytes, first.saturating_mul(cluster))?;
    }
    if stored == unit {
        return Ok(bytes);
    }
    let damaged =
        || FsError::corrupt("compressed unit", 0, format!("that at cluster {first} does not unpack"));
    lznt1::unpack(&bytes, len).ok_or_else(damaged)
}
