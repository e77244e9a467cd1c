//! What people and programs are told of a check.
//!
//! Whether a guest will boot and whether anybody supports it there are two answers, and stay two.

mod drift;
pub mod escape;
mod gate;
mod html;
mod jsonl;
mod junit;
mod kind;
mod markdown;
mod migrate_csv;
mod page;
mod readiness;
mod sarif;
mod support;
mod text;

use std::fmt;

use serde::Serialize;

use crate::View;
use crate::device::Device;
use crate::facts::{Machine, Os, OsKind, Volume};
use crate::handover::licence::{self, Note};
use crate::plan::{Check, Count, Item, Verdict};
use crate::rule::Goal;
use crate::sizing::Sizing;

pub use drift::{Changed, ChangedHop, Drift};
pub use gate::{FailOn, Gate, Gated, Waiver};
pub use kind::Kind;
pub use page::{Ink, Line, Page};
pub use readiness::{Readiness, Suitability, code};
pub use support::{Listing, Support};
pub use text::{evidence, severity};

/// The schema of a report as JSON.
pub const SCHEMA: &str = "refloat.check/4";

/// What the guest is, for the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Summary {
    /// "Ubuntu 22.04.4 LTS"; `None` if it is no operating system that we know.
    pub os: Option<String>,
    /// Its kind.
    pub kind: Option<OsKind>,
    /// `ID` of os-release; "windows".
    pub id: Option<String>,
    /// `VERSION_ID`; the build of a Windows.
    pub version: Option<String>,
    /// Its host name.
    pub host: Option<String>,
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Root {
    /// "ext4".
    pub kind: String,
    /// Of the volume, in bytes.
    pub size: u64,
    /// In bytes, the file system's own structures included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// The answer of `check`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// The image as the user named it.
    pub image: String,
    /// Where it is to boot.
    pub goal: Goal,
    /// What it is.
    pub guest: Summary,
    /// Will it boot: every rule that can stand in the way, and applies, says that all is well as it is now,
    /// and the boot walk comes to the login.
    pub ready: bool,
    /// Will it boot once a plan is applied.
    pub ready_after_fix: bool,
    /// Is it supported there: another question.
    pub supported: Support,
    /// The answer in Azure's own words; `None` for a target that is not Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure: Option<Readiness>,
    /// What becomes of licences, subscriptions and activation; never nothing.
    pub licence: Vec<Note>,
    /// What Azure would give it; `None` for a target that is not Azure, or where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizing: Option<Sizing>,
    /// What changed since an earlier report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// What came of waivers and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gated>,
    /// How many rules say what.
    pub count: Count,
    /// What every rule says, by phase.
    #[serde(flatten)]
    pub check: Check,
    /// The disks and what is on them, which `inspect` tells.
    #[serde(skip)]
    pub machine: Machine,
    /// What a plan changes, for reports that [show it](Kind::shows_changes); a plan has it as data.
    #[serde(skip)]
    pub changes: Vec<Page>,
    /// What to do next, a command or a sentence each.
    #[serde(skip)]
    pub next: Vec<String>,
    /// What people are to be told besides: that a pack is old, that a waiver has expired.
    #[serde(skip)]
    pub remarks: Vec<String>,
    /// Whether people are shown what the further packs found, not how much alone.
    #[serde(skip)]
    pub detailed: bool,
}

impl Report {
    /// Puts the answer together; `view` is the guest that was checked.
    pub fn new(image: &str, view: &dyn View, goal: &Goal, check: Check) -> Self {
        let machine = view.machine().clone();
        let os = check.facts.os.peek().clone();
        let host = check.facts.hostname.peek().clone();
        let supported = Support::of(os.as_ref(), goal.target.platform);
        Self {
            image: image.to_owned(),
            goal: goal.clone(),
            guest: Summary { host, ..Summary::new(&machine, os.as_ref()) },
            ready: check.ready(),
            ready_after_fix: check.fixable(),
            azure: Readiness::of(goal.target, &check, os.as_ref(), &supported),
            supported,
            licence: licence::notes(os.as_ref(), has_sql_server(&check)),
            sizing: None,
            drift: None,
            gate: None,
            count: check.count(),
            check,
            machine,
            changes: Vec::new(),
            next: Vec::new(),
            remarks: Vec::new(),
            detailed: false,
        }
    }

    /// The most bytes that are moved of the machine: what its file systems use, and all of what is no known file
    /// system; empty space between partitions is not.
    pub fn used(&self) -> u64 {
        let used = |volume: &Volume| match (&volume.device, volume.free) {
            // A logical volume is in what is on the disks already.
            (Device::Logical(_), _) => 0,
            (device, free) => device.size().saturating_sub(free.unwrap_or(0)),
        };
        self.machine.volumes.iter().map(used).fold(0, u64::saturating_add)
    }

