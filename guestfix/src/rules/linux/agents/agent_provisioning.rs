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
        fix: "waagent.conf says Provisioning.Agent=disabled, or cloud-init if that is kept; the keys for \
              machines made anew are set to n.",
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
    let mut evidence = Vec::new();
    if !is_right(guest.goal.cloud_init, ini::values(&text, "", AGENT).last().copied()) {
        evidence.push(Evidence::new(CONFIG, format!("{AGENT} is not {}", wanted(guest.goal.cloud_init))));
    }
    for entry in ini::entries(&text).into_iter().filter(never) {
        evidence.push(Evidence::new(Place::line(CONFIG, entry.line), format!("{}=y", entry.key)));
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let policy = stage.guest()?.goal.cloud_init;
    stage.edit(CONFIG, |text| {
        let text = ini::edit(text, |entry| match entry.key {
            AGENT => (!is_right(policy, Some(entry.value))).then(|| wanted(policy).into()),
            _ => never(entry).then(|| "n".into()),
        });
        let set = ini::values(&text, "", AGENT).last().copied();
        if is_right(policy, set) {
            return text;
        }
        append(&text, &format!("# for Azure (refloat)\n{AGENT}={}", wanted(policy)))
    })?;
    Ok(Fixed::Staged)
}

/// Who is to provision: nobody, or cloud-init alone.
fn wanted(policy: CloudInit) -> &'static str {
    match policy {
        CloudInit::Disable => "disabled",
        CloudInit::Azure => "cloud-init",
    }
}

/// Whether the key has a value by which the agent itself provisions nothing. With "auto" it leaves that to a
/// cloud-init that is enabled; without the key, older ones do it themselves.
fn is_right(policy: CloudInit, value: Option<&str>) -> bool {
    match policy {
        CloudInit::Disable => value == Some("disabled"),
        CloudInit::Azure => matches!(value, Some("cloud-init" | "auto" | "disabled")),
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
        assert_eq!(bench.findings(&RULE).len(), 2);
        let expected = text.replace("auto", "disabled").replace("Password=y", "Password=n");
        assert_eq!(bench.mended_text(&RULE, CONFIG), expected);
        // Finding F8: a machine that is not new keeps its keys and disks, whoever provisions.
        let cloud_init = bench.cloud_init(CloudInit::Azure);
        assert_eq!(cloud_init.findings(&RULE), ["/etc/waagent.conf:3: Provisioning.DeleteRootPassword=y"]);
        assert_eq!(cloud_init.mended_text(&RULE, CONFIG), text.replace("Password=y", "Password=n"));
        for key in NEVER {
            let file = format!("Provisioning.Agent=cloud-init\n{key}=y\n");
            let bench = Bench::debian().cloud_init(CloudInit::Azure).file(CONFIG, &file);
            assert_eq!(bench.mended_text(&RULE, CONFIG), file.replace("=y", "=n"), "{key}");
        }
        for old in ["Provisioning.Agent=waagent\n", "# nothing\n"] {
            let bench = Bench::debian().cloud_init(CloudInit::Azure).file(CONFIG, old);
            assert!(bench.mended_text(&RULE, CONFIG).ends_with("Provisioning.Agent=cloud-init\n"), "{old}");
        }
        let silent = Bench::debian().file(CONFIG, "Provisioning.Enabled=n\n");
        let text = silent.mended_text(&RULE, CONFIG);
        assert_eq!(text, "Provisioning.Enabled=n\n# for Azure (refloat)\nProvisioning.Agent=disabled\n");
    }
}
