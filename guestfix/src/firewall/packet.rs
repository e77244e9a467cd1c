//! The packets of a login by ssh, and what rules of firewalls ask of them.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::glob::matches;

/// Where sshd listens.
const SSH: u16 = 22;
/// What clients call from: any of these (RFC 6056; Linux takes 32768 to 60999).
const CLIENTS: RangeInclusive<u16> = 1024..=u16::MAX;
const SURE_CLIENTS: RangeInclusive<u16> = 32768..=60999;

/// As much is said of whom a rule is for, in bytes.
const SHOWN: usize = 120;

/// One of the packets without which nobody comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The first of a client.
    First,
    /// What sshd answers.
    Answer,
    /// What the client sends from then on.
    More,
}

/// A packet between a client somewhere outside and sshd.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) way: Way,
    /// The name of the target's card.
    pub(super) card: &'a str,
    /// Whether conntrack looks at it.
    pub(super) is_tracked: bool,
}

/// Whether a rule is for a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    No,
    /// It would be on another card: its name.
    OnCard(String),
    /// If it is of a few: "from 10.0.0.0/8".
    Few(String),
    /// Unless it is of a few.
    Most(String),
    /// Nobody can tell: what is not understood.
    Unknown(String),
}

impl Fit {
    pub(super) fn of(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No | Self::OnCard(_) => Self::Yes,
            Self::Few(which) => Self::Most(which),
            Self::Most(which) => Self::Few(which),
            unknown @ Self::Unknown(_) => unknown,
        }
    }

    pub(super) fn not_if(self, negated: bool) -> Self {
        if negated { self.not() } else { self }
    }

    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, fit) | (fit, Self::Yes) => fit,
            (card @ Self::OnCard(_), _) | (_, card @ Self::OnCard(_)) => card,
            (unknown @ Self::Unknown(_), _) | (_, unknown @ Self::Unknown(_)) => unknown,
            (Self::Few(a), Self::Few(b)) if a != b => Self::Few(format!("{a} {b}")),
            (few @ Self::Few(_), _) | (_, few @ Self::Few(_)) => few,
            (most, Self::Most(_)) => most,
        }
    }

    /// Either.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, fit) | (fit, Self::No) => fit,
            (unknown @ Self::Unknown(_), _) | (_, unknown @ Self::Unknown(_)) => unknown,
            (most @ Self::Most(_), _) | (_, most @ Self::Most(_)) => most,
            // Lists may be long, and nobody reads all of one.
            (Self::Few(a), Self::Few(_)) if a.len() > SHOWN => Self::Few(a),
            (Self::Few(a), Self::Few(b)) => {
                // "from 10.0.0.0/8, 192.168.0.0/16"
                let same = a.split_once(' ').zip(b.split_once(' ')).filter(|((a, _), (b, _))| a == b);
                Self::Few(same.map_or_else(|| format!("{a} or {b}"), |(_, (_, b))| format!("{a}, {b}")))
            }
            (few @ Self::Few(_), _) | (_, few @ Self::Few(_)) => few,
            (card, Self::OnCard(_)) => card,
        }
    }

    /// Any of several.
    pub(super) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::No, Self::or)
    }
}

/// Whose address or port a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

