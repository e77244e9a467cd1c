//! The other disks of a machine whose snapshots are one input: what is on them, and what of that Azure does not take.

use anyhow::Result;
use guestfix::facts::{Mount, Volume};
use guestfix::report::{self, Page};
use guestfix::tree::Tree;
use guestfix::{Severity, View, inspect};
use libdisk::MachineDisk;
use serde::Serialize;

use crate::image::Image;
use crate::present::size;
use crate::snapshot;

/// The largest disk that can be uploaded, in bytes: 32 TiB ("Upload a VHD to Azure", 2026-09-02).
const LARGEST: u64 = 32 << 40;

/// A disk beside that of the operating system.
#[derive(Debug, Serialize)]
pub(crate) struct DataDisk {
    /// The device that it was: "/dev/xvdf"; empty if that is not known.
    device: String,
    snapshot: String,
    /// In bytes.
    size: u64,
    /// What is on it, a line each.
    volumes: Vec<String>,
    /// Why the machine cannot be moved with it.
    pub(crate) stops: Vec<String>,
    /// What is to be known, and perhaps done by hand.
    notes: Vec<String>,
}

/// Looks at the disks of `image` but for the first, on which `os` is.
pub(crate) fn look(image: &Image, os: &Tree) -> Result<Vec<DataDisk>> {
    let members = image.machine.data_disks();
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let fstab = inspect::gather(os)?.fstab;
    let mut disks = Vec::new();
    let mut groups: Vec<(String, String)> = group_names(os, "the disk of the operating system");
    for member in members {
        disks.push(match one(member, &fstab, &mut groups) {
            // What is on it is another question than whether it can be read.
            Err(error) if snapshot::failure(&error).is_none() => DataDisk {
                notes: vec![format!("what is on it cannot be told: {error:#}")],
                ..DataDisk::of(member)
            },
            looked => looked?,
        });
    }
    Ok(disks)
}

/// The volume groups of a disk, by UUID, each with the name of the disk.
fn group_names(tree: &Tree, disk: &str) -> Vec<(String, String)> {
    tree.machine().lvm.groups.iter().map(|group| (group.uuid.clone(), disk.to_owned())).collect()
}

fn one(member: &MachineDisk, fstab: &[Mount], groups: &mut Vec<(String, String)>) -> Result<DataDisk> {
    let (device, id) = (member.device.as_deref().unwrap_or_default(), member.origin.to_string());
    let disk = &member.disk;
    let tree = Tree::open(disk.clone())?;
    let machine = tree.machine();
    let (mut stops, mut notes) = (Vec::new(), machine.lvm.problems.clone());
    if disk.size() > LARGEST {
        stops.push(format!("{} are more than the {} that can be uploaded", size(disk.size()), size(LARGEST)));
    }
    for group in &machine.lvm.groups {
        if let Some((_, other)) = groups.iter().find(|(uuid, _)| *uuid == group.uuid) {
            notes.push(format!(
                "the volume group {} is on this disk and on {other}; what lies on several disks is not judged",
                group.name
            ));
        }
    }
    groups.extend(group_names(&tree, if device.is_empty() { &id } else { device }));
    let mut volumes = Vec::new();
    for volume in &machine.volumes {
        let mounts = || fstab.iter();
        let mounted = mounts().find(|mount| names(mount, volume));
        let at = mounted.map(|mount| format!(", at {} by fstab", mount.target)).unwrap_or_default();
        let kind = volume.kind.as_deref().unwrap_or("unknown");
        volumes.push(format!("{} {} {kind}{at}", volume.name, size(volume.device.size())));
        if let Some(mount) = mounts().find(|mount| is_device(mount, device, volume)) {
            let uuid = volume.uuid.as_ref().map(|uuid| format!(": write UUID={uuid}")).unwrap_or_default();
            let Mount { line, spec, target, .. } = mount;
            notes.push(format!(
                "/etc/fstab:{line} mounts it at {target} as {spec}, which is another disk's name on Azure, or none's{uuid}"
            ));
        }
    }
    Ok(DataDisk { volumes, stops, notes, ..DataDisk::of(member) })
}

/// Whether a line of fstab names `volume` by what is written on it.
fn names(mount: &Mount, volume: &Volume) -> bool {
    let of = |key: &str, value: &Option<String>| {
        value.as_ref().is_some_and(|value| mount.spec.strip_prefix(key) == Some(value.as_str()))
    };
    of("UUID=", &volume.uuid) || of("LABEL=", &volume.label) || of("PARTUUID=", &volume.partuuid)
}

/// Whether a line of fstab names `volume` of the disk that EC2 calls `device`: `/dev/sdf` and `/dev/xvdf` are the same there.
fn is_device(mount: &Mount, device: &str, volume: &Volume) -> bool {
    let letters = |path: &str| {
        ["/dev/xvd", "/dev/sd"].iter().find_map(|kind| path.strip_prefix(kind).map(str::to_owned))
    };
    let number = if volume.number == 0 { String::new() } else { volume.number.to_string() };
    letters(device).is_some_and(|disk| letters(&mount.spec) == Some(disk + &number))
}

impl DataDisk {
    /// Before anything of it is looked at.
    fn of(disk: &MachineDisk) -> Self {
        let (volumes, stops, notes) = Default::default();
        let (size, device) = (disk.disk.size(), disk.device.clone().unwrap_or_default());
        Self { device, snapshot: disk.origin.to_string(), size, volumes, stops, notes }
    }

    /// Lines for people.
    pub(crate) fn page(&self) -> Page {
        let Self { device, snapshot, size: bytes, volumes, stops, notes } = self;
        let name = if device.is_empty() { snapshot.clone() } else { format!("{device} {snapshot}") };
        let mut page = Page::new();
        page.gap();
        page.prose(0, format!("another disk: {name}, {}: {}", size(*bytes), volumes.join("; ")));
        let mut told = |severity, what: &String| page.line(report::severity(severity).text(what).hang(9));
        stops.iter().for_each(|what| told(Severity::Blocker, what));
        notes.iter().for_each(|what| told(Severity::Note, what));
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ec2s_two_names_of_a_disk_are_one() {
        let mount = |spec: &str| Mount {
            line: 1,
            spec: spec.into(),
            target: "/data".into(),
            kind: "ext4".into(),
            options: "defaults".into(),
            volume: None,
        };
        let Ok(tree) = Tree::open(libdisk::block::Disk::new(libdisk::block::Zeros::new(1 << 20))) else {
            panic!()
        };
        let volume = Volume { number: 0, ..tree.machine().volumes[0].clone() };
        assert!(is_device(&mount("/dev/xvdf"), "/dev/sdf", &volume));
        assert!(!is_device(&mount("/dev/xvdf1"), "/dev/sdf", &volume));
        assert!(is_device(&mount("/dev/sdf1"), "/dev/sdf", &Volume { number: 1, ..volume.clone() }));
        assert!(
            !is_device(&mount("UUID=f"), "", &volume) && !is_device(&mount("/dev/xvdg"), "/dev/sdf", &volume)
        );
    }
}
