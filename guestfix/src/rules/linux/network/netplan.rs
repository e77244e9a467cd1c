//! netplan: YAML in `/etc/netplan`. Files that do not fit are moved aside as a whole, and one of ours is
//! written; where the card is a port of a bridge, bond or VLAN, it is renamed instead.

use super::{is_azure_name, is_card_name, renamed};
use crate::glob::matches;
use crate::rule::{Evidence, Place};
use crate::rules::linux::aside;
use crate::text::yaml_outline::{Node, items, outline};
use crate::text::{comment_out, rewrite};
use crate::{Guest, Result, Stage, View};

const OURS: &str = "/etc/netplan/90-azure.yaml";

/// With the name of the driver to be filled in. As in Azure's own images: eth0 is waited for, cards added
/// later are not.
const TEXT: &str = "\
# for Azure (refloat)
network:
  version: 2
  ethernets:
    eth0:
      match:
        driver: DRIVER
        name: eth0
      dhcp4: true
      dhcp4-overrides:
        route-metric: 100
    hotplugged:
      match:
        driver: DRIVER
        name: \"!eth0\"
      dhcp4: true
      dhcp4-overrides:
        route-metric: 200
      optional: true
";

/// What ours says, for this driver.
fn text(driver: &str) -> String {
    TEXT.replace("DRIVER", driver)
}

pub(super) fn faults(guest: &Guest<'_>) -> Result<Vec<Evidence>> {
    let driver = guest.goal.target.platform.drivers.network;
    let mut out = Vec::new();
    for file in files(guest.view)? {
        let text = guest.view.text(&file)?.unwrap_or_default();
        let faults = faults_in(&text, driver);
        out.extend(faults.into_iter().map(|(line, what)| Evidence::new(Place::line(&file, line), what)));
    }
    Ok(out)
}

pub(super) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    let guest = stage.guest()?;
    let (view, driver) = (guest.view, guest.goal.target.platform.drivers.network);
    let (mut moved, mut manager) = (Vec::new(), false);
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        manager |= outline(&text)
            .iter()
            .any(|node| node.path == ["network", "renderer"] && node.value == "NetworkManager");
        if !faults_in(&text, driver).is_empty() {
            moved.push((file, port(&text)));
        }
    }
    let mut ours = false;
    for (file, port) in moved {
        match port {
            Some(port) => drop(stage.edit(&file, |text| with_port(text, &port))?),
            None => {
                aside::take(stage, &file)?;
                ours = true;
            }
        }
    }
    if ours { put(stage, manager) } else { Ok(()) }
}

/// Writes ours where netplan is installed and nothing of it is for the card.
pub(super) fn give(stage: &mut Stage<'_>) -> Result<bool> {
    let view = stage.guest()?.view;
    let mut manager = false;
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        let is_manager =
            |node: &Node<'_>| node.path == ["network", "renderer"] && node.value == "NetworkManager";
        manager |= outline(&text).iter().any(is_manager);
    }
    let at_work =
        view.exists("/usr/lib/systemd/system-generators/netplan")? && view.exists("/etc/netplan")?;
    if at_work {
        put(stage, manager)?;
    }
    Ok(at_work)
}

fn put(stage: &mut Stage<'_>, manager: bool) -> Result<()> {
    let driver = stage.guest()?.goal.target.platform.drivers.network;
    let renderer = if manager { "  version: 2\n  renderer: NetworkManager\n" } else { "  version: 2\n" };
    stage.put_mode(OURS, text(driver).replace("  version: 2\n", renderer), 0o600)
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    view.glob("/etc/netplan", ".yaml")
}

/// The card, by its identifier, that a bridge or bond has as a port, or that a VLAN is over.
fn port(text: &str) -> Option<String> {
    let nodes = outline(text);
    let cards: Vec<&str> = nodes
        .iter()
        .filter_map(|node| match node.path.as_slice() {
            ["network", "ethernets", id] => Some(*id),
            _ => None,
        })
        .collect();
    let ports = nodes.iter().filter(|node| {
        matches!(
            node.path.as_slice(),
            ["network", "bridges" | "bonds", _, "interfaces"] | ["network", "vlans", _, "link"]
        )
    });
    ports.flat_map(|node| items(text, node)).find(|port| cards.contains(port)).map(str::to_owned)
}

/// The text with the card of EC2 replaced by that of Azure, whatever else is there.
fn with_port(text: &str, port: &str) -> String {
    let nodes = outline(text);
    let pinned: Vec<usize> = nodes
        .iter()
        .filter(|node| match node.path.as_slice() {
            ["network", "ethernets", id, key, ..] => {
                *id == port && matches!(*key, "match" | "set-name" | "macaddress")
            }
            _ => false,
        })
        .map(|node| node.line)
        .collect();
    let text = rewrite(text, |line| {
        pinned.contains(&line.number).then(|| comment_out(line.body, "a network card of EC2"))
    });
    renamed(&text, port)
}

