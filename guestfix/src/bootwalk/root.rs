//! The root file system: the volume that the command line names, which must be the one that is looked at here.

use super::mount_options::{self, Refusal};
use super::waits::{self, Missing};
use super::{Hop, HopKind, MenuEntry};
use crate::facts::{SignatureKind, Volume};
use crate::inspect::devices;
use crate::place::Place;
use crate::text::{cmdline, fstab};
use crate::{Device, Guest, Result};

const KIND: HopKind = HopKind::Root;

/// The hop of an entry's root.
pub(super) fn root(guest: &Guest<'_>, entry: &MenuEntry) -> Result<Vec<Hop>> {
    Ok(vec![hop(guest, entry, waits::usr(guest)?)])
}

/// `usr` is the volume that has to be there as early as the root.
fn hop(guest: &Guest<'_>, entry: &MenuEntry, usr: Option<&Volume>) -> Hop {
    let machine = guest.view.machine();
    let Some(spec) = cmdline::values(&entry.cmdline, "root").pop() else {
        return unnamed(guest, entry);
    };
    let what = format!("root={spec}");
    let blocked = |why: String| Hop::blocked(KIND, &entry.place, what.clone(), why);
    let unknown = |why: String| Hop::unknown(KIND, &entry.place, what.clone(), why);
    if is_network(spec) {
        return blocked("it is on a server, not on this machine".into());
    }
    let by_zfs = spec == "ZFS" || spec.starts_with("zfs:") || spec.starts_with("ZFS=");
    // dracut's way to say it
    let name = spec.strip_prefix("block:").unwrap_or(spec);
    let volume = match waits::volume(machine, name) {
        _ if by_zfs => return unknown("it is on ZFS, which refloat does not read".into()),
        Ok(Some(volume)) => volume,
        Ok(None) => return blocked("it names no volume".into()),
        Err(Missing::Surely(why)) => return blocked(why),
        Err(Missing::Perhaps(why)) => return unknown(why),
    };
    if !devices::is_root(volume) {
        let found = format!("{} is not the root that is looked at here", volume.name);
        return match devices::root(machine) {
            Some(root) => blocked(format!("{found}, which is {}", root.name)),
            None => unknown(volume.unreadable.clone().unwrap_or(found)),
        };
    }
    if let Some(why) = wrong_type(&entry.cmdline, volume) {
        return blocked(why);
    }
    let flags = cmdline::values(&entry.cmdline, "rootflags").pop().unwrap_or_default();
    match mount_options::refused_rootflags(volume.kind.map_or("auto", |kind| kind.name()), flags) {
        Some(Refusal::Surely(why)) => return blocked(format!("rootflags={flags}: {why}")),
        Some(Refusal::Perhaps(why)) => return unknown(format!("rootflags={flags}: {why}")),
        None => {}
    }
    if let Some(option) = mount_options::without_programs(flags) {
        return blocked(format!("rootflags={flags}: {option} keeps init from being started"));
    }
    let early = [Some(volume), usr];
    if let Some(why) = early.into_iter().flatten().find_map(|volume| left_out(&entry.cmdline, volume)) {
        return blocked(why);
    }
    if let Some(why) = other_subvolume(guest, &entry.cmdline, volume) {
        return unknown(why);
    }
    let kind = volume.kind_name().unwrap_or("a file system");
    Hop::reached(KIND, Place::volume(&volume.name), format!("root={spec}, {kind}"))
}

/// A command line without a root: systemd then goes by the types of partitions, and only where its own boot
/// loader has said from which disk.
fn unnamed(guest: &Guest<'_>, entry: &MenuEntry) -> Hop {
    let what = "no root= on the command line";
    let root = devices::root(guest.view.machine());
    let typed = root.and_then(|root| root.type_name.as_deref()).is_some_and(|name| name.contains("root"));
    if typed {
        let why = "whether the root is found by the type of its partition is not known";
        return Hop::unknown(KIND, &entry.place, what, why);
    }
    Hop::blocked(KIND, &entry.place, what, "nothing names the root file system")
}

