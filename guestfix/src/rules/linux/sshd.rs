//! linux.sshd

use super::systemd;
use crate::rule::Evidence;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A server for logins that does not start.
pub(in crate::rules) struct Sshd;

static META: RuleMeta = RuleMeta {
    id: "linux.sshd",
    title: "sshd starts at boot",
    phase: Phase::Network,
    severity: Severity::Warning,
    cause: "On EC2 one may have come in by Systems Manager only, whose agent has nothing to talk to on Azure. Without sshd the serial console is the \
            only way in.",
    fix: "None: whether a machine is to be reached by ssh is for its owner to say.",
    source: "Microsoft Learn, Prepare for agentless migration (Enable ssh), 2026; sshd(8), 2026-11",
};

const CONFIG: &str = "/etc/ssh/sshd_config";
const UNITS: &[&str] = &["sshd.service", "ssh.service", "sshd.socket", "ssh.socket"];
/// Upstart starts it by this.
const UPSTART: &str = "/etc/init/ssh.conf";

impl Rule for Sshd {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        if !guest.view.exists(CONFIG)? {
            return Ok(Finding::NotApplicable("sshd is not installed"));
        }
        let starts = !systemd::started(guest.view, UNITS)?.is_empty() || guest.view.exists(UPSTART)?;
        let evidence = (!starts).then(|| Evidence::new(CONFIG, "nothing starts sshd at boot"));
        Ok(Finding::from_evidence(evidence.into_iter().collect()))
    }

    fn fix(&self, _stage: &mut Stage<'_>) -> Result<Fixed> {
        Ok(Fixed::ByHand(
            "systemctl enable sshd in the running machine, or be ready to log in on the serial console"
                .into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn an_sshd_that_is_not_started_is_named() {
        let bench = Bench::debian().file(CONFIG, "UsePAM yes\n");
        assert_eq!(bench.findings(&Sshd), [format!("{CONFIG}: nothing starts sshd at boot")]);
        bench.by_hand(&Sshd);
        for link in [
            "/etc/systemd/system/multi-user.target.wants/sshd.service",
            "/etc/rc3.d/S55sshd",
            "/etc/systemd/system/sockets.target.wants/ssh.socket",
        ] {
            assert_eq!(bench.clone().link(link, "/x").findings(&Sshd), [""; 0], "{link}");
        }
    }
}
