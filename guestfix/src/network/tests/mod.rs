mod told;

use libdisk::vfs::MemoryFs;

use super::*;
use crate::elf::testing::library;
use crate::facts::{Lvm, Machine, TableKind};
use crate::platform::azure::AZURE;
use crate::tree::Tree;

const NETWORKD: &str = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service";
const MANAGER: &str = "/etc/systemd/system/multi-user.target.wants/NetworkManager.service";
const NETWORKING: &str = "/etc/systemd/system/multi-user.target.wants/networking.service";
const WICKED: &str = "/etc/systemd/system/multi-user.target.wants/wicked.service";
const NETWORK: &str = "/etc/rc.d/rc3.d/S10network";
const CLOUD_INIT: &str = "/etc/systemd/system/cloud-init.target.wants/cloud-init-local.service";

const UNITS: &str = "/usr/lib/systemd/system";
const GENERATOR: &str = "/usr/lib/systemd/system-generators/netplan";

/// What starts a manager, and what its package has: the unit or script, and its programs.
const PACKAGES: [(&str, &[&str]); 7] = [
    (NETWORKD, &["/usr/lib/systemd/system/systemd-networkd.service", "/usr/lib/systemd/systemd-networkd"]),
    (GENERATOR, &["/usr/lib/systemd/system/systemd-networkd.service", "/usr/lib/systemd/systemd-networkd"]),
    (MANAGER, &["/usr/lib/systemd/system/NetworkManager.service", "/usr/sbin/NetworkManager"]),
    (NETWORKING, &["/usr/lib/systemd/system/networking.service", "/sbin/ifup"]),
    (WICKED, &["/usr/lib/systemd/system/wicked.service", "/usr/sbin/wicked", "/usr/sbin/wickedd"]),
    (NETWORK, &["/etc/rc.d/init.d/network", "/sbin/ifup", "/etc/sysconfig/network"]),
    (CLOUD_INIT, &["/usr/lib/systemd/system/cloud-init-local.service", "/usr/bin/cloud-init"]),
];

/// What is answered for these files, in a few words, where the packages are whole of what is started, and a
/// client has its script.
fn told(files: &[(&str, &str)]) -> String {
    let has = |path: &str| files.iter().any(|(known, _)| *known == path);
    let mut all = files.to_vec();
    for (_, package) in PACKAGES.iter().filter(|(link, _)| has(link)) {
        all.extend(package.iter().filter(|path| !has(path)).map(|path| (*path, "")));
    }
    if has("/sbin/dhclient") {
        all.push(("/sbin/dhclient-script", ""));
    }
    answered(&all)
}

/// What is answered for these files and no others. What is where programs are is one, unless it has a text.
fn answered(files: &[(&str, &str)]) -> String {
    let machine = Machine {
        size: 0,
        table: TableKind::Mbr,
        remote: false,
        table_faults: Vec::new(),
        data_disks: Vec::new(),
        bios: Vec::new(),
        uefi: Vec::new(),
        volumes: Vec::new(),
        lvm: Lvm::default(),
    };
    let program = library(&[]);
    let mut fs = MemoryFs::from_entries([("/etc/hostname", "x")]);
    fs = fs.file("/bin/true", &program).mode("/bin/true", 0o755, 0, 0);
    for (path, text) in files {
        let (dir, _) = path.rsplit_once('/').unwrap();
        let is_program = text.is_empty()
            && (dir.ends_with("bin") || *path == GENERATOR || path.ends_with("/systemd-networkd"));
        fs = match (text.strip_prefix("-> "), is_program) {
            (Some(target), _) => fs.symlink(path, target),
            (None, true) => fs.file(path, &program).mode(path, 0o755, 0, 0),
            // a unit with its command, unless it is asked for otherwise
            (None, false) if text.is_empty() && path.ends_with(".service") && !dir.ends_with(".wants") => {
                fs.file(path, b"[Service]\nExecStart=/bin/true\n")
            }
            (None, false) if dir.ends_with("/system-connections") => {
                fs.file(path, text.as_bytes()).mode(path, 0o600, 0, 0)
            }
            (None, false) => fs.file(path, text.as_bytes()),
        };
    }
    let tree = Tree::from_filesystems(vec![("/".into(), Box::new(fs))], machine);
    match answer(&tree, &AZURE).unwrap() {
        Answer::Address { by, how: How::Dhcp } => format!("dhcp {by}"),
        Answer::Address { by, how: How::Static } => format!("static {by}"),
        Answer::None { place, why } => format!("none {place}: {why}"),
        Answer::Unknown { what, why } => format!("unknown {what}: {why}"),
    }
}

/// One file of networkd, which is started.
fn networkd(matched: &str, network: &str) -> String {
    let text = format!("[Match]\n{matched}\n[Network]\n{network}\n");
    told(&[(NETWORKD, ""), ("/etc/systemd/network/20-a.network", &text)])
}

const NOBODY: &str = "nothing that is started configures the network";

