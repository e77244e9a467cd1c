//! linux.agent.installed

use crate::rule::Evidence;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A guest without the Azure agent.
pub(in crate::rules) struct AgentInstalled;

static META: RuleMeta = RuleMeta {
    id: "linux.agent.installed",
    title: "the Azure Linux agent is installed",
    phase: Phase::Agent,
    severity: Severity::Note,
    cause: "The machine boots without it, but extensions, password reset and run-command do not work.",
    fix: "None offline: it is a package, and nothing of the guest is run. Install it after the first boot.",
    source: "Microsoft Learn, Azure Linux Agent overview, 2026; Creating VMs without the agent (no-agent), 2026",
};

impl Rule for AgentInstalled {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        if guest.facts.os.is_none() {
            return Ok(Finding::NotApplicable("no Linux system was found"));
        }
        let missing = !guest.facts.agents.contains(&"walinuxagent");
        let evidence =
            missing.then(|| Evidence::new("/usr/sbin/waagent", "the Azure agent is not installed"));
        Ok(Finding::from_evidence(evidence.into_iter().collect()))
    }

    fn fix(&self, _stage: &mut Stage<'_>) -> Result<Fixed> {
        Ok(Fixed::ByHand(
            "install the package walinuxagent (WALinuxAgent), and hyperv-daemons where there is one, after the first boot on Azure".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_guest_without_the_agent_is_noted() {
        let bare = Bench::debian().without("/usr/sbin/waagent");
        assert_eq!(bare.findings(&AgentInstalled), ["/usr/sbin/waagent: the Azure agent is not installed"]);
        bare.by_hand(&AgentInstalled);
    }
}
