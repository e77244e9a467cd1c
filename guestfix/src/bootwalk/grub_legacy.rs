//! GRUB before version 2: stage1 in a boot sector, stage1_5 or stage2 behind it, and menu.lst (GRUB manual
//! 0.97, "Filesystem", "Images", 2005).

use super::grub::{File, device_of, on_volume};
use super::{Entry, Hop, HopKind, LONGEST_WAIT, MenuEntry};
use crate::facts::Volume;
use crate::place::Place;
use crate::text::menu_lst;
use crate::{Guest, Result, limits};

const SECTOR: usize = 512;
/// Where in stage1 the sector of the next stage is named.
const NEXT: usize = 0x44;
/// Where in the second sector of the next stage its kind is, and its version.
const KIND: usize = SECTOR + 0x10;
const VERSION: usize = SECTOR + 0x12;
/// The kind of stage2; the others each read one file system.
const STAGE2: u8 = 0;
/// No stage2 is smaller, in bytes: nothing in it says how long it is.
const SMALLEST: u64 = 64 << 10;
/// Sectors of the next stage that are looked at.
const SECTORS: usize = 4;

/// From stage1 in a boot sector to the entries, in the order of the menu.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn boot(
    guest: &Guest<'_>,
    sector: &[u8],
    place: Place,
    hops: &mut Vec<Hop>,
) -> Result<Vec<Entry>> {
    let view = guest.view;
    let next =
        sector.get(NEXT..NEXT + 4).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes);
    let offset = u64::from(next) * SECTOR as u64;
    let at = Place::Disk { number: 0, offset: Some(offset) };
    let what = "GRUB's next stage";
    let within = offset.checked_add((SECTORS * SECTOR) as u64).is_some_and(|end| end <= view.machine().size);
    if next == 0 || !within {
        hops.push(Hop::blocked(
            HopKind::Loader,
            place,
            what,
            format!("sector {next}, which stage1 loads, holds none"),
        ));
        return Ok(Vec::new());
    }
    let stage = view.disk_bytes(0, offset, SECTORS * SECTOR)?;
    let version = stage.get(VERSION..VERSION + 2);
    if version != Some(b"0.") {
        hops.push(Hop::blocked(HopKind::Loader, at, what, "it is none of GRUB's stages"));
        return Ok(Vec::new());
    }
    let is_last = stage.get(KIND) == Some(&STAGE2);
    hops.push(Hop::reached(HopKind::Loader, at, if is_last { "GRUB's stage2" } else { "GRUB's stage1_5" }));
    if !is_last {
        // It reads stage2 by its path on the volume that menu.lst is on.
        match stage2(guest)? {
            Some(File::At(path)) if view.stat(&path)?.is_some_and(|stat| stat.size >= SMALLEST) => {
                let start = view.start(&path, SECTORS * SECTOR)?.unwrap_or_default();
                if start.get(VERSION..VERSION + 2) != Some(b"0.") {
                    hops.push(Hop::blocked(HopKind::Loader, path, "GRUB's stage2", "it is none"));
                    return Ok(Vec::new());
                }
                hops.push(Hop::reached(HopKind::Loader, path, "GRUB's stage2"));
            }
            Some(File::At(path)) => {
                hops.push(Hop::blocked(HopKind::Loader, path, "GRUB's stage2", "it is cut off"));
                return Ok(Vec::new());
            }
            _ => {
                hops.push(Hop::blocked(
                    HopKind::Loader,
                    "/boot/grub/stage2",
                    "GRUB's stage2",
                    "there is no such file",
                ));
                return Ok(Vec::new());
            }
        }
    }
    menu(guest, hops)
}

/// The volume with GRUB's folder: /boot's own, or the root.
fn home<'g>(guest: &'g Guest<'_>) -> Option<(&'g Volume, &'static str)> {
    let machine = guest.view.machine();
    let at = |point: &str| machine.volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some(point));
    at("/boot").map(|volume| (volume, "/grub")).or_else(|| at("/").map(|volume| (volume, "/boot/grub")))
}

