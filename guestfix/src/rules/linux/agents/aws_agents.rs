//! linux.aws.agents

use libdisk::vfs::FileType;

use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::rules::linux::{aside, systemd};
use crate::systemd::drop_ins;
use crate::text::{Line, comment_out, lines, rewrite};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Programs that talk to AWS.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.aws.agents",
        title: "no agent of AWS is started, and sshd asks none",
        pack: Pack::Linux,
        phase: Phase::Agent,
        severity: Severity::Warning,
        cause: "Agents of AWS ask a metadata service that is not there, fill logs, or, still registered, \
                take orders from the old account. With EC2 Instance Connect every login waits for that \
                service.",
        fix: "Their units lose the links that start them and are masked; sshd no longer runs their key \
              command; the registration with Systems Manager is kept aside. Nothing is uninstalled.",
        source: &[
            Source::new("AWS Systems Manager and EC2 Instance Connect user guides", "", "2026"),
            Source::new("systemctl(1)", "mask", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const UNITS: &[&str] = &[
    "amazon-ssm-agent.service",
    "snap.amazon-ssm-agent.amazon-ssm-agent.service",
    "amazon-cloudwatch-agent.service",
    "awslogs.service",
    "awslogsd.service",
    "cfn-hup.service",
    "codedeploy-agent.service",
    "ec2-instance-connect.service",
    "ec2-instance-connect-harvest-hostkeys.service",
    "hibagent.service",
    "hibinit-agent.service",
    "ec2-hibinit-agent.service",
    "aws-kinesis-agent.service",
    "awsagent.service",
    "xray.service",
    "ecs.service",
    "set-hostname-imds.service",
    "refresh-policy-routes@.timer",
    "elastic-network-interfaces.service",
    "ec2net-scan.service",
    "cloud-netconfig.service",
    "cloud-netconfig.timer",
    "tiny-ec2-bootstrap.service",
];

/// Drop-ins for sshd's unit: Debian and Ubuntu call it ssh, all others sshd.
const SSHD_UNITS: [&str; 2] = ["ssh.service", "sshd.service"];
/// What makes a machine the one that Systems Manager knows: a file, and a directory of files.
const REGISTRATION: &str = "/var/lib/amazon/ssm/registration";
const VAULT: &str = "/var/lib/amazon/ssm/Vault/Store";
const DROP_IN: &str = "/ec2-instance-connect.conf";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let view = guest.view;
    let mut evidence = systemd::started(view, UNITS)?;
    for path in registration(view)? {
        evidence.push(Evidence::new(path, "registers the machine with AWS Systems Manager"));
    }
    for path in sshd_drop_ins(view)? {
        evidence.push(Evidence::new(path, "sshd asks EC2 Instance Connect for keys at each login"));
    }
    for file in sshd_configs(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for line in key_commands(&text) {
            let what = "sshd asks EC2 Instance Connect for keys at each login";
            evidence.push(Evidence::new(Place::line(&file, line), what));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    systemd::disable_started(stage, UNITS)?;
    for path in registration(stage.guest()?.view)? {
        aside::take(stage, &path)?;
    }
    for path in sshd_drop_ins(stage.guest()?.view)? {
        if path.starts_with("/etc/") {
            stage.remove(&path)?;
        }
    }
    for path in sshd_drop_ins(stage.guest()?.view)? {
        // a file of the same name in /etc wins; one that leads nowhere is as good as none
        if let Some((_, rest)) = path.split_once("/systemd/system/") {
            stage.put_link(&format!("/etc/systemd/system/{rest}"), "/dev/null")?;
        }
    }
    for file in sshd_configs(stage.guest()?.view)? {
        stage.edit(&file, |text| {
            let hit = key_commands(text);
            let asks = |line: &Line<'_>| hit.contains(&line.number);
            rewrite(text, |line| asks(line).then(|| comment_out(line.body, "EC2 Instance Connect")))
        })?;
    }
    Ok(Fixed::Staged)
}

/// The files by which Systems Manager knows the machine.
fn registration(view: &dyn View) -> Result<Vec<String>> {
    let mut files: Vec<_> = view.list(VAULT)?.into_iter().map(|name| format!("{VAULT}/{name}")).collect();
    files.push(REGISTRATION.to_owned());
    let mut out = Vec::new();
    for file in files.into_iter().filter(|file| !file.ends_with(aside::SUFFIX)) {
        if view.lstat(&file)?.is_some_and(|metadata| metadata.file_type == FileType::Regular) {
            out.push(file);
        }
    }
    Ok(out)
}

/// The drop-ins of EC2 Instance Connect that are in force.
fn sshd_drop_ins(view: &dyn View) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for unit in SSHD_UNITS {
        out.extend(drop_ins(view, unit)?.into_iter().filter(|path| path.ends_with(DROP_IN)));
    }
    Ok(out)
}

fn sshd_configs(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec!["/etc/ssh/sshd_config".to_owned()];
    files.extend(view.glob("/etc/ssh/sshd_config.d", ".conf")?);
    Ok(files)
}

/// The lines with a key command of EC2 Instance Connect, and the user it runs as.
fn key_commands(text: &str) -> Vec<usize> {
    let hit = |line: &Line<'_>| {
        let mut words = line.words();
        let (Some(key), Some(value)) = (words.next(), words.next()) else { return false };
        key.eq_ignore_ascii_case("AuthorizedKeysCommand") && value.contains("eic_run_authorized_keys")
            || key.eq_ignore_ascii_case("AuthorizedKeysCommandUser") && value == "ec2-instance-connect"
    };
    lines(text).filter(hit).map(|line| line.number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn units_lose_their_links_and_are_masked() {
        let link = "/etc/systemd/system/multi-user.target.wants/amazon-ssm-agent.service";
        let bench = Bench::debian()
            .file("/usr/lib/systemd/system/amazon-ssm-agent.service", "[Unit]\n")
            .link(link, "/lib/systemd/system/amazon-ssm-agent.service")
            .link("/etc/rc3.d/S99codedeploy-agent", "../init.d/codedeploy-agent");
        assert_eq!(
            bench.findings(&RULE),
            [
                format!("{link}: starts amazon-ssm-agent.service"),
                "/etc/rc3.d/S99codedeploy-agent: starts codedeploy-agent.service".into()
            ]
        );
        let openrc = "/etc/runlevels/default/tiny-ec2-bootstrap";
        Bench::debian()
            .link(openrc, "/etc/init.d/tiny-ec2-bootstrap")
            .mended(&RULE, |view| assert!(view.lstat(openrc).unwrap().is_none()));
        bench.mended(&RULE, |view| {
            assert!(view.lstat(link).unwrap().is_none());
            let mask = view.read_link("/etc/systemd/system/amazon-ssm-agent.service").unwrap();
            assert_eq!(mask.as_deref(), Some("/dev/null"));
        });
    }

    #[test]
    fn a_snap_keeps_its_unit_and_loses_its_link() {
        let unit = "/etc/systemd/system/snap.amazon-ssm-agent.amazon-ssm-agent.service";
        let link =
            "/etc/systemd/system/multi-user.target.wants/snap.amazon-ssm-agent.amazon-ssm-agent.service";
        let bench = Bench::debian().file(unit, "[Unit]\n").link(link, unit);
        bench.mended(&RULE, |view| {
            assert_eq!(view.text(unit).unwrap().as_deref(), Some("[Unit]\n"));
            assert!(view.lstat(link).unwrap().is_none());
        });
    }

    #[test]
    fn the_registration_with_systems_manager_is_kept_aside() {
        let key = format!("{VAULT}/RegistrationKey");
        let bench = Bench::debian().file(&key, "secret").file(REGISTRATION, "{}");
        assert_eq!(bench.findings(&RULE).len(), 2);
        bench.mended(&RULE, |view| {
            assert!(view.lstat(&key).unwrap().is_none() && view.lstat(REGISTRATION).unwrap().is_none());
            assert_eq!(view.text(&format!("{key}.pre-azure")).unwrap().as_deref(), Some("secret"));
        });
    }

    #[test]
    fn sshd_no_longer_asks() {
        let packaged = "/usr/lib/systemd/system/ssh.service.d/ec2-instance-connect.conf";
        let config = "UsePAM yes\nAuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\nAuthorizedKeysCommandUser ec2-instance-connect\n";
        let bench = Bench::debian().file(packaged, "[Service]\n").file("/etc/ssh/sshd_config", config);
        assert_eq!(bench.findings(&RULE).len(), 3);
        bench.mended(&RULE, |view| {
            let mask = view.read_link("/etc/systemd/system/ssh.service.d/ec2-instance-connect.conf").unwrap();
            assert_eq!(mask.as_deref(), Some("/dev/null"));
            let config = view.text("/etc/ssh/sshd_config").unwrap().unwrap();
            assert!(
                config.starts_with("UsePAM yes\n# refloat: EC2 Instance Connect: AuthorizedKeysCommand /opt")
            );
        });
        let other = Bench::debian()
            .file("/etc/ssh/sshd_config", "AuthorizedKeysCommand /usr/bin/sss_ssh_authorizedkeys\n");
        assert_eq!(other.findings(&RULE), [""; 0]);
    }
}
