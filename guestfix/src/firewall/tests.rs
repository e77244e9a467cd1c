//! Firewalls as they stand on a guest.

use super::*;
use crate::platform::azure::AZURE;
use crate::rules::testing::Bench;

const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
const NFTABLES: &str = "/etc/nftables.conf";
const ZONE: &str = "/etc/firewalld/zones/public.xml";

fn started(unit: &str) -> Bench {
    Bench::debian().link(&format!("{WANTS}/{unit}"), "/x")
}

/// "shut: /etc/nftables.conf: lets no ssh in", or nothing for one that is open.
fn found(bench: &Bench) -> String {
    let doors = bench.guest(|guest| doors(guest.view, &AZURE).unwrap());
    let said = doors.into_iter().map(|door| match door {
        Door::Shut(what) => format!("shut: {what}"),
        Door::Limited(what) => format!("limited: {what}"),
        Door::Unknown(what) => format!("unknown: {what}"),
        Door::Unread(what) => format!("unread: {what}"),
    });
    said.collect::<Vec<_>>().join("\n")
}

fn nft(text: &str) -> Bench {
    started("nftables.service").file(NFTABLES, format!("#!/usr/sbin/nft -f\nflush ruleset\n{text}"))
}

/// A table with a chain at the hook input that drops, `before` above it and `rules` in it.
fn input(above: &str, before: &str, rules: &str) -> Bench {
    nft(&format!(
        "{above}\ntable inet fw {{\n {before}\n chain in {{\n  type filter hook input priority filter; policy drop;\n  \
         ct state established,related accept\n  iifname \"lo\" accept\n  {rules}\n }}\n}}\n"
    ))
}

