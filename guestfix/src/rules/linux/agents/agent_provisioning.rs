//! linux.agent.provisioning

use crate::platform::azure;
use crate::rule::{Applies, CloudInit, Evidence, Pack, Place, Source};
use crate::text::{append, ini};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An Azure agent that takes the machine for a new one.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.agent.provisioning",
        title: "the Azure agent does not reconfigure the machine",
        pack: Pack::Linux,
        phase: Phase::Agent,
        severity: Severity::Warning,
        cause: "An agent that provisions makes new ssh host keys, sets the hostname, and waits for a disc \
                of settings that a migrated machine is not given.",
        fix: "waagent.conf says Provisioning.Agent=disabled; the keys for machines made anew are set to n.",
        source: &[
            Source::new(
                "Microsoft Learn",
                "Prepare a RHEL-based VM for Azure (migrating a specific VM)",
                "2026-09",
            ),
            Source::new("WALinuxAgent README", "Configuration", "2026"),
        ],
        applies: Applies::LINUX.on(&azure::AZURE),
    },
    detect,
    fix: Some(fix),
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

fn detect(guest: &Guest<'_>) -> Result<Finding> {
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
        evidence.push(Evidence::new(Place::line(CONFIG, entry.line), format!("{}=y", entry.key)));
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
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
        assert_eq!(bench.findings(&RULE).len(), 2);
        let expected = text.replace("auto", "disabled").replace("Password=y", "Password=n");
        assert_eq!(bench.mended_text(&RULE, CONFIG), expected);
        assert_eq!(bench.cloud_init(CloudInit::Azure).findings(&RULE), [""; 0]);
        let silent = Bench::debian().file(CONFIG, "Provisioning.Enabled=n\n");
        let text = silent.mended_text(&RULE, CONFIG);
        assert_eq!(text, "Provisioning.Enabled=n\n# for Azure (refloat)\nProvisioning.Agent=disabled\n");
    }
}
