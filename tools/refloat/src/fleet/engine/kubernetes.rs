//! Kubernetes: an Indexed Job (batch/v1). The folder is a claim that all pods mount.

use anyhow::Result;
use serde_json::json;

use super::Job;

/// Where pods have the folder.
const MOUNT: &str = "/fleet";

/// The manifest, as YAML: JSON is YAML, too.
pub(super) fn job(job: &Job<'_>) -> Result<String> {
    let count = job.fleet.machines.len();
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
                    "args": ["fleet", "run", MOUNT],
                    "resources": {
                        "requests": { "cpu": "1", "memory": "256Mi" },
                        "limits": { "memory": "1Gi" },
                    },
                    "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                    "volumeMounts": [{ "name": "fleet", "mountPath": MOUNT }],
                }],
                "volumes": [{ "name": "fleet", "persistentVolumeClaim": { "claimName": "fleet" } }],
            } },
        },
    });
    let folder = &job.folder;
    Ok(format!(
        "# One machine a pod. The claim \"fleet\" is a volume that all pods write (ReadWriteMany), with what is in\n\
         # {folder}.\n{}\n",
        serde_json::to_string_pretty(&manifest)?
    ))
}