#[test]
fn nft_lets_ssh_in() {
    for (above, before, rules) in [
        ("", "", "tcp dport 22 accept"),
        ("", "", "tcp dport { ssh, http, https } ct state new accept"),
        ("", "", "tcp dport {\n 22,\n 443\n} accept # {"),
        ("define TCP_IN = { 22, 80, 443 }", "", "tcp dport $TCP_IN accept"),
        ("define SSH_PORT = 22", "", "tcp dport $SSH_PORT ct state new accept"),
        (
            "define IF = { \"eth0\", eth1 }\ndefine P = { 22 }\ndefine Q = $P",
            "",
            "iifname $IF tcp dport $Q accept",
        ),
        (
            "",
            "set ok { type inet_service; flags interval; elements = { 22, 8000-8100 } }",
            "tcp dport @ok accept",
        ),
        ("", "set ok {\n type inet_service\n elements = { ssh, http,\n https }\n }", "tcp dport @ok accept"),
        (
            "",
            "set bad { type ipv4_addr; elements = { 192.0.2.0/24 } }",
            "ip saddr @bad drop\ntcp dport 22 accept",
        ),
        ("", "set bad { type ipv4_addr; flags dynamic; }", "ip saddr @bad drop\ntcp dport 22 accept"),
        ("", "", "ct state vmap { established : accept, invalid : drop }\ntcp dport 22 accept"),
        ("", "", "tcp dport 20-23 accept"),
        ("", "", "ip saddr != { 203.0.113.0/24 } tcp dport 22 accept"),
        ("", "", "tcp dport != { 23, 25 } accept"),
        ("", "", "meta nfproto ipv4 meta l4proto . th dport { tcp . 22, udp . 53 } accept"),
        (
            "",
            "",
            "tcp dport 22 ct state new log prefix \"ssh: accept\" level info counter packets 1 bytes 9 accept",
        ),
        (
            "",
            "set c { type ipv4_addr; size 128; flags dynamic; }",
            "tcp dport 22 ct state new add @c { ip saddr ct count over 10 } counter reject with tcp reset\n\
          tcp dport 22 accept",
        ),
        (
            "",
            "set flood { type ipv4_addr; flags dynamic,timeout; timeout 1m; }",
            "tcp dport ssh ct state new add @flood { ip saddr limit rate over 10/minute } drop\nth dport 22 accept",
        ),
        ("", "chain OK { accept\n }", "tcp dport 22 goto OK"),
        ("", "chain OK { accept; }", "tcp dport 22 jump OK"),
        (
            "",
            "chain sshc { ct state new limit rate 30/minute accept\n }",
            "tcp dport vmap { 22 : jump sshc, 80:accept }",
        ),
        ("", "map m { type inet_service : verdict; elements = { 22 : accept } }", "tcp dport vmap @m"),
        ("", "", "tcp dport 22 ct state new limit rate 10/minute burst 5 packets accept"),
        ("", "", "tcp dport 22 limit rate over 10/minute drop\ntcp dport 22 accept"),
        ("", "", "iifname \"eth*\" tcp dport 22 accept"),
        ("", "", "iifname { \"eth0\", \"ens5\" } tcp dport 22 accept"),
        ("", "", "tcp flags & (fin|syn|rst|ack) == syn tcp dport 22 accept"),
        ("", "", "tcp flags syn / fin,syn,rst,ack accept"),
        ("", "", "ip protocol tcp tcp dport ssh accept comment \"drop\""),
        ("", "", "fib daddr type local tcp dport 22 accept"),
        ("", "", "fib saddr . iif oif missing drop\ntcp dport 22 accept"),
        ("", "", "meta mark 0x1 drop\ntcp dport <= 1024 accept"),
        ("", "", "ip saddr 10.0.0.0/8 tcp dport 22 accept\nip saddr 0.0.0.0/0 tcp dport 22 accept"),
        ("", "", "iif != lo accept"),
        (
            "",
            "",
            "ip frag-off & 0x1fff != 0 counter drop\ntcp flags & (fin|syn) == (fin|syn) drop\n\
                  tcp flags & (fin|syn|rst|psh|ack|urg) == 0x0 drop\ntcp option maxseg size 1-535 drop\n\
                  tcp flags & (fin|syn|rst|ack) != syn ct state new drop\ntcp dport 22 accept",
        ),
        (
            "",
            "",
            "udp dport != 53 drop\nicmp type != echo-request drop\nip6 hoplimit < 5 drop\ntcp dport 22 accept",
        ),
        (
            "",
            "",
            "meta pkttype != unicast drop\nip saddr 127.0.0.0/8 iif != lo drop\nip ttl < 5 drop\ntcp dport 22 accept",
        ),
        ("", "", "tcp dport 22 meter ssh { ip saddr limit rate 5/minute } accept\ntcp dport 22 accept"),
    ] {
        assert_eq!(found(&input(above, before, rules)), "", "{above} {before} {rules}");
    }
    for text in [
        "table ip f {\n chain i {\n type filter hook input priority 0; policy accept;\n tcp dport 22 goto ok\n drop\n }\n \
         chain ok { counter accept\n }\n}\n",
        "add table ip f\nadd chain ip f i { type filter hook input priority 0; policy drop; }\n\
         add rule ip f i tcp dport 443 drop\ninsert rule ip f i tcp dport 22 counter accept\n",
        "table ip f {\n chain i {\n  type filter hook input priority 0\n  policy accept\n }\n chain w {\n  \
         type filter hook forward priority 0\n  policy drop\n }\n}\n",
        "table ip6 f {\n chain i { type filter hook input priority 0; policy drop; }\n}\n",
        "table ip n {\n chain p { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :8080; }\n}\n",
        "table ip n {\n chain p { type nat hook prerouting priority dstnat; dnat to tcp dport map { 80 : 10.0.0.2 }; }\n}\n",
        "table ip f {\n chain i { type filter hook input priority filter - 1; policy drop; }\n}\nflush ruleset\n",
        "table ip f\n{\n chain i\n {\n  type filter hook input priority 0\n  tcp dport 22 accept\n  drop\n }\n}\n",
    ] {
        assert_eq!(found(&nft(text)), "", "{text}");
    }
}