#[test]
fn nobody_configures_the_network_if_nothing_is_started() {
    assert_eq!(told(&[]), format!("none platform: {NOBODY}"));
    let file = "[Match]\nName=*\n[Network]\nDHCP=yes\n";
    let (network, interfaces) = ("/etc/systemd/network/a.network", "/etc/network/interfaces");
    assert_eq!(told(&[(network, file)]), format!("none platform: {NOBODY}"));
    let eth0 = "auto eth0\niface eth0 inet dhcp\n";
    assert_eq!(told(&[(interfaces, eth0)]), format!("none platform: {NOBODY}"));
    // All that is installed is named.
    let (networkd, networking) =
        (&*format!("{UNITS}/systemd-networkd.service"), &*format!("{UNITS}/networking.service"));
    assert_eq!(
        told(&[(networkd, ""), (networking, ""), (interfaces, eth0)]),
        format!(
            "none {networkd}: {NOBODY}: nothing starts systemd-networkd.service; nothing starts networking.service"
        )
    );
}

/// A manager that is started, with all that it needs, and what it is asked to do; without any one of these,
/// or with one damaged, there is no address.
#[test]
fn a_manager_is_whole_and_started_or_gives_no_address() {
    let dhcp = "[Match]\nName=eth0\n[Network]\nDHCP=yes\n";
    let eth0 = "auto eth0\niface eth0 inet dhcp\n";
    let ifcfg = "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n";
    let wicked = "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n";
    let yaml = "network: {ethernets: {eth0: {dhcp4: true}}}\n";
    let client = &["/sbin/dhclient", "/sbin/dhclient-script"][..];
    for (start, unit, configuration, more) in [
        (NETWORKD, "systemd-networkd.service", ("/etc/systemd/network/a.network", dhcp), &[][..]),
        (GENERATOR, "systemd-networkd.service", ("/etc/netplan/a.yaml", yaml), &[]),
        (MANAGER, "NetworkManager.service", ("/etc/NetworkManager/NetworkManager.conf", "[main]\n"), &[]),
        (NETWORKING, "networking.service", ("/etc/network/interfaces", eth0), client),
        (WICKED, "wicked.service", ("/etc/sysconfig/network/ifcfg-eth0", wicked), &[]),
        (NETWORK, "network.service", ("/etc/sysconfig/network-scripts/ifcfg-eth0", ifcfg), client),
    ] {
        let package = PACKAGES.iter().find(|(link, _)| *link == start).unwrap().1;
        let paths: Vec<&str> = [&[start], package, more].concat();
        let mut all: Vec<(&str, &str)> = paths.iter().map(|path| (*path, "")).collect();
        all.push(configuration);
        assert!(answered(&all).starts_with("dhcp "), "{start}: {}", answered(&all));
        for path in &paths {
            let without: Vec<(&str, &str)> = all.iter().copied().filter(|(file, _)| file != path).collect();
            let told = answered(&without);
            assert!(told.starts_with("none "), "{start} without {path}: {told}");
            let is_unit = path.starts_with(UNITS);
            let is_program =
                path.contains("bin/") || path.ends_with("/systemd-networkd") || *path == GENERATOR || is_unit;
            let damaged = without.iter().copied().chain([(*path, "no program")]).collect::<Vec<_>>();
            assert!(!is_program || answered(&damaged).starts_with("none "), "{start}: {path} is damaged");
        }
        let mask = format!("/etc/systemd/system/{unit}");
        let masked = answered(&[&all[..], &[(&mask, "-> /dev/null")]].concat());
        assert!(masked.starts_with("none ") && masked.contains(&format!("{unit} is masked")), "{masked}");
    }
}

#[test]
fn a_manager_may_be_switched_off_by_its_own_configuration() {
    let eth0 = ("/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n");
    let ifupdown = |text: &str| {
        told(&[(NETWORKING, ""), ("/sbin/dhclient", ""), eth0, ("/etc/default/networking", text)])
    };
    assert!(ifupdown("#CONFIGURE_INTERFACES=no\n").starts_with("dhcp "));
    assert!(ifupdown("CONFIGURE_INTERFACES=no\n").starts_with("none /etc/default/networking: "));
    assert!(ifupdown("EXCLUDE_INTERFACES=\"lo eth*\"\n").starts_with("none /etc/default/networking: "));
    assert!(ifupdown("EXCLUDE_INTERFACES=eth1\n").starts_with("dhcp "));
    let state = "/var/lib/NetworkManager/NetworkManager.state";
    let manager = |value: &str| {
        told(&[
            (MANAGER, ""),
            (state, &format!("[main]\nNetworkingEnabled={value}\nWirelessEnabled=false\n")),
        ])
    };
    assert!(manager("true").starts_with("dhcp "));
    assert!(manager("false").starts_with(&format!("none {state}: ")));
    let ifcfg = ("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n");
    let network =
        |text: &str| told(&[(NETWORK, ""), ("/sbin/dhclient", ""), ifcfg, ("/etc/sysconfig/network", text)]);
    assert!(network("NETWORKING=yes\n").starts_with("dhcp "));
    assert!(network("NETWORKING=no\n").starts_with("none /etc/sysconfig/network: "));
}

