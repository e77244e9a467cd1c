//! What the firmware starts: by BIOS the code in the boot record, that of the active partition and bootmgr; by
//! UEFI the fallback loader, for a new machine knows no boot entries.

use super::image;
use crate::bootwalk::look::regular;
use crate::bootwalk::{Hop, HopKind, bios, service, uefi};
use crate::facts::{TableKind, Volume};
use crate::place::Place;
use crate::registry::{BCD_ACTIVE, BCD_UEFI, BCD_WINDOWS, HiveFile};
use crate::tree::SYSTEM_PARTITION;
use crate::{Error, Guest, Result};

const SECTOR: usize = 512;
/// Where the partition's first sector says how many are before it (BIOS parameter block).
const HIDDEN: usize = 0x1c;
/// Bytes at the start of a volume that its boot code may be in.
const BOOT_CODE: usize = 8192;
/// Where UEFI looks for bootmgr if a boot entry names it.
const MANAGER: &str = "/System:/EFI/Microsoft/Boot/bootmgfw.efi";

/// From the BIOS to bootmgr; the boot configuration that this reads.
pub(super) fn by_bios(guest: &Guest<'_>, hops: &mut Vec<Hop>) -> Result<Option<HiveFile>> {
    let what = "the BIOS starts the code in the boot record";
    let record = match guest.view.disk_bytes(0, 0, SECTOR) {
        Err(Error::Refused(why)) => {
            hops.push(Hop::unknown(HopKind::Firmware, Place::DISK, what, why));
            return Ok(None);
        }
        record => record?,
    };
    let mut blocked = |why: String| {
        hops.push(Hop::blocked(HopKind::Firmware, Place::DISK, what, why));
        Ok(None)
    };
    if record.get(510..512) != Some(&[0x55, 0xAA]) {
        return blocked("the first sector is no boot record".to_owned());
    }
    let code = record.get(..440).unwrap_or_default();
    if code.iter().all(|byte| *byte == 0) {
        return blocked("there is no code in it".to_owned());
    }
    if guest.view.machine().table != TableKind::Mbr {
        return blocked("Windows starts by BIOS from a disk with an MBR alone".to_owned());
    }
    let entries = record.get(446..510).unwrap_or_default().chunks_exact(16);
    if entries.filter(|entry| entry.first() == Some(&0x80)).count() > 1 {
        return blocked("several partitions are active, and its code takes none of them".to_owned());
    }
    let Some(active) = bios::active(guest, &record) else {
        return blocked("its code starts the active partition, and none is active".to_owned());
    };
    if code.windows(5).any(|text| text == b"GRUB ") {
        let why = "its code is GRUB's, and whether that goes on to Windows is not followed";
        hops.push(Hop::unknown(HopKind::Firmware, Place::DISK, what, why));
        return Ok(None);
    }
    let told = format!("code in the boot record that starts the active partition, {}", active.name);
    hops.push(Hop::reached(HopKind::Firmware, Place::DISK, told));
    match boot_sector(guest, active)? {
        Ok(hop) => hops.push(hop),
        Err(hop) => {
            hops.push(hop);
            return Ok(None);
        }
    }
    let (folder, store) = match active.mounted_at.as_deref() {
        Some("/") => ("", BCD_WINDOWS),
        Some(SYSTEM_PARTITION) => (SYSTEM_PARTITION, BCD_ACTIVE),
        _ => {
            let why = active.unreadable.as_deref().unwrap_or("its files are not looked at");
            hops.push(Hop::unknown(HopKind::Loader, Place::volume(&active.name), "bootmgr", why));
            return Ok(None);
        }
    };
    let path = format!("{folder}/bootmgr");
    if let Some(why) = bootmgr(guest, &path)? {
        hops.push(Hop::blocked(HopKind::Loader, path, "bootmgr", why));
        return Ok(None);
    }
    hops.push(Hop::reached(HopKind::Loader, path, "bootmgr"));
    Ok(Some(store))
}

