//! A start by BIOS: the code in the master boot record, and what it loads.

use super::grub::{self, Started};
use super::{Entry, Hop, HopKind, grub_legacy, syslinux};
use libdisk::volume::TableFault;

use crate::facts::{TableKind, Volume};
use crate::place::Place;
use crate::{Error, Guest, Result};

const SECTOR: usize = 512;
/// Where the code of a boot record ends.
const CODE: usize = 440;
/// The jump at the start of GRUB's boot.img, and of the stage1 of GRUB before version 2.
const BOOT_IMG: [u8; 2] = [0xEB, 0x63];
const STAGE1: [u8; 2] = [0xEB, 0x48];
/// Where in boot.img the first sector of core.img is.
const CORE: usize = 0x5C;
/// Where in the first sector of core.img the list of the others begins, which goes backwards.
const RUNS: usize = SECTOR - 12;
/// The most sectors of a core.img: what a BIOS can be asked for below 1 MiB.
const SECTORS: u64 = 4096;

/// From the firmware to the menu.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn boot(guest: &Guest<'_>, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
    let what = "the BIOS starts the code in the boot record";
    let record = match guest.view.disk_bytes(0, 0, SECTOR) {
        Ok(record) => record,
        Err(Error::Refused(why)) => {
            hops.push(Hop::unknown(HopKind::Firmware, Place::DISK, what, why));
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let blocked = |why: &str| Hop::blocked(HopKind::Firmware, Place::DISK, what, why);
    if record.get(510..512) != Some(&[0x55, 0xAA]) {
        hops.push(blocked("the first sector is no boot record"));
        return Ok(Vec::new());
    }
    let code = record.get(..CODE).unwrap_or_default();
    if code.iter().all(|byte| *byte == 0) {
        hops.push(blocked("there is no code in it"));
        return Ok(Vec::new());
    }
    // Firmware of UEFI mends it from the backup; GRUB for BIOS and the kernel read the first copy alone.
    if let Some(fault) =
        guest.view.machine().table_faults.iter().find(|fault| **fault == TableFault::FirstDamaged)
    {
        hops.push(blocked(&format!("{fault}, and what starts from here does not look for the backup")));
        return Ok(Vec::new());
    }
    if guest.view.machine().table == TableKind::None {
        // the first sector of a file system that is on the bare disk
        return volume_sector(guest, 0, None, hops);
    }
    if is_grub(code) {
        hops.push(Hop::reached(HopKind::Firmware, Place::DISK, "GRUB's boot.img in the boot record"));
        return grub2(guest, &record, hops);
    }
    if is_stage1(code) {
        hops.push(Hop::reached(HopKind::Firmware, Place::DISK, "GRUB's stage1 in the boot record"));
        return grub_legacy::boot(guest, &record, Place::DISK, hops);
    }
    if guest.view.machine().table == TableKind::Gpt {
        let why = "its code is none of GRUB's, and what it starts on a GPT is not known";
        hops.push(Hop::unknown(HopKind::Firmware, Place::DISK, what, why));
        return Ok(Vec::new());
    }
    // Other code looks for the active partition and starts its first sector.
    let Some(active) = active(guest, &record) else {
        hops.push(blocked(
            "its code, which is none of GRUB's, starts the active partition, and none is active",
        ));
        return Ok(Vec::new());
    };
    let Some(range) = active.device.range() else { return Ok(Vec::new()) };
    let what = format!("code in the boot record that starts the active partition, {}", active.name);
    hops.push(Hop::reached(HopKind::Firmware, Place::DISK, what));
    volume_sector(guest, range.start, Some(active), hops)
}

fn is_grub(code: &[u8]) -> bool {
    code.starts_with(&BOOT_IMG) && has_name(code)
}

fn is_stage1(code: &[u8]) -> bool {
    code.starts_with(&STAGE1) && has_name(code)
}

fn has_name(code: &[u8]) -> bool {
    code.windows(5).any(|text| text == b"GRUB ")
}

/// The partition that the record names as the one to start.
pub(super) fn active<'g>(guest: &'g Guest<'_>, record: &[u8]) -> Option<&'g Volume> {
    let machine = guest.view.machine();
    let number = match machine.table {
        TableKind::Mbr => {
            let mut entries = record.get(446..510)?.chunks_exact(16).zip(1_u32..);
            entries.find(|(entry, _)| entry.first() == Some(&0x80))?.1
        }
        TableKind::Gpt | TableKind::None => return None,
    };
    machine.volumes_on(0).find(|volume| volume.number == number)
}

/// The code in the first sector of a volume.
fn volume_sector(
    guest: &Guest<'_>,
    offset: u64,
    volume: Option<&Volume>,
    hops: &mut Vec<Hop>,
) -> Result<Vec<Entry>> {
    let sector = guest.view.disk_bytes(0, offset, SECTOR)?;
    let place = Place::Disk { number: 0, offset: Some(offset) };
    let what = "the first sector of the partition";
    if is_grub(&sector) {
        return grub2(guest, &sector, hops);
    }
    if is_stage1(&sector) {
        return grub_legacy::boot(guest, &sector, place, hops);
    }
    let volume = volume.or_else(|| guest.view.machine().volumes_on(0).next());
    if let Some(volume) = volume.filter(|_| syslinux::is_boot_sector(&sector)) {
        return syslinux::boot(guest, volume, hops);
    }
    hops.push(if sector.get(..CODE).is_none_or(|code| code.iter().all(|byte| *byte == 0)) {
        Hop::blocked(HopKind::Loader, place, what, "there is no code in it")
    } else {
        Hop::unknown(HopKind::Loader, place, what, "which loader it is, is not known")
    });
    Ok(Vec::new())
}

/// GRUB's core.img, which boot.img names, and what that starts.
fn grub2(guest: &Guest<'_>, boot: &[u8], hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
    let first = u64_at(boot, CORE).unwrap_or(0);
    let place = Place::Disk { number: 0, offset: first.checked_mul(SECTOR as u64) };
    let what = "GRUB's core.img";
    let core = match core(guest, first)? {
        Ok(core) => core,
        Err(why) => {
            hops.push(Hop::blocked(HopKind::Loader, place, what, why));
            return Ok(Vec::new());
        }
    };
    let (embedded, how) =
        match guest.view.memo().map_or_else(|| grub::of_core(&core), |memo| memo.core(&core)) {
            Ok(embedded) => {
                let how = format!("{what}, {} modules built in", embedded.modules.len());
                (Some(embedded), how)
            }
            Err(why) => {
                hops.push(Hop::unknown(HopKind::Loader, place, what, why));
                return Ok(Vec::new());
            }
        };
    hops.push(Hop::reached(HopKind::Loader, place, how));
    let started =
        Started { platform: "pc", cpu: "i386", embedded, device: "hd0".into(), folder: String::new() };
    grub::boot(guest, &started, hops)
}

/// All sectors of core.img, from its first on; the inner error says what is wrong with it.
fn core(guest: &Guest<'_>, first: u64) -> Result<Result<Vec<u8>, String>> {
    let machine = guest.view.machine();
    let sectors = machine.size / SECTOR as u64;
    if first == 0 || first >= sectors {
        return Ok(Err(format!("sector {first}, which boot.img names, is not on the disk")));
    }
    let mut core = guest.view.disk_bytes(0, first * SECTOR as u64, SECTOR)?;
    let (mut at, mut total) = (RUNS, 0_u64);
    let mut runs = Vec::new();
    loop {
        let run = u64_at(&core, at).zip(u16_at(&core, at + 8));
        let Some((start, count)) = run.filter(|(_, count)| *count > 0) else { break };
        let count = u64::from(count);
        total += count;
        if start.checked_add(count).is_none_or(|end| end > sectors) || total > SECTORS {
            return Ok(Err(format!(
                "its list names {count} sectors from {start} on, which are not on the disk"
            )));
        }
        runs.push((start, count));
        match at.checked_sub(12) {
            Some(before) if before > SECTOR / 2 => at = before,
            _ => break,
        }
    }
    if runs.is_empty() {
        return Ok(Err("its first sector names no others".into()));
    }
    for (start, count) in runs {
        core.extend(guest.view.disk_bytes(0, start * SECTOR as u64, count as usize * SECTOR)?);
    }
    Ok(Ok(core))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}
