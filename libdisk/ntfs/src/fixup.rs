//! Update sequences: the last two bytes of each 512 of a structure are kept in its head, and in their place
//! stands a number that tells whether all of it was written (linux-ntfs documentation, "Fixup").

use vfs::bytes::{le16, part, put};
use vfs::{FsError, Result};

/// Bytes for each number.
const STRIDE: usize = 512;

/// Puts back the bytes, after looking at the magic number.
///
/// # Errors
/// `Corrupt` if it is another structure, or was not written whole; `place` is where on the volume it is.
pub(crate) fn take_off(bytes: &mut [u8], magic: [u8; 4], what: &'static str, place: u64) -> Result<()> {
    let corrupt = |why: String| FsError::corrupt(what, place, why);
    if part(bytes, 0, 4)? != magic {
        return Err(corrupt("it has not its magic number".to_owned()));
    }
    let (at, count) = (usize::from(le16(bytes, 4)?), usize::from(le16(bytes, 6)?));
    let sectors = bytes.len().div_euclid(STRIDE);
    if count != sectors.saturating_add(1) || !at.is_multiple_of(2) {
        return Err(corrupt(format!("its update sequence has {count} numbers")));
    }
    let sequence = part(bytes, at, count.saturating_mul(2))?.to_vec();
    // The sequence must not lie where it is to be put back.
    if at.saturating_add(sequence.len()) > STRIDE.saturating_sub(2) {
        return Err(corrupt(format!("its update sequence lies at {at}")));
    }
    let (number, kept) = sequence.split_at_checked(2).unwrap_or_default();
    let ends = (1..).map_while(|n: usize| n.checked_mul(STRIDE)?.checked_sub(2));
    for (pair, end) in kept.chunks_exact(2).zip(ends) {
        if part(bytes, end, 2)? != number {
            return Err(corrupt(format!("its write was torn at byte {end}")));
        }
        put(bytes, end, pair)?;
    }
    Ok(())
}

/// Puts the next number at the end of each 512 bytes, and keeps what was there.
///
/// # Errors
/// `Corrupt` if it is another structure, or has no place for its update sequence.
pub(crate) fn put_on(bytes: &mut [u8], magic: [u8; 4], what: &'static str, place: u64) -> Result<()> {
    let corrupt = |why: String| FsError::corrupt(what, place, why);
    if part(bytes, 0, 4)? != magic {
        return Err(corrupt("it has not its magic number".to_owned()));
    }
    let (at, count) = (usize::from(le16(bytes, 4)?), usize::from(le16(bytes, 6)?));
    let sectors = bytes.len().div_euclid(STRIDE);
    let end = at.saturating_add(count.saturating_mul(2));
    if count != sectors.saturating_add(1) || at < 8 || end > STRIDE.saturating_sub(2) {
        return Err(corrupt(format!("its update sequence has {count} numbers, at {at}")));
    }
    // 0 is that of what was never written.
    let number = le16(bytes, at)?.checked_add(1).unwrap_or(1).to_le_bytes();
    put(bytes, at, &number)?;
    let ends = (1..).map_while(|n: usize| n.checked_mul(STRIDE)?.checked_sub(2)).take(sectors);
    for (kept, end) in (at.saturating_add(2)..).step_by(2).zip(ends) {
        let pair = part(bytes, end, 2)?.to_vec();
        put(bytes, kept, &pair)?;
        put(bytes, end, &number)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_write_is_seen() {
        let mut record = vec![0; 1024];
        record[..8].copy_from_slice(&[b'F', b'I', b'L', b'E', 48, 0, 3, 0]);
        record[48..54].copy_from_slice(&[7, 0, 1, 2, 3, 4]);
        (record[510], record[1022]) = (7, 7);
        let whole = record.clone();
        take_off(&mut record, *b"FILE", "record", 0).unwrap();
        assert_eq!((&record[510..512], &record[1022..]), (&[1, 2][..], &[3, 4][..]));
        let mut again = record.clone();
        put_on(&mut again, *b"FILE", "record", 0).unwrap();
        assert_eq!((&again[48..54], &again[510..512]), (&[8, 0, 1, 2, 3, 4][..], &[8, 0][..]));
        take_off(&mut again, *b"FILE", "record", 0).unwrap();
        assert_eq!(again[510..], record[510..]);
        for (at, byte) in [(1022, 8), (6, 4), (4, 255), (0, b'B')] {
            let mut torn = whole.clone();
            torn[at] = byte;
            assert!(take_off(&mut torn, *b"FILE", "record", 0).is_err(), "{at}");
        }
    }
}
