//! What managers run and refuse on their way.

use super::*;
use crate::rules::testing::Bench;

const MAIN: &str = "/etc/network/interfaces";

/// A Debian with these options for its card.
fn ifupdown(more: &str, files: &[(&str, &str)]) -> String {
    let text = format!("auto eth0\niface eth0 inet dhcp\n{more}");
    let programs =
        ["/sbin/ip", "/sbin/ifconfig", "/sbin/ifdown", "/bin/ping", "/sbin/ethtool"].map(|path| (path, ""));
    told(&[&[(NETWORKING, ""), ("/sbin/dhclient", ""), (MAIN, &*text)], &programs[..], files].concat())
}

#[test]
fn what_ifupdown_and_dhclient_are_told_counts() {
    let main = MAIN;
    let with = ifupdown;
    for fine in [
        "",
        " pre-up /bin/true\n",
        " pre-up /bin/gone || true\n",
        " up echo x\n",
        " down /bin/false\n",
        " pre-up gone; true\n",
        " up gone &\n",
    ] {
        assert_eq!(with(fine, &[]), format!("dhcp {main}:2"), "{fine}");
    }
    for wrong in [" pre-up /bin/false\n", " pre-up false\n", " pre-up /bin/gone x\n", " pre-up gone\n"] {
        assert!(with(wrong, &[]).starts_with(&format!("none {main}:2: pre-up")), "{wrong}");
    }
    assert!(with(" up /bin/gone\n", &[]).starts_with(&format!("unknown {main}:2: up")));
    let conf = "/etc/dhcp/dhclient.conf";
    for fine in [
        "request subnet-mask, routers,\n host-name;\n",
        "interface \"eth1\" { send x \"y\"; request; }\n",
        "reject 192.168.0.0/16;\n",
        "# reject 0.0.0.0/0;\n",
    ] {
        assert_eq!(with("", &[(conf, fine)]), format!("dhcp {main}:2"), "{fine}");
    }
    for wrong in ["reject 0.0.0.0/0;\n", "request;\n", "interface \"eth0\" { reject 168.63.129.16; }\n"] {
        assert!(with("", &[(conf, wrong)]).starts_with(&format!("none {main}:2: {conf}")), "{wrong}");
    }
}

#[test]
fn what_undoes_the_card_once_it_is_up_counts() {
    for fine in [
        " up ip route add 10.50.0.0/16 via 10.0.0.1 || true\n",
        " post-up /sbin/ethtool -K $IFACE gro off || true\n mtu 1500\n",
        " pre-up ip addr flush dev eth0\n",
        " pre-up ip link set eth0 down\n",
        " down ip link set eth0 down\n",
        " post-up ip rule add from 10.0.0.0/8 table 100\n",
        " pre-up test -d /sys/class/net/eth0\n",
    ] {
        assert_eq!(ifupdown(fine, &[]), format!("dhcp {MAIN}:2"), "{fine}");
    }
    for wrong in [
        " post-up ip link set eth0 down\n",
        " up ip addr flush dev $IFACE\n",
        " post-up ip rule add prio 100 unreachable\n",
        " pre-up ip rule add prio 100 prohibit\n",
        " post-up ip route del default\n",
        " pre-up test -d /sys/class/net/ens5\n",
        " up ifdown eth0\n",
    ] {
        assert!(
            ifupdown(wrong, &[]).starts_with(&format!("none {MAIN}:2: ")),
            "{wrong}: {}",
            ifupdown(wrong, &[])
        );
    }
    for unsure in [
        " post-up ping -c1 10.0.0.2 || ip link set eth0 down\n",
        " pre-up [ -d /sys/module/ena ] || exit 1\n",
    ] {
        assert!(ifupdown(unsure, &[]).starts_with(&format!("unknown {MAIN}:2: ")), "{unsure}");
    }
}

