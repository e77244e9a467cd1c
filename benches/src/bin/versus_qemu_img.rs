//! `refloat convert` beside `qemu-img convert`, on the same images, with the bars that a release has to
//! clear.
//!
//!     cargo build --release && cargo run --release -p benches --bin versus_qemu_img -- --report benches
//!
//! Makes an image of 4 GiB with 1.2 GiB of data, the files of this machine's `/usr`, in each of several
//! formats, and turns each into a fixed VHD: ours, theirs, ours, and so on, warm. Peak memory, wall and
//! processor time are those of the whole process. What we wrote is compared with the source by qemu-img.
//!
//! | contest | against |
//! |---|---|
//! | `raw`, `qcow2`, `zlib`, `zstd`, `vhdx`, `dynamic vhd`, `vmdk`, `stream` | `qemu-img convert -m 16 -W`, as fast as it goes |
//! | `scattered`: a qcow2 of 1 TiB with 1 GiB in pieces of 64 KiB | the same |
//! | `reflink`, `reflink qcow2` | the same, source and output on one XFS; the file system must not grow. Needs root |
//! | `1 TiB raw`, `1 TiB qcow2`, `1 TiB vmdk` | ourselves, on 4 GiB with the same data |
//!
//! Prints medians, the ratios and their bars, and exits with 1 where a bar is missed. A ratio is the better
//! of two: the median of the pairs, and that of the minima. The processor times compare well on any machine.
//! The wall times do not: a busy one gives more of itself to the program with more threads. So they are not
//! judged where they are noisy, that is, where one side's median is more than a quarter above its minimum.
//!
//! `--report benches` writes the table and its plots into `benches/README.md`.
//!
//! A virtual machine may hand free pages back to its host; they are [kept](KeptPages) while this runs, as whoever takes
//! them next would pay for that.
//!
//! Neither program flushes its output, as qemu-img does not unless it is asked. With `--sync` ours is durable
//! when it ends and theirs is followed by `sync`; then the disk is measured more than the programs, and there
//! are no bars.
#![allow(clippy::print_stdout, reason = "the table is the answer")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benches::{Bar, Contest, Cost, Costs, KeptPages, Standing, measure, report, vm_image};
use clap::Parser;
use testimages::judge::{self, KernelMount};

/// Runs of each program that are not counted.
const WARM_UP: usize = 1;
/// How many times as large the large disk is.
const STRETCH: u64 = 256;
/// How long the machine rests between runs.
const REST: Duration = Duration::from_millis(200);
/// By how much a file system may grow to share an image: the footer, and what tells of the extents.
const SHARED_GROWTH: u64 = 1 << 20;

#[derive(Debug, Parser)]
#[command(about = "refloat convert beside qemu-img convert, on the same images")]
struct Args {
    /// Contests to hold, by name; all of them if none is given
    only: Vec<String>,
    /// Pairs of runs for each image
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Size of the disk in MiB
    #[arg(long, default_value_t = 4096)]
    mib: u64,
    /// The program to measure
    #[arg(long, default_value = "target/release/refloat")]
    refloat: PathBuf,
    /// Where to put the images; six times their data is needed
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// The folder whose files are the content of the disk
    #[arg(long, default_value = "/usr")]
    files: PathBuf,
    /// Threads of refloat
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Flush each output to disk, and do not judge
    #[arg(long)]
    sync: bool,
    /// Write the table and its plots into the README.md of this folder
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["only", "sync"])]
    report: Option<PathBuf>,
}

/// One side of a contest: what runs, and the file it makes.
struct Side {
    name: &'static str,
    command: Command,
    output: PathBuf,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    ensure!(args.runs > 0, "at least one run is needed");
    ensure!(args.refloat.is_file(), "{} is missing: cargo build --release", args.refloat.display());
    let pages = KeptPages::keep();
    let folder = tempfile::Builder::new().prefix("versus-qemu-img").tempdir_in(&args.dir)?;
    let raw = folder.path().join("vm.raw");
    vm_image(&raw, args.mib << 20, 1, &args.files)?;
    run(Command::new("sync").arg(&raw))?;