/// Rules that count on what others do: marks, and what conntrack does not see.
#[test]
fn nft_rules_ask_of_others() {
    let raw = |rule: &str| {
        format!(
            "table inet raw {{\n chain p {{\n  type filter hook prerouting priority raw; policy accept;\n  {rule}\n }}\n}}\n"
        )
    };
    for (above, rules) in [
        (raw("tcp dport 22 notrack"), "ct state untracked tcp dport 22 accept"),
        (raw("udp dport 53 notrack"), "tcp dport 22 ct state new accept"),
        (raw("udp dport 53 meta mark set 0x66"), "tcp dport 22 accept"),
        (raw(""), "tcp dport 22 ct count over 5 drop\ntcp dport 22 accept"),
        (raw(""), "meta mark 0x66 drop\ntcp dport 22 accept"),
    ] {
        assert_eq!(found(&input(&above, "", rules)), "", "{above}{rules}");
    }
    for (above, rules, what) in [
        (raw("tcp dport 22 notrack"), "tcp dport 22 ct state new accept", "shut: "),
        (raw("tcp dport 22 meta mark set 0x66"), "meta mark 0x66 drop\ntcp dport 22 accept", "unknown: "),
        (raw(""), "tcp dport 22 ct count over 0 drop\ntcp dport 22 accept", "shut: "),
    ] {
        let found = found(&input(&above, "", rules));
        assert!(found.starts_with(what), "{above}{rules}: {found}");
    }
}

#[test]
fn nft_keeps_ssh_out() {
    let (shut, rule) =
        ("shut: /etc/nftables.conf: lets no ssh in", "shut: /etc/nftables.conf: lets no ssh in: ");
    for rules in
        ["", "tcp dport { 80, 443 } accept", "udp dport 22 accept", "ip6 saddr ::/0 tcp dport 22 accept"]
    {
        assert_eq!(found(&input("", "", rules)), shut, "{rules}");
    }
    assert_eq!(found(&input("", "", "tcp dport 22 drop\naccept")), format!("{rule}tcp dport 22 drop"));
    assert_eq!(
        found(&input("", "", "iifname \"ens5\" tcp dport 22 accept")),
        "shut: /etc/nftables.conf: lets ssh in by ens5 only, and the target's card is eth0"
    );
    let open = "table inet a {\n chain i {\n type filter hook input priority 0; policy accept;\n tcp dport 22 accept\n }\n}\n";
    for (more, what) in [
        (
            "table inet b { chain j { type filter hook input priority 10; policy drop; iif lo accept; } }",
            shut.to_owned(),
        ),
        (
            "table inet b {\n chain p {\n type filter hook prerouting priority raw; policy accept;\n iifname \"eth0\" tcp \
             dport 22 drop\n }\n}",
            format!("{rule}iifname \"eth0\" tcp dport 22 drop"),
        ),
        (
            "table netdev b {\n chain p {\n type filter hook ingress device \"eth0\" priority 0;\n tcp dport 22 drop\n }\n}",
            format!("{rule}tcp dport 22 drop"),
        ),
        (
            "table inet b {\n chain o {\n type filter hook output priority 0; policy drop;\n oif lo accept\n }\n}",
            "shut: /etc/nftables.conf: lets no answer of sshd out".to_owned(),
        ),
        (
            "table ip b {\n chain p {\n type nat hook prerouting priority -100;\n tcp dport 22 dnat to 10.9.9.9:22\n }\n}",
            "shut: /etc/nftables.conf: sends ssh elsewhere: tcp dport 22 dnat to 10.9.9.9:22".to_owned(),
        ),
        (
            "table ip b {\n chain i {\n type filter hook input priority 1; policy drop;\n ct state new accept\n }\n}",
            "shut: /etc/nftables.conf: lets no connection of ssh go on once it stands".to_owned(),
        ),
    ] {
        assert_eq!(found(&nft(&format!("{open}{more}\n"))), what, "{more}");
    }
    let answers = "table inet b {\n chain o {\n type filter hook output priority 0; policy drop;\n tcp sport 22 accept\n }\n}";
    assert_eq!(found(&nft(answers)), "");
}

