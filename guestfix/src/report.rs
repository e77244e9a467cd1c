//! What people and programs are told of a check.
//!
//! Whether a guest will boot and whether anybody supports it there are two answers, and stay two.

mod support;

use std::fmt;

use serde::Serialize;

use crate::facts::{Machine, Os};
use crate::plan::{Check, Item, Remedy};
use crate::rule::{Evidence, Goal, Target};
use crate::{Result, Severity, View, inspect};

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
        let os = inspect::os(view)?;
        Ok(Self {
            image: image.to_owned(),
            goal: goal.clone(),
            guest: Summary::new(view.machine(), os.as_ref()),
            ready: check.ready(),
            ready_after_fix: check.fixable(),
            supported: Support::of(os.as_ref()),
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
            (all, by_hand) if all == by_hand => {
                format!(
                    "not ready: {count}, to be mended by hand as it says.   next: that, a new snapshot, and check it again"
                )
            }
            (_, by_hand) => format!("not ready: {count}, {by_hand} of them to be mended by hand.   {plan}"),
        }
    }
}

impl Summary {
    /// From what is known.
    pub fn new(machine: &Machine, os: Option<&Os>) -> Self {
        let bios = (!machine.bios.is_empty()).then_some("BIOS");
        let uefi = (!machine.uefi.is_empty()).then_some("UEFI");
        let root = machine.volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some("/"));
        let root = root.map(|volume| {
            let size = volume.device.size();
            let used = size.saturating_sub(volume.free.unwrap_or(0));
            Root { kind: volume.kind.clone().unwrap_or_default(), size, used }
        });
        Self {
            os: os.map(|os| os.pretty_name.clone()),
            arch: os.and_then(|os| os.arch),
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
            // both in the unit that fits the larger one
            let (unit, bytes, digits) =
                if *size < 1 << 30 { ("MiB", 1 << 20, 0) } else { ("GiB", 1 << 30, 1) };
            let count = |of: u64| of as f64 / f64::from(bytes);
            write!(f, ", {kind} root {:.digits$} {unit} ({:.digits$} used)", count(*size), count(*used))?;
        }
        Ok(())
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

fn target(target: Target) -> &'static str {
    match target {
        Target::AzureGen1 => "azure-gen1",
        Target::AzureGen2 => "azure-gen2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;
    use crate::plan::Verdict;
    use crate::rule::CloudInit;

    fn report(items: Vec<Item>) -> Report {
        let root = Root { kind: "ext4".into(), size: 8 << 30, used: (21 << 30) / 10 };
        let guest = Summary {
            os: Some("Ubuntu 22.04.4".into()),
            arch: Some("x86_64"),
            firmware: vec!["UEFI"],
            partitions: 3,
            root: Some(root),
        };
        let check = Check { items, shortages: Vec::new() };
        Report {
            image: "u.qcow2".into(),
            goal: Goal { target: Target::AzureGen2, cloud_init: CloudInit::Disable },
            guest,
            ready: check.ready(),
            ready_after_fix: check.fixable(),
            supported: Support::of(None),
            check,
        }
    }

    fn item(rule: &'static str, severity: Severity, verdict: Verdict) -> Item {
        Item { rule, title: "t", phase: Phase::Boot, severity, verdict }
    }

    fn wrong(place: &str, what: &str, remedy: Remedy) -> Verdict {
        Verdict::Wrong { evidence: vec![Evidence::new(place, what)], remedy }
    }

    fn rendered(report: &Report) -> String {
        let mut text = String::new();
        report.render(&mut text, Style::default()).unwrap();
        text
    }

    #[test]
    fn it_looks_as_the_design_shows() {
        let by_hand = Remedy::ByHand { what: "install it".into() };
        let text = rendered(&report(vec![
            item("linux.agent.installed", Severity::Note, wrong("p1", "no walinuxagent", by_hand)),
            item(
                "linux.fstab.device-names",
                Severity::Blocker,
                wrong("/etc/fstab:3", "names \x1b/dev/xvda1", Remedy::Fix),
            ),
            item(
                "linux.initramfs.hyperv",
                Severity::Blocker,
                wrong("/boot/initrd", "lacks hv_storvsc", Remedy::Fix),
            ),
            item("linux.other", Severity::Blocker, Verdict::Ok),
            item("linux.another", Severity::Warning, Verdict::NotApplicable { why: "no such thing" }),
        ]));
        let expected = "\
Ubuntu 22.04.4, x86_64, UEFI; 3 partitions, ext4 root 8.0 GiB (2.1 used)

BLOCKER  linux.fstab.device-names  /etc/fstab:3: names \\u{1b}/dev/xvda1  can fix
BLOCKER  linux.initramfs.hyperv    /boot/initrd: lacks hv_storvsc        can fix
NOTE     linux.agent.installed     p1: no walinuxagent                   by hand
                                   install it
ok       2 more

support: the operating system is not known
not ready: 2 blockers, both fixable.   next: refloat plan u.qcow2 --for azure-gen2
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_small_root_is_measured_in_mib() {
        let root = |size, used| Summary {
            os: None,
            arch: None,
            firmware: Vec::new(),
            partitions: 1,
            root: Some(Root { kind: "ext4".into(), size, used }),
        };
        let text = root(64 << 20, 5 << 20).to_string();
        assert_eq!(text, "no known operating system; 1 partition, ext4 root 64 MiB (5 used)");
        assert!(root(1 << 30, 5 << 20).to_string().ends_with("root 1.0 GiB (0.0 used)"));
    }

    #[test]
    fn the_last_line_says_what_is_next() {
        let last = |items| rendered(&report(items)).lines().last().unwrap_or_default().to_owned();
        let by_hand = || wrong("p1", "x", Remedy::ByHand { what: "y".into() });
        let fix = || wrong("p1", "x", Remedy::Fix);
        assert!(last(vec![]).starts_with("ready.   next: refloat convert"));
        assert!(last(vec![item("a", Severity::Warning, fix())]).starts_with("ready, with 1 warning."));
        assert_eq!(
            last(vec![item("a", Severity::Blocker, by_hand())]),
            "not ready: 1 blocker, to be mended by hand as it says.   next: that, a new snapshot, and check it again"
        );
        let mixed = vec![item("a", Severity::Blocker, fix()), item("b", Severity::Blocker, by_hand())];
        assert!(last(mixed).starts_with("not ready: 2 blockers, 1 of them to be mended by hand."));
    }

    #[test]
    fn json_keeps_boot_and_support_apart() {
        let check = report(vec![item("a", Severity::Blocker, wrong("p1", "x", Remedy::Fix))]);
        let json = serde_json::to_value(&check).unwrap();
        assert_eq!(json["ready"], false);
        assert_eq!(json["ready_after_fix"], true);
        assert_eq!(json["supported"]["answer"], "unknown");
        assert_eq!(json["items"][0]["verdict"], "wrong");
        assert_eq!(json["items"][0]["remedy"], "fix");
        assert_eq!(json["items"][0]["evidence"][0]["place"], "p1");
    }
}
