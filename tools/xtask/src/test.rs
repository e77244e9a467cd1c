//! `cargo xtask test`: everything a submission is judged by, or with `--quick` what can be known in two
//! minutes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{licences, packages, top, truth};

pub(crate) fn run(quick: bool) -> Result<()> {
    if !quick {
        packages::install()?;
    }
    let skipped = top().join("target/skipped.txt");
    let _ = std::fs::remove_file(&skipped);
    crate::run("cargo", &["fmt", "--all", "--check"])?;
    crate::run("cargo", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    if !quick {
        checks()?;
    }
    let summary = tests(quick)?;
    if !quick {
        truth::today()?;
    }
    if let Ok(list) = std::fs::read_to_string(&skipped) {
        let count = list.lines().count();
        if quick {
            println!("skipped {count} that the full run makes (target/skipped.txt names them)");
        } else {
            println!("skipped {count} for want of something:\n{list}");
        }
    }
    println!("{summary}{}", if quick { "; cargo xtask test runs the rest" } else { "" });
    Ok(())
}

/// What is judged beside tests.
fn checks() -> Result<()> {
    // The library without the cloud is a build of its own, which no other step makes.
    crate::run("cargo", &["check", "--package", "libdisk", "--no-default-features"])?;
    licences::check()?;
    let doc = ["doc", "--workspace", "--no-deps", "--quiet"];
    crate::run_with("cargo", &doc, &[("RUSTDOCFLAGS", "--deny warnings")])
}

/// The tests: by cargo-nextest, which runs all binaries at once, where it is installed; else one binary after
/// the other. One line that says what was run.
fn tests(quick: bool) -> Result<String> {
    // Random runs are short, and nothing is mounted or booted.
    let environment: &[(&str, &str)] = if quick { &[("REFLOAT_QUICK", "1")] } else { &[] };
    if !has_nextest() {
        crate::run_with("cargo", &["test", "--workspace", "--no-fail-fast"], environment)?;
        return Ok("all tests passed".to_owned());
    }
    // Examples in documentation are not nextest's.
    crate::run_with("cargo", &["test", "--workspace", "--doc", "--quiet"], environment)?;
    let profile = if quick { "quick" } else { "default" };
    let mut nextest = Command::new("cargo");
    nextest.args(["nextest", "run", "--workspace", "--no-fail-fast", "--profile", profile]);
    nextest.envs(environment.iter().copied()).current_dir(top()).stderr(Stdio::piped());
    eprintln!("+ {nextest:?}");
    let mut child = nextest.spawn().context("cargo cannot be started")?;
    let said = child.stderr.take().context("cargo's standard error")?;
    let mut summary = String::new();
    for line in BufReader::new(said).lines() {
        let line = line?;
        eprintln!("{line}");
        if line.trim_start().starts_with("Summary [") {
            summary = line.trim().to_owned();
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "cargo nextest: {status}");
    Ok(summary)
}

fn has_nextest() -> bool {
    let mut version = Command::new("cargo");
    version.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
