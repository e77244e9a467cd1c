//! linux.cloud-init

use crate::facts::Agent;
use crate::rule::{Applies, CloudInit as Policy, Evidence, Pack, Place, Source};
use crate::text::yaml_outline::outline;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// cloud-init, which takes a machine on another cloud for a new one.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.cloud-init",
        title: "cloud-init does not reconfigure the machine",
        pack: Pack::Linux,
        phase: Phase::Identity,
        severity: Severity::Warning,
        cause: "On Azure cloud-init finds another instance than on EC2, or looks for EC2 for minutes: it \
                then makes new ssh host keys, users and a hostname, and writes the network anew.",
        fix: "It is disabled by /etc/cloud/cloud-init.disabled. If asked to keep it, its only data source \
              becomes Azure, and it is told to keep host keys, hostname and network.",
        source: &[
            Source::new("cloud-init documentation", "Disable cloud-init and the Azure datasource", "2026-11"),
            Source::new("Microsoft Learn", "create-upload-generic", "2026-09"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
const CONFIGS: &str = "/etc/cloud/cloud.cfg.d";
const DS_IDENTIFY: &str = "/etc/cloud/ds-identify.cfg";
const DATASOURCE: &str = "91-azure_datasource.cfg";
/// Read after all others: used where one that is read after ours names data sources.
const LAST_DATASOURCE: &str = "zz-azure_datasource.cfg";
const DATASOURCE_TEXT: &str = "# for Azure (refloat)\n\
                               datasource_list: [ Azure ]\n\
                               datasource:\n  Azure:\n    apply_network_config: false\n";
const SPECIALIZED: &str = "/etc/cloud/cloud.cfg.d/95-azure-specialized.cfg";
const SPECIALIZED_TEXT: &str = "# for Azure (refloat): this machine has its identity already\n\
                                ssh_deletekeys: false\n\
                                preserve_hostname: true\n\
                                manage_etc_hosts: false\n\
                                users: []\n\
                                network:\n  config: disabled\n";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if !guest.facts.agents.contains(&Agent::CloudInit) {
        return Ok(Finding::NotApplicable("cloud-init is not installed"));
    }
    let view = guest.view;
    let disabled = view.exists(DISABLED)?;
    let mut evidence = Vec::new();
    match guest.goal.cloud_init {
        Policy::Disable if !disabled => {
            let (place, what) = match datasources(view)? {
                Some((place, list)) => (place, format!("cloud-init looks for {list}")),
                None => (Place::file("/etc/cloud/cloud.cfg"), "cloud-init looks for any cloud".into()),
            };
            evidence.push(Evidence::new(place, what));
        }
        Policy::Disable => {}
        Policy::Azure => {
            let Some(wanted) = guest.goal.target.platform.data_source else {
                return Ok(Finding::NotApplicable("the target has no data source for cloud-init"));
            };
            if disabled {
                evidence.push(Evidence::new(DISABLED, "cloud-init is disabled"));
            }
            match datasources(view)? {
                Some((_, list)) if list == wanted => {}
                Some((place, list)) => {
                    evidence.push(Evidence::new(place, format!("cloud-init looks for {list}")))
                }
                None => evidence.push(Evidence::new(CONFIGS, "no datasource_list")),
            }
            if view.exists(DS_IDENTIFY)? {
                evidence.push(Evidence::new(
                    DS_IDENTIFY,
                    "chooses the data source before the configuration does",
                ));
            }
            if !view.exists(SPECIALIZED)? {
                evidence.push(Evidence::new(SPECIALIZED, "nothing keeps host keys and hostname"));
            }
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    if guest.goal.cloud_init == Policy::Disable {
        stage.put(DISABLED, "# made by refloat: this machine came from EC2 and keeps its identity\n")?;
        return Ok(Fixed::Staged);
    }
    let place = datasources(guest.view)?.map(|(place, _)| place);
    let last = place.as_ref().and_then(Place::path).and_then(|path| path.rsplit('/').next());
    let is_later = last.is_some_and(|last| last > DATASOURCE && last != "cloud.cfg");
    let name = if is_later { LAST_DATASOURCE } else { DATASOURCE };
    stage.put(&format!("{CONFIGS}/{name}"), DATASOURCE_TEXT)?;
    stage.put(SPECIALIZED, SPECIALIZED_TEXT)?;
    stage.remove(DS_IDENTIFY)?;
    stage.remove(DISABLED)?;
    Ok(Fixed::Staged)
}

/// Where the data sources are named last, and which they are, with commas between them.
fn datasources(view: &dyn View) -> Result<Option<(Place, String)>> {
    let mut files = vec!["/etc/cloud/cloud.cfg".to_owned()];
    files.extend(view.glob(CONFIGS, ".cfg")?);
    let mut last = None;
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        for node in outline(&text).into_iter().filter(|node| node.path == ["datasource_list"]) {
            let list = if node.value.is_empty() {
                // block style: the items stand below
                let items =
                    text.lines().skip(node.line).map(str::trim).take_while(|line| line.starts_with('-'));
                items.map(|item| item.trim_start_matches('-').trim()).collect::<Vec<_>>().join(", ")
            } else {
                let items = node.value.trim_matches(['[', ']']).split(',');
                items.map(|item| item.trim().trim_matches(['"', '\''])).collect::<Vec<_>>().join(", ")
            };
            last = Some((Place::line(&file, node.line), list));
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    fn on_ec2() -> Bench {
        Bench::debian()
            .file("/etc/cloud/cloud.cfg", "users:\n  - default\n")
            .file("/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "# dpkg\ndatasource_list: [ Ec2, None ]\n")
            .file(DS_IDENTIFY, "datasource: Ec2\n")
    }

    #[test]
    fn it_is_disabled_unless_asked_for() {
        assert_eq!(
            on_ec2().findings(&RULE),
            ["/etc/cloud/cloud.cfg.d/90_dpkg.cfg:2: cloud-init looks for Ec2, None"]
        );
        on_ec2().mended(&RULE, |view| assert!(view.exists(DISABLED).unwrap()));
    }

    #[test]
    fn it_is_led_to_azure_if_asked_for() {
        let bench = on_ec2().cloud_init(Policy::Azure);
        assert_eq!(bench.findings(&RULE).len(), 3);
        bench.mended(&RULE, |view| {
            assert!(view.exists("/etc/cloud/cloud.cfg.d/91-azure_datasource.cfg").unwrap());
            assert!(!view.exists(DS_IDENTIFY).unwrap());
            assert!(view.text(SPECIALIZED).unwrap().unwrap().contains("ssh_deletekeys: false"));
        });
        let later = bench
            .file("/etc/cloud/cloud.cfg.d/99-mine.cfg", "datasource_list:\n  - Ec2\n")
            .file(DISABLED, "");
        assert_eq!(
            later.findings(&RULE)[1],
            "/etc/cloud/cloud.cfg.d/99-mine.cfg:1: cloud-init looks for Ec2"
        );
        later.mended(&RULE, |view| assert!(!view.exists(DISABLED).unwrap()));
    }
}
