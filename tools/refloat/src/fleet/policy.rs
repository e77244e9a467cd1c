//! What tasks have to be allowed, and no more: a policy for AWS and a role for Azure, made of the rows.

use std::collections::BTreeSet;

use anyhow::Result;
use libdisk::cloud::ebs::{Address, Name};
use libdisk::cloud::objects::Place;
use serde_json::{Value, json};

use super::frozen::{Fleet, managed_disk};
use super::store::Store;

/// Writes both, where rows need them; the names of the files.
pub(crate) fn write_all(store: &dyn Store, fleet: &Fleet) -> Result<Vec<&'static str>> {
    let place = store.place();
    let files = [
        ("aws-policy.json", aws(fleet, place)),
        ("azure-role.json", azure(fleet)),
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

/// An identity-based policy (AWS Identity and Access Management User Guide, policy grammar 2012-10-17) for the
/// EBS direct APIs and the descriptions of EC2, and for the state if it is in S3.
fn aws(fleet: &Fleet, place: Option<&Place>) -> Option<Value> {
    let sources = fleet.machines.iter().filter_map(|machine| machine.migrate.get(1)?.strip_prefix("ebs:"));
    let (mut snapshots, mut describes) = (BTreeSet::new(), false);
    for address in sources.filter_map(|source| source.parse::<Address>().ok()) {
        let region = address.region.unwrap_or_else(|| "*".to_owned());
        match address.name {
            // Which snapshots these are is only known when they are looked for.
            Name::Instance(_) => {
                describes = true;
                snapshots.insert(format!("arn:aws:ec2:{region}::snapshot/*"));
            }
            Name::Snapshots(ids) => {
                describes |= ids.len() > 1;
                snapshots.extend(ids.iter().map(|id| format!("arn:aws:ec2:{region}::snapshot/{id}")));
            }
        }
    }
    let mut statements = state(place);
    if snapshots.is_empty() && statements.is_empty() {
        return None;
    }
    if snapshots.is_empty() {
        return Some(json!({ "Version": "2012-10-17", "Statement": statements }));
    }
    statements.push(json!({
        "Sid": "ReadBlocks",
        "Effect": "Allow",
        "Action": ["ebs:GetSnapshotBlock", "ebs:ListChangedBlocks", "ebs:ListSnapshotBlocks"],
        "Resource": snapshots,
    }));
    if describes {
        // Descriptions cannot be limited to resources.
        statements.push(json!({
            "Sid": "FindSnapshots",
            "Effect": "Allow",
            "Action": ["ec2:DescribeInstances", "ec2:DescribeSnapshots"],
            "Resource": "*",
        }));
    }
    let roles: BTreeSet<&String> = (fleet.machines.iter().map(|machine| &machine.migrate))
        .flat_map(|words| words.iter().zip(words.iter().skip(1)))
        .filter_map(|(option, role)| (option == "--aws-role").then_some(role))
        .collect();
    if !roles.is_empty() {
        statements.push(json!({
            "Sid": "AssumeRoles", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles,
        }));
    }
    // A key is named in its snapshot, and only used by way of EBS.
    statements.push(json!({
        "Sid": "ReadEncryptedBlocks",
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": "*",
        "Condition": { "StringLike": { "kms:ViaService": "ec2.*.amazonaws.com" } },
    }));
    Some(json!({ "Version": "2012-10-17", "Statement": statements }))
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

/// A custom role (Azure RBAC) for the groups that the managed disks are made in.
fn azure(fleet: &Fleet) -> Option<Value> {
    let groups = fleet.machines.iter().filter_map(|machine| {
        // A list with another one was never frozen.
        let disk = managed_disk(machine.migrate.get(2)?).ok()??;
        let group = disk.group.to_string();
        let (subscription, group) = group.split_once('/')?;
        Some(format!("/subscriptions/{subscription}/resourceGroups/{group}"))
    });
    let scopes: BTreeSet<String> = groups.collect();
    if scopes.is_empty() {
        return None;
    }
    let of_disks = ["read", "write", "delete", "beginGetAccess/action", "endGetAccess/action"];
    let mut actions: Vec<String> =
        of_disks.iter().map(|what| format!("Microsoft.Compute/disks/{what}")).collect();
    actions.push("Microsoft.Resources/subscriptions/resourceGroups/read".to_owned());
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
    Some(json!({
        "Name": "refloat fleet",
        "IsCustom": true,
        "Description": "Makes managed disks, uploads to them and closes them.",
        "Actions": actions,
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": scopes,
    }))
}
