//! The table of capitals, by which names are compared: each volume has its own (linux-ntfs documentation,
//! "$UpCase").

use std::cmp::Ordering;

use vfs::{FsError, Result};

/// Bytes of the table: one unit of UTF-16 for each.
const LEN: usize = 128 << 10;

/// The capitals of a volume.
#[derive(Debug, Clone)]
pub(crate) struct Capitals(Vec<u16>);

impl Capitals {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != LEN {
            return Err(FsError::corrupt("$UpCase", 0, format!("it has {} bytes", bytes.len())));
        }
        Ok(Self(crate::attribute::units(bytes)))
    }

    /// Bytes that it may have.
    pub(crate) const MOST: u64 = 128 << 10;

    fn of(&self, unit: u16) -> u16 {
        self.0.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// The order of names in an index.
    pub(crate) fn order(&self, a: &[u16], b: &[u16]) -> Ordering {
        a.iter().map(|unit| self.of(*unit)).cmp(b.iter().map(|unit| self.of(*unit)))
    }

    /// The order of names where some differ in case alone.
    pub(crate) fn full_order(&self, a: &[u16], b: &[u16]) -> Ordering {
        self.order(a, b).then_with(|| a.cmp(b))
    }
}