/// Lines that do not fit a card on Azure.
fn faults_in(text: &str, driver: &str) -> Vec<(usize, String)> {
    let nodes = outline(text);
    let mut out = Vec::new();
    for node in &nodes {
        let ["network", "ethernets", interface, rest @ ..] = node.path.as_slice() else { continue };
        let has_match = || nodes.iter().any(|other| is_match(other, interface));
        match rest {
            [] if !has_match() && !is_azure_name(interface) && is_card_name(interface) => {
                out.push((node.line, format!("{interface} is not the card's name on Azure")));
            }
            ["match", "macaddress"] => {
                out.push((node.line, format!("{interface} is matched by its address {}", node.value)))
            }
            ["match", "driver"] if !items(text, node).iter().any(|glob| matches(glob, driver)) => {
                out.push((node.line, format!("{interface} is matched by its driver {}", node.value)));
            }
            ["match", "name"] if !fits(node.value) => {
                out.push((node.line, format!("{interface} is matched by its name {}", node.value)));
            }
            ["macaddress"] => out.push((node.line, format!("{interface} gets the address {}", node.value))),
            ["set-name"] if !is_azure_name(node.value) => {
                out.push((node.line, format!("{interface} is named {}", node.value)))
            }
            ["addresses"] => out.push((node.line, format!("{interface} has fixed addresses"))),
            _ => {}
        }
    }
    out
}

fn is_match(node: &Node<'_>, interface: &str) -> bool {
    node.path == ["network", "ethernets", interface, "match"]
}

/// Whether a glob of names may mean eth0, or is there for whatever other cards there are.
fn fits(glob: &str) -> bool {
    matches(glob, super::NAME) || glob.contains(['*', '?', '[', '!'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::azure::AZURE;
    use crate::rules::linux::network;
    use crate::rules::testing::Bench;

    fn netplan() -> Bench {
        Bench::without_network().manager("netplan")
    }

    const PINNED: &str = "network:\n    ethernets:\n        ens5:\n            dhcp4: true\n            match:\n                macaddress: 0a:ff:c0:a8:01:0a\n            set-name: ens5\n    version: 2\n";

    #[test]
    fn a_pinned_file_is_moved_aside() {
        let path = "/etc/netplan/50-cloud-init.yaml";
        let bench = netplan().file(path, PINNED);
        assert_eq!(
            bench.findings(&network::RULE),
            [
                format!("{path}:6: ens5 is matched by its address 0a:ff:c0:a8:01:0a"),
                format!("{path}:7: ens5 is named ens5"),
                format!("{path}: nothing in it is for eth0"),
            ]
        );
        bench.mended(&network::RULE, |view| {
            assert_eq!(view.text(OURS).unwrap().unwrap(), text(AZURE.drivers.network));
            assert_eq!(view.lstat(OURS).unwrap().unwrap().mode, 0o600);
            assert_eq!(view.text(&format!("{path}.pre-azure")).unwrap().unwrap(), PINNED);
            assert!(!view.exists(path).unwrap());
        });
    }

    #[test]
    fn files_that_fit_any_cloud_are_left() {
        for fine in [
            &text(AZURE.drivers.network),
            "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n",
            "network:\n  ethernets:\n    all:\n      match: {name: \"e*\"}\n      dhcp4: true\n",
        ] {
            assert_eq!(
                netplan().file("/etc/netplan/01.yaml", fine).findings(&network::RULE),
                [""; 0],
                "{fine}"
            );
        }
        let handed_on = "network:\n  version: 2\n  renderer: NetworkManager\n";
        let manager = netplan().manager("NetworkManager").file("/etc/netplan/01.yaml", handed_on);
        assert_eq!(manager.findings(&network::RULE), [""; 0]);
        let none = "nothing in it is for eth0";
        for (wrong, what) in [
            ("network:\n  ethernets:\n    ens5:\n      dhcp4: true\n", Some(none)),
            ("network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.5/24]\n", None),
            ("network:\n  ethernets:\n    x:\n      match: {macaddress: \"0a:0b\"}\n", Some(none)),
        ] {
            let found = netplan().file("/etc/netplan/01.yaml", wrong).findings(&network::RULE);
            assert_eq!(found.len(), 1 + usize::from(what.is_some()), "{found:?}");
            assert!(found.last().unwrap().contains(what.unwrap_or_default()), "{found:?}");
        }
    }
}
