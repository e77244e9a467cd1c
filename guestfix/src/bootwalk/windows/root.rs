//! From the bus of the target to the volume of the system: what has to be loaded for it, and to be installed
//! for the devices that the target has.

use super::image::{self, Look};
use super::service::INFERRED;
use super::{System, drivers};
use crate::bootwalk::{Hop, HopKind, service};
use crate::platform::{Firmware, azure};
use crate::registry::{self, BOOT_START, DISABLED, SOFTWARE};
use crate::{Guest, Result};

/// What stands between a disk's driver and the system volume, whatever the disk.
const STACK: [&str; 6] = ["ACPI", "pci", "disk", "partmgr", "volmgr", "mountmgr"];
/// What of that, and of what the drivers above are linked with, and the first build that has it.
const SINCE: [(&str, u32); 5] =
    [("volume", 10240), ("Wdf01000", 0), ("FltMgr", 0), ("KSecDD", 0), ("CNG", 0)];
/// The file system of the volume, which the loader brings whatever its `Start` is.
const FILE_SYSTEM: &str = "Ntfs";
/// What drivers of these are linked with: `disk` with the library of all classes, those of disk controllers with
/// that of their ports.
const LINKED: [&str; 2] = ["classpnp.sys", "storport.sys"];
/// The first build that keeps what it knows of devices in `DriverDatabase`.
const DRIVER_DATABASE: u32 = 9200;
/// Builds that know `ACPI\VMBus` and not what Azure's hosts of 2026 have in its place.
const BEFORE_MSFT1000: std::ops::RangeInclusive<u32> = 9200..=9600;

/// The hops at the volume of the system.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn root(guest: &Guest<'_>, system: &System) -> Result<Vec<Hop>> {
    let mut hops = Vec::new();
    // Which Windows it is, is asked below.
    let build = build(guest)?.unwrap_or(0);
    let since = SINCE.into_iter().filter(|(_, since)| *since <= build).map(|(name, _)| name);
    for name in STACK.into_iter().chain(since) {
        hops.extend(loaded(guest, system, name)?);
    }
    hops.extend(volumes(system)?);
    hops.extend(file_system(guest, system)?);
    hops.extend(host(guest, system)?);
    for name in LINKED {
        let path = format!("/Windows/System32/drivers/{name}");
        let fault = image::fault(guest, &path, Look::Within)?;
        hops.extend(
            fault.map(|fault| service::hop(HopKind::Root, "what drivers of disks are linked with", fault)),
        );
    }
    let known = guest.goal.target.platform.windows;
    let bus = path(guest, system, known.vital, known.files, vmbus_is_known)?;
    let found = match (bus.is_empty(), guest.goal.target.firmware) {
        (true, _) => Some(known.vital),
        // The controller that the boot loader sees is there for the system, too.
        (false, Firmware::Bios) => {
            let controller = path(guest, system, known.bios, known.bios_files, ide_is_known)?;
            controller.is_empty().then_some(known.bios)
        }
        (false, Firmware::Uefi) => None,
    };
    match found {
        None => hops.extend(bus),
        Some(drivers) if hops.is_empty() => {
            let what = format!("the disk by {}, and NTFS on it", drivers.join(" and "));
            hops.push(Hop::reached(HopKind::Root, "/", what));
        }
        Some(_) => {}
    }
    Ok(hops)
}

