//! linux.agent.provisioning

use crate::rule::{CloudInit, Evidence};
use crate::text::{append, ini};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An Azure agent that takes the machine for a new one.
pub(in crate::rules) struct AgentProvisioning;

static META: RuleMeta = RuleMeta {
    id: "linux.agent.provisioning",
    title: "the Azure agent leaves the machine what it is",
    phase: Phase::Agent,
    severity: Severity::Warning,
    cause: "An agent that provisions makes new ssh host keys, sets the hostname, and waits for a disc of settings that a migrated machine is not given.",
    fix: "waagent.conf says Provisioning.Agent=disabled; the keys for machines made anew are set to n.",
    source: "Microsoft Learn, Prepare a RHEL-based VM for Azure (migrating a specific VM), 2026-09; WALinuxAgent README, Configuration, 2026",
};

const CONFIG: &str = "/etc/waagent.conf";
const AGENT: &str = "Provisioning.Agent";
/// Each destroys something that a machine with an identity has.
const NEVER: [&str; 4] = [
    "Provisioning.Enabled",
    "Provisioning.DeleteRootPassword",
    "Provisioning.RegenerateSshHostKeyPair",
    "ResourceDisk.Format",
];

impl Rule for AgentProvisioning {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let Some(text) = guest.view.text(CONFIG)? else {
            return Ok(Finding::NotApplicable("the Azure agent is not configured"));
        };
        if guest.goal.cloud_init == CloudInit::Azure {
            return Ok(Finding::NotApplicable("cloud-init provisions the machine"));
        }
        let mut evidence = Vec::new();
        if ini::values(&text, "", AGENT).last() != Some(&"disabled") {
            evidence.push(Evidence::new(CONFIG, format!("{AGENT} is not disabled")));
        }
        for entry in ini::entries(&text).into_iter().filter(never) {
            evidence.push(Evidence::new(format!("{CONFIG}:{}", entry.line), format!("{}=y", entry.key)));
        }
        Ok(Finding::from_evidence(evidence))
    }

    fn fix(&self, stage: &mut Stage<'_>) -> Result<Fixed> {
        stage.edit(CONFIG, |text| {
            let text = ini::edit(text, |entry| match entry.key {
                AGENT => Some("disabled".into()),
                _ => never(entry).then(|| "n".into()),
            });
            let is_set = !ini::values(&text, "", AGENT).is_empty();
            if is_set { text } else { append(&text, &format!("# for Azure (refloat)\n{AGENT}=disabled")) }
        })?;
        Ok(Fixed::Staged)
    }
}

fn never(entry: &ini::Entry<'_>) -> bool {
    NEVER.contains(&entry.key) && entry.value == "y"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn provisioning_is_switched_off() {
        let text =
            "# agent\nProvisioning.Agent=auto\nProvisioning.DeleteRootPassword=y\nResourceDisk.Format=n\n";
        let bench = Bench::debian().file(CONFIG, text);
        assert_eq!(bench.findings(&AgentProvisioning).len(), 2);
        let expected = text.replace("auto", "disabled").replace("Password=y", "Password=n");
        assert_eq!(bench.mended_text(&AgentProvisioning, CONFIG), expected);
        assert_eq!(bench.cloud_init(CloudInit::Azure).findings(&AgentProvisioning), [""; 0]);
        let silent = Bench::debian().file(CONFIG, "Provisioning.Enabled=n\n");
        let text = silent.mended_text(&AgentProvisioning, CONFIG);
        assert_eq!(text, "Provisioning.Enabled=n\n# for Azure (refloat)\nProvisioning.Agent=disabled\n");
    }
}
