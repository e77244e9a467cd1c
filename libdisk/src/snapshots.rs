//! Opening snapshots in AWS: one, or all of a machine.

use block::{Error, ErrorKind, Result};
use cloud::ebs::{Address, Description, Ebs, Name, Options, Set};

use image::Layer;

use crate::{CloudFacts, MachineDisk, Origin};

/// Opens the snapshots that `name` names. The first is the disk that the machine starts from.
pub(crate) fn open(name: &str, options: &Options) -> Result<(Vec<MachineDisk>, Option<CloudFacts>)> {
    let wrong = |error| Error::new(ErrorKind::Unsupported, "ebs", "an address").because(error);
    let address: Address = name.parse().map_err(wrong)?;
    let region = address.region.clone().or(options.region.clone());
    let ebs = Ebs::connect(&Options { region, ..options.clone() })?;
    let (members, set) = members(&ebs, &address.name)?;
    let mut disks = Vec::new();
    for (device, id, known) in members {
        let snapshot = ebs.snapshot(&id)?;
        let mut text = format!("{id}@{}, {} bytes", ebs.region(), snapshot.disk().size());
        if let Some(device) = &device {
            text = format!("{device}: {text}");
        }
        if let Some(Description { started, .. }) = known {
            text += &format!(", started {started}");
        }
        let layers = vec![Layer { name: "ebs", text }];
        disks.push(MachineDisk::new(snapshot.disk(), layers, Origin::Snapshot(snapshot), device));
    }
    let unequal_times = set.as_ref().and_then(Set::unequal_times);
    if let Some(times) = &unequal_times {
        let text = format!("the disks are not of one instant: {times}");
        tracing::warn!("{text}");
        if let Some(last) = disks.last_mut() {
            last.layers.push(Layer { name: "note", text });
        }
    }
    let instance = match &address.name {
        Name::Instance(id) => Some(id.clone()),
        Name::Snapshots(_) => None,
    };
    let described = set.and_then(|set| set.instance);
    let facts = CloudFacts { region: ebs.region().to_owned(), instance, described, unequal_times };
    Ok((disks, Some(facts)))
}

/// A disk of the machine: the device, the snapshot, and what EC2 knows of it.
type Found = (Option<String>, String, Option<Description>);

/// The disks that a name means, the first the one that the machine starts from. Of a single snapshot EC2 is
/// not asked, which takes another permission.
fn members(ebs: &Ebs, name: &Name) -> Result<(Vec<Found>, Option<Set>)> {
    let set = match name {
        Name::Snapshots(ids) if ids.len() == 1 => {
            return Ok((ids.iter().map(|id| (None, id.clone(), None)).collect(), None));
        }
        Name::Snapshots(ids) => {
            let members = ebs.describe(ids)?;
            let members = members.into_iter().map(|member| (String::new(), member)).collect();
            Set { members, instance: None }
        }
        Name::Instance(id) => ebs.instance_set(id)?,
    };
    let found = |(device, member): &(String, Description)| {
        let device = Some(device.clone()).filter(|device| !device.is_empty());
        (device, member.id.clone(), Some(member.clone()))
    };
    Ok((set.members.iter().map(found).collect(), Some(set)))
}
