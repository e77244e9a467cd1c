//! A disk with a partition table of a disk that is one file system: a paravirtual AMI, which EC2's PV-GRUB
//! started.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | the master boot record: GRUB's code, one active Linux partition |
//! | 512 | GRUB's `core.img` |
//! | 1 MiB | the file system as it was |

use block::{Concat, Disk, Error, ErrorKind, Memory, Result, Zeros};
use zerocopy::IntoBytes;

use crate::grub::Grub;
use crate::mbr::ondisk;
use crate::table::{self, Kind, PartitionType};

const LAYER: &str = "wrap";
const SECTOR: u64 = 512;
/// A cylinder, head and sector that says: count in sectors.
const NO_CHS: [u8; 3] = [0xFE, 0xFF, 0xFF];
const LINUX: u8 = 0x83;

/// Bytes that go before the file system.
pub const HEAD: u64 = 1 << 20;

/// What goes before a file system on a disk of `size` bytes to start by BIOS: boot record and loader, without
/// the zeros up to [`HEAD`].
///
/// # Errors
/// `Unsupported` for a disk of 2 TiB or more, where an MBR ends, or smaller than a sector.
pub fn head(size: u64, disk_signature: u32, grub: &Grub) -> Result<Vec<u8>> {
    // a part of a sector at the end is no part of any file system
    let sectors = size.checked_div(SECTOR).unwrap_or(0);
    let start = u32::try_from(HEAD.checked_div(SECTOR).unwrap_or(0)).unwrap_or(0);
    let sectors = u32::try_from(sectors).ok().filter(|sectors| start.checked_add(*sectors).is_some());
    let Some(sectors) = sectors.filter(|sectors| *sectors > 0) else {
        return Err(Error::unsupported(LAYER, format!("an MBR takes no partition of {size} bytes")));
    };
    let (boot, core) = grub.installed(1);
    let mut boot_code = [0; 440];
    boot_code.iter_mut().zip(boot).for_each(|(place, byte)| *place = byte);
    let none = ondisk::Entry {
        boot_indicator: 0,
        starting_chs: [0; 3],
        os_type: 0,
        ending_chs: [0; 3],
        starting_lba: 0.into(),
        size_in_lba: 0.into(),
    };
    let partition = ondisk::Entry {
        boot_indicator: 0x80,
        starting_chs: NO_CHS,
        os_type: LINUX,
        ending_chs: NO_CHS,
        starting_lba: start.into(),
        size_in_lba: sectors.into(),
    };
    let mbr = ondisk::Mbr {
        boot_code,
        unique_mbr_disk_signature: disk_signature.into(),
        unknown: 0.into(),
        partition_record: [partition, none, none, none],
        signature: 0xAA55.into(),
    };
    Ok([mbr.as_bytes(), &core].concat())
}

/// `disk`, which has no partition table, behind what [`head`] made for it; it moves by [`HEAD`] bytes, and is
/// the one partition.
///
/// # Errors
/// `Refused` for a disk that has a partition table, and for a `head` that is not one for it.
pub fn wrap_bare(disk: Disk, head: &[u8]) -> Result<Disk> {
    let refused = |what: &str| Error::new(ErrorKind::Refused, LAYER, what.to_owned());
    if table::read(&disk)?.kind != Kind::None {
        return Err(refused("the disk has a partition table: nothing is put before it"));
    }
    if u64::from(disk.sector_size()) != SECTOR {
        return Err(Error::unsupported(LAYER, format!("sectors of {} bytes", disk.sector_size())));
    }
    let rest = u64::try_from(head.len()).ok().and_then(|len| HEAD.checked_sub(len));
    let rest = rest.ok_or_else(|| refused("what is to go before it is longer than 1 MiB"))?;
    let size = disk.size();
    let parts = vec![Disk::new(Memory::new(head.to_vec())), Disk::new(Zeros::new(rest)), disk];
    let wrapped = Disk::new(Concat::new(parts)?);
    let whole = HEAD..HEAD.saturating_add(size.saturating_sub(size.checked_rem(SECTOR).unwrap_or(0)));
    let found = table::read(&wrapped)?;
    match (found.kind, found.partitions.as_slice()) {
        (Kind::Mbr { .. }, [one])
            if one.range == whole && one.partition_type == PartitionType::Mbr(LINUX) =>
        {
            Ok(wrapped)
        }
        _ => Err(refused("what is to go before it is no boot record for a disk of its size")),
    }
}