/// Which link starts a service differs with the init.
#[test]
fn a_manager_is_started_by_any_init() {
    let eth0 = ("/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n");
    let ifcfg = ("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n");
    let suse = ("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n");
    let base = [("/sbin/ifup", ""), ("/sbin/dhclient", ""), ("/sbin/dhclient-script", ""), eth0];
    for (link, script) in [
        ("/etc/runlevels/boot/networking", "/etc/init.d/networking"),
        ("/etc/rcS.d/S12networking", "/etc/init.d/networking"),
        (
            "/etc/systemd/system/network-online.target.wants/networking.service",
            "/lib/systemd/system/networking.service",
        ),
        ("/etc/inittab", "/etc/init/networking.conf"),
    ] {
        let told = answered(&[&base[..], &[(link, "x"), (script, "")]].concat());
        assert!(told.starts_with("dhcp "), "{link}: {told}");
    }
    let global = ("/etc/sysconfig/network", "NETWORKING=yes\n");
    for link in ["/etc/rc3.d/S10network", "/etc/rc.d/rc5.d/S10network"] {
        let told =
            answered(&[&base[..3], &[(link, "x"), ("/etc/init.d/network", "x"), ifcfg, global]].concat());
        assert!(told.starts_with("dhcp "), "{link}: {told}");
    }
    let script = [("/etc/init.d/network", "x"), ("/etc/init.d/rc3.d/S05network", "x"), suse];
    let told = answered(&[&base[..3], &script, &[("/etc/sysconfig/network/config", "x")]].concat());
    assert!(told.starts_with("dhcp "), "SUSE before wicked: {told}");
    let alias = [
        ("/etc/systemd/system/network.service", "-> /usr/lib/systemd/system/wicked.service"),
        ("/usr/lib/systemd/system/wicked.service", ""),
        ("/usr/sbin/wicked", ""),
        ("/usr/sbin/wickedd", ""),
        suse,
    ];
    assert!(answered(&alias).starts_with("dhcp "), "{}", answered(&alias));
}

#[test]
fn what_is_started_and_not_known_is_not_judged() {
    let connman = "/etc/systemd/system/multi-user.target.wants/connman.service";
    assert!(told(&[(connman, "")]).starts_with(&format!("unknown {connman}: it starts connman.service")));
    assert!(told(&[("/etc/runlevels/default/net.eth0", "")]).starts_with("unknown "));
}

#[test]
fn a_file_of_networkd_fits_by_all_its_conditions() {
    let dhcp = "dhcp /etc/systemd/network/20-a.network";
    let none = "none /etc/systemd/network: no file is for eth0";
    for (matched, answer) in [
        ("Name=eth0", dhcp),
        ("Name=en* eth*", dhcp),
        ("Name=!lo", dhcp),
        ("Name=!eth* lo", none),
        ("Name=ens5", none),
        ("Name=lan0", none),
        ("Driver=hv_netvsc", dhcp),
        ("Driver=ena ixgbevf vif", none),
        ("Driver=!ena", dhcp),
        ("Type=ether", dhcp),
        ("Type=!wlan", dhcp),
        ("Type=wlan", none),
        ("Name=eth0\nType=ether\nDriver=hv_*", dhcp),
        ("Name=eth0\nDriver=ena", none),
        ("MACAddress=0a:ff:c0:a8:01:0a", none),
        ("PermanentMACAddress=0a:ff:c0:a8:01:0a", none),
        ("Path=pci-0000:00:05.0", none),
        ("Path=*-usb-*", none),
        ("Path=*", dhcp),
        ("Kind=bridge", none),
        ("Kind=!bond bridge", dhcp),
        ("Virtualization=amazon", none),
        ("Virtualization=!amazon", dhcp),
        ("Virtualization=yes", dhcp),
        ("", dhcp),
    ] {
        assert_eq!(networkd(matched, "DHCP=yes"), answer, "{matched}");
    }
    let unknown = networkd("Name=eth0\nHost=web1", "DHCP=yes");
    assert_eq!(unknown, "unknown /etc/systemd/network/20-a.network: [Match] Host=web1 is not judged");
    assert_eq!(networkd("Name=ens5\nHost=web1", "DHCP=yes"), none);
    let named = "/etc/systemd/network/20-a.network";
    assert_eq!(networkd("Name=eth0", "DHCP=ipv4"), dhcp);
    assert_eq!(networkd("Name=eth0", "Address=10.0.0.5/24"), format!("static {named}"));
    let nothing = format!("none {named}: the file that fits the card gives no address");
    assert_eq!(networkd("Name=eth0", "DHCP=ipv6"), nothing);
    assert_eq!(networkd("Name=eth0", "DHCP=no"), nothing);
    assert_eq!(
        networkd("Name=eth0", "DHCP=yes\n[Link]\nMACAddress=0a:ff"),
        format!("none {named}: {OTHER_ADDRESS}")
    );
}

