//! The drivers that the loader brings into memory, in its order ("Specifying driver load order", Microsoft
//! Learn, 2026): of those that start at boot the group decides, within a group the tag.

use std::collections::HashMap;

use super::System;
use super::image::{self, Look};
use crate::bootwalk::{Hop, HopKind, service};
use crate::registry::{BOOT_START, DISABLED, Service, filters};
use crate::{Guest, Result};

/// From this `ErrorControl` on the loader does not go on without a driver.
const SEVERE: u32 = 2;

/// The filter above every disk that finds its partitions.
const PARTITIONS: &str = "partmgr";

/// Buses whose devices no target has.
const XEN: [&str; 4] = [r"\Enum\XEN\", r"\Enum\XENBUS\", r"\Enum\XENVIF\", r"\Enum\XENDEVICE\"];

/// The hops at the drivers that start at boot, and at the filters of what they drive.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn drivers(guest: &Guest<'_>, system: &System) -> Result<Vec<Hop>> {
    let mut hops: Vec<Hop> =
        system.services.unread.iter().map(|unread| Hop::unread(HopKind::Drivers, unread)).collect();
    let groups = format!(r"{}\Control\ServiceGroupOrder", system.set);
    if system.hive.texts(&groups, "List")?.is_none_or(|list| list.is_empty()) {
        let why = "it names no groups, and in which order the loader takes the drivers is not known";
        let place = system.hive.place(&groups, Some("List"));
        hops.push(Hop::unknown(HopKind::Drivers, place, "the order of drivers", why));
    }
    let tags = format!(r"{}\Control\GroupOrderList", system.set);
    if system.hive.key(&tags)?.is_none() {
        let why = "it is not there, and in which order the loader takes the drivers of a group is not known";
        let place = system.hive.place(&tags, None);
        hops.push(Hop::unknown(HopKind::Drivers, place, "the order of drivers", why));
    }
    let order = in_order(system)?;
    for driver in &order {
        if let Some((why, is_sure)) = fault(guest, driver)? {
            let place = system.hive.place(&driver.key, Some("ImagePath"));
            let what = format!("the driver {}", driver.name);
            let grave = driver.error_control.unwrap_or(1) >= SEVERE;
            hops.push(match (is_sure, grave) {
                (true, true) => Hop::blocked(HopKind::Drivers, place, what, why),
                (true, false) => {
                    let why = format!("{why}; the loader goes on without it, and to where is not known");
                    Hop::unknown(HopKind::Drivers, place, what, why)
                }
                (false, _) => Hop::unknown(HopKind::Drivers, place, what, why),
            });
        }
    }
    if hops.is_empty() {
        for path in order.iter().filter_map(|driver| driver.file().ok()) {
            let fault = image::unlinked(guest, system, &path)?;
            hops.extend(
                fault.map(|fault| service::hop(HopKind::Drivers, "what drivers are linked with", fault)),
            );
        }
    }
    hops.extend(filters(guest, system)?);
    if hops.is_empty() {
        let names: Vec<&str> = order.iter().map(|driver| driver.name.as_str()).collect();
        let unseen = image::not_looked_at(guest);
        let what = format!("{} drivers, in this order: {}{unseen}", names.len(), names.join(" "));
        let key = format!(r"{}\Services", system.set);
        hops.push(Hop::reached(HopKind::Drivers, system.hive.place(&key, None), what));
    }
    Ok(hops)
}

/// Why a driver's file is not loaded, and whether that is sure.
pub(super) fn fault(guest: &Guest<'_>, driver: &Service) -> Result<Option<(String, bool)>> {
    if let Some(why) = driver.wrong_type() {
        return Ok(Some((why, true)));
    }
    let file = match driver.file() {
        Ok(file) => file,
        Err(why) => return Ok(Some((why, false))),
    };
    let fault = image::fault(guest, &file, Look::Within)?;
    Ok(fault.map(|fault| (format!("{}: {}", fault.place, fault.why), fault.is_sure)))
}

/// The same for a driver of Windows itself, whose file has its name, perhaps with a number behind it: any other
/// drives something else.
pub(super) fn own_fault(
    guest: &Guest<'_>,
    system: &System,
    driver: &Service,
) -> Result<Option<(String, bool)>> {
    if let Ok(file) = driver.file() {
        let base = file.rsplit('/').next().unwrap_or_default().to_lowercase();
        let is_of = |one: &Service| base.starts_with(&one.name.to_lowercase());
        if !is_of(driver) {
            let others = system.services.all.iter().filter(|one| one.is_driver() && is_of(one));
            return Ok(Some(match others.max_by_key(|one| one.name.len()) {
                Some(other) => (format!("its file is {base}, which is that of {}", other.name), true),
                None => (format!("its file is {base}, and what that drives is not known"), false),
            }));
        }
    }
    fault(guest, driver)
}