fn is_network(spec: &str) -> bool {
    ["nfs", "iscsi:", "nbd:", "fcoe:", "cifs:", "//", "dhcp", "live:", "/dev/nfs"]
        .iter()
        .any(|start| spec.starts_with(start))
}

/// Why rootfstype= keeps the volume from being mounted.
fn wrong_type(arguments: &str, volume: &Volume) -> Option<String> {
    let types = cmdline::values(arguments, "rootfstype").pop()?;
    let kind = volume.kind?;
    let fits = |name: &str| waits::is_driver_of(name, kind);
    (!types.split(',').any(fits)).then(|| format!("rootfstype={types}, and {} has {kind}", volume.name))
}

/// Why dracut does not bring up a logical volume that the root or /usr is on: it takes only those that it is told,
/// once it is told of any.
fn left_out(arguments: &str, volume: &Volume) -> Option<String> {
    let Device::Logical(_) = volume.device else { return None };
    if cmdline::values(arguments, "rd.lvm").last() == Some(&"0") {
        return Some("rd.lvm=0 keeps LVM from being looked for".into());
    }
    let volumes = cmdline::values(arguments, "rd.lvm.lv");
    let groups = cmdline::values(arguments, "rd.lvm.vg");
    let group = volume.name.split('/').next().unwrap_or_default();
    let told = volumes.contains(&volume.name.as_str()) || groups.contains(&group);
    let any = !volumes.is_empty() || !groups.is_empty();
    (any && !told).then(|| format!("{} is not among those of rd.lvm.lv=", volume.name))
}