impl Packet<'_> {
    pub(super) fn is_inbound(&self) -> bool {
        self.way != Way::Answer
    }

    /// Whether this end is the client's.
    fn is_client(&self, end: End) -> bool {
        self.is_inbound() == (end == End::Source)
    }

    /// Whether the end has one of these ports.
    pub(super) fn port(&self, end: End, range: &RangeInclusive<u16>) -> Fit {
        let (from, to) = (*range.start(), *range.end());
        if !self.is_client(end) {
            return Fit::of(range.contains(&SSH));
        }
        match () {
            () if range.contains(SURE_CLIENTS.start()) && range.contains(SURE_CLIENTS.end()) => Fit::Yes,
            () if to < *CLIENTS.start() => Fit::No,
            () => Fit::Few(format!("from port {from}")),
        }
    }

    /// Whether the end has one of these ports, written as a number, a name or a range.
    pub(super) fn ports(&self, end: End, text: &str) -> Fit {
        match ports(text) {
            Ok(range) => self.port(end, &range),
            Err(()) => Fit::Unknown(format!("the port {text}")),
        }
    }

    /// Whether the end has an address of this net, host or range.
    pub(super) fn address(&self, end: End, text: &str) -> Fit {
        let word = if end == End::Source { "from" } else { "to" };
        let few = || Fit::Few(format!("{word} {text}"));
        // Nobody outside has these, nor has the card.
        let is_elsewhere = |address: Ipv4Addr| {
            address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
                || address.octets()[0] == 0
        };
        let (host, net) = text.split_once('/').unwrap_or((text, "32"));
        let len = match net.parse::<Ipv4Addr>() {
            Ok(mask) => u32::from(mask).leading_ones(),
            Err(_) => net.parse().unwrap_or(32),
        };
        let first = host.split('-').next().unwrap_or(host);
        match first.parse::<Ipv4Addr>() {
            Ok(_) if len == 0 => Fit::Yes,
            Ok(address) if host.contains('-') => match host.split_once('-').map(|(_, to)| to.parse()) {
                Some(Ok(Ipv4Addr::BROADCAST)) if address.octets()[0] == 0 => Fit::Yes,
                _ => few(),
            },
            Ok(address) if is_elsewhere(address) => Fit::No,
            Err(_) if text.contains(':') => Fit::No,
            _ => few(),
        }
    }

    /// Whether the packet comes in (or goes out) by an interface of this name or pattern.
    pub(super) fn interface(&self, pattern: &str) -> Fit {
        // Made by programs that forward or tunnel; what comes in from outside is not on them.
        const VIRTUAL: &[&str] = &[
            "azv",
            "br-",
            "cali",
            "cilium",
            "cni",
            "docker",
            "dummy",
            "flannel",
            "gre",
            "ip6tnl",
            "ipsec",
            "kube",
            "lxc",
            "lxd",
            "nebula",
            "podman",
            "ppp",
            "sit",
            "tailscale",
            "tap",
            "tun",
            "vboxnet",
            "veth",
            "virbr",
            "vmnet",
            "vnet",
            "wg",
            "zt",
        ];
        // A card, by the names that udev and kernels give one.
        const CARDS: &[&str] = &["en", "eth", "ib", "wl", "ww"];
        if matches(pattern, self.card) {
            return Fit::Yes;
        }
        if pattern == "lo" || VIRTUAL.iter().any(|start| pattern.starts_with(start)) {
            return Fit::No;
        }
        match CARDS.iter().any(|start| pattern.starts_with(start)) {
            true => Fit::OnCard(pattern.to_owned()),
            false => Fit::Unknown(format!("whether ssh comes in by {pattern}")),
        }
    }

    /// Whether conntrack has it in one of these states.
    pub(super) fn state<'s>(&self, mut states: impl Iterator<Item = &'s str>) -> Fit {
        let own = match self.way {
            _ if !self.is_tracked => "untracked",
            Way::First => "new",
            _ => "established",
        };
        Fit::of(states.any(|state| state.eq_ignore_ascii_case(own)))
    }

    /// Its flags of TCP, of those that rules name.
    pub(super) fn flags(&self) -> &'static [&'static str] {
        match self.way {
            Way::First => &["syn"],
            Way::Answer => &["syn", "ack"],
            Way::More => &["ack"],
        }
    }

    /// Whether of the flags of a mask it has these and no other.
    pub(super) fn has_flags(&self, mask: &[&str], wanted: &[&str]) -> bool {
        let has = |list: &[&str], flag: &str| {
            list.iter().any(|one| one.eq_ignore_ascii_case(flag) || one.eq_ignore_ascii_case("all"))
        };
        ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"]
            .into_iter()
            .filter(|flag| has(mask, flag))
            .all(|flag| self.flags().contains(&flag) == has(wanted, flag))
    }
}

