//! `refloat apply`: carry out a plan, in an overlay or in place.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, anyhow};
use guestfix::edit::hex;
use guestfix::plan::Plan;
use guestfix::report::Page;
use guestfix::text::bytes;
use guestfix::undo::{Change, Prepared};
use guestfix::{apply, undo};
use libdisk::block::{self, Sealed};
use libdisk::image::Durability;
use libdisk::image::in_use::Exclusive;
use libdisk::image::qcow2::{self, BackingFile};
use libdisk::{FileDestination, FileFormat, Location, MachineDisk, Origin};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Help, Outcome};
use crate::cli::ApplyArgs;
use crate::context::Context;
use crate::convert::Job;
use crate::document::Document;
use crate::image::{self, Image, Takes};
use crate::next::{self, Command};
use crate::snapshot::{Changes, Pull};
use crate::{convert, help, name};

/// How much of what changed is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// What was done, for `--json`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Applied {
    edits: usize,
    /// The file that was written or changed.
    output: String,
    /// What puts it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
    /// With several disks, every file that was written: the overlays, or the undo files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disks: Vec<String>,
}

impl Document for Applied {
    const SCHEMA: &'static str = "refloat.apply/1";
}

pub(crate) fn run(context: &Context, args: &ApplyArgs) -> Outcome {
    let plan = crate::plan::read(&args.plan)?;
    if let Some(output) = args.output.as_deref().filter(|output| same(output, &args.plan)) {
        return Err(anyhow!("{}: the output is the plan itself", name::shown(output))).help(help::OTHER_NAME);
    }
    let (name, further) = named(context, args.image.as_deref(), &plan);
    let applied = match &args.output {
        Some(output) => {
            let mut image = image::open_disks(context, &name, &further, Takes::Disk).help(help::MOVED)?;
            let sealed = sealed(context, &mut image, &plan)?;
            let written = write_all(context, &image, &plan, &sealed, args, output)?;
            // Whole disks need no other file.
            let overlays = written.iter().any(|(_, overlay)| *overlay);
            let backing = overlays.then(|| folder_of_all(context, &image, output));
            let (output, edits) = (name::shown(output), plan.steps.len());
            let written: Vec<PathBuf> = written.into_iter().map(|(path, _)| path).collect();
            let text = written_page(&output, &written, backing.as_deref(), &plan);
            (Applied { edits, output, undo: None, disks: names(&written) }, text)
        }
        None => in_place(context, &name, &further, &plan)?,
    };
    let (applied, text) = applied;
    context.answer(&applied, || Ok(text))?;
    Ok(Answer::Yes)
}

/// The images that are meant: those that the user names, or where the plan had them.
pub(crate) fn named(context: &Context, image: Option<&str>, plan: &Plan) -> (String, Vec<String>) {
    let mut planned = plan.source.iter().map(|disk| disk.path.clone());
    let first = planned.next().unwrap_or_default();
    // The first names all disks that are in one file.
    let with_first = |path: &str| path.strip_prefix(&first).is_some_and(|rest| rest.starts_with("#disk"));
    let planned = planned.filter(|path| !with_first(path));
    let further = if image.is_none() && context.global.disks.is_empty() {
        planned.collect()
    } else {
        context.global.disks.clone()
    };
    (image.map_or(first, str::to_owned), further)
}

/// Whether both names are of one file.
fn same(a: &Path, b: &Path) -> bool {
    matches!((a.metadata(), b.metadata()), (Ok(a), Ok(b)) if block::is_same_file(&a, &b))
}

/// The plan carried out and verified, in an overlay over each disk.
pub(crate) fn sealed(context: &Context, image: &mut Image, plan: &Plan) -> Result<Vec<Sealed>> {
    image.machine.name_devices(plan.source.iter().map(|disk| disk.device.clone()));
    apply::apply(&image.machine, &image.plan_identities()?, plan, &*context.observer)
        .with_context(|| image.name.clone())
        .help(help::NEW_PLAN)
}