#[test]
fn the_first_file_counts_and_one_in_etc_hides_that_of_a_package() {
    let (yes, no) =
        ("[Match]\nName=eth0\n[Network]\nDHCP=yes\n", "[Match]\nName=eth*\n[Network]\nLLDP=yes\n");
    let (a, b) = ("/etc/systemd/network/10-a.network", "/usr/lib/systemd/network/20-b.network");
    assert_eq!(told(&[(NETWORKD, ""), (a, yes), (b, no)]), format!("dhcp {a}"));
    assert!(told(&[(NETWORKD, ""), (a, no), (b, yes)]).starts_with(&format!("none {a}: ")));
    let own = "/etc/systemd/network/20-b.network";
    assert_eq!(
        told(&[(NETWORKD, ""), (own, ""), (b, no), ("/usr/lib/systemd/network/30.network", yes)]),
        "dhcp /usr/lib/systemd/network/30.network"
    );
    let drop_in = "/etc/systemd/network/10-a.network.d/x.conf";
    assert_eq!(told(&[(NETWORKD, ""), (a, no), (drop_in, "[Network]\nDHCP=yes\n")]), format!("dhcp {a}"));
}

#[test]
fn a_link_file_or_a_rule_of_udev_gives_the_card_its_name() {
    let lan0 = "[Match]\nName=lan0\n[Network]\nDHCP=yes\n";
    let (file, link) = ("/etc/systemd/network/50-lan0.network", "/etc/systemd/network/10-lan0.link");
    let with = |matched: &str| {
        told(&[(NETWORKD, ""), (file, lan0), (link, &format!("[Match]\n{matched}\n[Link]\nName=lan0\n"))])
    };
    assert_eq!(with("Driver=hv_netvsc"), format!("dhcp {file}"));
    assert_eq!(with("OriginalName=eth*"), format!("dhcp {file}"));
    assert_eq!(with("Driver=ena"), "none /etc/systemd/network: no file is for eth0");
    assert_eq!(with("MACAddress=0a:ff"), "none /etc/systemd/network: no file is for eth0");
    let by_address = [(NETWORKD, ""), (file, lan0), (link, "[Match]\nType=ether\n[Link]\nNamePolicy=mac\n")];
    assert!(told(&by_address).starts_with(&format!("unknown {link}: ")));
    let rules = "/etc/udev/rules.d/70-persistent-net.rules";
    let rule = |conditions: &str| {
        let text =
            format!("# NAME=\"x\"\nSUBSYSTEM==\"net\", ACTION==\"add\", {conditions}, NAME=\"lan0\"\n");
        told(&[(NETWORKD, ""), (file, lan0), (rules, &text)])
    };
    assert_eq!(rule("KERNEL==\"eth0\""), format!("dhcp {file}"));
    assert_eq!(rule("DRIVERS==\"hv_netvsc\", ATTR{type}==\"1\""), format!("dhcp {file}"));
    let not = "none /etc/systemd/network: no file is for eth0";
    assert_eq!(rule("DRIVERS==\"?*\", ATTR{address}==\"0a:ff\""), not);
    assert_eq!(rule("DRIVERS==\"ena\""), not);
    assert_eq!(rule("PROGRAM==\"/sbin/which\""), format!("unknown {rules}:2: the card may be named lan0"));
}

#[test]
fn what_is_over_a_card_counts_if_it_has_the_card() {
    let port = |key: &str| format!("[Match]\nName=eth0\n[Network]\n{key}\n");
    let (card, over) = ("/etc/systemd/network/10-eth0.network", "/etc/systemd/network/20-over.network");
    for (key, name) in [("Bridge=br0", "br0"), ("Bond=bond0", "bond0"), ("IPVLAN=v7", "v7")] {
        let text = format!("[Match]\nName={name}\n[Network]\nDHCP=ipv4\n");
        assert_eq!(told(&[(NETWORKD, ""), (card, &port(key)), (over, &text)]), format!("dhcp {over}"));
        assert!(told(&[(NETWORKD, ""), (card, &port(key))]).starts_with(&format!("none {card}: ")));
    }
    for key in ["VLAN=vlan7", "MACVLAN=vlan7"] {
        let text = "[Match]\nName=vlan7\n[Network]\nDHCP=ipv4\n";
        let found = told(&[(NETWORKD, ""), (card, &port(key)), (over, text)]);
        assert_eq!(found, format!("none {card}: {ONLY_BY_VLAN}"));
        let beside = format!("{}DHCP=yes\n", port(key));
        assert_eq!(told(&[(NETWORKD, ""), (card, &beside), (over, text)]), format!("dhcp {card}"));
    }
    let around = port("Bridge=br0").replace("eth0", "*");
    assert!(told(&[(NETWORKD, ""), (card, &around)]).starts_with("none "), "a loop ends");
}

