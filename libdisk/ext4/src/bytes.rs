//! Fields of byte buffers and widths of integers, without a way to panic.

use vfs::{FsError, Result};

fn short(at: usize) -> FsError {
    FsError::corrupt("a field", wide(at), "it lies past the end of its structure")
}

/// A number as an index; what does not fit becomes one that no buffer has.
pub(crate) fn index(n: impl TryInto<usize>) -> usize {
    n.try_into().unwrap_or(usize::MAX)
}

/// A length or index as a 64-bit number.
pub(crate) fn wide(n: impl TryInto<u64>) -> u64 {
    n.try_into().unwrap_or(u64::MAX)
}

/// The low 16 bits.
pub(crate) fn low16(n: impl Into<u64>) -> u16 {
    u16::try_from(n.into() & 0xffff).unwrap_or_default()
}

/// The low 32 bits.
pub(crate) fn low32(n: u64) -> u32 {
    u32::try_from(n & 0xffff_ffff).unwrap_or_default()
}

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

/// `len` bytes at `at`.
pub(crate) fn part(buf: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    at.checked_add(len).and_then(|end| buf.get(at..end)).ok_or_else(|| short(at))
}

/// `len` bytes at `at`, to be changed.
pub(crate) fn part_mut(buf: &mut [u8], at: usize, len: usize) -> Result<&mut [u8]> {
    at.checked_add(len).and_then(|end| buf.get_mut(at..end)).ok_or_else(|| short(at))
}

/// Copies `bytes` to `at`.
pub(crate) fn put(buf: &mut [u8], at: usize, bytes: &[u8]) -> Result<()> {
    part_mut(buf, at, bytes.len())?.copy_from_slice(bytes);
    Ok(())
}

fn chunk<const N: usize>(buf: &[u8], at: usize) -> Result<[u8; N]> {
    buf.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or_else(|| short(at))
}

/// The byte at `at`.
pub(crate) fn byte(buf: &[u8], at: usize) -> Result<u8> {
    buf.get(at).copied().ok_or_else(|| short(at))
}

/// The little-endian 16-bit number at `at`.
pub(crate) fn le16(buf: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_le_bytes(chunk(buf, at)?))
}

/// The little-endian 32-bit number at `at`.
pub(crate) fn le32(buf: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(chunk(buf, at)?))
}

/// Stores a little-endian 16-bit number.
pub(crate) fn put16(buf: &mut [u8], at: usize, n: u16) -> Result<()> {
    put(buf, at, &n.to_le_bytes())
}

/// Stores a little-endian 32-bit number.
pub(crate) fn put32(buf: &mut [u8], at: usize, n: u32) -> Result<()> {
    put(buf, at, &n.to_le_bytes())
}
