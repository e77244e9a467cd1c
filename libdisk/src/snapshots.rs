//! Opening snapshots in AWS: one, or all of a machine.

use std::path::PathBuf;

use block::{Error, ErrorKind, Result};
use cloud::ebs::{Address, Description, Ebs, Name, Options, Set, Snapshot};

use image::{Layer, raw};

use crate::Opened;

/// A disk of a machine that is a snapshot.
#[derive(Debug, Clone)]
pub struct Member {
    /// The device that it was: "/dev/xvda"; empty if that is not known.
    pub device: String,
    /// The snapshot.
    pub snapshot: Snapshot,
}

/// Opens the snapshots that `name` names. The first is the disk.
pub(crate) fn open(name: &str, options: &Options) -> Result<Opened> {
    let wrong = |error| Error::new(ErrorKind::Unsupported, "ebs", "an address").because(error);
    let address: Address = name.parse().map_err(wrong)?;
    let region = address.region.clone().or(options.region.clone());
    let ebs = Ebs::connect(&Options { region, ..options.clone() })?;
    let (members, set) = members(&ebs, &address.name)?;
    let mut layers = Vec::new();
    let mut snapshots = Vec::new();
    for (device, id, known) in members {
        let snapshot = ebs.snapshot(&id)?;
        let mut text = format!("{id}@{}, {} bytes", ebs.region(), snapshot.disk().size());
        if !device.is_empty() {
            text = format!("{device}: {text}");
        }
        if let Some(Description { started, .. }) = known {
            text += &format!(", started {started}");
        }
        layers.push(Layer { name: "ebs", text });
        snapshots.push(Member { device, snapshot });
    }
    if let Some(times) = set.as_ref().and_then(Set::unequal_times) {
        let text = format!("the disks are not of one instant: {times}");
        tracing::warn!("{text}");
        layers.push(Layer { name: "note", text });
    }
    let first = snapshots.first().ok_or_else(|| Error::unsupported("ebs", "an address of no snapshots"))?;
    let disk = first.snapshot.disk();
    let path = PathBuf::from(format!("ebs:{}@{}", address.name, ebs.region()));
    Ok(Opened { disk, format: &raw::FORMAT, path, snapshots, layers })
}

/// A disk of the machine: the device, the snapshot, and what EC2 knows of it.
type Found = (String, String, Option<Description>);

/// The disks that a name means, the first the one that the machine starts from. Of a single snapshot EC2 is not asked, which takes another permission.
fn members(ebs: &Ebs, name: &Name) -> Result<(Vec<Found>, Option<Set>)> {
    let set = match name {
        Name::Snapshots(ids) if ids.len() == 1 => {
            return Ok((ids.iter().map(|id| (String::new(), id.clone(), None)).collect(), None));
        }
        Name::Snapshots(ids) => {
            let members = ebs.describe(ids)?;
            Set { members: members.into_iter().map(|member| (String::new(), member)).collect() }
        }
        Name::Instance(id) => ebs.instance_set(id)?,
    };
    let found =
        |(device, member): &(String, Description)| (device.clone(), member.id.clone(), Some(member.clone()));
    Ok((set.members.iter().map(found).collect(), Some(set)))
}