/// Writes one file: with several disks one for each, in a folder. Says of each whether it is an overlay.
fn write_all(
    context: &Context,
    image: &Image,
    plan: &Plan,
    sealed: &[Sealed],
    args: &ApplyArgs,
    output: &Path,
) -> Result<Vec<(PathBuf, bool)>> {
    let disks = image.machine.disks();
    if convert::blob(output).is_some() {
        let error: Result<()> = Err(anyhow!("{}: apply writes files", name::shown(output)));
        error.help("refloat migrate writes the same to a blob")?;
    }
    let format = match (disks, args.format) {
        ([_], asked) => convert::format_of(output, asked)?,
        (_, asked) => asked.map_or(FileFormat::Qcow2, FileFormat::from),
    };
    let first = match disks {
        [_] => output.to_owned(),
        _ => {
            if output.is_file() || FileFormat::of(output, None).is_ok() {
                let error: Result<()> = Err(anyhow!("{} names one file", name::shown(output)));
                error.help("the machine has several disks: name a folder for one overlay a disk")?;
            }
            std::fs::create_dir_all(output).with_context(|| name::shown(output))?;
            output.join(next::output_name(&name_of(&disks[0].origin), format.extension()))
        }
    };
    let mut written = Vec::new();
    for (index, (disk, sealed)) in disks.iter().zip(sealed).enumerate() {
        let moves = index == 0 && plan.head().is_some();
        let target = convert::target_of(&first, index);
        let to = convert::destination(&target, format, args.force, Durability::Synced, image::mode(disk)?);
        let overlay = write(context, disk, moves, plan, sealed, &to)?;
        written.push((target, overlay));
    }
    Ok(written)
}

/// The address of a disk alone.
fn name_of(origin: &Origin) -> String {
    origin.path().map_or_else(|| origin.to_string(), name::text)
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    match paths {
        [_] => Vec::new(),
        several => several.iter().map(name::shown).collect(),
    }
}

/// What a plan made of `disk`.
pub(crate) fn changes(plan: &Plan, disk: &MachineDisk, sealed: &Sealed) -> Result<Changes> {
    // What goes before a disk is not in the overlay.
    let moved = sealed.base().size() - disk.disk.size();
    let (disk, mut hash) = (sealed.disk(), Sha256::new());
    let mut ranges = sealed.dirty();
    for range in &ranges {
        for start in range.clone().step_by(PIECE) {
            let len = usize::try_from(range.end - start)?.min(PIECE);
            hash.update(start.to_le_bytes());
            hash.update(disk.read_vec(start, len)?);
        }
    }
    if moved > 0 {
        ranges.insert(0, 0..moved);
    }
    Ok(Changes { digest: format!("{}-{}", plan.digest()?, hex(&hash.finalize())), ranges, moved })
}

/// Writes an overlay over the image, or all of it: where another format is asked for, and where nothing could
/// open an overlay, over a snapshot (an internal one, too), an archive, and where everything moves. Says which.
fn write(
    context: &Context,
    disk: &MachineDisk,
    moves: bool,
    plan: &Plan,
    sealed: &Sealed,
    to: &FileDestination,
) -> Result<bool> {
    let whole = moves || to.format != FileFormat::Qcow2;
    let output = to.output.path.as_path();
    let format = disk.origin.format().qemu_name;
    let Some((path, format)) = disk.origin.whole_file().zip(format).filter(|_| !whole) else {
        let changes = changes(plan, disk, sealed)?;
        let job = Job {
            disk: sealed.disk(),
            origin: &disk.origin,
            identity: disk.identity()?,
            to,
            key: image::resume_key(disk)?.map(|key| key.with("changes", &changes.digest)),
            steady: image::steady(disk)?,
            pull: Pull::of(disk, Some(changes)),
        };
        return convert::write(context, &job).map(|_| false);
    };
    convert::free_to_write(to)?;
    let backing = BackingFile { path: &backing_name(path, output)?, format };
    let written = qcow2::write_overlay(sealed, &to.output, &backing, &*context.observer);
    written.map_err(anyhow::Error::from).map_err(convert::refused)?;
    Ok(true)
}

/// The image as the overlay names it: by its file name alone where they are neighbours, so that both can
/// move.
fn backing_name(image: &Path, output: &Path) -> Result<PathBuf> {
    let image = image.canonicalize()?;
    let folder = image::folder_of(output);
    let folder = folder.canonicalize().with_context(|| name::shown(folder))?;
    Ok(match image.strip_prefix(&folder) {
        Ok(name) if name.components().count() == 1 => name.to_owned(),
        _ => image,
    })
}

