//! What people and programs are told of a check and of a plan.
//!
//! Whether a guest will boot and whether anybody supports it there are two answers, and stay two.

mod support;

use std::fmt;

use serde::Serialize;

use crate::facts::{Facts, Machine};
use crate::plan::{Check, Item, Plan, Remedy};
use crate::rule::{Evidence, Goal, Target};
use crate::{Archives, Edit, Result, Severity, View, inspect};

pub use support::{Listing, Support};

/// The schema of a report as JSON.
pub const SCHEMA: &str = "refloat.check/1";

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// With ANSI colours.
    pub color: bool,
    /// Columns that lines should keep to, where words allow.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, width: 100 }
    }
}

/// What the guest is, for the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// "Ubuntu 22.04.4 LTS"; `None` if it is no operating system that we know.
    pub os: Option<String>,
    /// "x86_64".
    pub arch: Option<&'static str>,
    /// What the disk starts by: "BIOS", "UEFI".
    pub firmware: Vec<&'static str>,
    /// Number of partitions.
    pub partitions: usize,
    /// The root file system, if there is one that we read.
    pub root: Option<Root>,
}

/// The root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Root {
    /// "ext4".
    pub kind: String,
    /// Of the volume, in bytes.
    pub size: u64,
    /// In bytes, the file system's own structures included.
    pub used: u64,
}

/// The answer of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The image as the user named it.
    pub image: String,
    /// Where it is to boot.
    pub goal: Goal,
    /// What it is.
    pub guest: Summary,
    /// Will it boot: nothing that we know stands in the way, as it is now.
    pub ready: bool,
    /// Will it boot once a plan is applied.
    pub ready_after_fix: bool,
    /// Is it supported there: another question.
    pub supported: Support,
    /// What every rule says, by phase.
    #[serde(flatten)]
    pub check: Check,
}

impl Report {
    /// Puts the answer together; `view` is the guest that was checked.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub fn new(image: &str, view: &dyn View, goal: &Goal, check: Check) -> Result<Self> {
        let facts = inspect::gather(view, &Archives::default())?;
        Ok(Self {
            image: image.to_owned(),
            goal: goal.clone(),
            guest: Summary::new(view.machine(), &facts),
            ready: check.ready(),
            ready_after_fix: check.fixable(),
            supported: Support::of(facts.os.as_ref()),
            check,
        })
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// If `out` does not take it.
    pub fn render(&self, out: &mut dyn fmt::Write, style: Style) -> fmt::Result {
        writeln!(out, "{}\n", self.guest)?;
        let severities = [Severity::Blocker, Severity::Warning, Severity::Note];
        let faults = severities.iter().flat_map(|severity| self.check.faults(*severity));
        let lines: Vec<_> =
            faults.map(|(item, evidence, remedy)| Line::new(item, evidence, remedy)).collect();
        render_lines(&lines, out, style)?;
        let ok = self.check.items.len() - lines.len();
        writeln!(out, "ok       {ok}{}\n", if lines.is_empty() { "" } else { " more" })?;
        for shortage in &self.check.shortages {
            writeln!(out, "no room for the fixes: {}", printable(shortage))?;
        }
        writeln!(out, "support: {}", printable(&self.supported.why))?;
        writeln!(out, "{}", self.last_line())
    }

    fn last_line(&self) -> String {
        let Report { image, check, .. } = self;
        let plan = format!("next: refloat plan {image} --for {}", target(self.goal.target));
        let warnings = check.faults(Severity::Warning).count();
        let blockers: Vec<_> = check.faults(Severity::Blocker).map(|(_, _, remedy)| remedy).collect();
        let by_hand = blockers.iter().filter(|remedy| ***remedy != Remedy::Fix).count();
        let count = counted(blockers.len(), "blocker");
        match (blockers.len(), by_hand) {
            (0, _) if warnings == 0 => format!("ready.   next: refloat convert {image} OUT.vhd"),
            (0, _) => format!("ready, with {}.   {plan}", counted(warnings, "warning")),
            (1, 0) => format!("not ready: {count}, fixable.   {plan}"),
            (2, 0) => format!("not ready: {count}, both fixable.   {plan}"),
            (_, 0) => format!("not ready: {count}, all fixable.   {plan}"),
            (all, by_hand) if all == by_hand => format!("not ready: {count}, to be mended by hand."),
            (_, by_hand) => format!("not ready: {count}, {by_hand} of them to be mended by hand.   {plan}"),
        }
    }
}

