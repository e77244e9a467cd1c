//! The Azure CLI of PyPI: a judge of commands that are written for it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::Result;

use crate::python;

/// The version whose commands are meant. It takes 730 MB and some minutes to install, so it is for long runs.
const REQUIREMENTS: &str = "azure-cli==2.91.0\n";

/// What az's own parser says of each command line: "ok", or why it refuses it. Nothing is run. `None`, after a
/// visible skip, where the CLI cannot be had.
///
/// # Panics
/// When Python does not start, or the CLI cannot be had and `CI=true`.
#[track_caller]
pub fn parse(lines: &[String]) -> Option<Vec<String>> {
    static ENVIRONMENT: OnceLock<Result<PathBuf>> = OnceLock::new();
    let python = python::of(&ENVIRONMENT, REQUIREMENTS, "azure-cli")?;
    let mut parser = Command::new(python)
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
