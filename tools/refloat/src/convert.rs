//! `refloat convert`: any image into a fixed VHD, raw or qcow2 file.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use libdisk::block::{self, CopyOptions, Disk, ErrorKind, Receipt, Sink};
use libdisk::cloud::Ahead;
use libdisk::cloud::transfer::{self, Begin};
use libdisk::image::{Durability, Existing, Output, partial_path, qcow2, raw, vhd};
use libdisk::volume;
use serde::Serialize;

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{ConvertArgs, OutputFormat};
use crate::context::Context;
use crate::help;
use crate::image::{self, Takes};
use crate::present::{self, size};
use crate::snapshot::{self, Pull};

/// What was written, for `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    /// The file.
    pub(crate) target: String,
    /// Its format.
    pub(crate) format: &'static str,
    /// Size of the disk in bytes, padding included.
    pub(crate) size: u64,
    /// Zeros added to reach a whole number of MiB.
    pub(crate) padding: u64,
    /// Bytes that were not zero and so were written.
    pub(crate) written: u64,
    /// Bytes that are shared with the source's file, by a file system that can, and so were not written.
    pub(crate) shared: u64,
}

impl Written {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self { target, format, size: of, padding, written, shared } = self;
        let padded =
            if *padding > 0 { format!(", {padding} bytes of padding at the end") } else { String::new() };
        let shared =
            if *shared > 0 { format!(", {} shared with the source", size(*shared)) } else { String::new() };
        let (of, written) = (size(*of), size(*written));
        format!("{target}: {format}, {of} ({written} written{shared}){padded}\n")
    }
}

pub(crate) fn run(context: &Context, args: &ConvertArgs) -> Outcome {
    let format = format_of(&args.target, args.format)?;
    let source = image::open_part(context, &args.source, Takes::Volume)?;
    let durability = if args.no_sync { Durability::Buffered } else { Durability::Synced };
    let disks = source.machine.disks();
    match (&args.since, disks) {
        (None, _) => {}
        (Some(_), _) if format == OutputFormat::Qcow2 => {
            return Err(anyhow!("--since does not work with qcow2")).help("name the output .vhd or .raw");
        }
        (Some(_), [disk]) if disk.origin.snapshot().is_some() => {}
        (Some(_), [_]) => {
            return Err(anyhow!("--since works with snapshots in AWS only"))
                .help("leave --since out, or name ebs:snap-…");
        }
        (Some(_), _) => {
            return Err(anyhow!("--since works with one snapshot only"))
                .help("convert each disk by its own snapshot");
        }
    }
    let (force, mut all) = (args.force, Vec::new());
    for (index, disk) in disks.iter().enumerate() {
        let (identity, target) = (disk.identity()?, &target_of(&args.target, index));
        let mode = image::mode(disk)?;
        let pull = Pull::of(disk, None).map(|pull| Pull { since: args.since.as_deref(), ..pull });
        let disk = disk.disk.clone();
        all.push(write(context, &Job { disk, identity, target, format, force, durability, mode, pull })?);
    }
    let data = all.split_off(1);
    let Some(written) = all.pop() else { return Err(anyhow!("{}: nothing was written", args.source)) };
    let converted = Converted { written, data };
    context.answer("refloat.convert/1", &converted, || {
        let lines = std::iter::once(&converted.written).chain(&converted.data).map(Written::line);
        Ok(lines.collect::<String>().into())
    })?;
    Ok(Answer::Yes)
}

/// The file for the disk with this index of a machine whose first one goes to `target`.
pub(crate) fn target_of(target: &Path, index: usize) -> PathBuf {
    if index == 0 {
        return target.to_owned();
    }
    let mut name = target.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-data{index}"));
    if let Some(extension) = target.extension() {
        name.push(".");
        name.push(extension);
    }
    target.with_file_name(name)
}

/// All that was written, for `--json`.
#[derive(Debug, Serialize)]
struct Converted {
    #[serde(flatten)]
    written: Written,
    /// The machine's other disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<Written>,
}

/// What is to be written where.
pub(crate) struct Job<'a> {
    pub(crate) disk: Disk,
    /// The source's: equal sources make equal files.
    pub(crate) identity: [u8; 32],
    pub(crate) target: &'a Path,
    pub(crate) format: OutputFormat,
    pub(crate) force: bool,
    pub(crate) durability: Durability,
    /// Its mode bits.
    pub(crate) mode: u32,
    /// How to go on after an interruption.
    pub(crate) pull: Option<Pull<'a>>,
}

/// The format asked for, else the one that the extension names.
pub(crate) fn format_of(target: &Path, asked: Option<OutputFormat>) -> Result<OutputFormat> {
    let extension = target.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    Ok(match (asked, extension.as_deref()) {
        (Some(format), _) => format,
        (None, Some("vhd")) => OutputFormat::Vhd,
        (None, Some("raw" | "img")) => OutputFormat::Raw,
        (None, Some("qcow2")) => OutputFormat::Qcow2,
        _ => {
            let error: Result<OutputFormat> =
                Err(anyhow!("{}: cannot tell the format from the extension", target.display()));
            return error.help(help::EXTENSION);
        }
    })
}

