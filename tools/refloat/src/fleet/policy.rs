//! What tasks have to be allowed, and no more: a policy for AWS and a role for Azure, made of the rows.

use std::collections::BTreeSet;

use anyhow::Result;
use libdisk::cloud::ebs::{Address, Name};
use serde_json::{Value, json};

use super::frozen::{Fleet, managed_disk};
use super::store::Store;

/// Writes both, where rows need them; the names of the files.
pub(crate) fn write_all(store: &dyn Store, fleet: &Fleet) -> Result<Vec<&'static str>> {
    let files = [("aws-policy.json", aws(fleet)), ("azure-role.json", azure(fleet))];
    let mut written = Vec::new();
    for (file, content) in files {
        let Some(content) = content else { continue };
        store.write(file, (serde_json::to_string_pretty(&content)? + "\n").as_bytes())?;
        written.push(file);
    }
    Ok(written)
}

/// An identity-based policy (AWS Identity and Access Management User Guide, policy grammar 2012-10-17) for the
/// EBS direct APIs and the descriptions of EC2.
fn aws(fleet: &Fleet) -> Option<Value> {
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
    if snapshots.is_empty() {
        return None;
    }
    let mut statements = vec![json!({
        "Sid": "ReadBlocks",
        "Effect": "Allow",
        "Action": ["ebs:GetSnapshotBlock", "ebs:ListChangedBlocks", "ebs:ListSnapshotBlocks"],
        "Resource": snapshots,
    })];
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
