//! linux.cloud-init

use crate::facts::Agent;
use crate::rule::{Applies, CloudInit as Policy, Evidence, Pack, Place, Source};
use crate::rules::linux::network;
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
              becomes Azure, it forgets the instance on EC2, and it is told to keep host keys, hostname, \
              network, and what is in /mnt. A network that it configured until now is configured without it.",
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
/// Read after all others: used where one that is read after ours says something else.
const LAST_DATASOURCE: &str = "zz-azure_datasource.cfg";
const DATASOURCE_TEXT: &str = "# for Azure (refloat)\n\
                               datasource_list: [ Azure ]\n\
                               datasource:\n  Azure:\n    apply_network_config: false\n";
const SPECIALIZED: &str = "95-azure-specialized.cfg";
const LAST_SPECIALIZED: &str = "zz-azure-specialized.cfg";
/// What keeps a machine as it is, each key with its value.
const KEPT: [(&[&str], &str); 6] = [
    (&["ssh_deletekeys"], "false"),
    (&["preserve_hostname"], "true"),
    (&["manage_etc_hosts"], "false"),
    (&["users"], "[]"),
    (&["network", "config"], "disabled"),
    // with this it takes the instance that it knows for the one that it is on
    (&["manual_cache_clean"], "false"),
];
/// The instance that it knows: a link to a folder.
const INSTANCE: &str = "/var/lib/cloud/instance";
/// Where it mounts the temporary disk of Azure, whatever is there.
const TEMPORARY: &str = "/mnt";
const MOUNTS: &[&str] = &["mounts"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if !guest.facts.agents.contains(&Agent::CloudInit) {
        return Ok(Finding::NotApplicable("cloud-init is not installed"));
    }
    let view = guest.view;
    if guest.goal.cloud_init == Policy::Azure {
        return Ok(match guest.goal.target.platform.data_source {
            Some(wanted) => Finding::from_evidence(faults(view, wanted)?),
            None => Finding::NotApplicable("the target has no data source for cloud-init"),
        });
    }
    // One that keeps the machine as it is need not be disabled.
    let is_kept = match guest.goal.target.platform.data_source {
        Some(wanted) => faults(view, wanted)?.is_empty(),
        None => false,
    };
    if is_kept || view.exists(DISABLED)? {
        return Ok(Finding::Ok);
    }
    let (place, what) = match datasources(view)? {
        Some((place, list)) => (place, format!("cloud-init looks for {list}")),
        None => (Place::file("/etc/cloud/cloud.cfg"), "cloud-init looks for any cloud".into()),
    };
    Ok(Finding::from_evidence(vec![Evidence::new(place, what)]))
}

/// What keeps a cloud-init with this data source alone from running, or lets it change the machine.
fn faults(view: &dyn View, wanted: &str) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    if view.exists(DISABLED)? {
        out.push(Evidence::new(DISABLED, "cloud-init is disabled"));
    }
    match datasources(view)? {
        Some((_, list)) if list == wanted => {}
        Some((place, list)) => out.push(Evidence::new(place, format!("cloud-init looks for {list}"))),
        None => out.push(Evidence::new(CONFIGS, "no datasource_list")),
    }
    if view.exists(DS_IDENTIFY)? {
        out.push(Evidence::new(DS_IDENTIFY, "chooses the data source before the configuration does"));
    }
    for (key, value) in KEPT {
        match last(view, key)? {
            Some((_, set)) if set.eq_ignore_ascii_case(value) => {}
            Some((place, set)) => out.push(Evidence::new(place, format!("{}: {set}", key.join(".")))),
            None => out.push(Evidence::new(CONFIGS, format!("no {}: {value}", key.join(".")))),
        }
    }
    let known = view.text(&format!("{INSTANCE}/datasource"))?.unwrap_or_default();
    if view.lstat(INSTANCE)?.is_some() && !known.contains(wanted) {
        let source = known.split(':').next().unwrap_or_default().trim().to_owned();
        out.push(Evidence::new(INSTANCE, format!("is an instance of another cloud: {source}")));
    }
    if !view.list(TEMPORARY)?.is_empty() && last(view, MOUNTS)?.is_none() {
        out.push(Evidence::new(TEMPORARY, "has files, and the temporary disk is mounted over them"));
    }
    Ok(out)
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let had_address = network::has_address(stage)?;
    let guest = stage.guest()?;
    if guest.goal.cloud_init == Policy::Disable {
        stage.put(DISABLED, "# made by refloat: this machine came from EC2 and keeps its identity\n")?;
    } else {
        keep(stage)?;
        let guest = stage.guest()?;
        let left = faults(guest.view, guest.goal.target.platform.data_source.unwrap_or_default())?;
        if let Some(fault) = left.first() {
            return Ok(Fixed::ByHand(format!("{fault}: change what is read after refloat's files")));
        }
    }
    if had_address { network::keep_address(stage) } else { Ok(Fixed::Staged) }
}