fn in_place(context: &Context, name: &str, further: &[String], plan: &Plan) -> Result<(Applied, Page)> {
    let addresses = image::addresses(name, further, Takes::Disk)?;
    if plan.head().is_some() {
        let error: Result<(Applied, Page)> = Err(anyhow!(
            "{name}: the plan puts a partition table and a boot loader of 1 MiB before all that is there, which no change in place can"
        ));
        return error.help("apply the plan to a new file with -o FIXED.qcow2, or refloat migrate to a VHD");
    }
    let (mut taken, mut first) = (Vec::new(), None);
    for address in &addresses {
        let Location::File { path, .. } = &address.location else {
            return Err(anyhow!("{address}: only a local file can be changed in place"))
                .help("apply the plan to a new file with -o FIXED.qcow2");
        };
        taken.push(image::take(path)?);
        first.get_or_insert(path);
    }
    let undo_it = Command::new("undo").path(first.map_or(Path::new(""), PathBuf::as_path));
    let done = |images: &[Exclusive]| -> Result<(Applied, Page)> {
        let undo: Vec<_> = images.iter().map(|image| undo::undo_path(image.path())).collect();
        let undo: Vec<_> = undo.into_iter().filter(|undo| undo.exists()).collect();
        let applied = Applied {
            edits: plan.steps.len(),
            output: bytes::shown(name).into_owned(),
            undo: undo.first().map(name::shown),
            disks: names(&undo),
        };
        let ways = undo.iter().map(name::shown).collect::<Vec<_>>().join(", ");
        let mut text = done_page(name, plan);
        text.prose(0, format!("what was there before is in {ways}"));
        text.line(next::line(&undo_it));
        Ok((applied, text))
    };
    let digest = plan.digest()?;
    if undo::prepare(&taken, &digest).help(undo_it.text())? == Prepared::Applied {
        context.sources.add_planned(&plan.source);
        return done(&taken);
    }
    let mut image = image::open_any(context, name, &addresses)?;
    let sealed = sealed(context, &mut image, plan)?;
    let identities = image.plan_identities()?;
    let changes = taken.iter().zip(&sealed).zip(image.machine.disks()).zip(&identities);
    let changes = changes.map(|(((image, sealed), disk), identity)| Change {
        image,
        format: disk.origin.format(),
        sealed,
        identity: &identity.sha256,
    });
    // The same command finishes it.
    context.resumes.store(true, Ordering::Relaxed);
    let outcome = undo::apply_in_place(&changes.collect::<Vec<_>>(), &digest);
    let help = match &outcome {
        // It says so before the first byte is written: there is nothing to put back.
        Err(guestfix::Error::Refused(_)) => {
            "nothing was changed; apply the plan to a new file with -o FIXED.qcow2".to_owned()
        }
        _ => format!("{} puts back what was changed, if anything was", undo_it.text()),
    };
    outcome.help(help)?;
    done(&taken)
}

fn done_page(output: &str, plan: &Plan) -> Page {
    let mut page = Page::new();
    let changes = if plan.steps.len() == 1 { "change" } else { "changes" };
    page.line(next::verdict(true, format!("{output}: {} {changes}, verified", plan.steps.len())));
    page.gap();
    page
}

/// The folder that holds an overlay and all that is below it: most often that of the overlay.
fn folder_of_all(context: &Context, image: &Image, overlay: &Path) -> PathBuf {
    let near = if overlay.is_dir() { overlay } else { image::folder_of(overlay) };
    let Ok(own) = near.canonicalize() else { return near.to_owned() };
    let images = image.machine.disks().iter().filter_map(|disk| disk.origin.path()).map(image::folder_of);
    let below = images.chain(context.global.allow_backing.as_deref());
    let mut all = own.clone();
    for folder in below.filter_map(|folder| folder.canonicalize().ok()) {
        while !folder.starts_with(&all) && all.pop() {}
    }
    if all == own { near.to_owned() } else { all }
}

fn written_page(output: &str, written: &[PathBuf], backing: Option<&Path>, plan: &Plan) -> Page {
    let mut page = done_page(output, plan);
    if let Some((first, further)) = written.split_first() {
        let boot = Command::new("boot").path(first).disks(further);
        let boot = boot.option("--for", plan.goal.target.id);
        let boot = match backing {
            Some(folder) => boot.word("--allow-backing").path(folder),
            None => boot,
        };
        page.line(next::line(&boot));
    }
    page
}
