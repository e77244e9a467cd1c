//! `refloat convert … azure:…` beside azcopy, into the same sink, with the bars of a release.
//!
//!     cargo build --release && cargo run --release -p benches --bin versus_azcopy -- --azcopy PATH
//!
//! azcopy comes from npm: `npm i @azure-tools/azcopy-linux`, in a folder of its own; it needs libsecret.
//! Without `--azcopy` what 10.32.2 needed on a loaded machine of two cores in November 2026 stands in
//! for it.
//!
//! The sink ([`Discard`]) is in this process and on the same cores, so what it takes is told, too; it drops what
//! is put, for both. refloat reads back a sample of 256 MiB, azcopy nothing.
#![allow(clippy::print_stdout, reason = "the table is the answer")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use benches::{Cost, Costs, Discard, measure, median};
use clap::Parser;

/// The bars: times as fast, share of the processor time, MiB held.
const FASTER: f64 = 4.0;
const CPU: f64 = 0.25;
const RESIDENT: f64 = 96.0;
/// One that nobody looks at.
const SIGNATURE: &str = "sv=2018-03-28&sr=b&sp=rcwd&se=2099-01-01T00%3A00%3A00Z&sig=c2VjcmV0";
/// What azcopy needed for a GiB of data, at the least that was seen of each figure; and the MiB it held.
const RECORDED: Cost = Cost { wall: 1024.0 / 375.0, cpu: 2.8, resident: 420.0 };

#[derive(Debug, Parser)]
#[command(about = "refloat convert to a page blob beside azcopy")]
struct Args {
    /// azcopy
    #[arg(long)]
    azcopy: Option<PathBuf>,
    /// Runs of each
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// MiB of data, in a disk of a third more
    #[arg(long, default_value_t = 3072)]
    mib: u64,
    /// The program to measure
    #[arg(long, default_value = "target/release/refloat")]
    refloat: PathBuf,
    /// Where to put the disk
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    ensure!(args.runs > 0 && args.mib > 0, "at least one run of something is needed");
    ensure!(args.refloat.is_file(), "{} is missing: cargo build --release", args.refloat.display());
    let folder = tempfile::Builder::new().prefix("versus-azcopy").tempdir_in(&args.dir)?;
    let vhd = vhd(&args, folder.path())?;
    let gib = args.mib as f64 / 1024.0;
    let (mut ours, mut theirs) = (Costs::default(), Costs::default());
    let (mut our_sink, mut their_sink) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        let (cost, sink) = send(&args, folder.path(), &vhd, None)?;
        ours.push(cost);
        our_sink.push(sink);
        let recorded = Cost { wall: RECORDED.wall * gib, cpu: RECORDED.cpu * gib, ..RECORDED };
        let (cost, sink) = match &args.azcopy {
            Some(azcopy) => send(&args, folder.path(), &vhd, Some(azcopy))?,
            None => (recorded, f64::NAN),
        };
        theirs.push(cost);
        their_sink.push(sink);
    }
    println!("{:9} {:>7} {:>7} {:>10} {:>11} {:>6}", "", "wall s", "MiB/s", "cpu s/GiB", "sink s/GiB", "MiB");
    for (side, costs, sink) in [("azcopy", &theirs, their_sink), ("refloat", &ours, our_sink)] {
        let (wall, sink) = (costs.median(|cost| cost.wall), median(sink) / gib);
        let (rate, cpu) = (args.mib as f64 / wall, costs.median(|cost| cost.cpu) / gib);
        let most = costs.most(|cost| cost.resident);
        println!("{side:9} {wall:>7.2} {rate:>7.0} {cpu:>10.2} {sink:>11.2} {most:>6.0}");
    }
    let faster = theirs.median(|cost| cost.wall) / ours.median(|cost| cost.wall);
    let cpu = ours.median(|cost| cost.cpu) / theirs.median(|cost| cost.cpu);
    println!("{faster:.2}x as fast (bar {FASTER}x), {cpu:.2} of its processor time (bar {CPU})");
    // Against what is recorded wall time says little.
    let in_time = args.azcopy.is_none() || faster >= FASTER;
    let passed = in_time && cpu <= CPU && ours.most(|cost| cost.resident) <= RESIDENT;
    Ok(ExitCode::from(u8::from(!passed)))
}

/// A VHD whose data lies in pieces of 12 MiB with 4 MiB of nothing between them.
fn vhd(args: &Args, folder: &Path) -> Result<PathBuf> {
    let (raw, vhd) = (folder.join("disk.raw"), folder.join("disk.vhd"));
    let file = File::create(&raw)?;
    file.set_len((args.mib.div_ceil(12) * 16) << 20)?;
    let mut noise = vec![0; 1 << 20];
    for mib in 0..args.mib {
        // Noise that differs is enough, and quick.
        noise.chunks_mut(8).zip(mib << 40..).for_each(|(bytes, number): (&mut [u8], u64)| {
            bytes.copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        });
        file.write_all_at(&noise, (mib / 12 * 16 + mib % 12) << 20)?;
    }
    measure(Command::new(&args.refloat).arg("convert").arg(&raw).arg(&vhd).arg("--quiet"))?;
    std::fs::remove_file(raw)?;
    Ok(vhd)
}

/// One transfer into a new sink, and the processor time that the sink took.
fn send(args: &Args, folder: &Path, vhd: &Path, azcopy: Option<&PathBuf>) -> Result<(Cost, f64)> {
    let sink = Discard::start(vhd)?;
    let url = sink.url();
    let mut command = Command::new(azcopy.unwrap_or(&args.refloat));
    match azcopy {
        Some(_) => command.arg("copy").arg(vhd).arg(format!("{url}?{SIGNATURE}")).args([
            "--blob-type",
            "PageBlob",
            "--from-to",
            "LocalBlob",
            "--log-level",
            "ERROR",
            "--check-length=false",
        ]),
        None => command.arg("convert").arg(vhd).arg(format!("azure:{url}")).arg("--quiet"),
    };
    command
        .env("REFLOAT_AZURE_SAS", SIGNATURE)
        .env("REFLOAT_STATE", folder.join("state"))
        .env("AZCOPY_LOG_LOCATION", folder.join("azcopy"))
        .env("AZCOPY_JOB_PLAN_LOCATION", folder.join("azcopy"))
        .env("AZCOPY_AUTO_LOGIN_TYPE", "")
        .env("NO_PROXY", "127.0.0.1");
    let before = own_time()?;
    let cost = measure(&mut command)?;
    let own = own_time()? - before;
    let taken = sink.taken()?;
    ensure!(taken.bytes >= args.mib << 20 && taken.checked > 0, "{taken:?} is not all");
    Ok((cost, own))
}

/// Seconds of processor time that this process, where the sink is, has had.
fn own_time() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Its name, which comes second, may hold anything; the 14th and 15th number are hundredths of a second.
    let (_, rest) = stat.rsplit_once(')').context("no name in /proc/self/stat")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}
