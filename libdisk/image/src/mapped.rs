//! Disks whose bytes lie in pieces of a file, in an order that a map tells.

use std::convert::Infallible;
use std::ops::Range;

use block::{BlockRead, Disk, Error, ErrorKind, Extent, FileRange, Result};

use crate::len64;

/// Runs are not merged beyond that many bytes: callers that use a part of each would walk the rest again and
/// again.
const MERGE: u64 = 64 << 20;

/// Where bytes of a disk are. `P` tells where packed ones are, in formats that have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapping<P = Infallible> {
    /// Nowhere: zeros.
    Zero,
    /// In the disk below, at the same offset; zeros if there is none, or past its end.
    Below,
    /// At this offset of the file.
    Data(u64),
    /// In a piece that is compressed as a whole.
    Packed(P),
}

/// Bytes that are in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run<P = Infallible> {
    pub(crate) mapping: Mapping<P>,
    /// Length in bytes; never zero.
    pub(crate) len: u64,
}

impl<P: Copy> Run<P> {
    /// Whether `next`, which follows it on the disk, follows it where it is, too. What is packed stays apart.
    fn is_continued_by(&self, next: &Self) -> bool {
        match (self.mapping, next.mapping) {
            (Mapping::Zero, Mapping::Zero) | (Mapping::Below, Mapping::Below) => true,
            (Mapping::Data(host), Mapping::Data(next)) => host.checked_add(self.len) == Some(next),
            _ => false,
        }
    }

    /// The run that starts at `offset`, at most `limit` bytes long, of the pieces that a map tells of one by one;
    /// those that continue each other are merged up to [`MERGE`].
    pub(crate) fn merged(
        offset: u64,
        limit: u64,
        mut piece: impl FnMut(u64) -> Result<Self>,
    ) -> Result<Self> {
        let mut run = piece(offset)?;
        while run.len < limit.min(MERGE) {
            let next = piece(offset.saturating_add(run.len))?;
            if !run.is_continued_by(&next) {
                break;
            }
            run.len = run.len.saturating_add(next.len);
        }
        run.len = run.len.min(limit);
        Ok(run)
    }
}

impl Run {
    /// The run from `skip` bytes on, at most `limit` of it.
    pub(crate) fn part(self, skip: u64, limit: u64) -> Self {
        let mapping = match self.mapping {
            Mapping::Data(host) => Mapping::Data(host.saturating_add(skip)),
            other => other,
        };
        Self { mapping, len: self.len.saturating_sub(skip).min(limit) }
    }

    /// The run that the first of these pieces makes with those after it that continue it. What is wrong with
    /// a later one is said when that is asked for. `None` if there are none.
    pub(crate) fn of(mut pieces: impl Iterator<Item = Result<Self>>) -> Result<Option<Self>> {
        let Some(first) = pieces.next() else { return Ok(None) };
        let mut run = first?;
        for piece in pieces {
            let Ok(piece) = piece else { break };
            if !run.is_continued_by(&piece) {
                break;
            }
            run.len = run.len.saturating_add(piece.len);
        }
        Ok(Some(run))
    }
}

/// A format that tells where the bytes of a disk are.
pub(crate) trait Map: Send + Sync + 'static {
    /// As [`BlockRead::layer`].
    const LAYER: &'static str;

    /// As [`BlockRead::size`].
    fn size(&self) -> u64;

    /// As [`BlockRead::sector_size`].
    fn sector_size(&self) -> u32 {
        512
    }

    /// The file.
    fn file(&self) -> &Disk;

    /// The disk that this one tells the difference to.
    fn below(&self) -> Option<&Disk> {
        None
    }

    /// The run that starts at `offset`, at most `limit` bytes long. It need not be the longest.
    fn run(&self, offset: u64, limit: u64) -> Result<Run>;
}

/// The disk that a map tells of.
#[derive(Debug)]
pub(crate) struct Mapped<M>(pub(crate) M);

impl<M: Map> Mapped<M> {
    /// The disk below, and the part of `range` that it has.
    fn below(&self, range: Range<u64>) -> Option<(&Disk, Range<u64>)> {
        let below = self.0.below()?;
        let end = range.end.min(below.size());
        (range.start < end).then_some((below, range.start..end))
    }

