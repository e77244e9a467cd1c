//! linux.network.mac-pinned; linux.network.mtu, linux.network.sriov and linux.network.dhcp-hostname have a
//! file each
//!
//! One rule for all ways to configure a network, one file for each. On Azure the network card is eth0
//! (`hv_netvsc` has no place on a bus that a name could be made of, so it keeps the kernel's name), with
//! another address than on EC2, and DHCP tells it all.

pub(in crate::rules) mod aws_names;
pub(in crate::rules) mod dhcp_hostname;
pub(in crate::rules) mod firewall;
mod ifcfg;
mod ifupdown;
pub(in crate::rules) mod mtu;
mod netplan;
mod networkd;
mod networkmanager;
pub(in crate::rules) mod sriov;
pub(in crate::rules) mod sshd;
mod udev;
pub(in crate::rules) mod vpc_resolver;

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A network that fits one card, or one name, of EC2.
pub(crate) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.network.mac-pinned",
        title: "the network card of Azure gets its address by DHCP",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Blocker,
        cause: "A configuration that names the card's hardware address, its name on EC2 (ens5), its driver \
                (ena) or a fixed address does not fit the card on Azure: the machine boots and nobody \
                reaches it.",
        fix: "What does not fit is kept aside or becomes a comment, and eth0 is configured by DHCP with the \
              tool that the guest uses.",
        source: &[
            Source::new("Microsoft Learn", "Prepare for agentless migration and create-upload-*", "2026-09"),
            Source::new("Azure/AzMigrate-Hydration 4337598c", "", "2026"),
            Source::new("amazon-ec2-net-utils 80-ec2.network", "", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence: Vec<Evidence> = netplan::faults(guest)?;
    evidence.extend(ifupdown::faults(guest.view)?);
    evidence.extend(networkd::faults(guest)?);
    evidence.extend(networkmanager::faults(guest.view)?);
    evidence.extend(ifcfg::faults(guest.view)?);
    evidence.extend(udev::faults(guest.view)?);
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    netplan::mend(stage)?;
    ifupdown::mend(stage)?;
    networkd::mend(stage)?;
    networkmanager::mend(stage)?;
    ifcfg::mend(stage)?;
    udev::mend(stage)?;
    Ok(Fixed::Staged)
}

/// Whether a card on Azure may have this name: further cards are configured where they are added.
fn is_azure_name(interface: &str) -> bool {
    interface == "eth0"
}