#[test]
fn nft_lets_a_few_in_or_nobody_can_tell() {
    for (rules, who) in [
        ("ip saddr 10.0.0.0/8 tcp dport 22 accept", "from 10.0.0.0/8"),
        ("ip saddr { 10.0.0.0/8, 203.0.113.7 } tcp dport 22 accept", "from 10.0.0.0/8, 203.0.113.7"),
        ("ip saddr . tcp dport { 203.0.113.7 . 22 } accept", "from 203.0.113.7"),
        ("ip saddr @office tcp dport 22 accept", "of the set office"),
        ("ip saddr != 10.0.0.0/8 drop\ntcp dport 22 accept", "from 10.0.0.0/8"),
    ] {
        let expect = format!("limited: /etc/nftables.conf: lets ssh in only {who}");
        assert_eq!(found(&input("", "", rules)), expect, "{rules}");
    }
    for rules in [
        "tcp dport $open accept",
        "wibble 3 accept",
        "jump nowhere",
        "iifname \"br0\" tcp dport 22 accept",
        "tcp dport 22 queue num 0",
        "ct zone 3 accept",
    ] {
        let found = found(&input("", "", rules));
        assert!(
            found.starts_with("unknown: /etc/nftables.conf: whether it lets ssh in cannot be told"),
            "{rules}: {found}"
        );
    }
    let open = "chain in { type filter hook input priority 0; tcp dport 22 accept; }";
    for text in [
        format!("table ip f {{ {open} }}\ninclude \"/etc/gone.nft\"\n"),
        format!("wibble\ntable ip f {{ {open} }}\n"),
    ] {
        assert!(found(&nft(&text)).starts_with("unknown: "), "{text}");
    }
    let included = nft("include \"/etc/nftables.d/*.nft\"\n")
        .file(
            "/etc/nftables.d/10-base.nft",
            "table inet filter {\n chain input { type filter hook input priority 0; policy drop; }\n}\n",
        )
        .file("/etc/nftables.d/20-ssh.nft", "add rule inet filter input tcp dport 22 counter accept\n");
    assert_eq!(found(&included), "");
    assert_eq!(
        found(&included.without("/etc/nftables.d/20-ssh.nft")),
        "shut: /etc/nftables.conf: lets no ssh in"
    );
}

#[test]
fn hostile_files_of_nft_come_to_an_end() {
    let doubled: String = (0..40).map(|n| format!("define V{} = {{ $V{n}, $V{n} }}\n", n + 1)).collect();
    for text in [
        "{".repeat(10_000),
        "table ip f {".repeat(1000),
        "table ip f { chain c {".to_owned(),
        "define A = $A\ntable ip f { chain c { tcp dport $A accept\n".to_owned(),
        format!("define V0 = 22\n{doubled}table ip f {{ chain c {{ tcp dport $V40 accept\n"),
        "include \"/etc/nftables.conf\"\n".repeat(3),
        "add\nadd rule\nadd chain ip\nset\ntcp dport vmap {\n:".to_owned(),
        "table ip f { chain c { type filter hook input priority 0; tcp dport . . { . } : vmap vmap { : } & == (\n} }".into(),
    ] {
        let _ = found(&nft(&text));
    }
}

#[test]
fn iptables_is_read_where_it_is_loaded() {
    let text = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    for (unit, file) in [
        ("iptables.service", "/etc/sysconfig/iptables"),
        ("netfilter-persistent.service", "/etc/iptables/rules.v4"),
    ] {
        assert_eq!(found(&started(unit).file(file, text)), format!("shut: {file}: lets no ssh in"));
    }
    assert_eq!(found(&Bench::debian().file("/etc/sysconfig/iptables", text)), "");
    let by_script = Bench::debian()
        .file("/etc/iptables.rules", text)
        .program("/etc/network/if-pre-up.d/iptables", "#!/bin/sh\niptables-restore < /etc/iptables.rules\n");
    assert_eq!(found(&by_script), "shut: /etc/iptables.rules: lets no ssh in");
    let other = started("shorewall.service").file("/usr/lib/systemd/system/shorewall.service", "[Service]\n");
    assert!(found(&other).starts_with("unread: "), "{}", found(&other));
}