/// The drivers that start at boot, in the order in which they are loaded.
fn in_order(system: &System) -> Result<Vec<&Service>> {
    let control = format!(r"{}\Control", system.set);
    let groups = system.hive.texts(&format!(r"{control}\ServiceGroupOrder"), "List")?.unwrap_or_default();
    let groups: HashMap<String, usize> =
        groups.iter().enumerate().map(|(at, group)| (group.to_lowercase(), at)).rev().collect();
    let list = format!(r"{control}\GroupOrderList");
    let mut tags: HashMap<String, Vec<u32>> = HashMap::new();
    for group in system.hive.values(&list)? {
        let data = system.hive.data(&list, &group)?.unwrap_or_default();
        let mut words = data.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let count = words.next().map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
        tags.insert(group.to_lowercase(), words.take(count).collect());
    }
    // What is in no group, or has no tag that its group knows, comes last.
    let rank = |driver: &Service| {
        let group = driver.group.as_deref().unwrap_or_default().to_lowercase();
        let tag = driver.tag.and_then(|tag| tags.get(&group)?.iter().position(|known| *known == tag));
        (groups.get(&group).copied().unwrap_or(usize::MAX), tag.unwrap_or(usize::MAX))
    };
    let starts = |driver: &&Service| driver.is_driver() && driver.start == Some(BOOT_START);
    let mut order: Vec<&Service> = system.services.all.iter().filter(starts).collect();
    order.sort_by_key(|driver| rank(driver));
    Ok(order)
}

