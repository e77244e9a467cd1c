//! `refloat convert`: any image into a file of another format, or into a blob.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Result, anyhow};
use libdisk::block::{self, Disk, ErrorKind, Receipt};
use libdisk::image::transfer::{Busy, ResumeKey, Steady};
use libdisk::image::{Durability, Existing, Output};
use libdisk::volume::Fitted;
use libdisk::{
    Address, Begin, CannotFollow, Destination, DiskSpec, FileDestination, FileFormat, Location, Origin,
    ReadBack, Taken,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{ConvertArgs, OutputFormat};
use crate::context::Context;
use crate::document::Document;
use crate::help;
use crate::image::{self, Takes};
use crate::managed::ManagedArgs;
use crate::present::{self, size};
use crate::snapshot::{self, Changed, Pull};
use crate::{azure, managed, name};

/// How much of a local copy is recorded at once, in bytes: what a kill can cost each thread.
const PIECE: u32 = 1 << 20;

/// What was written, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Written {
    /// The file.
    pub(crate) target: String,
    /// Its format.
    pub(crate) format: OutputFormat,
    /// Size of the disk in bytes, padding included.
    pub(crate) size: u64,
    /// Zeros added to reach a whole number of MiB.
    pub(crate) padding: u64,
    /// Bytes that were not zero and so were written.
    pub(crate) written: u64,
    /// Bytes of the file, where what was written is compressed in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compressed: Option<u64>,
    /// Bytes that are shared with the source's file, by a file system that can, and so were not written.
    pub(crate) shared: u64,
    /// The sum of the content (XXH3-128 of its blocks), where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    /// What has changed since an older snapshot, if that was there and only this was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed: Option<Changed>,
    /// What went over a network, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sent: Option<Sent>,
}

/// What was sent, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Sent {
    /// Requests that carried data.
    requests: u64,
    /// Their bytes, with the zeros between data that were sent along.
    bytes: u64,
    /// The same in pages of 512 bytes.
    pages: u64,
    /// Pieces of 4 MiB that were read back and are what was sent.
    read_back: u64,
    /// Pieces of 4 MiB that there are with data.
    pieces: u64,
    /// With which probability that would have shown it, had one piece in twenty not been what was sent.
    would_have_shown: f64,
}

impl Sent {
    /// One piece in so many is what a sample is to find.
    const ONE_IN: f64 = 20.0;

    fn new(sent: block::Sent) -> Self {
        let block::Sent { puts, bytes, read_back, pieces } = sent;
        let chance = match read_back >= pieces {
            true => 1.0,
            false => 1.0 - (1.0 - 1.0 / Self::ONE_IN).powf(read_back as f64),
        };
        Self { requests: puts, bytes, pages: bytes / 512, read_back, pieces, would_have_shown: chance }
    }

    fn text(&self) -> String {
        let Self { requests, bytes, read_back, pieces, would_have_shown, .. } = self;
        let sent = format!("; sent {} in {requests} requests", size(*bytes));
        match read_back >= pieces {
            true => format!("{sent}, and all of it was read back as it was sent"),
            false => format!(
                "{sent}; {read_back} of {pieces} pieces were read back as they were sent (had 1 in {} been wrong, \
                 the chance to see it was {:.0} %)",
                Self::ONE_IN,
                would_have_shown * 100.0
            ),
        }
    }
}

impl Written {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self { target, format, size: of, padding, written, compressed, shared, changed, sent, .. } = self;
        let padded =
            if *padding > 0 { format!(", {padding} bytes of padding at the end") } else { String::new() };
        let shared =
            if *shared > 0 { format!(", {} shared with the source", size(*shared)) } else { String::new() };
        let (format, of) = (FileFormat::from(*format), size(*of));
        let written = match compressed {
            Some(packed) => format!("{} of data, {} in the file", size(*written), size(*packed)),
            None => format!("{} written", size(*written)),
        };
        let changed = changed.as_ref().map_or(String::new(), |Changed { since, bytes, .. }| {
            format!("; {} changed since {since}", size(*bytes))
        });
        let sent = sent.as_ref().map(Sent::text).unwrap_or_default();
        format!("{target}: {format}, {of} ({written}{shared}){padded}{changed}{sent}\n")
    }
}

