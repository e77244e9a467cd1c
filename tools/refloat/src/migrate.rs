//! `refloat migrate`: check, plan, apply, convert and verify in one run.

use guestfix::plan;
use guestfix::report::Page;
use libdisk::image::Durability;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Outcome};
use crate::cli::{CloudInitArg, GoalArgs, MigrateArgs, OutputFormat};
use crate::context::Context;
use crate::convert::{Job, Written};
use crate::next::{self, Command};
use crate::verify::{self, Verdict};
use crate::{apply, convert, image};

/// What was done, for `--json`. The parts after `plan` are absent where blockers were left.
#[derive(Serialize)]
struct Migrated {
    ready: bool,
    edits: usize,
    by_hand: Vec<plan::ByHand>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

pub(crate) fn run(context: &Context, args: &MigrateArgs) -> Outcome {
    let image = image::open(context, &args.source)?;
    // A snapshot may have been pulled there before; that is seen when it is known what is to be pulled.
    if image.opened.snapshots.is_empty() {
        convert::free_to_write(&args.target, args.force)?;
    }
    let plan = plan::plan(&image.guest_for(&args.goal)?, &image.plan_identity()?, &args.goal.goal())?;
    if let Some(path) = &args.plan {
        crate::plan::write(path, &plan)?;
    }
    context.say(crate::plan::summary(&plan, context.global.verbose > 0))?;
    let (ready, by_hand) = (plan.ready(), plan.by_hand.clone());
    let mut migrated = Migrated { ready, edits: plan.totals.edits, by_hand, written: None, verdict: None };
    if !ready && !args.allow_blockers {
        let mut page = Page::new();
        page.gap();
        page.line(next::verdict(false, "not ready: blockers remain, so nothing was written"));
        page.line(next::advice("fix them in the machine, or add --allow-blockers to write it all the same"));
        context.say(page)?;
        return finish(context, &migrated, Answer::No);
    }
    let sealed = apply::sealed(context, &image, &plan)?;
    context.say("applied and verified in an overlay; the source is untouched\n".to_owned())?;
    let job = Job {
        disk: sealed.disk(),
        identity: image.identity()?,
        target: &args.target,
        format: OutputFormat::Vhd,
        force: args.force,
        durability: Durability::Synced,
        mode: image.mode()?,
        pull: image.pull(Some(Sha256::digest(plan.to_json()?).into())),
    };
    let written = convert::write(context, &job)?;
    context.say(written.line())?;
    let verdict = verify::well_formed(&args.target)?;
    let answer = Answer::from_bool(verdict.well_formed);
    context.say(last_lines(args, ready, verdict.well_formed))?;
    (migrated.written, migrated.verdict) = (Some(written), Some(verdict));
    finish(context, &migrated, answer)
}

/// What has come of it, and what is next.
fn last_lines(args: &MigrateArgs, ready: bool, well_formed: bool) -> Page {
    let (target, mut page) = (args.target.display(), Page::new());
    page.gap();
    if !well_formed {
        page.line(next::verdict(false, format!("{target} is not a valid VHD for Azure")));
        page.line(next::line(&Command::new("verify").path(&args.target)));
    } else if !ready {
        let text = format!("{target} is written, but blockers remain: it will not boot until they are fixed");
        page.line(next::verdict(false, text));
    } else {
        page.line(next::verdict(true, format!("{target} can be uploaded")));
        let goal = GoalArgs { cloud_init: CloudInitArg::default(), grub: None, ..args.goal.clone() };
        page.line(next::line(&Command::new("boot").path(&args.target).goal(&goal)));
        page.append(next::upload(&args.target, args.goal.target.into()));
    }
    page
}

fn finish(context: &Context, migrated: &Migrated, answer: Answer) -> Outcome {
    // The text was said as it came.
    context.answer("refloat.migrate/1", migrated, || Ok(Page::new()))?;
    Ok(answer)
}
