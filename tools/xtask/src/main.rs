//! Development tasks: `cargo xtask TASK`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

mod boot_matrix;
mod demo_image;
mod dist;
mod fuzz;
mod licences;
mod packages;
mod test;
mod truth;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
cargo xtask TASK

  test          install what the tests need (Debian packages), then format, lints, licences, docs and all
                tests; with --quick only format, lints and the tests that mount and boot nothing
  fuzz [TARGET] run a fuzz target, or all, for an hour each; --seconds N sets how long. Not part of
                `test`: its build takes five minutes of processor time, and needs g++
  dist          make what users are given, in dist/: the binary for glibc 2.17 as an archive, a Debian package,
                an RPM and an image for containers, its SBOM, and the sums; --target TRIPLE for another
                platform, --test tries them all in chroots. Takes ten minutes
  demo-image    make the example inside the program anew (tools/refloat/src/demo/ec2-guest.img.zst)
  rules-page    write RULES.md, the page of all rules, anew
  boot-matrix   boot every guest we can make, before and after, on every QEMU there is; takes an hour
  truth         say what refloat says of some 500 mutants of real guests, boot them, and write the table
                and README's matrix; takes hours, and goes on where it was stopped. --boots none|ready|all,
                --minutes N, --jobs N, --program REFLOAT, and parts of names choose";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["test"] => test::run(false),
        ["test", "--quick"] => test::run(true),
        ["fuzz", ref options @ ..] => fuzz::verb(options),
        ["dist", ref options @ ..] => dist::verb(options),
        ["demo-image"] => demo_image::run(),
        ["rules-page"] => rules_page(),
        ["boot-matrix"] => boot_matrix::run(),
        ["truth", "--today"] => truth::today(),
        ["truth", ref options @ ..] => truth::verb(options),
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

/// The page of all rules, as the program prints it.
fn rules_page() -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--package", "refloat", "--", "rules", "--markdown"]).current_dir(top());
    let output = cargo.output().context("cannot run cargo")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(top().join("RULES.md"), output.stdout).context("RULES.md")
}

/// The workspace's folder.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command in the workspace and insists on success.
fn run(program: &str, args: &[&str]) -> Result<()> {
    run_with(program, args, &[])
}

/// The same, with more in the environment.
fn run_with(program: &str, args: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let more: String = environment.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
    eprintln!("+ {more}{program} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
        .envs(environment.iter().copied())
        .current_dir(top())
        .status()
        .with_context(|| format!("{program} cannot be started"))?;
    if !status.success() {
        bail!("{program} {}: {status}", args.join(" "));
    }
    Ok(())
}
