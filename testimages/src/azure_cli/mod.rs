//! The Azure CLI of PyPI: a judge of commands that are written for it, and of a stand-in for the service.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::Result;

use crate::python;

/// The version whose commands are meant. It takes 730 MB and some minutes to install, so it is for long runs.
const REQUIREMENTS: &str = "azure-cli==2.91.0\n";

#[track_caller]
fn python() -> Option<PathBuf> {
    static ENVIRONMENT: OnceLock<Result<PathBuf>> = OnceLock::new();
    python::of(&ENVIRONMENT, REQUIREMENTS, "azure-cli")
}

/// Runs `az LINE` as somebody who is logged in with `token`, where Azure Resource Manager is at `endpoint`: what it
/// sends is az's own. `None`, after a visible skip, where the CLI cannot be had.
///
/// # Panics
/// When Python does not start, or the CLI cannot be had and `CI=true`.
#[track_caller]
pub fn run(endpoint: &str, subscription: &str, token: &str, line: &str, home: &Path) -> Option<Output> {
    let mut az = Command::new(python()?);
    az.args(["-c", include_str!("run.py"), endpoint, subscription, token]).args(line.split_whitespace());
    // Nothing of it leaves this machine, or is kept.
    let variables = [("AZURE_CORE_COLLECT_TELEMETRY", "false"), ("NO_PROXY", "127.0.0.1")];
    Some(az.env("AZURE_CONFIG_DIR", home).envs(variables).output().expect("Python starts"))
}

/// What az's own parser says of each command line: "ok", or why it refuses it. Nothing is run. `None`, after a
/// visible skip, where the CLI cannot be had.
///
/// # Panics
/// When Python does not start, or the CLI cannot be had and `CI=true`.
#[track_caller]
pub fn parse(lines: &[String]) -> Option<Vec<String>> {
    let mut parser = Command::new(python()?)
        .args(["-c", include_str!("parse.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = parser.stdin.take().expect("a piped stdin");
    stdin.write_all((lines.join("\n") + "\n").as_bytes()).expect("the parser reads");
    drop(stdin);
    let output = parser.wait_with_output().expect("the parser ends");
    assert!(output.status.success(), "az's parser failed: {}", output.status);
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