#[test]
fn scripts_of_ones_own_that_ifupdown_runs_count() {
    let machine = |path: &str, text: &str| {
        let programs = ["/sbin/ip", "/bin/sh"];
        let bench = programs.iter().fold(Bench::debian(), |bench, path| bench.program(path, library(&[])));
        bench.program(path, text).guest(|guest| match answer(guest.view, &AZURE).unwrap() {
            Answer::Address { .. } => "fine".to_owned(),
            Answer::None { place, .. } => format!("none {place}"),
            Answer::Unknown { what, .. } => format!("unknown {what}"),
        })
    };
    let before = "/etc/network/if-pre-up.d/own";
    for (path, text, told) in [
        (before, "#!/bin/sh\nexit 0\n", "fine"),
        (before, "#!/bin/sh\n[ \"$IFACE\" = lo ] && exit 0\nip link set eth0 down\n", "fine"),
        (before, "#!/bin/sh\nexit 1\n", "none /etc/network/if-pre-up.d/own:2"),
        (before, "#!/bin/sh\n[ -d /sys/module/ena ] || exit 1\n", "unknown /etc/network/if-pre-up.d/own:2"),
        (before, "#!/bin/sh\n[ -d /sys/class/net/ens5 ] || exit 1\n", "none /etc/network/if-pre-up.d/own:2"),
        ("/etc/network/if-pre-up.d/own.sh", "#!/bin/sh\nexit 1\n", "fine"),
        ("/etc/network/if-up.d/own", "#!/bin/sh\nexit 1\n", "fine"),
        (
            "/etc/network/if-up.d/own",
            "#!/bin/sh\nip link set $IFACE down\n",
            "none /etc/network/if-up.d/own:2",
        ),
        ("/etc/dhcp/dhclient-enter-hooks.d/zz", "make_resolv_conf() {\n  :\n}\n", "fine"),
    ] {
        assert_eq!(machine(path, text), told, "{text}");
    }
}

#[test]
fn hooks_and_demands_of_dhclient_count() {
    let (conf, enter) = ("/etc/dhcp/dhclient.conf", "/etc/dhcp/dhclient-enter-hooks.d/zz");
    let exit = "/etc/dhcp/dhclient-exit-hooks.d/zz";
    for (file, fine) in [
        (conf, "require subnet-mask, routers;\n"),
        (enter, "make_resolv_conf() {\n  :\n}\n"),
        (enter, "if [ \"$reason\" = PREINIT6 ]; then exit 0; fi\n"),
        (exit, "exit 0\n"),
        (exit, "case $reason in BOUND|RENEW) logger x;; esac\n"),
    ] {
        assert_eq!(ifupdown("", &[(file, fine)]), format!("dhcp {MAIN}:2"), "{fine}");
    }
    for (file, wrong) in [
        (conf, "require netbios-name-servers;\n"),
        (conf, "script \"/etc/none\";\n"),
        (enter, "exit 1\n"),
        (enter, "exit 0\n"),
        (exit, "exit 1\n"),
        (exit, "ip route del default\n"),
    ] {
        assert!(ifupdown("", &[(file, wrong)]).starts_with(&format!("none {MAIN}:2: ")), "{wrong}");
    }
    for (file, unsure) in [
        (conf, "require subnet-mask, host-name;\n"),
        (conf, "lease { interface \"eth0\";\n"),
        (exit, "case $reason in\nBOUND)\n  ip route del default\n  ;;\nesac\n"),
        (enter, "[ -d /sys/module/ena ] || exit 1\n"),
    ] {
        assert!(ifupdown("", &[(file, unsure)]).starts_with(&format!("unknown {MAIN}:2: ")), "{unsure}");
    }
}

#[test]
fn networkd_takes_answers_and_routes_of_the_target_or_not() {
    let with = |more: &str| networkd("Name=eth0", &format!("DHCP=yes\n{more}"));
    for fine in [
        "[DHCPv4]\nDenyList=192.168.0.1\n",
        "[DHCPv4]\nDenyList=168.63.129.16\nDenyList=\n",
        "[DHCPv4]\nAllowList=10.0.0.1 168.63.129.16\n",
        "[DHCPv4]\nRouteMetric=100\nRouteTable=254\n",
        "[RoutingPolicyRule]\nFrom=10.0.0.0/8\nTable=100\n",
    ] {
        assert!(with(fine).starts_with("dhcp "), "{fine}");
    }
    for wrong in [
        "[DHCPv4]\nDenyList=168.63.129.16\n",
        "[DHCPv4]\nBlackList=168.0.0.0/8\n",
        "[DHCPv4]\nAllowList=10.0.0.1\n",
    ] {
        assert!(with(wrong).starts_with("none "), "{wrong}");
    }
    for unsure in ["[DHCPv4]\nRouteTable=100\n", "VRF=blue\n", "[RoutingPolicyRule]\nType=unreachable\n"] {
        assert!(with(unsure).starts_with("unknown "), "{unsure}");
    }
}

