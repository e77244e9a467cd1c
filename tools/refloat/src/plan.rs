//! `refloat plan`: what would change, as a diff.

use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use guestfix::plan::{self, Plan, SCHEMA};
use guestfix::report::{self, Ink, Line, Page};
use libdisk::block;
use libdisk::image::{Output, write_file};

use crate::answer::{Answer, Help, Outcome};
use crate::cli::PlanArgs;
use crate::context::Context;
use crate::image;
use crate::next::{self, Command};

pub(crate) fn run(context: &Context, args: &PlanArgs) -> Outcome {
    let image = image::open(context, &args.image)?;
    let guest = image.guest_for(&args.goal)?;
    let plan = plan::plan(&guest, &image.plan_identities()?, &args.goal.goal())?;
    if let Some(output) = &args.output {
        write(output, &plan)?;
    }
    context.document(&plan, || {
        let mut page = plan.diff(&guest)?;
        page.append(summary(&plan, context.global.verbose > 0));
        if !plan.is_empty() {
            page.gap();
            page.line(next::line(&next(context, args)));
        }
        Ok(page)
    })?;
    Ok(Answer::from_bool(plan.ready()))
}

/// Carry it out; or, where it was only shown, make it a file first.
fn next(context: &Context, args: &PlanArgs) -> Command {
    match &args.output {
        Some(plan) => {
            let output = next::output_name(&args.image, "qcow2");
            Command::new("apply").path(plan).word("-o").path(&output).opening(context)
        }
        None => {
            let plan = Command::new("plan").word(&args.image).goal(&args.goal).opening(context);
            plan.option("-o", "plan.json")
        }
    }
}

/// The plan in numbers, and what it leaves to the user; `all` shows every piece of evidence.
pub(crate) fn summary(plan: &Plan, all: bool) -> Page {
    let mut page = Page::new();
    let mut rules: Vec<&str> = plan.steps.iter().flat_map(|step| &step.rules).map(String::as_str).collect();
    rules.sort_unstable();
    rules.dedup();
    let changes = match plan.totals.edits {
        0 => "nothing to change".to_owned(),
        edits => format!("{edits} changes for {} rules: {}", rules.len(), rules.join(", ")),
    };
    page.line(Line::new(changes).hang(2));
    for fault in &plan.by_hand {
        page.line(report::severity(fault.severity).text(&fault.rule).ink(Ink::Faint, "  by hand"));
        report::evidence(&mut page, 9, &fault.evidence, all);
        page.line(Line::new(format!("         fix: {}", fault.what)).hang(14));
    }
    for unknown in &plan.unknown {
        page.line(report::severity(unknown.severity).text(&unknown.rule).ink(Ink::Faint, "  unknown"));
        report::evidence(&mut page, 9, &unknown.unread, all);
    }
    page
}

/// Writes the plan in one step, over an older plan but over nothing else.
pub(crate) fn write(path: &Path, plan: &Plan) -> Result<()> {
    if block::check_sidecar(path).help("give another name")? {
        let mut start = Vec::new();
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        file.take(64).read_to_end(&mut start)?;
        let schema = SCHEMA.split('/').next().unwrap_or(SCHEMA);
        if !String::from_utf8_lossy(&start).contains(schema) {
            let error: Result<()> = Err(anyhow!("{} exists and is not a plan", path.display()));
            return error.help("give another name");
        }
    }
    // It quotes files of the guest, so it is nobody else's to read.
    let output = Output { mode: 0o600, ..Output::replacing(path) };
    write_file(&output, plan.to_json()?.as_bytes()).help("give the plan another name")
}