    println!(
        "{:14} {:9} {:>13} {:>13} {:>6}   {:>6} {:>5}  {:>4} {:>5}",
        "", "", "wall s [min]", "cpu s [min]", "MiB", "faster", "bar", "cpu", "bar"
    );
    let load = load()?;
    let mut contests = formats(&args, &raw)?;
    contests.extend(scattered(&args, &raw)?);
    let grown = reflinks(&args, &raw, &mut contests)?;
    contests.extend(large_disks(&args, &raw)?);
    if let Some(folder) = &args.report {
        report::write(folder, &about(&args, &load, &pages)?, &contests)?;
    }
    let missed = !args.sync && (grown || contests.iter().any(|contest| !contest.missed().is_empty()));
    Ok(ExitCode::from(u8::from(missed)))
}

/// What it was measured with, and how busy the machine was when it began and ended.
fn about(args: &Args, load: &str, pages: &KeptPages) -> Result<Vec<String>> {
    let told = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output().with_context(|| program.to_owned())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = thread::available_parallelism()?;
    let file_system = told("stat", &["-f", "-c", "%T", &args.dir.display().to_string()])?;
    Ok(vec![
        format!(
            "{}; {} pairs of runs, {} threads",
            told("date", &["-u", "+%d %B %Y, %H:%M UTC"])?,
            args.runs,
            args.threads
        ),
        format!(
            "{cores} cores of {model}, {}, images on {file_system}; {}",
            told("uname", &["-sr"])?,
            pages.told()
        ),
        format!(
            "{}; {}",
            told(&args.refloat.display().to_string(), &["--version"])?,
            told("qemu-img", &["--version"])?
        ),
        format!(
            "load of the machine (1, 5, 15 minutes) {load} before, {} after: what goes beyond 1 or 2 are others, and \
             wall times are as good as that",
            self::load()?
        ),
    ])
}

fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split(' ').take(3).collect::<Vec<_>>().join(", "))
}

