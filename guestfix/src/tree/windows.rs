//! The volumes of a Windows guest: the one that starts, of several, and the one that the firmware starts from.

use std::collections::BTreeSet;

use hive::Hive;
use hive::bcd::{Device, Element, OS_DEVICE, Partition};
use libdisk::vfs::{self, FileSystem, FsError};

use super::open::{Found, failed, has};
use crate::facts::{TableKind, Volume};
use crate::{Error, Result, edit};

/// Where on a volume a boot configuration is: for UEFI, and for BIOS.
pub(super) const STORES: [&str; 2] = ["EFI/Microsoft/Boot/BCD", "Boot/BCD"];

/// What is larger is no boot configuration: real ones have less than 1 MiB.
const STORE: u64 = 16 << 20;

/// Of several volumes that hold Windows, the one that the default entries of the boot configurations name.
///
/// # Errors
/// `Refused`, by their names, if these name none or several of them.
pub(super) fn of_several(found: &[Found], roots: &[usize]) -> Result<usize> {
    let mut chosen = BTreeSet::new();
    for volume in found {
        let Some(fs) = &volume.fs else { continue };
        for path in STORES {
            let Some(content) = content(&**fs, path).map_err(|source| failed(&volume.volume, source))? else {
                continue;
            };
            let Some(partition) = os_partition(content) else { continue };
            let is_it = |index: &&usize| is_partition(&found[**index].volume, &partition);
            chosen.extend(roots.iter().find(is_it).copied());
        }
    }
    if let [one] = chosen.iter().copied().collect::<Vec<_>>().as_slice() {
        return Ok(*one);
    }
    let names: Vec<&str> = roots.iter().map(|index| found[*index].volume.name.as_str()).collect();
    let which = if chosen.is_empty() { "none of them as what starts" } else { "several of them" };
    let names = names.join(" and ");
    Err(Error::Refused(format!(
        "{names} hold a Windows each, and the boot configurations name {which}: leave one on the disk, or make it the default of the boot menu"
    )))
}

/// The partition of the default entry of a boot configuration; `None` also where it cannot be read.
fn os_partition(content: Vec<u8>) -> Option<Partition> {
    let hive = Hive::open(content).ok()?;
    let (_, object) = hive.bcd().ok()?.default_object().ok()??;
    match object.element(OS_DEVICE).ok()?? {
        Element::Device(Device::Partition(partition)) => Some(partition),
        _ => None,
    }
}

/// Whether a boot configuration means this volume.
pub(crate) fn is_partition(volume: &Volume, partition: &Partition) -> bool {
    let Some(known) = volume.partuuid.as_deref() else { return false };
    match partition {
        Partition::Gpt { partition, .. } => known.eq_ignore_ascii_case(&partition.to_string()),
        Partition::Mbr { disk, start } => {
            let of_disk =
                known.get(..9).is_some_and(|head| head.eq_ignore_ascii_case(&format!("{disk:08x}-")));
            of_disk && volume.device.range().is_some_and(|range| range.start == *start)
        }
    }
}

/// Whether this is the volume that MountedDevices means: by the disk's signature and the volume's first byte,
/// or by the GUID of the partition.
pub(crate) fn is_mounted(volume: &Volume, data: &[u8]) -> bool {
    match data.split_first_chunk::<8>() {
        Some((b"DMIO:ID:", guid)) => match <[u8; 16]>::try_from(guid) {
            Ok([a, b, c, d, e, f, g, h, rest @ ..]) => {
                let mixed = [d, c, b, a, f, e, h, g];
                let digits = edit::hex(&[&mixed[..], &rest].concat());
                let known = volume.partuuid.as_deref().unwrap_or_default().replace('-', "");
                known.eq_ignore_ascii_case(&digits)
            }
            Err(_) => false,
        },
        Some(([a, b, c, d, low @ ..], high)) if high.len() == 4 => {
            let start = [&low[..], high].concat().try_into().map(u64::from_le_bytes);
            let disk = u32::from_le_bytes([*a, *b, *c, *d]);
            start.is_ok_and(|start| is_partition(volume, &Partition::Mbr { disk, start }))
        }
        _ => false,
    }
}

/// The volume that the firmware starts from, where it is not that of Windows: on a GPT the EFI system
/// partition, with a boot configuration if one has it; else the active partition, or a partition of that kind.
pub(super) fn system_partition(table: TableKind, found: &[Found], root: usize) -> Option<usize> {
    let on_first = |index: &usize| found[*index].volume.device.disks().contains(&0);
    let active = (0..found.len()).filter(on_first).find(|index| found[*index].is_active);
    if let (TableKind::Mbr, Some(active)) = (table, active) {
        return Some(active).filter(|active| *active != root);
    }
    let of_efi: Vec<usize> = (0..found.len()).filter(on_first).filter(|index| found[*index].is_esp).collect();
    let configured = |index: &&usize| {
        let fs = found[**index].fs.as_ref();
        fs.is_some_and(|fs| has(&**fs, STORES[0]).unwrap_or(false))
    };
    of_efi.iter().find(configured).or(of_efi.first()).copied()
}