    fn read_below(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let Some((below, found)) = self.below(offset..offset.saturating_add(len64(buf))) else {
            buf.fill(0);
            return Ok(());
        };
        let len = usize::try_from(found.end.saturating_sub(found.start)).unwrap_or(usize::MAX).min(buf.len());
        let (inside, past) = buf.split_at_mut(len);
        past.fill(0);
        below.read_at(inside, offset)
    }

    /// What it means that the file has no such range.
    pub(crate) fn outside(error: Error, host: u64) -> Error {
        if error.kind() == ErrorKind::OutOfRange {
            Error::corrupt(M::LAYER, "a block lies past the end of the file").at(host)
        } else {
            error
        }
    }
}

impl<M: Map> BlockRead for Mapped<M> {
    fn layer(&self) -> &'static str {
        M::LAYER
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn sector_size(&self) -> u32 {
        self.0.sector_size()
    }

    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let Run { mapping, len } = self.0.run(offset, len64(buf))?;
            let split = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(split);
            match mapping {
                Mapping::Zero => now.fill(0),
                Mapping::Below => self.read_below(now, offset)?,
                Mapping::Data(host) => {
                    self.0.file().read_at(now, host).map_err(|error| Self::outside(error, host))?;
                }
            }
            offset = offset.saturating_add(len);
            buf = rest;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let Run { mapping, len } = self.0.run(range.start, range.end.saturating_sub(range.start))?;
        match mapping {
            Mapping::Zero => Ok(Extent::zero(len)),
            Mapping::Below => match self.below(range.start..range.start.saturating_add(len)) {
                Some((below, range)) => below.extent_at(range),
                None => Ok(Extent::zero(len)),
            },
            // A block that was allocated in advance may be a hole of the file.
            Mapping::Data(host) => {
                let found = self.0.file().extent_at(host..host.saturating_add(len));
                found.map_err(|error| Self::outside(error, host))
            }
        }
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        let Run { mapping, len } = self.0.run(range.start, range.end.saturating_sub(range.start))?;
        match mapping {
            Mapping::Zero => Ok(None),
            Mapping::Below => match self.below(range.start..range.start.saturating_add(len)) {
                Some((below, range)) => below.file_range(range),
                None => Ok(None),
            },
            Mapping::Data(host) => {
                let found = self.0.file().file_range(host..host.saturating_add(len));
                found.map_err(|error| Self::outside(error, host))
            }
        }
    }
}

/// The value of the bit `first` of a bitmap, the lowest bit of a byte first, and for how many bits from there
/// on it holds; `None` past its end.
pub(crate) fn bit_run(bitmap: &[u8], first: u64) -> Option<(bool, u64)> {
    let mut bytes = bitmap.get(usize::try_from(first / 8).ok()?..)?.iter();
    let skip = u32::try_from(first % 8).unwrap_or(0);
    let byte = bytes.next()?.wrapping_shr(skip);
    let set = byte & 1 == 1;
    let ones = |byte: u8| if set { byte.trailing_ones() } else { byte.trailing_zeros() };
    let mut len = u64::from(ones(byte).min(8_u32.saturating_sub(skip)));
    if len == u64::from(8_u32.saturating_sub(skip)) {
        for byte in bytes {
            len = len.saturating_add(u64::from(ones(*byte)));
            if ones(*byte) < 8 {
                break;
            }
        }
    }
    Some((set, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bits() {
        let bits = [0b0111_1000_u8, 0xff, 0x01, 0];
        for (first, found) in [
            (0, Some((false, 3))),
            (2, Some((false, 1))),
            (3, Some((true, 4))),
            (6, Some((true, 1))),
            (7, Some((false, 1))),
            (8, Some((true, 9))),
            (15, Some((true, 2))),
            (17, Some((false, 15))),
            (31, Some((false, 1))),
            (32, None),
        ] {
            assert_eq!(bit_run(&bits, first), found, "{first}");
        }
        assert_eq!(bit_run(&[0xff; 4], 5), Some((true, 27)));
    }
}
