//! What tasks and surveys have to be allowed, and no more: policies for AWS and roles for Azure, made of what they ask.

use std::collections::BTreeSet;

use anyhow::Result;
use libdisk::cloud::azure::DiskId;
use libdisk::cloud::ebs::{Action, Address, Name};
use libdisk::cloud::objects::Place;
use serde_json::{Value, json};

use super::frozen::{Fleet, Machine, managed_disk};
use super::store::Store;

/// Writes those that rows need; the names of the files.
pub(crate) fn write_all(store: &dyn Store, fleet: &Fleet) -> Result<Vec<&'static str>> {
    let place = store.place();
    let files = [
        ("aws-policy.json", aws(fleet, place)),
        ("azure-role.json", azure(fleet)),
        ("azure-test-role.json", azure_tests(fleet)),
        ("azure-state-role.json", azure_state(place)),
    ];
    let mut written = Vec::new();
    for (file, content) in files {
        let Some(content) = content else { continue };
        store.write(file, (serde_json::to_string_pretty(&content)? + "\n").as_bytes())?;
        written.push(file);
    }
    Ok(written)
}

/// What the tasks of a fleet ask AWS.
#[derive(Debug, Default)]
struct Asked {
    /// The snapshots that are read, as resources.
    snapshots: BTreeSet<String>,
    /// Which snapshots an instance has is looked for.
    instances: bool,
    /// Snapshots are described, to tell those of one machine apart.
    several: bool,
    /// Roles that are assumed.
    roles: BTreeSet<String>,
    /// Whether it is a survey, which says what disks are given besides.
    survey: bool,
    /// Whether the accounts are those of an organization.
    organization: bool,
}

impl Asked {
    fn by_tasks(fleet: &Fleet) -> Self {
        let mut asked = Self::default();
        let sources =
            fleet.machines.iter().filter_map(|machine| machine.migrate.get(1)?.strip_prefix("ebs:"));
        for address in sources.filter_map(|source| source.parse::<Address>().ok()) {
            let region = address.region.unwrap_or_else(|| "*".to_owned());
            match address.name {
                // Which snapshots these are is only known when they are looked for.
                Name::Instance(_) => {
                    asked.instances = true;
                    asked.snapshots.insert(format!("arn:aws:ec2:{region}::snapshot/*"));
                }
                Name::Snapshots(ids) => {
                    asked.several |= ids.len() > 1;
                    asked
                        .snapshots
                        .extend(ids.iter().map(|id| format!("arn:aws:ec2:{region}::snapshot/{id}")));
                }
            }
        }
        asked.roles = (fleet.machines.iter().map(|machine| &machine.migrate))
            .flat_map(|words| words.iter().zip(words.iter().skip(1)))
            .filter(|(option, _)| *option == "--aws-role")
            .map(|(_, role)| role.clone())
            .collect();
        asked
    }

    /// Whether this is asked for. There is no other way to ask than these, so none is forgotten.
    fn has(&self, action: Action) -> bool {
        match action {
            Action::ListSnapshotBlocks | Action::ListChangedBlocks | Action::GetSnapshotBlock => {
                !self.snapshots.is_empty()
            }
            Action::DescribeInstances => self.instances,
            Action::DescribeSnapshots => self.instances || self.several,
            Action::DescribeVolumes => self.survey,
            Action::AssumeRole => !self.roles.is_empty(),
            Action::ListAccounts => self.organization,
        }
    }

    /// The statements that allow it, and no more (AWS Identity and Access Management User Guide, policy grammar
    /// 2012-10-17).
    fn statements(&self) -> Vec<Value> {
        let of = |service: &str| -> Vec<&str> {
            let asked = Action::ALL.into_iter().filter(|action| self.has(*action)).map(Action::permission);
            asked.filter(|permission| permission.split(':').next() == Some(service)).collect()
        };
        // Descriptions and lists of accounts cannot be limited to resources.
        let all = BTreeSet::from(["*".to_owned()]);
        let services = [
            ("ReadBlocks", "ebs", &self.snapshots),
            ("FindSnapshots", "ec2", &all),
            ("FindAccounts", "organizations", &all),
            ("AssumeRoles", "sts", &self.roles),
        ];
        let mut statements: Vec<Value> = (services.into_iter())
            .map(|(sid, service, resources)| (sid, of(service), resources))
            .filter(|(_, actions, _)| !actions.is_empty())
            .map(|(sid, actions, resources)| {
                json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources })
            })
            .collect();
        if !self.snapshots.is_empty() {
            // A key is named in its snapshot, and only used by way of EBS.
            statements.push(json!({
                "Sid": "ReadEncryptedBlocks",
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": "*",
                "Condition": { "StringLike": { "kms:ViaService": "ec2.*.amazonaws.com" } },
            }));
        }
        statements
    }
}

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// An identity-based policy for what tasks ask, and for the state if it is in S3.
fn aws(fleet: &Fleet, place: Option<&Place>) -> Option<Value> {
    let mut statements = state(place);
    statements.extend(Asked::by_tasks(fleet).statements());
    (!statements.is_empty()).then(|| policy(&statements))
}

