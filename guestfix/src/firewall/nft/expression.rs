//! A rule of nft: what it asks of a packet, and what it does with it (nft(8), "Expressions", "Statements").

use std::collections::HashMap;

use super::super::packet::{End, Fit, Packet};
use super::super::ruleset::{Rule, Verdict};
use super::tokens::Token;

type Sets = HashMap<String, Vec<Token>>;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Port(End),
    Address(End),
    Flags,
    /// The protocol behind IP.
    Protocol,
    /// That of IP itself: "ipv4", "ip".
    Family,
    Interface {
        is_in: bool,
    },
    State,
    Direction,
    Mark,
    Kind,
    /// What the kernel's routes say of an address.
    Route(End),
    /// The way that an answer would go.
    WayBack,
    /// It is so for a few.
    Few(&'static str),
    /// Of another protocol: what is asked of that fits no packet of ssh, whatever it is.
    Never,
    /// It has none of the values that are asked for.
    Other,
    /// A number that it has, or one near it.
    Number(u32),
    Unknown,
}

/// What packets of ssh have, more or less: the largest segment that is announced, their length, their hops.
const SEGMENT: u32 = 1400;
const LENGTH: u32 = 60;
const TTL: u32 = 50;

/// A number, in decimal or as `0x1f`.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// What is left of a rule.
struct Reader<'a> {
    tokens: &'a [Token],
    table: &'a str,
    sets: &'a Sets,
    packet: &'a Packet<'a>,
    /// Whether some rule sets a mark.
    marks: bool,
}

