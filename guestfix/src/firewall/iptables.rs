//! Rules as `iptables-save` writes them and `iptables` takes them (iptables(8), iptables-extensions(8)).

use super::packet::{End, Fit, Packet, Way};
use super::ruleset::{Rule, Ruleset, Verdict};
use crate::text::lines;

/// The chains of each table that a packet to the machine comes by, and those that one of the machine's does.
const INBOUND: &[(&str, &str)] = &[
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("nat", "PREROUTING"),
    ("mangle", "INPUT"),
    ("filter", "INPUT"),
    ("security", "INPUT"),
];
const OUTBOUND: &[(&str, &str)] = &[
    ("raw", "OUTPUT"),
    ("mangle", "OUTPUT"),
    ("filter", "OUTPUT"),
    ("security", "OUTPUT"),
    ("mangle", "POSTROUTING"),
];

/// A word of a rule.
struct Word {
    text: String,
    /// What is in quotes is no option.
    is_quoted: bool,
}

/// An option with what belongs to it.
struct Asked<'a> {
    name: &'a str,
    negated: bool,
    values: Vec<&'a str>,
}

/// What rules ask of others.
struct About<'a> {
    /// Whether one sets a mark.
    marks: bool,
    /// Those that put whom they see into a list (`-m recent --set`).
    lists: Vec<&'a str>,
}

impl About<'_> {
    /// Whether a rule puts anybody into the list.
    fn fills(&self, list: &str) -> bool {
        self.lists.iter().any(|rule| {
            let mut words = rule.split_whitespace();
            let named = words.by_ref().find(|word| *word == "--name").and_then(|_| words.next());
            named.unwrap_or(DEFAULT).trim_matches('"') == list
        })
    }
}

/// The list of `-m recent` where none is named.
const DEFAULT: &str = "DEFAULT";

/// The chains as this packet sees them.
pub(super) fn ruleset(text: &str, packet: &Packet<'_>) -> Ruleset {
    let mut set = Ruleset::default();
    let hooks = if packet.is_inbound() { INBOUND } else { OUTBOUND };
    // Conntrack asks the table nat for the first packet only.
    for (table, chain) in hooks.iter().filter(|(table, _)| *table != "nat" || packet.way == Way::First) {
        set.chain(&format!("{table} {chain}")).is_base = true;
    }
    let about = About {
        marks: text.contains("-mark ") && text.contains("MARK"),
        lists: text.lines().filter(|line| line.contains("recent") && line.contains(" --set")).collect(),
    };
    let mut table = "filter".to_owned();
    for line in lines(text) {
        let body = line.body.trim();
        match body.chars().next() {
            Some('*') => body.get(1..).unwrap_or_default().trim().clone_into(&mut table),
            Some(':') => {
                let mut words = body.get(1..).unwrap_or_default().split_whitespace();
                let (Some(chain), policy) = (words.next(), words.next()) else { continue };
                set.chain(&format!("{table} {chain}")).drops = policy == Some("DROP");
            }
            Some('-' | '[') => command(&words(body), &table, packet, &about, &mut set),
            _ => {}
        }
    }
    set
}

/// The words of a line; quotes hold them together.
fn words(line: &str) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::new();
    let (mut quote, mut is_open) = (None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                if !is_open {
                    out.push(Word { text: String::new(), is_quoted: true });
                    is_open = true;
                }
            }
            (None, c) if c.is_whitespace() => is_open = false,
            (_, c) => {
                if !is_open {
                    out.push(Word { text: String::new(), is_quoted: false });
                    is_open = true;
                }
                if let Some(last) = out.last_mut() {
                    last.text.push(c);
                }
            }
        }
    }
    out
}

