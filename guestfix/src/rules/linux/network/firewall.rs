//! linux.firewall

use crate::firewall::{self, Door};
use crate::rule::{Applies, Pack, Source};
use crate::text::lines;
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A firewall of the guest's own that lets nobody in.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.firewall",
        title: "the guest's own firewall lets ssh in, whatever the card and the network are called",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "A firewall that lets ssh in on ens5 only, or from a net of the VPC only, or not at all \
                because one came in by Systems Manager, shuts everybody out on Azure.",
        fix: "let ssh in on any card in the running machine (ufw allow ssh, firewall-cmd --permanent \
              --add-service=ssh), or be ready to do so on the serial console",
        source: &[
            Source::new("firewalld.zone(5)", "", "2026-11"),
            Source::new("ufw(8)", "", "2026-11"),
            Source::new("nft(8)", "", "2026-11"),
            Source::new("iptables-save(8)", "", "2026-11"),
            Source::new("Microsoft Learn", "Prepare for agentless migration", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

const SSHD: &str = "/etc/ssh/sshd_config";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let view = guest.view;
    let Some(text) = view.text(SSHD)? else { return Ok(Finding::NotApplicable("sshd is not installed")) };
    if lines(&text).any(|line| line.words().next().is_some_and(|word| word.eq_ignore_ascii_case("port"))) {
        return Ok(Finding::NotApplicable("sshd listens at a port of its own"));
    }
    let (mut evidence, mut unread) = (Vec::new(), Vec::new());
    for door in firewall::doors(view, guest.goal.target.platform)? {
        match door {
            Door::Shut(what) | Door::Limited(what) => evidence.push(what),
            Door::Unknown(what) | Door::Unread(what) => unread.push(what),
        }
    }
    Ok(match evidence.is_empty() && !unread.is_empty() {
        true => Finding::Unknown { unread },
        false => Finding::from_evidence(evidence),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn what_a_firewall_does_is_told() {
        let nft = |rules: &str| {
            let text = format!(
                "table ip f {{\n chain i {{\n type filter hook input priority 0; policy drop\n {rules}\n }}\n}}\n"
            );
            Bench::debian()
                .file(SSHD, "UsePAM yes\n")
                .link("/etc/systemd/system/multi-user.target.wants/nftables.service", "/x")
                .file("/etc/nftables.conf", text)
        };
        let shut = nft("iif lo accept");
        assert_eq!(shut.findings(&RULE), ["/etc/nftables.conf: lets no ssh in"]);
        assert!(shut.by_hand(&RULE).contains("ufw allow ssh"));
        assert_eq!(shut.file(SSHD, "Port 2222\n").findings(&RULE), [""; 0]);
        assert_eq!(nft("tcp dport 22 accept").findings(&RULE), [""; 0]);
        assert_eq!(
            nft("ip saddr 10.0.0.0/8 tcp dport 22 accept").findings(&RULE),
            ["/etc/nftables.conf: lets ssh in only from 10.0.0.0/8"]
        );
    }
}
