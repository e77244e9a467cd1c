//! `refloat convert`: any image into a fixed VHD, raw or qcow2 file.

use std::path::Path;

use anyhow::{Result, anyhow};
use libdisk::block::{self, CopyOptions, Disk, ErrorKind, Receipt, Sink};
use libdisk::image::{Durability, Existing, qcow2, raw, vhd};
use libdisk::volume;
use serde::Serialize;

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{ConvertArgs, Global, OutputFormat};
use crate::{image, progress};

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
        let Self { target, format, size, padding, written, shared } = self;
        let padded =
            if *padding > 0 { format!(", {padding} bytes of padding at the end") } else { String::new() };
        let shared = if *shared > 0 {
            format!(", {} shared with the source", progress::size(*shared))
        } else {
            String::new()
        };
        let (size, written) = (progress::size(*size), progress::size(*written));
        format!("{target}: {format}, {size} ({written} written{shared}){padded}\n")
    }
}

pub(crate) fn run(global: &Global, args: &ConvertArgs) -> Outcome {
    let format = format_of(&args.target, args.format)?;
    let source = image::open(global, &args.source)?;
    let durability = if args.no_sync { Durability::Buffered } else { Durability::Synced };
    let written =
        write(global, source.disk(), source.identity()?, &args.target, format, args.force, durability)?;
    if global.json {
        answer::json("refloat.convert/1", &written)?;
    } else {
        answer::text(&written.line())?;
    }
    Ok(Answer::Yes)
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
                Err(anyhow!("{}: no format is known by this extension", target.display()));
            return error.help("name the file .vhd, .raw or .qcow2, or give --format");
        }
    })
}

/// Writes `disk` to `target`. `identity` is the source's: equal sources make equal files.
pub(crate) fn write(
    global: &Global,
    disk: &Disk,
    identity: [u8; 32],
    target: &Path,
    format: OutputFormat,
    force: bool,
    durability: Durability,
) -> Result<Written> {
    free_to_write(target, force)?;
    let existing = existing(force);
    let disk_size = disk.size();
    let (name, disk, sink): (_, Disk, block::Result<Box<dyn Sink>>) = match format {
        OutputFormat::Vhd => {
            let disk = volume::pad_to_mib(disk.clone())?;
            let sink =
                vhd::FixedSink::create(target, disk.size(), vhd::Identity::derive(&identity), existing);
            ("vhd", disk, sink.map(|sink| Box::new(sink.durability(durability)) as _))
        }
        OutputFormat::Raw => {
            let sink = raw::RawSink::create(target, disk_size, existing);
            ("raw", disk.clone(), sink.map(|sink| Box::new(sink.durability(durability)) as _))
        }
        OutputFormat::Qcow2 => {
            let sink = qcow2::Sink::create(target, disk_size, existing);
            ("qcow2", disk.clone(), sink.map(|sink| Box::new(sink.durability(durability)) as _))
        }
    };
    let sink = written(sink)?;
    let options = CopyOptions { threads: global.threads };
    let Receipt { size, written, shared } = block::copy(&disk, sink, &options, &*progress::observer(global))?;
    Ok(Written {
        target: target.display().to_string(),
        format: name,
        size,
        padding: size - disk_size,
        written,
        shared,
    })
}

/// What to do with a target that exists.
pub(crate) fn existing(force: bool) -> Existing {
    if force { Existing::Replace } else { Existing::Refuse }
}

/// Says so early where the target exists and may not be replaced: before the work, not after it.
pub(crate) fn free_to_write(target: &Path, force: bool) -> Result<()> {
    if !target.exists() {
        return Ok(());
    }
    if force {
        return image::replaceable(target);
    }
    let error: Result<()> = Err(anyhow!("{} exists already", target.display()));
    error.help("give --force to replace it")
}

/// Adds the way out where a target that exists was refused.
pub(crate) fn written<T>(result: block::Result<T>) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::Refused => Err(error).help("give --force to replace it"),
        other => Ok(other?),
    }
}
