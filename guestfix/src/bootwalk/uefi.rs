//! A start by UEFI: the fallback loader on the EFI system partition, and what it starts.

use super::esp::{self, Names, On};
use super::grub::{self, Embedded, Started};
use super::program::Program;
use super::{Entry, Hop, HopKind, service, systemd_boot, unified};
use crate::facts::{TableKind, Volume};
use libdisk::volume::TableFault;

use crate::pe::authenticode;
use crate::place::Place;
use crate::systemd::needs::Fault;
use crate::{Guest, Result};

/// The folder that firmware looks in if it knows no boot entries.
const BOOT: &str = "/EFI/BOOT";
/// The most programs that start each other.
const STAGES: usize = 4;

/// From the firmware to the menu.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn boot(guest: &Guest<'_>, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
    let Some((esp, file)) = fallback(guest, hops)? else { return Ok(Vec::new()) };
    let names = esp::names(guest);
    let path = format!("{BOOT}/{}", names.fallback);
    Stage { guest, esp, names }.start(HopKind::Firmware, &file, &path, 0, hops)
}

/// The EFI system partition that the firmware takes, and the fallback loader on it in the guest's tree; none,
/// and a hop that says why, where it starts nothing.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn fallback<'g>(
    guest: &'g Guest<'_>,
    hops: &mut Vec<Hop>,
) -> Result<Option<(&'g Volume, String)>> {
    let names = esp::names(guest);
    let what = format!("the firmware starts \\EFI\\BOOT\\{}", names.fallback);
    let machine = guest.view.machine();
    if let Some(fault) =
        machine.table_faults.iter().find(|fault| matches!(fault, TableFault::SectorSize { .. }))
    {
        hops.push(Hop::blocked(HopKind::Firmware, Place::DISK, what, fault.to_string()));
        return Ok(None);
    }
    let partitions = esp::partitions(guest);
    let Some(first) = partitions.first() else {
        let table = if machine.table == TableKind::None { "no partition table, and " } else { "" };
        let why = format!("there is {table}no EFI system partition");
        hops.push(Hop::blocked(HopKind::Firmware, Place::DISK, what, why));
        return Ok(None);
    };
    let path = format!("{BOOT}/{}", names.fallback);
    // The firmware takes the first that it can start.
    let mut missing = None;
    for esp in &partitions {
        match esp::find(guest, esp, &path)? {
            On::At(file) => return Ok(Some((esp, file))),
            On::Absent(place) => drop(missing.get_or_insert_with(|| {
                Hop::blocked(HopKind::Firmware, place, what.clone(), "there is no such file")
            })),
            On::Unseen(why) => {
                let volume = Place::volume(&esp.name);
                missing.get_or_insert_with(|| Hop::unknown(HopKind::Firmware, volume, what.clone(), why));
            }
        }
    }
    let volume = Place::volume(&first.name);
    hops.push(
        missing.unwrap_or_else(|| Hop::unknown(HopKind::Firmware, volume, what, "it was not looked at")),
    );
    Ok(None)
}

struct Stage<'g> {
    guest: &'g Guest<'g>,
    esp: &'g Volume,
    names: &'static Names,
}

