//! windows.system.version

use super::super::values::{System, build, builds};
use crate::registry::{SOFTWARE, SYSTEM};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A Windows without drivers for Hyper-V, or for another processor.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.system.version",
        title: "it is Windows 7, Server 2008 R2 or later, for 64 bits",
        pack: Pack::Windows,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "Older versions have no drivers for Hyper-V in the box, and Azure takes no Windows for 32 bits.",
        fix: "Upgrade the guest where it runs, or move what it does to a newer one.",
        source: &[Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026")],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    let build = build(guest)?;
    if build < builds::SEVEN {
        let place = SOFTWARE.place(r"Microsoft\Windows NT\CurrentVersion", Some("CurrentBuildNumber"));
        evidence.push(Evidence::new(place, format!("is {build}: 7601 is the first that Azure takes")));
    }
    let system = System::of(guest)?;
    let key = format!(r"{}\Control\Session Manager\Environment", system.default_set()?);
    let place = SYSTEM.place(&key, Some("PROCESSOR_ARCHITECTURE"));
    match system.hive.text(&key, "PROCESSOR_ARCHITECTURE")?.as_deref() {
        Some(found) if found.eq_ignore_ascii_case("AMD64") => {}
        Some(found) => evidence.push(Evidence::new(place, format!("is {found}, and not AMD64"))),
        None => return Ok(Finding::unknown(place, "is not there")),
    }
    Ok(Finding::from_evidence(evidence))
}
