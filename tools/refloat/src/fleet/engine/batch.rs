//! AWS Batch: a job definition whose jobs are arrays. Spot instances that go away are tried again.
//!
//! With the state in S3 jobs have a role that may use it, in Azure a signature from Secrets Manager; a folder is an EFS
//! file system. Which role, secret or file system that is, nobody can know here: they are named by zeros.

use anyhow::Result;
use libdisk::cloud::objects::Place;
use serde_json::{Map, Value, json};

use super::Job;

/// Where containers have the folder: an EFS file system.
const MOUNT: &str = "/fleet";
/// AWS Batch tries no job more often.
const ATTEMPTS: u32 = 10;

/// The input of RegisterJobDefinition (AWS Batch API, 2016-08-10).
pub(super) fn definition(job: &Job<'_>) -> Result<String> {
    let definition = |container: &Value| {
        json!({
            "jobDefinitionName": "refloat",
            "type": "container",
            "platformCapabilities": ["EC2"],
            "containerProperties": container,
            "retryStrategy": {
                "attempts": ATTEMPTS,
                "evaluateOnExit": [
                    { "onExitCode": "3", "action": "RETRY" },
                    { "onStatusReason": "Host EC2*", "action": "RETRY" },
                    { "onReason": "*", "action": "EXIT" },
                ],
            },
            "tags": { "refloat-rows": job.fleet.machines.len().to_string() },
        })
    };
    let mut container = json!({
        "image": job.image,
        "command": ["fleet", "run", job.in_container(MOUNT)],
        "resourceRequirements": [
            { "type": "VCPU", "value": "1" },
            { "type": "MEMORY", "value": "1024" },
        ],
    });
    if let Some(container) = container.as_object_mut() {
        container.extend(state(job.place));
    }
    Ok(serde_json::to_string_pretty(&definition(&container))? + "\n")
}

/// How a container reaches the state.
fn state(place: Option<&Place>) -> Map<String, Value> {
    let role = "arn:aws:iam::000000000000:role/refloat";
    let secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:refloat-azure-sas";
    let fields = match place {
        None => json!({
            "volumes": [{
                "name": "fleet",
                "efsVolumeConfiguration": { "fileSystemId": "fs-00000000", "transitEncryption": "ENABLED" },
            }],
            "mountPoints": [{ "sourceVolume": "fleet", "containerPath": MOUNT, "readOnly": false }],
        }),
        Some(Place::S3 { .. }) => json!({ "jobRoleArn": role }),
        Some(Place::Azure(_)) => json!({
            "jobRoleArn": role,
            "executionRoleArn": role,
            "secrets": [{ "name": "REFLOAT_AZURE_SAS", "valueFrom": secret }],
        }),
    };
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
