//! `refloat convert ebs:…` beside coldsnap 0.12.0, on the same snapshots of the stand-in EBS server, with the
//! bars of a release.
//!
//!     cargo build --release && cargo run --release -p benches --bin versus_coldsnap -- --coldsnap PATH
//!
//! coldsnap takes an hour to build, as it brings `aws-sdk-ec2`: `cargo install coldsnap --version 0.12.0
//! --root /tmp/coldsnap`, once, by hand. Without `--coldsnap` what it needed on a loaded machine of two cores
//! in November 2026 stands in for it; processor time compares well between machines of a kind, wall time does
//! not, so it is shown and not judged then.
//!
//! Both write a raw file. coldsnap does not flush it, so ours is not asked to either (`--sync` asks both: it
//! is followed by `sync`).
#![allow(clippy::print_stdout, reason = "the table is the answer")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, ensure};
use benches::{Cost, Costs, measure};
use clap::Parser;
use standin::{Config, Faults, Server, Snapshot, Synthetic};

const ID: &str = "snap-0123456789abcdef0";
/// The bars: times as fast, share of the processor time, MiB held.
const FASTER: f64 = 1.3;
const CPU: f64 = 0.65;
const RESIDENT: f64 = 64.0;

/// A snapshot to pull, and what coldsnap needed for it: seconds, processor seconds and MiB held.
struct Contest {
    name: &'static str,
    shape: Synthetic,
    latency: u64,
    recorded: Option<Cost>,
}

/// The least that was seen of each figure, so that we are judged hardest.
const CONTESTS: &[Contest] = &[
    Contest {
        name: "2 GiB, full",
        shape: Synthetic { gib: 2, listed: 100, zero: 20, seed: 1 },
        latency: 0,
        recorded: Some(Cost { wall: 4.15, cpu: 2.4 * 2.0, resident: 118.0 }),
    },
    Contest {
        name: "50 ms an answer",
        shape: Synthetic { gib: 2, listed: 100, zero: 20, seed: 1 },
        latency: 50,
        recorded: Some(Cost { wall: 7.3, cpu: 3.4 * 2.0, resident: 134.0 }),
    },
    Contest {
        name: "64 GiB, 3 % full",
        shape: Synthetic { gib: 64, listed: 3, zero: 0, seed: 2 },
        latency: 0,
        recorded: Some(Cost { wall: 5.5, cpu: 2.8 * 1.9, resident: 147.0 }),
    },
    Contest {
        name: "1 TiB, 1 % full",
        shape: Synthetic { gib: 1024, listed: 1, zero: 90, seed: 3 },
        latency: 0,
        recorded: None,
    },
];

#[derive(Debug, Parser)]
#[command(about = "refloat convert of a snapshot beside coldsnap download")]
struct Args {
    /// Contests to hold, by the start of their names; all of them if none is given
    only: Vec<String>,
    /// coldsnap 0.12.0
    #[arg(long)]
    coldsnap: Option<PathBuf>,
    /// Runs of each
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The program to measure
    #[arg(long, default_value = "target/release/refloat")]
    refloat: PathBuf,
    /// Where to put the images
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Flush each output to disk, and do not judge
    #[arg(long)]
    sync: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    ensure!(args.runs > 0, "at least one run is needed");
    ensure!(args.refloat.is_file(), "{} is missing: cargo build --release", args.refloat.display());
    println!(
        "{:17} {:9} {:>7} {:>7} {:>10} {:>6}   {:>6} {:>5}  {:>4} {:>4}",
        "", "", "wall s", "MiB/s", "cpu s/GiB", "MiB", "faster", "bar", "cpu", "bar"
    );
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| name.starts_with(only));
    let mut passed = true;
    for contest in CONTESTS.iter().filter(|contest| wanted(contest.name)) {
        passed &= hold(&args, contest)?;
    }
    Ok(ExitCode::from(u8::from(!passed)))
}

fn hold(args: &Args, contest: &Contest) -> Result<bool> {
    let faults = Faults::default().latency(Duration::from_millis(contest.latency));
    let snapshots = vec![Snapshot::synthetic(ID, contest.shape)];
    let server = Server::start(Config { snapshots, faults, ..Config::default() })?;
    let folder = tempfile::Builder::new().prefix("versus-coldsnap").tempdir_in(&args.dir)?;
    let (mut ours, mut theirs) = (Costs::default(), Costs::default());
    for _ in 0..args.runs {
        ours.push(pull(args, &server, folder.path(), None)?);
        if let Some(coldsnap) = &args.coldsnap {
            theirs.push(pull(args, &server, folder.path(), Some(coldsnap))?);
        }
    }
    if args.coldsnap.is_none() {
        let Some(recorded) = contest.recorded else {
            tell(contest.name, "refloat", &ours, gib(&server, args.runs));
            println!();
            return Ok(args.sync || ours.most(|cost| cost.resident) <= RESIDENT);
        };
        (0..args.runs).for_each(|_| theirs.push(recorded));
    }
    let runs = args.runs * if args.coldsnap.is_some() { 2 } else { 1 };
    let gib = gib(&server, runs);
    let peer = if args.coldsnap.is_some() { "coldsnap" } else { "recorded" };
    tell(contest.name, peer, &theirs, gib);
    println!();
    let faster = theirs.median(|cost| cost.wall) / ours.median(|cost| cost.wall);
    let cpu = ours.median(|cost| cost.cpu) / theirs.median(|cost| cost.cpu);
    tell("", "refloat", &ours, gib);
    println!("   {faster:>5.2}x {FASTER:>4.1}x  {cpu:>4.2} {CPU:>4.2}");
    let in_time = args.coldsnap.is_none() || faster >= FASTER;
    Ok(args.sync || (in_time && cpu <= CPU && ours.most(|cost| cost.resident) <= RESIDENT))
}

/// GiB that one run fetched.
fn gib(server: &Server, runs: usize) -> f64 {
    server.counts().bytes as f64 / runs as f64 / (1u64 << 30) as f64
}

fn tell(contest: &str, side: &str, costs: &Costs, gib: f64) {
    let wall = costs.median(|cost| cost.wall);
    print!(
        "{contest:17} {side:9} {wall:>7.2} {:>7.0} {:>10.2} {:>6.0}",
        gib * 1024.0 / wall,
        costs.median(|cost| cost.cpu) / gib,
        costs.most(|cost| cost.resident)
    );
}

/// One pull into a raw file, which is removed again.
fn pull(args: &Args, server: &Server, folder: &Path, coldsnap: Option<&PathBuf>) -> Result<Cost> {
    let output = folder.join("disk.raw");
    let mut command = Command::new(coldsnap.unwrap_or(&args.refloat));
    match coldsnap {
        Some(_) => {
            command.args(["--endpoint", &server.endpoint(), "download", ID, "--no-progress"]).arg(&output)
        }
        None => command
            .args([
                "convert",
                &format!("ebs:{ID}@us-east-1"),
                "--quiet",
                "--ebs-requests-per-second",
                "100000",
            ])
            .args((!args.sync).then_some("--no-sync"))
            .arg(&output),
    };
    command
        .env("AWS_ENDPOINT_URL", server.endpoint())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("REFLOAT_CACHE", folder.join("cache"));
    let mut cost = measure(&mut command)?;
    if args.sync && coldsnap.is_some() {
        cost.wall += measure(Command::new("sync").arg(&output))?.wall;
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    Ok(cost)
}
