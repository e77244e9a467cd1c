//! linux.network.mac-pinned, linux.network.leftovers; linux.network.mtu, linux.network.sriov and
//! linux.network.dhcp-hostname have a file each
//!
//! What is for a card of EC2 is found by one file for each way to configure a network. Whether the card of
//! the target gets an address all the same is what [`network`](crate::network) tells: only if it gets none
//! is that a blocker.

pub(in crate::rules) mod aws_names;
pub(in crate::rules) mod dhcp_hostname;
pub(crate) mod firewall;
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

use crate::network::{self, Answer};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::unread::distinct;
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

/// What is left of the cards of EC2 where the card of Azure gets its address.
pub(in crate::rules) static LEFTOVERS: Rule = Rule {
    meta: RuleMeta {
        id: "linux.network.leftovers",
        title: "no configuration is left of the network cards of EC2",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "The card on Azure gets its address, but what is configured for other cards is waited for at \
                each boot, or fits a card that is added later.",
        fix: "What does not fit is kept aside or becomes a comment.",
        source: &[
            Source::new("systemd-networkd-wait-online.service(8)", "", "2026-11"),
            Source::new("interfaces(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect: detect_leftovers,
    fix: Some(fix),
};

/// All that is for a card of EC2.
fn faults(guest: &Guest<'_>) -> Result<Vec<Evidence>> {
    let mut evidence: Vec<Evidence> = netplan::faults(guest)?;
    evidence.extend(ifupdown::faults(guest.view)?);
    evidence.extend(networkd::faults(guest)?);
    evidence.extend(networkmanager::faults(guest.view)?);
    evidence.extend(ifcfg::faults(guest.view)?);
    evidence.extend(udev::faults(guest.view)?);
    Ok(evidence)
}

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if guest.facts.os.is_none() {
        return Ok(Finding::NotApplicable("there is no operating system"));
    }
    let ways_out = ifcfg::ways_out(guest.view)?;
    let mut evidence = [faults(guest)?, ways_out.clone()].concat();
    match network::answer(guest.view, guest.goal.target.platform)? {
        answer if answer.is_dhcp() => evidence = ways_out,
        Answer::Unknown { what, why } if evidence.is_empty() => return Ok(Finding::unknown(what, why)),
        // A bridge keeps the address that it has.
        Answer::Address { .. } => {}
        answer => evidence.extend(answer.fault()),
    }
    Ok(Finding::from_evidence(distinct(evidence)))
}

fn detect_leftovers(guest: &Guest<'_>) -> Result<Finding> {
    let answer = network::answer(guest.view, guest.goal.target.platform)?;
    if !answer.is_dhcp() {
        return Ok(Finding::NotApplicable("linux.network.mac-pinned looks at them"));
    }
    Ok(Finding::from_evidence(faults(guest)?))
}

/// Stages what a manager needs to give the card an address; answers whether it is at work.
type Give = fn(&mut Stage<'_>) -> Result<bool>;

const GIVE: [Give; 5] = [netplan::give, networkd::give, networkmanager::give, ifupdown::give, ifcfg::give];

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    netplan::mend(stage)?;
    ifupdown::mend(stage)?;
    networkd::mend(stage)?;
    networkmanager::mend(stage)?;
    ifcfg::mend(stage)?;
    udev::mend(stage)?;
    if lacks(stage)?.is_some() {
        for give in GIVE {
            if give(stage)? {
                break;
            }
        }
    }
    match lacks(stage)? {
        None => Ok(Fixed::Staged),
        Some(fault) => Ok(Fixed::ByHand(format!(
            "{fault}: see to it, in the running machine, that eth0 is configured by DHCP, with the client that \
             its tool needs; then take a new snapshot"
        ))),
    }
}

/// Whether the card gets an address.
pub(in crate::rules) fn has_address(stage: &mut Stage<'_>) -> Result<bool> {
    Ok(lacks(stage)?.is_none())
}

/// Configures the card where it had an address until now, as another rule takes away what gave it.
pub(in crate::rules) fn keep_address(stage: &mut Stage<'_>) -> Result<Fixed> {
    if has_address(stage)? { Ok(Fixed::Staged) } else { fix(stage) }
}

/// What keeps the card from an address.
fn lacks(stage: &mut Stage<'_>) -> Result<Option<Evidence>> {
    let guest = stage.guest()?;
    let answer = network::answer(guest.view, guest.goal.target.platform)?;
    Ok(if matches!(answer, Answer::Address { .. }) { None } else { answer.fault() })
}

/// Whether a name is one that the kernel or systemd gives a card: ens5, enp0s3, enX0, eth1; as against those of
/// bridges and tunnels, and those that people give.
fn is_card_name(name: &str) -> bool {
    let prefixes = ["ens", "enp", "eno", "enx", "enX", "eth"];
    let rest = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()))
}