pub(crate) fn run(context: &Context, args: &ConvertArgs) -> Outcome {
    let format = args.format.or(args.compress.then_some(OutputFormat::CompressedQcow2));
    let outputs = Outputs::new(context, &args.target, format, args.force, &args.managed)?;
    let outputs = outputs.read_back(args.read_back.into());
    let outputs = if args.no_sync { outputs.unsynced() } else { outputs };
    let source = image::open_part(context, &args.source, Takes::Volume)?;
    let disks = source.machine.disks();
    let older = snapshot::older(args.since.as_deref(), disks)?;
    args.managed.check_disks(disks.len())?;
    let steady: Vec<Steady> = disks.iter().map(image::steady).collect::<Result<_>>()?;
    let mut all = Vec::new();
    for ((index, disk), steady) in disks.iter().enumerate().zip(steady) {
        let pull = Pull::of(disk, None).map(|pull| pull.since(older.get(index).map(String::as_str)));
        let job = Job {
            disk: disk.disk.clone(),
            origin: &disk.origin,
            identity: disk.identity()?,
            to: &*outputs.of(index, image::mode(disk)?)?,
            key: image::resume_key(disk)?,
            steady,
            pull,
        };
        all.push(write(context, &job)?);
    }
    let data = all.split_off(1);
    let Some(written) = all.pop() else { return Err(anyhow!("{}: nothing was written", args.source)) };
    let converted = Converted { written, data };
    context.answer(&converted, || {
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
    let first = destination(target, FileFormat::Raw, false, Durability::default(), block::ANY_MODE);
    first.companion_path(u32::try_from(index).unwrap_or(u32::MAX))
}

/// All that was written, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Converted {
    #[serde(flatten)]
    written: Written,
    /// The machine's other disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<Written>,
}

impl Document for Converted {
    const SCHEMA: &'static str = "refloat.convert/1";
}

/// Where the disks of a machine go.
pub(crate) struct Outputs<'a> {
    context: &'a Context,
    /// For the disk that it starts from.
    target: &'a Path,
    /// The URL of a blob or the name of a managed disk, if it is one.
    blob: Option<String>,
    /// How a managed disk is to be.
    managed: ManagedArgs,
    pub(crate) format: FileFormat,
    force: bool,
    durability: Durability,
    read_back: ReadBack,
}

impl<'a> Outputs<'a> {
    pub(crate) fn new(
        context: &'a Context,
        target: &'a Path,
        asked: Option<OutputFormat>,
        force: bool,
        managed: &ManagedArgs,
    ) -> Result<Self> {
        let (blob, managed) = (blob(target), managed.clone());
        if blob.as_ref().is_none_or(|place| place.contains("://")) {
            managed.check_unused()?;
        }
        let format = match (&blob, asked) {
            (None, asked) => format_of(target, asked)?,
            (Some(_), None | Some(OutputFormat::Vhd)) => FileFormat::Vhd,
            (Some(_), Some(_)) => {
                return Err(anyhow!("{}: a blob becomes a fixed VHD", name::shown(target)))
                    .help("leave --format out: Azure takes nothing else for a disk");
            }
        };
        let (durability, read_back) = (Durability::Synced, ReadBack::default());
        Ok(Self { context, target, blob, managed, format, force, durability, read_back })
    }

    /// The same, where so much is read back of what goes over a network.
    pub(crate) fn read_back(self, read_back: ReadBack) -> Self {
        Self { read_back, ..self }
    }

    /// The same, where files are not flushed to the disk.
    pub(crate) fn unsynced(self) -> Self {
        Self { durability: Durability::Buffered, ..self }
    }

