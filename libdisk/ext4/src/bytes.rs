//! Fields of byte buffers; all numbers of the format are little-endian, the journal excepted.

pub(crate) use vfs::bytes::{
    be16, be32, byte, index, le16, le32, low16, low32, part, part_mut, put, put_le16 as put16,
    put_le32 as put32, wide,
};

/// Two halves of 16 bits.
pub(crate) fn join16(low: u16, high: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

/// Two halves of 32 bits.
pub(crate) fn join32(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// `n` rounded up to a multiple of four.
pub(crate) fn pad4(n: usize) -> usize {
    n.saturating_add(3) & !3
}