/// Keeps it, with Azure as its source, and the machine as it is.
fn keep(stage: &mut Stage<'_>) -> Result<()> {
    let view = stage.guest()?.view;
    let mut text = "# for Azure (refloat): this machine has its identity already\n".to_owned();
    let mut later = false;
    for (key, value) in KEPT {
        text += &match key {
            [section, key] => format!("{section}:\n  {key}: {value}\n"),
            _ => format!("{}: {value}\n", key.concat()),
        };
        later |= last(view, key)?.is_some_and(|(place, _)| is_later(&place, SPECIALIZED));
    }
    if !view.list(TEMPORARY)?.is_empty() && last(view, MOUNTS)?.is_none() {
        text += "# the temporary disk is not mounted over what is in /mnt\nmounts:\n  - [ ephemeral0 ]\n";
    }
    let after = datasources(view)?.is_some_and(|(place, _)| is_later(&place, DATASOURCE));
    let name = if after { LAST_DATASOURCE } else { DATASOURCE };
    stage.put(&format!("{CONFIGS}/{name}"), DATASOURCE_TEXT)?;
    let name = if later { LAST_SPECIALIZED } else { SPECIALIZED };
    stage.put(&format!("{CONFIGS}/{name}"), text)?;
    for path in [DS_IDENTIFY, DISABLED, INSTANCE] {
        stage.remove(path)?;
    }
    Ok(())
}

/// Whether a file is read after that of this name.
fn is_later(place: &Place, name: &str) -> bool {
    let file = place.path().and_then(|path| path.rsplit('/').next());
    file.is_some_and(|file| file > name && file != "cloud.cfg")
}

/// The files of its configuration, in the order in which they are read.
fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec!["/etc/cloud/cloud.cfg".to_owned()];
    files.extend(view.glob(CONFIGS, ".cfg")?);
    Ok(files)
}

/// Where a key has its last value, and that.
fn last(view: &dyn View, key: &[&str]) -> Result<Option<(Place, String)>> {
    let mut last = None;
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for node in outline(&text).into_iter().filter(|node| node.path == key) {
            last = Some((Place::line(&file, node.line), node.value.to_owned()));
        }
    }
    Ok(last)
}

