//! extlinux: a boot sector of the volume that holds the kernels, `ldlinux.sys` in a folder of it, and the
//! menu beside that (wiki.syslinux.org, EXTLINUX and Config, 2026).

use super::grub::{File, on_volume};
use super::{Entry, Hop, HopKind, LONGEST_WAIT, MenuEntry};
use crate::facts::Volume;
use crate::place::Place;
use crate::text::extlinux;
use crate::{Guest, Result, limits};

/// The folders that it is installed in.
const FOLDERS: [&str; 6] = ["/boot", "/boot/extlinux", "/boot/syslinux", "/", "/extlinux", "/syslinux"];
/// The names of its menu, the first there counts.
const MENUS: [&str; 2] = ["extlinux.conf", "syslinux.cfg"];
/// What `ldlinux.sys` has in its first two sectors.
const MAGIC: [u8; 4] = [0xFE, 0x02, 0xB2, 0x3E];

/// Whether the boot sector of a volume is its.
pub(super) fn is_boot_sector(sector: &[u8]) -> bool {
    matches!(sector.get(3..11), Some(b"SYSLINUX" | b"EXTLINUX"))
}

/// From the boot sector of a volume to the entries, in the order of the menu.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn boot(guest: &Guest<'_>, volume: &Volume, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
    let view = guest.view;
    let mut unseen = None;
    let mut found = None;
    for folder in FOLDERS {
        match on_volume(view, volume, &format!("{folder}/ldlinux.sys"))? {
            File::At(path) => found = found.or(Some((folder, path))),
            File::Unseen(why) => unseen = unseen.or(Some(why)),
            File::Absent(_) | File::NoDevice(_) => {}
        }
    }
    let what = "extlinux";
    let Some((folder, core)) = found else {
        let place = Place::volume(&volume.name);
        hops.push(match unseen {
            Some(why) => Hop::unknown(HopKind::Loader, place, what, why),
            None => Hop::blocked(HopKind::Loader, place, what, "no folder has its ldlinux.sys"),
        });
        return Ok(Vec::new());
    };
    let start = view.start(&core, 1024)?.unwrap_or_default();
    let Some(sectors) = sectors(&start) else {
        hops.push(Hop::blocked(HopKind::Loader, core, what, "it is no ldlinux.sys"));
        return Ok(Vec::new());
    };
    let size = view.stat(&core)?.map_or(0, |metadata| metadata.size);
    if size < u64::from(sectors) * 512 {
        let why = format!("it has {size} bytes and loads {sectors} sectors of itself");
        hops.push(Hop::blocked(HopKind::Loader, core, what, why));
        return Ok(Vec::new());
    }
    hops.push(Hop::reached(HopKind::Loader, &core, format!("{what}'s ldlinux.sys")));
    // From version 5 on, most of it is a module beside it.
    let dir = core.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
    if version(&start).is_none_or(|version| version >= 5) {
        let module = format!("{dir}/ldlinux.c32");
        if !module_is_whole(guest, &module)? {
            hops.push(Hop::blocked(HopKind::Loader, module, what, "it is no whole module of Syslinux"));
            return Ok(Vec::new());
        }
        hops.push(Hop::reached(HopKind::Loader, module, "its module"));
    }
    menu(guest, volume, folder, &dir, hops)
}

/// How many sectors `ldlinux.sys` loads of itself, from its first two.
fn sectors(start: &[u8]) -> Option<u16> {
    let at = start.windows(4).position(|bytes| bytes == MAGIC)?;
    // magic, instance, data sectors
    let field = start.get(at.checked_add(8)?..at.checked_add(10)?)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

/// The first number of its version.
fn version(start: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"LINUX ";
    let at = start.windows(NAME.len()).position(|bytes| bytes == NAME)?.checked_add(NAME.len())?;
    let digits = start.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    digits.map(|byte| char::from(*byte)).collect::<String>().parse().ok()
}

fn module_is_whole(guest: &Guest<'_>, path: &str) -> Result<bool> {
    let Some(content) = guest.view.read(path)? else { return Ok(false) };
    Ok(object::File::parse(&*content).is_ok())
}

fn menu(
    guest: &Guest<'_>,
    volume: &Volume,
    folder: &str,
    dir: &str,
    hops: &mut Vec<Hop>,
) -> Result<Vec<Entry>> {
    let view = guest.view;
    let mut text = None;
    for name in MENUS {
        let path = format!("{dir}/{name}");
        if text.is_none() {
            text = view.text(&path)?.map(|text| (path, text));
        }
    }
    let what = "extlinux's menu";
    let Some((file, text)) = text else {
        let why = "there is no such file";
        hops.push(Hop::blocked(HopKind::Menu, format!("{dir}/{}", MENUS[0]), what, why));
        return Ok(Vec::new());
    };
    let entries = extlinux::entries(&text);
    limits::at_most(&file, entries.len() as u64, limits::BOOT_ENTRIES as u64, "boot entries")?;
    if entries.is_empty() {
        hops.push(Hop::blocked(HopKind::Menu, file, what, "it has no entry"));
        return Ok(Vec::new());
    }
    let seconds = u64::from(extlinux::timeout(&text)) / 10;
    if seconds > LONGEST_WAIT {
        let why = format!("it waits {seconds} s for a key");
        hops.push(Hop::blocked(HopKind::Menu, file, what, why));
        return Ok(Vec::new());
    }
    let named = extlinux::default(&text);
    // A module that shows the menu is not in it.
    if let Some(module) = named.filter(|name| name.ends_with(".c32")) {
        let module = format!("{dir}/{module}");
        if !module_is_whole(guest, &module)? {
            hops.push(Hop::blocked(HopKind::Menu, module, what, "it is no whole module of Syslinux"));
            return Ok(Vec::new());
        }
        hops.push(Hop::reached(HopKind::Menu, module, "the module that shows the menu"));
        if extlinux::timeout(&text) == 0 {
            hops.push(Hop::blocked(HopKind::Menu, file, what, "it has no TIMEOUT, and waits for a key"));
            return Ok(Vec::new());
        }
    }
    let default =
        entries.iter().position(|entry| Some(entry.label) == named || entry.is_menu_default).unwrap_or(0);
    let mut out = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut own = Vec::new();
        let mut path = |path: &str| -> Result<String> {
            let absolute = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
            Ok(match on_volume(view, volume, &absolute)? {
                File::At(path) | File::Absent(path) => path,
                File::NoDevice(why) | File::Unseen(why) => {
                    own.push(Hop::unknown(HopKind::Menu, file.as_str(), what, why));
                    absolute
                }
            })
        };
        let kernel = path(entry.kernel)?;
        let initrds = entry.initrds.iter().map(|initrd| path(initrd)).collect::<Result<_>>()?;
        let (line, cmdline) = entry.append.unwrap_or_default();
        let place = if line > 0 { Place::line(&file, line) } else { Place::file(&file) };
        let title = entry.title.to_owned();
        let cmdline = cmdline.trim_end().to_owned();
        let entry = MenuEntry { title, place, default: index == default, kernel, initrds, cmdline };
        out.push(Entry { entry, hops: own });
    }
    let title = out.get(default).map_or("", |entry| entry.entry.title.as_str());
    hops.push(Hop::reached(
        HopKind::Menu,
        file,
        format!("{what}, {} entries; '{title}' starts by itself", out.len()),
    ));
    Ok(out)
}
