//! `refloat migrate`: check, plan, apply, convert and verify in one run.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use guestfix::Severity;
use guestfix::plan::{self, Plan};
use guestfix::report::{Page, Waiver};
use libdisk::{Destination, FileFormat};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Answer, Outcome};
use crate::cli::MigrateArgs;
use crate::context::Context;
use crate::convert::{Job, Outputs, Written};
use crate::document::Document;
use crate::next::{self, Command};
use crate::snapshot::Pull;
use crate::verify::Verdict;
use crate::{apply, check, convert, day, image, name, snapshot};

/// The rule of boot loaders that Secure Boot does not start.
const UNSIGNED: &str = "target.secure-boot";

/// What was done, for `--json`. The disks are absent where blockers were left.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Migrated {
    ready: bool,
    edits: usize,
    /// SHA-256 of the plan that was applied, and the rules that it satisfies.
    plan: String,
    fixes: Vec<String>,
    by_hand: Vec<plan::ByHand>,
    /// Blockers that stay, for which somebody answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waived: Vec<Waiver>,
    /// The disk that the machine starts from.
    #[serde(flatten)]
    os: Option<Moved>,
    /// Its other disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<Moved>,
}

impl Document for Migrated {
    const SCHEMA: &'static str = "refloat.migrate/1";
}

/// A disk that was written.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Moved {
    written: Written,
    /// Of a VHD.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

pub(crate) fn run(context: &Context, args: &MigrateArgs) -> Outcome {
    let (migrated, answer) = migrated(context, args)?;
    // The text was said as it came.
    context.answer(&migrated, || Ok(Page::new()))?;
    Ok(answer)
}

/// The same without its document: what was done, and whether all of it.
pub(crate) fn migrated(context: &Context, args: &MigrateArgs) -> Result<(Migrated, Answer)> {
    let managed = args.managed.clone().on(args.goal.target.firmware);
    let outputs = Outputs::new(context, &args.target, args.format, args.force, &managed)?;
    let outputs = outputs.read_back(args.read_back.into());
    let format = outputs.format;
    let mut image = image::open(context, &args.source)?;
    // An earlier run may have been interrupted there; that is seen when it is known what is to be written.
    let disks = image.machine.disks();
    managed.check_disks(disks.len())?;
    let modes = disks.iter().map(image::mode);
    let targets = modes.enumerate().map(|(index, mode)| outputs.of(index, mode?));
    let targets: Vec<_> = targets.collect::<Result<_>>()?;
    let older = snapshot::older(args.since.as_deref(), disks)?;
    for (target, disk) in targets.iter().flat_map(|target| disks.iter().map(move |disk| (target, disk))) {
        convert::not_over(&**target, &disk.origin)?;
    }
    for target in targets.iter().filter(|target| older.is_empty() && !target.has_begun()) {
        convert::free_to_write(&**target)?;
    }
    let plan = plan::plan(&image.guest_for(&args.goal)?, &image.plan_identities()?, &args.goal.goal())?;
    if let Some(path) = &args.plan {
        crate::plan::write(path, &plan, args.force)?;
    }
    context.say(crate::plan::summary(&plan, context.global.verbose > 0))?;
    if managed.is_trusted() && plan.by_hand.iter().any(|fault| fault.rule == UNSIGNED) {
        context.note(format!(
            "note: trusted launch, yes, but no Secure Boot: Azure's does not start this boot loader (refloat rules \
             {UNSIGNED}); turn it off on the virtual machine"
        ));
    }
    let waived = waived(args.waivers.as_deref(), &plan)?;
    let (ready, by_hand) = (plan.ready(), plan.by_hand.clone());
    let mut migrated = Migrated {
        ready,
        edits: plan.totals.edits,
        plan: plan.digest()?,
        fixes: fixes(&plan),
        by_hand,
        waived: waived.clone().unwrap_or_default(),
        os: None,
        data: Vec::new(),
    };
    for Waiver { rule, owner, expires, reason } in waived.iter().flatten() {
        context.note(format!("{rule} stays: {owner} answers for it until {expires}: {reason}"));
    }
    if !ready && !args.allow_blockers && waived.is_none() {
        let mut page = Page::new();
        page.gap();
        let why = match plan.boot_after.why() {
            Some(why) if !plan.leaves_blockers() => why,
            _ => "blockers remain".to_owned(),
        };
        page.line(next::verdict(false, format!("not ready: {why}, so nothing was written")));
        page.line(next::advice("fix them in the machine, or add --allow-blockers to write it all the same"));
        context.say(page)?;
        return Ok((migrated, Answer::No));
    }
    let sealed = apply::sealed(context, &mut image, &plan)?;
    let disks = image.machine.disks();
    context.say("applied and verified in an overlay; the source is untouched\n".to_owned())?;
    let mut jobs = Vec::new();
    for (index, ((disk, sealed), target)) in disks.iter().zip(&sealed).zip(&targets).enumerate() {
        let changes = apply::changes(&plan, disk, sealed)?;
        let key = image::resume_key(disk)?.map(|key| key.with("changes", &changes.digest));
        let older = older.get(index).map(String::as_str);
        let pull = Pull::of(disk, Some(changes)).map(|pull| pull.since(older));
        if let Some(pull) = &pull {
            pull.can_follow(&**target).map_err(convert::refused)?;
        }
        jobs.push(Job {
            disk: sealed.disk(),
            origin: &disk.origin,
            identity: disk.identity()?,
            to: &**target,
            key,
            steady: image::steady(disk)?,
            pull,
        });
    }
    let mut moved = Vec::new();
    for (job, target) in jobs.iter().zip(&targets) {
        let written = convert::write(context, job)?;
        context.say(written.line())?;
        // Only a VHD is for Azure to take as it is.
        let verdict = target.verify()?.form.map(Verdict::of_form);
        moved.push(Moved { written, verdict });
    }
    let wrong: Vec<_> = moved
        .iter()
        .zip(&targets)
        .filter(|(moved, _)| moved.verdict.as_ref().is_some_and(|verdict| verdict.well_formed != Some(true)))
        .map(|(_, to)| &**to)
        .collect();
    let ids: Vec<_> = disks.iter().filter_map(|disk| Some(disk.origin.snapshot()?.id())).collect();
    context.say(last_lines(args, ready, &targets, &wrong, (format, &ids)))?;
    let answer = Answer::from_bool(wrong.is_empty());
    migrated.data = moved.split_off(1);
    migrated.os = moved.pop();
    Ok((migrated, answer))
}

