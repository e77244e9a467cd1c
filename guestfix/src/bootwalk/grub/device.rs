//! What GRUB calls the disks and volumes of the machine, and where in the guest's tree their files are.

use crate::facts::{Machine, SignatureKind, TableKind, Volume};
use crate::text::grub_cfg::Search;
use crate::tree::volume_at;
use crate::{Device, Result, View};

/// Where a path of GRUB leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bootwalk) enum File {
    /// To this path in the guest's tree, where something is.
    At(String),
    /// To this path in the guest's tree, where nothing is.
    Absent(String),
    /// To a device that the machine does not have.
    NoDevice(String),
    /// To what cannot be looked at, and why.
    Unseen(String),
}

/// GRUB's name of a volume: "hd0,gpt1", "lvm/vg0-root".
pub(super) fn name(machine: &Machine, volume: &Volume) -> String {
    let Some(part) = volume.device.part() else {
        return format!("lvm/{}", volume.name.replace('-', "--").replace('/', "-"));
    };
    let table = match part.disk.checked_sub(1) {
        None => machine.table,
        Some(index) => machine.data_disks.get(index).map_or(TableKind::None, |disk| disk.table),
    };
    match table {
        TableKind::Gpt => format!("hd{},gpt{}", part.disk, volume.number),
        TableKind::Mbr => format!("hd{},msdos{}", part.disk, volume.number),
        TableKind::None => format!("hd{}", part.disk),
    }
}

/// The volume that a device name stands for: with or without the kind of the table, and without a disk for
/// the one that the machine started from.
pub(super) fn named<'a>(machine: &'a Machine, device: &str) -> Option<&'a Volume> {
    let exact = machine.volumes.iter().find(|volume| name(machine, volume) == device);
    let logical = |volume: &&Volume| {
        let Some(id) = device.strip_prefix("lvmid/") else { return false };
        let Device::Logical(logical) = &volume.device else { return false };
        let group = volume.name.split('/').next();
        let group = machine.lvm.groups.iter().find(|known| Some(known.name.as_str()) == group);
        group.is_some_and(|group| id == format!("{}/{}", group.uuid, logical.uuid))
    };
    let loose = || {
        let (disk, partition) = device.split_once(',')?;
        let disk = match disk {
            "" => 0,
            disk => disk.strip_prefix("hd")?.parse::<usize>().ok()?,
        };
        let number = partition.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let kind = partition.strip_suffix(number)?;
        let number = number.parse::<u32>().ok()?;
        let mut parts = machine.volumes.iter().filter(|volume| {
            let part = volume.device.part();
            volume.number == number && part.is_some_and(|part| part.disk == disk)
        });
        parts.find(|volume| kind.is_empty() || name(machine, volume).contains(&format!(",{kind}")))
    };
    exact.or_else(|| machine.volumes.iter().find(logical)).or_else(loose)
}

/// The first volume that a search finds.
pub(super) fn found<'a>(machine: &'a Machine, search: &Search) -> Option<&'a Volume> {
    machine.volumes.iter().find(|volume| match search {
        Search::Uuid(uuid) => volume.uuid.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(uuid)),
        Search::Label(label) => volume.label.as_ref() == Some(label),
    })
}

/// Where a path on a device leads in the guest's tree.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn file(view: &dyn View, device: &str, path: &str) -> Result<File> {
    let machine = view.machine();
    let Some(volume) = named(machine, device) else { return Ok(File::NoDevice(device.to_owned())) };
    on_volume(view, volume, path)
}

/// Where a path on a volume leads in the guest's tree.
///
/// # Errors
/// If the guest cannot be read.
pub(in crate::bootwalk) fn on_volume(view: &dyn View, volume: &Volume, path: &str) -> Result<File> {
    if let Some(why) = &volume.unreadable {
        return Ok(File::Unseen(format!("{} cannot be read: {why}", volume.name)));
    }
    let Some(point) = &volume.mounted_at else {
        return Ok(match volume.kind {
            Some(SignatureKind::Swap | SignatureKind::Lvm2) => {
                File::NoDevice(format!("{}, which has no files", volume.name))
            }
            _ => File::Unseen(format!(
                "{} has no place in the guest's tree: fstab does not name it",
                volume.name
            )),
        });
    };
    let tree = |path: &str| format!("{}/{}", point.trim_end_matches('/'), path.trim_start_matches('/'));
    let mut paths = vec![tree(path)];
    if volume.kind == Some(SignatureKind::Btrfs) {
        // GRUB counts from the top of the volume, where the root is a subvolume
        let below = path.trim_start_matches('/').split_once('/').map(|(_, below)| tree(below));
        paths.extend(below);
    }
    for path in &paths {
        let Some(found) = find(view, path, volume.kind == Some(SignatureKind::Vfat))? else { continue };
        if volume_at(view.machine(), &found).is_none_or(|on| on.name == volume.name) {
            return Ok(File::At(found));
        }
        let what = format!("{path} of {} is hidden below another volume in the guest's tree", volume.name);
        return Ok(File::Unseen(what));
    }
    Ok(File::Absent(paths.swap_remove(0)))
}

/// The path, links resolved, names in whatever case they are written on FAT.
fn find(view: &dyn View, path: &str, any_case: bool) -> Result<Option<String>> {
    let found = view.resolve(path)?;
    if found.is_some() || !any_case {
        return Ok(found);
    }
    let mut dir = String::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let next = format!("{dir}/{name}");
        let known = view.exists(&next)?;
        let names = if known { Vec::new() } else { view.list(if dir.is_empty() { "/" } else { &dir })? };
        match names.into_iter().find(|known| known.eq_ignore_ascii_case(name)) {
            _ if known => dir = next,
            Some(name) => dir = format!("{dir}/{name}"),
            None => return Ok(None),
        }
    }
    Ok(Some(dir))
}
