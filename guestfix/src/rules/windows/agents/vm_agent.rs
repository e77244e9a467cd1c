//! windows.agents.vm-agent

use super::super::values::System;
use crate::platform::azure::{AZURE, WINDOWS_AGENTS};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// The program by which Azure knows that the machine is up.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.agents.vm-agent",
        title: "the Azure VM agent is installed",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "Without the agent there are no extensions: no reset of passwords, no backup that is \
                consistent, no Azure Monitor. The machine runs.",
        fix: "Install the agent in the guest (github.com/Azure/WindowsVMAgent), before the snapshot or after \
              the start, or create the machine with provisionVMAgent=false.",
        source: &[Source::new("Microsoft Learn", "Azure Windows VM agent overview", "2026")],
        applies: Applies::WINDOWS.on(&AZURE),
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let system = System::of(guest)?;
    let missing = |name: &str| Evidence::new(Place::Platform, format!("there is no service {name}"));
    let mut evidence = Vec::new();
    for name in WINDOWS_AGENTS {
        if system.services(name)?.is_empty() {
            evidence.push(missing(name));
        }
    }
    Ok(Finding::from_evidence(evidence))
}
