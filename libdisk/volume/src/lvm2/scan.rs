//! Finding the physical volumes, and what they know of their groups.

use std::collections::BTreeMap;

use block::{Disk, Error, ErrorKind, Result};

use super::group::{self, VolumeGroup};
use super::label::Label;
use super::metadata::Metadata;
use super::{LAYER, Map, area};
use crate::{PartitionTable, Place};

/// The metadata of all devices together: hostile ones must not take all memory.
const TEXT_BUDGET: u64 = 16 << 20;

/// What LVM has on some devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The physical volumes, in the order of the devices.
    pub physical: Vec<PhysicalVolume>,
    /// The volume groups, by name.
    pub groups: Vec<VolumeGroup>,
    /// All that is not as it should be, in words: damage, physical volumes that are missing or there twice.
    pub problems: Vec<String>,
}

/// A device that belongs to LVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhysicalVolume {
    /// Which of the devices it is.
    pub device: usize,
    /// The name that the device was given.
    pub name: String,
    /// Its UUID, as LVM writes it.
    pub uuid: String,
    /// The name of its group, if it is in one.
    pub group: Option<String>,
}

impl Scan {
    /// Where the bytes of the volume `group/volume` are.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such volume, `Unsupported` if it is one that cannot be opened.
    pub fn map(&self, group: &str, volume: &str) -> Result<&Map> {
        let named = self.groups.iter().filter(|found| found.name == group);
        let found = named.flat_map(|group| &group.volumes).find(|found| found.name == volume);
        match found.map(|volume| &volume.map) {
            Some(Ok(map)) => Ok(map),
            Some(Err(why)) => Err(Error::unsupported(LAYER, format!("{group}/{volume}: {why}"))),
            None => Err(self.absent(group, volume)),
        }
    }

    fn absent(&self, group: &str, volume: &str) -> Error {
        let names = |group: &VolumeGroup| {
            group.volumes.iter().map(|volume| format!("{}/{}", group.name, volume.name)).collect::<Vec<_>>()
        };
        let there: Vec<_> = self.groups.iter().flat_map(names).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let mut what = vec![format!("there is no logical volume {group}/{volume}; there are: {there}")];
        what.extend_from_slice(&self.problems);
        Error::new(ErrorKind::OutOfRange, LAYER, what.join("; "))
    }
}

/// A physical volume with what it knows of its group.
struct Member {
    device: usize,
    label: Label,
    metadata: Option<Metadata>,
}

/// What is known of one group.
struct States<'a> {
    newest: &'a Metadata,
    /// Two physical volumes have different states under one number.
    contradict: bool,
}

/// Finds the physical volumes among `devices`, each with its name in messages, and puts their groups
/// together.
///
/// Damage is no error: it is told in [`Scan::problems`], and what it does not touch opens.
///
/// # Errors
/// What the devices report.
pub fn scan(devices: &[(String, Disk)]) -> Result<Scan> {
    let mut problems = Vec::new();
    let members = members(devices, &mut problems)?;
    let mut owners: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for member in &members {
        owners.entry(&member.label.uuid).or_default().push(member.device);
    }
    let name = |device: &usize| devices.get(*device).map(|(name, _)| name.clone()).unwrap_or_default();
    for (uuid, same) in owners.iter().filter(|(_, same)| same.len() > 1) {
        let names: Vec<_> = same.iter().map(name).collect();
        problems.push(format!("the physical volume {uuid} is there more than once: {}", names.join(", ")));
    }

    let mut groups = Vec::new();
    let mut group_of: BTreeMap<&str, &str> = BTreeMap::new();
    for States { newest, contradict } in states(&members).into_values() {
        let missing = group::missing(newest, &owners);
        problems.extend(missing.map(|what| format!("{}: {what}", newest.name)));
        group_of.extend(newest.physical.iter().map(|pv| (pv.uuid.as_str(), newest.name.as_str())));
        groups.push(group::assemble(newest, contradict, devices, &owners));
    }
    groups.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    for same in groups.chunk_by_mut(|a, b| a.name == b.name).filter(|same| same.len() > 1) {
        let names: Vec<_> = same.iter().map(|group| format!("{} ({})", group.name, group.uuid)).collect();
        let what = format!("volume groups have one name: {}", names.join(", "));
        for volume in same.iter_mut().flat_map(|group| &mut group.volumes) {
            (volume.map, volume.known) = (Err(what.clone()), None);
        }
        problems.push(what);
    }
    let physical = members.iter().map(|Member { device, label, .. }| PhysicalVolume {
        device: *device,
        name: name(device),
        uuid: label.uuid.clone(),
        group: group_of.get(label.uuid.as_str()).map(|&name| name.to_owned()),
    });
    Ok(Scan { physical: physical.collect(), groups, problems })
}

