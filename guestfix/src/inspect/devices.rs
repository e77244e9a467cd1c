//! Which volume of the machine a device specification means.

use crate::Device;
use crate::facts::{Facts, Machine, SignatureKind, Volume};

/// The names that an EC2 root disk has: NVMe (Nitro), Xen, and what older device mappings call it.
const ROOT_DISKS: &[&str] = &["nvme0n1", "xvda", "sda", "vda", "hda"];

/// The volume a specification names: `UUID=`, `LABEL=`, `PARTUUID=`, `PARTLABEL=`, their `/dev/disk/by-*`
/// forms, a logical volume by its group and name, or a disk device name. `root` is what "/" is mounted from,
/// from which the name of the disk that the machine starts from is learned; those of its other disks are
/// known where EC2 was asked.
///
/// Of a device name this is a guess, though the one that was true when the machine last ran.
pub fn resolve<'a>(machine: &'a Machine, spec: &str, root: Option<&str>) -> Option<&'a Volume> {
    if let Some((tag, value)) = tag(spec) {
        return machine.volumes.iter().find(|volume| has_tag(volume, tag, value));
    }
    let logical = machine.volumes.iter().find(|volume| is_logical(volume, spec));
    if logical.is_some() {
        return logical;
    }
    let (disk, number) = split_name(spec)?;
    let is_root_disk = match root.and_then(split_name) {
        Some((root, _)) => disk == root,
        None => ROOT_DISKS.contains(&disk),
    };
    let index = if is_root_disk { 0 } else { data_disk(machine, disk)? };
    let mut parts = machine.volumes.iter().filter(|volume| is_on(volume, index));
    // Xen shows a disk without partitions as xvda, or as xvda1
    parts.find(|volume| volume.number == number || volume.number == 0 && number == 1)
}

/// What a specification names on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named<'a> {
    /// This volume, by a name that holds wherever its disk is attached.
    Volume(&'a Volume),
    /// More than one volume has the name: which one is found is chance.
    Several(Vec<&'a Volume>),
    /// A name that the kernel or EC2 gave a disk; the volume that had it there, as far as that can be told.
    DiskName(Option<&'a Volume>),
    /// What may be in this volume of the machine, an array or an encrypted one, into which nobody looks here.
    Closed(&'a Volume),
    /// A volume that is not on this machine.
    Absent,
    /// No volume: a file, a server, a file system without one, a device that the system makes as it runs.
    Other,
}

/// Devices that are no volumes of a disk, by the start of their names, numbers aside.
const NO_VOLUMES: &[&str] = &[
    "cdrom",
    "console",
    "dvd",
    "fd",
    "fuse",
    "hugepages",
    "loop",
    "mqueue",
    "nbd",
    "null",
    "pts",
    "ram",
    "root",
    "scd",
    "shm",
    "sr",
    "zram",
];

/// What a specification names on this machine: the one test of whether a volume is there. `root` as for
/// [`resolve`].
pub fn named<'a>(machine: &'a Machine, spec: &str, root: Option<&str>) -> Named<'a> {
    if let Some((tag, value)) = tag(spec) {
        let mut found: Vec<&Volume> =
            machine.volumes.iter().filter(|volume| has_tag(volume, tag, value)).collect();
        return match (found.pop(), found.as_slice()) {
            (None, _) => Named::Absent,
            (Some(only), []) => Named::Volume(only),
            (Some(last), [first, ..]) if is_one(&found, last) => Named::Volume(first),
            (Some(last), _) => {
                found.push(last);
                Named::Several(found)
            }
        };
    }
    if is_disk_name(spec) {
        return Named::DiskName(resolve(machine, spec, root));
    }
    if let Some(logical) = machine.volumes.iter().find(|volume| is_logical(volume, spec)) {
        return Named::Volume(logical);
    }
    let Some(name) = spec.strip_prefix("/dev/") else { return Named::Other };
    let first = name.split('/').next().unwrap_or(name).trim_end_matches(|c: char| c.is_ascii_digit());
    if NO_VOLUMES.contains(&first) {
        return Named::Other;
    }
    let holder = match first {
        "md" => SignatureKind::LinuxRaid,
        "mapper" | "dm-" => SignatureKind::Luks,
        _ => return Named::Absent,
    };
    let closed = machine.volumes.iter().find(|volume| volume.kind == Some(holder));
    closed.map_or(Named::Absent, Named::Closed)
}

/// Whether these are the devices of one file system, or the members of one array, which share its name.
fn is_one(volumes: &[&Volume], last: &Volume) -> bool {
    let shared = matches!(last.kind, Some(SignatureKind::Btrfs | SignatureKind::LinuxRaid));
    shared && volumes.iter().all(|volume| volume.kind == last.kind && volume.uuid == last.uuid)
}

/// Whether the volume is a part of this disk, and of no other.
fn is_on(volume: &Volume, disk: usize) -> bool {
    volume.device.part().is_some_and(|part| part.disk == disk)
}

/// The index of the data disk that has this name in the guest: EC2's "/dev/sdf" is "xvdf" or "sdf" there. (As
/// an NVMe device it has a number that says nothing.)
fn data_disk(machine: &Machine, name: &str) -> Option<usize> {
    let letters = |name: &str| {
        let rest = ["xvd", "sd"].iter().find_map(|kind| name.strip_prefix(kind))?;
        Some(rest.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
    };
    let wanted = letters(name)?;
    let is = |device: &str| letters(device.strip_prefix("/dev/").unwrap_or(device)) == Some(wanted.clone());
    let found = machine.data_disks.iter().position(|disk| disk.device.as_deref().is_some_and(is))?;
    found.checked_add(1)
}

/// The volumes of the machine's other disks that a kernel's name may mean, where it cannot be told which of
/// them it was: an NVMe device has a number that says nothing, and of images nobody knows the names.
pub fn may_be<'a>(machine: &'a Machine, spec: &str) -> Vec<&'a Volume> {
    let by_number = spec.starts_with("/dev/disk/by-id/") || spec.starts_with("/dev/disk/by-path/");
    let (name, number) = match split_name(spec) {
        Some((disk, number)) => (disk, number),
        None if by_number => {
            (spec, spec.rsplit_once("-part").and_then(|(_, number)| number.parse().ok()).unwrap_or(0))
        }
        None => return Vec::new(),
    };
    if ROOT_DISKS.contains(&name) {
        return Vec::new();
    }
    let anonymous = by_number || name.starts_with("nvme");
    let disks = (1..).zip(&machine.data_disks).filter(|(_, disk)| anonymous || disk.device.is_none());
    let parts =
        disks.flat_map(|(index, _)| machine.volumes.iter().filter(move |volume| is_on(volume, index)));
    let fits = |volume: &&Volume| {
        let numbered = volume.number == number || volume.number == 0 && number == 1;
        numbered && volume.kind.is_some_and(|kind| kind != SignatureKind::Lvm2)
    };
    parts.filter(fits).collect()
}

