//! Fields of byte buffers and widths of integers, for drivers: without a way to panic, whatever a volume
//! says.
//!
//! A field that does not lie in its buffer is [`FsError::Corrupt`], at its place in the buffer.

use crate::{FsError, Result};

fn short(at: usize) -> FsError {
    FsError::corrupt("a field", wide(at), "it lies past the end of its structure")
}

/// A number as an index; what does not fit becomes one that no buffer has.
pub fn index(n: impl TryInto<usize>) -> usize {
    n.try_into().unwrap_or(usize::MAX)
}

/// A length or index as a 64-bit number.
pub fn wide(n: impl TryInto<u64>) -> u64 {
    n.try_into().unwrap_or(u64::MAX)
}

/// The low 16 bits.
pub fn low16(n: impl Into<u64>) -> u16 {
    u16::try_from(n.into() & 0xffff).unwrap_or_default()
}

/// The low 32 bits.
pub fn low32(n: u64) -> u32 {
    u32::try_from(n & 0xffff_ffff).unwrap_or_default()
}

/// A label as `blkid` and udev show it: up to its first zero, without blanks at its end, bytes that are not
/// UTF-8 as `\x90`; `None` for an empty one.
pub fn label(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let text: String = bytes
        .utf8_chunks()
        .map(|chunk| chunk.valid().to_owned() + &chunk.invalid().escape_ascii().to_string())
        .collect();
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}

/// `len` bytes at `at`.
///
/// # Errors
/// `Corrupt` if they do not lie in `buf`; so for all that follow.
pub fn part(buf: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    at.checked_add(len).and_then(|end| buf.get(at..end)).ok_or_else(|| short(at))
}

/// `len` bytes at `at`, to be changed.
///
/// # Errors
/// As [`part`].
pub fn part_mut(buf: &mut [u8], at: usize, len: usize) -> Result<&mut [u8]> {
    at.checked_add(len).and_then(|end| buf.get_mut(at..end)).ok_or_else(|| short(at))
}

/// Copies `bytes` to `at`.
///
/// # Errors
/// As [`part`].
pub fn put(buf: &mut [u8], at: usize, bytes: &[u8]) -> Result<()> {
    part_mut(buf, at, bytes.len())?.copy_from_slice(bytes);
    Ok(())
}

fn array<const N: usize>(buf: &[u8], at: usize) -> Result<[u8; N]> {
    buf.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or_else(|| short(at))
}

/// The byte at `at`.
///
/// # Errors
/// As [`part`].
pub fn byte(buf: &[u8], at: usize) -> Result<u8> {
    buf.get(at).copied().ok_or_else(|| short(at))
}

/// The little-endian 16-bit number at `at`.
///
/// # Errors
/// As [`part`].
pub fn le16(buf: &[u8], at: usize) -> Result<u16> {
    array(buf, at).map(u16::from_le_bytes)
}

/// The little-endian 32-bit number at `at`.
///
/// # Errors
/// As [`part`].
pub fn le32(buf: &[u8], at: usize) -> Result<u32> {
    array(buf, at).map(u32::from_le_bytes)
}

/// The little-endian 64-bit number at `at`.
///
/// # Errors
/// As [`part`].
pub fn le64(buf: &[u8], at: usize) -> Result<u64> {
    array(buf, at).map(u64::from_le_bytes)
}

/// The big-endian 16-bit number at `at`.
///
/// # Errors
/// As [`part`].
pub fn be16(buf: &[u8], at: usize) -> Result<u16> {
    array(buf, at).map(u16::from_be_bytes)
}

/// The big-endian 32-bit number at `at`.
///
/// # Errors
/// As [`part`].
pub fn be32(buf: &[u8], at: usize) -> Result<u32> {
    array(buf, at).map(u32::from_be_bytes)
}

/// The big-endian 64-bit number at `at`.
///
/// # Errors
/// As [`part`].
pub fn be64(buf: &[u8], at: usize) -> Result<u64> {
    array(buf, at).map(u64::from_be_bytes)
}

/// Stores a little-endian 16-bit number.
///
/// # Errors
/// As [`part`].
pub fn put_le16(buf: &mut [u8], at: usize, n: u16) -> Result<()> {
    put(buf, at, &n.to_le_bytes())
}

/// Stores a little-endian 32-bit number.
///
/// # Errors
/// As [`part`].
pub fn put_le32(buf: &mut [u8], at: usize, n: u32) -> Result<()> {
    put(buf, at, &n.to_le_bytes())
}

/// Stores a little-endian 64-bit number.
///
/// # Errors
/// As [`part`].
pub fn put_le64(buf: &mut [u8], at: usize, n: u64) -> Result<()> {
    put(buf, at, &n.to_le_bytes())
}

/// Stores a big-endian 16-bit number.
///
/// # Errors
/// As [`part`].
pub fn put_be16(buf: &mut [u8], at: usize, n: u16) -> Result<()> {
    put(buf, at, &n.to_be_bytes())
}

/// Stores a big-endian 32-bit number.
///
/// # Errors
/// As [`part`].
pub fn put_be32(buf: &mut [u8], at: usize, n: u32) -> Result<()> {
    put(buf, at, &n.to_be_bytes())
}

/// Stores a big-endian 64-bit number.
///
/// # Errors
/// As [`part`].
pub fn put_be64(buf: &mut [u8], at: usize, n: u64) -> Result<()> {
    put(buf, at, &n.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_orders() {
        let mut buf = *b"\x01\x02\x03\x04\x05\x06\x07\x08\x09";
        assert_eq!((le16(&buf, 1).unwrap(), be16(&buf, 1).unwrap()), (0x0302, 0x0203));
        assert_eq!((le32(&buf, 1).unwrap(), be32(&buf, 1).unwrap()), (0x0504_0302, 0x0203_0405));
        assert_eq!(le64(&buf, 1).unwrap(), be64(&buf, 1).unwrap().swap_bytes());
        put_le16(&mut buf, 7, 0xabcd).unwrap();
        assert_eq!(buf[6..], [7, 0xcd, 0xab]);
    }

    #[test]
    fn what_lies_outside_is_corrupt_at_its_place() {
        let mut buf = [0; 4];
        let at = |result: Result<()>| match result {
            Err(FsError::Corrupt { offset, .. }) => offset,
            other => panic!("{other:?}"),
        };
        assert_eq!(at(le32(&buf, 1).map(drop)), 1);
        assert_eq!(at(byte(&buf, 4).map(drop)), 4);
        assert_eq!(at(part(&buf, usize::MAX, 2).map(drop)), u64::MAX);
        assert_eq!(at(put_be64(&mut buf, 0, 1)), 0);
        assert!(part(&buf, 4, 0).unwrap().is_empty());
    }
}