#[test]
fn ufw_is_its_files_of_rules() {
    let before = "*filter\n:ufw-before-input - [0:0]\n:ufw-not-local - [0:0]\n-A ufw-before-input -i lo -j ACCEPT\n\
                  -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
                  -A ufw-before-input -j ufw-not-local\n-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN\n\
                  -A ufw-not-local -j DROP\nCOMMIT\n";
    let with = |rules: &str| {
        let rules = format!(
            "*filter\n:ufw-user-input - [0:0]\n:ufw-user-limit - [0:0]\n:ufw-user-limit-accept - [0:0]\n{rules}\n\
             -A ufw-user-limit -m limit --limit 3/minute -j LOG --log-prefix \"[UFW LIMIT BLOCK] \"\n\
             -A ufw-user-limit -j REJECT\n-A ufw-user-limit-accept -j ACCEPT\nCOMMIT\n"
        );
        started("ufw.service")
            .file("/etc/ufw/ufw.conf", "# x\nENABLED=yes\nLOGLEVEL=low\n")
            .file("/etc/ufw/before.rules", before)
            .file("/etc/ufw/user.rules", rules)
    };
    for open in [
        "-A ufw-user-input -p tcp --dport 22 -j ACCEPT -m comment --comment 'dapp_OpenSSH'",
        "-A ufw-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set\n\
         -A ufw-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 \
         -j ufw-user-limit\n-A ufw-user-input -p tcp --dport 22 -j ufw-user-limit-accept",
        "-A ufw-user-input -p tcp -m multiport --dports 22,80,443 -j ACCEPT",
        "-A ufw-user-input -i eth0 -p tcp --dport 22 -j ACCEPT\n-A ufw-user-input -s 203.0.113.0/24 -j DROP",
    ] {
        assert_eq!(found(&with(open)), "", "{open}");
    }
    let config = "/etc/ufw/ufw.conf: lets";
    assert_eq!(found(&with("")), format!("shut: {config} no ssh in"));
    assert_eq!(
        found(&with("-A ufw-user-input -p tcp --dport 22 -s 10.0.0.0/16 -j ACCEPT")),
        format!("limited: {config} ssh in only from 10.0.0.0/16")
    );
    assert_eq!(
        found(&with("-A ufw-user-input -i ens5 -p tcp --dport 22 -j ACCEPT")),
        format!("shut: {config} ssh in by ens5 only, and the target's card is eth0")
    );
    assert_eq!(found(&with("").file("/etc/default/ufw", "DEFAULT_INPUT_POLICY=\"ACCEPT\"\n")), "");
    assert_eq!(found(&with("").file("/etc/ufw/ufw.conf", "ENABLED=no\n")), "");
    assert_eq!(found(&with("").without(&format!("{WANTS}/ufw.service"))), "");
}