#[test]
fn networkd_reads_what_its_user_may_read() {
    let file = "/etc/systemd/network/10-eth0.network";
    let bench = Bench::without_network()
        .manager("networkd")
        .file(
            "/usr/lib/systemd/system/systemd-networkd.service",
            "[Service]\nUser=systemd-network\nExecStart=!!/usr/lib/systemd/systemd-networkd\n",
        )
        .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nsystemd-network:x:998:998::/:/usr/sbin/nologin\n")
        .file(file, "[Match]\nName=eth0\n[Network]\nDHCP=yes\n");
    let answer =
        |mode: u16| bench.clone().mode(file, mode).guest(|guest| answer(guest.view, &AZURE).unwrap());
    assert!(answer(0o644).is_dhcp());
    assert_eq!(answer(0o600), Answer::none(file, "systemd-networkd may not read it"));
}

#[test]
fn networkmanager_takes_no_profile_that_others_may_read() {
    let path = "/etc/NetworkManager/system-connections/a.nmconnection";
    let bench = Bench::without_network()
        .manager("NetworkManager")
        .file("/etc/NetworkManager/NetworkManager.conf", "[main]\nno-auto-default=*\n")
        .file(path, "[connection]\nid=a\ntype=ethernet\n[ipv4]\nmethod=auto\n");
    for (mode, is_taken) in [(0o600, true), (0o400, true), (0o644, false), (0o640, false)] {
        let answer = bench.clone().mode(path, mode).guest(|guest| answer(guest.view, &AZURE).unwrap());
        assert_eq!(answer.is_dhcp(), is_taken, "{mode:o}: {answer:?}");
    }
}

#[test]
fn networkmanager_takes_answers_of_the_target_or_not() {
    let path = "/etc/NetworkManager/system-connections/a.nmconnection";
    let with = |connection: &str, ipv4: &str| {
        let text = format!("[connection]\ntype=ethernet\n{connection}[ipv4]\nmethod=auto\n{ipv4}");
        let conf = ("/etc/NetworkManager/NetworkManager.conf", "[main]\nno-auto-default=*\n");
        told(&[(MANAGER, ""), conf, (path, &text)])
    };
    assert_eq!(with("", "dhcp-reject-servers=10.0.0.1;\n"), format!("dhcp {path}"));
    assert!(with("", "dhcp-reject-servers=168.63.129.16;\n").starts_with("none "));
    assert!(with("permissions=user:bob:;\n", "").starts_with("none "));
    assert!(with("", "route-table=100\n").starts_with("unknown "));
}

#[test]
fn scripts_of_dispatchers_count() {
    let with = |bench: Bench, path: &str, text: &str| {
        let bench =
            bench.program("/sbin/ip", library(&[])).program("/bin/sh", library(&[])).program(path, text);
        bench.guest(|guest| match answer(guest.view, &AZURE).unwrap() {
            Answer::Address { .. } => "fine",
            Answer::None { .. } => "none",
            Answer::Unknown { .. } => "unknown",
        })
    };
    let manager = || Bench::without_network().manager("NetworkManager");
    let path = "/etc/NetworkManager/dispatcher.d/90-own";
    for (text, told) in [
        ("#!/bin/sh\nexit 1\n", "fine"),
        ("#!/bin/sh\n[ \"$1\" = eth0 ] || exit 0\nip route add 10.0.0.0/8 via 10.0.0.1\n", "fine"),
        ("#!/bin/sh\n[ \"$2\" = up ] || exit 0\nip link set $1 down\n", "none"),
        ("#!/bin/sh\n[ \"$2\" = down ] || exit 0\nip link set $1 down\n", "fine"),
        ("#!/bin/sh\nif curl -s http://169.254.169.254; then\n  ip addr flush dev \"$1\"\nfi\n", "unknown"),
    ] {
        assert_eq!(with(manager(), path, text), told, "{text}");
    }
    let network = Bench::without_network()
        .manager("network")
        .file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n");
    assert_eq!(with(network.clone(), "/sbin/ifup-local", "#!/bin/sh\nexit 0\n"), "fine");
    assert_eq!(with(network, "/sbin/ifup-local", "#!/bin/sh\nip addr flush dev $1\n"), "none");
}
