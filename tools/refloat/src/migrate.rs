//! `refloat migrate`: check, plan, apply, convert and verify in one run.

use guestfix::plan;
use libdisk::image::Durability;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::answer::{self, Answer, Outcome};
use crate::cli::{Global, MigrateArgs, OutputFormat, target_name};
use crate::convert::{Job, Written};
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

pub(crate) fn run(global: &Global, args: &MigrateArgs) -> Outcome {
    let image = image::open(global, &args.source)?;
    // A snapshot may have been pulled there before; that is seen when it is known what is to be pulled.
    if image.opened.snapshots.is_empty() {
        convert::free_to_write(&args.target, args.force)?;
    }
    let plan = plan::plan(&image.guest_for(&args.goal)?, &image.plan_identity()?, &args.goal.goal())?;
    if let Some(path) = &args.plan {
        crate::plan::write(path, &plan)?;
    }
    tell(global, &crate::plan::summary(&plan)?)?;
    let (ready, by_hand) = (plan.ready(), plan.by_hand.clone());
    let mut migrated = Migrated { ready, edits: plan.totals.edits, by_hand, written: None, verdict: None };
    if !ready && !args.allow_blockers {
        tell(
            global,
            "\nnot ready: blockers are left, so nothing was written (--allow-blockers goes on all the same)\n",
        )?;
        return finish(global, &migrated, Answer::No);
    }
    let sealed = apply::sealed(global, &image, &plan)?;
    tell(global, "applied and verified in an overlay; the source is untouched\n")?;
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
    let written = convert::write(global, &job)?;
    tell(global, &written.line())?;
    let verdict = verify::well_formed(&args.target)?;
    let answer = Answer::from_bool(verdict.well_formed);
    let target = args.target.display();
    if verdict.well_formed {
        tell(
            global,
            &format!(
                "\n{target} can be uploaded.   next: refloat boot {target} --for {}\n",
                target_name(plan.goal.target)
            ),
        )?;
    } else {
        tell(global, &format!("\n{target} is not what Azure takes: refloat verify {target} says why\n"))?;
    }
    (migrated.written, migrated.verdict) = (Some(written), Some(verdict));
    finish(global, &migrated, answer)
}

fn tell(global: &Global, text: &str) -> anyhow::Result<()> {
    if global.json { Ok(()) } else { answer::text(text) }
}

fn finish(global: &Global, migrated: &Migrated, answer: Answer) -> Outcome {
    if global.json {
        answer::json("refloat.migrate/1", migrated)?;
    }
    Ok(answer)
}