/// A port, or a range as "20:25" or "20-25"; a name that is not that of ssh is another port.
fn ports(text: &str) -> Result<RangeInclusive<u16>, ()> {
    let number = |text: &str, open: u16| match text {
        "" => Ok(open),
        "ssh" => Ok(SSH),
        text if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse().map_err(drop),
        text if text.contains('$') => Err(()),
        // A service of /etc/services, none of which but ssh is at that port.
        _ => Ok(0),
    };
    let is_range = text.contains(':') || text.starts_with(|c: char| c.is_ascii_digit());
    match text.split_once([':', '-']).filter(|_| is_range) {
        Some((from, to)) => Ok(number(from, 0)?..=number(to, u16::MAX)?),
        None => number(text, 0).map(|port| port..=port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Packet<'_> = Packet { way: Way::First, card: "eth0", is_tracked: true };
    const ANSWER: Packet<'_> = Packet { way: Way::Answer, card: "eth0", is_tracked: true };

    fn few(text: &str) -> Fit {
        Fit::Few(text.into())
    }

    #[test]
    fn ports_are_those_of_the_end() {
        for (text, first, answer) in [
            ("22", Fit::Yes, few("from port 22")),
            ("ssh", Fit::Yes, few("from port 22")),
            ("http", Fit::No, Fit::No),
            ("iso-tsap", Fit::No, Fit::No),
            ("1:1024", Fit::Yes, few("from port 1")),
            ("0-65535", Fit::Yes, Fit::Yes),
            (":", Fit::Yes, Fit::Yes),
            ("1024:", Fit::No, Fit::Yes),
            ("$p", Fit::Unknown("the port $p".into()), Fit::Unknown("the port $p".into())),
            ("99999", Fit::Unknown("the port 99999".into()), Fit::Unknown("the port 99999".into())),
        ] {
            let ends = (FIRST.ports(End::Destination, text), ANSWER.ports(End::Destination, text));
            let answer = if answer == few("from port 22") { few("from port 22") } else { answer };
            match text {
                "22" | "ssh" => assert_eq!(ends.0, first, "{text}"),
                _ => assert_eq!(ends, (first, answer), "{text}"),
            }
            assert_eq!(ANSWER.ports(End::Source, text), FIRST.ports(End::Destination, text), "{text}");
        }
    }

    #[test]
    fn addresses_are_from_outside() {
        for (text, fit) in [
            ("0.0.0.0/0", Fit::Yes),
            ("0.0.0.0/0.0.0.0", Fit::Yes),
            ("0.0.0.0-255.255.255.255", Fit::Yes),
            ("10.0.0.0/8", few("from 10.0.0.0/8")),
            ("10.0.0.0/255.0.0.0", few("from 10.0.0.0/255.0.0.0")),
            ("203.0.113.7", few("from 203.0.113.7")),
            ("10.0.0.1-10.0.0.9", few("from 10.0.0.1-10.0.0.9")),
            ("bastion.example", few("from bastion.example")),
            ("127.0.0.0/8", Fit::No),
            ("169.254.169.254", Fit::No),
            ("fe80::/10", Fit::No),
        ] {
            assert_eq!(FIRST.address(End::Source, text), fit, "{text}");
        }
        assert_eq!(ANSWER.address(End::Destination, "10.0.0.0/8"), few("to 10.0.0.0/8"));
    }

    #[test]
    fn interfaces_are_the_card_or_another() {
        for (pattern, fit) in [
            ("eth0", Fit::Yes),
            ("e*", Fit::Yes),
            ("lo", Fit::No),
            ("docker0", Fit::No),
            ("ens5", Fit::OnCard("ens5".into())),
            ("br0", Fit::Unknown("whether ssh comes in by br0".into())),
        ] {
            assert_eq!(FIRST.interface(pattern), fit, "{pattern}");
        }
    }

    #[test]
    fn fits_are_joined() {
        let card = || Fit::OnCard("ens5".into());
        assert_eq!(few("from a").and(Fit::Yes), few("from a"));
        assert_eq!(few("from a").and(Fit::No), Fit::No);
        assert_eq!(few("from a").or(few("from b")), few("from a, b"));
        assert_eq!(few("from a").not().and(few("from b")), few("from b"));
        assert_eq!(card().and(few("from a")), card());
        assert_eq!(card().and(Fit::No), Fit::No);
        assert_eq!(card().not(), Fit::Yes);
        let many = Fit::any((0..200_000).map(|n| few(&format!("from {n}"))));
        assert!(matches!(many, Fit::Few(text) if text.len() < 200));
        assert_eq!(Fit::any([Fit::No, few("from a"), Fit::Yes]), Fit::Yes);
        assert!(FIRST.has_flags(&["FIN", "SYN", "RST", "ACK"], &["SYN"]));
        assert!(!ANSWER.has_flags(&["SYN", "ACK"], &["SYN"]) && !FIRST.has_flags(&["ALL"], &["NONE"]));
    }
}