#[test]
fn netplan_merges_its_files_and_renders_for_both() {
    let generator = (GENERATOR, "");
    let (a, b) = ("/etc/netplan/50-a.yaml", "/etc/netplan/60-b.yaml");
    let one = |text: &str| told(&[generator, (a, text)]);
    let not_installed = told(&[(a, "network: {ethernets: {eth0: {dhcp4: true}}}\n")]);
    assert_eq!(not_installed, format!("none platform: {NOBODY}"));
    assert_eq!(one("network: {ethernets: {eth0: {dhcp4: true}}}\n"), format!("dhcp {a}:1"));
    // Debian's own.
    let stock = "network:\n  version: 2\n  ethernets:\n    all-en:\n      match:\n        name: en*\n      dhcp4: true\n    all-eth:\n      match:\n        name: eth*\n      dhcp4: true\n";
    assert_eq!(one(stock), format!("dhcp {a}:8"));
    assert!(one(&stock.replace("eth*", "ens*")).starts_with(&format!("none {a}: ")));
    for (matched, answer) in [
        ("{macaddress: '0a:ff:c0:a8:01:0a'}", "none"),
        ("{driver: ena}", "none"),
        ("{driver: [ena, hv_netvsc]}", "dhcp"),
        ("{name: '*'}", "dhcp"),
        ("{name: 'e*', driver: ena}", "none"),
    ] {
        for renderer in ["networkd", "NetworkManager"] {
            let text = format!(
                "network:\n  renderer: {renderer}\n  ethernets:\n    x:\n      match: {matched}\n      dhcp4: true\n"
            );
            let conf = ("/etc/NetworkManager/NetworkManager.conf", "[main]\nno-auto-default=*\n");
            let told = told(&[generator, (MANAGER, ""), conf, (a, &text)]);
            assert!(told.starts_with(answer), "{renderer} {matched}: {told}");
        }
    }
    for (text, line) in [
        ("network:\n  ethernets:\n    eth0:\n      dhcp4: true\n    eth1\n", 5),
        ("network:\n\tethernets: {}\n", 2),
        ("no network\n", 1),
    ] {
        let broken = one(text);
        assert_eq!(broken, format!("none {a}:{line}: netplan cannot read it, and configures nothing"));
        let good = "network: {ethernets: {eth0: {dhcp4: true}}}\n";
        assert_eq!(told(&[generator, (a, text), (b, good)]), broken, "no other file counts then");
    }
    let over_lines = "network:\n  # x\n  ethernets:\n    eth0:\n      addresses: [10.0.0.5/24,\n        10.0.0.6/24]\n      dhcp4: true\n";
    assert!(one(over_lines).starts_with("dhcp "));
    let first = "network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.5/24]\n";
    assert_eq!(one(first), format!("static {a}:3"));
    let second = "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n";
    assert_eq!(told(&[generator, (a, first), (b, second)]), format!("dhcp {a}:3"));
    let off = second.replace("true", "false");
    assert!(told(&[generator, (a, second), (b, &off)]).starts_with("none"), "the last one counts");
    let bridge = "network:\n  ethernets:\n    eth0: {}\n  bridges:\n    br0:\n      interfaces:\n        - eth0\n      dhcp4: yes\n";
    assert_eq!(one(bridge), format!("dhcp {a}:5"));
    assert!(one(&bridge.replace("- eth0", "- ens5")).starts_with("none"));
    let bond = bridge.replace("bridges", "bonds").replace("br0", "bond0");
    assert_eq!(one(&bond), format!("dhcp {a}:5"));
    let vlan = "network:\n  ethernets:\n    eth0: {}\n  vlans:\n    v7:\n      id: 7\n      link: eth0\n      dhcp4: yes\n";
    assert_eq!(one(vlan), format!("none {a}:3: {ONLY_BY_VLAN}"));
    assert_eq!(one(&vlan.replace("eth0: {}", "eth0: {dhcp4: yes}")), format!("dhcp {a}:3"));
    let routes = second.replace("dhcp4", "dhcp4-overrides: {use-routes: false}\n      dhcp4");
    assert_eq!(one(&routes), format!("unknown {a}:3: {NO_ROUTE}"));
    let mac = second.replace("dhcp4", "macaddress: 0a:ff\n      dhcp4");
    assert_eq!(one(&mac), format!("none {a}:3: {OTHER_ADDRESS}"));
}