/// Where the data sources are named last, and which they are, with commas between them.
fn datasources(view: &dyn View) -> Result<Option<(Place, String)>> {
    let mut last = None;
    for file in files(view)? {
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
    use crate::elf::testing::library;
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
        assert_eq!(bench.findings(&RULE).len(), 2 + KEPT.len());
        bench.mended(&RULE, |view| {
            assert!(view.exists("/etc/cloud/cloud.cfg.d/91-azure_datasource.cfg").unwrap());
            assert!(!view.exists(DS_IDENTIFY).unwrap());
            let text = view.text("/etc/cloud/cloud.cfg.d/95-azure-specialized.cfg").unwrap().unwrap();
            assert!(text.contains("ssh_deletekeys: false") && !text.contains("mounts:"), "{text}");
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

    /// Finding F8: what it knows of EC2, and what it would do to a machine that is not new.
    #[test]
    fn nothing_of_the_instance_on_ec2_is_left_to_it() {
        const DATASOURCE: &str = "/var/lib/cloud/instances/i-0a/datasource";
        let kept = || {
            let instance = on_ec2().file(DATASOURCE, "DataSourceEc2Local: DataSourceEc2Local\n");
            instance.link(INSTANCE, "/var/lib/cloud/instances/i-0a").cloud_init(Policy::Azure)
        };
        let found = kept().findings(&RULE);
        assert!(found.contains(&format!("{INSTANCE}: is an instance of another cloud: DataSourceEc2Local")));
        kept().mended(&RULE, |view| assert!(view.lstat(INSTANCE).unwrap().is_none()));
        let azure = kept().file(DATASOURCE, "DataSourceAzure: DataSourceAzure [seed=/dev/sr0]\n");
        assert!(!azure.findings(&RULE).iter().any(|one| one.starts_with(INSTANCE)));
        // Each key that a file of the user sets, read before ours or after.
        for name in ["10-mine.cfg", "99-mine.cfg"] {
            let mine = format!("{CONFIGS}/{name}");
            for line in [
                "manual_cache_clean: true",
                "ssh_deletekeys: true",
                "preserve_hostname: false",
                "manage_etc_hosts: true",
                "users: [default]",
                "network: {config: {version: 1}}",
            ] {
                let bench = kept().file(&mine, format!("{line}\n"));
                let found = bench.findings(&RULE);
                let key = line.split(':').next().unwrap();
                assert!(found.iter().any(|one| one.contains(key)), "{line}: {found:?}");
                bench.mended(&RULE, |_| {});
            }
        }
        let after_ours = format!("{CONFIGS}/zzz-mine.cfg");
        let by_hand = kept().file(&after_ours, "manual_cache_clean: true\n").by_hand(&RULE);
        assert!(by_hand.starts_with(&format!("{after_ours}:1: manual_cache_clean: true")), "{by_hand}");
        let data = kept().file("/mnt/orders.csv", "1,2\n");
        assert!(
            data.findings(&RULE)
                .contains(&format!("{TEMPORARY}: has files, and the temporary disk is mounted over them"))
        );
        let text = data.mended_text(&RULE, "/etc/cloud/cloud.cfg.d/95-azure-specialized.cfg");
        assert!(text.ends_with("mounts:\n  - [ ephemeral0 ]\n"), "{text}");
    }

    /// Finding F8: a check that was not told of the policy does not warn of what the policy made.
    #[test]
    fn one_that_was_kept_well_is_not_warned_of() {
        let kept = on_ec2().cloud_init(Policy::Azure);
        let names =
            ["91-azure_datasource.cfg", "95-azure-specialized.cfg"].map(|name| format!("{CONFIGS}/{name}"));
        let texts = [0, 1].map(|index| kept.mended_text(&RULE, &names[index]));
        let fixed = on_ec2().without(DS_IDENTIFY).file(&names[0], &texts[0]).file(&names[1], &texts[1]);
        assert_eq!(fixed.findings(&RULE), [""; 0]);
        assert_eq!(fixed.without(&names[1]).findings(&RULE).len(), 1);
    }

    /// What it would have written for the network is written by us.
    #[test]
    fn a_network_that_it_configured_is_configured_without_it() {
        let unit = "/usr/lib/systemd/system/cloud-init-local.service";
        let pinned = "[Match]\nName=ens5\n[Network]\nDHCP=yes\n";
        let bench = Bench::without_network()
            .manager("networkd")
            .file("/etc/systemd/network/20-ens5.network", pinned)
            .file("/etc/cloud/cloud.cfg", "datasource_list: [ Ec2, Azure ]\n")
            .file(unit, "[Service]\nExecStart=/usr/bin/cloud-init init --local\n")
            .link("/etc/systemd/system/cloud-init.target.wants/cloud-init-local.service", unit)
            .program("/usr/bin/cloud-init", library(&[]));
        assert_eq!(bench.findings(&network::RULE), [""; 0]);
        for policy in [Policy::Disable, Policy::Azure] {
            let text =
                bench.clone().cloud_init(policy).mended_text(&RULE, "/etc/systemd/network/10-azure.network");
            assert!(text.contains("DHCP=yes"), "{text}");
        }
    }
}