impl Summary {
    /// From what is known.
    pub fn new(machine: &Machine, facts: &Facts) -> Self {
        let bios = (!machine.bios.is_empty()).then_some("BIOS");
        let uefi = (!machine.uefi.is_empty()).then_some("UEFI");
        let root = machine.volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some("/"));
        let root = root.map(|volume| {
            let size = volume.range.end - volume.range.start;
            let used = size.saturating_sub(volume.free.unwrap_or(0));
            Root { kind: volume.kind.clone().unwrap_or_default(), size, used }
        });
        Self {
            os: facts.os.as_ref().map(|os| os.pretty_name.clone()),
            arch: facts.os.as_ref().and_then(|os| os.arch),
            firmware: bios.into_iter().chain(uefi).collect(),
            partitions: machine.volumes.iter().filter(|volume| volume.number > 0).count(),
            root,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os.as_deref().map_or("no known operating system".to_owned(), printable))?;
        if let Some(arch) = self.arch {
            write!(f, ", {arch}")?;
        }
        if !self.firmware.is_empty() {
            write!(f, ", {}", self.firmware.join(" and "))?;
        }
        write!(f, "; {}", counted(self.partitions, "partition"))?;
        if let Some(Root { kind, size, used }) = &self.root {
            write!(f, ", {kind} root {:.1} GiB ({:.1} used)", gib(*size), gib(*used))?;
        }
        Ok(())
    }
}

/// Prints a plan in short: what each step does and for which rules, what is left to do.
///
/// # Errors
/// If `out` does not take it.
pub fn render_plan(plan: &Plan, image: &str, out: &mut dyn fmt::Write, style: Style) -> fmt::Result {
    for step in &plan.steps {
        let (verb, what) = match &step.edit {
            Edit::ReplayJournal { volume } => ("replay", volume.clone()),
            Edit::PutFile { path, .. } => ("put", path.clone()),
            Edit::PutLink { path, target, .. } => ("link", format!("{path} -> {target}")),
            Edit::Remove { path, .. } => ("remove", path.clone()),
            Edit::PutBytes { offset, content, .. } => ("bytes", format!("{} at {offset:#x}", content.len())),
        };
        writeln!(out, "{verb:<8} {:<50}  {}", printable(&what), step.rules.join(", "))?;
    }
    let lines: Vec<_> = plan
        .by_hand
        .iter()
        .map(|fault| Line {
            severity: fault.severity,
            rule: &fault.rule,
            text: evidence_text(&fault.evidence),
            by_hand: Some(&fault.what),
        })
        .collect();
    if !lines.is_empty() {
        writeln!(out)?;
        render_lines(&lines, out, style)?;
    }
    let edits = counted(plan.totals.edits, "edit");
    match (plan.is_empty(), plan.ready()) {
        (true, true) => writeln!(out, "\nnothing to change."),
        (true, false) => writeln!(out, "\nnothing that refloat changes; what is left is to be done by hand."),
        (false, true) => writeln!(out, "\n{edits}; ready then.   next: refloat apply PLAN -o FIXED.qcow2"),
        (false, false) => writeln!(out, "\n{edits}; {image} is still not ready then: a blocker is left."),
    }
}

/// One fault, for a line of a table.
struct Line<'a> {
    severity: Severity,
    rule: &'a str,
    text: String,
    by_hand: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(item: &'a Item, evidence: &[Evidence], remedy: &'a Remedy) -> Self {
        let by_hand = match remedy {
            Remedy::Fix => None,
            Remedy::ByHand { what } => Some(what.as_str()),
        };
        Self { severity: item.severity, rule: item.rule, text: evidence_text(evidence), by_hand }
    }
}

/// The first piece of evidence, and how many more there are.
fn evidence_text(evidence: &[Evidence]) -> String {
    let Some(first) = evidence.first() else { return String::new() };
    let more = evidence.len() - 1;
    let text = printable(&format!("{}: {}", first.place, first.what));
    if more == 0 { text } else { format!("{text} (and {more} more)") }
}

fn render_lines(lines: &[Line<'_>], out: &mut dyn fmt::Write, style: Style) -> fmt::Result {
    let id_width = lines.iter().map(|line| line.rule.len()).max().unwrap_or(0);
    // Severity, two gaps, "can fix" and its gap.
    let room = style.width.saturating_sub(9 + id_width + 2 + 9);
    let text_width =
        lines.iter().map(|line| line.text.chars().count()).filter(|len| *len <= room).max().unwrap_or(0);
    for Line { severity, rule, text, by_hand } in lines {
        let (name, color) = match severity {
            Severity::Blocker => ("BLOCKER", "31"),
            Severity::Warning => ("WARNING", "33"),
            Severity::Note => ("NOTE", "36"),
        };
        let name = if style.color { format!("\x1b[{color}m{name:<7}\x1b[0m") } else { format!("{name:<7}") };
        let remedy = if by_hand.is_some() { "by hand" } else { "can fix" };
        writeln!(out, "{name}  {rule:<id_width$}  {text:<text_width$}  {remedy}")?;
        if let Some(what) = by_hand {
            writeln!(out, "         {:id_width$}  {}", "", printable(what))?;
        }
    }
    Ok(())
}

/// Text from a guest must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn target(target: Target) -> &'static str {
    match target {
        Target::AzureGen1 => "azure-gen1",
        Target::AzureGen2 => "azure-gen2",
    }
}
