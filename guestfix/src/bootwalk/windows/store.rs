//! The boot configuration: the entry that starts by itself, the devices that it names, and its loader.

use hive::bcd::{
    APPLICATION_DEVICE, APPLICATION_PATH, BOOT_MANAGER, DEFAULT_OBJECT, Device, Element, OS_DEVICE, Object,
    Partition, SYSTEM_ROOT,
};

use super::image::{self, Look};
use crate::bootwalk::grub::Entry;
use crate::bootwalk::{Hop, HopKind, LONGEST_WAIT, MenuEntry, service};
use crate::facts::Volume;
use crate::place::Place;
use crate::platform::Firmware;
use crate::registry::{self, HiveFile, Opened};
use crate::tree::windows::is_partition;
use crate::{Error, Guest, Result};

const SYSTEM_FOLDER: &str = "/Windows/System32";

/// The types of the boot manager and of a loader of Windows (G. Chappell, "BCD objects").
const BOOT_MANAGER_KIND: u32 = 0x1010_0002;
const LOADER_KIND: u32 = 0x1020_0003;

/// The element with the title of an entry.
const DESCRIPTION: u32 = 0x1200_0004;
/// The boot manager's element with what it starts once, before all else.
const BOOT_SEQUENCE: u32 = 0x2400_0002;
/// How long it shows the menu, in seconds.
const TIMEOUT: u32 = 0x2500_0004;
/// A loader's element that has it start in safe mode.
const SAFE_BOOT: u32 = 0x2500_0080;
/// A loader's elements with the names of another kernel, of what that is linked with, and of what a debugger is
/// reached by.
const KERNEL: u32 = 0x2200_0011;
const HAL: u32 = 0x2200_0012;
const TRANSPORT: u32 = 0x2200_0013;
/// A loader's element that has it start as Windows PE, from memory.
const WINDOWS_PE: u32 = 0x2600_0022;
/// The address from which on memory is not used, and how many MiB are not.
const TRUNCATE_MEMORY: u32 = 0x1500_0007;
const REMOVE_MEMORY: u32 = 0x2500_0031;
/// The least memory of a Windows Server ("Hardware requirements for Windows Server", Microsoft Learn, 2026).
const LEAST_MEMORY: u64 = 512 << 20;
/// Objects whose elements are an object's as well.
const INHERITED: u32 = 0x1400_0006;
/// The most of them.
const ANCESTORS: usize = 16;
/// What to do where no start goes on from the store.
const REBUILD: &str = "without it Windows does not start; on a repair machine, bcdboot writes a new one";

/// The entry that starts by itself.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn entries(
    guest: &Guest<'_>,
    file: HiveFile,
    firmware: Firmware,
    hops: &mut Vec<Hop>,
) -> Result<Vec<Entry>> {
    let what = "the boot configuration";
    let opened = match registry::open(guest.view, file) {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            let why = format!("there is no such file: {REBUILD}");
            hops.push(Hop::blocked(HopKind::Menu, file.path, what, why));
            return Ok(Vec::new());
        }
        Err(error) => {
            let why = format!("{}: {REBUILD}", error.unread()?.what);
            hops.push(Hop::unknown(HopKind::Menu, file.path, what, why));
            return Ok(Vec::new());
        }
    };
    let store = Store { guest, opened: &opened, firmware };
    match store.entry()? {
        Ok(entry) => {
            let what = format!("the boot configuration, which starts {}", entry.entry.title);
            hops.push(Hop::reached(HopKind::Menu, file.path, what));
            Ok(vec![entry])
        }
        Err(stop) => {
            hops.push(stop);
            Ok(Vec::new())
        }
    }
}

struct Store<'a> {
    guest: &'a Guest<'a>,
    opened: &'a Opened,
    firmware: Firmware,
}

