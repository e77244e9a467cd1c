//! HyperQueue: an array of tasks. It tries nothing again by its exit code, so the task does.

use anyhow::Result;

use super::Job;

/// The script that submits the tasks.
pub(super) fn script(job: &Job<'_>) -> Result<String> {
    let (last, command) = (job.last(), job.command());
    Ok(format!(
        "#!/bin/sh\n\
         # One machine a task; 3 means that the same command goes on.\n\
         exec hq submit --name refloat --array 0-{last} --crash-limit 10 -- sh -c \\\n\
         \x20   'while :; do {command}; code=$?; [ \"$code\" -eq 3 ] || exit \"$code\"; sleep 30; done'\n",
        command = command.replace('\'', "'\\''")
    ))
}