/// The rules that a statement makes: one, or one for each element of a verdict map. Beside the packet is
/// whether some rule sets marks.
pub(super) fn rules(
    tokens: &[Token],
    table: &str,
    sets: &Sets,
    (packet, marks): (&Packet<'_>, bool),
    out: &mut Vec<Rule>,
) {
    let text = shown(tokens);
    let rule = |fit: Fit, verdict: Verdict| Rule { text: text.clone(), fit, verdict };
    let mut reader = Reader { tokens, table, sets, packet, marks };
    let mut fit = Fit::Yes;
    while let Some(token) = reader.next() {
        let word = token.word().unwrap_or_default();
        match word {
            "accept" | "drop" | "reject" | "return" | "continue" | "jump" | "goto" | "queue"
            | "masquerade" | "snat" | "redirect" | "dnat" | "tproxy" | "fwd" | "notrack" | "synproxy" => {
                let verdict = reader.verdict(word);
                out.push(rule(fit, verdict));
                return;
            }
            "counter" => match reader.word(0) {
                Some("packets") => reader.drop(4),
                Some("name") => reader.drop(2),
                _ => {}
            },
            "log" => reader.skip_log(),
            "comment" => reader.drop(1),
            "limit" | "quota" => fit = fit.and(reader.limit()),
            "ct" if reader.word(0) == Some("count") => {
                reader.drop(1);
                // The connection itself is the first that is counted.
                let is_over_none = reader.word(0) == Some("over") && reader.word(1) == Some("0");
                let limit = reader.limit();
                fit = fit.and(if is_over_none { Fit::Yes } else { limit });
            }
            "meter" | "add" | "update" | "delete" => fit = fit.and(reader.counted()),
            "dup" | "flow" => reader.tokens = &[],
            _ => match reader.asked(word) {
                Asked::Fit(more) => fit = fit.and(more),
                Asked::Map(all) => {
                    out.extend(all.into_iter().map(|(more, verdict)| rule(fit.clone().and(more), verdict)));
                    return;
                }
            },
        }
    }
    out.push(rule(fit, Verdict::Next));
}

/// As it was written, or nearly so.
fn shown(tokens: &[Token]) -> String {
    let text = tokens.iter().map(|token| match token {
        Token::Word(word) => word.clone(),
        Token::Text(text) => format!("\"{text}\""),
        Token::Sign(sign) => (*sign).to_owned(),
        Token::End => String::new(),
    });
    text.collect::<Vec<_>>().join(" ").replace(" ,", ",")
}

/// What an expression says.
enum Asked {
    Fit(Fit),
    /// A verdict for each value.
    Map(Vec<(Fit, Verdict)>),
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn word(&self, at: usize) -> Option<&'a str> {
        self.tokens.get(at).and_then(Token::word)
    }

    fn drop(&mut self, count: usize) {
        self.tokens = self.tokens.get(count..).unwrap_or_default();
    }

    /// Past what is not understood.
    fn skip_to_verdict(&mut self) {
        const VERDICTS: &[&str] =
            &["accept", "drop", "reject", "return", "continue", "jump", "goto", "queue"];
        while self.tokens.first().is_some_and(|token| !VERDICTS.iter().any(|verdict| token.is(verdict))) {
            self.drop(1);
        }
    }

    fn is(&self, sign: &str) -> bool {
        self.tokens.first().is_some_and(|token| token.is(sign))
    }

    /// What a verdict or a terminal statement does.
    fn verdict(&mut self, word: &str) -> Verdict {
        let to = |chain: &Token| chain.word().map(|chain| format!("{} {chain}", self.table));
        match word {
            "accept" | "masquerade" | "snat" => Verdict::Accept,
            "drop" | "reject" => Verdict::Drop,
            "return" => Verdict::Return,
            "continue" => Verdict::Next,
            "jump" | "goto" => match self.tokens.first().and_then(to) {
                Some(chain) if word == "jump" => Verdict::Jump(chain),
                Some(chain) => Verdict::Goto(chain),
                None => Verdict::Unknown(format!("{word} {}", shown(self.tokens))),
            },
            "dnat" | "redirect" | "tproxy" if self.tokens.iter().any(|token| token.is("map")) => {
                match self.mapped() {
                    Fit::No => Verdict::Next,
                    Fit::Yes => Verdict::Divert,
                    _ => Verdict::Unknown(format!("{word} {}", shown(self.tokens))),
                }
            }
            "redirect" => {
                let port =
                    self.tokens.iter().filter_map(Token::word).map(|word| word.trim_start_matches(':'));
                match port.filter(|word| *word != "to").find(|word| !word.is_empty()) {
                    None | Some("22" | "ssh") => Verdict::Accept,
                    Some(_) => Verdict::Divert,
                }
            }
            "dnat" | "tproxy" | "fwd" => match self.tokens.last().and_then(Token::word) {
                Some(":22") => Verdict::Accept,
                _ => Verdict::Divert,
            },
            "notrack" => Verdict::Untrack,
            _ => Verdict::Unknown(format!("what {word} does with it")),
        }
    }

    /// Whether a map has the packet among its keys: `to tcp dport map { 80 : 10.0.0.2 }`.
    fn mapped(&self) -> Fit {
        let at = self.tokens.iter().position(|token| token.is("map")).unwrap_or(self.tokens.len());
        let (before, behind) = self.tokens.split_at(at);
        // "to", "ip to", "ip addr . port to"
        let from = before.iter().position(|token| token.is("to")).map_or(0, |to| to.saturating_add(1));
        let mut key = Reader { tokens: before.get(from..).unwrap_or_default(), ..*self };
        let field = key.next().and_then(Token::word).and_then(|word| key.field(word));
        let (Some(field), []) = (field, key.tokens) else { return Fit::Unknown("a map".into()) };
        let mut value = Reader { tokens: behind.get(1..).unwrap_or_default(), ..*self };
        let all = value.value();
        Fit::any(self.elements(all).into_iter().map(|element| {
            let end = element.iter().position(|token| token.is(":")).unwrap_or(element.len());
            self.fits(&[field], element.get(..end).unwrap_or_default())
        }))
    }

    fn skip_log(&mut self) {
        while matches!(
            self.word(0),
            Some("prefix" | "level" | "group" | "snaplen" | "queue-threshold" | "flags")
        ) {
            self.drop(2);
            while self.is(",") {
                self.drop(2);
            }
        }
    }

    /// A limit that nobody has come to yet.
    fn limit(&mut self) -> Fit {
        let is_over = self.tokens.iter().take(2).any(|token| token.is("over"));
        while self.word(0).is_some_and(|word| {
            let is_number = word.starts_with(|c: char| c.is_ascii_digit());
            const WORDS: &[&str] = &[
                "rate", "over", "until", "burst", "packets", "name", "used", "second", "minute", "hour",
                "day",
            ];
            is_number || WORDS.contains(&word) || word.starts_with('/') || word.contains("bytes")
        }) {
            let is_name = self.word(0) == Some("name");
            self.drop(if is_name { 2 } else { 1 });
        }
        Fit::of(!is_over)
    }

    /// A set that counts what comes: `add @flood { ip saddr limit rate over 10/minute }`.
    fn counted(&mut self) -> Fit {
        while !self.is("{") && !self.tokens.is_empty() {
            self.drop(1);
        }
        let within = self.value();
        Fit::of(!within.iter().any(|token| token.is("over")))
    }

    /// A value: what is in braces, or words that commas and signs hold together.
    fn value(&mut self) -> &'a [Token] {
        let all = self.tokens;
        let mut depth = 0_usize;
        loop {
            match self.next() {
                None => break,
                Some(token) if token.is("{") || token.is("(") => depth = depth.saturating_add(1),
                Some(token) if token.is("}") || token.is(")") => depth = depth.saturating_sub(1),
                Some(_) => {}
            }
            let goes_on = [",", "|", "&", ".", "/", "^", "<<"].iter().any(|sign| self.is(sign));
            let sign = all.get(all.len().saturating_sub(self.tokens.len()).saturating_sub(1));
            let was_sign = sign.is_some_and(|token| {
                [",", "|", "&", ".", "/", "^", "!", "<<"].iter().any(|sign| token.is(sign))
            });
            if depth == 0 && !goes_on && !was_sign {
                break;
            }
        }
        all.get(..all.len().saturating_sub(self.tokens.len())).unwrap_or_default()
    }

    /// What the expression that begins with this word asks, and of what values.
    fn asked(&mut self, word: &'a str) -> Asked {
        let unknown = |what: &str| Asked::Fit(Fit::Unknown(format!("what it asks by {what}")));
        let Some(first) = self.field(word) else {
            self.skip_to_verdict();
            return unknown(word);
        };
        let mut fields = vec![first];
        while self.is(".") {
            self.drop(1);
            let Some(field) = self.next().and_then(Token::word).and_then(|word| self.field(word)) else {
                self.skip_to_verdict();
                return unknown(word);
            };
            fields.push(field);
        }
        // A mark, a priority that is set.
        if self.word(0) == Some("set") {
            self.drop(1);
            self.value();
            return Asked::Fit(Fit::Yes);
        }
        let mut mask = None;
        if self.is("&") || self.word(0) == Some("and") {
            self.drop(1);
            let start = self.tokens;
            let len = start.iter().position(|token| token.is("==") || token.is("!=")).unwrap_or(1);
            mask = start.get(..len);
            self.drop(len);
        }
        let negated = self.is("!=") || self.is("!");
        let is_compared = ["<", ">", "<=", ">="].iter().any(|sign| self.is(sign));
        let compared = self.tokens.first();
        if negated || is_compared || self.is("==") {
            self.drop(1);
        }
        if self.word(0) == Some("vmap") {
            self.drop(1);
            let value = self.value();
            let all = self.elements(value);
            let verdicts = all.into_iter().map(|element| {
                let at = element.iter().position(|token| token.is(":")).unwrap_or(element.len());
                let (key, data) = element.split_at(at);
                let mut data = Reader { tokens: data.get(1..).unwrap_or_default(), ..*self };
                let word = data.next().and_then(Token::word).unwrap_or_default();
                (self.fits(&fields, key), data.verdict(word))
            });
            return Asked::Map(verdicts.collect());
        }
        if matches!(self.word(0), Some("missing" | "exists")) {
            let is_there = self.word(0) == Some("exists");
            self.drop(1);
            return Asked::Fit(Fit::of(is_there));
        }
        let value = self.value();
        if fields.contains(&Field::Never) {
            return Asked::Fit(Fit::No);
        }
        if is_compared {
            if let (Field::Number(own), Some(number)) =
                (first, value.first().and_then(Token::word).and_then(number))
            {
                let is = |sign: &str| compared.is_some_and(|token| token.is(sign));
                return Asked::Fit(Fit::of(
                    is("<") && own < number
                        || is("<=") && own <= number
                        || is(">") && own > number
                        || is(">=") && own >= number,
                ));
            }
            let port = value.first().and_then(Token::word).and_then(|word| word.parse::<u16>().ok());
            let range = match (compared.is_some_and(|token| token.is("<") || token.is("<=")), port) {
                (true, Some(port)) => {
                    0..=port.saturating_sub(u16::from(compared.is_some_and(|token| token.is("<"))))
                }
                (false, Some(port)) => {
                    port.saturating_add(u16::from(compared.is_some_and(|token| token.is(">"))))..=u16::MAX
                }
                _ => return unknown(word),
            };
            return match first {
                Field::Port(end) => Asked::Fit(self.packet.port(end, &range)),
                _ => unknown(word),
            };
        }
        let fit = match first {
            Field::Flags => self.flags(mask, value),
            _ => Fit::any(self.elements(value).into_iter().map(|element| {
                let end = element.iter().position(|token| token.is(":")).unwrap_or(element.len());
                self.fits(&fields, element.get(..end).unwrap_or_default())
            })),
        };
        Asked::Fit(fit.not_if(negated))
    }

    /// The field that begins with this word; `None` if it is not known.
    fn field(&mut self, word: &str) -> Option<Field> {
        let end = |field: &str| match field {
            "sport" | "saddr" => End::Source,
            _ => End::Destination,
        };
        let mut take = || self.next().and_then(Token::word).unwrap_or_default();
        Some(match word {
            "tcp" | "th" => match take() {
                port @ ("sport" | "dport") => Field::Port(end(port)),
                "flags" => Field::Flags,
                "option" => match (take(), take()) {
                    ("maxseg" | "mss", "size") => Field::Number(SEGMENT),
                    _ => Field::Unknown,
                },
                _ => Field::Unknown,
            },
            "ip" => match take() {
                address @ ("saddr" | "daddr") => Field::Address(end(address)),
                "protocol" => Field::Protocol,
                "version" => Field::Family,
                "frag-off" => Field::Number(0),
                "length" => Field::Number(LENGTH),
                "ttl" => Field::Number(TTL),
                "hdrlength" => Field::Number(5),
                "dscp" | "ecn" => Field::Other,
                _ => Field::Unknown,
            },
            "udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6" | "igmp" | "esp" | "ah" | "comp"
            | "ip6" | "arp" | "vlan" | "gre" | "vxlan" | "geneve" | "hbh" | "rt" | "frag" | "dst" | "mh"
            | "exthdr" => {
                take();
                Field::Never
            }
            "ether" => match take() {
                "saddr" => Field::Few("from the hardware address"),
                "type" => Field::Family,
                _ => Field::Unknown,
            },
            "ct" => {
                let mut key = take();
                if matches!(key, "original" | "reply") {
                    key = take();
                    if matches!(key, "ip" | "ip6") {
                        take();
                    }
                    return Some(Field::Unknown);
                }
                match key {
                    "state" => Field::State,
                    "direction" => Field::Direction,
                    "mark" => Field::Mark,
                    "status" | "helper" | "expiration" => Field::Other,
                    _ => Field::Unknown,
                }
            }
            "fib" => {
                let about = take();
                while self.is(".") {
                    self.drop(2);
                }
                match self.next().and_then(Token::word) {
                    Some("type") => Field::Route(end(about)),
                    Some("oif" | "oifname" | "check") => Field::WayBack,
                    _ => Field::Unknown,
                }
            }
            "meta" => {
                let key = take();
                meta(key)?
            }
            key => meta(key)?,
        })
    }

    /// The elements of a value, each without what is said of it: sets by name and braces are looked into.
    fn elements(&self, value: &'a [Token]) -> Vec<&'a [Token]> {
        let mut out = Vec::new();
        for part in value.split(|token| token.is(",") || token.is("{") || token.is("}")) {
            match part {
                [] => {}
                [Token::Word(name)] if name.starts_with('@') => {
                    let set = name.get(1..).and_then(|name| self.sets.get(name));
                    match set {
                        // Sets hold no sets.
                        Some(set) => out.extend(
                            set.split(|token| token.is(",") || token.is("{") || token.is("}"))
                                .filter(|part| !part.is_empty()),
                        ),
                        None => out.push(part),
                    }
                }
                _ => out.push(part),
            }
        }
        out
    }

    /// Whether the fields have the parts of an element.
    fn fits(&self, fields: &[Field], element: &[Token]) -> Fit {
        let mut parts = element.split(|token| token.is("."));
        fields.iter().fold(Fit::Yes, |fit, field| {
            let value = parts.next().and_then(|part| part.first()).and_then(Token::word);
            fit.and(match value {
                Some(value) => self.fits_one(*field, value),
                None => Fit::Unknown(shown(element)),
            })
        })
    }

    fn fits_one(&self, field: Field, value: &str) -> Fit {
        let packet = self.packet;
        if value == "*" {
            return Fit::Yes;
        }
        // A set that is filled by something else.
        if value.starts_with('@') {
            return Fit::Few(format!("of the set {}", value.trim_start_matches('@')));
        }
        if value.starts_with('$') {
            return Fit::Unknown(format!("what {value} is"));
        }
        match field {
            Field::Port(end) => packet.ports(end, value),
            Field::Address(end) => packet.address(end, value),
            Field::Protocol => Fit::of(matches!(value, "tcp" | "6")),
            Field::Family => Fit::of(matches!(value, "ipv4" | "ip" | "2" | "4")),
            Field::Interface { is_in } if is_in == packet.is_inbound() => packet.interface(value),
            Field::State => packet.state([value].into_iter()),
            Field::Direction => Fit::of((value == "original") == packet.is_inbound()),
            Field::Mark if matches!(value, "0" | "0x0" | "0x00000000") => Fit::Yes,
            // Which packets another rule marks is not looked at.
            Field::Mark if self.marks => Fit::Unknown(format!("whether it has the mark {value}")),
            Field::Mark => Fit::No,
            Field::Kind => Fit::of(matches!(value, "unicast" | "host")),
            Field::Route(End::Destination) => {
                Fit::of(value == if packet.is_inbound() { "local" } else { "unicast" })
            }
            Field::Route(End::Source) => {
                Fit::of(value == if packet.is_inbound() { "unicast" } else { "local" })
            }
            Field::WayBack => Fit::of(!matches!(value, "0" | "missing")),
            Field::Few(what) => Fit::Few(format!("{what} {value}")),
            // A packet that comes in has no interface that it goes out by.
            Field::Never | Field::Interface { .. } => Fit::No,
            Field::Flags => self.flags(None, &[Token::Word(value.to_owned())]),
            Field::Other => Fit::No,
            Field::Number(own) => match value.split_once('-').map(|(from, to)| (number(from), number(to))) {
                Some((Some(from), Some(to))) => Fit::of((from..=to).contains(&own)),
                _ => {
                    number(value).map_or_else(|| Fit::of(own == 0 && value == "root"), |n| Fit::of(n == own))
                }
            },
            Field::Unknown => Fit::Unknown(format!("what it asks by {value}")),
        }
    }

    /// `flags syn`, `flags & (syn|ack) == syn`, `flags syn / syn,ack`.
    fn flags(&self, mask: Option<&[Token]>, value: &[Token]) -> Fit {
        let words = |tokens: &'_ [Token]| -> Vec<String> {
            tokens.iter().filter_map(Token::word).map(str::to_owned).collect()
        };
        let mut halves = value.split(|token| token.is("/"));
        let wanted = words(halves.next().unwrap_or_default());
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).filter(|flag| *flag != "0x0").collect();
        let mask = mask.map(words).or_else(|| halves.next().map(words));
        Fit::of(match mask {
            Some(mask) => {
                let mask: Vec<&str> = mask.iter().map(String::as_str).collect();
                self.packet.has_flags(&mask, &wanted)
            }
            None => wanted.iter().any(|flag| self.packet.flags().contains(flag)),
        })
    }
}

/// What the kernel knows of a packet.
fn meta(key: &str) -> Option<Field> {
    Some(match key {
        "iif" | "iifname" => Field::Interface { is_in: true },
        "oif" | "oifname" => Field::Interface { is_in: false },
        "l4proto" => Field::Protocol,
        "nfproto" | "protocol" => Field::Family,
        "mark" => Field::Mark,
        "pkttype" => Field::Kind,
        "hour" | "day" | "time" => Field::Few("at the time"),
        "skuid" | "skgid" => Field::Number(0),
        "length" => Field::Number(LENGTH),
        "secpath" | "ipsec" => Field::Other,
        "priority" | "nftrace" | "cpu" | "cgroup" | "iiftype" | "oiftype" | "iifgroup" | "oifgroup"
        | "socket" | "rtclassid" | "ibrname" | "obrname" | "iifkind" | "oifkind" | "random" | "sdif"
        | "sdifname" | "broute" => Field::Unknown,
        _ => return None,
    })
}
