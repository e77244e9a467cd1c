//! GRUB on a disk that has an MBR and no loader: a paravirtual AMI whose first partition EC2's PV-GRUB looked
//! at.
//!
//! The partitions stay where they are: `core.img` goes into the gap between the boot record and the first of
//! them.

use block::{Error, ErrorKind, Result};
use zerocopy::{FromBytes, IntoBytes};

use crate::grub::Grub;
use crate::mbr::ondisk;

const LAYER: &str = "embed";
const SECTOR: u64 = 512;
const ACTIVE: u8 = 0x80;

/// The bytes of a disk from its first on, up to the end of `core.img`: `record`, its first sector as it is,
/// with GRUB's code, and the first partition active if none is; then `core.img`. `first` is the byte at which
/// the first partition begins.
///
/// # Errors
/// `Refused` if `record` is no master boot record, `Unsupported` if the gap is too small.
pub fn head(record: &[u8], first: u64, grub: &Grub) -> Result<Vec<u8>> {
    let found = ondisk::Mbr::read_from_bytes(record).ok().filter(|mbr| mbr.signature.get() == 0xAA55);
    let Some(mut mbr) = found else {
        return Err(Error::new(ErrorKind::Refused, LAYER, "sector 0 is no master boot record".to_owned()));
    };
    let (boot, core) = grub.installed(1);
    let gap = first.checked_div(SECTOR).unwrap_or(0).saturating_sub(1);
    let need = grub.core_sectors();
    if u64::try_from(need).unwrap_or(u64::MAX) > gap {
        let what = format!("core.img takes {need} sectors, and {gap} are free before the first partition");
        return Err(Error::unsupported(LAYER, what));
    }
    mbr.boot_code.iter_mut().zip(boot).for_each(|(place, byte)| *place = byte);
    let partitions = &mut mbr.partition_record;
    if partitions.iter().all(|partition| partition.boot_indicator != ACTIVE)
        && let Some(first) = partitions.iter_mut().find(|partition| partition.os_type != 0)
    {
        first.boot_indicator = ACTIVE;
    }
    Ok([mbr.as_bytes(), &core].concat())
}