impl Stage<'_> {
    /// A program by its path in the tree and on the partition.
    fn start(
        &self,
        kind: HopKind,
        file: &str,
        path: &str,
        depth: usize,
        hops: &mut Vec<Hop>,
    ) -> Result<Vec<Entry>> {
        let view = self.guest.view;
        let program = match self.program(file)? {
            Ok(program) => program,
            Err(fault) => {
                hops.push(service::hop(kind, "a program for UEFI", fault));
                return Ok(Vec::new());
            }
        };
        if depth == STAGES {
            hops.push(Hop::blocked(kind, file, "a program for UEFI", "it starts itself again"));
            return Ok(Vec::new());
        }
        if program.has(".linux") {
            hops.push(Hop::reached(kind, file, "a unified kernel image"));
            return unified::entry(self.guest, file, hops);
        }
        if program.has(".sdmagic") {
            hops.push(Hop::reached(kind, file, "systemd-boot"));
            return systemd_boot::boot(self.guest, self.esp, hops);
        }
        if program.has("mods") {
            return self.grub(kind, file, path, &program, hops);
        }
        let Some(content) = view.read(file)? else { return Ok(Vec::new()) };
        if program.section(&content, ".sdmagic").is_none() && is_systemd_boot(&content) {
            hops.push(Hop::reached(kind, file, "systemd-boot"));
            return systemd_boot::boot(self.guest, self.esp, hops);
        }
        if is_shim(&content, &program) {
            hops.push(Hop::reached(kind, file, "shim"));
            return self.shim(path, depth, hops);
        }
        if has_linux_header(&content) {
            hops.push(Hop::unknown(
                kind,
                file,
                "a kernel of Linux",
                "which command line the firmware gives it is not known",
            ));
            return Ok(Vec::new());
        }
        hops.push(Hop::unknown(kind, file, "a program for UEFI", "which loader it is, is not known"));
        Ok(Vec::new())
    }

    /// A program that this machine can start, or why it cannot.
    fn program(&self, file: &str) -> Result<std::result::Result<Program, Fault>> {
        let view = self.guest.view;
        let program = match Program::read(view, file)? {
            Ok(program) => program,
            Err(why) => return Ok(Err(Fault::sure(file, why))),
        };
        if program.arch() != Some(self.names.arch) {
            let own = program.arch().unwrap_or("another processor");
            let why = format!("it is for {own}, and the machine is {}", self.names.arch);
            return Ok(Err(Fault::sure(file, why)));
        }
        Ok(match authenticode::damage(view, file)? {
            None => Ok(program),
            Some(fault) => Err(fault),
        })
    }

    /// What shim starts: beside the fallback loader, its maker of boot entries before all else.
    fn shim(&self, path: &str, depth: usize, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if folder.eq_ignore_ascii_case(BOOT)
            && let On::At(maker) = esp::find(self.guest, self.esp, &format!("{folder}/{}", self.names.maker))?
        {
            return self.maker(&maker, depth, hops);
        }
        let second = format!("{folder}/{}", self.names.second_stage);
        match esp::find(self.guest, self.esp, &second)? {
            On::At(file) => self.start(HopKind::Loader, &file, &second, depth + 1, hops),
            On::Absent(place) => {
                let what = "what shim starts";
                hops.push(Hop::blocked(HopKind::Loader, place, what, "there is no such file"));
                Ok(Vec::new())
            }
            On::Unseen(why) => {
                hops.push(Hop::unknown(
                    HopKind::Loader,
                    Place::volume(&self.esp.name),
                    "what shim starts",
                    why,
                ));
                Ok(Vec::new())
            }
        }
    }

    /// The program that makes a boot entry of each list in a vendor's folder, and starts the first.
    fn maker(&self, maker: &str, depth: usize, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
        let view = self.guest.view;
        if let Err(fault) = self.program(maker)? {
            hops.push(service::hop(HopKind::Loader, "shim's maker of boot entries", fault));
            return Ok(Vec::new());
        }
        hops.push(Hop::reached(HopKind::Loader, maker, "shim's maker of boot entries"));
        let On::At(efi) = esp::find(self.guest, self.esp, "/EFI")? else { return Ok(Vec::new()) };
        for vendor in view.list(&efi)?.into_iter().filter(|name| !name.eq_ignore_ascii_case("BOOT")) {
            let folder = format!("/EFI/{vendor}");
            let On::At(list) = esp::find(self.guest, self.esp, &format!("{folder}/{}", self.names.list))?
            else {
                continue;
            };
            let content = view.start(&list, 1 << 16)?.unwrap_or_default();
            let Some(name) = first_name(&content) else {
                hops.push(Hop::blocked(
                    HopKind::Loader,
                    list,
                    "a list of boot entries",
                    "it names no program",
                ));
                return Ok(Vec::new());
            };
            hops.push(Hop::reached(HopKind::Loader, list, format!("a boot entry for {name}")));
            let path = format!("{folder}/{name}");
            return match esp::find(self.guest, self.esp, &path)? {
                On::At(file) => self.start(HopKind::Loader, &file, &path, depth + 1, hops),
                On::Absent(place) => {
                    hops.push(Hop::blocked(
                        HopKind::Loader,
                        place,
                        "the boot entry's program",
                        "there is no such file",
                    ));
                    Ok(Vec::new())
                }
                On::Unseen(why) => {
                    hops.push(Hop::unknown(
                        HopKind::Loader,
                        Place::volume(&self.esp.name),
                        "the boot entry's program",
                        why,
                    ));
                    Ok(Vec::new())
                }
            };
        }
        let why = format!("no folder of a vendor has a {}", self.names.list);
        hops.push(Hop::blocked(HopKind::Loader, efi, "the boot entries that shim's maker makes", why));
        Ok(Vec::new())
    }

    fn grub(
        &self,
        kind: HopKind,
        file: &str,
        path: &str,
        program: &Program,
        hops: &mut Vec<Hop>,
    ) -> Result<Vec<Entry>> {
        let content = self.guest.view.read(file)?.unwrap_or_default();
        let embedded: Option<Embedded> = program.section(&content, "mods").and_then(grub::of_section);
        let Some(embedded) = embedded else {
            hops.push(Hop::blocked(kind, file, "GRUB", "its list of modules cannot be read: it is damaged"));
            return Ok(Vec::new());
        };
        hops.push(Hop::reached(kind, file, format!("GRUB, {} modules built in", embedded.modules.len())));
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let started = Started {
            platform: "efi",
            cpu: self.names.cpu,
            embedded: Some(embedded),
            device: grub::device_of(self.guest.view.machine(), self.esp),
            folder: folder.to_owned(),
        };
        grub::boot(self.guest, &started, hops)
    }
}