    /// What every rule says, of whatever pack, those of the pack `boot` first.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.check.items.iter().chain(self.check.packs.iter().flat_map(|pack| &pack.items))
    }
}

/// Whether a rule of a further pack found SQL Server.
fn has_sql_server(check: &Check) -> bool {
    let mut items = check.packs.iter().flat_map(|pack| &pack.items);
    items.any(|item| item.rule == "azure-vm.sql-server" && matches!(item.verdict, Verdict::Wrong { .. }))
}

impl Summary {
    /// From what is known.
    pub fn new(machine: &Machine, os: Option<&Os>) -> Self {
        let bios = (!machine.bios.is_empty()).then_some("BIOS");
        let uefi = (!machine.uefi.is_empty()).then_some("UEFI");
        let root = machine.volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some("/"));
        let root = root.map(|volume| {
            let size = volume.device.size();
            let used = volume.free.map(|free| size.saturating_sub(free));
            Root { kind: volume.kind_name().unwrap_or_default().to_owned(), size, used }
        });
        Self {
            os: os.map(|os| os.pretty_name.clone()),
            kind: os.map(|os| os.kind),
            id: os.map(|os| os.id.clone()),
            version: os.and_then(|os| os.version.clone()),
            host: None,
            arch: os.and_then(|os| os.arch),
            firmware: bios.into_iter().chain(uefi).collect(),
            partitions: machine.volumes.iter().filter(|volume| volume.number > 0).count(),
            root,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.os.as_deref().unwrap_or("no known operating system"))?;
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
            write!(f, ", {kind} root {:.digits$} {unit}", count(*size))?;
            if let Some(used) = used {
                write!(f, " ({:.digits$} used)", count(*used))?;
            }
        }
        Ok(())
    }
}