/// [`scan`] of the partitions of one disk, or of all of it where `table` is none; the maps are of the whole
/// disk.
///
/// # Errors
/// What the disk reports.
pub fn scan_disk(disk: &Disk, table: &PartitionTable) -> Result<Scan> {
    scan_places(std::slice::from_ref(disk), &table.places(0, disk.size()))
}

/// [`scan`] of parts of the disks of a machine; the maps are of the whole disks, in their order.
///
/// # Errors
/// What the disks report; `OutOfRange` for a place that is not on its disk.
pub fn scan_places(disks: &[Disk], places: &[Place]) -> Result<Scan> {
    let device = |Place { disk, name, range }: &Place| {
        let absent = || Error::new(ErrorKind::OutOfRange, LAYER, format!("there is no disk for {name}"));
        Ok((name.clone(), disks.get(*disk).ok_or_else(absent)?.slice(range.clone())?))
    };
    let mut scan = scan(&places.iter().map(device).collect::<Result<Vec<_>>>()?)?;
    let starts: Vec<_> = places.iter().map(|place| (place.disk, place.range.start)).collect();
    for volume in scan.groups.iter_mut().flat_map(|group| &mut group.volumes) {
        volume.map = std::mem::replace(&mut volume.map, Ok(Map::default())).map(|map| map.inside(&starts));
        volume.known = volume.known.take().map(|map| map.inside(&starts));
    }
    Ok(scan)
}

fn members(devices: &[(String, Disk)], problems: &mut Vec<String>) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut budget = TEXT_BUDGET;
    for (device, (name, disk)) in devices.iter().enumerate() {
        let Some(label) = sound(Label::read(disk), name, problems)?.flatten() else { continue };
        let mut metadata: Option<Metadata> = None;
        for range in &label.areas {
            let text = area::text(disk, range, &mut budget);
            let read = text.and_then(|text| text.map(|text| Metadata::parse(&text)).transpose());
            let found = sound(read, name, problems)?.flatten();
            metadata = metadata.into_iter().chain(found).max_by_key(|metadata| metadata.seqno);
        }
        members.push(Member { device, label, metadata });
    }
    Ok(members)
}

/// What was read; `None` where it is damaged, which goes to `problems`. Errors of the device stay errors.
fn sound<T>(result: Result<T>, name: &str, problems: &mut Vec<String>) -> Result<Option<T>> {
    use ErrorKind::{Corrupt, OutOfRange, Unsupported};
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), Corrupt | OutOfRange | Unsupported) => {
            problems.push(format!("{name}: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Each group that any physical volume knows of, by UUID.
fn states(members: &[Member]) -> BTreeMap<&str, States<'_>> {
    let mut groups: BTreeMap<&str, States<'_>> = BTreeMap::new();
    for found in members.iter().filter_map(|member| member.metadata.as_ref()) {
        let known = groups.entry(&found.uuid).or_insert(States { newest: found, contradict: false });
        if known.newest.seqno == found.seqno {
            known.contradict |= known.newest != found;
        } else if known.newest.seqno < found.seqno {
            *known = States { newest: found, contradict: false };
        }
    }
    groups
}
