//! The little of EC2's query API that finds snapshots: DescribeSnapshots, DescribeVolumes and
//! DescribeInstances.

use std::fmt::Write;
use std::time::SystemTime;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::fault::Call;
use crate::refusal::{Escaped, Failure, REQUEST_ID, Refusal};
use crate::service::Service;
use crate::signature::Caller;
use crate::snapshot::{self, Snapshot};
use crate::token::{PAGE_TOKEN_LIFE, Token, name};
use crate::{Instance, accounts};

/// The namespace of EC2's replies.
const XMLNS: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// The account that everything belongs to.
const OWNER: &str = "123456789012";

/// `POST /` with `Action=…`, form-encoded.
pub(crate) async fn query(service: &Service, caller: &Caller, body: &[u8]) -> Response {
    match answer(service, caller, &Query::parse(body)).await {
        Ok(response) => response,
        Err(Failure::Refused(refusal)) => refusal.into_ec2(),
        Err(hung_up) => hung_up.into_response(),
    }
}

async fn answer(service: &Service, caller: &Caller, query: &Query) -> Result<Response, Failure> {
    let action = query.get("Action").unwrap_or_default();
    service.begin(Call::Ec2, 0, name(&[action])).await?;
    let items = match action {
        "DescribeSnapshots" => describe_snapshots(service, caller, query)?,
        "DescribeVolumes" => describe_volumes(service, caller, query)?,
        "DescribeInstances" => describe_instances(service, caller, query)?,
        _ => {
            let message = format!("The action {action} is not valid for this web service.");
            return Err(Refusal::ec2("InvalidAction", message).into());
        }
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{XMLNS}\">\
         <requestId>{REQUEST_ID}</requestId>{items}</{action}Response>"
    );
    Ok(([(header::CONTENT_TYPE, "text/xml;charset=UTF-8")], body).into_response())
}

/// Whether an instance is in the account and the Region that are asked.
fn is_seen(instance: &Instance, caller: &Caller) -> bool {
    instance.account == accounts::of_key(&caller.access_key)
        && (instance.region.is_empty() || instance.region == caller.region)
}

fn describe_snapshots(service: &Service, caller: &Caller, query: &Query) -> Result<String, Refusal> {
    let named = query.list("SnapshotId");
    if let Some(missing) = named.iter().find(|id| !service.snapshots.contains_key(**id)) {
        let message = format!("The snapshot '{missing}' does not exist.");
        return Err(Refusal::ec2("InvalidSnapshot.NotFound", message));
    }
    let filters = query.filters();
    // A snapshot is where the instance of its volume is; others are seen by all.
    let is_here = |volume: &str| {
        let mut of_volume =
            service.instances.iter().filter(|one| one.volumes.iter().any(|(_, id)| id == volume)).peekable();
        of_volume.peek().is_none() || of_volume.any(|instance| is_seen(instance, caller))
    };
    let matches = |snapshot: &&Snapshot| {
        is_here(&snapshot.volume)
            && (named.is_empty() || named.contains(&snapshot.id.as_str()))
            && filters.iter().all(|filter| {
                let tag = filter.name.strip_prefix("tag:");
                match (filter.name, tag) {
                    (_, Some(key)) => {
                        snapshot.tags.iter().any(|(found, value)| found == key && filter.takes(value))
                    }
                    ("snapshot-id", _) => filter.takes(&snapshot.id),
                    ("volume-id", _) => filter.takes(&snapshot.volume),
                    ("description", _) => filter.takes(&snapshot.description),
                    ("status", _) => filter.takes(status(snapshot)),
                    ("owner-id", _) => filter.takes(OWNER),
                    _ => false,
                }
            })
    };
    let found: Vec<_> = service.snapshots.values().filter(matches).collect();
    page(service, query, "DescribeSnapshots", "snapshotSet", &found, |xml, snapshot| {
        snapshot_item(xml, snapshot)
    })
}