/// The text with a card's name changed wherever it is a word by itself, or stands before the number of a VLAN.
fn renamed(text: &str, from: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(from) {
        let (before, behind) = (&rest[..at], &rest[at + from.len()..]);
        let is_word = !before.ends_with(is_part) && !before.ends_with('.') && !behind.starts_with(is_part);
        out.push_str(before);
        out.push_str(if is_word { NAME } else { from });
        rest = behind;
    }
    out + rest
}

/// The name of the first card on Azure: further cards are configured where they are added.
const NAME: &str = "eth0";

/// Whether it is that name.
fn is_azure_name(interface: &str) -> bool {
    interface == NAME
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    /// A guest whose network this program configures.
    fn started(name: &str) -> Bench {
        Bench::without_network().manager(name)
    }

    fn ifupdown(text: &str, client: bool) -> Bench {
        let bench = started("ifupdown").file("/etc/network/interfaces", text);
        if client { bench } else { bench.without("/sbin/dhclient") }
    }

    /// Finding F4: others know the card by the name that a file gives it on EC2.
    #[test]
    fn a_name_that_other_files_use_stays_the_card_s() {
        let (link, network) = ("/etc/systemd/network/10-lan0.link", "/etc/systemd/network/20-lan0.network");
        let dhcp = "[Match]\nName=lan0\n\n[Network]\nDHCP=yes\n";
        for pin in ["Driver=ena", "MACAddress=0a:ff:c0:a8:01:0a", "Path=pci-0000:00:05.0"] {
            let bench = started("networkd")
                .file(link, format!("[Match]\n{pin}\n\n[Link]\nName=lan0\n"))
                .file(network, dhcp);
            assert!(!bench.findings(&RULE).is_empty(), "{pin}");
            let gone = format!(
                "[Match]\nDriver=hv_netvsc\n# refloat: a network card of EC2: {pin}\n\n[Link]\nName=lan0\n"
            );
            bench.mended(&RULE, |view| {
                assert_eq!(view.text(link).unwrap().unwrap(), gone);
                assert_eq!(view.text(network).unwrap().unwrap(), dhcp);
            });
        }
        // A name by a udev rule goes, and the card is configured by its own.
        let rules = "/etc/udev/rules.d/70-persistent-net.rules";
        let bench = ifupdown("auto lan0\niface lan0 inet dhcp\n", true)
            .file(rules, "SUBSYSTEM==\"net\", ATTR{address}==\"0a:ff\", NAME=\"lan0\"\n");
        let text = bench.mended_text(&RULE, "/etc/network/interfaces");
        assert!(text.ends_with("auto eth0\niface eth0 inet dhcp\n"), "{text}");
    }

    /// Finding F5.
    #[test]
    fn the_card_is_managed_under_its_new_name() {
        let conf = "/etc/NetworkManager/conf.d/10-only.conf";
        let text = "[keyfile]\nunmanaged-devices=*,except:interface-name:ens5\n";
        let bench = started("NetworkManager").file(conf, text);
        assert_eq!(bench.findings(&RULE).len(), 2, "the list, and what it does to the card");
        assert_eq!(bench.mended_text(&RULE, conf), text.replace("ens5", "eth0"));
        let all = "[keyfile]\nunmanaged-devices=interface-name:eth*\n";
        let forbidden = started("NetworkManager").file(conf, all);
        assert!(forbidden.by_hand(&RULE).contains("NetworkManager does not manage eth0"));
    }

    /// Finding F6: a bridge or bond gets the card as its port, and keeps its address.
    #[test]
    fn what_is_over_the_card_has_the_new_card() {
        let interfaces = "/etc/network/interfaces";
        let bridge =
            "auto ens5\niface ens5 inet manual\n\nauto br0\niface br0 inet dhcp\n    bridge_ports ens5\n";
        let fixed = bridge.replace("inet dhcp", "inet static\n    address 10.0.0.5/24");
        let vlan = "auto ens5\niface ens5 inet dhcp\n\nauto ens5.7\niface ens5.7 inet dhcp\n    vlan-raw-device ens5\n";
        for text in [bridge, &bridge.replace("bridge_ports", "bond-slaves"), &fixed, vlan] {
            let scripts = ["bridge", "ifenslave"].map(|name| format!("/etc/network/if-pre-up.d/{name}"));
            let bench = scripts.iter().fold(ifupdown(text, true), |bench, path| bench.file(path, ""));
            assert_eq!(bench.mended_text(&RULE, interfaces), text.replace("ens5", "eth0"));
        }
        let netplan = "/etc/netplan/50-cloud-init.yaml";
        let why = "# refloat: a network card of EC2: ";
        for (kind, list) in [("bridges", "interfaces: [ens5]"), ("bonds", "interfaces: [ens5]")] {
            let text = |card: &str, why: &str| {
                format!(
                    "network:\n  version: 2\n  ethernets:\n    {card}:\n{why}      match:\n{why}        macaddress: 0a:ff\n\
                     {why}      set-name: ens5\n      dhcp4: false\n  {kind}:\n    x0:\n      {}\n      dhcp4: true\n",
                    list.replace("ens5", card)
                )
            };
            let bench = started("netplan").file(netplan, text("ens5", ""));
            let expected = text("eth0", why).replace("set-name: ens5", "set-name: eth0");
            assert_eq!(bench.mended_text(&RULE, netplan), expected, "{kind}");
        }
        let (card, over) = ("/etc/systemd/network/10-ens5.network", "/etc/systemd/network/20-br0.network");
        let bench = started("networkd")
            .file(card, "[Match]\nName=ens5\n\n[Network]\nBridge=br0\n")
            .file(over, "[Match]\nName=br0\n\n[Network]\nDHCP=yes\n");
        let new = format!("[Match]\nDriver=hv_netvsc\n{why}Name=ens5\n\n[Network]\nBridge=br0\n");
        assert_eq!(bench.mended_text(&RULE, card), new);

        let dir = "/etc/sysconfig/network-scripts";
        let red_hat = started("network")
            .file(&format!("{dir}/ifcfg-ens5"), "DEVICE=ens5\nHWADDR=0a:ff\nONBOOT=yes\nBRIDGE=br0\n")
            .file(&format!("{dir}/ifcfg-br0"), "DEVICE=br0\nTYPE=Bridge\nBOOTPROTO=dhcp\n");
        let port = format!("DEVICE=eth0\n{why}HWADDR=0a:ff\nONBOOT=yes\nBRIDGE=br0\n");
        assert_eq!(red_hat.mended_text(&RULE, &format!("{dir}/ifcfg-eth0")), port);

        let dir = "/etc/sysconfig/network";
        let suse = started("wicked")
            .file(&format!("{dir}/ifcfg-ens5"), "BOOTPROTO='none'\nSTARTMODE='hotplug'\n")
            .file(&format!("{dir}/ifcfg-br0"), "BOOTPROTO='dhcp'\nSTARTMODE='auto'\nBRIDGE_PORTS='ens5'\n");
        suse.mended(&RULE, |view| {
            let text = |name: &str| view.text(&format!("{dir}/{name}")).unwrap().unwrap();
            assert!(text("ifcfg-br0").ends_with("BRIDGE_PORTS='eth0'\n"));
            assert_eq!(text("ifcfg-eth0"), "BOOTPROTO='none'\nSTARTMODE='hotplug'\n");
        });
    }

    /// Finding F7.
    #[test]
    fn a_client_that_is_not_installed_is_named_and_nothing_is_changed() {
        let text = "auto eth0\niface eth0 inet static\n    address 10.0.0.5/24\n";
        assert!(ifupdown(text, false).by_hand(&RULE).contains("no DHCP client (dhclient) is installed"));
        let new = ifupdown(text, true).mended_text(&RULE, "/etc/network/interfaces");
        assert!(new.ends_with("iface eth0 inet dhcp\n"), "{new}");
        let red_hat = started("network").without("/sbin/dhclient").file(
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            "DEVICE=eth0\nBOOTPROTO=static\nIPADDR=10.0.0.5\n",
        );
        assert!(red_hat.by_hand(&RULE).contains("no DHCP client (dhclient) is installed"));
        // NetworkManager, networkd and wicked bring their own.
        let manager = started("NetworkManager").secret(
            "/etc/NetworkManager/system-connections/a.nmconnection",
            "[connection]\ntype=ethernet\n[ipv4]\nmethod=manual\naddress1=10.0.0.5/24\n",
        );
        manager.mended(&RULE, |_| {});
    }

    /// Finding F10.
    #[test]
    fn what_does_not_matter_is_a_warning_at_most() {
        let stock = "network:\n  version: 2\n  ethernets:\n    all-en:\n      match:\n        name: en*\n      dhcp4: true\n    all-eth:\n      match:\n        name: eth*\n      dhcp4: true\n";
        let netplan = |text: &str| started("netplan").file("/etc/netplan/90-default.yaml", text);
        for rule in [&RULE, &LEFTOVERS] {
            assert_eq!(netplan(stock).findings(rule), [""; 0]);
        }
        let only = stock.split("    all-eth:").next().unwrap();
        assert!(!netplan(only).findings(&RULE).is_empty(), "no file is for eth0");
        netplan(only).mended(&RULE, |view| assert!(view.exists("/etc/netplan/90-azure.yaml").unwrap()));

        let two = ifupdown("auto eth0 eth1\niface eth0 inet dhcp\niface eth1 inet dhcp\n", true);
        assert_eq!(two.findings(&RULE), [""; 0]);
        assert!(!two.findings(&LEFTOVERS).is_empty());
        assert_eq!(LEFTOVERS.meta.severity, Severity::Warning);
        two.mended(&LEFTOVERS, |_| {});
    }

    #[test]
    fn names_are_replaced_where_they_are_words() {
        assert_eq!(
            renamed("ens5 ens50 xens5 ens5.7 [ens5,\"ens5\"] my-ens5 ens5", "ens5"),
            "eth0 ens50 xens5 eth0.7 [eth0,\"eth0\"] my-ens5 eth0"
        );
    }
}