/// "1 disk", "3 disks".
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootwalk;
    use crate::facts::Facts;
    use crate::plan::{Item, Remedy, Verdict};
    use crate::platform::azure;
    use crate::rule::{Evidence, Place};
    use crate::{Phase, Severity};

    fn report(items: Vec<Item>) -> Report {
        let root = Root { kind: "ext4".into(), size: 8 << 30, used: Some((21 << 30) / 10) };
        let guest = Summary {
            os: Some("Ubuntu 22.04.4".into()),
            kind: Some(OsKind::Linux),
            id: Some("ubuntu".into()),
            version: Some("22.04".into()),
            host: Some("web01".into()),
            arch: Some("x86_64"),
            firmware: vec!["UEFI"],
            partitions: 3,
            root: Some(root),
        };
        let walk = bootwalk::sample::arriving();
        let check = Check {
            items,
            shortages: Vec::new(),
            walk,
            walk_after_fix: None,
            packs: Vec::new(),
            unread: Vec::new(),
            steps: Vec::new(),
            facts: Facts::default(),
        };
        Report {
            image: "u.qcow2".into(),
            goal: Goal::new(&azure::GEN2),
            guest,
            ready: check.ready(),
            ready_after_fix: check.fixable(),
            supported: Support::of(None, &crate::platform::azure::AZURE),
            azure: None,
            licence: Vec::new(),
            sizing: None,
            drift: None,
            gate: None,
            count: check.count(),
            check,
            machine: Machine::default(),
            changes: Vec::new(),
            next: Vec::new(),
            remarks: Vec::new(),
            detailed: false,
        }
    }

    fn item(rule: &'static str, severity: Severity, verdict: Verdict) -> Item {
        Item { rule, title: "t", phase: Phase::Boot, severity, verdict, unread: Vec::new() }
    }

    fn unknown(rule: &'static str, severity: Severity, path: &str) -> Item {
        let unread = vec![Evidence::new(path, "is a directory, not a file")];
        Item { unread, ..item(rule, severity, Verdict::Unknown) }
    }

    fn wrong(place: impl Into<Place>, what: &str, remedy: Remedy) -> Verdict {
        Verdict::Wrong { evidence: vec![Evidence::new(place, what)], remedy }
    }

    #[test]
    fn it_looks_as_the_design_shows() {
        let by_hand = Remedy::ByHand { what: "install it".into() };
        let two = vec![
            Evidence::new(Place::line("/etc/fstab", 3), "names \x1b/dev/xvda1"),
            Evidence::new(Place::line("/etc/fstab", 4), "names /dev/xvda2"),
        ];
        let report = report(vec![
            item(
                "linux.agent.installed",
                Severity::Note,
                wrong(Place::volume("p1"), "no walinuxagent", by_hand),
            ),
            item(
                "linux.fstab.device-names",
                Severity::Blocker,
                Verdict::Wrong { evidence: two, remedy: Remedy::Fix },
            ),
            item(
                "linux.initramfs.hyperv",
                Severity::Blocker,
                wrong("/boot/initrd", "lacks hv_storvsc", Remedy::Fix),
            ),
            unknown("linux.minor", Severity::Warning, "/etc/x"),
            unknown("linux.tls", Severity::Blocker, "/etc/x"),
            item("linux.other", Severity::Blocker, Verdict::Ok),
            item("linux.another", Severity::Warning, Verdict::NotApplicable { why: "no such thing" }),
        ]);
        let expected = "\
Ubuntu 22.04.4, x86_64, UEFI; 3 partitions, ext4 root 8.0 GiB (2.1 used)

BLOCKER  linux.fstab.device-names  can fix
         /etc/fstab:3: names \\u{1b}/dev/xvda1 (and 1 more, shown by -v)
BLOCKER  linux.initramfs.hyperv  can fix
         /boot/initrd: lacks hv_storvsc
BLOCKER  linux.tls  unknown
         /etc/x: is a directory, not a file (1 rule more cannot tell)
NOTE     linux.agent.installed  by hand
         p1: no walinuxagent
         fix: install it
ok       1, not applicable 1, unknown 2

boot walk: firmware → menu → kernel → root → init → target → mounts → network → login
support: the operating system is not known
";
        assert_eq!(report.page(false).to_string(), expected);
        assert_eq!(report.answer(), "not ready: 1 rule cannot tell, 2 blockers, both fixable");
        let all = report.page(true).to_string();
        assert!(all.contains("         /etc/fstab:4: names /dev/xvda2\n") && !all.contains("more, shown"));
    }

    #[test]
    fn a_small_root_is_measured_in_mib() {
        let root = |size, used| Summary {
            os: None,
            kind: None,
            id: None,
            version: None,
            host: None,
            arch: None,
            firmware: Vec::new(),
            partitions: 1,
            root: Some(Root { kind: "ext4".into(), size, used: Some(used) }),
        };
        let text = root(64 << 20, 5 << 20).to_string();
        assert_eq!(text, "no known operating system; 1 partition, ext4 root 64 MiB (5 used)");
        assert!(root(1 << 30, 5 << 20).to_string().ends_with("root 1.0 GiB (0.0 used)"));
    }

    #[test]
    fn the_answer_counts_what_needs_a_hand() {
        let answer = |items| report(items).answer();
        let by_hand = || wrong(Place::DISK, "x", Remedy::ByHand { what: "y".into() });
        let fix = || wrong(Place::DISK, "x", Remedy::Fix);
        assert_eq!(answer(vec![]), "ready");
        let blind = |severity| vec![unknown("a", severity, "/etc/fstab")];
        assert_eq!(answer(blind(Severity::Blocker)), "not ready: 1 rule cannot tell");
        assert_eq!(answer(blind(Severity::Note)), "ready");
        assert_eq!(answer(vec![item("a", Severity::Warning, fix())]), "ready, with 1 warning");
        assert_eq!(
            answer(vec![item("a", Severity::Blocker, by_hand())]),
            "not ready: 1 blocker, which needs a manual fix"
        );
        let mixed = vec![item("a", Severity::Blocker, fix()), item("b", Severity::Blocker, by_hand())];
        assert_eq!(answer(mixed), "not ready: 2 blockers, 1 of them needs a manual fix");
    }

    #[test]
    fn json_keeps_boot_and_support_apart() {
        let place = Place::line("/etc/fstab", 3);
        let check = report(vec![item("a", Severity::Blocker, wrong(place, "x", Remedy::Fix))]);
        let json = serde_json::to_value(&check).unwrap();
        assert_eq!(json["ready"], false);
        assert_eq!(json["ready_after_fix"], true);
        assert_eq!(json["supported"]["answer"], "unknown");
        assert_eq!(json["items"][0]["verdict"], "wrong");
        assert_eq!(json["items"][0]["remedy"], "fix");
        let place = serde_json::json!({ "kind": "file", "path": "/etc/fstab", "line": 3 });
        assert_eq!(json["items"][0]["evidence"][0]["place"], place);
        assert_eq!(json["count"]["wrong"], 1);
        let blind = report(vec![unknown("a", Severity::Blocker, "/etc/fstab")]);
        let json = serde_json::to_value(&blind).unwrap();
        assert_eq!((&json["ready"], &json["ready_after_fix"]), (&false.into(), &false.into()));
        assert_eq!(json["items"][0]["verdict"], "unknown");
        assert_eq!(json["items"][0]["unread"][0]["what"], "is a directory, not a file");
    }
}