/// The set of what was found, from where the token of the query says, and the token of the next page.
fn page<T>(
    service: &Service,
    query: &Query,
    action: &'static str,
    set: &str,
    found: &[&T],
    item: impl Fn(&mut String, &T),
) -> Result<String, Refusal> {
    let listing = name(&[action]);
    let now = service.clock.now();
    let start = match query.get("NextToken") {
        Some(token) => Token::index(token, listing, now, PAGE_TOKEN_LIFE).ok_or_else(|| {
            Refusal::ec2("InvalidNextToken", "The next token is invalid or has expired.".to_owned())
        })? as usize,
        None => 0,
    };
    let most = query.get("MaxResults").and_then(|most| most.parse().ok()).unwrap_or(1000_usize).max(5);
    let mut xml = format!("<{set}>");
    for one in found.iter().skip(start).take(most) {
        item(&mut xml, one);
    }
    xml += &format!("</{set}>");
    if found.len() > start + most {
        let next = Token { of: listing, index: (start + most) as u64 }.issue(now);
        element(&mut xml, "nextToken", &next);
    }
    Ok(xml)
}

fn status(snapshot: &Snapshot) -> &'static str {
    // The archive is a storage tier: the snapshot in it stays completed.
    match snapshot.state {
        snapshot::State::Archived => snapshot::State::Completed.name(),
        state => state.name(),
    }
}

fn snapshot_item(xml: &mut String, snapshot: &Snapshot) {
    let archived = snapshot.state == snapshot::State::Archived;
    let pending = snapshot.state == snapshot::State::Pending;
    *xml += "<item>";
    element(xml, "snapshotId", &snapshot.id);
    element(xml, "volumeId", &snapshot.volume);
    element(xml, "status", status(snapshot));
    element(xml, "startTime", &time(snapshot.started));
    element(xml, "progress", if pending { "42%" } else { "100%" });
    element(xml, "ownerId", OWNER);
    element(xml, "volumeSize", &snapshot.gib.to_string());
    element(xml, "description", &snapshot.description);
    element(xml, "encrypted", if snapshot.key.is_some() { "true" } else { "false" });
    if let Some(key) = &snapshot.key {
        element(xml, "kmsKeyId", &key.arn);
    }
    element(xml, "storageTier", if archived { "archive" } else { "standard" });
    if !snapshot.tags.is_empty() {
        *xml += "<tagSet>";
        for (key, value) in &snapshot.tags {
            *xml += "<item>";
            element(xml, "key", key);
            element(xml, "value", value);
            *xml += "</item>";
        }
        *xml += "</tagSet>";
    }
    *xml += "</item>";
}

fn describe_volumes(service: &Service, caller: &Caller, query: &Query) -> Result<String, Refusal> {
    let named = query.list("VolumeId");
    let filters = query.filters();
    let attached =
        service.instances.iter().filter(|instance| is_seen(instance, caller)).flat_map(|instance| {
            instance.volumes.iter().map(move |(device, volume)| (instance, device, volume))
        });
    let mut found = Vec::new();
    for (instance, device, volume) in attached {
        let matches = filters.iter().all(|filter| match filter.name {
            "attachment.instance-id" => filter.takes(&instance.id),
            "attachment.device" => filter.takes(device),
            "volume-id" => filter.takes(volume),
            _ => false,
        });
        if matches && (named.is_empty() || named.contains(&volume.as_str())) {
            found.push((instance, device, volume));
        }
    }
    if let Some(missing) = named.iter().find(|id| !found.iter().any(|(.., volume)| volume == *id)) {
        return Err(Refusal::ec2(
            "InvalidVolume.NotFound",
            format!("The volume '{missing}' does not exist."),
        ));
    }
    let mut xml = String::from("<volumeSet>");
    for (instance, device, volume) in found {
        let size = service.snapshots.values().filter(|snapshot| snapshot.volume == *volume).map(|it| it.gib);
        xml += "<item>";
        element(&mut xml, "volumeId", volume);
        element(&mut xml, "size", &size.max().unwrap_or(1).to_string());
        element(&mut xml, "status", "in-use");
        xml += "<attachmentSet><item>";
        element(&mut xml, "volumeId", volume);
        element(&mut xml, "instanceId", &instance.id);
        element(&mut xml, "device", device);
        element(&mut xml, "status", "attached");
        xml += "</item></attachmentSet>";
        let given = instance.given.iter().find(|(id, _)| id == volume).map(|(_, given)| given);
        element(&mut xml, "volumeType", given.map_or("standard", |given| given.kind.as_str()));
        for (name, value) in
            given.into_iter().flat_map(|it| [("iops", it.iops), ("throughput", it.throughput)])
        {
            value.iter().for_each(|value| element(&mut xml, name, &value.to_string()));
        }
        xml += "</item>";
    }
    Ok(xml + "</volumeSet>")
}

