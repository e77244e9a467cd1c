//! The two checksums of the format ("ext4 disk layout: Checksums").

/// CRC-32C as the format chains it: no inversion before or after.
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// CRC-16 (reflected polynomial 0xA001), which group descriptors had before CRC-32C.
pub(crate) fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // The check values of the CRC catalogue: CRC-32C inverted at both ends, CRC-16/ARC.
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
        assert_eq!(crc32c(crc32c(7, b"12345"), b"6789"), crc32c(7, b"123456789"));
    }
}
