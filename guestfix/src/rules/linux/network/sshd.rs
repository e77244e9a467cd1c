//! linux.sshd

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::{linewise, systemd};
use crate::systemd::{OWN, Unit};
use crate::text::Line;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A server for logins that does not start.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.sshd",
        title: "sshd starts at boot, and answers at any address",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "On EC2 one may have come in by Systems Manager only, whose agent has nothing to talk to on \
                Azure. Where sshd is installed and nothing starts it, or it listens at an address of the VPC \
                only, the serial console is the only way in, and the machine is not ready.",
        fix: "The unit of sshd is enabled, unless it is masked. A ListenAddress of EC2 becomes 0.0.0.0. The \
              rest is for the running machine (AllowUsers without an address), or the serial console.",
        source: &[
            Source::new("Microsoft Learn", "Prepare for agentless migration (Enable ssh)", "2026"),
            Source::new("sshd(8)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const CONFIG: &str = "/etc/ssh/sshd_config";
const UNITS: &[&str] = &["sshd.service", "ssh.service", "sshd.socket", "ssh.socket"];
const BY_HAND: &str = "see to it in the running machine (systemctl enable sshd, AllowUsers without an address), or \
                       be ready to log in on the serial console";
/// Upstart starts it by this.
const UPSTART: &str = "/etc/init/ssh.conf";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if !guest.view.exists(CONFIG)? {
        return Ok(Finding::NotApplicable("sshd is not installed"));
    }
    let starts = is_started(guest.view)?;
    let mut evidence: Vec<Evidence> = Vec::new();
    evidence.extend((!starts).then(|| Evidence::new(CONFIG, "nothing starts sshd at boot")));
    evidence.extend(linewise::faults(guest.view, &files(guest.view)?, bound)?);
    Ok(Finding::from_evidence(evidence))
}

/// Has the first unit that is there and not masked started at boot, if none is.
fn enable(stage: &mut Stage<'_>) -> Result<()> {
    let view = stage.guest()?.view;
    if is_started(view)? {
        return Ok(());
    }
    for unit in ["sshd.service", "ssh.service"] {
        if let Unit::There { name, path } = Unit::find(view, unit)? {
            return stage.put_link(&format!("{OWN}/multi-user.target.wants/{name}"), &path);
        }
    }
    Ok(())
}

fn is_started(view: &dyn View) -> Result<bool> {
    Ok(!systemd::started(view, UNITS)?.is_empty() || view.exists(UPSTART)?)
}

/// The files of its configuration.
fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec![CONFIG.to_owned()];
    files.extend(view.glob("/etc/ssh/sshd_config.d", ".conf")?);
    Ok(files)
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let files = files(stage.guest()?.view)?;
    linewise::rewrite(stage, &files, anywhere)?;
    enable(stage)?;
    Ok(match detect(&stage.guest()?)? {
        Finding::Ok => Fixed::Staged,
        _ => Fixed::ByHand(BY_HAND.into()),
    })
}

/// A line by which sshd listens at one address, with any address in its place.
fn anywhere(line: &Line<'_>) -> Option<String> {
    let mut words = line.words();
    let key = words.next().filter(|key| key.eq_ignore_ascii_case("listenaddress"))?;
    let address = bound(line).and(words.next())?;
    let port = match split(address).1 {
        "" => String::new(),
        port => format!(":{port}"),
    };
    Some(format!("{key} 0.0.0.0{port}"))
}

/// An address, and the port behind it.
fn split(address: &str) -> (&str, &str) {
    let parts = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.trim_start_matches(':'))),
        None if address.matches(':').count() == 1 => address.split_once(':'),
        None => None,
    };
    parts.unwrap_or((address, ""))
}

/// A line by which sshd listens, or lets somebody in, at one address or from one net: `ListenAddress
/// 10.0.0.5`, `AllowUsers admin@10.0.*`.
fn bound(line: &Line<'_>) -> Option<String> {
    let mut words = line.words();
    let key = words.next()?.to_ascii_lowercase();
    let is_open = |address: &str| matches!(split(address).0, "0.0.0.0" | "::" | "*" | "127.0.0.1" | "::1");
    let hit = match key.as_str() {
        "listenaddress" => !words.next().is_none_or(is_open),
        "allowusers" => {
            let mut hosts = words.map(|user| user.split_once('@').map(|(_, host)| host));
            // one who may come from anywhere is enough
            hosts.all(|host| host.is_some_and(|host| !is_open(host)))
        }
        _ => false,
    };
    hit.then(|| format!("{}, an address on EC2", line.body.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn an_sshd_that_is_not_started_is_named() {
        let bench = Bench::debian().file(CONFIG, "UsePAM yes\n");
        assert_eq!(bench.findings(&RULE), [format!("{CONFIG}: nothing starts sshd at boot")]);
        bench.by_hand(&RULE);
        let unit = "/lib/systemd/system/ssh.service";
        let there = bench.clone().file(unit, "[Service]\nExecStart=/usr/sbin/sshd -D\n");
        there.mended(&RULE, |view| {
            let link = "/etc/systemd/system/multi-user.target.wants/ssh.service";
            assert_eq!(view.read_link(link).unwrap().as_deref(), Some(unit));
        });
        there.link("/etc/systemd/system/ssh.service", "/dev/null").by_hand(&RULE);
        for link in [
            "/etc/systemd/system/multi-user.target.wants/sshd.service",
            "/etc/rc3.d/S55sshd",
            "/etc/systemd/system/sockets.target.wants/ssh.socket",
        ] {
            assert_eq!(bench.clone().link(link, "/x").findings(&RULE), [""; 0], "{link}");
        }
    }

    #[test]
    fn an_sshd_for_one_net_is_named() {
        let config = "ListenAddress 0.0.0.0\nListenAddress 10.0.0.5\nAllowUsers admin@10.0.* ops@10.1.*\n";
        let started = |config: &str| {
            Bench::debian()
                .file(CONFIG, config)
                .link("/etc/systemd/system/multi-user.target.wants/sshd.service", "/x")
        };
        assert_eq!(
            started(config).findings(&RULE),
            [
                format!("{CONFIG}:2: ListenAddress 10.0.0.5, an address on EC2"),
                format!("{CONFIG}:3: AllowUsers admin@10.0.* ops@10.1.*, an address on EC2")
            ]
        );
        assert!(started(config).by_hand(&RULE).contains("AllowUsers without an address"));
        let addresses =
            "UsePAM yes\nListenAddress 10.0.0.5\nlistenaddress 10.0.0.5:2222\nListenAddress [fd00::5]:22\n";
        assert_eq!(
            started(addresses).mended_text(&RULE, CONFIG),
            "UsePAM yes\nListenAddress 0.0.0.0\nlistenaddress 0.0.0.0:2222\nListenAddress 0.0.0.0:22\n"
        );
        let fine =
            "#ListenAddress 10.0.0.5\nListenAddress ::\nAllowUsers admin@10.0.* ops\nAllowGroups wheel\n";
        assert_eq!(started(fine).findings(&RULE), [""; 0]);
    }
}