fn describe_instances(service: &Service, caller: &Caller, query: &Query) -> Result<String, Refusal> {
    let named = query.list("InstanceId");
    let filters = query.filters();
    let known =
        |id: &str| service.instances.iter().any(|instance| instance.id == id && is_seen(instance, caller));
    if let Some(missing) = named.iter().find(|id| !known(id)) {
        let message = format!("The instance ID '{missing}' does not exist");
        return Err(Refusal::ec2("InvalidInstanceID.NotFound", message));
    }
    let matches = |instance: &&Instance| {
        is_seen(instance, caller)
            && (named.is_empty() || named.contains(&instance.id.as_str()))
            && filters.iter().all(|filter| match filter.name.strip_prefix("tag:") {
                Some(key) => instance.tags.iter().any(|(found, value)| found == key && filter.takes(value)),
                None => filter.name == "instance-id" && filter.takes(&instance.id),
            })
    };
    let found: Vec<_> = service.instances.iter().filter(matches).collect();
    page(service, query, "DescribeInstances", "reservationSet", &found, |xml, instance| {
        instance_item(xml, instance)
    })
}

fn instance_item(xml: &mut String, instance: &Instance) {
    *xml += "<item>";
    element(xml, "reservationId", &instance.id.replacen("i-", "r-", 1));
    *xml += "<instancesSet><item>";
    element(xml, "instanceId", &instance.id);
    *xml += "<instanceState><code>80</code><name>stopped</name></instanceState>";
    element(xml, "instanceType", &instance.kind);
    *xml += "<tagSet>";
    for (key, value) in &instance.tags {
        *xml += "<item>";
        element(xml, "key", key);
        element(xml, "value", value);
        *xml += "</item>";
    }
    *xml += "</tagSet>";
    element(xml, "platformDetails", "Linux/UNIX");
    element(xml, "rootDeviceType", "ebs");
    element(xml, "rootDeviceName", &instance.root_device);
    *xml += "<blockDeviceMapping>";
    for (device, volume) in &instance.volumes {
        *xml += "<item>";
        element(xml, "deviceName", device);
        *xml += "<ebs>";
        element(xml, "volumeId", volume);
        element(xml, "status", "attached");
        *xml += "</ebs></item>";
    }
    *xml += "</blockDeviceMapping></item></instancesSet></item>";
}

fn element(xml: &mut String, name: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = write!(xml, "<{name}>{}</{name}>", Escaped(text));
}

/// ISO 8601, as EC2 writes it: `2026-11-01T00:00:00.000Z`.
fn time(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let milli = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The date `days` after 1970-01-01.
fn date(days: u64) -> (i32, u8, u8) {
    let days = time::Duration::days(i64::try_from(days).unwrap_or_default());
    let date = time::OffsetDateTime::UNIX_EPOCH.date().saturating_add(days);
    (date.year(), date.month().into(), date.day())
}

/// The parameters of a query; lists are `Name.1`, `Name.2`, …
pub(crate) struct Query(Vec<(String, String)>);

/// `Filter.N.Name` with its `Filter.N.Value.M`.
struct Filter<'a> {
    name: &'a str,
    values: Vec<&'a str>,
}

impl Query {
    pub(crate) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn list(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|number| self.get(&format!("{name}.{number}"))).collect()
    }

    fn filters(&self) -> Vec<Filter<'_>> {
        let filter = |number: u32| {
            let name = self.get(&format!("Filter.{number}.Name"))?;
            Some(Filter { name, values: self.list(&format!("Filter.{number}.Value")) })
        };
        (1..).map_while(filter).collect()
    }
}

impl Filter<'_> {
    fn takes(&self, value: &str) -> bool {
        self.values.contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_722, (2023, 12, 31)),
            (19_723, (2024, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected);
        }
    }
}
