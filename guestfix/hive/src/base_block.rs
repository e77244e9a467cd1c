//! The base block: the first 4 KiB of a hive, and with 512 bytes of each of its logs (regf specification,
//! "Base block").

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Error, Result};

/// Bytes of a hive in front of its bins.
pub(crate) const LEN: usize = 4096;
pub(crate) const LEN64: u64 = 4096;

/// The unit in which bins are allocated.
pub(crate) const BIN_UNIT: u32 = 4096;

/// More than this no hive has: an offset of a cell is a number of 31 bits.
const LARGEST_BINS: u32 = 0x7FFF_F000;

/// The file is a primary one.
const PRIMARY: u32 = 0;

/// What a base block says, without the padding behind its checksum.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct BaseBlock {
    magic: [u8; 4],
    /// The number of the last write that was begun.
    pub(crate) primary: U32,
    /// The number of the last write that was ended.
    pub(crate) secondary: U32,
    /// In units of 100 ns since 1601.
    pub(crate) last_written: U64,
    major: U32,
    pub(crate) minor: U32,
    /// 0 in a hive; 1, 2 and 6 in logs.
    pub(crate) kind: U32,
    format: U32,
    /// The root's cell.
    pub(crate) root: U32,
    pub(crate) bins_size: U32,
    clustering: U32,
    name: [u8; 64],
    ids: [u8; 32],
    /// What a log's entry says of the hive, from Windows 8.1 on.
    flags: U32,
    reserved: [u8; 360],
    checksum: U32,
}

const _: () = assert!(size_of::<BaseBlock>() == 512);

impl BaseBlock {
    /// The base block at the start of a hive or a log.
    pub(crate) fn read(file: &[u8]) -> Result<Self> {
        let (block, _) = Self::read_from_prefix(file).map_err(|_| Error::NoHive("it is too short"))?;
        if &block.magic != b"regf" {
            return Err(Error::NoHive("it does not begin with regf"));
        }
        Ok(block)
    }

    /// That of a hive that can be read: its versions and its sizes are in the format's bounds.
    pub(crate) fn of_hive(file: &[u8]) -> Result<Self> {
        let block = Self::read(file)?;
        block.fits()?;
        if block.kind.get() != PRIMARY {
            return Err(Error::NoHive("it is the log of one"));
        }
        Ok(block)
    }

    /// Whether versions and sizes are in the format's bounds.
    pub(crate) fn fits(&self) -> Result<()> {
        if self.major.get() != 1 || !(3..=6).contains(&self.minor.get()) {
            let what = format!("version {}.{}", self.major, self.minor);
            return Err(Error::Unsupported { what });
        }
        if self.format.get() != 1 || self.clustering.get() != 1 {
            let what = format!("format {} and clustering factor {}", self.format, self.clustering);
            return Err(Error::Unsupported { what });
        }
        let size = self.bins_size.get();
        if size == 0 || !size.is_multiple_of(BIN_UNIT) || size > LARGEST_BINS {
            let why = format!("its bins have {size} bytes");
            return Err(Error::Corrupt { what: "base block", offset: 40, why });
        }
        Ok(())
    }

    /// The exclusive or of all words before the checksum; 0 and all ones are kept for other uses.
    fn sum(&self) -> u32 {
        let words = self.as_bytes().as_chunks::<4>().0;
        let sum = words.iter().take(127).fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
        match sum {
            0 => 1,
            u32::MAX => u32::MAX - 1,
            sum => sum,
        }
    }

    /// Whether it was written whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.checksum.get() == self.sum()
    }

    /// Whether the hive's last write was ended.
    pub(crate) fn is_clean(&self) -> bool {
        self.is_whole() && self.primary == self.secondary
    }

    /// Takes the flag that a log's entry says.
    pub(crate) fn set_log_flags(&mut self, flags: u32) {
        self.flags = (self.flags.get() & !1 | flags & 1).into();
    }

    /// Makes its checksum right.
    pub(crate) fn seal(&mut self) {
        self.checksum = self.sum().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_never_0_nor_all_ones() {
        let mut block = BaseBlock::read_from_bytes(&[0; 512]).unwrap();
        assert_eq!(block.sum(), 1);
        block.primary = u32::MAX.into();
        assert_eq!(block.sum(), u32::MAX - 1);
        block.seal();
        assert!(block.is_whole() && !block.is_clean());
        block.secondary = u32::MAX.into();
        block.seal();
        assert!(block.is_clean());
    }
}