/// What fstab mounts "/" from.
pub fn root_spec(facts: &Facts) -> Option<&str> {
    facts.fstab.iter().find(|mount| mount.target == "/").map(|mount| mount.spec.as_str())
}

/// Whether the volume is the guest's root.
pub fn is_root(volume: &Volume) -> bool {
    volume.mounted_at.as_deref() == Some("/")
}

/// The guest's root.
pub fn root(machine: &Machine) -> Option<&Volume> {
    machine.volumes.iter().find(|volume| is_root(volume))
}

/// A name that holds whatever disk controller the machine has, and that no other volume of it has: `UUID=` of
/// the file system, else `PARTUUID=`, else the name of a logical volume.
pub fn stable_spec(machine: &Machine, volume: &Volume) -> Option<String> {
    let uuid = volume.uuid.as_ref().map(|uuid| format!("UUID={uuid}"));
    let partuuid = volume.partuuid.as_ref().map(|uuid| format!("PARTUUID={uuid}"));
    let logical = matches!(volume.device, Device::Logical(_)).then(|| format!("/dev/{}", volume.name));
    let is_its =
        |spec: &String| matches!(named(machine, spec, None), Named::Volume(found) if found == volume);
    [uuid, partuuid, logical].into_iter().flatten().find(is_its)
}

/// Whether this is a name that the kernel or EC2 gave a disk, and that is another on Azure: `/dev/xvda1`,
/// `/dev/nvme0n1p1`, `/dev/disk/by-id/...`.
pub fn is_disk_name(spec: &str) -> bool {
    split_name(spec).is_some()
        || spec.starts_with("/dev/disk/by-id/")
        || spec.starts_with("/dev/disk/by-path/")
}

/// Whether this names a block device at all, by tag or by name.
pub fn is_device(spec: &str) -> bool {
    tag(spec).is_some() || is_disk_name(spec)
}

