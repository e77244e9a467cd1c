//! Putting a volume group together from its metadata and the devices that are there.

use std::collections::{BTreeMap, BTreeSet};

use block::Disk;

use super::Map;
use super::map;
use super::metadata::{Kind, Logical, Metadata, Physical, Segment};

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeGroup {
    /// Its name; another group may have the same.
    pub name: String,
    /// Its UUID, as LVM writes it.
    pub uuid: String,
    /// Counts its changes.
    pub seqno: u64,
    /// Bytes of an extent.
    pub extent_size: u64,
    /// Its logical volumes that are for people, in the order of the metadata.
    pub volumes: Vec<LogicalVolume>,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalVolume {
    /// Its name in its group.
    pub name: String,
    /// Its UUID, as LVM writes it.
    pub uuid: String,
    /// Size in bytes.
    pub size: u64,
    /// Where its bytes are, or why that cannot be told.
    pub map: Result<Map, String>,
    /// The same without what lies on devices that are missing: for what is to be told of those that are there.
    pub known: Option<Map>,
}

/// The devices that have each UUID of a physical volume.
pub(super) type Owners<'a> = BTreeMap<&'a str, Vec<usize>>;

/// The physical volumes that no device is, in words.
pub(super) fn missing(metadata: &Metadata, owners: &Owners<'_>) -> impl Iterator<Item = String> {
    metadata.physical.iter().filter(|pv| !owners.contains_key(pv.uuid.as_str())).map(is_missing)
}

fn is_missing(pv: &Physical) -> String {
    let Physical { name, uuid, device, .. } = pv;
    format!("the physical volume {name} ({uuid}) is missing; Linux last saw it at {device}")
}

/// The group with all its volumes; `contradict` if there is another state of it with the same number.
pub(super) fn assemble(
    metadata: &Metadata,
    contradict: bool,
    devices: &[(String, Disk)],
    owners: &Owners<'_>,
) -> VolumeGroup {
    let Metadata { name, uuid, seqno, extent_size, logical, .. } = metadata;
    let reason = if contradict {
        Some("its group has two different states with the same number")
    } else if metadata.exported {
        Some("its group was exported, to be imported by another machine")
    } else {
        None
    };
    let places = Places {
        devices,
        owners,
        extent_size: *extent_size,
        physical: metadata.physical.iter().map(|pv| (pv.name.as_str(), pv)).collect(),
        logical: logical.iter().map(|volume| volume.name.as_str()).collect(),
    };
    let snapshots = Snapshots::of(logical);
    let overlapping = overlapping(logical);
    let refused = |name: &str| {
        let overlaps = "it has extents in common with another volume, or with itself";
        let overlaps = overlapping.contains(name).then(|| overlaps.to_owned());
        reason.map(str::to_owned).or(overlaps).or_else(|| snapshots.refused.get(name).cloned())
    };
    let volume = |volume: &Logical| {
        let mut missing = None;
        let map = refused(&volume.name).map_or_else(|| places.map(volume, &mut missing), Err);
        LogicalVolume {
            name: volume.name.clone(),
            uuid: volume.uuid.clone(),
            size: size(volume, *extent_size),
            known: map.clone().ok(),
            map: missing.map_or(map, Err),
        }
    };
    VolumeGroup {
        name: name.clone(),
        uuid: uuid.clone(),
        seqno: *seqno,
        extent_size: *extent_size,
        volumes: logical.iter().filter(|volume| snapshots.shows(volume)).map(volume).collect(),
    }
}

fn size(volume: &Logical, extent_size: u64) -> u64 {
    let extents = volume.segments.iter().map(|segment| segment.extents);
    extents.fold(0_u64, u64::saturating_add).saturating_mul(extent_size)
}

/// The snapshots of a group. LVM keeps each as two volumes: one that stores, and one that links it to its
/// origin.
struct Snapshots<'a> {
    /// The volumes that store.
    stores: BTreeSet<&'a str>,
    /// The volumes that must be left alone because of a snapshot, and why.
    refused: BTreeMap<&'a str, String>,
}

impl<'a> Snapshots<'a> {
    fn of(logical: &'a [Logical]) -> Self {
        let mut snapshots = Self { stores: BTreeSet::new(), refused: BTreeMap::new() };
        for segment in logical.iter().flat_map(|volume| &volume.segments) {
            let Kind::Snapshot { origin, store } = &segment.kind else { continue };
            snapshots.stores.insert(store);
            snapshots.refused.insert(store, format!("it is a snapshot of {origin}"));
            snapshots.refused.insert(origin, format!("a change would damage its snapshot {store}"));
        }
        snapshots
    }