#[test]
fn networkmanager_takes_a_profile_that_fits_or_makes_one() {
    let path = "/etc/NetworkManager/system-connections/a.nmconnection";
    let conf = "/etc/NetworkManager/NetworkManager.conf";
    let profile = |text: &str| told(&[(MANAGER, ""), (conf, "[main]\nno-auto-default=*\n"), (path, text)]);
    assert_eq!(told(&[(MANAGER, "")]), format!("dhcp {conf}"), "a profile is made");
    let none = format!("none {conf}: no card gets a profile by itself, and none has one");
    assert_eq!(told(&[(MANAGER, ""), (conf, "[main]\nno-auto-default=*\n")]), none);
    let base = "[connection]\ntype=ethernet\n";
    for (text, answer) in [
        ("", "dhcp"),
        ("interface-name=eth0\n", "dhcp"),
        ("interface-name=ens5\n", "none"),
        ("autoconnect=false\n", "none"),
        ("[ethernet]\nmac-address=0A:FF\n", "none"),
        ("[ethernet]\ncloned-mac-address=0A:FF\n", "none"),
        ("[match]\ninterface-name=en*;eth*;\n", "dhcp"),
        ("[match]\ninterface-name=!eth0;\n", "none"),
        ("[match]\ndriver=ena\n", "none"),
        ("[match]\ndriver=hv_netvsc\n", "dhcp"),
        ("[match]\npath=pci-0000:00:05.0\n", "none"),
        ("[ipv4]\nmethod=manual\naddress1=10.0.0.5/24\n", "static"),
        ("[ipv4]\nmethod=disabled\n", "none"),
    ] {
        let told = profile(&format!("{base}{text}"));
        assert!(told.starts_with(answer), "{text}: {told}");
    }
    for (list, managed) in [
        ("*,except:interface-name:ens5", false),
        ("*,except:interface-name:eth0", true),
        ("*;except:type:ethernet", true),
        ("interface-name:eth*", false),
        ("interface-name:docker*", true),
        ("mac:0a:ff:c0:a8:01:0a", true),
        ("driver:hv_netvsc", false),
        ("driver:veth", true),
        ("type:ethernet", false),
    ] {
        let text = format!("[keyfile]\nunmanaged-devices={list}\n");
        let told = told(&[(MANAGER, ""), ("/etc/NetworkManager/conf.d/a.conf", &text)]);
        assert_eq!(told.starts_with("dhcp"), managed, "{list}: {told}");
    }
    let device = "[device-x]\nmatch-device=interface-name:eth0\nmanaged=0\n";
    assert!(told(&[(MANAGER, ""), (conf, device)]).starts_with("none"));
    let bridge = "/etc/NetworkManager/system-connections/br0.nmconnection";
    let port = format!("{base}interface-name=eth0\nmaster=br0\nslave-type=bridge\n");
    let over = "[connection]\ntype=bridge\nid=bridge\ninterface-name=br0\n[ipv4]\nmethod=auto\n";
    assert_eq!(told(&[(MANAGER, ""), (path, &port), (bridge, over)]), format!("dhcp {bridge}"));
    assert!(told(&[(MANAGER, ""), (path, &port)]).starts_with("none"));
    let ifcfg = "/etc/sysconfig/network-scripts/ifcfg-eth0";
    let server = (conf, "[main]\nno-auto-default=*\n");
    let old = "DEVICE=eth0\nTYPE=Ethernet\nBOOTPROTO=dhcp\nONBOOT=yes\n";
    assert_eq!(told(&[(MANAGER, ""), server, (ifcfg, old)]), format!("dhcp {ifcfg}"));
    let pinned = format!("{old}HWADDR=0a:ff\n");
    assert!(told(&[(MANAGER, ""), server, (ifcfg, &pinned)]).starts_with("none"));
}

#[test]
fn ifupdown_follows_what_it_sources_and_needs_a_client() {
    let base = [(NETWORKING, "")];
    let main = "/etc/network/interfaces";
    let with = |text: &str, more: &[(&str, &str)]| told(&[&base[..], &[(main, text)], more].concat());
    let client = ("/sbin/dhclient", "");
    let dhcp = "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n";
    assert_eq!(with(dhcp, &[client]), format!("dhcp {main}:3"));
    assert_eq!(with(dhcp, &[]), format!("none {main}:3: no DHCP client (dhclient) is installed"));
    assert_eq!(with(dhcp, &[("/usr/bin/udhcpc", "")]), format!("dhcp {main}:3"));
    let fixed = "allow-hotplug eth0\niface eth0 inet static\n address 10.0.0.5/24\n";
    assert_eq!(with(fixed, &[]), format!("static {main}:2"));
    assert!(with("iface eth0 inet dhcp\n", &[client]).contains("no line \"auto eth0\" starts it"));
    assert!(with("auto ens5\niface ens5 inet dhcp\n", &[client]).contains("no stanza is for eth0"));
    assert!(with("auto eth0\niface eth0 inet6 auto\n", &[client]).starts_with("none"));
    let cloned = "auto eth0\niface eth0 inet dhcp\n hwaddress ether 0a:ff\n";
    assert_eq!(with(cloned, &[client]), format!("none {main}:2: {OTHER_ADDRESS}"));
    let other = "/etc/network/interfaces.d/50-eth0";
    let own = (other, "auto eth0\niface eth0 inet dhcp\n");
    for source in
        ["source /etc/network/interfaces.d/*", "source interfaces.d/5*", "source-directory interfaces.d"]
    {
        assert_eq!(with(&format!("{source}\n"), &[client, own]), format!("dhcp {other}:2"), "{source}");
    }
    assert!(with("source /etc/network/interfaces.d/*.cfg\n", &[client, own]).starts_with("none"));
    let misplaced = "auto eth0\n address 10.0.0.4/24\niface eth0 inet dhcp\n";
    assert!(with(misplaced, &[client]).contains("belongs to no stanza"));
    let mapped = "auto eth0\nmapping eth0\n script /bin/x\n map HOME dhcp\n";
    assert_eq!(with(mapped, &[client]), format!("unknown {main}:2: a script says what eth0 is"));
    for (port, tool, package) in [
        ("bridge_ports eth0", "bridge", "bridge-utils"),
        ("bridge-ports eth0", "bridge", "bridge-utils"),
        ("bond-slaves eth0 eth1", "ifenslave", "ifenslave"),
    ] {
        let over = format!("auto br0\niface br0 inet dhcp\n {port}\n");
        let script = format!("/etc/network/if-pre-up.d/{tool}");
        let tool = (script.as_str(), "-> /bin/true");
        assert_eq!(with(&over, &[client, tool]), format!("dhcp {main}:2"), "{port}");
        assert!(with(&over.replace("eth0", "ens5"), &[client, tool]).starts_with("none"), "{port}");
        let lacks = format!("none {main}:2: nothing makes br0 of its options: {package} is not installed");
        assert_eq!(with(&over, &[client]), lacks);
        let by_hand = format!("{over} pre-up /bin/true\n");
        assert_eq!(with(&by_hand, &[client]), format!("dhcp {main}:2"));
    }
    let vlan = "auto eth0.7\niface eth0.7 inet dhcp\n";
    assert!(with(vlan, &[client]).starts_with("none "));
    let beside = format!("auto eth0\niface eth0 inet dhcp\n{vlan}");
    assert_eq!(with(&beside, &[client]), format!("dhcp {main}:2"));
    let pattern = "auto /eth*\niface eth0 inet dhcp\n";
    assert_eq!(with(pattern, &[client]), format!("dhcp {main}:2"));
    let helper = [
        client,
        ("/etc/network/cloud-ifupdown-helper", ""),
        ("/usr/lib/udev/rules.d/75-cloud-ifupdown.rules", ""),
    ];
    assert!(with("auto lo\n", &helper).starts_with("dhcp /usr/lib/udev"));
    let itself = "source interfaces\nauto eth0\niface eth0 inet dhcp\n";
    assert_eq!(with(itself, &[client]), format!("dhcp {main}:3"), "a file that sources itself");
}

