//! This very program, run for one machine: its answer is a document, its exit code what a person gets.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::cli::Global;

/// The program with these words, and the options that were given to all.
pub(super) fn program(global: &Global, words: &[&str], requests_per_second: f64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program is not found")?);
    command.args(words).arg("--json").stdin(Stdio::null());
    command.args(["--ebs-requests-per-second", &requests_per_second.to_string()]);
    command.args(["--ebs-patience", &global.ebs_patience.to_string()]);
    command.args(["--azure-patience", &global.azure_patience.to_string()]);
    // A row may have a role of its own.
    if let Some(role) = global.aws_role.as_ref().filter(|_| !words.contains(&"--aws-role")) {
        command.args(["--aws-role", role]);
    }
    if let Some(file) = &global.sas_file {
        command.arg("--sas-file").arg(file);
    }
    if global.threads > 0 {
        command.args(["--threads", &global.threads.to_string()]);
    }
    Ok(command)
}
