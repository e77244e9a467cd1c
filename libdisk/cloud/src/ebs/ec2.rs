//! The little that EC2 has to be asked: what is known of a snapshot, and which snapshots a machine has.
//!
//! Signed queries of version 2016-11-15, as `aws-sdk-ec2` takes an hour to build.

use roxmltree::{Document, Node};
use serde::Serialize;

use super::client::Client;
use super::tally::Counter;
use super::{Action, Ebs};
use crate::fault::{Fault, FaultKind, told};
use crate::retry::{Cloud, Failure, Retry};

/// Pages of a description; a volume with so many snapshots is none.
const PAGES: usize = 1000;

/// What EC2 knows of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// `snap-…`.
    pub id: String,
    /// The volume it was taken of.
    pub volume: String,
    /// "completed" if it can be read.
    pub state: String,
    /// How much of it is there, if it is not completed: `42%`.
    pub progress: String,
    /// Where it is kept: "standard" or "archive".
    pub tier: String,
    /// When it was started, as EC2 writes it: `2026-11-01T10:20:30.000Z`.
    pub started: String,
    /// Size of the volume in GiB.
    pub gib: u64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// What its owner wrote about it.
    pub description: String,
}

impl Description {
    /// What may keep EBS from serving it, for people.
    pub(super) fn obstacle(&self) -> String {
        let Self { state, progress, tier, .. } = self;
        match (state.as_str(), tier.as_str()) {
            ("completed", "archive") => "EC2 says that it is in the archive".to_owned(),
            ("completed", _) => {
                "EC2 says that it is completed, perhaps only just, and not in the archive".to_owned()
            }
            _ => format!("EC2 says that it is {state}, {progress}"),
        }
    }
}

/// A snapshot of each volume of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Device name and snapshot; the volume that the machine starts from is the first.
    pub members: Vec<(String, Description)>,
    /// What is known of the instance, if one was named.
    pub instance: Option<Described>,
}

/// What EC2 knows of an instance beside its volumes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Described {
    /// Its type: "m5.large".
    pub kind: Option<String>,
    /// What AWS bills of its software: "Linux/UNIX", "Red Hat Enterprise Linux", "Windows with SQL Server Web".
    pub platform: Option<String>,
    /// Codes of products of the Marketplace.
    pub product_codes: Vec<String>,
}

impl Set {
    /// The times at which the snapshots were started, if they differ: the disks are then not of one instant.
    pub fn unequal_times(&self) -> Option<String> {
        let first = self.members.first()?;
        let same = self.members.iter().all(|(_, member)| member.started == first.1.started);
        let told = |(device, member): &(String, Description)| {
            format!("{device} {} at {}", member.id, member.started)
        };
        (!same).then(|| self.members.iter().map(told).collect::<Vec<_>>().join(", "))
    }
}

impl Ebs {
    /// What EC2 knows of the snapshots `ids`, in that order.
    ///
    /// # Errors
    /// `NotFound` if one is not there; what the service says.
    pub fn describe(&self, ids: &[String]) -> Result<Vec<Description>, Failure> {
        let numbered = ids.iter().zip(1..).map(|(id, n): (_, u32)| (format!("SnapshotId.{n}"), id.clone()));
        let found = snapshots(self.client(), &ids.join(","), numbered.collect())?;
        let of = |id: &String| {
            let found = found.iter().find(|found| found.id == *id).cloned();
            found.ok_or_else(|| {
                Failure::new(
                    Cloud::Aws,
                    id,
                    "what EC2 knows of it",
                    Fault::new(FaultKind::NotFound, "nothing"),
                )
            })
        };
        ids.iter().map(of).collect()
    }