/// The same for a survey of these Regions, which assumes these roles.
pub(super) fn survey(regions: &[String], roles: BTreeSet<String>, organization: bool) -> Value {
    let snapshots = regions.iter().map(|region| format!("arn:aws:ec2:{region}::snapshot/*")).collect();
    let asked = Asked { snapshots, instances: true, several: true, roles, survey: true, organization };
    policy(&asked.statements())
}

/// What the files of a fleet in S3 need. Without the list of the bucket a file that is not there looks forbidden.
fn state(place: Option<&Place>) -> Vec<Value> {
    let Some(Place::S3 { bucket, prefix }) = place else { return Vec::new() };
    let below = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    vec![
        json!({
            "Sid": "KeepState",
            "Effect": "Allow",
            "Action": ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            "Resource": format!("arn:aws:s3:::{bucket}/{below}*"),
        }),
        json!({
            "Sid": "FindState",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": format!("arn:aws:s3:::{bucket}"),
        }),
    ]
}

/// A custom role for the state of a fleet in a container, where a token opens it and no signature. Of which
/// subscription its account is, the URL does not tell.
fn azure_state(place: Option<&Place>) -> Option<Value> {
    let Some(Place::Azure(url)) = place else { return None };
    let blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
    let actions = ["read", "write", "delete"].map(|what| format!("{blobs}/{what}"));
    Some(json!({
        "Name": "refloat fleet state",
        "IsCustom": true,
        "Description": format!("Reads and writes the files below {url}; assign it to their container."),
        "Actions": [],
        "NotActions": [],
        "DataActions": actions,
        "NotDataActions": [],
        "AssignableScopes": ["/subscriptions/00000000-0000-0000-0000-000000000000"],
    }))
}

/// The managed disks, and snapshots of such, that a machine is read from or goes to.
fn disks(machine: &Machine) -> impl Iterator<Item = DiskId> {
    let further = machine.migrate.iter().zip(machine.migrate.iter().skip(1));
    let further = further.filter(|(option, _)| *option == "--disk").map(|(_, disk)| disk);
    let named = machine.migrate.iter().skip(1).take(2).chain(further);
    named.filter_map(|name| name.strip_prefix("azure:").filter(|name| !name.contains("://"))?.parse().ok())
}

/// The groups that disks are in, as scopes.
fn scopes(disks: impl Iterator<Item = DiskId>) -> BTreeSet<String> {
    let groups = disks.filter_map(|disk| {
        let group = disk.group.to_string();
        let (subscription, group) = group.split_once('/')?;
        Some(format!("/subscriptions/{subscription}/resourceGroups/{group}"))
    });
    groups.collect()
}

/// What may be done with a type of resource.
fn may(kind: &str, what: &[&str]) -> Vec<String> {
    what.iter().map(|what| format!("{kind}/{what}")).collect()
}

const OF_DISKS: &[&str] = &["read", "write", "delete", "beginGetAccess/action", "endGetAccess/action"];
const GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups";

