//! What packages that configure the network install, and what starts them: units, scripts and programs.

use super::initrd::PROGRAM;
use super::tree::Tree;

/// Where packages have their units.
const UNITS: &str = "/usr/lib/systemd/system";

/// A unit that runs once, or stays; not enabled.
fn unit(tree: &mut Tree, name: &str, description: &str, command: &str) {
    tree.file(
        &format!("{UNITS}/{name}.service"),
        format!(
            "[Unit]\nDescription={description}\nWants=network.target\nBefore=network.target\n\n[Service]\nExecStart={command}\n\n\
             [Install]\nWantedBy=multi-user.target\nWantedBy=network-online.target\n"
        ),
    );
}

/// The links that `systemctl enable` makes for the unit of this service.
fn enable(tree: &mut Tree, name: &str) {
    for target in ["multi-user", "network-online"] {
        let link = format!("/etc/systemd/system/{target}.target.wants/{name}.service");
        tree.link(&link, &format!("/lib/systemd/system/{name}.service"));
    }
}

/// ISC's DHCP client, with the script by which it gives a card the address.
fn dhclient(tree: &mut Tree) {
    tree.program("/usr/sbin/dhclient", PROGRAM);
    tree.program("/usr/sbin/dhclient-script", "#!/bin/sh\nexit 0\n");
}

/// ifupdown of Debian.
pub(super) fn ifupdown(tree: &mut Tree) {
    tree.program("/usr/sbin/ifup", PROGRAM);
    dhclient(tree);
    unit(tree, "networking", "Raise network interfaces", "/sbin/ifup -a --read-environment");
    enable(tree, "networking");
}

/// ifupdown of Alpine: an applet of busybox, as its DHCP client, and a service of OpenRC.
pub(super) fn ifupdown_of_alpine(tree: &mut Tree) {
    for applet in ["ifup", "ifdown", "udhcpc"] {
        tree.link(&format!("/usr/sbin/{applet}"), "/bin/busybox");
    }
    tree.program("/etc/init.d/networking", "#!/sbin/openrc-run\n");
    tree.link("/etc/runlevels/boot/networking", "/etc/init.d/networking");
}

/// systemd-networkd, which is in Debian's package of systemd and not enabled there.
pub(super) fn networkd(tree: &mut Tree) {
    tree.program("/usr/lib/systemd/systemd-networkd", PROGRAM);
    unit(tree, "systemd-networkd", "Network Configuration", "/lib/systemd/systemd-networkd");
}

/// The same, enabled.
pub(super) fn networkd_enabled(tree: &mut Tree) {
    networkd(tree);
    enable(tree, "systemd-networkd");
}

/// netplan: at each boot its generator makes files for networkd, and starts it.
pub(super) fn netplan(tree: &mut Tree) {
    tree.program("/usr/libexec/netplan/generate", PROGRAM);
    tree.link("/usr/lib/systemd/system-generators/netplan", "../../../libexec/netplan/generate");
}

/// NetworkManager, which has a DHCP client of its own.
pub(super) fn network_manager(tree: &mut Tree) {
    tree.program("/usr/sbin/NetworkManager", PROGRAM);
    unit(tree, "NetworkManager", "Network Manager", "/usr/sbin/NetworkManager --no-daemon");
    enable(tree, "NetworkManager");
}

/// The scripts of Red Hat's initscripts, started by a link of their run level.
pub(super) fn network_scripts(tree: &mut Tree) {
    tree.program("/usr/sbin/ifup", "#!/bin/sh\nexit 0\n");
    dhclient(tree);
    tree.program("/etc/rc.d/init.d/network", "#!/bin/sh\n# chkconfig: 2345 10 90\n");
    tree.link("/etc/init.d", "rc.d/init.d");
    tree.link("/etc/rc.d/rc3.d/S10network", "../init.d/network");
    if tree.text("/etc/sysconfig/network").is_empty() {
        tree.file("/etc/sysconfig/network", "NETWORKING=yes\nNOZEROCONF=yes\n");
    }
}

/// wicked of SUSE, which the unit "network" is another name of.
pub(super) fn wicked(tree: &mut Tree) {
    for program in ["wicked", "wickedd"] {
        tree.program(&format!("/usr/sbin/{program}"), PROGRAM);
    }
    unit(tree, "wickedd", "wicked network management service daemon", "/usr/sbin/wickedd --systemd");
    unit(tree, "wicked", "wicked managed network interfaces", "/usr/sbin/wicked --systemd ifup all");
    enable(tree, "wicked");
    tree.link("/etc/systemd/system/network.service", "/usr/lib/systemd/system/wicked.service");
    tree.file("/etc/sysconfig/network/config", "NETCONFIG_MODULES_ORDER=\"dns-resolver\"\n");
}