    /// The newest snapshot of the volume that `instance` starts from, and of each other volume the one that
    /// was started closest to it. Those that [are left out](super::Options::exclude) are not looked for.
    ///
    /// # Errors
    /// `NotFound` if there is no such instance, or no completed snapshot of one of its volumes; `Exclusion` if
    /// what is to be left out is none of them, or the one that it starts from; what the service says.
    pub fn instance_set(&self, instance: &str) -> Result<Set, Failure> {
        let missing = |what: String| {
            Failure::new(Cloud::Aws, instance, "its snapshots", Fault::new(FaultKind::NotFound, what))
        };
        let query = vec![("InstanceId.1".to_owned(), instance.to_owned())];
        let (volumes, described) = ask(self.client(), instance, Action::DescribeInstances, query, volumes)?;
        let volumes = left(volumes, &self.client().options.exclude)
            .map_err(|fault| Failure::new(Cloud::Aws, instance, "its disks", fault))?;
        let numbered = volumes
            .iter()
            .zip(1..)
            .map(|((_, volume), n): (_, u32)| (format!("Filter.1.Value.{n}"), volume.clone()));
        let mut query: Vec<_> = numbered.collect();
        query.push(("Filter.1.Name".into(), "volume-id".into()));
        query.push(("Filter.2.Name".into(), "status".into()));
        query.push(("Filter.2.Value.1".into(), "completed".into()));
        let found = snapshots(self.client(), instance, query)?;
        let mut members: Vec<(String, Description)> = Vec::new();
        for (device, volume) in volumes {
            let of_volume = found.iter().filter(|found| found.volume == volume);
            let best = match members.first() {
                None => of_volume.max_by(|a, b| a.started.cmp(&b.started)),
                Some((_, root)) => of_volume.min_by_key(|member| distance(&member.started, &root.started)),
            };
            let best =
                best.ok_or_else(|| missing(format!("volume {volume} at {device} has no completed one")))?;
            members.push((device, best.clone()));
        }
        if members.is_empty() {
            return Err(missing("it has no volumes".into()));
        }
        Ok(Set { members, instance: Some(described) })
    }
}

/// How far two times, as EC2 writes them, lie apart; only to be compared. Equal ones are nearest, then those
/// that agree the longest.
fn distance(a: &str, b: &str) -> (usize, u64) {
    let digits = |text: &str| {
        text.bytes().filter(u8::is_ascii_digit).take(17).fold(0u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit.saturating_sub(b'0')))
        })
    };
    let differ = a.bytes().zip(b.bytes()).position(|(a, b)| a != b).unwrap_or(usize::MAX);
    (usize::MAX.saturating_sub(differ), digits(a).abs_diff(digits(b)))
}

fn snapshots(client: &Client, of: &str, query: Vec<(String, String)>) -> Result<Vec<Description>, Failure> {
    pages(client, of, Action::DescribeSnapshots, &query, |document| {
        items(document, "snapshotSet").map(description).collect()
    })
}

/// What all pages of a description have.
pub(super) fn pages<T>(
    client: &Client,
    of: &str,
    action: Action,
    query: &[(String, String)],
    read: impl Fn(Node<'_, '_>) -> Vec<T>,
) -> Result<Vec<T>, Failure> {
    let (mut all, mut next) = (Vec::new(), None);
    for _ in 0..PAGES {
        let mut query = query.to_vec();
        query.extend(next.map(|token| ("NextToken".to_owned(), token)));
        let (page, token) = ask(client, of, action, query, |document| {
            Ok((read(document), text(document, "nextToken").filter(|token| !token.is_empty())))
        })?;
        all.extend(page);
        next = token;
        if next.is_none() {
            break;
        }
    }
    Ok(all)
}

fn description(item: Node<'_, '_>) -> Description {
    let of = |name: &str| text(item, name).unwrap_or_default();
    Description {
        id: of("snapshotId"),
        volume: of("volumeId"),
        state: of("status"),
        progress: of("progress"),
        tier: of("storageTier"),
        started: of("startTime"),
        gib: of("volumeSize").parse().unwrap_or(0),
        encrypted: of("encrypted") == "true",
        description: of("description"),
    }
}

/// Device name and id of a volume.
type Attached = (String, String);

/// The volumes without those that are left out, which are named by either.
fn left(mut volumes: Vec<Attached>, exclude: &[String]) -> Result<Vec<Attached>, Fault> {
    for name in exclude {
        match volumes.iter().position(|(device, volume)| device == name || volume == name) {
            Some(0) => {
                let what = format!("{name} is the disk that it starts from, and cannot be left out");
                return Err(Fault::new(FaultKind::Exclusion, what));
            }
            Some(at) => drop(volumes.remove(at)),
            None => {
                let there = volumes.iter().map(|(device, volume)| format!("{device} ({volume})"));
                let there = there.collect::<Vec<_>>().join(", ");
                return Err(Fault::new(FaultKind::Exclusion, format!("it has no disk {name}, but {there}")));
            }
        }
    }
    Ok(volumes)
}

