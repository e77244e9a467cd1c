//! Development tasks: `cargo xtask TASK`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

mod boot_matrix;
mod demo_image;
mod test;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
cargo xtask TASK

  test          install what the tests need (Debian packages), then format, lints, and all tests
  demo-image    make the example inside the program anew (tools/refloat/src/demo/ec2-guest.img.zst)
  boot-matrix   boot every guest we can make, before and after, on every QEMU there is; takes an hour";

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let done = match task.as_deref() {
        Some("test") => test::run(),
        Some("demo-image") => demo_image::run(),
        Some("boot-matrix") => boot_matrix::run(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command in the workspace and insists on success.
fn run(program: &str, args: &[&str]) -> Result<()> {
    eprintln!("+ {program} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
        .current_dir(top())
        .status()
        .with_context(|| format!("{program} cannot be started"))?;
    if !status.success() {
        bail!("{program} {}: {status}", args.join(" "));
    }
    Ok(())
}
