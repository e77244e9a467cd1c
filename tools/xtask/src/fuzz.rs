//! `cargo xtask fuzz`: the fuzz targets of `benches/fuzz`, for hours or for seconds each.
//!
//! The targets are those of cargo-fuzz, which runs them too; but what it adds, a nightly compiler's address
//! sanitizer, finds little in code without `unsafe`. So they are built here by the compiler of the workspace,
//! with libFuzzer's coverage.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use testimages::seeds::{Seed, seeds};

use crate::top;

/// Seconds for each target where nobody says how many.
const LONG: u64 = 3600;

/// What a target may hold in MiB: the limit of the program for hostile input, and as much for libFuzzer's
/// own.
const MEMORY: u32 = 512;

/// Seconds that one input may take, on a busy machine.
const PATIENCE: u32 = 20;

/// The options by which libFuzzer sees which way an input took, as cargo-fuzz sets them.
const COVERAGE: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
];

/// What was typed: `[TARGET] [--seconds N]`.
pub(crate) fn verb(words: &[&str]) -> Result<()> {
    match *words {
        [] => run(None, None),
        ["--seconds", seconds] => run(Some(seconds.parse().context("--seconds")?), None),
        [target] => run(None, Some(target)),
        [target, "--seconds", seconds] => run(Some(seconds.parse().context("--seconds")?), Some(target)),
        _ => bail!("cargo xtask fuzz [TARGET] [--seconds N]"),
    }
}

/// Runs one target, or all, for so many seconds each. New inputs are kept in `target/fuzz/corpus`.
pub(crate) fn run(seconds: Option<u64>, only: Option<&str>) -> Result<()> {
    let targets = targets()?;
    let chosen: Vec<_> = targets.iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    ensure!(!chosen.is_empty(), "no such target; there are: {}", targets.join(" "));
    let programs = build()?;
    let folder = top().join("target/fuzz");
    let mut found = Vec::new();
    for target in chosen {
        let [corpus, crashes] = ["corpus", "crashes"].map(|kind| folder.join(kind).join(target));
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&crashes)?;
        let sown = sow(target, &corpus)?;
        let mut fuzzer = Command::new(programs.join(target));
        fuzzer.arg(&corpus).arg(format!("-artifact_prefix={}/", crashes.display()));
        fuzzer.arg(format!("-max_total_time={}", seconds.unwrap_or(LONG)));
        fuzzer.args([format!("-timeout={PATIENCE}"), format!("-rss_limit_mb={MEMORY}")]);
        fuzzer.args(["-max_len=4194304", "-print_final_stats=1", "-verbosity=0"]);
        let output = fuzzer.output().with_context(|| format!("{target} cannot be started"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        println!("fuzz {target}: {} inputs from {sown} seeds, {}", runs.unwrap_or("?").trim(), output.status);
        if !output.status.success() {
            eprintln!("{said}");
            found.push(format!("{target}: its input is in {}", crashes.display()));
        }
    }
    ensure!(found.is_empty(), "found by fuzzing:\n{}", found.join("\n"));
    Ok(())
}

/// Puts the seeds of `target` into `corpus`; how many. One that its program cannot make here is told, and
/// left out.
fn sow(target: &str, corpus: &Path) -> Result<usize> {
    let mut sown = 0;
    for Seed { name, content } in seeds(target)? {
        match content {
            Some(content) => {
                fs::write(corpus.join(format!("seed-{name}")), content)?;
                sown += 1;
            }
            None => eprintln!("fuzz {target}: no seed {name}, as its program is missing or refuses"),
        }
    }
    Ok(sown)
}

/// The names of all targets: one file each.
fn targets() -> Result<Vec<String>> {
    let entries = fs::read_dir(top().join("benches/fuzz/targets")).context("benches/fuzz/targets")?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Builds all targets; the folder of the programs.
fn build() -> Result<PathBuf> {
    // Named, so that the options are not those of build scripts and macros.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = Path::new("target/fuzz/build");
    let arguments =
        ["build", "--quiet", "--package", "fuzz", "--features", "libfuzzer", "--target", &platform];
    let arguments = [&arguments[..], &["--target-dir", "target/fuzz/build"]].concat();
    crate::run_with("cargo", &arguments, &[("RUSTFLAGS", &COVERAGE.join(" "))])?;
    Ok(top().join(folder).join(platform).join("debug"))
}
