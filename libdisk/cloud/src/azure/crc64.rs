//! The checksum that the Blob service wants of a body: CRC-64/NVME, little-endian, in base64.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, checksum};

/// The value of `x-ms-content-crc64` for a body.
pub(super) fn of(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(checksum(CrcAlgorithm::Crc64Nvme, bytes).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-64/NVME, over "123456789", and the empty body.
    #[test]
    fn it_has_the_check_value() {
        assert_eq!(of(b"123456789"), BASE64_STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_le_bytes()));
        assert_eq!(of(b"123456789"), "iJh5CoYUi64=");
        assert_eq!(of(b""), "AAAAAAAAAAA=");
    }
}
