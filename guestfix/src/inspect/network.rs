//! Who configures the network.

use crate::facts::NetworkConfig;
use crate::{Result, View};

/// The configurators that are in use, by their files.
pub(super) fn network(view: &dyn View) -> Result<Vec<NetworkConfig>> {
    let mut out = Vec::new();
    let mut add = |name, found: bool| {
        if found {
            out.push(name);
        }
    };
    add(NetworkConfig::Netplan, !view.glob("/etc/netplan", ".yaml")?.is_empty());
    add(NetworkConfig::Ifupdown, view.exists("/etc/network/interfaces")?);
    let wants = "/etc/systemd/system/multi-user.target.wants";
    let networkd = view.lstat(&format!("{wants}/systemd-networkd.service"))?.is_some();
    add(NetworkConfig::Networkd, networkd || !view.glob("/etc/systemd/network", ".network")?.is_empty());
    let keyfiles = !view.list("/etc/NetworkManager/system-connections")?.is_empty();
    add(
        NetworkConfig::NetworkManager,
        keyfiles || view.lstat(&format!("{wants}/NetworkManager.service"))?.is_some(),
    );
    let ifcfg =
        |dir: &str| Ok::<_, crate::Error>(view.list(dir)?.iter().any(|name| name.starts_with("ifcfg-")));
    add(NetworkConfig::Ifcfg, ifcfg("/etc/sysconfig/network-scripts")?);
    add(NetworkConfig::Wicked, ifcfg("/etc/sysconfig/network")?);
    Ok(out)
}