/// A custom role (Azure RBAC) for the groups that managed disks are read and made in. To look how an operation gets on takes
/// no permission of its own.
fn azure(fleet: &Fleet) -> Option<Value> {
    let disks = || fleet.machines.iter().flat_map(disks);
    let scopes = scopes(disks());
    if scopes.is_empty() {
        return None;
    }
    let mut actions = may("Microsoft.Compute/disks", OF_DISKS);
    actions.extend(may(GROUP, &["read"]));
    if disks().any(|disk| disk.is_snapshot()) {
        let of_snapshots = ["read", "beginGetAccess/action", "endGetAccess/action"];
        actions.extend(may("Microsoft.Compute/snapshots", &of_snapshots));
    }
    // The blob that a disk of trusted launch is made of, the key it is encrypted with, the endpoints it is behind.
    for (option, action) in [
        ("--via", "Microsoft.Storage/storageAccounts/read"),
        ("--encryption-set", "Microsoft.Compute/diskEncryptionSets/read"),
        ("--disk-access", "Microsoft.Compute/diskAccesses/read"),
    ] {
        if fleet.machines.iter().any(|machine| machine.migrate.iter().any(|word| word == option)) {
            actions.push(action.to_owned());
        }
    }
    Some(role("refloat fleet", "Makes managed disks, uploads to them and closes them.", &actions, &scopes))
}

/// The same for `fleet test`, which makes virtual machines in networks of their own besides, and deletes all that.
fn azure_tests(fleet: &Fleet) -> Option<Value> {
    let tested = fleet.machines.iter().filter(|machine| machine.test.is_some());
    let scopes = scopes(tested.filter_map(|machine| managed_disk(machine.migrate.get(2)?).ok()?));
    let of_resource = &["read", "write", "delete"];
    let actions = [
        may("Microsoft.Compute/virtualMachines", of_resource),
        may("Microsoft.Compute/virtualMachines", &["retrieveBootDiagnosticsData/action"]),
        may("Microsoft.Network/networkInterfaces", of_resource),
        may("Microsoft.Network/networkInterfaces", &["join/action"]),
        may("Microsoft.Network/virtualNetworks", of_resource),
        may("Microsoft.Network/virtualNetworks/subnets", &["join/action"]),
        may("Microsoft.Network/networkSecurityGroups", of_resource),
        may("Microsoft.Network/networkSecurityGroups", &["join/action"]),
        may("Microsoft.Resources/deployments", &["read", "write"]),
        may(GROUP, &["resources/read"]),
    ];
    let what = "Makes test machines in networks that reach nothing, reads their consoles and deletes them; beside the \
                role refloat fleet.";
    (!scopes.is_empty()).then(|| role("refloat fleet test", what, &actions.concat(), &scopes))
}

fn role(name: &str, description: &str, actions: &[String], scopes: &BTreeSet<String>) -> Value {
    json!({
        "Name": name,
        "IsCustom": true,
        "Description": description,
        "Actions": actions,
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": scopes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(list: &str) -> Fleet {
        let machines =
            super::super::list::machines(std::path::Path::new("list.csv"), list.as_bytes()).unwrap();
        Fleet::new(list.as_bytes(), 1, 900.0, machines)
    }

    fn allowed(policy: &Value) -> BTreeSet<String> {
        let statements = policy["Statement"].as_array().unwrap().iter();
        let actions = statements.flat_map(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        });
        actions.map(|action| action.as_str().unwrap().to_owned()).collect()
    }

    /// All that this program can ask AWS is in the policy of a survey or in that of a fleet's tasks.
    #[test]
    fn whatever_is_asked_is_allowed() {
        let rows = "id,source,target,for,aws-role\na,ebs:i-0abc@eu-west-1,a.vhd,azure-gen1,arn:aws:iam::1:role/move\n";
        let tasks = allowed(&aws(&fleet(rows), None).unwrap());
        let survey = allowed(&survey(
            &["eu-west-1".into()],
            BTreeSet::from(["arn:aws:iam::1:role/look".into()]),
            true,
        ));
        for action in Action::ALL {
            let permission = action.permission();
            assert!(survey.contains(permission), "{permission}");
            let only_surveys = matches!(action, Action::DescribeVolumes | Action::ListAccounts);
            assert_eq!(tasks.contains(permission), !only_surveys, "{permission}");
        }
        let snapshot = "id,source,target,for\na,ebs:snap-0abc@eu-west-1,a.vhd,azure-gen1\n";
        let tasks = allowed(&aws(&fleet(snapshot), None).unwrap());
        assert!(
            !tasks.iter().any(|action| action.starts_with("ec2:") || action.starts_with("sts:")),
            "{tasks:?}"
        );
        assert_eq!(
            aws(
                &fleet(
                    "id,source,target,for\na,azure:https://a.blob.core.windows.net/c/d.vhd,a.vhd,azure-gen1\n"
                ),
                None
            ),
            None
        );
    }
}
