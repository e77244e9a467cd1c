//! The bins, and the cells in them (regf specification, "Hive bins data").

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::base_block::BIN_UNIT;
use crate::error::{Error, Result};

/// An offset that is none.
pub(crate) const NONE: u32 = u32::MAX;

/// Bytes of a bin's header.
pub(crate) const BIN_HEADER: u32 = 32;

/// Bytes of a cell's size, in front of what is in it.
pub(crate) const CELL_HEADER: u32 = 4;

/// Cells begin at multiples of it.
pub(crate) const CELL_UNIT: u32 = 8;

/// What stands at the start of a bin.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BinHeader {
    magic: [u8; 4],
    /// From the first bin on.
    offset: U32,
    size: U32,
    reserved: U64,
    last_written: U64,
    spare: U32,
}

/// All bins of a hive. Offsets count from the first bin.
#[derive(Clone)]
pub(crate) struct Cells {
    bytes: Vec<u8>,
    /// Where each bin starts, in order.
    bins: Vec<u32>,
}

impl std::fmt::Debug for Cells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cells({} bytes in {} bins)", self.bytes.len(), self.bins.len())
    }
}

/// A number of the format as an index.
pub(crate) fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A length that is known to be small as a number of the format.
pub(crate) fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn outside(what: &'static str, at: u32) -> Error {
    Error::corrupt(what, at, "it lies outside the bins")
}

impl Cells {
    /// Finds the bins in their bytes.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self> {
        let mut bins = Vec::new();
        let mut at = 0;
        while index(at) < bytes.len() {
            let rest = bytes.get(index(at)..).unwrap_or_default();
            let short = |_| Error::corrupt("bin", at, "it is cut off");
            let (header, _) = BinHeader::read_from_prefix(rest).map_err(short)?;
            let size = header.size.get();
            if &header.magic != b"hbin" || header.offset.get() != at {
                return Err(Error::corrupt("bin", at, "no header of a bin is there"));
            }
            if size == 0 || !size.is_multiple_of(BIN_UNIT) || index(size) > rest.len() {
                return Err(Error::corrupt("bin", at, format!("its size is {size}")));
            }
            bins.push(at);
            at = at.checked_add(size).ok_or_else(|| outside("bin", at))?;
        }
        Ok(Self { bytes, bins })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of all bins.
    pub(crate) fn size(&self) -> u32 {
        narrow(self.bytes.len())
    }

    /// Where each bin starts and ends.
    pub(crate) fn bins(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let ends = self.bins.iter().skip(1).copied().chain([self.size()]);
        self.bins.iter().copied().zip(ends)
    }

    /// The end of the bin in which an offset lies.
    fn end_of_bin(&self, at: u32) -> u32 {
        let next = self.bins.partition_point(|start| *start <= at);
        self.bins.get(next).copied().unwrap_or_else(|| self.size())
    }

    /// The size of the cell at `at`, its header included, and whether it is in use.
    pub(crate) fn cell(&self, at: u32) -> Result<(u32, bool)> {
        let corrupt = |why| Error::corrupt("cell", at, why);
        if !at.is_multiple_of(CELL_UNIT) {
            return Err(corrupt(format!("it begins at no multiple of {CELL_UNIT}")));
        }
        let header = self.bytes.get(index(at)..).and_then(|rest| rest.first_chunk::<4>());
        let size = i32::from_le_bytes(*header.ok_or_else(|| outside("cell", at))?);
        let (len, used) = (size.unsigned_abs(), size < 0);
        let fits = at.checked_add(len).is_some_and(|end| end <= self.end_of_bin(at));
        if len < CELL_UNIT || !len.is_multiple_of(CELL_UNIT) || !fits || self.bins.binary_search(&at).is_ok()
        {
            return Err(corrupt(format!("its size is {size}")));
        }
        Ok((len, used))
    }

    /// What is in the cell at `at`, which must be in use.
    pub(crate) fn used(&self, what: &'static str, at: u32) -> Result<&[u8]> {
        if index(at) >= self.bytes.len() {
            return Err(outside(what, at));
        }
        let (len, used) = self.cell(at)?;
        if !used {
            return Err(Error::corrupt(what, at, "its cell is free"));
        }
        let (start, end) = (at.saturating_add(CELL_HEADER), at.saturating_add(len));
        self.bytes.get(index(start)..index(end)).ok_or_else(|| outside(what, at))
    }