/// Writes a disk to a file.
pub(crate) fn write(context: &Context, job: &Job<'_>) -> Result<Written> {
    let target = job.target.display();
    let logged = job.pull.is_some() && job.format != OutputFormat::Qcow2;
    if job.pull.is_some() && !logged {
        let told = "a qcow2 pull cannot be resumed; if it is stopped, the same command starts over (a .vhd or .raw resumes)";
        context.note(format!("note: {target}: {told}"));
    }
    match write_out(context, job) {
        Err(error) if logged && answer::is_cancelled(&error) => Err(error).goes_on(help::RESUME),
        Err(error) if logged && answer::is_no_room(&error) => {
            let help = format!("make room beside {target}, then run the same command to resume");
            Err(error).goes_on(help)
        }
        written => written,
    }
}

/// Writes it; what to do about an interruption is not told yet.
fn write_out(context: &Context, job: &Job<'_>) -> Result<Written> {
    let &Job { ref disk, target, format, force, durability, mode, .. } = job;
    let (name, disk) = match format {
        OutputFormat::Vhd => ("vhd", volume::pad_to_mib(disk.clone())?),
        OutputFormat::Raw => ("raw", disk.clone()),
        // It is written by one thread, in order.
        OutputFormat::Qcow2 if job.pull.is_some() => ("qcow2", Disk::new(Ahead::new(disk.clone()))),
        OutputFormat::Qcow2 => ("qcow2", disk.clone()),
    };
    let size = disk.size();
    let written = |Receipt { written, shared, .. }| Written {
        target: target.display().to_string(),
        format: name,
        size,
        padding: size - job.disk.size(),
        written,
        shared,
    };
    let pull = job.pull.as_ref();
    // A qcow2 file cannot be gone on with: what is where in it is known only when it is whole.
    if pull.is_none() || !transfer::log_path(target).exists() {
        free_to_write(target, force)?;
    }
    let begun = match pull.filter(|_| format != OutputFormat::Qcow2) {
        Some(pull) => Some(pull.begin(context, target, format, size, force, mode)?),
        None => None,
    };
    let transfer = match begun {
        Some(Begin::Complete) => return Ok(written(Receipt::default())),
        Some(Begin::Go(transfer)) => Some(transfer),
        None => None,
    };
    free_to_write(target, force)?;
    let output = Output { path: target.to_owned(), existing: existing(force), durability, mode };
    let sink: block::Result<Box<dyn Sink>> = match format {
        OutputFormat::Vhd => {
            let make = if transfer.is_some() { vhd::FixedSink::resume } else { vhd::FixedSink::create };
            let sink = make(&output, size, vhd::Identity::derive(&job.identity));
            sink.map(|sink| Box::new(sink) as _)
        }
        OutputFormat::Raw => {
            let make = if transfer.is_some() { raw::RawSink::resume } else { raw::RawSink::create };
            make(&output, size).map(|sink| Box::new(sink) as _)
        }
        OutputFormat::Qcow2 => qcow2::Sink::create(&output, size).map(|sink| Box::new(sink) as _),
    };
    let (mut sink, observer) = (self::written(sink, target, force)?, &*context.observer);
    if let Some(transfer) = transfer {
        sink = transfer.sink(sink, durability == Durability::Synced, observer)?;
    }
    let threads = context.global.threads;
    let mut options = CopyOptions { threads };
    if let Some(pull) = pull {
        pull.snapshot.set_streaming(true);
        options.threads = if threads == 0 { snapshot::THREADS } else { threads };
    }
    Ok(written(block::copy(&disk, sink, &options, observer)?))
}

/// What to do with a target that exists.
pub(crate) fn existing(force: bool) -> Existing {
    if force { Existing::Replace } else { Existing::Refuse }
}

/// Says so early where the target exists and may not be replaced: before the work, not after it.
/// Nor is it to be what this run reads, or to be written where that is.
pub(crate) fn free_to_write(target: &Path, force: bool) -> Result<()> {
    for written in [target, &partial_path(target)] {
        image::not_read(written).help(help::OTHER_OUTPUT)?;
    }
    let folder = image::folder_of(target);
    if !folder.is_dir() {
        let error: Result<()> = Err(anyhow!("{}: there is no folder {}", target.display(), folder.display()));
        return error.help(format!("make it first: mkdir -p {}", present::quote(&folder.to_string_lossy())));
    }
    if target.is_dir() {
        let error: Result<()> = Err(anyhow!("{} is a folder", target.display()));
        return error.help("name a file, say in that folder");
    }
    if !target.exists() {
        return Ok(());
    }
    if force {
        return image::replaceable(target);
    }
    let error: Result<()> = Err(anyhow!("{} already exists", target.display()));
    error.help(help::FORCE)
}

/// Adds the way out where a target was refused.
pub(crate) fn written<T>(result: block::Result<T>, target: &Path, force: bool) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::Refused => Err(error).help(if target.exists() && !force {
            help::FORCE
        } else {
            "give the output another name, or wait until nobody else writes it"
        }),
        other => Ok(other?),
    }
}
