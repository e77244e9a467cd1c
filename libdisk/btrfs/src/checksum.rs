//! The four checksums ("Checksums" in the superblock's `csum_type`).

use blake2::{Blake2b256, Digest};
use sha2::Sha256;
use twox_hash::XxHash64;
use vfs::{FsError, Result};

/// Which checksum all metadata and data of a file system have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    Crc32c,
    XxHash64,
    Sha256,
    Blake2b,
}
use Checksum::{Blake2b, Crc32c, Sha256 as Sha2, XxHash64 as XxHash};

impl Checksum {
    /// The one with this number.
    pub(crate) fn of_type(number: u16) -> Result<Self> {
        match number {
            0 => Ok(Crc32c),
            1 => Ok(XxHash),
            2 => Ok(Sha2),
            3 => Ok(Blake2b),
            _ => Err(FsError::unsupported(format!("btrfs with checksums of the unknown type {number}"))),
        }
    }

    /// As `mkfs.btrfs --checksum` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Crc32c => "crc32c",
            XxHash => "xxhash64",
            Sha2 => "sha256",
            Blake2b => "blake2b",
        }
    }

    /// How many bytes it has.
    pub(crate) fn len(self) -> usize {
        match self {
            Crc32c => 4,
            XxHash => 8,
            Sha2 | Blake2b => 32,
        }
    }

    /// Whether `stored` begins with the checksum of `bytes`.
    pub(crate) fn is_right(self, bytes: &[u8], stored: &[u8]) -> bool {
        match self {
            Crc32c => stored.starts_with(&crc32c::crc32c(bytes).to_le_bytes()),
            XxHash => stored.starts_with(&XxHash64::oneshot(0, bytes).to_le_bytes()),
            Sha2 => stored.starts_with(&Sha256::digest(bytes)),
            Blake2b => stored.starts_with(&Blake2b256::digest(bytes)),
        }
    }
}

/// The hash by which names are filed: CRC-32C from ~1 on, without inversion at the end.
pub(crate) fn name_hash(name: &[u8]) -> u64 {
    u64::from(!crc32c::crc32c_append(1, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // The key of "default" in the root tree directory, as `btrfs inspect-internal dump-tree` shows it.
        assert_eq!(name_hash(b"default"), 2_378_154_706);
        assert!(Crc32c.is_right(b"123456789", &0xe306_9283_u32.to_le_bytes()));
        assert!(XxHash.is_right(b"", &0xef46_db37_51d8_e999_u64.to_le_bytes()));
        assert!(Sha2.is_right(b"", b"\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24\x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55"));
        assert!(!Blake2b.is_right(b"", &[0; 32]));
        assert!(!Crc32c.is_right(b"", &[]));
    }
}
