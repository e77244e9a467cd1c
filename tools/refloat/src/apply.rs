//! `refloat apply`: carry out a plan, in an overlay or in place.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use guestfix::plan::{Identity, Plan};
use guestfix::undo::Prepared;
use guestfix::{apply, undo};
use libdisk::block::Sealed;
use libdisk::image::qcow2::{self, BackingFile};
use libdisk::image::{Durability, Output};
use libdisk::{Address, Location};
use serde::Serialize;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::{ApplyArgs, OutputFormat, target_name};
use crate::context::Context;
use crate::convert;
use crate::convert::Job;
use crate::image::{self, Image};

/// What was done, for `--json`.
#[derive(Serialize)]
struct Applied {
    edits: usize,
    /// The file that was written or changed.
    output: String,
    /// What puts it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
}

pub(crate) fn run(context: &Context, args: &ApplyArgs) -> Outcome {
    let text = std::fs::read_to_string(&args.plan).with_context(|| args.plan.display().to_string());
    let help = "refloat plan IMAGE --for TARGET -o plan.json makes one";
    let plan = text.and_then(|text| Ok(Plan::from_json(&text)?)).help(help)?;
    let name = args.image.clone().unwrap_or_else(|| plan.source.path.clone());
    let applied = match &args.output {
        Some(output) => {
            let image = image::open(context, &name).help("name the image with --image if it has moved")?;
            let sealed = sealed(context, &image, &plan)?;
            write(context, &image, &plan, &sealed, output, args.force)?;
            Applied { edits: plan.totals.edits, output: output.display().to_string(), undo: None }
        }
        None => in_place(context, &name, &plan)?,
    };
    context.answer("refloat.apply/1", &applied, || Ok(render(&applied, &plan).into()))?;
    Ok(Answer::Yes)
}

/// The plan carried out and verified, in an overlay.
pub(crate) fn sealed(context: &Context, image: &Image, plan: &Plan) -> Result<Sealed> {
    apply::apply(image.disk().clone(), &image.plan_identity()?, plan, &*context.observer)
        .with_context(|| image.name.clone())
        .help("refloat plan makes a new plan for this image; nothing was written")
}

/// Writes an overlay over the image, or all of it where nothing could open an overlay: over a snapshot, and where everything
/// moves.
fn write(
    context: &Context,
    image: &Image,
    plan: &Plan,
    sealed: &Sealed,
    output: &Path,
    force: bool,
) -> Result<()> {
    if plan.head().is_some() || matches!(image.address.location, Location::Ebs(_)) {
        let job = Job {
            disk: sealed.disk(),
            identity: image.identity()?,
            target: output,
            format: OutputFormat::Qcow2,
            force,
            durability: Durability::Synced,
            mode: image.mode()?,
            pull: image.pull(None),
        };
        return convert::write(context, &job).map(drop);
    }
    convert::free_to_write(output, force)?;
    let backing = BackingFile {
        path: &backing_name(&image.opened.path, output)?,
        format: image.opened.format.qemu_name,
    };
    let file = Output { existing: convert::existing(force), mode: image.mode()?, ..Output::new(output) };
    let written = qcow2::write_overlay(sealed, &file, &backing, &*context.observer);
    convert::written(written, output, force).map(drop)
}

/// The image as the overlay names it: by its file name alone where they are neighbours, so that both can move.
fn backing_name(image: &Path, output: &Path) -> Result<PathBuf> {
    let image = image.canonicalize()?;
    let folder = image::folder_of(output);
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    Ok(match image.strip_prefix(&folder) {
        Ok(name) if name.components().count() == 1 => name.to_owned(),
        _ => image,
    })
}

fn in_place(context: &Context, name: &str, plan: &Plan) -> Result<Applied> {
    let address: Address = name.parse()?;
    let Location::File { path, .. } = &address.location else {
        bail!("{name}: only a file of this machine can be changed in place");
    };
    if plan.head().is_some() {
        let error: Result<Applied> = Err(anyhow!(
            "{name}: the plan puts a partition table and a boot loader of 1 MiB before all that is there, which no change in place can"
        ));
        return error.help("apply the plan to a new file with -o FIXED.qcow2, or refloat migrate to a VHD");
    }
    let undo = undo::undo_path(path).display().to_string();
    let applied = Applied { edits: plan.totals.edits, output: name.to_owned(), undo: Some(undo) };
    let digest = plan.digest()?;
    let taken = image::take(path)?;
    if undo::prepare(&taken, &digest).help(format!("refloat undo {name}"))? == Prepared::Applied {
        return Ok(applied);
    }
    let image = image::open_any(context, name, address)?;
    let sealed = sealed(context, &image, plan)?;
    let Identity { sha256, .. } = image.plan_identity()?;
    undo::apply_in_place(&taken, image.opened.format, &sealed, &sha256, &digest)
        .help(format!("refloat undo {name} puts back what was changed, if anything was"))?;
    Ok(applied)
}

fn render(applied: &Applied, plan: &Plan) -> String {
    let Applied { edits, output, undo } = applied;
    let mut text = format!("{output}: {edits} changes, verified\n\n");
    match undo {
        Some(undo) => text += &format!("{undo} holds the way back: refloat undo {output}\n"),
        None => {
            let target = target_name(plan.goal.target);
            let folder = image::folder_of(Path::new(output)).display();
            text += &format!("next: refloat boot {output} --allow-backing {folder} --for {target}\n");
        }
    }
    text
}
