//! netplan: YAML in `/etc/netplan`. Files that do not fit are moved aside as a whole, and one of ours is
//! written.

use super::is_azure_name;
use crate::rule::{Evidence, Place};
use crate::rules::linux::aside;
use crate::text::yaml_outline::{Node, outline};
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
            moved.push(file);
        }
    }
    if moved.is_empty() {
        return Ok(());
    }
    for file in moved {
        aside::take(stage, &file)?;
    }
    let renderer = if manager { "  version: 2\n  renderer: NetworkManager\n" } else { "  version: 2\n" };
    stage.put_mode(OURS, text(driver).replace("  version: 2\n", renderer), 0o600)
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    view.glob("/etc/netplan", ".yaml")
}

/// Lines that do not fit a card on Azure.
fn faults_in(text: &str, driver: &str) -> Vec<(usize, String)> {
    let nodes = outline(text);
    let mut out = Vec::new();
    for node in &nodes {
        let ["network", "ethernets", interface, rest @ ..] = node.path.as_slice() else { continue };
        let has_match = || nodes.iter().any(|other| is_match(other, interface));
        match rest {
            [] if !has_match() && !is_azure_name(interface) => {
                out.push((node.line, format!("{interface} is not the card's name on Azure")));
            }
            ["match", "macaddress"] => {
                out.push((node.line, format!("{interface} is matched by its address {}", node.value)))
            }
            ["match", "driver"] if node.value != driver => {
                out.push((node.line, format!("{interface} is matched by its driver {}", node.value)));
            }
            ["match", "name"] if !fits(node.value) => {
                out.push((node.line, format!("{interface} is matched by its name {}", node.value)));
            }
            ["match"] if node.value.contains("macaddress") => {
                out.push((node.line, format!("{interface} is matched by its address")));
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

/// Whether a glob of names may mean eth0, or is there for other cards than eth0.
fn fits(glob: &str) -> bool {
    matches!(glob, "eth0" | "eth*" | "e*" | "*" | "!eth0" | "eth?" | "eth[0-9]*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::azure::AZURE;
    use crate::rules::linux::network;
    use crate::rules::testing::Bench;

    const PINNED: &str = "network:\n    ethernets:\n        ens5:\n            dhcp4: true\n            match:\n                macaddress: 0a:ff:c0:a8:01:0a\n            set-name: ens5\n    version: 2\n";

    #[test]
    fn a_pinned_file_is_moved_aside() {
        let path = "/etc/netplan/50-cloud-init.yaml";
        let bench = Bench::debian().file(path, PINNED);
        assert_eq!(
            bench.findings(&network::RULE),
            [
                format!("{path}:6: ens5 is matched by its address 0a:ff:c0:a8:01:0a"),
                format!("{path}:7: ens5 is named ens5"),
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
            "network:\n  version: 2\n  renderer: NetworkManager\n",
            "network:\n  ethernets:\n    all:\n      match: {name: \"e*\"}\n      dhcp4: true\n",
        ] {
            assert_eq!(
                Bench::debian().file("/etc/netplan/01.yaml", fine).findings(&network::RULE),
                [""; 0],
                "{fine}"
            );
        }
        for wrong in [
            "network:\n  ethernets:\n    ens5:\n      dhcp4: true\n",
            "network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.5/24]\n",
            "network:\n  ethernets:\n    x:\n      match: {macaddress: \"0a:0b\"}\n",
        ] {
            assert_eq!(
                Bench::debian().file("/etc/netplan/01.yaml", wrong).findings(&network::RULE).len(),
                1,
                "{wrong}"
            );
        }
    }
}