    /// Where the disk with this index goes; a file gets these mode bits.
    pub(crate) fn of(&self, index: usize, mode: u32) -> Result<Box<dyn Destination>> {
        let first: Box<dyn Destination> = match &self.blob {
            Some(place) => {
                let existing = if self.force { Existing::Replace } else { Existing::Refuse };
                let (context, read_back) = (self.context, self.read_back);
                match place.contains("://") {
                    true => Box::new(azure::destination(context, place, existing, read_back)?),
                    false => {
                        let managed = self.managed.clone().of_disk(index);
                        managed::destination(context, place, &managed, existing, read_back)?
                    }
                }
            }
            None => Box::new(destination(self.target, self.format, self.force, self.durability, mode)),
        };
        Ok(match index {
            0 => first,
            further => first.companion(u32::try_from(further)?),
        })
    }
}

/// The URL of the blob or the name of the managed disk that a target names, if it names one.
pub(crate) fn blob(target: &Path) -> Option<String> {
    match target.to_str()?.parse::<Address>().ok()?.location {
        Location::Azure(url) => Some(url),
        _ => None,
    }
}

/// What is to be written where.
pub(crate) struct Job<'a> {
    pub(crate) disk: Disk,
    /// Where it comes from.
    pub(crate) origin: &'a Origin,
    /// The source's: equal sources make equal files.
    pub(crate) identity: [u8; 32],
    pub(crate) to: &'a dyn Destination,
    /// What it is made of, if that can be told again after an interruption.
    pub(crate) key: Option<ResumeKey>,
    /// Its files, which must not change meanwhile.
    pub(crate) steady: Steady,
    /// How it is pulled, if it is a snapshot.
    pub(crate) pull: Option<Pull<'a>>,
}

/// The format that the extension names, or the one asked for where it names none.
pub(crate) fn format_of(target: &Path, asked: Option<OutputFormat>) -> Result<FileFormat> {
    FileFormat::of(target, asked.map(FileFormat::from)).help(help::EXTENSION)
}

/// A file as a destination.
pub(crate) fn destination(
    target: &Path,
    format: FileFormat,
    force: bool,
    durability: Durability,
    mode: u32,
) -> FileDestination {
    let existing = if force { Existing::Replace } else { Existing::Refuse };
    FileDestination { output: Output { path: target.to_owned(), existing, durability, mode }, format }
}

/// Writes a disk.
pub(crate) fn write(context: &Context, job: &Job<'_>) -> Result<Written> {
    let (to, observer) = (job.to, &*context.observer);
    in_folder(to)?;
    not_over(to, job.origin)?;
    const SMALLER: &str = "write it to a .raw or .qcow2 file, or make the disk smaller first";
    let Fitted { disk, changed: edited } = match to.fit(job.disk.clone()) {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error).help(SMALLER),
        fitted => fitted?,
    };
    let size = disk.size();
    let mut spec = DiskSpec {
        size,
        sector_size: disk.sector_size(),
        identity: job.identity,
        key: job.key.clone(),
        piece: PIECE,
        since: None,
        base: None,
    };
    let mut changed = None;
    if let Some(pull) = &job.pull {
        changed = pull.describe(context, &mut spec)?;
        pull.can_follow(to).map_err(refused)?;
    }
    if let Some(base) = &mut spec.base {
        base.edits.extend(edited);
    }
    let written = |Receipt { written, shared, sent, content, .. }| Written {
        target: to.name(),
        format: to.format().into(),
        size,
        padding: size - job.disk.size(),
        written,
        compressed: to
            .path()
            .filter(|_| to.format() == FileFormat::CompressedQcow2)
            .and_then(|path| Some(path.metadata().ok()?.len())),
        shared,
        content: content.map(|sum| sum.to_string()),
        changed: changed.clone(),
        sent: sent.map(Sent::new),
    };
    let begun = to.begin(spec, observer).map_err(anyhow::Error::from).map_err(refused)?;
    let (sink, resumes) = match begun {
        Begin::Complete(receipt) => return Ok(written(receipt)),
        Begin::Go { sink, resumes } => (sink, resumes),
    };
    context.resumes.store(resumes, Ordering::Relaxed);
    let is_far = job.origin.path().is_none();
    let options = context.copy_options(is_far);
    if is_far {
        job.origin.set_streaming(true);
        if !resumes {
            let told = "a qcow2 pull cannot be resumed; if it is stopped, the same command starts over (a .vhd or .raw resumes)";
            context.note(format!("note: {}: {told}", to.name()));
        }
    }
    let sink = job.steady.guard(sink);
    match block::copy(&disk, sink, &options, observer).map_err(anyhow::Error::from) {
        Ok(receipt) => Ok(written(receipt)),
        Err(error) if resumes && answer::is_cancelled(&error) => Err(error).goes_on(help::RESUME),
        Err(error) if resumes && answer::is_no_room(&error) => {
            let help = format!("make room beside {}, then run the same command to resume", to.name());
            Err(error).goes_on(help)
        }
        // What a network or an account refused may work later. What is wrong with a file of this machine
        // stays so.
        Err(error) if is_far || to.path().is_none() => Err(error),
        Err(error) => {
            to.discard()?;
            let changed =
                error.downcast_ref::<block::Error>().is_some_and(|it| it.kind() == ErrorKind::Changed);
            if changed { Err(error).help(help::STEADY) } else { Err(error) }
        }
    }
}

