//! windows.system.pending-updates

use super::super::values::open;
use crate::registry::SOFTWARE;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

const KEY: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending";
const LIST: &str = "/Windows/WinSxS/pending.xml";

/// Updates that were begun.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.system.pending-updates",
        title: "no update waits for the next start",
        pack: Pack::Windows,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "An update that ends at the first start on other hardware takes its time, and is undone where \
                it fails: the machine looks dead for long.",
        fix: "Restart the guest where it runs until nothing is pending, and take a new snapshot.",
        source: &[Source::new("Microsoft Learn", "Azure VM startup is stuck on Windows Update", "2026")],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    if open(guest, SOFTWARE)?.key(KEY)?.is_some() {
        evidence.push(Evidence::new(SOFTWARE.place(KEY, None), "asks for a restart"));
    }
    if guest.view.stat(LIST)?.is_some() {
        evidence.push(Evidence::new(LIST, "lists what the next start is to do"));
    }
    Ok(Finding::from_evidence(evidence))
}