/// The tag and value of `UUID=value`, quotes removed, or of `/dev/disk/by-uuid/value`.
fn tag(spec: &str) -> Option<(&'static str, &str)> {
    const TAGS: [(&str, &str, &str); 4] = [
        ("UUID", "UUID=", "/dev/disk/by-uuid/"),
        ("LABEL", "LABEL=", "/dev/disk/by-label/"),
        ("PARTUUID", "PARTUUID=", "/dev/disk/by-partuuid/"),
        ("PARTLABEL", "PARTLABEL=", "/dev/disk/by-partlabel/"),
    ];
    TAGS.iter().find_map(|(tag, prefix, dir)| {
        let value = spec.strip_prefix(prefix).or_else(|| spec.strip_prefix(dir))?;
        Some((*tag, value.trim_matches('"')))
    })
}

fn has_tag(volume: &Volume, tag: &str, value: &str) -> bool {
    let (actual, folded) = match tag {
        "UUID" => (&volume.uuid, true),
        "PARTUUID" => (&volume.partuuid, true),
        "LABEL" => (&volume.label, false),
        _ => (&volume.partlabel, false),
    };
    actual.as_ref().is_some_and(|actual| actual == value || (folded && actual.eq_ignore_ascii_case(value)))
}

/// Whether the specification is one of the names that Linux gives the logical volume: `/dev/vg0/root`,
/// `/dev/mapper/vg0-root`, where a dash of a name is doubled.
fn is_logical(volume: &Volume, spec: &str) -> bool {
    let Device::Logical(_) = volume.device else { return false };
    match spec.strip_prefix("/dev/mapper/") {
        Some(name) => name == volume.name.replace('-', "--").replace('/', "-"),
        None => spec.strip_prefix("/dev/") == Some(&volume.name),
    }
}

/// Disk and partition number of a device name: ("xvda", 1), ("nvme0n1", 1), ("xvdb", 0).
fn split_name(spec: &str) -> Option<(&str, u32)> {
    let name = spec.strip_prefix("/dev/")?;
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[disk.len()..];
    let number = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse().ok() };
    if name.starts_with("nvme") {
        // nvme0n1 is a disk, nvme0n1p1 its partition
        return match disk.strip_suffix('p') {
            Some(whole) if is_nvme(whole) => Some((whole, number(digits)?)),
            _ if is_nvme(name) => Some((name, 0)),
            _ => None,
        };
    }
    let letters = ["xvd", "sd", "vd", "hd"].iter().find_map(|prefix| disk.strip_prefix(prefix))?;
    let plain = !letters.is_empty() && letters.len() <= 2 && letters.chars().all(|c| c.is_ascii_lowercase());
    if plain { Some((disk, number(digits)?)) } else { None }
}

fn is_nvme(disk: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let parts = disk.strip_prefix("nvme").and_then(|rest| rest.split_once('n'));
    parts.is_some_and(|(controller, namespace)| digits(controller) && digits(namespace))
}

#[cfg(test)]
mod tests {
    use libdisk::volume::lvm2::LogicalVolume;

    use super::*;
    use crate::device::{Logical, Part};
    use crate::facts::{DataDisk, TableKind};

    fn machine() -> Machine {
        let volume = |number: u32, mounted_at: &str| Volume {
            name: format!("p{number}"),
            number,
            device: Device::Range(Part { disk: 0, range: 0..1 }),
            kind: Some(SignatureKind::Ext4),
            uuid: Some(format!("aaaa-{number}")),
            label: Some(format!("label{number}")),
            partuuid: None,
            partlabel: None,
            type_name: None,
            mounted_at: Some(mounted_at.into()),
            unreadable: None,
            needs_recovery: false,
            unrecoverable: None,
            read_only: None,
            free: None,
            free_nodes: None,
        };
        let volumes = vec![volume(1, "/"), volume(15, "/boot/efi")];
        Machine {
            size: 1,
            table: TableKind::Gpt,
            remote: false,
            table_faults: vec![],
            data_disks: vec![],
            bios: vec![],
            uefi: vec![],
            volumes,
            lvm: crate::facts::Lvm::default(),
        }
    }

    #[test]
    fn names_are_split_into_disk_and_partition() {
        for (name, expected) in [
            ("/dev/xvda1", Some(("xvda", 1))),
            ("/dev/xvdb", Some(("xvdb", 0))),
            ("/dev/nvme0n1p15", Some(("nvme0n1", 15))),
            ("/dev/nvme1n1", Some(("nvme1n1", 0))),
            ("/dev/sdaa2", Some(("sdaa", 2))),
            ("/dev/nvme0", None),
            ("/dev/sr0", None),
            ("/dev/mapper/vg-root", None),
            ("/dev/vg0/root", None),
            ("/swapfile", None),
        ] {
            assert_eq!(split_name(name), expected, "{name}");
        }
    }