/// The volumes of an instance, the one it starts from first, and what else is known of it.
fn volumes(document: Node<'_, '_>) -> Result<(Vec<Attached>, Described), Fault> {
    let instance = items(document, "instancesSet").next();
    let instance = instance.ok_or_else(|| Fault::new(FaultKind::NotFound, "there is no such instance"))?;
    let root = text(instance, "rootDeviceName").unwrap_or_default();
    let mut volumes: Vec<Attached> = items(instance, "blockDeviceMapping")
        .filter_map(|item| Some((text(item, "deviceName")?, text(item, "volumeId")?)))
        .collect();
    volumes.sort_by_key(|(device, _)| *device != root);
    let codes = items(instance, "productCodes").filter_map(|item| text(item, "productCode"));
    let described = Described {
        kind: text(instance, "instanceType").filter(|kind| !kind.is_empty()),
        platform: text(instance, "platformDetails").filter(|platform| !platform.is_empty()),
        product_codes: codes.collect(),
    };
    Ok((volumes, described))
}

/// The items of the first set of this name.
pub(super) fn items<'a>(node: Node<'a, 'a>, set: &str) -> impl Iterator<Item = Node<'a, 'a>> + use<'a> {
    let set = node.descendants().find(|node| node.has_tag_name_any(set));
    set.into_iter().flat_map(|set| set.children()).filter(|node| node.has_tag_name_any("item"))
}

/// The text of the first element of this name below `node`.
pub(super) fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    let found = node.descendants().find(|node| node.has_tag_name_any(name))?;
    Some(told(found.text().unwrap_or_default(), 1000))
}

/// Names are compared without their namespace, which is the version's.
trait AnyNamespace {
    fn has_tag_name_any(&self, name: &str) -> bool;
}

impl AnyNamespace for Node<'_, '_> {
    fn has_tag_name_any(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

/// Makes a query, and again where that may help, and reads its answer.
fn ask<T>(
    client: &Client,
    of: &str,
    action: Action,
    mut query: Vec<(String, String)>,
    read: impl Fn(Node<'_, '_>) -> Result<T, Fault>,
) -> Result<T, Failure> {
    query.push(("Action".into(), action.name().into()));
    query.push(("Version".into(), "2016-11-15".into()));
    let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let counter = Counter::default();
    let retry = Retry {
        cloud: Cloud::Aws,
        subject: of,
        patience: client.options.patience,
        known: client.service.known(),
        rates: &[&client.queries],
        retries: counter.retries(),
    };
    retry.run(
        || action.name().to_owned(),
        || {
            let (status, bytes) = client.service.query(&body)?;
            let answered = String::from_utf8_lossy(&bytes);
            let parsed = Document::parse(&answered);
            if !(200..300).contains(&status) {
                let of = |name: &str| parsed.as_ref().ok().and_then(|document| text(document.root(), name));
                let (code, message) = (of("Code").unwrap_or_default(), of("Message"));
                return Err(Fault::of_code(status, &code, None, message.as_deref()));
            }
            let document = parsed.map_err(|error| Fault::new(FaultKind::Protocol, error.to_string()))?;
            read(document.root())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_left_out_by_either_name() {
        let volumes = [("/dev/xvda", "vol-1"), ("/dev/sdf", "vol-2"), ("/dev/sdg", "vol-3")];
        let volumes: Vec<Attached> = volumes.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let left = |names: &[&str]| {
            left(volumes.clone(), &names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(left(&["/dev/sdf", "vol-3"]).unwrap(), volumes[..1]);
        assert_eq!(left(&[]).unwrap(), volumes);
        for (name, says) in
            [("vol-1", "starts from"), ("/dev/sdh", "no disk /dev/sdh, but /dev/xvda (vol-1)")]
        {
            let fault = left(&[name]).unwrap_err();
            assert!(fault.kind() == FaultKind::Exclusion && fault.to_string().contains(says), "{fault}");
        }
    }

    #[test]
    fn the_nearest_time_wins() {
        let root = "2026-11-01T10:20:30.000Z";
        let mut times =
            ["2026-11-01T10:20:31.000Z", "2026-10-31T10:20:30.000Z", root, "2026-11-01T11:20:30.000Z"];
        times.sort_by_key(|time| distance(time, root));
        assert_eq!(times[0], root);
        assert_eq!(times[1], "2026-11-01T10:20:31.000Z");
        assert_eq!(times[3], "2026-10-31T10:20:30.000Z");
    }
}
