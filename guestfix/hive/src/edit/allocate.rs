//! Cells: the first free one that is large enough is taken, neighbours that are free become one.

use std::collections::BTreeMap;

use super::Edit;
use crate::cells::{BIN_HEADER, CELL_HEADER, CELL_UNIT, Cells, narrow};
use crate::error::{Error, Result};

/// The free cells: where each is, and its size.
#[derive(Debug)]
pub(super) struct Free(BTreeMap<u32, u32>);

impl Free {
    pub(super) fn of(cells: &Cells) -> Result<Self> {
        let mut free = BTreeMap::new();
        for (start, end) in cells.bins() {
            let mut at = start.saturating_add(BIN_HEADER);
            while at < end {
                let (len, used) = cells.cell(at)?;
                if !used {
                    free.insert(at, len);
                }
                at = at.saturating_add(len);
            }
        }
        Ok(Self(free))
    }
}

impl Edit {
    /// A cell for so many bytes, which are zero.
    pub(super) fn allocate(&mut self, bytes: usize) -> Result<u32> {
        let full = || Error::Refused { what: format!("{bytes} bytes"), why: "no cell is as large" };
        let wanted = narrow(bytes).checked_add(CELL_HEADER);
        let wanted = wanted.and_then(|len| len.checked_next_multiple_of(CELL_UNIT)).ok_or_else(full)?;
        let fit = self.free.0.iter().find(|(_, len)| **len >= wanted).map(|(at, len)| (*at, *len));
        let (at, len) = match fit {
            Some(fit) => fit,
            None => self.grow(wanted)?,
        };
        self.free.0.remove(&at);
        let rest = len.saturating_sub(wanted);
        if rest > 0 {
            let behind = at.saturating_add(wanted);
            self.hive.cells.set_cell(behind, rest, false)?;
            self.free.0.insert(behind, rest);
        }
        self.hive.cells.set_cell(at, wanted, true)?;
        self.hive.cells.used_mut("cell", at)?.fill(0);
        self.changed = true;
        Ok(at)
    }

    /// A new bin, in what the file has behind the bins first.
    fn grow(&mut self, len: u32) -> Result<(u32, u32)> {
        let before = self.hive.cells.bytes().len();
        let cell = self.hive.cells.grow(len, self.time)?;
        let grown = self.hive.cells.bytes().len().saturating_sub(before);
        self.hive.slack.drain(..grown.min(self.hive.slack.len()));
        Ok(cell)
    }

    /// Frees a cell.
    pub(super) fn release(&mut self, at: u32) -> Result<()> {
        let (mut len, used) = self.hive.cells.cell(at)?;
        if !used {
            return Err(Error::corrupt("cell", at, "it is free already"));
        }
        let mut start = at;
        // Bins begin with a header, so neighbours are in one bin.
        if let Some(behind) = self.free.0.remove(&at.saturating_add(len)) {
            len = len.saturating_add(behind);
        }
        let front = self.free.0.range(..at).next_back().map(|(at, len)| (*at, *len));
        if let Some((front, size)) = front.filter(|(front, size)| front.saturating_add(*size) == at) {
            self.free.0.remove(&front);
            (start, len) = (front, len.saturating_add(size));
        }
        self.hive.cells.set_cell(start, len, false)?;
        self.free.0.insert(start, len);
        self.changed = true;
        Ok(())
    }

    /// Writes the whole content of a cell; what it has more of stays as it is.
    pub(super) fn fill(&mut self, at: u32, bytes: &[u8]) -> Result<()> {
        let place = self.hive.cells.used_mut("cell", at)?.get_mut(..bytes.len());
        let small = || Error::corrupt("cell", at, "it is smaller than what is to be in it");
        place.ok_or_else(small)?.copy_from_slice(bytes);
        self.changed = true;
        Ok(())
    }

    /// Puts new content into a cell if that is large enough, else into a new one in its place.
    pub(super) fn replace(&mut self, at: Option<u32>, bytes: &[u8]) -> Result<u32> {
        let place = match at {
            Some(at) if self.hive.cells.used("cell", at)?.len() >= bytes.len() => at,
            other => {
                let place = self.allocate(bytes.len())?;
                if let Some(old) = other {
                    self.release(old)?;
                }
                place
            }
        };
        self.fill(place, bytes)?;
        Ok(place)
    }
}
