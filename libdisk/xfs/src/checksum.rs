//! The checksum of version 5: CRC-32C of a whole structure, its own field taken as zero, stored little-endian
//! ("Checksums" in the chapter "Self-Describing Metadata").

use vfs::Result;

use crate::bytes::{part, put};

const LEN: usize = 4;

fn sum(bytes: &[u8], at: usize) -> Result<u32> {
    part(bytes, at, LEN)?;
    let (before, rest) = bytes.split_at(at);
    let (_, after) = rest.split_at(LEN);
    Ok(crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(before), &[0; LEN]), after))
}

/// Whether the checksum at `at` is that of `bytes`.
pub(crate) fn is_right(bytes: &[u8], at: usize) -> bool {
    match (sum(bytes, at), part(bytes, at, LEN)) {
        (Ok(sum), Ok(stored)) => stored == sum.to_le_bytes(),
        _ => false,
    }
}

/// Stores the checksum of `bytes` at `at`.
pub(crate) fn update(bytes: &mut [u8], at: usize) -> Result<()> {
    let sum = sum(bytes, at)?;
    put(bytes, at, &sum.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_itself_does_not_count() {
        let mut bytes = *b"12345....6789";
        update(&mut bytes, 5).unwrap();
        assert!(is_right(&bytes, 5));
        assert_eq!(bytes[5..9], crc32c::crc32c(b"12345\0\0\0\x006789").to_le_bytes());
        bytes[12] ^= 1;
        assert!(!is_right(&bytes, 5));
        assert!(!is_right(&bytes, 10));
        assert!(update(&mut bytes, usize::MAX).is_err());
    }
}