impl Store<'_> {
    fn file(&self) -> HiveFile {
        self.opened.file()
    }

    fn read<T>(&self, found: hive::Result<T>) -> Result<T> {
        found.map_err(|error| registry::failed(self.file(), error))
    }

    fn element(&self, object: &Object<'_>, number: u32) -> Result<Option<Element>> {
        self.read(object.element(number))
    }

    /// The default entry; the inner error is where the boot manager does not go on.
    fn entry(&self) -> Result<Result<Entry, Hop>> {
        let bcd = self.read(self.opened.hive().bcd())?;
        let menu =
            |place: Place, why: String| Hop::blocked(HopKind::Menu, place, "the boot configuration", why);
        let Some(manager) = self.read(bcd.object(BOOT_MANAGER))? else {
            return Ok(Err(menu(self.file().path.into(), "it has no boot manager".to_owned())));
        };
        if let Some(stop) = self.waits(&manager)? {
            return Ok(Err(stop));
        }
        let Some((name, object)) = self.read(bcd.default_object())? else {
            let place = self.place(BOOT_MANAGER, DEFAULT_OBJECT);
            return Ok(Err(menu(place, "it names no entry to start, or one that is not there".to_owned())));
        };
        for (object, called, wanted) in
            [(&manager, BOOT_MANAGER, BOOT_MANAGER_KIND), (&object, name.as_str(), LOADER_KIND)]
        {
            let kind = self.read(object.kind())?;
            if kind != Some(wanted) {
                let is = kind.map_or("not there".to_owned(), |kind| format!("{kind:#x}"));
                let place = self.opened.place(&format!(r"Objects\{called}\Description"), Some("Type"));
                let why = format!(
                    "it is {is}, and not {wanted:#x}: what the boot manager makes of it is not known"
                );
                return Ok(Err(Hop::unknown(HopKind::Menu, place, "the boot configuration", why)));
            }
        }
        let place = self.opened.place(&format!(r"Objects\{name}"), None);
        if let Some(why) = self.is_another(&manager, &name)? {
            return Ok(Err(why));
        }
        for (number, of) in [(APPLICATION_DEVICE, "its loader"), (OS_DEVICE, "the system")] {
            if let Some(stop) = self.device(&object, &name, number, of)? {
                return Ok(Err(stop));
            }
        }
        let root = self.text(&object, SYSTEM_ROOT)?.unwrap_or_default();
        if !root.trim_end_matches('\\').eq_ignore_ascii_case(r"\Windows") {
            let why = format!("it starts the Windows in {root:?}, and \\Windows is what was looked at");
            return Ok(Err(Hop::unknown(HopKind::Menu, self.place(&name, SYSTEM_ROOT), "", why)));
        }
        let title = self.text(&object, DESCRIPTION)?.unwrap_or_else(|| "Windows".to_owned());
        let mut hops = vec![self.loader(&object, &name)?];
        for number in [HAL, TRANSPORT] {
            if let Some((Element::Text(file), place)) = self.setting(&name, number)?
                && let Some(fault) =
                    image::fault(self.guest, &format!("{SYSTEM_FOLDER}/{file}"), Look::Within)?
            {
                let why = format!("it names {file}: {}", fault.why);
                hops.push(match fault.is_sure {
                    true => Hop::blocked(HopKind::Kernel, place, "what the kernel is linked with", why),
                    false => Hop::unknown(HopKind::Kernel, place, "what the kernel is linked with", why),
                });
            }
        }
        let kernel = match self.setting(&name, KERNEL)? {
            Some((Element::Text(kernel), _)) => kernel,
            _ => "ntoskrnl.exe".to_owned(),
        };
        let entry = MenuEntry {
            title,
            place,
            default: true,
            kernel: format!("{SYSTEM_FOLDER}/{kernel}"),
            initrds: Vec::new(),
            cmdline: String::new(),
        };
        Ok(Ok(Entry { entry, hops }))
    }

    fn place(&self, object: &str, number: u32) -> Place {
        self.opened.place(&format!(r"Objects\{object}\Elements\{number:08x}"), Some("Element"))
    }

    /// An element of an object or of one that it inherits from, and its place.
    fn setting(&self, object: &str, number: u32) -> Result<Option<(Element, Place)>> {
        let bcd = self.read(self.opened.hive().bcd())?;
        let mut todo = vec![object.to_owned()];
        let mut next = 0;
        while let Some(name) = todo.get(next).cloned().filter(|_| next < ANCESTORS) {
            next += 1;
            let Some(object) = self.read(bcd.object(&name))? else { continue };
            if let Some(found) = self.element(&object, number)? {
                return Ok(Some((found, self.place(&name, number))));
            }
            if let Some(Element::Objects(names)) = self.element(&object, INHERITED)? {
                todo.extend(names);
            }
        }
        Ok(None)
    }

    fn text(&self, object: &Object<'_>, number: u32) -> Result<Option<String>> {
        Ok(match self.element(object, number)? {
            Some(Element::Text(text)) => Some(text),
            _ => None,
        })
    }

    /// The boot manager waits for somebody for longer than anybody waits for a machine.
    fn waits(&self, manager: &Object<'_>) -> Result<Option<Hop>> {
        let Some(Element::Integers(seconds)) = self.element(manager, TIMEOUT)? else { return Ok(None) };
        let place = self.place(BOOT_MANAGER, TIMEOUT);
        let why = |seconds: u64| match u32::try_from(seconds) {
            Ok(seconds) if seconds < u32::MAX => format!("it waits {seconds} seconds for somebody to choose"),
            _ => "it waits for somebody to choose, and does not stop waiting".to_owned(),
        };
        let long = seconds.into_iter().next().filter(|seconds| *seconds > LONGEST_WAIT);
        Ok(long.map(|long| Hop::blocked(HopKind::Menu, place, "the boot menu", why(long))))
    }

    /// What keeps the default entry from being what starts, or from being a start.
    fn is_another(&self, manager: &Object<'_>, name: &str) -> Result<Option<Hop>> {
        if let Some(Element::Objects(once)) = self.element(manager, BOOT_SEQUENCE)?
            && once.iter().any(|one| !one.eq_ignore_ascii_case(name))
        {
            let why = format!("the next start is once that of {}, which is not followed", once.join(" and "));
            return Ok(Some(Hop::unknown(HopKind::Menu, self.place(BOOT_MANAGER, BOOT_SEQUENCE), "", why)));
        }
        if let Some((Element::Integers(mode), place)) = self.setting(name, SAFE_BOOT)? {
            let hop = match mode.first() {
                Some(1) => Hop::unknown(HopKind::Menu, place, "", "it starts in safe mode with network"),
                _ => Hop::blocked(HopKind::Menu, place, "", "it starts in safe mode, without network"),
            };
            return Ok(Some(hop));
        }
        if let Some((Element::Boolean(true), place)) = self.setting(name, WINDOWS_PE)? {
            let why = "it starts as Windows PE, and to where that comes is not known";
            return Ok(Some(Hop::unknown(HopKind::Menu, place, "", why)));
        }
        if let Some(hop) = self.memory(name)? {
            return Ok(Some(hop));
        }
        let head = self.guest.view.start("/hiberfil.sys", 4)?.unwrap_or_default();
        if head.eq_ignore_ascii_case(b"hibr") {
            let why = "it goes on with what was in memory, which is of another machine";
            return Ok(Some(Hop::blocked(HopKind::Menu, "/hiberfil.sys", "a hibernated Windows", why)));
        }
        Ok(None)
    }

    /// Why a Windows does not have the memory of its machine.
    fn memory(&self, name: &str) -> Result<Option<Hop>> {
        if let Some((Element::Integers(end), place)) = self.setting(name, TRUNCATE_MEMORY)?
            && let Some(end) = end.first().filter(|end| **end < LEAST_MEMORY)
        {
            let why = format!("it is to use the first {} MiB of memory alone, and needs 512", end >> 20);
            return Ok(Some(Hop::blocked(HopKind::Menu, place, "", why)));
        }
        if let Some((Element::Integers(less), place)) = self.setting(name, REMOVE_MEMORY)?
            && let Some(less) = less.first().filter(|less| **less > 0)
        {
            let why =
                format!("it is to leave {less} MiB of memory unused, and how many are left is not known");
            return Ok(Some(Hop::unknown(HopKind::Menu, place, "", why)));
        }
        Ok(None)
    }

    /// What is wrong with a device that the entry names.
    fn device(&self, object: &Object<'_>, name: &str, number: u32, of: &str) -> Result<Option<Hop>> {
        let place = self.place(name, number);
        let what = format!("the device of {of}");
        let unknown = |why: String| Ok(Some(Hop::unknown(HopKind::Menu, place.clone(), what.clone(), why)));
        let blocked = |why: String| Ok(Some(Hop::blocked(HopKind::Menu, place.clone(), what.clone(), why)));
        let machine = self.guest.view.machine();
        let is_root = |volume: &&Volume| volume.mounted_at.as_deref() == Some("/");
        let Some(root) = machine.volumes.iter().find(is_root) else {
            return unknown("which volume Windows is on, is not known".to_owned());
        };
        match self.element(object, number)? {
            Some(Element::Device(Device::Partition(partition))) if is_partition(root, &partition) => {
                match self.disk(&partition)? {
                    Some(why) => blocked(why),
                    None => Ok(None),
                }
            }
            Some(Element::Device(Device::Partition(partition))) => {
                let named = machine.volumes.iter().find(|volume| is_partition(volume, &partition));
                blocked(match named {
                    Some(volume) => format!("it is {}, and Windows is on {}", volume.name, root.name),
                    None => format!(
                        "no partition of this disk is {}: Windows is on {}",
                        told(&partition),
                        root.name
                    ),
                })
            }
            Some(Element::Device(Device::Boot)) if self.file() == registry::BCD_WINDOWS => Ok(None),
            Some(Element::Device(Device::Boot)) => {
                blocked("it is the one that the firmware starts from, and Windows is on another".to_owned())
            }
            // The volume with a file that the boot manager looks for; it is that of Windows if it has it.
            Some(Element::Device(Device::Locate { path: Some(path) })) => {
                let found = format!("/{}", path.trim_start_matches('\\').replace('\\', "/"));
                match self.guest.view.exists(&found)? {
                    true => Ok(None),
                    false => blocked(format!("it is the one with {path}, which is not there")),
                }
            }
            Some(Element::Device(Device::Locate { path: None })) => Ok(None),
            Some(_) => unknown("it is of a kind that is not understood".to_owned()),
            None => blocked("it names none".to_owned()),
        }
    }

    /// What is wrong with the disk that a partition of this one is said to be on.
    fn disk(&self, partition: &Partition) -> Result<Option<String>> {
        let Partition::Gpt { disk, .. } = partition else { return Ok(None) };
        for sector in [512, 4096] {
            let header = match self.guest.view.disk_bytes(0, sector, 92) {
                Err(Error::Refused(_)) => return Ok(None),
                header => header?,
            };
            if header.starts_with(b"EFI PART") {
                let own = header.get(56..72).unwrap_or_default();
                let is_it = own == disk.to_bytes_le();
                return Ok((!is_it).then(|| format!("the disk is not {disk}, which it is said to be on")));
            }
        }
        Ok(Some(format!("the disk is not {disk}, which it is said to be on: it has no GPT")))
    }

    /// The loader that the entry names, which is on the volume of Windows.
    fn loader(&self, object: &Object<'_>, name: &str) -> Result<Hop> {
        let Some(path) = self.text(object, APPLICATION_PATH)? else {
            let place = self.place(name, APPLICATION_PATH);
            return Ok(Hop::blocked(HopKind::Kernel, place, "winload", "the entry names no loader"));
        };
        let wanted = match self.firmware {
            Firmware::Bios => ".exe",
            Firmware::Uefi => ".efi",
        };
        if !path.to_ascii_lowercase().ends_with(wanted) {
            let why = format!("the entry names {path}, which is no loader for {}", self.firmware.name());
            return Ok(Hop::blocked(HopKind::Kernel, self.place(name, APPLICATION_PATH), "winload", why));
        }
        let file = format!("/{}", path.trim_start_matches('\\').replace('\\', "/"));
        Ok(match image::fault(self.guest, &file, Look::Within)? {
            Some(fault) => service::hop(HopKind::Kernel, "winload", fault),
            None => Hop::reached(HopKind::Kernel, file, "winload"),
        })
    }
}

fn told(partition: &Partition) -> String {
    match partition {
        Partition::Gpt { partition, disk } => format!("{partition} of the disk {disk}"),
        Partition::Mbr { disk, start } => format!("at byte {start} of the disk {disk:08x}"),
    }
}
