//! What tells one disk from another.

use block::{Disk, Result};
use sha2::{Digest, Sha256};
use volume::lvm2;

/// How much of the start of the disk, and of each partition, makes its identity: every super block lies in
/// it.
const HEAD: u64 = 68 << 10;
/// How much of the end: the backup GPT.
const TAIL: u64 = 33 * 512;

/// SHA-256 over the size, both ends, the partition table, and the start of each partition and logical volume
/// with its super block, as far as it lies on this disk. A few hundred KiB are read; a change deep inside a
/// file that leaves every super block as it was is not seen. Which other disks there are makes no difference.
///
/// # Errors
/// What the device reports. A damaged partition table counts as none.
pub fn identity(disk: &Disk) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update(b"refloat source identity 1\0");
    hash.update(disk.size().to_le_bytes());
    let mut add = |disk: &Disk, start: u64, end: u64| -> Result<()> {
        let len = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        hash.update(start.to_le_bytes());
        hash.update(disk.read_vec(start, len)?);
        Ok(())
    };
    add(disk, 0, HEAD.min(disk.size()))?;
    add(disk, disk.size().saturating_sub(TAIL), disk.size())?;
    match volume::read(disk) {
        Ok(table) => {
            for partition in &table.partitions {
                let start = partition.range.start;
                add(disk, start, partition.range.end.min(start.saturating_add(HEAD)))?;
            }
            let groups = lvm2::scan_disk(disk, &table)?.groups;
            for volume in groups.iter().flat_map(|group| &group.volumes) {
                match (&volume.map, &volume.known) {
                    (Ok(map), _) => {
                        let volume = map.open(std::slice::from_ref(disk))?;
                        add(&volume, 0, HEAD.min(volume.size()))?;
                    }
                    // It has parts on other disks.
                    (Err(_), Some(known)) => {
                        let pieces = known.pieces(0..HEAD, 0)?;
                        pieces.iter().try_for_each(|piece| add(disk, piece.start, piece.end))?;
                    }
                    (Err(_), None) => {}
                }
            }
        }
        Err(error) => tracing::debug!(%error, "identity without a partition table"),
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use block::Memory;

    use super::*;

    #[test]
    fn size_ends_and_super_blocks_count() {
        let of = |bytes: Vec<u8>| identity(&Disk::new(Memory::new(bytes))).unwrap();
        let plain = of(vec![0; 1 << 20]);
        assert_eq!(plain, of(vec![0; 1 << 20]));
        assert_ne!(plain, of(vec![0; (1 << 20) + 512]));
        for at in [0, 1080, 0x10040, (1 << 20) - 1] {
            let mut bytes = vec![0; 1 << 20];
            bytes[at] = 1;
            assert_ne!(plain, of(bytes), "byte {at}");
        }
        of(Vec::new());
    }
}