/// What keeps one way to the disk from being gone: its drivers, their files, and that they are installed for
/// its device.
fn path(
    guest: &Guest<'_>,
    system: &System,
    names: &[&str],
    files: &[&str],
    is_known: fn(&Guest<'_>, &System) -> Result<Option<Hop>>,
) -> Result<Vec<Hop>> {
    let mut hops = Vec::new();
    for name in names {
        hops.extend(loaded(guest, system, name)?);
    }
    for file in files {
        let path = format!("/Windows/System32/drivers/{file}");
        let fault = image::fault(guest, &path, Look::Within)?;
        hops.extend(fault.map(|fault| service::hop(HopKind::Root, "a driver of the disk", fault)));
    }
    if hops.is_empty() {
        hops.extend(is_known(guest, system)?);
    }
    Ok(hops)
}

/// Why a driver is not in memory when the kernel starts.
fn loaded(guest: &Guest<'_>, system: &System, name: &str) -> Result<Option<Hop>> {
    let what = format!("the driver {name}");
    let key = format!(r"{}\Services\{name}", system.set);
    let Some(service) = system.services.get(name) else {
        if let Some(unread) = system.services.unread(name) {
            return Ok(Some(Hop::unread(HopKind::Root, unread)));
        }
        let place = system.hive.place(&key, None);
        return Ok(Some(Hop::blocked(HopKind::Root, place, what, "there is no such driver")));
    };
    if service.start != Some(BOOT_START) {
        let start = service.start.map_or("not there".to_owned(), |start| start.to_string());
        let why = format!("the loader does not bring it: Start is {start}");
        let place = system.hive.place(&service.key, Some("Start"));
        return Ok(Some(Hop::blocked(HopKind::Root, place, what, why)));
    }
    if let Some((machine, start)) = service.overrides.iter().find(|(_, start)| *start != BOOT_START) {
        let why = format!("StartOverride has {start} in the place of its Start {INFERRED}");
        let place = system.hive.place(&format!(r"{}\StartOverride", service.key), Some(machine));
        return Ok(Some(Hop::blocked(HopKind::Root, place, what, why)));
    }
    if let Some(why) = service.wrong_type() {
        let place = system.hive.place(&service.key, Some("Type"));
        return Ok(Some(Hop::blocked(HopKind::Root, place, what, why)));
    }
    Ok(match drivers::own_fault(guest, system, service)? {
        None => None,
        Some((why, is_sure)) => {
            let place = system.hive.place(&service.key, Some("ImagePath"));
            Some(match is_sure {
                true => Hop::blocked(HopKind::Root, place, what, why),
                false => Hop::unknown(HopKind::Root, place, what, why),
            })
        }
    })
}

/// Why the driver of volumes has no device, which no bus tells of: it is one that was written down.
fn volumes(system: &System) -> Result<Option<Hop>> {
    let key = format!(r"{}\Enum\ROOT\VOLMGR", system.set);
    for device in system.hive.subkeys(&key)? {
        let service = system.hive.text(&format!(r"{key}\{device}"), "Service")?;
        if service.is_some_and(|name| name.eq_ignore_ascii_case("volmgr")) {
            return Ok(None);
        }
    }
    let why = "no device there has the driver volmgr, and whether Windows makes one is not known";
    Ok(Some(Hop::unknown(HopKind::Root, system.hive.place(&key, None), "the volumes", why)))
}

fn file_system(guest: &Guest<'_>, system: &System) -> Result<Option<Hop>> {
    let what = "the driver of the file system";
    let place = |value| system.hive.place(&format!(r"{}\Services\{FILE_SYSTEM}", system.set), value);
    let Some(service) = system.services.get(FILE_SYSTEM) else {
        return Ok(Some(Hop::blocked(HopKind::Root, place(None), what, "there is no such driver")));
    };
    if matches!(service.start, Some(DISABLED) | None) {
        return Ok(Some(Hop::blocked(HopKind::Root, place(Some("Start")), what, "it is disabled")));
    }
    Ok(drivers::own_fault(guest, system, service)?.map(|(why, is_sure)| match is_sure {
        true => Hop::blocked(HopKind::Root, place(Some("ImagePath")), what, why),
        false => Hop::unknown(HopKind::Root, place(Some("ImagePath")), what, why),
    }))
}

fn build(guest: &Guest<'_>) -> Result<Option<u32>> {
    match registry::open(guest.view, SOFTWARE)? {
        Some(software) => registry::build(&software),
        None => Ok(None),
    }
}

fn nameless(what: &str) -> Hop {
    Hop::unknown(HopKind::Root, SOFTWARE.path, what, "which Windows this is, is not known")
}

/// Why the bus is not found although its driver is in memory.
fn vmbus_is_known(guest: &Guest<'_>, system: &System) -> Result<Option<Hop>> {
    let what = "the bus of Hyper-V";
    let Some(build) = build(guest)? else { return Ok(Some(nameless(what))) };
    let needed = match build {
        ..DRIVER_DATABASE => {
            let devices = ["ACPI#VMBus", "VMBUS#{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}"];
            devices.map(|device| format!(r"{}\Control\CriticalDeviceDatabase\{device}", system.set)).to_vec()
        }
        _ => {
            let key = r"DriverDatabase\DeviceIds\ACPI\VMBus".to_owned();
            // Each value is a package that drives it.
            if system.hive.key(&key)?.is_some() && system.hive.values(&key)?.is_empty() {
                let why = "no driver is installed for it";
                return Ok(Some(Hop::blocked(HopKind::Root, system.hive.place(&key, None), what, why)));
            }
            vec![key]
        }
    };
    missing(system, what, &needed)
}

/// Why a card on the bus is not found, whatever the disk is on. What is no device of the start, Windows before 9200
/// installs as it finds it.
pub(super) fn bus_of_cards(guest: &Guest<'_>, system: &System) -> Result<Option<Hop>> {
    let known = match build(guest)? {
        Some(..DRIVER_DATABASE) => None,
        _ => vmbus_is_known(guest, system)?,
    };
    Ok(known.map(|hop| Hop { kind: HopKind::Network, ..hop }))
}

/// Why a host of today does not start a Windows that knows Hyper-V: it has other names for what such a Windows
/// knows ("Windows Server 2012 R2 boot failure, platform update", Microsoft support, 2026).
fn host(guest: &Guest<'_>, system: &System) -> Result<Option<Hop>> {
    let device = format!(r"{}\Enum\ACPI\MSFT1000", system.set);
    let database = r"DriverDatabase\DeviceIds\ACPI\MSFT1000";
    let is_azure = *guest.goal.target.platform == azure::AZURE;
    if is_azure
        && build(guest)?.is_some_and(|build| BEFORE_MSFT1000.contains(&build))
        && system.hive.key(&device)?.is_none()
        && system.hive.key(database)?.is_none()
    {
        let why = r"Azure's hosts have it as ACPI\MSFT1000, which 2012 and 2012 R2 do not know";
        let place = system.hive.place(&device, None);
        return Ok(Some(Hop::blocked(HopKind::Root, place, "the bus of Hyper-V", why)));
    }
    Ok(None)
}

/// Why the emulated controller is not found although its drivers are in memory.
fn ide_is_known(guest: &Guest<'_>, system: &System) -> Result<Option<Hop>> {
    let what = "the controller of the disk";
    let Some(build) = build(guest)? else { return Ok(Some(nameless(what))) };
    if build >= DRIVER_DATABASE {
        return Ok(None);
    }
    let devices = ["PCI#VEN_8086&DEV_7111", "Primary_IDE_Channel", "GenDisk"];
    let needed = devices.map(|device| format!(r"{}\Control\CriticalDeviceDatabase\{device}", system.set));
    missing(system, what, &needed)
}

fn missing(system: &System, what: &str, keys: &[String]) -> Result<Option<Hop>> {
    for key in keys {
        if system.hive.key(key)?.is_none() {
            let why = "no driver is installed for it";
            return Ok(Some(Hop::blocked(HopKind::Root, system.hive.place(key, None), what, why)));
        }
    }
    Ok(None)
}