/// The program of the first line of a list: names, commas between, in UTF-16 or in UTF-8.
fn first_name(list: &[u8]) -> Option<String> {
    let units: Vec<u16> = list.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let wide = list.starts_with(&[0xFF, 0xFE]) || list.get(1) == Some(&0);
    let text =
        if wide { String::from_utf16_lossy(&units) } else { String::from_utf8_lossy(list).into_owned() };
    let text = text.trim_start_matches('\u{FEFF}');
    let name = text.lines().next()?.split(',').next()?.trim();
    (!name.is_empty() && !name.contains(char::REPLACEMENT_CHARACTER))
        .then(|| name.trim_start_matches('\\').replace('\\', "/"))
}

/// shim signs itself by its section of revocation levels; old ones name what they start.
fn is_shim(file: &[u8], program: &Program) -> bool {
    let levels = program.section(file, ".sbat").unwrap_or_default();
    let says = |text: &[u8]| levels.windows(text.len()).any(|bytes| bytes == text);
    says(b"\nshim,")
        || levels.is_empty() && contains_wide(file, "\\grub") && program.has(".vendor_cert")
        || levels.is_empty() && contains_wide(file, "\\fallback.efi")
}

fn is_systemd_boot(file: &[u8]) -> bool {
    let mark = b"#### LoaderInfo: systemd-boot ";
    file.windows(mark.len()).any(|bytes| bytes == mark)
}

/// The magic of a bzImage.
fn has_linux_header(file: &[u8]) -> bool {
    file.get(0x202..0x206) == Some(b"HdrS")
}

fn contains_wide(file: &[u8], text: &str) -> bool {
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    file.windows(wide.len()).any(|bytes| bytes == wide.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_boot_entries_is_in_either_encoding() {
        let line = "shimx64.efi,debian,,This is the boot entry for debian\n";
        let wide: Vec<u8> = "\u{FEFF}"
            .chars()
            .chain(line.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(first_name(line.as_bytes()).as_deref(), Some("shimx64.efi"));
        assert_eq!(first_name(&wide).as_deref(), Some("shimx64.efi"));
        assert_eq!(first_name(&wide[2..]).as_deref(), Some("shimx64.efi"));
        for none in [&b""[..], b"\n", b",a", b"\xFF\xFE", b"\xFF"] {
            assert_eq!(first_name(none), None);
        }
    }
}
