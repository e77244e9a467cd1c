//! The boot sector: sizes, and where the master file table begins (linux-ntfs documentation, "$Boot").

use block::Disk;
use vfs::bytes::{byte, le16, le64};
use vfs::{FsError, Result};

/// Bytes of it that are looked at.
const LEN: usize = 512;

/// What the boot sector says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BootSector {
    pub(crate) cluster_size: u32,
    /// Bytes of the volume, without the last sector, which is a copy of this one.
    pub(crate) size: u64,
    pub(crate) clusters: u64,
    /// The first cluster of the master file table.
    pub(crate) mft: u64,
    /// Bytes of a record of the master file table.
    pub(crate) record_size: u32,
    pub(crate) serial: u64,
}

/// What stands where an OEM's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Ntfs,
    BitLocker,
}

/// Whether a volume has the marks of NTFS.
pub(crate) fn mark(sector: &[u8]) -> Option<Mark> {
    match sector.get(3..11)? {
        b"NTFS    " => Some(Mark::Ntfs),
        b"-FVE-FS-" => Some(Mark::BitLocker),
        _ => None,
    }
}

fn corrupt(what: impl Into<String>) -> FsError {
    FsError::corrupt("boot sector", 0, what.into())
}

/// A size as a number of clusters, or if negative as a power of two of bytes.
fn size(coded: u8, cluster: u32) -> Option<u32> {
    match i8::from_le_bytes([coded]) {
        n @ 1.. => cluster.checked_mul(u32::from(n.unsigned_abs())),
        n => 1_u32.checked_shl(u32::from(n.unsigned_abs())),
    }
}

impl BootSector {
    pub(crate) fn read(disk: &Disk) -> Result<Self> {
        if disk.size() < 512 {
            return Err(corrupt("the volume is smaller than it"));
        }
        let sector = disk.read_vec(0, LEN)?;
        match mark(&sector) {
            Some(Mark::Ntfs) => {}
            Some(Mark::BitLocker) => return Err(FsError::unsupported("a volume that BitLocker encrypts")),
            None => return Err(corrupt("it does not say NTFS")),
        }
        let sector_size = u32::from(le16(&sector, 11)?);
        if ![512, 1024, 2048, 4096].contains(&sector_size) {
            return Err(corrupt(format!("its sectors have {sector_size} bytes")));
        }
        // From 128 on the number is a power of two: clusters of 64 KiB and more.
        let sectors = match byte(&sector, 13)? {
            n @ 1..=128 if n.is_power_of_two() => u32::from(n),
            n @ 0xf4..=0xff => 1_u32.checked_shl(u32::from(n.wrapping_neg())).unwrap_or(0),
            n => return Err(corrupt(format!("a cluster has {n} sectors"))),
        };
        let cluster_size = sectors.checked_mul(sector_size).filter(|size| *size <= 2 << 20);
        let cluster_size = cluster_size.ok_or_else(|| corrupt("its clusters are larger than 2 MiB"))?;
        let total = le64(&sector, 40)?;
        let bytes = total.checked_mul(u64::from(sector_size)).filter(|size| *size <= disk.size());
        let bytes = bytes.ok_or_else(|| corrupt(format!("its {total} sectors do not fit the device")))?;
        let clusters = bytes.div_euclid(u64::from(cluster_size));
        let record_size = size(byte(&sector, 64)?, cluster_size).filter(|size| [1024, 4096].contains(size));
        let record_size =
            record_size.ok_or_else(|| FsError::unsupported("records of another size than 1 or 4 KiB"))?;
        let mft = le64(&sector, 48)?;
        if mft >= clusters {
            return Err(corrupt(format!("its master file table begins at cluster {mft} of {clusters}")));
        }
        let serial = le64(&sector, 72)?;
        Ok(Self { cluster_size, size: bytes, clusters, mft, record_size, serial })
    }
}
