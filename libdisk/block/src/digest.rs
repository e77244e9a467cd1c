//! A digest of a device's content.

use sha2::{Digest, Sha256};

use crate::zero::{GRANULE, is_zero};
use crate::{Disk, Event, ExtentKind, Observer, Result};

/// The largest piece read at once, in bytes.
const PIECE: u64 = 1 << 20;

/// SHA-256 of the content's non-zero runs with their offsets, and of the size: two devices with the same
/// bytes have the same digest however their zeros are stored, and zeros cost nothing.
///
/// Hashed are, for each aligned block of 4 KiB (the last one may be short) that is not all zeros, ascending:
/// its offset as 8 bytes, little-endian, and its bytes; then the size of the device in the same form.
///
/// # Errors
/// What the device reports.
pub fn digest(disk: &Disk, observer: &dyn Observer) -> Result<[u8; 32]> {
    let size = disk.size();
    observer.on(Event::started("digest", Some(size)));
    let mut hash = Sha256::new();
    let mut buf = vec![0; PIECE.min(size) as usize];
    let mut at = 0;
    while at < size {
        observer.go_on()?;
        let extent = disk.extent_at(at..size)?;
        // Whole blocks only: one that is zero in part is hashed as one.
        let zeros = match extent.kind {
            ExtentKind::Data => 0,
            ExtentKind::Zero if at + extent.len == size => extent.len,
            ExtentKind::Zero => extent.len - extent.len % GRANULE as u64,
        };
        let len = if zeros > 0 {
            zeros
        } else {
            let len = extent.len.next_multiple_of(GRANULE as u64).min(PIECE).min(size - at);
            let bytes = &mut buf[..len as usize];
            disk.read_at(bytes, at)?;
            for (block, offset) in bytes.chunks(GRANULE).zip((at..).step_by(GRANULE)) {
                if !is_zero(block) {
                    hash.update(offset.to_le_bytes());
                    hash.update(block);
                }
            }
            len
        };
        at += len;
        observer.on(Event::advanced(len));
    }
    hash.update(size.to_le_bytes());
    observer.on(Event::finished());
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Concat, Memory, Overlay, Silent, Zeros};

    fn of(disk: &Disk) -> [u8; 32] {
        digest(disk, &Silent).unwrap()
    }

    #[test]
    fn the_representation_does_not_matter() {
        let size = (3 << 20) + 700;
        let mut bytes = vec![0; size];
        bytes[5000] = 1;
        bytes[2 << 20..(2 << 20) + 9000].fill(7);
        bytes[size - 1] = 3;
        let flat = Disk::new(Memory::new(bytes.clone()));

        let overlay = Overlay::new(Disk::new(Memory::new(vec![9; size]))).unwrap();
        overlay.writer().zero_range(0..size as u64).unwrap();
        overlay.writer().write_at(&bytes[5000..5001], 5000).unwrap();
        overlay.writer().write_at(&[7; 9000], 2 << 20).unwrap();
        overlay.writer().write_at(&[3], size as u64 - 1).unwrap();
        assert_eq!(of(&flat), of(&overlay.disk()));
    }

    #[test]
    fn content_place_and_size_matter() {
        let disk = |bytes: &[u8], zeros: u64| {
            let parts = vec![Disk::new(Memory::new(bytes.to_vec())), Disk::new(Zeros::new(zeros))];
            Disk::new(Concat::new(parts).unwrap())
        };
        let mut moved = vec![0; 4096];
        moved.extend([5; 4096]);
        let digests = [
            of(&disk(&[5; 4096], 4096)),
            of(&disk(&[5; 4096], 4097)),
            of(&disk(&[6; 4096], 4096)),
            of(&disk(&moved, 0)),
            of(&disk(&[], 8192)),
        ];
        for (i, digest) in digests.iter().enumerate() {
            assert!(!digests[..i].contains(digest), "{i}");
        }
        let empty: [u8; 32] = Sha256::digest(8192u64.to_le_bytes()).into();
        assert_eq!(digests[4], empty);
    }

    #[test]
    fn zeros_of_any_size_cost_nothing() {
        of(&Disk::new(Zeros::new(1 << 50)));
    }
}
