//! Fields of byte buffers and widths of integers. All numbers of the format are big-endian, checksums and the
//! items of the log excepted.

pub(crate) use vfs::bytes::{
    be16, be32, be64, byte, index, le16, le32, le64, low32, part, part_mut, put, put_be16 as put16,
    put_be32 as put32, put_be64 as put64, wide,
};

/// A length or index as a 32-bit number.
pub(crate) fn word(n: impl TryInto<u32>) -> u32 {
    n.try_into().unwrap_or(u32::MAX)
}

/// A length or index as a 16-bit number.
pub(crate) fn half(n: impl TryInto<u16>) -> u16 {
    n.try_into().unwrap_or(u16::MAX)
}

/// `n` rounded up to a multiple of `unit`, a power of two.
pub(crate) fn pad(n: usize, unit: usize) -> usize {
    let mask = unit.saturating_sub(1);
    n.saturating_add(mask) & !mask
}
