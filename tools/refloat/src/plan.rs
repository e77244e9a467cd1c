//! `refloat plan`: what would change, as a diff.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use guestfix::plan::{self, Plan, SCHEMA};
use libdisk::block;
use libdisk::image::{Output, write_file};

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{Global, PlanArgs};
use crate::image;

pub(crate) fn run(global: &Global, args: &PlanArgs) -> Outcome {
    let image = image::open(global, &args.image)?;
    let guest = image.guest_for(&args.goal)?;
    let plan = plan::plan(&guest, &image.plan_identity()?, &args.goal.goal())?;
    if let Some(output) = &args.output {
        write(output, &plan)?;
    }
    if global.json {
        answer::json_of_itself(&plan)?;
    } else {
        let mut text = plan.diff(&guest)?;
        text += &summary(&plan)?;
        match &args.output {
            Some(output) if !plan.is_empty() => {
                writeln!(text, "\nnext: refloat apply {} -o fixed.qcow2", output.display())?;
            }
            None if !plan.is_empty() => {
                writeln!(text, "\nnext: the same with -o plan.json, then refloat apply plan.json")?;
            }
            _ => {}
        }
        answer::text(&text)?;
    }
    Ok(Answer::from_bool(plan.ready()))
}

/// The plan in numbers, and what it leaves to the user.
pub(crate) fn summary(plan: &Plan) -> Result<String> {
    let mut text = String::new();
    let mut rules: Vec<&str> = plan.steps.iter().flat_map(|step| &step.rules).map(String::as_str).collect();
    rules.sort_unstable();
    rules.dedup();
    match plan.totals.edits {
        0 => writeln!(text, "nothing to change")?,
        edits => writeln!(text, "{edits} changes for {} rules: {}", rules.len(), rules.join(", "))?,
    }
    for fault in &plan.by_hand {
        let severity = format!("{:?}", fault.severity).to_uppercase();
        let evidence = fault.evidence.first().map(|found| format!("{}: {}", found.place, found.what));
        writeln!(text, "{severity}  {}  {}", fault.rule, evidence.unwrap_or_default())?;
        writeln!(text, "    by hand: {}", fault.what)?;
    }
    Ok(text)
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