/// What is wrong with the filters of the devices that a start needs: one that is not loaded keeps its device
/// from starting.
fn filters(guest: &Guest<'_>, system: &System) -> Result<Vec<Hop>> {
    let lists = filters::of(&system.hive, &system.set)?;
    let counts = |key: &str| match key.contains(r"\Control\Class\") {
        true => filters::CLASSES.iter().any(|class| key.to_lowercase().ends_with(class)),
        false => !XEN.iter().any(|bus| key.to_uppercase().contains(&bus.to_uppercase())),
    };
    let unread = lists.unread.iter().filter(|(key, _)| counts(key));
    let mut hops: Vec<Hop> = unread.map(|(_, what)| Hop::unread(HopKind::Drivers, what)).collect();
    let of_disks = |key: &str| key.to_lowercase().ends_with(filters::DISK_DRIVES);
    let is_partitions = |list: &filters::Filters| {
        of_disks(&list.key)
            && list.list == "UpperFilters"
            && list.names.iter().any(|name| name.eq_ignore_ascii_case(PARTITIONS))
    };
    if !lists.all.iter().any(is_partitions) && !lists.unread.iter().any(|(key, _)| of_disks(key)) {
        let key = format!(r"{}\Control\Class\{}", system.set, filters::DISK_DRIVES);
        let place = system.hive.place(&key, Some("UpperFilters"));
        let why = format!("{PARTITIONS} is not in it, and no disk has partitions without it");
        hops.push(Hop::blocked(HopKind::Drivers, place, format!("the filter {PARTITIONS}"), why));
    }
    for list in lists.all.iter().filter(|list| counts(&list.key)) {
        let of_class = list.key.contains(r"\Control\Class\");
        for name in &list.names {
            let place = system.hive.place(&list.key, Some(list.list));
            let what = format!("the filter {name}");
            let blocked = |why: String| Hop::blocked(HopKind::Drivers, place.clone(), what.clone(), why);
            let Some(service) = system.services.get(name) else {
                // One that cannot be read was told.
                if system.services.unread(name).is_none() {
                    hops.push(blocked(format!("there is no driver {name}, and the device does not start")));
                }
                continue;
            };
            match service.start {
                Some(DISABLED) | None => {
                    hops.push(blocked(format!("{name} is disabled, and the device does not start")));
                }
                Some(start) if of_class && start != BOOT_START => {
                    let why =
                        format!("{name} starts late (Start is {start}), and the loader does not bring it");
                    hops.push(Hop::unknown(HopKind::Drivers, place, what, why));
                }
                Some(_) => {
                    if let Some((why, is_sure)) = fault(guest, service)? {
                        hops.push(match is_sure {
                            true => blocked(why),
                            false => Hop::unknown(HopKind::Drivers, place, what, why),
                        });
                    }
                }
            }
        }
    }
    Ok(hops)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::registry::{ControlSets, SYSTEM, Services, open};
    use crate::rules::testing::Bench;

    /// The hive of a machine that ran, which is beside the checkout.
    fn recorded(name: &str) -> Option<Vec<u8>> {
        let path = testimages::judge::shared()?.join(format!("testdata/hives/{name}.xz"));
        let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut bytes = Vec::new();
        lzma_rust2::XzReader::new(&*packed, true).read_to_end(&mut bytes).unwrap();
        // Some were copied while they were written to, without their logs: taken as they are.
        bytes.copy_within(4..8, 8);
        let words = bytes[..508].chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        let sum = words.fold(0, |sum, word| sum ^ word);
        bytes[508..512].copy_from_slice(&sum.to_le_bytes());
        Some(bytes)
    }

    /// Order and number as a prototype has them that was written in another language, with hivex.
    #[test]
    fn drivers_of_real_machines_are_loaded_in_their_order() {
        let seven = "Wdf01000 ACPI msisadrv pci vdrvroot partmgr Compbatt intelide volmgr volmgrx mountmgr vmbus atapi LSI_SCSI amdxata LSI_SAS FltMgr FileInfo mfehidk CLFS KSecDD CNG pcw Fs_Rec NDIS KSecPkg Tcpip mfewfpk storflt rdyboost Disk fvevol hwpolicy Mup spldr volsnap";
        let eight = "Wdf01000 acpiex msisadrv pci isapnp vdrvroot partmgr pdc spaceport volmgr volmgrx vmbus nvraid pciide intelide";
        let ten = "pcw Wdf01000 acpiex msisadrv isapnp pci vdrvroot partmgr pdc ebdrv pcmcia pciide spaceport intelide volmgr";
        for (name, count, first) in [
            ("regipy-SYSTEM", 36, seven),
            ("regipy-SYSTEM_2", 78, eight),
            ("regipy-SYSTEM_WIN_10_1709", 93, ten),
        ] {
            let Some(hive) = recorded(name) else { return };
            Bench::debian().file(SYSTEM.path, hive).guest(|guest| {
                let hive = open(guest.view, SYSTEM).unwrap().unwrap();
                let set = ControlSets::of(&hive).unwrap().default.unwrap();
                let services = Services::of(&hive, &set).unwrap();
                assert_eq!(services.unread, [], "{name}");
                let system = System::new(hive, set, services);
                let order: Vec<_> = in_order(&system).unwrap().iter().map(|one| one.name.as_str()).collect();
                assert_eq!(order.len(), count, "{name}");
                assert!(order.join(" ").starts_with(first), "{name}: {order:?}");
                // Nothing is odd about what works.
                for one in &system.services.all {
                    assert_eq!(one.wrong_type(), None, "{name}: {one:?}");
                }
                for known in ["volume", "Wdf01000", "FltMgr", "KSecDD", "CNG", "disk", "partmgr", "pci"] {
                    let found = system.services.get(known);
                    assert!(found.is_none_or(|one| one.start == Some(BOOT_START)), "{name}: {found:?}");
                }
                let drivers = ["vmbus", "storvsc", "netvsc", "atapi", "intelide", "NDIS", "Tcpip", "AFD"];
                for known in drivers.into_iter().chain(["Npfs", "Ntfs", "volume", "WFPLWFS", "ACPI"]) {
                    let found = system.services.get(known).filter(|one| one.file().is_ok());
                    let fault = found.and_then(|one| own_fault(guest, &system, one).unwrap());
                    assert!(fault.is_none_or(|(why, _)| why.ends_with("no such file")), "{name}: {found:?}");
                }
                for known in
                    ["TermService", "RpcSs", "DcomLaunch", "SamSs", "LSM", "ProfSvc", "PlugPlay", "BFE"]
                {
                    let Some(one) = system.services.get(known) else { continue };
                    let fault = super::super::service::process(guest, &system, one).unwrap();
                    assert!(fault.is_none() && one.start != Some(DISABLED), "{name}: {fault:?}");
                }
                let filters = super::filters(guest, &system).unwrap();
                let of_partitions = filters.iter().any(|hop| format!("{hop:?}").contains("is not in it"));
                assert!(!of_partitions, "{name}: {filters:?}");
                // What filters are named has a service: none of these machines was broken.
                let lists = filters::of(&system.hive, &system.set).unwrap();
                assert_eq!(lists.unread, [], "{name}");
                let all = lists.all;
                // But one of infrared ports.
                for list in
                    all.iter().filter(|list| !list.key.contains("{6bdd1fc5-810f-11d0-bec7-08002be2092f}"))
                {
                    for filter in &list.names {
                        assert!(system.services.get(filter).is_some(), "{name}: {list:?}");
                    }
                }
            });
        }
    }
}
