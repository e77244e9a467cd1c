//! windows.agents.aws

use super::super::values::{Change, System, To, finding, stage, start_in_words};
use crate::platform::aws;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Programs that talk to AWS.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.agents.aws",
        title: "no agent of AWS is started",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Warning,
        cause: "Agents of AWS set names, passwords and routes by a metadata service that is not there, or, \
                still registered, take orders from the old account.",
        fix: "The start of their services is 4, disabled, in every control set. Nothing is uninstalled.",
        source: &[Source::new(
            "EC2Config, EC2Launch, Systems Manager and CloudWatch user guides",
            "",
            "2026",
        )],
        applies: Applies::WINDOWS,
    },
    detect: |guest| Ok(finding(wanted(guest)?)),
    fix: Some(|staged| {
        let changes = wanted(&staged.guest()?)?;
        stage(staged, changes)
    }),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for name in aws::windows::AGENTS {
        for key in system.services(name)? {
            let start = system.hive.dword(&key, "Start")?;
            if start != Some(4) {
                changes.push(Change::new(SYSTEM, key, "Start", To::Dword(4), start_in_words(start)));
            }
        }
    }
    Ok(changes)
}