    /// The same, to be changed.
    pub(crate) fn used_mut(&mut self, what: &'static str, at: u32) -> Result<&mut [u8]> {
        let len = self.used(what, at)?.len();
        let start = index(at.saturating_add(CELL_HEADER));
        self.bytes.get_mut(start..).and_then(|rest| rest.get_mut(..len)).ok_or_else(|| outside(what, at))
    }

    /// A structure at the start of the cell at `at`.
    pub(crate) fn read<T>(&self, what: &'static str, at: u32) -> Result<T>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        let (found, _) = T::read_from_prefix(self.used(what, at)?)
            .map_err(|_| Error::corrupt(what, at, "its cell is too small"))?;
        Ok(found)
    }

    /// Writes a structure to the start of the cell at `at`.
    pub(crate) fn write<T>(&mut self, what: &'static str, at: u32, value: &T) -> Result<()>
    where
        T: IntoBytes + Immutable,
    {
        value
            .write_to_prefix(self.used_mut(what, at)?)
            .map_err(|_| Error::corrupt(what, at, "its cell is too small"))
    }

    /// Says the size of the cell at `at`, and whether it is in use.
    pub(crate) fn set_cell(&mut self, at: u32, len: u32, used: bool) -> Result<()> {
        let size = i32::try_from(len).map_err(|_| outside("cell", at))?;
        let size = if used { size.checked_neg().ok_or_else(|| outside("cell", at))? } else { size };
        let header = self.bytes.get_mut(index(at)..).and_then(|rest| rest.first_chunk_mut::<4>());
        *header.ok_or_else(|| outside("cell", at))? = size.to_le_bytes();
        Ok(())
    }

    /// Appends a bin of at least `len` bytes of cells, which are one free cell: where that is, and its size.
    pub(crate) fn grow(&mut self, len: u32, time: u64) -> Result<(u32, u32)> {
        let at = self.size();
        let full = Error::Refused { what: "more".to_owned(), why: "the hive is as large as one can be" };
        let size = len
            .checked_add(BIN_HEADER)
            .and_then(|size| size.checked_next_multiple_of(BIN_UNIT))
            .filter(|size| at.checked_add(*size).is_some_and(|end| i32::try_from(end).is_ok()));
        let size = size.ok_or(full)?;
        let header = BinHeader {
            magic: *b"hbin",
            offset: at.into(),
            size: size.into(),
            reserved: 0.into(),
            last_written: time.into(),
            spare: 0.into(),
        };
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.resize(index(at.saturating_add(size)), 0);
        self.bins.push(at);
        let (cell, len) = (at.saturating_add(BIN_HEADER), size.saturating_sub(BIN_HEADER));
        self.set_cell(cell, len, false)?;
        Ok((cell, len))
    }
}

/// The little-endian number at `at` of what is in a cell.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_lies_in_one_bin_behind_its_header() {
        let mut cells = Cells::new(Vec::new()).unwrap();
        let (first, len) = cells.grow(100, 0).unwrap();
        let (second, _) = cells.grow(5000, 0).unwrap();
        assert_eq!((first, len, second, cells.size()), (32, 4064, 4096 + 32, 3 * 4096));
        assert!(cells.used("cell", first).unwrap_err().to_string().contains("its cell is free"));
        cells.set_cell(first, 16, true).unwrap();
        cells.set_cell(first + 16, len - 16, true).unwrap();
        assert_eq!(cells.used("cell", first).unwrap().len(), 12);
        assert_eq!(cells.cell(first + 16).unwrap(), (4048, true));
        // Into the next bin, no multiple of 8, outside, a header.
        cells.set_cell(first + 16, 4056, true).unwrap();
        for at in [first + 16, first + 4, 3 * 4096, NONE, 4096] {
            assert!(cells.used("cell", at).is_err(), "{at}");
        }
        let again = Cells::new(cells.bytes().to_vec()).unwrap();
        assert_eq!(again.bins().collect::<Vec<_>>(), [(0, 4096), (4096, 3 * 4096)]);
        assert!(Cells::new(vec![0; 4096]).is_err());
    }
}
