//! `refloat convert` beside `qemu-img convert`, on the same images.
//!
//!     cargo build --release && cargo run --release -p benches --bin versus_qemu_img
//!
//! Makes a raw and a qcow2 image of 4 GiB with 1.2 GiB of data, and turns each into a fixed VHD: ours, qemu-img's, ours, and so on,
//! warm. Prints medians [and minima] of wall time, processor time and memory, and the
//! ratios of pairs of runs. Exits with 1 where qemu-img was faster: by the pairs and by the minima, as a busy machine gives more
//! of itself to the program with more threads. The processor times compare well on any machine. Two VHDs that differ are an error.
//!
//! refloat flushes its output to disk before it gives it its name. qemu-img does not, so each of its runs is followed by
//! `sync` of its output, and that time is counted for it. `--buffered` compares the copies alone: it passes `--no-sync`
//! to refloat and leaves the `sync` out.
#![allow(clippy::print_stdout, reason = "the table is the answer")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use benches::{Cost, Costs, measure, vm_image};
use clap::Parser;

/// Runs of each program that are not counted.
const WARM_UP: usize = 1;

#[derive(Debug, Parser)]
#[command(about = "refloat convert beside qemu-img convert, on the same images")]
struct Args {
    /// Pairs of runs for each image
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Size of the disk in MiB
    #[arg(long, default_value_t = 4096)]
    mib: u64,
    /// The program to measure
    #[arg(long, default_value = "target/release/refloat")]
    refloat: PathBuf,
    /// Where to put the images; three times their data is needed
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Threads of refloat
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Leave flushing the output to the kernel, for both
    #[arg(long)]
    buffered: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    ensure!(args.runs > 0, "at least one run is needed");
    ensure!(args.refloat.is_file(), "{} is missing: cargo build --release", args.refloat.display());
    let folder = tempfile::Builder::new().prefix("versus-qemu-img").tempdir_in(&args.dir)?;
    let (raw, qcow2) = (folder.path().join("vm.raw"), folder.path().join("vm.qcow2"));
    vm_image(&raw, args.mib << 20)?;
    run(qemu_img().args(["convert", "-f", "raw", "-O", "qcow2"]).args([&raw, &qcow2]))?;
    // Nothing of the inputs is left to be written while we measure.
    run(Command::new("sync").args([&raw, &qcow2]))?;

    println!("{:24} {:>15} {:>15} {:>9}", "", "wall s [min]", "cpu s [min]", "MiB");
    let mut slower = false;
    for (format, source) in [("raw", &raw), ("qcow2", &qcow2)] {
        slower |= contest(&args, format, source, folder.path())?;
    }
    Ok(ExitCode::from(u8::from(slower)))
}

/// Measures both programs on one image; whether qemu-img is faster.
fn contest(args: &Args, format: &str, source: &Path, folder: &Path) -> Result<bool> {
    let (our_vhd, their_vhd) = (folder.join("refloat.vhd"), folder.join("qemu-img.vhd"));
    let (mut ours, mut theirs) = (Costs::default(), Costs::default());
    for round in 0..WARM_UP + args.runs {
        let cost = measure(&mut refloat(args, source, &our_vhd))?;
        let peer = measure(&mut peer(args, format, source, &their_vhd))?;
        if round == 0 {
            same_content(&our_vhd, &their_vhd)?;
        }
        if round >= WARM_UP {
            ours.push(cost);
            theirs.push(peer);
        }
        fs::remove_file(&our_vhd)?;
        fs::remove_file(&their_vhd)?;
    }
    for (program, costs) in [("qemu-img", &theirs), ("refloat", &ours)] {
        let pair =
            |figure: fn(&Cost) -> f64| format!("{:.2} [{:.2}]", costs.median(figure), costs.least(figure));
        let resident = costs.median(|cost| cost.resident);
        let name = format!("{format}: {program}");
        println!("{name:24} {:>15} {:>15} {resident:>9.1}", pair(|cost| cost.wall), pair(|cost| cost.cpu));
    }
    let wall = ours.ratio(&theirs, |cost| cost.wall);
    let (cpu, resident) = (ours.ratio(&theirs, |cost| cost.cpu), ours.ratio(&theirs, |cost| cost.resident));
    println!("{:24} {wall:>15.2} {cpu:>15.2} {resident:>9.2}", format!("{format}: refloat/qemu-img"));
    Ok(wall > 1.0 && ours.least(|cost| cost.wall) > theirs.least(|cost| cost.wall))
}

fn refloat(args: &Args, source: &Path, target: &Path) -> Command {
    let mut command = Command::new(&args.refloat);
    command.args(["--quiet", "--threads", &args.threads.to_string(), "convert"]).args([source, target]);
    if args.buffered {
        command.arg("--no-sync");
    }
    command
}

/// qemu-img as fast as it goes, and the exact size.
fn peer(args: &Args, format: &str, source: &Path, target: &Path) -> Command {
    let mut convert = qemu_img();
    convert.args([
        "convert",
        "-m",
        "16",
        "-W",
        "-f",
        format,
        "-O",
        "vpc",
        "-o",
        "subformat=fixed,force_size=on",
    ]);
    convert.args([source, target]);
    if args.buffered {
        return convert;
    }
    let mut both = Command::new("sh");
    both.args(["-c", r#""$@" && exec sync "$0""#])
        .arg(target)
        .arg(convert.get_program())
        .args(convert.get_args());
    both
}

fn qemu_img() -> Command {
    Command::new("qemu-img")
}

/// Fails if the two disks differ.
fn same_content(ours: &Path, theirs: &Path) -> Result<()> {
    run(qemu_img().args(["compare", "-f", "vpc", "-F", "vpc"]).args([ours, theirs]))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