/// The code in the active partition's first sectors; the inner error is where it does not go on.
fn boot_sector(guest: &Guest<'_>, active: &Volume) -> Result<std::result::Result<Hop, Hop>> {
    let start = active.device.range().map_or(0, |range| range.start);
    let place = Place::Disk { number: 0, offset: Some(start) };
    let what = "the boot code of the active partition";
    let code = guest.view.disk_bytes(0, start, BOOT_CODE)?;
    let sector = code.get(..SECTOR).unwrap_or_default();
    let blocked = |why: String| Ok(Err(Hop::blocked(HopKind::Loader, place.clone(), what, why)));
    if sector.get(510..) != Some(&[0x55, 0xAA]) {
        return blocked("the first sector is no boot sector".to_owned());
    }
    if sector.get(0x54..0x1fe).is_none_or(|code| code.iter().all(|byte| *byte == 0)) {
        return blocked("there is no code in it".to_owned());
    }
    let hidden =
        sector.get(HIDDEN..).and_then(|rest| rest.first_chunk()).map_or(0, |n| u32::from_le_bytes(*n));
    let own = start / SECTOR as u64;
    if u64::from(hidden) != own {
        return blocked(format!("it takes the partition to start at sector {hidden}, which is at {own}"));
    }
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let names = |name: &str| has(&code, &wide(name)) || has(&code, format!("{name:<11}").as_bytes());
    if names("BOOTMGR") {
        return Ok(Ok(Hop::reached(HopKind::Loader, place, "boot code that starts \\bootmgr")));
    }
    if names("NTLDR") {
        return blocked("it starts \\ntldr, the loader of Windows XP".to_owned());
    }
    let why = "which loader its code starts, is not known";
    Ok(Err(Hop::unknown(HopKind::Loader, place.clone(), what, why)))
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What is wrong with bootmgr: a piece of code for 16 bits, behind which a program is, compressed or not. One
/// that is neither signed nor has a checksum is held to what Windows keeps to copy it from.
fn bootmgr(guest: &Guest<'_>, path: &str) -> Result<Option<String>> {
    if let Err(why) = regular(guest.view, path)? {
        return Ok(Some(why.to_owned()));
    }
    let content = guest.view.read(path)?.unwrap_or_default();
    // A jump.
    if !matches!(content.first(), Some(0xe9 | 0xeb)) {
        return Ok(Some("it does not begin with code".to_owned()));
    }
    let kept = "/Windows/Boot/PCAT/bootmgr";
    let same_size = guest.view.stat(kept)?.is_some_and(|kept| kept.size == content.len() as u64);
    if same_size && guest.view.read(kept)?.is_some_and(|kept| kept != content) {
        return Ok(Some(format!("it is damaged: {kept}, which it was copied from, is another")));
    }
    Ok(image::behind_code(&content))
}

/// From UEFI to the Windows boot manager; the boot configuration that this reads.
pub(super) fn by_uefi(guest: &Guest<'_>, hops: &mut Vec<Hop>) -> Result<Option<HiveFile>> {
    let Some((esp, path)) = uefi::fallback(guest, hops)? else { return Ok(None) };
    let what = "the program in the place of the fallback loader";
    if let Some(fault) = image::fault(guest, &path, image::Look::Within)? {
        hops.push(service::hop(HopKind::Firmware, what, fault));
        return Ok(None);
    }
    if esp.mounted_at.as_deref() != Some(SYSTEM_PARTITION) {
        let why = "it is not the partition with the boot configuration of this Windows";
        hops.push(Hop::unknown(HopKind::Firmware, Place::volume(&esp.name), what, why));
        return Ok(None);
    }
    let content = guest.view.read(&path)?.unwrap_or_default();
    let wide: Vec<u8> = "bootmgr".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let is_manager = guest.view.read(MANAGER)?.is_some_and(|manager| manager == content)
        || has(&content.to_ascii_lowercase(), &wide);
    if !is_manager {
        let why = "which loader it is, is not known: it is not the boot manager of Windows";
        hops.push(Hop::unknown(HopKind::Firmware, path, what, why));
        return Ok(None);
    }
    hops.push(Hop::reached(HopKind::Firmware, path.clone(), "the firmware starts the fallback loader"));
    hops.push(Hop::reached(HopKind::Loader, path, "the Windows boot manager"));
    Ok(Some(BCD_UEFI))
}
