//! Kubernetes: an Indexed Job (batch/v1). A folder is a claim that all pods mount; in S3 or in Azure there is nothing
//! to mount. Credentials come from a secret, if there is one, and never stand in the manifest.

use anyhow::Result;
use serde_json::{Value, json};

use super::Job;

/// Where pods have the folder.
const MOUNT: &str = "/fleet";

/// The manifest, as YAML: JSON is YAML, too.
pub(super) fn job(job: &Job<'_>) -> Result<String> {
    let count = job.fleet.machines.len();
    let (mounts, volumes, about) = state(job);
    let manifest = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "refloat" },
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": job.fleet.tasks,
            "backoffLimitPerIndex": 20,
            "maxFailedIndexes": count,
            // What will not boot, and what could not be done, is not tried again; a pod that had to go is no
            // failure of its own.
            "podFailurePolicy": { "rules": [
                { "action": "FailIndex",
                  "onExitCodes": { "containerName": "refloat", "operator": "In", "values": [1, 2] } },
                { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            ] },
            "template": { "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 60,
                "containers": [{
                    "name": "refloat",
                    "image": job.image,
                    "args": ["fleet", "run", job.in_container(MOUNT)],
                    "envFrom": [{ "secretRef": { "name": "refloat", "optional": true } }],
                    "resources": {
                        "requests": { "cpu": "1", "memory": "256Mi" },
                        "limits": { "memory": "1Gi" },
                    },
                    "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                    "volumeMounts": mounts,
                }],
                "volumes": volumes,
            } },
        },
    });
    Ok(format!(
        "# One machine a pod. {about}\n\
         # What the secret \"refloat\" has, if it is there, are variables of the environment, as REFLOAT_AZURE_SAS.\n{}\n",
        serde_json::to_string_pretty(&manifest)?
    ))
}

/// How a pod reaches the state: mounts, volumes, and what to say of them.
fn state(job: &Job<'_>) -> (Value, Value, String) {
    let folder = &job.folder;
    match job.place {
        Some(_) => (json!([]), json!([]), format!("The state is in {folder}.")),
        None => (
            json!([{ "name": "fleet", "mountPath": MOUNT }]),
            json!([{ "name": "fleet", "persistentVolumeClaim": { "claimName": "fleet" } }]),
            format!(
                "The claim \"fleet\" is a volume that all pods write (ReadWriteMany), with what is in\n# {folder}."
            ),
        ),
    }
}
