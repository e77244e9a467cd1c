//! Security descriptors: `sk` cells, in a ring, each with the number of keys that have it (regf
//! specification, "Key security").

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::cells::Cells;
use crate::error::{Error, Result};

/// The head of a descriptor's cell.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Security {
    magic: [u8; 2],
    spare: U16,
    pub(crate) next: U32,
    pub(crate) previous: U32,
    pub(crate) users: U32,
    pub(crate) len: U32,
}

impl Security {
    pub(crate) fn read(cells: &Cells, at: u32) -> Result<Self> {
        let found: Self = cells.read("security descriptor", at)?;
        match &found.magic {
            b"sk" => Ok(found),
            _ => Err(Error::corrupt("security descriptor", at, "it is no sk cell")),
        }
    }

    pub(crate) fn write(&self, cells: &mut Cells, at: u32) -> Result<()> {
        cells.write("security descriptor", at, self)
    }
}