/// What a line changes.
fn command(words: &[Word], table: &str, packet: &Packet<'_>, about: &About<'_>, set: &mut Ruleset) {
    let asked = asked(words);
    let find = |names: [&str; 2]| asked.iter().find(|one| names.contains(&one.name));
    let table = find(["-t", "--table"]).and_then(|one| one.values.first().copied()).unwrap_or(table);
    let name = |one: &Asked<'_>| one.values.first().map(|chain| format!("{table} {chain}"));
    if let Some((policy, chain)) =
        find(["-P", "--policy"]).and_then(|one| Some((one.values.get(1)?, name(one)?)))
    {
        set.chain(&chain).drops = *policy == "DROP";
    } else if let Some(chain) = find(["-N", "--new-chain"]).and_then(name) {
        set.chain(&chain);
    } else if let Some(one) = find(["-F", "--flush"]) {
        let all = format!("{table} ");
        for (known, chain) in &mut set.chains {
            if name(one).map_or_else(|| known.starts_with(&all), |chain| chain == *known) {
                chain.rules.clear();
            }
        }
    } else if let Some(one) = find(["-A", "--append"]).or_else(|| find(["-I", "--insert"])) {
        let Some(chain) = name(one) else { return };
        let rule = rule(words, &asked, table, packet, about);
        let rules = &mut set.chain(&chain).rules;
        let at = match one.name.trim_start_matches('-').starts_with(['I', 'i']) {
            true => one.values.get(1).and_then(|number| number.parse().ok()).unwrap_or(1_usize),
            false => usize::MAX,
        };
        rules.insert(at.saturating_sub(1).min(rules.len()), rule);
    }
}

/// The options of a line. Older versions have the `!` behind the option.
fn asked(words: &[Word]) -> Vec<Asked<'_>> {
    let mut out: Vec<Asked<'_>> = Vec::new();
    let mut words = words.iter().peekable();
    let is_option = |word: &Word| !word.is_quoted && word.text.starts_with('-') && word.text.len() > 1;
    while let Some(word) = words.next() {
        let is_not = !word.is_quoted && word.text == "!";
        if is_not && !words.peek().is_some_and(|next| is_option(next)) {
            out.iter_mut().next_back().into_iter().for_each(|last| last.negated = true);
            continue;
        }
        let (negated, word) = if is_not { (true, words.next()) } else { (false, Some(word)) };
        let Some(word) = word else { break };
        match out.last_mut().filter(|_| !is_option(word)) {
            Some(last) => last.values.push(&word.text),
            // "[12:720] -A INPUT", or what stands before the first option
            None if !is_option(word) => {}
            None => out.push(Asked { name: &word.text, negated, values: Vec::new() }),
        }
    }
    out
}

