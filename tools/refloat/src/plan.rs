//! `refloat plan`: what would change, as a diff.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use guestfix::View;
use guestfix::plan::{self, Identity, Plan, SCHEMA};
use guestfix::report::{self, Ink, Line, Page};
use libdisk::image::{Output, write_file};
use libdisk::{Format, block};

use crate::answer::{Answer, Help, Outcome};
use crate::cli::{GoalArgs, PlanArgs};
use crate::context::Context;
use crate::image::{self, Takes};
use crate::name;
use crate::next::{self, Command};
use crate::{apply, help};

pub(crate) fn run(context: &Context, args: &PlanArgs) -> Outcome {
    if let Some(file) = &args.show {
        return show(context, file, args.image.as_deref());
    }
    let (Some(name), Some(goal)) = (&args.image, &args.goal) else {
        return Err(anyhow!("there is no image to plan for")).help("refloat plan IMAGE --for TARGET");
    };
    let image = image::open(context, name)?;
    if let Some(output) = &args.output {
        free(output, args.force)?;
    }
    let guest = image.guest_for(goal)?;
    let plan = plan::plan(&guest, &image.plan_identities()?, &goal.goal())?;
    if let Some(output) = &args.output {
        write(output, &plan, args.force)?;
    }
    context.document(&plan, || {
        let mut page = page(context, &plan, &guest)?;
        if !plan.is_empty() {
            page.gap();
            page.line(next::line(&next(context, name, goal, args.output.as_deref(), plan.source.len())));
        }
        Ok(page)
    })?;
    Ok(Answer::from_bool(plan.ready()))
}

/// A plan that was written before, over the image it was made for.
fn show(context: &Context, file: &Path, image: Option<&str>) -> Outcome {
    let plan = read(file)?;
    let (first, further) = apply::named(context, image, &plan);
    let mut image = image::open_disks(context, &first, &further, Takes::Disk).help(help::WHERE_IS)?;
    image.machine.name_devices(plan.source.iter().map(|disk| disk.device.clone()));
    let sha256 = |disk: &Identity| disk.sha256.clone();
    if !image.plan_identities()?.iter().map(sha256).eq(plan.source.iter().map(sha256)) {
        return Err(anyhow!("{}: not the image that the plan was made for", image.name)).help(help::NEW_PLAN);
    }
    let tree = image.tree()?;
    context.document(&plan, || {
        let mut page = page(context, &plan, &tree)?;
        if !plan.is_empty() {
            page.gap();
            let planned = plan.source.first().map_or("", |disk| disk.path.as_str());
            let output = next::free(next::output_name(planned, "qcow2"));
            page.line(next::line(
                &Command::new("apply").path(file).word("-o").path(&output).opening(context),
            ));
        }
        Ok(page)
    })?;
    Ok(Answer::from_bool(plan.ready()))
}

fn page(context: &Context, plan: &Plan, view: &dyn View) -> Result<Page> {
    let mut page = plan.diff(view)?;
    page.append(summary(plan, context.global.verbose > 0));
    Ok(page)
}

/// Carry it out; or, where it was only shown, make it a file first.
fn next(context: &Context, image: &str, goal: &GoalArgs, output: Option<&Path>, disks: usize) -> Command {
    match output {
        Some(plan) => {
            let mut output = next::output_name(image, "qcow2");
            if disks > 1 {
                // A folder, with a file for each disk in it.
                output.set_extension("");
            }
            Command::new("apply").path(plan).word("-o").path(&next::free(output)).opening(context)
        }
        None => {
            let plan = Command::new("plan").word(image).goal(goal).opening(context);
            plan.word("-o").path(&next::plan_name())
        }
    }
}

/// The largest plan file, in bytes: what is read of it stays within 256 MiB. It holds the initramfs images
/// that it puts, each a third larger than it is.
const PLAN: u64 = 112 << 20;
/// The most values in a plan file: each takes more memory than its text.
const VALUES: usize = 1 << 18;
/// The longest text with escapes in a plan file, in bytes: it is unescaped beside what was read.
const ESCAPED: usize = 16 << 20;