/// Refuses to write over what is read, where that is far away.
pub(crate) fn not_over(to: &dyn Destination, origin: &Origin) -> Result<()> {
    if !to.writes_over(&origin.to_string()) {
        return Ok(());
    }
    let error =
        block::Error::new(ErrorKind::Refused, "output", "cannot write the output").because(Taken::Input);
    Err(refused(error.in_file(Path::new(&to.name())).into()))
}

/// Whether there is a folder for the target, and no folder in its place.
fn in_folder(to: &dyn Destination) -> Result<()> {
    let Some(target) = to.path() else { return Ok(()) };
    let folder = image::folder_of(target);
    if !folder.is_dir() {
        let error: Result<()> =
            Err(anyhow!("{}: there is no folder {}", name::shown(target), name::shown(folder)));
        return error.help(format!("make it first: mkdir -p {}", present::quote(&name::text(folder))));
    }
    if target.is_dir() {
        let error: Result<()> = Err(anyhow!("{} is a folder", name::shown(target)));
        return error.help("name a file, say in that folder");
    }
    Ok(())
}

/// Says so early where the target may not be written: before the work, not after it.
pub(crate) fn free_to_write(to: &dyn Destination) -> Result<()> {
    in_folder(to)?;
    to.free().map_err(anyhow::Error::from).map_err(refused)
}

/// Adds the way out where an output was refused.
pub(crate) fn refused(error: anyhow::Error) -> anyhow::Error {
    let is_busy = error.chain().any(|cause| cause.is::<Busy>());
    let taken = error.chain().find_map(|cause| cause.downcast_ref::<Taken>());
    let refusal = error.downcast_ref::<block::Error>();
    let kind = refusal.map(block::Error::kind);
    let follows = error.chain().find_map(|cause| cause.downcast_ref::<CannotFollow>());
    let help = match taken {
        None if let Some(why) = follows => match why {
            CannotFollow::Managed | CannotFollow::Whole => help::FOLLOWS,
            CannotFollow::Unfinished(_) => help::FINISH_FIRST,
            _ => help::IN_FULL,
        },
        Some(Taken::Input) => help::OTHER_OUTPUT,
        Some(Taken::Exists) => help::FORCE,
        Some(Taken::InUse(_)) => help::IN_USE,
        None if is_busy => help::BUSY,
        None if refusal.is_some_and(|error| error.layer() == "transfer")
            && kind == Some(ErrorKind::Refused) =>
        {
            help::WITHOUT_SINCE
        }
        None if kind == Some(ErrorKind::Refused) => {
            "give the output another name, or wait until nobody else writes it"
        }
        None => return error,
    };
    let refused = Err::<Infallible, _>(error);
    // Once that one has ended, the same command goes on from what it left.
    let refused = if is_busy { refused.goes_on(help) } else { refused.help(help) };
    refused.map_or_else(|error| error, |never| match never {})
}