fn rule(words: &[Word], asked: &[Asked<'_>], table: &str, packet: &Packet<'_>, about: &About<'_>) -> Rule {
    let text: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let (mut fit, mut verdict) = (Fit::Yes, Verdict::Next);
    for one in asked {
        let target = one.values.first().copied().unwrap_or_default();
        match one.name {
            "-j" | "--jump" => verdict = judged(target, asked, table),
            "-g" | "--goto" => verdict = Verdict::Goto(format!("{table} {target}")),
            _ => fit = fit.and(fits(one, asked, packet, about).not_if(one.negated)),
        }
    }
    Rule { text: text.join(" "), fit, verdict }
}

/// What a target does with the packet.
fn judged(target: &str, asked: &[Asked<'_>], table: &str) -> Verdict {
    let value = |name: &str| asked.iter().find(|one| one.name == name).map(|one| one.values.concat());
    match target {
        "ACCEPT" | "MASQUERADE" | "SNAT" => Verdict::Accept,
        "DROP" | "REJECT" | "TARPIT" | "STEAL" => Verdict::Drop,
        "RETURN" => Verdict::Return,
        "REDIRECT" if value("--to-ports").is_none_or(|ports| ports == "22") => Verdict::Accept,
        "DNAT" if value("--to-destination").is_some_and(|to| to == ":22") => Verdict::Accept,
        "DNAT" | "REDIRECT" | "NETMAP" | "TPROXY" => Verdict::Divert,
        "NOTRACK" => Verdict::Untrack,
        "CT" if asked.iter().any(|one| one.name == "--notrack") => Verdict::Untrack,
        "AUDIT" | "CHECKSUM" | "CLASSIFY" | "CONNMARK" | "CONNSECMARK" | "CT" | "DSCP" | "ECN" | "HL"
        | "IDLETIMER" | "LED" | "LOG" | "MARK" | "NFLOG" | "SECMARK" | "SET" | "TCPMSS" | "TCPOPTSTRIP"
        | "TEE" | "TOS" | "TRACE" | "TTL" | "ULOG" => Verdict::Next,
        "NFQUEUE" | "QUEUE" | "SYNPROXY" => Verdict::Unknown(format!("what {target} does with it")),
        chain => Verdict::Jump(format!("{table} {chain}")),
    }
}

/// Whether one option fits the packet, its `!` aside.
fn fits(one: &Asked<'_>, asked: &[Asked<'_>], packet: &Packet<'_>, about: &About<'_>) -> Fit {
    let first = one.values.first().copied().unwrap_or_default();
    let list = || first.split(',').filter(|word| !word.is_empty());
    let few = |what: &str| Fit::Few(format!("{what} {}", one.values.join(" ")).trim().to_owned());
    let port = |end: End| Fit::any(list().map(|port| packet.ports(end, port)));
    let is_in = packet.is_inbound();
    match one.name {
        "-p" | "--protocol" | "--proto" => Fit::of(matches!(first, "tcp" | "6" | "all" | "0")),
        "-s" | "--source" | "--src" => Fit::any(list().map(|net| packet.address(End::Source, net))),
        "-d" | "--destination" | "--dst" => Fit::any(list().map(|net| packet.address(End::Destination, net))),
        "--src-range" => packet.address(End::Source, first),
        "--dst-range" => packet.address(End::Destination, first),
        "-i" | "--in-interface" if is_in => packet.interface(&first.replace('+', "*")),
        "-o" | "--out-interface" if !is_in => packet.interface(&first.replace('+', "*")),
        "--dport" | "--dports" | "--destination-port" | "--destination-ports" => port(End::Destination),
        "--sport" | "--sports" | "--source-port" | "--source-ports" => port(End::Source),
        "--port" | "--ports" => port(End::Destination).or(port(End::Source)),
        "--syn" => Fit::of(packet.has_flags(&["fin", "syn", "rst", "ack"], &["syn"])),
        "--tcp-flags" => {
            let wanted: Vec<&str> =
                one.values.get(1).map(|flags| flags.split(',').collect()).unwrap_or_default();
            Fit::of(packet.has_flags(&list().collect::<Vec<_>>(), &wanted))
        }
        "--state" | "--ctstate" => packet.state(list()),
        "--ctdir" => Fit::of(first.eq_ignore_ascii_case("original") == is_in),
        "--ctproto" => Fit::of(matches!(first, "tcp" | "6")),
        "--ctorigdstport" if is_in => port(End::Destination),
        "--pkt-type" => Fit::of(matches!(first, "unicast" | "host")),
        "--dst-type" => {
            Fit::of(list().any(|kind| matches!((kind, is_in), ("LOCAL", true) | ("UNICAST", false))))
        }
        "--src-type" => {
            Fit::of(list().any(|kind| matches!((kind, is_in), ("LOCAL", false) | ("UNICAST", true))))
        }
        "--pol" => Fit::of(first == "none"),
        // Nothing has come yet that would be too much.
        "--hashlimit-above" => Fit::No,
        "--connlimit-above" => Fit::of(first == "0"),
        "--rcheck" | "--update" | "--remove" => {
            let name = asked.iter().find(|one| one.name == "--name").map(|one| one.values.concat());
            let name = name.as_deref().unwrap_or(DEFAULT);
            match about.fills(name) {
                true => Fit::Few(format!("from whoever is in the list {name}")),
                false => Fit::No,
            }
        }
        "--match-set" => Fit::Few(format!("of the set {first}")),
        "--mac-source" => few("from"),
        "--src-cc" | "--source-country" => few("from the countries"),
        "--string" | "--hex-string" => few("with the text"),
        "--timestart" | "--timestop" | "--weekdays" | "--monthdays" | "--datestart" | "--datestop" => {
            few("at some times, by")
        }
        // rpfilter takes those that came the way that the answer goes.
        "--invert" => Fit::No,
        // What packets of ssh have, more or less.
        "--mss" => Fit::of(within(first, 1400)),
        "--length" => Fit::of(within(first, 60)),
        "--ttl-lt" => Fit::of(first.parse().is_ok_and(|ttl: u32| 50 < ttl)),
        "--ttl-gt" => Fit::of(first.parse().is_ok_and(|ttl: u32| 50 > ttl)),
        "--ttl-eq" | "--ttl" => Fit::No,
        "--dscp" | "--dscp-class" | "--tos" | "--tcp-option" => Fit::No,
        "--uid-owner" | "--gid-owner" => Fit::of(matches!(first, "0" | "root")),
        "--mark" if matches!(first.split('/').next(), Some("0" | "0x0")) => Fit::of(true),
        "--mark" if !about.marks => Fit::No,
        "--icmp-type" | "--icmpv6-type" | "-f" | "--fragment" | "-6" | "--ipv6" => Fit::No,
        "-m" | "--match" if matches!(first, "icmp" | "udp" | "sctp" | "socket" | "physdev") => match first {
            "socket" => Fit::Unknown("-m socket".into()),
            _ => Fit::No,
        },
        name if name.starts_with("--physdev") => Fit::No,
        name if SAYS_NOTHING.contains(&name) => Fit::Yes,
        name => Fit::Unknown(format!("{name} {}", one.values.join(" ")).trim().to_owned()),
    }
}

/// Whether a number, or a range "536:1460", has this one.
fn within(range: &str, number: u32) -> bool {
    let (from, to) = range.split_once(':').unwrap_or((range, range));
    let from = if from.is_empty() { Ok(0) } else { from.parse() };
    let to = if to.is_empty() { Ok(u32::MAX) } else { to.parse() };
    from.is_ok_and(|from: u32| from <= number) && to.is_ok_and(|to: u32| number <= to)
}

/// Options that say nothing of which packet it is: commands, modules, limits that nobody has come to, what a
/// target writes down.
const SAYS_NOTHING: &[&str] = &[
    "-4",
    "-A",
    "-I",
    "-c",
    "-m",
    "-n",
    "-t",
    "-w",
    "-W",
    "--add-set",
    "--algo",
    "--append",
    "--burst",
    "--checksum-fill",
    "--clamp-mss-to-pmtu",
    "--comment",
    "--connlimit-daddr",
    "--connlimit-mask",
    "--connlimit-saddr",
    "--connlimit-upto",
    "--del-set",
    "--dir",
    "--exist",
    "--fqdn",
    "--from",
    "--gateway",
    "--hashlimit",
    "--hashlimit-burst",
    "--hashlimit-htable-expire",
    "--hashlimit-htable-gcinterval",
    "--hashlimit-htable-max",
    "--hashlimit-htable-size",
    "--hashlimit-mode",
    "--hashlimit-name",
    "--hashlimit-rate-match",
    "--hashlimit-srcmask",
    "--hashlimit-dstmask",
    "--hashlimit-upto",
    "--helper",
    "--icase",
    "--hitcount",
    "--insert",
    "--ipv4",
    "--jump",
    "--kerneltz",
    "--limit",
    "--limit-burst",
    "--limit-iface-in",
    "--log-ip-options",
    "--log-level",
    "--log-prefix",
    "--log-tcp-options",
    "--log-tcp-sequence",
    "--log-uid",
    "--loose",
    "--mask",
    "--match",
    "--name",
    "--nfmask",
    "--ctmask",
    "--nflog-group",
    "--nflog-prefix",
    "--nflog-size",
    "--nflog-threshold",
    "--notrack",
    "--on-port",
    "--persistent",
    "--queue-balance",
    "--queue-bypass",
    "--queue-num",
    "--random",
    "--random-fully",
    "--rdest",
    "--reap",
    "--reject-with",
    "--restore-mark",
    "--rsource",
    "--rttl",
    "--save",
    "--restore",
    "--save-mark",
    "--seconds",
    "--selctx",
    "--set",
    "--set-class",
    "--set-dscp",
    "--set-dscp-class",
    "--set-mark",
    "--set-mss",
    "--set-tos",
    "--set-xmark",
    "--strict",
    "--table",
    "--timeout",
    "--to",
    "--to-destination",
    "--to-ports",
    "--to-source",
    "--ttl-set",
    "--type",
    "--ulog-prefix",
    "--update-subcounters",
    "--utc",
    "--validmark",
    "--wait",
    "--zone",
    "--and-mark",
    "--or-mark",
    "--xor-mark",
    "--accept-local",
];

#[cfg(test)]
mod tests {
    use super::super::ruleset::Fate;
    use super::*;

    fn fate(text: &str) -> Fate {
        ruleset(text, &Packet { way: Way::First, card: "eth0", is_tracked: true }).fate().0
    }

    fn input(rules: &str) -> Fate {
        fate(&format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:OK - [0:0]\n-A OK -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n\
             -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n{rules}\n-A INPUT -j DROP\nCOMMIT\n"
        ))
    }

    #[test]
    fn what_lets_ssh_in() {
        for rule in [
            "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
            "[3:180] -A INPUT -p tcp --dport ssh -m comment --comment \"it is -j DROP\" -j ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 22 -g OK",
            "-A INPUT -p tcp -m tcp --dport 22 -j OK",
            "-A INPUT -p tcp --dport 22 -m hashlimit --hashlimit-upto 10/min --hashlimit-mode srcip \
             --hashlimit-name ssh -j OK",
            "-A INPUT -p tcp --dport 22 -m hashlimit --hashlimit-above 10/min --hashlimit-name s -j DROP\n\
             -A INPUT -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -p tcp --dport 22 -m limit --limit 10/min -j ACCEPT",
            "-A INPUT -p tcp --syn --dport 22 -m connlimit --connlimit-above 10 -j REJECT --reject-with tcp-reset\n\
             -A INPUT -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name SSH --rsource\n\
             -A INPUT -p tcp --dport 22 -m recent --update --seconds 60 --hitcount 5 --name SSH -j DROP\n\
             -A INPUT -p tcp --dport 22 -j ACCEPT",
            "-A INPUT ! -s 203.0.113.0/24 -p tcp -m tcp --dport 22 -j ACCEPT",
            "-A INPUT -s ! 203.0.113.0/24 -p tcp -m tcp --dport 22 -j ACCEPT",
            "-A INPUT ! -i wg0 -p tcp -m tcp --dport 22 -j ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 22 -m set ! --match-set banned src -j ACCEPT",
            "-A INPUT -m set --match-set banned src -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -i eth+ -p tcp -m tcp --dport 22 -j ACCEPT",
            "-A INPUT -p tcp -m multiport --dports 80,20:25 -j ACCEPT",
            "-A INPUT -p tcp ! --dport 25 -j ACCEPT",
            "-A INPUT -p tcp --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j OK",
            "-A INPUT -p tcp --tcp-flags ALL NONE -j DROP\n-A INPUT -j ACCEPT",
            "-A INPUT -m addrtype --dst-type LOCAL -j OK",
            "-A INPUT -f -j DROP\n-A INPUT -p tcp -m tcpmss ! --mss 536:65535 -j DROP\n\
             -A INPUT -p tcp --tcp-flags ALL ALL -j DROP\n-A INPUT -m ttl --ttl-lt 5 -j DROP\n\
             -A INPUT -m length --length 1400: -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -i br-0f1e -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -m mark --mark 0x8000/0x8000 -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -p tcp --dport 22 -m geoip --src-cc CN -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT",
            "-I INPUT 1 -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -p tcp -m string --string \"BitTorrent\" --algo bm -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -m recent --rcheck --name BAD -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT",
        ] {
            assert_eq!(input(rule), Fate::In, "{rule}");
        }
    }

    #[test]
    fn what_lets_ssh_in_for_a_few() {
        for (rule, who) in [
            ("-A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT", "from 10.0.0.0/8"),
            ("-A INPUT -s 10.0.0.0/8,1.2.3.4 -p tcp --dport 22 -j ACCEPT", "from 10.0.0.0/8, 1.2.3.4"),
            ("-A INPUT ! -s 10.0.0.0/8 -j DROP\n-A INPUT -j ACCEPT", "from 10.0.0.0/8"),
            ("-A INPUT -p tcp --dport 22 -m set --match-set good src -j ACCEPT", "of the set good"),
            ("-A INPUT -m iprange --src-range 1.1.1.1-1.1.1.9 -j ACCEPT", "from 1.1.1.1-1.1.1.9"),
            (
                "-A INPUT -p udp --dport 7 -m recent --name KNOCK --set\n-A INPUT -m recent --rcheck --name KNOCK -j OK",
                "from whoever is in the list KNOCK",
            ),
            ("-A INPUT -d 10.0.5.7/32 -p tcp --dport 22 -j ACCEPT", "to 10.0.5.7/32"),
        ] {
            assert_eq!(input(rule), Fate::Limited(vec![who.to_owned()]), "{rule}");
        }
    }

    #[test]
    fn what_keeps_ssh_out() {
        for rule in [
            "",
            "-A INPUT -p tcp --dport 443 -j ACCEPT",
            "-A INPUT -p udp --dport 22 -j ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 22 -j REJECT --reject-with tcp-reset\n-A INPUT -j ACCEPT",
            "-A INPUT -p tcp ! --dport 22 -j ACCEPT",
            "-A INPUT -p tcp --dport 22 -j OTHER\n:OTHER - [0:0]\n-A OTHER -s 127.0.0.1 -j ACCEPT\n",
            "-A INPUT -i ens5 -p tcp --dport 22 -j ACCEPT",
            "-A INPUT -p tcp --sport 22 -j ACCEPT",
            "-A INPUT -m recent --rcheck --name KNOCK -j OK",
            "-A INPUT -m recent --name OTHER --set\n-A INPUT -m recent --rcheck --name KNOCK -j OK",
        ] {
            assert!(matches!(input(rule), Fate::Out(_)), "{rule}: {:?}", input(rule));
        }
        for (text, way) in [
            ("*raw\n-A PREROUTING -i eth0 -p tcp -m tcp --dport 22 -j DROP\n", Way::First),
            ("*mangle\n:INPUT DROP [0:0]\n", Way::First),
            ("*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -o lo -j ACCEPT\n", Way::Answer),
            (
                "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -m state --state NEW -j ACCEPT\n",
                Way::More,
            ),
        ] {
            let fate = ruleset(text, &Packet { way, card: "eth0", is_tracked: true }).fate().0;
            assert!(matches!(fate, Fate::Out(_)), "{text}: {fate:?}");
        }
        let sport = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p tcp --sport 22 -j ACCEPT\n";
        assert_eq!(
            ruleset(sport, &Packet { way: Way::Answer, card: "eth0", is_tracked: true }).fate().0,
            Fate::In
        );
        let nat =
            |rule: &str| fate(&format!("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp {rule}\n"));
        assert!(matches!(nat("--dport 22 -j DNAT --to-destination 10.9.9.9:22"), Fate::Elsewhere(_)));
        assert!(matches!(nat("--dport 22 -j REDIRECT --to-ports 2222"), Fate::Elsewhere(_)));
        assert_eq!(nat("--dport 80 -j REDIRECT --to-ports 8080"), Fate::In);
        assert_eq!(nat("-d 10.0.5.7/32 --dport 22 -j DNAT --to-destination 10.9.9.9:22"), Fate::In);
    }

    #[test]
    fn what_is_not_understood_is_unknown() {
        for rule in [
            "-A INPUT -p tcp --dport 22 -m u32 --u32 \"0=0\" -j ACCEPT",
            "-A INPUT -p tcp --dport 22 -j own",
            "-A INPUT -p tcp --dport $PORT -j ACCEPT",
            "-A INPUT -p tcp --dport 22 -j NFQUEUE --queue-num 0",
            "-A INPUT -i br0 -j ACCEPT",
        ] {
            assert!(matches!(input(rule), Fate::Unknown(_)), "{rule}: {:?}", input(rule));
        }
        assert_eq!(input("-A INPUT -m u32 --u32 x -j LOG\n-A INPUT -p tcp --dport 22 -j ACCEPT"), Fate::In);
    }
}