    #[test]
    fn logical_volumes_have_two_names() {
        let mut machine = machine();
        for name in ["vg0/root", "my-vg/my-data"] {
            let logical = LogicalVolume {
                name: name.into(),
                uuid: String::new(),
                size: 1,
                map: Err("thin".into()),
                known: None,
            };
            let device = Device::Logical(Logical::new(&logical));
            machine.volumes.push(Volume {
                name: name.into(),
                number: 0,
                device,
                ..machine.volumes[0].clone()
            });
        }
        let find = |spec: &str| resolve(&machine, spec, None).map(|volume| volume.name.as_str());
        assert_eq!(find("/dev/vg0/root"), Some("vg0/root"));
        assert_eq!(find("/dev/mapper/vg0-root"), Some("vg0/root"));
        assert_eq!(find("/dev/mapper/my--vg-my--data"), Some("my-vg/my-data"));
        for other in [
            "/dev/mapper/my-vg-my-data",
            "/dev/mapper/vg0/root",
            "/dev/vg0-root",
            "vg0/root",
            "/dev/p1",
            "/dev/xvda",
        ] {
            assert_eq!(find(other), None, "{other}");
        }
    }

    #[test]
    fn a_specification_finds_its_volume() {
        let machine = machine();
        let find = |spec: &str, root: Option<&str>| resolve(&machine, spec, root).map(|volume| volume.number);
        assert_eq!(find("UUID=AAAA-15", None), Some(15));
        assert_eq!(find("LABEL=\"label1\"", None), Some(1));
        assert_eq!(find("LABEL=LABEL1", None), None);
        assert_eq!(find("/dev/disk/by-uuid/aaaa-1", None), Some(1));
        assert_eq!(find("/dev/nvme0n1p15", None), Some(15));
        assert_eq!(find("/dev/xvdf1", None), None);
        assert_eq!(find("/dev/xvde1", Some("/dev/xvde1")), Some(1));
        assert_eq!(find("/dev/xvda1", Some("/dev/xvde1")), None);
        assert_eq!(find("/dev/xvda15", Some("UUID=aaaa-1")), Some(15));
    }

    #[test]
    fn a_further_disk_has_the_name_that_ec2_gave_it() {
        let mut machine = machine();
        let disk = |device: &str| DataDisk { device: Some(device.into()), ..DataDisk::default() };
        machine.data_disks = vec![DataDisk::default(), disk("/dev/sdf"), disk("xvdba")];
        for (disk, number) in [(1, 1), (2, 0), (3, 1), (3, 2)] {
            let device = Device::Range(Part { disk, range: 0..1 });
            let name = format!("disk{} {number}", disk + 1);
            machine.volumes.push(Volume { name, number, device, ..machine.volumes[0].clone() });
        }
        let find = |spec: &str| resolve(&machine, spec, Some("/dev/xvda1")).map(|v| v.name.as_str());
        assert_eq!(find("/dev/xvda1"), Some("p1"));
        assert_eq!(find("/dev/xvdf"), Some("disk3 0"));
        assert_eq!(find("/dev/sdf"), Some("disk3 0"));
        assert_eq!(find("/dev/xvdba2"), Some("disk4 2"));
        assert_eq!(find("/dev/xvdba3"), None);
        assert_eq!(find("/dev/xvdb1"), None, "nobody knows which one that was");
        assert_eq!(find("/dev/nvme1n1p1"), None);
        let may_be = |spec: &str| may_be(&machine, spec).iter().map(|v| v.name.as_str()).collect::<Vec<_>>();
        assert_eq!(may_be("/dev/nvme1n1p1"), ["disk2 1", "disk3 0", "disk4 1"]);
        assert_eq!(may_be("/dev/nvme1n1"), ["disk3 0"]);
        assert_eq!(may_be("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol01-part2"), ["disk4 2"]);
        assert_eq!(may_be("/dev/xvdb1"), ["disk2 1"], "the one whose name is not known");
        for other in ["/dev/xvdh2", "/dev/xvda2", "/dev/nvme0n1p1", "UUID=aaaa-1", "/swapfile"] {
            assert_eq!(may_be(other), [""; 0], "{other}");
        }
    }
}