/// The content of a file; `None` if there is none, or if it is far too large.
fn content(fs: &dyn FileSystem, path: &str) -> vfs::Result<Option<Vec<u8>>> {
    let step = |dir, name: &str| fs.lookup(dir, name.as_bytes());
    let node = match path.split('/').try_fold(fs.root(), step) {
        Ok(node) => node,
        Err(FsError::NotFound | FsError::NotADirectory) => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = fs.metadata(node)?.size;
    let Some(size) = usize::try_from(size).ok().filter(|_| size <= STORE) else { return Ok(None) };
    let mut content = vec![0; size];
    let mut at = 0;
    while let Some(rest) = content.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match fs.read_at(node, rest, at as u64)? {
            0 => break,
            got => at += got,
        }
    }
    content.truncate(at);
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use libdisk::block::{Disk, Zeros};
    use libdisk::vfs::MemoryFs;

    use super::*;
    use crate::device::{Device as Place, Part};
    use crate::registry::testing::store;

    const SIGNATURE: u32 = 0x1ec2_a517;

    /// A volume at this MiB, with these files.
    fn found(number: u32, mib: u64, files: &[(&str, &[u8])]) -> Found {
        let fs = files
            .iter()
            .fold(MemoryFs::from_entries::<&str, &str>([]), |fs, (path, content)| fs.file(path, content));
        let range = mib << 20..(mib + 1) << 20;
        let volume = Volume {
            name: format!("p{number}"),
            number,
            device: Place::Range(Part { disk: 0, range }),
            partuuid: Some(format!("{SIGNATURE:08x}-{number:02}")),
            ..Volume::blank()
        };
        Found { volume, fs: Some(Box::new(fs)), is_esp: false, is_active: number == 1 }
    }

    fn windows(number: u32, mib: u64) -> Found {
        found(
            number,
            mib,
            &[("/Windows/System32/config/SYSTEM", b"x"), ("/Windows/System32/ntoskrnl.exe", b"x")],
        )
    }

    #[test]
    fn of_two_the_default_entry_names_one() {
        let with = |start: u64| {
            let store = store(Partition::Mbr { disk: SIGNATURE, start });
            vec![found(1, 1, &[("/Boot/BCD", &store)]), windows(2, 100), windows(3, 200)]
        };
        assert_eq!(of_several(&with(100 << 20), &[1, 2]).unwrap(), 1);
        assert_eq!(of_several(&with(200 << 20), &[1, 2]).unwrap(), 2);
        let refused = of_several(&with(300 << 20), &[1, 2]).unwrap_err().to_string();
        assert!(refused.starts_with("p2 and p3 hold a Windows each"), "{refused}");
        let mut both = with(100 << 20);
        let other = store(Partition::Mbr { disk: SIGNATURE, start: 200 << 20 });
        both.push(found(4, 300, &[("/EFI/Microsoft/Boot/BCD", &other)]));
        assert!(of_several(&both, &[1, 2]).unwrap_err().to_string().contains("name several of them"));
        let mut damaged = with(100 << 20);
        damaged[0] = found(1, 1, &[("/Boot/BCD", &[0; 4096])]);
        assert!(of_several(&damaged, &[1, 2]).is_err());
    }

    #[test]
    fn the_system_partition_is_the_active_one_or_that_of_efi() {
        let mut all = vec![found(1, 1, &[]), windows(2, 100), found(3, 200, &[]), found(4, 300, &[])];
        assert_eq!(system_partition(TableKind::Mbr, &all, 1), Some(0));
        (all[0].is_active, all[1].is_active) = (false, true);
        assert_eq!(system_partition(TableKind::Mbr, &all, 1), None, "that of Windows is active");
        all[1].is_active = false;
        (all[2].is_esp, all[3].is_esp) = (true, true);
        assert_eq!(system_partition(TableKind::Gpt, &all, 1), Some(2));
        all[3].fs = Some(Box::new(MemoryFs::from_entries([("/EFI/Microsoft/Boot/BCD", "x")])));
        assert_eq!(system_partition(TableKind::Gpt, &all, 1), Some(3));
    }

    #[test]
    fn a_disk_without_a_file_system_is_still_none() {
        assert!(!super::super::Tree::open(Disk::new(Zeros::new(1 << 20))).unwrap().has_root());
    }
}
