//! The disks and volumes of a machine as text, to be compared.

use std::collections::BTreeMap;

use crate::device::{Device, Logical, Part};
use crate::facts::{Machine, Volume, VolumeGroup};
use crate::place::Place;

/// Each disk and volume by its place, in lines: what names it, where it is, what is on it.
///
/// Free space and journals that are to be replayed change all the time, and decide nothing. Nor does the size of a
/// disk, but where its table or its volumes go by it.
pub(super) fn of(machine: &Machine) -> BTreeMap<Place, String> {
    let mut parts = BTreeMap::new();
    for (place, table, faults) in machine.tables() {
        let faults = faults.iter().map(|fault| ("fault", fault.to_string()));
        parts.insert(place, lines([("partition table", table.to_string())].into_iter().chain(faults)));
    }
    for (place, why) in machine.unread_tables() {
        parts.insert(place, lines([("cannot be read", why.to_owned())]));
    }
    let starts = |how: &'static str, evidence: &[String]| lines(evidence.iter().map(|it| (how, it.clone())));
    let groups = machine.lvm.groups.iter().map(|VolumeGroup { name, uuid, on }| {
        ("volume group", format!("{name}, UUID {uuid}, on {}", on.join(", ")))
    });
    let problems = machine.lvm.problems.iter().map(|problem| ("LVM", problem.clone()));
    parts.entry(Place::DISK).or_default().extend([
        starts("starts by BIOS", &machine.bios),
        starts("starts by UEFI", &machine.uefi),
        lines(groups.chain(problems)),
    ]);
    parts.extend(machine.volumes.iter().map(|it| (Place::volume(&it.name), volume(it))));
    parts
}

fn volume(volume: &Volume) -> String {
    let Volume {
        name: _,
        number: _,
        device,
        kind: _,
        uuid,
        label,
        partuuid,
        partlabel,
        type_name,
        mounted_at,
        unreadable,
        needs_recovery: _,
        unrecoverable,
        read_only,
        free: _,
        free_nodes: _,
    } = volume;
    let place = match device {
        Device::Range(Part { disk, range }) => {
            format!("disk {}, bytes {:#x} to {:#x}", disk.saturating_add(1), range.start, range.end)
        }
        Device::Logical(Logical { size, uuid, .. }) => format!("{size} bytes of LVM, UUID {uuid}"),
    };
    let told = [
        ("what is on it", volume.kind_name().map(str::to_owned)),
        ("UUID", uuid.clone()),
        ("label", label.clone()),
        ("PARTUUID", partuuid.clone()),
        ("PARTLABEL", partlabel.clone()),
        ("type", type_name.clone()),
        ("mounted at", mounted_at.clone()),
        ("cannot be read", unreadable.clone()),
        ("its journal cannot be replayed", unrecoverable.clone()),
        ("cannot be written", read_only.clone()),
    ];
    let told = told.into_iter().filter_map(|(what, it)| Some((what, it?)));
    lines([("where", place)].into_iter().chain(told))
}

fn lines(told: impl IntoIterator<Item = (&'static str, String)>) -> String {
    told.into_iter().map(|(what, it)| format!("{what}: {it}\n")).collect()
}
