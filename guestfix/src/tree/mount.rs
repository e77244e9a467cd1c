//! Which volume goes where: the guest's own fstab decides.

use crate::facts::{Machine, Volume};

/// A file system of fstab that is on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountPoint {
    /// As fstab writes it.
    pub(super) point: String,
    /// Index into `Machine::volumes`.
    pub(super) volume: usize,
}

/// The mounts of an fstab below the root, outer ones first; the root itself is where the fstab was found.
pub(super) fn mount_points(fstab: &str, machine: &Machine) -> Vec<MountPoint> {
    let lines = fstab.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut points: Vec<MountPoint> = lines
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (spec, point) = (unescape(fields.next()?), unescape(fields.next()?));
            if !point.starts_with('/') || point == "/" {
                return None;
            }
            let volume = volume_of(machine, &spec)?;
            let volume = machine.volumes.iter().position(|other| other.number == volume.number)?;
            Some(MountPoint { point, volume })
        })
        .collect();
    // Stable: of two lines for one place the later one wins, as it is mounted over the earlier one.
    points.sort_by_key(|mount| mount.point.matches('/').count());
    points
}

/// `\040` and its like, as getmntent(3) reads them.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

/// The volume of this disk that the first field of an fstab line (or `root=`) names.
///
/// Device names are taken to be of this disk if they are those of a first disk: `sda`, `xvda`, `vda`, `hda`, `nvme0n1`.
pub(crate) fn volume_of<'a>(machine: &'a Machine, spec: &str) -> Option<&'a Volume> {
    let find = |same: &dyn Fn(&Volume) -> bool| machine.volumes.iter().find(|volume| same(volume));
    let is = |value: &Option<String>, wanted: &str| {
        value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(wanted))
    };
    let (tag, value) = match spec.split_once('=') {
        Some((tag, value)) => (tag, value.trim_matches('"')),
        None => {
            let name = spec.strip_prefix("/dev/")?;
            match name.strip_prefix("disk/by-").and_then(|rest| rest.split_once('/')) {
                Some((tag, value)) => (tag, value),
                None => {
                    let number = partition_number(name)?;
                    return find(&|volume| volume.number == number);
                }
            }
        }
    };
    match tag.to_ascii_lowercase().as_str() {
        "uuid" => find(&|volume| is(&volume.uuid, value)),
        "label" => find(&|volume| volume.label.as_deref() == Some(value)),
        "partuuid" => find(&|volume| is(&volume.partuuid, value)),
        "partlabel" => find(&|volume| volume.partlabel.as_deref() == Some(value)),
        _ => None,
    }
}

/// The partition number in the name of a device of the first disk; 0 for the disk itself.
fn partition_number(name: &str) -> Option<u32> {
    let with_p = ["nvme0n1", "mmcblk0"];
    let plain = ["sda", "xvda", "vda", "hda"];
    let number = match with_p.iter().find_map(|disk| name.strip_prefix(disk)) {
        Some("") => "",
        Some(rest) => rest.strip_prefix('p')?,
        None => plain.iter().find_map(|disk| name.strip_prefix(disk))?,
    };
    match number {
        "" => Some(0),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let volume = |number: u32, uuid: &str, label: &str| Volume {
            name: format!("p{number}"),
            number,
            range: 0..0,
            kind: Some("ext4".into()),
            uuid: Some(uuid.into()),
            label: Some(label.into()),
            partuuid: Some(format!("aaaa-{number}")),
            partlabel: None,
            type_name: None,
            mounted_at: None,
            needs_recovery: false,
            free: None,
            free_nodes: None,
        };
        let volumes = vec![volume(1, "1111-AAAA", "cloudimg-rootfs"), volume(2, "2222", "my boot"), volume(15, "E0-0F", "UEFI")];
        Machine { size: 0, table: "gpt", bios: vec![], uefi: vec![], volumes }
    }

    #[test]
    fn specs_name_volumes() {
        let machine = machine();
        let number = |spec: &str| volume_of(&machine, spec).map(|volume| volume.number);
        assert_eq!(number("UUID=1111-aaaa"), Some(1));
        assert_eq!(number("LABEL=\"UEFI\""), Some(15));
        assert_eq!(number("LABEL=uefi"), None);
        assert_eq!(number("PARTUUID=AAAA-2"), Some(2));
        assert_eq!(number("/dev/disk/by-uuid/2222"), Some(2));
        assert_eq!(number("/dev/xvda2"), Some(2));
        assert_eq!(number("/dev/nvme0n1p15"), Some(15));
        assert_eq!(number("/dev/nvme1n1p1"), None);
        assert_eq!(number("/dev/sdb1"), None);
        assert_eq!(number("/dev/sda"), None);
        assert_eq!(number("/dev/sda+1"), None);
        assert_eq!(number("tmpfs"), None);
        assert_eq!(number("/dev/mapper/vg-root"), None);
    }

    #[test]
    fn outer_mounts_come_first() {
        let fstab = "# comment\nUUID=E0-0F /boot/efi vfat umask=0077 0 1\nLABEL=my\\040boot /boot ext4 defaults 0 2\n\
                     UUID=1111-AAAA / ext4 defaults 0 1\nUUID=9999 /data ext4 nofail 0 2\n/swapfile none swap sw 0 0\n";
        let points = mount_points(fstab, &machine());
        let points: Vec<_> = points.iter().map(|mount| (mount.point.as_str(), mount.volume)).collect();
        assert_eq!(points, [("/boot", 1), ("/boot/efi", 2)]);
    }
}
