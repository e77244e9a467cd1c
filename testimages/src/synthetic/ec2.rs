//! What Amazon's cloud leaves in a guest, one habit a function.

use super::initrd::PROGRAM;
use super::network;
use super::tree::Tree;

/// The network card's address on EC2.
pub(super) const MAC: &str = "0a:ff:c0:a8:01:0a";

/// Units of systemd without which no start comes to a login.
const UNITS: &[(&str, &str)] = &[
    ("basic.target", "Basic System"),
    ("getty.target", "Login Prompts"),
    ("local-fs.target", "Local File Systems"),
    ("multi-user.target", "Multi-User System"),
    ("sysinit.target", "System Initialization"),
];

/// Services likewise, and what they start.
const SERVICES: &[(&str, &str, &str)] = &[
    ("getty@.service", "Getty on %I", "-/sbin/agetty -o '-p -- \\u' --noclear - $TERM"),
    (
        "serial-getty@.service",
        "Serial Getty on %I",
        "-/sbin/agetty --keep-baud 115200,57600,38400,9600 - $TERM",
    ),
    ("systemd-udev-trigger.service", "Coldplug All udev Devices", "-udevadm trigger --type=all --action=add"),
    (
        "systemd-udevd.service",
        "Rule-based Manager for Device Events and Files",
        "/usr/lib/systemd/systemd-udevd",
    ),
];

/// A Debian-like system, with its package database.
pub(super) fn system(os_release: &str, packages: &[(&str, &str)]) -> Tree {
    let mut tree = any_system(os_release);
    unit(&mut tree, "ssh", "OpenBSD Secure Shell server", "/usr/sbin/sshd -D");
    network::networkd(&mut tree);
    let status = packages.iter().map(|(name, version)| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
    });
    tree.file("/var/lib/dpkg/status", status.collect::<String>());
    tree
}

/// A system of any distribution: directories merged into `/usr`, systemd, accounts.
pub(super) fn any_system(os_release: &str) -> Tree {
    let mut tree = Tree::default();
    for name in ["bin", "sbin", "lib", "lib64"] {
        tree.directory(&format!("/usr/{name}"));
        tree.link(&format!("/{name}"), &format!("usr/{name}"));
    }
    for name in [
        "dev",
        "home/admin",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "srv",
        "sys",
        "tmp",
        "usr/share",
        "var/log",
        "var/tmp",
    ] {
        tree.directory(&format!("/{name}"));
    }
    tree.file("/usr/lib/os-release", os_release);
    tree.link("/etc/os-release", "../usr/lib/os-release");
    for name in ["bash", "dash", "systemctl"] {
        tree.program(&format!("/usr/bin/{name}"), PROGRAM);
    }
    tree.link("/usr/bin/sh", "dash");
    tree.program("/usr/lib/systemd/systemd", PROGRAM);
    tree.link("/usr/sbin/init", "../lib/systemd/systemd");
    tree.file(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nsshd:x:74:74::/run/sshd:/usr/sbin/nologin\n\
         admin:x:1000:1000::/home/admin:/bin/bash\n",
    );
    tree.secret("/etc/shadow", "root:*:19675:0:99999:7:::\nadmin:!:19675:0:99999:7:::\n");
    tree.file("/etc/group", "root:x:0:\nadmin:x:1000:\n");
    // as cloud-init has put it there at the first start
    tree.file(
        "/home/admin/.ssh/authorized_keys",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0u7yqfO1t1dVt7mC2o0Z9f6s3hXlq6yPz2G5f8Yk1a synthetic\n",
    );
    tree.file("/etc/hostname", "ip-192-168-1-10\n");
    tree.file("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 ip-192-168-1-10\n");
    tree.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    tree.link("/etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target");
    for (unit, description) in UNITS {
        tree.file(&format!("/usr/lib/systemd/system/{unit}"), format!("[Unit]\nDescription={description}\n"));
    }
    tree.link("/usr/lib/systemd/system/multi-user.target.wants/getty.target", "../getty.target");
    for (unit, description, command) in SERVICES {
        let text = format!("[Unit]\nDescription={description}\n\n[Service]\nExecStart={command}\n");
        tree.file(&format!("/usr/lib/systemd/system/{unit}"), text);
    }
    tree.program("/usr/bin/udevadm", PROGRAM);
    tree.program("/usr/bin/mount", PROGRAM);
    tree.link("/usr/lib/systemd/systemd-udevd", "../../bin/udevadm");
    for name in ["agetty", "sshd"] {
        tree.program(&format!("/usr/sbin/{name}"), PROGRAM);
    }
    tree.program("/usr/bin/login", PROGRAM);
    tree.secret(
        "/etc/ssh/ssh_host_ed25519_key",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nsynthetic\n-----END OPENSSH PRIVATE KEY-----\n",
    );
    tree.file("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n");
    tree
}