fn stage2(guest: &Guest<'_>) -> Result<Option<File>> {
    let Some((volume, folder)) = home(guest) else { return Ok(None) };
    on_volume(guest.view, volume, &format!("{folder}/stage2")).map(Some)
}

fn menu(guest: &Guest<'_>, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
    let view = guest.view;
    let what = "GRUB's menu";
    let Some((volume, folder)) = home(guest) else {
        hops.push(Hop::blocked(HopKind::Menu, Place::DISK, what, "no volume holds it"));
        return Ok(Vec::new());
    };
    // Red Hat's calls it grub.conf
    let mut file = None;
    for name in ["grub.conf", "menu.lst"] {
        if let File::At(path) = on_volume(view, volume, &format!("{folder}/{name}"))? {
            file = file.or(Some(path));
        }
    }
    let Some(file) = file else {
        let place = format!(
            "{}{folder}/menu.lst",
            volume.mounted_at.as_deref().unwrap_or_default().trim_end_matches('/')
        );
        hops.push(Hop::blocked(HopKind::Menu, place, what, "there is no such file: GRUB ends at its prompt"));
        return Ok(Vec::new());
    };
    let text = view.text(&file)?.unwrap_or_default();
    let entries = menu_lst::entries(&text);
    limits::at_most(&file, entries.len() as u64, limits::BOOT_ENTRIES as u64, "boot entries")?;
    if entries.is_empty() {
        hops.push(Hop::blocked(HopKind::Menu, file, what, "it has no entry with a kernel"));
        return Ok(Vec::new());
    }
    let wait = match menu_lst::timeout(&text) {
        None => Some("no timeout is set, and the menu waits for a key".to_owned()),
        Some(seconds) => {
            (seconds > LONGEST_WAIT).then(|| format!("timeout {seconds}, for which nobody waits"))
        }
    };
    if let Some(why) = wait {
        hops.push(Hop::blocked(HopKind::Menu, file, what, why));
        return Ok(Vec::new());
    }
    let default = match menu_lst::default(&text) {
        None => Some(0),
        Some(number) => number.parse::<usize>().ok(),
    };
    let Some(default) = default else {
        let why = "its default is kept in a file of its own, which is not read";
        hops.push(Hop::unknown(HopKind::Menu, file, what, why));
        return Ok(Vec::new());
    };
    let own = device_of(view.machine(), volume);
    let mut out = Vec::new();
    for entry in &entries {
        let mut missing = Vec::new();
        let mut path = |path: &str| -> Result<String> {
            Ok(match on_volume(view, volume, path)? {
                File::At(path) | File::Absent(path) => path,
                File::NoDevice(why) | File::Unseen(why) => {
                    missing.push(Hop::unknown(HopKind::Menu, file.as_str(), format!("a path on {own}"), why));
                    path.to_owned()
                }
            })
        };
        let kernel = path(entry.kernel)?;
        let initrds = entry.initrd.map(&mut path).transpose()?.into_iter().collect();
        let (title, cmdline) = (entry.title.to_owned(), entry.cmdline.trim_end().to_owned());
        let place = Place::line(&file, entry.line);
        let entry = MenuEntry { title, place, default: entry.index == default, kernel, initrds, cmdline };
        out.push(Entry { entry, hops: missing });
    }
    match out.iter().find(|entry| entry.entry.default) {
        Some(entry) => {
            let how = format!("{what}, {} entries; '{}' starts by itself", out.len(), entry.entry.title);
            hops.push(Hop::reached(HopKind::Menu, file, how));
        }
        None => hops.push(Hop::blocked(
            HopKind::Menu,
            file,
            what,
            format!("its default {default} starts no kernel"),
        )),
    }
    Ok(out)
}
