//! windows.agents.aws

use super::super::values::{Change, System, found, mend};
use crate::platform::aws;
use crate::registry::DISABLED;
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
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    System::of(guest)?.starts(aws::windows::AGENTS, DISABLED)
}