#[test]
fn firewalld_is_its_zone() {
    let zone = |text: &str| {
        started("firewalld.service")
            .file(
                "/usr/lib/firewalld/services/ssh.xml",
                "<service><port protocol=\"tcp\" port=\"22\"/></service>",
            )
            .file("/usr/lib/firewalld/zones/public.xml", "<zone><service name=\"ssh\"/></zone>")
            .file(ZONE, format!("<?xml version=\"1.0\"?>\n{text}"))
    };
    for open in [
        "<zone>\n <short>x</short>\n <service name=\"ssh\"/>\n</zone>",
        "<zone target=\"ACCEPT\"/>",
        "<zone target=\"DROP\"><port port=\"20-25\" protocol=\"tcp\"/></zone>",
        "<zone><protocol value=\"tcp\"/></zone>",
        "<zone><rule family=\"ipv4\"><source address=\"0.0.0.0/0\"/><service name=\"ssh\"/><log prefix=\"x\"><limit \
         value=\"5/m\"/></log><accept/></rule></zone>",
        "<zone><rule><port port=\"22\" protocol=\"tcp\"/><accept><limit value=\"20/m\"/></accept></rule></zone>",
        "<zone><service name=\"ssh\"/><rule><source address=\"203.0.113.0/24\"/><drop/></rule></zone>",
        "<zone><service name=\"ssh\"/><rule priority=\"1\"><drop/></rule></zone>",
    ] {
        assert_eq!(found(&zone(open)), "", "{open}");
    }
    let shut = format!("shut: {ZONE}: lets no ssh in: ");
    for (closed, rule) in [
        ("<zone><service name=\"https\"/></zone>", "the target of the zone"),
        ("<zone/>", "the target of the zone"),
        ("<zone><!-- <service name=\"ssh\"/> --></zone>", "the target of the zone"),
        ("<zone><service name=\"ssh\"/><rule><service name=\"ssh\"/><reject/></rule></zone>", "<rule>"),
        (
            "<zone><service name=\"ssh\"/><rule priority=\"-1\"><drop/></rule></zone>",
            "<rule priority=\"-1\">",
        ),
    ] {
        let https = zone(closed).file(
            "/etc/firewalld/services/https.xml",
            "<service><port protocol=\"tcp\" port=\"443\"/></service>",
        );
        assert_eq!(found(&https), format!("{shut}{rule}"), "{closed}");
    }
    let forward = zone(
        "<zone><service name=\"ssh\"/><forward-port port=\"22\" protocol=\"tcp\" to-port=\"2222\"/></zone>",
    );
    assert!(
        found(&forward).starts_with(&format!("shut: {ZONE}: sends ssh elsewhere")),
        "{}",
        found(&forward)
    );
    let limited =
        zone("<zone><rule><source address=\"10.0.0.0/8\"/><service name=\"ssh\"/><accept/></rule></zone>");
    assert_eq!(found(&limited), format!("limited: {ZONE}: lets ssh in only from 10.0.0.0/8"));
    let none = zone("<zone/>");
    let trusted = none.clone().file(
        "/etc/firewalld/zones/trusted.xml",
        "<zone target=\"ACCEPT\"><source address=\"10.0.0.0/8\"/></zone>",
    );
    assert_eq!(found(&trusted), format!("limited: {ZONE}: lets ssh in only from 10.0.0.0/8"));
    let by_card = none
        .clone()
        .file("/etc/firewalld/zones/home.xml", "<zone target=\"ACCEPT\"><interface name=\"eth0\"/></zone>");
    assert_eq!(found(&by_card), "");
    let by_profile = none
        .clone()
        .file("/etc/firewalld/zones/home.xml", "<zone target=\"ACCEPT\"></zone>")
        .file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nZONE=home\n");
    assert_eq!(found(&by_profile), "");
    let own = zone("<zone><service name=\"admin\"/></zone>");
    assert!(found(&own).starts_with("unknown: "));
    let own = own.file("/etc/firewalld/services/admin.xml", "<service><include service=\"ssh\"/></service>");
    assert_eq!(found(&own), "");
    let policy = |rule: &str| {
        zone("<zone><service name=\"ssh\"/></zone>").file(
            "/etc/firewalld/policies/p.xml",
            format!("<policy target=\"CONTINUE\"><ingress-zone name=\"ANY\"/><egress-zone name=\"HOST\"/>{rule}</policy>"),
        )
    };
    assert_eq!(found(&policy("<rule><source address=\"203.0.113.0/24\"/><drop/></rule>")), "");
    assert!(found(&policy("<rule><port port=\"22\" protocol=\"tcp\"/><drop/></rule>")).starts_with("shut: "));
    let direct = |rule: &str| {
        let text = format!(
            "<direct><rule ipv=\"ipv4\" table=\"filter\" chain=\"INPUT\" priority=\"0\">{rule}</rule></direct>"
        );
        zone("<zone/>").file("/etc/firewalld/direct.xml", text)
    };
    assert!(found(&direct("-p tcp --dport 22 -j ACCEPT")).starts_with("unknown: /etc/firewalld/direct.xml"));
    assert!(found(&direct("-p tcp --dport 22 -j DROP")).starts_with("shut: /etc/firewalld/direct.xml"));
}
