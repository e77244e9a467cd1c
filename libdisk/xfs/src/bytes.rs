//! Fields of byte buffers and widths of integers, without a way to panic. All numbers of the format are big-endian,
//! checksums excepted.

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

/// A length or index as a 32-bit number.
pub(crate) fn word(n: impl TryInto<u32>) -> u32 {
    n.try_into().unwrap_or(u32::MAX)
}

/// A length or index as a 16-bit number.
pub(crate) fn half(n: impl TryInto<u16>) -> u16 {
    n.try_into().unwrap_or(u16::MAX)
}

/// The low 32 bits.
pub(crate) fn low32(n: u64) -> u32 {
    u32::try_from(n & 0xffff_ffff).unwrap_or_default()
}

/// `n` rounded up to a multiple of `unit`, a power of two.
pub(crate) fn pad(n: usize, unit: usize) -> usize {
    let mask = unit.saturating_sub(1);
    n.saturating_add(mask) & !mask
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

/// The 16-bit number at `at`.
pub(crate) fn be16(buf: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_be_bytes(chunk(buf, at)?))
}

/// The 32-bit number at `at`.
pub(crate) fn be32(buf: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_be_bytes(chunk(buf, at)?))
}

/// The 64-bit number at `at`.
pub(crate) fn be64(buf: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_be_bytes(chunk(buf, at)?))
}

/// Stores a 16-bit number.
pub(crate) fn put16(buf: &mut [u8], at: usize, n: u16) -> Result<()> {
    put(buf, at, &n.to_be_bytes())
}

/// Stores a 32-bit number.
pub(crate) fn put32(buf: &mut [u8], at: usize, n: u32) -> Result<()> {
    put(buf, at, &n.to_be_bytes())
}

/// Stores a 64-bit number.
pub(crate) fn put64(buf: &mut [u8], at: usize, n: u64) -> Result<()> {
    put(buf, at, &n.to_be_bytes())
}