    /// Whether the volume is one for people. A link is none, and a store is one, though LVM marks them the
    /// other way.
    fn shows(&self, volume: &Logical) -> bool {
        let link = volume.segments.iter().any(|segment| matches!(segment.kind, Kind::Snapshot { .. }));
        self.stores.contains(volume.name.as_str()) || (volume.visible && !link)
    }
}

/// The volumes, parts of others too, that have extents in common.
fn overlapping(logical: &[Logical]) -> BTreeSet<&str> {
    let mut runs = Vec::new();
    for (volume, segment) in
        logical.iter().flat_map(|volume| volume.segments.iter().map(move |s| (volume, s)))
    {
        let Kind::Striped { areas, .. } = &segment.kind else { continue };
        for area in areas {
            let end = area.extent.saturating_add(segment.extents_of_each(areas.len()).unwrap_or(0));
            runs.push((area.on.as_str(), area.extent, end, volume.name.as_str()));
        }
    }
    runs.sort_unstable();
    let mut found = BTreeSet::new();
    let mut furthest = ("", 0, "");
    for (on, start, end, volume) in runs {
        let (known, reached, by) = furthest;
        if on == known && start < reached {
            found.extend([volume, by]);
        }
        if on != known || end > reached {
            furthest = (on, end, volume);
        }
    }
    found
}

/// Where things are that the metadata name.
struct Places<'a> {
    devices: &'a [(String, Disk)],
    owners: &'a Owners<'a>,
    extent_size: u64,
    physical: BTreeMap<&'a str, &'a Physical>,
    logical: BTreeSet<&'a str>,
}

impl Places<'_> {
    /// Where a volume is, or why that cannot be told. What is on a device that is missing is on none in the
    /// map, and `missing` says so.
    fn map(&self, volume: &Logical, missing: &mut Option<String>) -> Result<Map, String> {
        let mut map = Map::default();
        let mut at = 0;
        for segment in &volume.segments {
            let Segment { start, extents, kind } = segment;
            if *start != at {
                return Err(format!("a segment begins at extent {start}, and the one before ends at {at}"));
            }
            at = start.saturating_add(*extents);
            let (stripe, areas) = match kind {
                Kind::Striped { stripe, areas } => (*stripe, areas),
                Kind::Snapshot { .. } => return Err("it links a snapshot to its origin".to_owned()),
                Kind::Other(name) => return Err(format!("it is of the type {name}, which cannot be opened")),
            };
            let uneven = || format!("{extents} extents in {} stripes do not come out even", areas.len());
            let each = segment.extents_of_each(areas.len()).ok_or_else(uneven)?;
            let areas = areas.iter().map(|area| self.area(&area.on, area.extent, each, missing));
            map.push(stripe, areas.collect::<Result<_, _>>()?).ok_or_else(uneven)?;
        }
        Ok(map)
    }

    /// Some extents of a physical volume, on its device.
    fn area(
        &self,
        on: &str,
        extent: u64,
        extents: u64,
        missing: &mut Option<String>,
    ) -> Result<map::Area, String> {
        let Some(pv) = self.physical.get(on) else {
            let what = if self.logical.contains(on) { "another logical volume" } else { "which is unknown" };
            return Err(format!("it lies on {on}, {what}"));
        };
        let device = match self.owners.get(pv.uuid.as_str()).map(Vec::as_slice) {
            Some([device]) => *device,
            Some(_) => return Err(format!("the physical volume {on} ({}) is there more than once", pv.uuid)),
            None => {
                missing.get_or_insert_with(|| is_missing(pv));
                map::NOWHERE
            }
        };
        let place = |extent: u64| extent.checked_mul(self.extent_size)?.checked_add(pv.start);
        let end = extent.checked_add(extents).filter(|end| *end <= pv.extents);
        let size = self.devices.get(device).map_or(u64::MAX, |(_, disk)| disk.size());
        match place(extent).zip(end.and_then(place)) {
            Some((start, end)) if end <= size => Ok(map::Area { device, range: start..end }),
            _ => Err(format!("{extents} extents from {extent} on reach past the end of {on}")),
        }
    }
}
