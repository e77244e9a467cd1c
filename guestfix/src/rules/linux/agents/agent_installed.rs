//! linux.agent.installed

use crate::platform::azure;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A guest without the Azure agent.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.agent.installed",
        title: "the Azure Linux agent is installed",
        pack: Pack::Linux,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "The machine boots without it, but extensions, password reset and run-command do not work.",
        fix: "install the package walinuxagent (WALinuxAgent), and hyperv-daemons where there is one, after \
              the first boot on Azure",
        source: &[
            Source::new("Microsoft Learn", "Azure Linux Agent overview", "2026"),
            Source::new("Creating VMs without the agent (no-agent)", "", "2026"),
        ],
        applies: Applies::LINUX.on(&azure::AZURE),
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if guest.facts.os.is_none() {
        return Ok(Finding::NotApplicable("no Linux system was found"));
    }
    let Some(agent) = guest.goal.target.platform.agent else {
        return Ok(Finding::NotApplicable("the target wants no agent"));
    };
    let missing = !guest.facts.agents.contains(&agent.agent);
    let evidence = missing.then(|| Evidence::new(agent.program, "the Azure agent is not installed"));
    Ok(Finding::from_evidence(evidence.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_guest_without_the_agent_is_noted() {
        let bare = Bench::debian().without("/usr/sbin/waagent");
        assert_eq!(bare.findings(&RULE), ["/usr/sbin/waagent: the Azure agent is not installed"]);
        bare.by_hand(&RULE);
    }
}