#[test]
fn files_of_red_hat_and_of_suse() {
    let (dir, suse) = ("/etc/sysconfig/network-scripts", "/etc/sysconfig/network");
    let red_hat = |files: &[(&str, &str)]| {
        let started = [(NETWORK, ""), ("/sbin/dhclient", "")];
        told(&[&started[..], files].concat())
    };
    let eth0 = format!("{dir}/ifcfg-eth0");
    for (text, answer) in [
        ("DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n", "dhcp"),
        ("BOOTPROTO=\"dhcp\"\n", "dhcp"),
        ("BOOTPROTO=dhcp\nONBOOT=no\n", "none"),
        ("BOOTPROTO=dhcp\nHWADDR=0a:ff\n", "none"),
        ("BOOTPROTO=dhcp\nMACADDR=0a:ff\n", "none"),
        ("BOOTPROTO=none\nIPADDR=10.0.0.5\n", "static"),
        ("BOOTPROTO=none\n", "none"),
        ("DEVICE=ens5\nBOOTPROTO=dhcp\n", "none"),
    ] {
        let told = red_hat(&[(&eth0, text)]);
        assert!(told.starts_with(answer), "{text}: {told}");
    }
    let bridge = format!("{dir}/ifcfg-br0");
    let files = [(eth0.as_str(), "BRIDGE=br0\n"), (bridge.as_str(), "TYPE=Bridge\nBOOTPROTO=dhcp\n")];
    assert_eq!(red_hat(&files), format!("dhcp {bridge}"));
    let bond = format!("{dir}/ifcfg-bond0");
    let files = [(eth0.as_str(), "MASTER=bond0\nSLAVE=yes\n"), (bond.as_str(), "BOOTPROTO=dhcp\n")];
    assert_eq!(red_hat(&files), format!("dhcp {bond}"));
    let no_client = [(NETWORK, ""), (&*eth0, "BOOTPROTO=dhcp\n")];
    assert_eq!(told(&no_client), format!("none {eth0}: no DHCP client (dhclient) is installed"));

    let wicked = |files: &[(&str, &str)]| told(&[&[(WICKED, "")][..], files].concat());
    let eth0 = format!("{suse}/ifcfg-eth0");
    for (text, answer) in [
        ("BOOTPROTO='dhcp'\nSTARTMODE='auto'\n", "dhcp"),
        ("BOOTPROTO='dhcp4+dhcp6'\nSTARTMODE='hotplug'\n", "dhcp"),
        ("BOOTPROTO='dhcp6'\nSTARTMODE='auto'\n", "none"),
        ("BOOTPROTO='dhcp'\nSTARTMODE='manual'\n", "none"),
        ("BOOTPROTO='dhcp'\nSTARTMODE='auto'\nLLADDR='0a:ff'\n", "none"),
        ("BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='10.0.0.5/24'\n", "static"),
    ] {
        let told = wicked(&[(&eth0, text)]);
        assert!(told.starts_with(answer), "{text}: {told}");
    }
    let bridge = format!("{suse}/ifcfg-br0");
    let over = "BOOTPROTO='dhcp'\nSTARTMODE='auto'\nBRIDGE='yes'\nBRIDGE_PORTS='eth0 eth1'\n";
    let port = "BOOTPROTO='none'\nSTARTMODE='hotplug'\n";
    assert_eq!(wicked(&[(&eth0, port), (&bridge, over)]), format!("dhcp {bridge}"));
    assert!(wicked(&[(&eth0, port), (&bridge, &over.replace("eth0", "ens5"))]).starts_with("none"));
}