/// A service, enabled for multi-user.target.
pub(super) fn unit(tree: &mut Tree, name: &str, description: &str, command: &str) {
    let file = format!("/usr/lib/systemd/system/{name}.service");
    let text = format!(
        "[Unit]\nDescription={description}\nAfter=network-online.target\n\n[Service]\nExecStart={command}\nRestart=always\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    );
    tree.file(&file, text);
    enable(tree, &format!("{name}.service"), "/lib/systemd/system");
}

pub(super) fn enable(tree: &mut Tree, unit: &str, directory: &str) {
    tree.link(&format!("/etc/systemd/system/multi-user.target.wants/{unit}"), &format!("{directory}/{unit}"));
}

/// The SSM agent from its Debian package, with its registration.
pub(super) fn ssm_agent(tree: &mut Tree) {
    tree.program("/usr/bin/amazon-ssm-agent", PROGRAM);
    unit(tree, "amazon-ssm-agent", "amazon-ssm-agent", "/usr/bin/amazon-ssm-agent");
    tree.secret(
        "/var/lib/amazon/ssm/registration",
        "{\"ManagedInstanceID\":\"\",\"Region\":\"eu-west-1\"}\n",
    );
    tree.secret("/var/lib/amazon/ssm/Vault/Store/RegistrationKey", "synthetic\n");
}

/// The SSM agent as Ubuntu's snap.
pub(super) fn ssm_snap(tree: &mut Tree) {
    let unit = "snap.amazon-ssm-agent.amazon-ssm-agent.service";
    let text = "[Unit]\nDescription=Service for snap application amazon-ssm-agent.amazon-ssm-agent\n\
                Requires=snap-amazon\\x2dssm\\x2dagent-7993.mount\n\n\
                [Service]\nExecStart=/usr/bin/snap run amazon-ssm-agent\n\n[Install]\nWantedBy=multi-user.target\n";
    tree.file(&format!("/etc/systemd/system/{unit}"), text);
    enable(tree, unit, "/etc/systemd/system");
    tree.link("/snap/amazon-ssm-agent/current", "7993");
    tree.directory("/snap/amazon-ssm-agent/7993");
}

/// EC2 Instance Connect: sshd asks it for keys at each login.
pub(super) fn instance_connect(tree: &mut Tree) {
    tree.program("/usr/share/ec2-instance-connect/eic_run_authorized_keys", "#!/bin/sh\nexit 0\n");
    tree.file(
        "/usr/lib/systemd/system/ssh.service.d/ec2-instance-connect.conf",
        "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o \"AuthorizedKeysCommand \
         /usr/share/ec2-instance-connect/eic_run_authorized_keys %%u %%f\" -o \"AuthorizedKeysCommandUser ec2-instance-connect\"\n",
    );
}

/// The agent that hibernates a Spot instance when Amazon wants it back.
pub(super) fn hibernation_agent(tree: &mut Tree) {
    tree.program("/usr/bin/hibagent", "#!/usr/bin/python3\n");
    unit(tree, "hibagent", "Initial hibernation setup", "/usr/bin/hibagent");
}

/// chrony asking the clock of the EC2 host.
pub(super) fn chrony(tree: &mut Tree) {
    tree.file(
        "/etc/chrony/chrony.conf",
        "confdir /etc/chrony/conf.d\nserver 169.254.169.123 prefer iburst minpoll 4 maxpoll 4\n\
         driftfile /var/lib/chrony/chrony.drift\nmakestep 1 3\nrtcsync\n",
    );
    unit(tree, "chrony", "chrony, an NTP client/server", "/usr/sbin/chronyd -F 1");
}

/// cloud-init looking for Amazon's metadata only, and the state its last boot left.
pub(super) fn cloud_init(tree: &mut Tree) {
    tree.file("/etc/cloud/cloud.cfg", "users:\n  - default\ndisable_root: true\npreserve_hostname: false\n");
    tree.file(
        "/etc/cloud/cloud.cfg.d/90_dpkg.cfg",
        "# to update this file, run dpkg-reconfigure cloud-init\ndatasource_list: [ Ec2, None ]\n",
    );
    tree.file("/etc/cloud/ds-identify.cfg", "datasource: Ec2\n");
    tree.link("/var/lib/cloud/instance", "/var/lib/cloud/instances/i-0123456789abcdef0");
    tree.file(
        "/var/lib/cloud/instances/i-0123456789abcdef0/datasource",
        "DataSourceEc2Local: DataSourceEc2Local\n",
    );
    tree.file("/var/lib/cloud/data/instance-id", "i-0123456789abcdef0\n");
    for (unit, description) in [
        ("cloud-init-local", "Initial cloud-init job (pre-networking)"),
        ("cloud-init", "Initial cloud-init job"),
    ] {
        tree.file(
            &format!("/usr/lib/systemd/system/{unit}.service"),
            format!("[Unit]\nDescription={description}\n\n[Service]\nType=oneshot\nExecStart=/usr/bin/cloud-init init\n"),
        );
        tree.link(
            &format!("/etc/systemd/system/cloud-init.target.wants/{unit}.service"),
            &format!("/lib/systemd/system/{unit}.service"),
        );
    }
}

/// A hardening guide's list of modules never to load, which knew nothing of Hyper-V.
pub(super) fn module_blacklist(tree: &mut Tree) {
    tree.file(
        "/etc/modprobe.d/hardening.conf",
        "# no other hypervisor, no removable media\nblacklist hv_vmbus\nblacklist hv_storvsc\nblacklist hv_netvsc\n\
         install udf /bin/true\ninstall vfat /bin/true\n",
    );
    tree.file("/etc/modprobe.d/ena.conf", "options ena num_io_queues=4\n");
}

/// What a paravirtual Xen guest keeps: its tools, a getty on the Xen console, module aliases.
pub(super) fn xen_leftovers(tree: &mut Tree) {
    tree.program("/usr/sbin/xe-daemon", PROGRAM);
    unit(tree, "xe-linux-distribution", "Xen guest agent", "/usr/sbin/xe-daemon");
    tree.link(
        "/etc/systemd/system/getty.target.wants/serial-getty@hvc0.service",
        "/lib/systemd/system/serial-getty@.service",
    );
    tree.file(
        "/etc/modprobe.d/xen.conf",
        "alias eth0 xennet\nalias scsi_hostadapter xenblk\nblacklist xen_fbfront\n",
    );
    tree.file("/boot/grub/device.map", "(hd0) /dev/xvda\n");
}

/// Interfaces of ifupdown, with the card's address pinned there and in a udev rule.
pub(super) fn ifupdown_pinned(tree: &mut Tree) {
    network::ifupdown(tree);
    tree.file(
        "/etc/network/interfaces",
        format!("auto lo\niface lo inet loopback\n\nauto ens5\niface ens5 inet dhcp\n    hwaddress ether {MAC}\n    mtu 9001\n"),
    );
    tree.file(
        "/etc/udev/rules.d/70-persistent-net.rules",
        format!("SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{{address}}==\"{MAC}\", NAME=\"ens5\"\n"),
    );
}

/// Interfaces of ifupdown that fit any cloud.
pub(super) fn ifupdown_plain(tree: &mut Tree) {
    network::ifupdown(tree);
    tree.file(
        "/etc/network/interfaces",
        "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
    );
}

/// The netplan that cloud-init wrote: a card matched by address and named for AWS.
pub(super) fn netplan_pinned(tree: &mut Tree) {
    network::netplan(tree);
    tree.secret(
        "/etc/netplan/50-cloud-init.yaml",
        format!(
            "# written by cloud-init from the instance's metadata\nnetwork:\n    ethernets:\n        ens5:\n            dhcp4: true\n\
             \x20           dhcp6: false\n            match:\n                macaddress: {MAC}\n            set-name: ens5\n    version: 2\n"
        ),
    );
}

/// systemd-networkd with a link file that names the card by its address.
pub(super) fn networkd_pinned(tree: &mut Tree) {
    network::networkd_enabled(tree);
    tree.file(
        "/etc/systemd/network/10-ens5.link",
        format!("[Match]\nMACAddress={MAC}\n\n[Link]\nName=ens5\n"),
    );
    tree.file(
        "/etc/systemd/network/20-ens5.network",
        "[Match]\nName=ens5\nDriver=ena\n\n[Network]\nDHCP=yes\n\n[Link]\nMTUBytes=9001\n",
    );
}