/// The rules that a plan satisfies.
fn fixes(plan: &Plan) -> Vec<String> {
    let rules: BTreeSet<&String> = plan.steps.iter().flat_map(|step| &step.rules).collect();
    rules.into_iter().cloned().collect()
}

/// What somebody answers for today, if that is every blocker that a plan leaves. Whether the boot walk arrives is of no
/// rule, so nobody answers for that.
fn waived(file: Option<&Path>, plan: &Plan) -> Result<Option<Vec<Waiver>>> {
    let Some(file) = file else { return Ok(None) };
    let (waivers, today) = (check::waivers(file)?, day::in_days(0));
    let left = plan.by_hand.iter().map(|fault| (&fault.rule, fault.severity));
    let left = left.chain(plan.unknown.iter().map(|unknown| (&unknown.rule, unknown.severity)));
    let left: BTreeSet<&String> =
        left.filter(|(_, severity)| *severity == Severity::Blocker).map(|(rule, _)| rule).collect();
    // Days that are written so are ordered as texts are.
    let used = waivers.into_iter().filter(|waiver| left.contains(&waiver.rule) && today <= waiver.expires);
    let used: Vec<Waiver> = used.collect();
    let is_all = left.iter().all(|rule| used.iter().any(|waiver| waiver.rule == **rule));
    Ok((is_all && plan.boot_after.arrives).then_some(used))
}

/// What has come of it, and what is next; the snapshots are those that it was made of.
fn last_lines(
    args: &MigrateArgs,
    ready: bool,
    targets: &[Box<dyn Destination>],
    wrong: &[&dyn Destination],
    (format, snapshots): (FileFormat, &[&str]),
) -> Page {
    let (target, mut page) = (name::shown(&args.target), Page::new());
    page.gap();
    for target in wrong {
        page.line(next::verdict(false, format!("{} is not a valid VHD for Azure", target.name())));
        page.line(next::line(&Command::new("verify").written(*target)));
    }
    if wrong.is_empty() && !ready {
        let text = format!("{target} is written, but blockers remain: it will not boot until they are fixed");
        page.line(next::verdict(false, text));
    } else if format != FileFormat::Vhd {
        page.line(next::verdict(true, format!("{target} is written; to upload it, convert it to a .vhd")));
    } else if wrong.is_empty() {
        let further = targets.get(1..).unwrap_or_default();
        let and = match further.len() {
            0 => String::new(),
            1 => " and the machine's other disk".to_owned(),
            several => format!(" and the machine's {several} other disks"),
        };
        let is_file = targets.first().is_some_and(|target| target.path().is_some());
        let what = if is_file { "can be uploaded" } else { "is in Azure" };
        page.line(next::verdict(true, format!("{target}{and} {what}")));
        let goal = args.goal.clone().booted();
        let boot = targets.iter().take(1).fold(Command::new("boot"), |boot, first| boot.written(&**first));
        let boot = further.iter().fold(boot, |boot, disk| boot.word("--disk").written(&**disk));
        page.line(next::line(&boot.goal(&goal)));
        for (index, target) in targets.iter().enumerate() {
            if let Some(vhd) = target.path() {
                page.append(next::upload(vhd, args.goal.target, index == 0));
            }
        }
        let follows = targets.iter().all(|target| target.path().is_none() && target.follows());
        if follows && snapshots.len() == targets.len() {
            let again = format!(
                "when the machine has stopped, take its snapshots again: the same command with them and --since \
                 ebs:{} sends only what has changed",
                snapshots.join(",")
            );
            page.line(next::advice(&again));
        }
    }
    page
}