/// What is looked at here is the subvolume that fstab names for the root; another one may be another system.
fn other_subvolume(guest: &Guest<'_>, arguments: &str, volume: &Volume) -> Option<String> {
    if volume.kind != Some(SignatureKind::Btrfs) {
        return None;
    }
    let flags = cmdline::values(arguments, "rootflags").pop().unwrap_or_default();
    let of = |options: &str| {
        let found = options.split(',').find_map(|option| option.strip_prefix("subvol=").map(str::to_owned));
        found.map(|name| name.trim_start_matches('/').to_owned())
    };
    let mounted = guest.facts.fstab.iter().find(|mount| mount.target == "/");
    let wanted = mounted.and_then(|mount| of(&mount.options));
    if fstab::has_option(flags, "subvolid=") {
        return Some("rootflags= names a subvolume by its number, which is not looked up here".into());
    }
    let named = of(flags);
    (named != wanted && named.is_some())
        .then(|| format!("rootflags= names the subvolume {}, and fstab another", named.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use libdisk::volume::lvm2::LogicalVolume;

    use super::super::look::look;
    use super::super::testing::{debian, entry, lines};
    use super::*;
    use crate::device::Logical;
    use crate::rules::testing::{BOOT_UUID, Bench, ROOT_UUID, grub_cfg};

    fn with_root(bench: Bench, arguments: &str) -> String {
        let bench = bench.file("/boot/grub/grub.cfg", grub_cfg(arguments, ""));
        let entry = entry(&bench);
        let hops = bench.guest(|guest| look(guest, KIND, |guest| root(guest, &entry)).unwrap());
        let lines = lines(&hops);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }

    #[test]
    fn a_root_by_a_name_that_holds_is_reached() {
        for spec in [
            format!("UUID={ROOT_UUID}"),
            "PARTUUID=1ec2a517-01".into(),
            format!("/dev/disk/by-uuid/{ROOT_UUID}"),
            format!("UUID={ROOT_UUID} rootfstype=ext4,xfs"),
            format!("UUID={ROOT_UUID} rootfstype=ext3"),
            format!("UUID={ROOT_UUID} rootflags=data=ordered,noatime"),
        ] {
            let found = with_root(debian(), &spec);
            assert!(found.starts_with("Root p1: root="), "{spec}: {found}");
        }
    }

    #[test]
    fn a_root_that_is_not_found_or_another_one_stops_the_boot() {
        for (spec, why) in [
            ("/dev/xvda1", "blocked: /dev/xvda1 is a name that p1 has only on EC2"),
            ("UUID=dead-beef", "blocked: UUID=dead-beef is not on this machine"),
            ("LABEL=cloudimg-rootfs", "is not on this machine"),
            ("PARTLABEL=root", "is not on this machine"),
            // the table was written anew
            ("PARTUUID=0badcafe-01", "PARTUUID=0badcafe-01 is not on this machine"),
            ("/dev/mapper/vg0-root", "is not on this machine"),
            (&format!("UUID={BOOT_UUID}"), "p2 is not the root that is looked at here, which is p1"),
            (&format!("UUID={ROOT_UUID} rootfstype=xfs"), "rootfstype=xfs, and p1 has ext4"),
            (
                &format!("UUID={ROOT_UUID} rootflags=subvol=@"),
                "blocked: rootflags=subvol=@: ext4 does not know",
            ),
            (&format!("UUID={ROOT_UUID} rootflags=wibble"), "unknown: rootflags=wibble: whether ext4 takes"),
            (&format!("UUID={ROOT_UUID} rootflags=noexec"), "noexec keeps init from being started"),
            ("10.0.0.1:/srv", "it names no volume"),
            ("nfs:10.0.0.1:/srv", "it is on a server"),
            ("ZFS=rpool/root", "unknown: it is on ZFS"),
        ] {
            let found = with_root(debian(), spec);
            assert!(found.contains(why), "{spec}: {found}");
        }
        let none = with_root(debian(), "").replace("root= ro", "ro");
        assert!(none.contains("blocked"), "{none}");
    }

    #[test]
    fn a_name_of_two_volumes_is_chance() {
        let twins = debian().machine(|machine| machine.volumes[1].uuid = Some(ROOT_UUID.into()));
        let found = with_root(twins, &format!("UUID={ROOT_UUID}"));
        assert!(found.contains("blocked: ") && found.contains("is the name of p1 and p2"), "{found}");
        for tag in ["LABEL", "PARTLABEL", "PARTUUID"] {
            let twins = debian().machine(|machine| {
                for volume in &mut machine.volumes {
                    let name = match tag {
                        "LABEL" => &mut volume.label,
                        "PARTLABEL" => &mut volume.partlabel,
                        _ => &mut volume.partuuid,
                    };
                    *name = Some("twin".into());
                }
            });
            let found = with_root(twins, &format!("{tag}=twin"));
            assert!(found.contains("blocked: ") && found.contains("is the name of p1 and p2"), "{found}");
        }
        let array = debian().machine(|machine| machine.volumes[1].kind = Some(SignatureKind::LinuxRaid));
        let found = with_root(array, "/dev/md0");
        assert!(found.contains("unknown: /dev/md0 may be in p2 (linux_raid_member)"), "{found}");
    }

    /// Once dracut is told of logical volumes, it brings up no others.
    #[test]
    fn a_usr_that_dracut_is_not_told_of_stops_the_boot() {
        let usr = |init: &str| {
            debian()
                .without("/sbin/init")
                .program("/usr/lib/systemd/systemd", "program")
                .link("/sbin/init", init)
                .machine(|machine| {
                    let (name, uuid) = ("vg0/usr".to_owned(), String::new());
                    let logical = LogicalVolume { name, uuid, size: 1, map: Err("thin".into()), known: None };
                    machine.volumes[1].name = "vg0/usr".into();
                    machine.volumes[1].device = Device::Logical(Logical::new(&logical));
                    machine.volumes[1].mounted_at = Some("/usr".into());
                })
        };
        let (in_usr, beside) = ("../usr/lib/systemd/systemd", "../lib/systemd/systemd");
        let root = format!("UUID={ROOT_UUID}");
        let found = with_root(usr(in_usr), &format!("{root} rd.lvm.lv=vg0/swap"));
        assert!(found.ends_with("blocked: vg0/usr is not among those of rd.lvm.lv="), "{found}");
        for (init, arguments) in
            [(in_usr, "rd.lvm.lv=vg0/swap rd.lvm.lv=vg0/usr"), (in_usr, ""), (beside, "rd.lvm.lv=vg0/swap")]
        {
            let found = with_root(usr(init), &format!("{root} {arguments}"));
            assert!(found.starts_with("Root p1: "), "{found}");
        }
    }
}