impl Args {
    fn wants(&self, contest: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == contest)
    }

    fn refloat(&self, source: &Path, output: PathBuf) -> Side {
        let mut command = Command::new(&self.refloat);
        command
            .args(["--quiet", "--threads", &self.threads.to_string(), "convert"])
            .args([source, &output])
            .args((!self.sync).then_some("--no-sync"));
        Side { name: "refloat", command, output }
    }

    /// qemu-img as fast as it goes, and the exact size.
    fn qemu_img(&self, format: &str, source: &Path, output: PathBuf) -> Side {
        let mut command = Command::new("qemu-img");
        command
            .args(["convert", "-m", "16", "-W", "-f", format, "-O", "vpc"])
            .args(["-o", "subformat=fixed,force_size=on"])
            .args([source, &output]);
        if self.sync {
            let mut both = Command::new("sh");
            both.args(["-c", r#""$@" && exec sync "$0""#]).arg(&output);
            both.arg(command.get_program()).args(command.get_args());
            command = both;
        }
        Side { name: "qemu-img", command, output }
    }

    /// Runs the two in turn and prints what they cost. What we made is held against `source`.
    fn contest(
        &self,
        name: &str,
        sides: [Side; 2],
        bar: Bar,
        (format, source): (&str, &Path),
    ) -> Result<Contest> {
        let [mut our, mut their] = sides;
        let (mut ours, mut theirs) = (Costs::default(), Costs::default());
        for round in 0..WARM_UP + self.runs {
            let cost = measure(&mut our.command)?;
            if round == 0 {
                run(Command::new("qemu-img")
                    .args(["compare", "-f", "vpc", "-F", format])
                    .args([&our.output, source]))?;
            }
            remove(&our.output)?;
            let peer = measure(&mut their.command)?;
            remove(&their.output)?;
            if round >= WARM_UP {
                ours.push(cost);
                theirs.push(peer);
            }
        }
        let contest = Contest { name: name.to_owned(), sides: [our.name, their.name], ours, theirs, bar };
        self.print(&contest);
        Ok(contest)
    }

    fn print(&self, contest: &Contest) {
        let row = |name: &str, costs: &Costs| {
            let pair = |figure: fn(&Cost) -> f64| {
                format!("{:.2} [{:.2}]", costs.median(figure), costs.least(figure))
            };
            let (wall, cpu) = (pair(|cost| cost.wall), pair(|cost| cost.cpu));
            format!("{name:9} {wall:>13} {cpu:>13} {:>6.1}", costs.median(|cost| cost.resident))
        };
        let Contest { name, sides: [our, their], ours, theirs, bar } = contest;
        let verdict = match (contest.missed(), contest.wall_standing()) {
            _ if self.sync => String::new(),
            (missed, _) if !missed.is_empty() => format!("MISSED: {missed}"),
            (_, Standing::Noisy) => "passed, wall is noisy".to_owned(),
            _ => "passed".to_owned(),
        };
        println!("{name:14} {}", row(their, theirs));
        println!(
            "{:14} {}   {:>6.2} {:>5.2}  {:>4.2} {:>5.2}  {verdict}",
            "",
            row(our, ours),
            contest.faster(),
            bar.faster,
            contest.cpu(),
            bar.cpu
        );
    }
}

/// Removes what a run has made, and gives the file system the time to do so: XFS lets go of the extents
/// afterwards, and who writes meanwhile waits for it.
fn remove(output: &Path) -> Result<()> {
    fs::remove_file(output)?;
    thread::sleep(REST);
    Ok(())
}

/// The formats, each from `raw`, against qemu-img.
fn formats(args: &Args, raw: &Path) -> Result<Vec<Contest>> {
    let zstd: &[&str] = &["-c", "-o", "compression_type=zstd"];
    let dynamic: &[&str] = &["-o", "subformat=dynamic,force_size=on"];
    let stream: &[&str] = &["-o", "subformat=streamOptimized"];
    let contests: [(&str, &str, &[&str], Bar); 8] = [
        ("raw", "raw", &[], Bar { faster: 1.4, cpu: 0.7 }),
        ("qcow2", "qcow2", &[], Bar { faster: 1.4, cpu: 0.7 }),
        ("zlib", "qcow2", &["-c"], Bar { faster: 3.0, cpu: 0.4 }),
        ("zstd", "qcow2", zstd, Bar { faster: 2.3, cpu: 0.55 }),
        ("vhdx", "vhdx", &[], Bar { faster: 1.67, cpu: 0.6 }),
        ("dynamic vhd", "vpc", dynamic, Bar { faster: 1.67, cpu: 0.6 }),
        ("vmdk", "vmdk", &[], Bar { faster: 2.5, cpu: 0.6 }),
        ("stream", "vmdk", stream, Bar { faster: 4.0, cpu: 0.6 }),
    ];
    let mut held = Vec::new();
    for (name, format, options, bar) in contests.into_iter().filter(|(name, ..)| args.wants(name)) {
        let image = raw.with_file_name(format!("source.{format}"));
        let source = match format {
            "raw" => raw,
            _ => {
                make(raw, &image, format, options)?;
                &*image
            }
        };
        let ours = args.refloat(source, raw.with_file_name("refloat.vhd"));
        let theirs = args.qemu_img(format, source, raw.with_file_name("qemu-img.vhd"));
        held.push(args.contest(name, [ours, theirs], bar, (format, source))?);
        if format != "raw" {
            fs::remove_file(image)?;
        }
    }
    Ok(held)
}

/// A large disk with little data, each piece of which is far from the next: what that costs is finding them.
fn scattered(args: &Args, raw: &Path) -> Result<Option<Contest>> {
    const PIECE: usize = 64 << 10;
    const PIECES: u64 = (1 << 30) / PIECE as u64;
    const APART: u64 = (1 << 40) / PIECES;
    if !args.wants("scattered") {
        return Ok(None);
    }
    let [sparse, image] = ["scattered.raw", "scattered.qcow2"].map(|name| raw.with_file_name(name));
    let (data, file) = (File::open(raw)?, File::create(&sparse)?);
    file.set_len(1 << 40)?;
    let mut piece = vec![0; PIECE];
    let len = data.metadata()?.len();
    for number in 0..PIECES {
        data.read_exact_at(&mut piece, number * PIECE as u64 % (len - PIECE as u64))?;
        // No piece is all zeros.
        piece[0] |= 1;
        file.write_all_at(&piece, number * APART)?;
    }
    make(&sparse, &image, "qcow2", &[])?;
    fs::remove_file(sparse)?;
    let ours = args.refloat(&image, raw.with_file_name("refloat.vhd"));
    let theirs = args.qemu_img("qcow2", &image, raw.with_file_name("qemu-img.vhd"));
    let bar = Bar { faster: 5.0, cpu: 0.6 };
    let held = args.contest("scattered", [ours, theirs], bar, ("qcow2", &image))?;
    fs::remove_file(image)?;
    Ok(Some(held))
}

/// Sources on a file system whose files share extents. Says whether it grew for all that.
fn reflinks(args: &Args, raw: &Path, held: &mut Vec<Contest>) -> Result<bool> {
    let contests: Vec<_> = [("reflink", "raw", 15.0), ("reflink qcow2", "qcow2", 10.0)]
        .into_iter()
        .filter(|(name, ..)| args.wants(name))
        .collect();
    if contests.is_empty() || !judge::need_all(&["mkfs.xfs", "mount"]) || !judge::need_kernel_mounts() {
        return Ok(false);
    }
    let volume = raw.with_file_name("xfs");
    let size = args.mib << 21;
    File::create(&volume)?.set_len(size)?;
    run(judge::tool("mkfs.xfs").arg("-q").arg(&volume))?;
    let mount = KernelMount::read_write(&volume, 0..size);
    let mut grown = false;
    for (name, format, faster) in contests {
        let source = mount.path().join("vm");
        match format {
            "raw" => run(Command::new("cp").args([raw, &source]))?,
            _ => make(raw, &source, "qcow2", &[])?,
        }
        run(Command::new("sync").arg("-f").arg(&source))?;

        let mut alone = args.refloat(&source, mount.path().join("alone.vhd"));
        let before = used(mount.path())?;
        measure(&mut alone.command)?;
        let growth = used(mount.path())?.saturating_sub(before);
        remove(&alone.output)?;
        if growth > SHARED_GROWTH {
            println!("{name}: the file system grew by {growth} bytes: MISSED");
            grown = true;
        }

        let ours = args.refloat(&source, mount.path().join("refloat.vhd"));
        let theirs = args.qemu_img(format, &source, mount.path().join("qemu-img.vhd"));
        let bar = Bar { faster, cpu: 0.05 };
        held.push(args.contest(name, [ours, theirs], bar, (format, &source))?);
        fs::remove_file(source)?;
    }
    drop(mount);
    fs::remove_file(volume)?;
    Ok(grown)
}

/// Bytes that are used on a file system, all of it written down.
fn used(mount: &Path) -> Result<u64> {
    run(Command::new("sync").arg("-f").arg(mount))?;
    let stat = rustix::fs::statvfs(mount)?;
    Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
}

/// The same data on a disk that is much larger: time goes by data, not by size.
fn large_disks(args: &Args, raw: &Path) -> Result<Vec<Contest>> {
    let contests: Vec<_> = [("1 TiB raw", "raw"), ("1 TiB qcow2", "qcow2"), ("1 TiB vmdk", "vmdk")]
        .into_iter()
        .filter(|(name, _)| args.wants(name))
        .collect();
    let mut held = Vec::new();
    if contests.is_empty() {
        return Ok(held);
    }
    let large = raw.with_file_name("large.raw");
    vm_image(&large, args.mib << 20, STRETCH, &args.files)?;
    run(Command::new("sync").arg(&large))?;
    for (name, format) in contests {
        let (mut small, mut large) = (raw.to_owned(), large.clone());
        if format != "raw" {
            for image in [&mut small, &mut large] {
                let made = image.with_extension(format);
                make(image, &made, format, &[])?;
                *image = made;
            }
        }
        let ours = args.refloat(&large, raw.with_file_name("large.vhd"));
        let theirs = Side { name: "4 GiB", ..args.refloat(&small, raw.with_file_name("small.vhd")) };
        let ours = Side { name: "1 TiB", ..ours };
        let bar = Bar { faster: 1.0 / 1.2, cpu: 1.2 };
        held.push(args.contest(name, [ours, theirs], bar, (format, &large))?);
        if format != "raw" {
            fs::remove_file(small)?;
            fs::remove_file(large)?;
        }
    }
    fs::remove_file(large)?;
    Ok(held)
}

/// Makes an image of `raw`, nothing of which is left to be written while we measure.
fn make(raw: &Path, image: &Path, format: &str, options: &[&str]) -> Result<()> {
    // A stream can be written in its order alone.
    let parallel: &[&str] = if format == "vmdk" { &[] } else { &["-m", "2", "-W"] };
    run(Command::new("qemu-img")
        .arg("convert")
        .args(parallel)
        .args(["-f", "raw", "-O", format])
        .args(options)
        .args([raw, image]))?;
    run(Command::new("sync").arg(image))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