/// The text of a plan file.
fn text(path: &Path) -> Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(anyhow!("it is not a regular file"));
    }
    let mut start = [0; 64];
    let len = File::open(path)?.read(&mut start)?;
    if start.get(..len).unwrap_or_default().trim_ascii_start().first() != Some(&b'{') {
        let what = block::open_file(path).and_then(|file| Format::probe(&file));
        let what = what.map_or_else(|_| "a file".to_owned(), |format| format!("an image ({format})"));
        return Err(anyhow!("it is {what}, and no plan"));
    }
    if metadata.len() > PLAN {
        return Err(anyhow!("it has {} bytes, and refloat reads {PLAN} of a plan", metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len())?);
    // It may grow while it is read.
    File::open(path)?.take(PLAN).read_to_end(&mut bytes)?;
    bounded(&bytes)?;
    String::from_utf8(bytes).map_err(|_| anyhow!("it is not UTF-8, and no plan"))
}

/// Refuses a document that takes much more memory than it has bytes.
fn bounded(json: &[u8]) -> Result<()> {
    let (mut values, mut rest) = (0_usize, json);
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b',')) {
        let (byte, behind) = (rest[at], &rest[at + 1..]);
        values += 1;
        if values > VALUES {
            return Err(anyhow!("it has more than the {VALUES} values that refloat reads of a plan"));
        }
        rest = if byte == b'"' { &behind[string(behind)?..] } else { behind };
    }
    Ok(())
}

/// The bytes of a string of JSON and of the quote that ends it.
fn string(json: &[u8]) -> Result<usize> {
    let (mut at, mut escaped) = (0, false);
    while let Some(found) = json[at..].iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        at += found;
        if escaped && at > ESCAPED {
            return Err(anyhow!("one text in it is longer than the {ESCAPED} bytes that refloat reads"));
        }
        if json[at] == b'"' {
            return Ok(at + 1);
        }
        escaped = true;
        at = json.len().min(at + 2);
    }
    Ok(json.len())
}

/// Reads a plan file.
pub(crate) fn read(file: &Path) -> Result<Plan> {
    let text = self::text(file).with_context(|| name::shown(file));
    text.and_then(|text| Plan::from_json(&text).with_context(|| name::shown(file))).help(help::MAKE_A_PLAN)
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
    page.line(Line::new(format!("boot walk: {}", plan.boot)).hang(2));
    if plan.boot_after != plan.boot {
        page.line(Line::new(format!("with the changes: {}", plan.boot_after)).hang(2));
    }
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

/// Whether a plan may be written there: over an older plan if that is wanted, and over nothing else.
pub(crate) fn free(path: &Path, force: bool) -> Result<()> {
    if !block::check_sidecar(path).help(help::OTHER_NAME)? {
        return Ok(());
    }
    let mut start = Vec::new();
    let file = File::open(path).with_context(|| name::shown(path))?;
    file.take(64).read_to_end(&mut start)?;
    let schema = SCHEMA.split('/').next().unwrap_or(SCHEMA);
    if !String::from_utf8_lossy(&start).contains(schema) {
        return Err(anyhow!("{} exists and is not a plan", name::shown(path))).help(help::OTHER_NAME);
    }
    if !force {
        return Err(anyhow!("{} already exists", name::shown(path))).help(help::FORCE);
    }
    Ok(())
}

/// Writes the plan in one step.
pub(crate) fn write(path: &Path, plan: &Plan, force: bool) -> Result<()> {
    free(path, force)?;
    let json = plan.to_json()?;
    if json.len() as u64 > PLAN || bounded(json.as_bytes()).is_err() {
        let error =
            Err(anyhow!("{}: the plan is too large for a file: {} bytes", path.display(), json.len()));
        return error.help(help::LARGE_PLAN);
    }
    // It quotes files of the guest, so it is nobody else's to read.
    let output = Output { mode: 0o600, ..Output::replacing(path) };
    write_file(&output, json.as_bytes()).help(help::OTHER_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_takes_much_memory_is_refused_before_it_is_parsed() {
        let why = |json: &str| bounded(json.as_bytes()).unwrap_err().to_string();
        assert!(why(&"[".repeat(VALUES + 1)).contains("values"));
        assert!(why(&format!("[{}0]", "0,".repeat(VALUES + 1))).contains("values"));
        assert!(why(&"\"\"".repeat(VALUES + 1)).contains("values"));
        let long = "x".repeat(ESCAPED);
        assert!(why(&format!("[\"\\n{long}\"]")).contains("one text"));
        assert!(why(&format!("[\"{long}\\n\"]")).contains("one text"));
        // Base64 has no escapes, and what stands in a string is no value.
        for fine in
            ["{}", "\"open", "\"\\", &format!("[\"{long}\"]"), &format!("[\"{}\"]", ",[{".repeat(VALUES))]
        {
            bounded(fine.as_bytes()).unwrap();
        }
    }
}