/// It writes files for a manager, which reads them only where it is at work.
#[test]
fn cloud_init_counts_where_it_looks_for_azure_and_nothing_else_does() {
    let list = "/etc/cloud/cloud.cfg.d/90.cfg";
    let pinned = "/etc/systemd/network/10-ens5.network";
    let manager = [(NETWORKD, ""), (pinned, "[Match]\nName=ens5\n[Network]\nDHCP=yes\n")];
    let with = |text: &str| told(&[&[(CLOUD_INIT, ""), (list, text)][..], &manager].concat());
    assert_eq!(with("datasource_list: [ Azure, None ]\n"), format!("dhcp {list}:1"));
    let not = "none /etc/systemd/network: no file is for eth0";
    assert_eq!(with("datasource_list: [ Ec2, None ]\n"), not);
    assert_eq!(with("datasource_list: [ Azure ]\nnetwork: {config: disabled}\n"), not);
    assert_eq!(with(""), not);
    let azure = (list, "datasource_list: [ Azure ]\n");
    assert_eq!(told(&[(CLOUD_INIT, ""), azure]), format!("none platform: {NOBODY}"));
    let netplan = told(&[(CLOUD_INIT, ""), azure, (GENERATOR, "")]);
    assert_eq!(netplan, format!("dhcp {list}:1"), "netplan starts networkd for what is written");
    let disabled = ("/etc/cloud/cloud-init.disabled", "x");
    assert_eq!(told(&[&[(CLOUD_INIT, ""), azure, disabled][..], &manager].concat()), not);
}

/// Finding B: what is understood must not be passed over where it takes the card's address, name or route.
#[test]
fn a_card_without_its_own_address_or_a_route_is_not_reached() {
    let link = "/etc/systemd/network/10-a.link";
    for set in ["MACAddress=0a:00:00:00:00:01", "MACAddressPolicy=random"] {
        let text = format!("[Match]\nOriginalName=eth*\n[Link]\n{set}\n");
        let network = "[Match]\nName=*\n[Network]\nDHCP=yes\n";
        let files = [(NETWORKD, ""), (link, &*text), ("/etc/systemd/network/20-a.network", network)];
        assert_eq!(told(&files), format!("none {link}: {OTHER_ADDRESS}"));
    }
    let file = "/etc/systemd/network/20-a.network";
    for own in ["[DHCPv4]\nUseGateway=no", "[DHCPv4]\nUseRoutes=no", "[DHCP]\nUseRoutes=false"] {
        let with = |more: &str| networkd("Name=eth0", &format!("DHCP=yes\n{own}\n{more}"));
        assert_eq!(with(""), format!("unknown {file}: {NO_ROUTE}"));
        assert_eq!(with("[Route]\nGateway=10.0.0.1\n"), format!("dhcp {file}"));
    }
    let profile = "/etc/NetworkManager/system-connections/a.nmconnection";
    let text = "[connection]\nid=a\ntype=ethernet\n[ipv4]\nmethod=auto\nnever-default=true\n";
    assert_eq!(told(&[(MANAGER, ""), (profile, text)]), format!("unknown {profile}: {NO_ROUTE}"));
    let conf = "/etc/NetworkManager/conf.d/mac.conf";
    let cloned = "[connection]\nethernet.cloned-mac-address=random\n";
    assert_eq!(told(&[(MANAGER, ""), (conf, cloned)]), format!("none {conf}: {OTHER_ADDRESS}"));
    let own =
        "[connection]\nid=a\ntype=ethernet\n[ethernet]\ncloned-mac-address=permanent\n[ipv4]\nmethod=auto\n";
    assert_eq!(told(&[(MANAGER, ""), (conf, cloned), (profile, own)]), format!("dhcp {profile}"));
    let rules = "/etc/udev/rules.d/99-own.rules";
    let rule = "ACTION==\"add\", SUBSYSTEM==\"net\", KERNEL==\"eth*\", RUN+=\"/sbin/ip link set %k down\"\n";
    assert_eq!(told(&[(MANAGER, ""), (rules, rule)]), format!("none {rules}:1: it sets the card down"));
    let other = rule.replace("eth*", "wlan*");
    assert!(told(&[(MANAGER, ""), (rules, &other)]).starts_with("dhcp "));
}

#[test]
fn a_manager_whose_unit_is_kept_from_its_start_is_idle_or_doubtful() {
    let drop_in = "/etc/systemd/system/systemd-networkd.service.d/a.conf";
    let network = ("/etc/systemd/network/20-a.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n");
    let with = |text: &str| told(&[(NETWORKD, ""), network, (drop_in, text)]);
    assert!(with("[Unit]\nConditionVirtualization=xen\n").starts_with("none "));
    assert!(
        with("[Unit]\nConditionPathExists=/sys/module/ena\n").starts_with(&format!("unknown {drop_in}: "))
    );
    assert!(with("[Service]\nExecStartPre=/opt/x\n").starts_with("none "));
    assert!(with("[Service]\nRestartSec=1\nMemoryMax=1G\n").starts_with("dhcp "));
}
