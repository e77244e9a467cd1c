//! AWS Batch: a job definition whose jobs are arrays. Spot instances that go away are tried again.

use anyhow::Result;
use serde_json::json;

use super::Job;

/// Where containers have the folder: an EFS file system.
const MOUNT: &str = "/fleet";
/// AWS Batch tries no job more often.
const ATTEMPTS: u32 = 10;

/// The input of RegisterJobDefinition (AWS Batch API, 2016-08-10).
pub(super) fn definition(job: &Job<'_>) -> Result<String> {
    let definition = json!({
        "jobDefinitionName": "refloat",
        "type": "container",
        "platformCapabilities": ["EC2"],
        "containerProperties": {
            "image": job.image,
            "command": ["fleet", "run", MOUNT],
            "resourceRequirements": [
                { "type": "VCPU", "value": "1" },
                { "type": "MEMORY", "value": "1024" },
            ],
            "volumes": [{
                "name": "fleet",
                "efsVolumeConfiguration": { "fileSystemId": "fs-00000000", "transitEncryption": "ENABLED" },
            }],
            "mountPoints": [{ "sourceVolume": "fleet", "containerPath": MOUNT, "readOnly": false }],
        },
        "retryStrategy": {
            "attempts": ATTEMPTS,
            "evaluateOnExit": [
                { "onExitCode": "3", "action": "RETRY" },
                { "onStatusReason": "Host EC2*", "action": "RETRY" },
                { "onReason": "*", "action": "EXIT" },
            ],
        },
        "tags": { "refloat-rows": job.fleet.machines.len().to_string() },
    });
    Ok(serde_json::to_string_pretty(&definition)? + "\n")
}
