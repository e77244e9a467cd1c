//! firewalld: zones, services, policies and rich rules, as one chain (firewalld.zone(5), firewalld.service(5),
//! firewalld.policy(5), firewalld.richlanguage(5), firewalld.direct(5)).
//!
//! What has been let in goes on by itself, and what sshd answers goes out, so only the first packet is judged.

use super::packet::{End, Fit, Packet};
use super::ruleset::{Fate, Rule, Ruleset, Verdict};
use super::{iptables, xml};
use crate::text::{ini, shell_assign};
use crate::{Result, View};

pub(super) const CONFIG: &str = "/etc/firewalld/firewalld.conf";
const DIRS: [&str; 2] = ["/etc/firewalld", "/usr/lib/firewalld"];
const DIRECT: &str = "/etc/firewalld/direct.xml";
const DEFAULT_ZONE: &str = "public";
/// Where a card may be given a zone, and the key that does so.
const PROFILES: &str = "/etc/NetworkManager/system-connections";
const IFCFG: &str = "/etc/sysconfig/network-scripts";
/// The most services that one includes.
const SERVICES: usize = 64;
const INPUT: &str = "input";

/// What becomes of the packet, and the file that says so.
pub(super) fn fate(view: &dyn View, packet: &Packet<'_>) -> Result<(String, Fate)> {
    let (file, set) = match ruleset(view, packet)? {
        Ok(found) => found,
        Err(unknown) => return Ok((CONFIG.to_owned(), Fate::Unknown(unknown))),
    };
    let fate = set.fate().0;
    let direct = view.text(DIRECT)?.unwrap_or_default();
    let rules = xml::elements(&direct).filter(|tag| tag.name == "rule" || tag.name == "passthrough");
    let lines: Vec<String> = rules
        .filter(|tag| tag.get("ipv") != Some("ipv6"))
        .map(|tag| match (tag.get("table"), tag.get("chain")) {
            (Some(table), Some(chain)) => format!("-t {table} -A {chain} {}\n", tag.text),
            _ => format!("{}\n", tag.text),
        })
        .collect();
    let (mut shut, mut open) = (String::new(), ":INPUT DROP\n".to_owned());
    lines.iter().for_each(|line| {
        shut.push_str(line);
        open.push_str(line);
    });
    let own = iptables::ruleset(&shut, packet).fate().0;
    // What a rule of one's own lets in comes to the zone all the same, or does not: that is the backend's.
    let lets_in = iptables::ruleset(&open, packet).fate().0 == Fate::In;
    Ok(match (fate, own) {
        (_, own @ Fate::Out(_)) => (DIRECT.to_owned(), own),
        (Fate::Out(_), _) if lets_in => {
            (DIRECT.to_owned(), Fate::Unknown("whether it counts before the zones".into()))
        }
        (fate, _) => (file, fate),
    })
}

/// The zone's file and the chain; or what is not understood.
fn ruleset(view: &dyn View, packet: &Packet<'_>) -> Result<Result<(String, Ruleset), String>> {
    let mut set = Ruleset::default();
    set.chain(INPUT).is_base = true;
    let config = view.text(CONFIG)?.unwrap_or_default();
    let default = shell_assign::get(&config, "DefaultZone").unwrap_or(DEFAULT_ZONE);
    let mut zone = given(view, packet)?.unwrap_or_else(|| default.to_owned());
    let mut input = Vec::new();
    for name in names(view, "zones")? {
        let Some((_, text)) = file(view, "zones", &name)? else { continue };
        let mut sources = Vec::new();
        for tag in xml::elements(&text).filter(|tag| tag.depth == 1) {
            match tag.name {
                "interface" if tag.get("name") == Some(packet.card) => name.clone_into(&mut zone),
                "source" => sources.push(source(&tag, packet)),
                _ => {}
            }
        }
        let fit = Fit::any(sources);
        if fit != Fit::No {
            zone_chain(view, &name, &text, packet, &mut set)?;
            let verdict = Verdict::Goto(name.clone());
            input.push(Rule { text: format!("the zone {name}"), fit, verdict });
        }
    }
    if file(view, "zones", &zone)?.is_none() {
        DEFAULT_ZONE.clone_into(&mut zone);
    }
    let Some((path, text)) = file(view, "zones", &zone)? else {
        return Ok(Err(format!("there is no zone {zone}")));
    };
    zone_chain(view, &zone, &text, packet, &mut set)?;
    input.push(Rule {
        text: format!("the zone {zone}"),
        fit: Fit::Yes,
        verdict: Verdict::Goto(zone.clone()),
    });
    // Policies come before the zones, or behind them, where nothing is left to decide.
    let mut before = Vec::new();
    for name in names(view, "policies")? {
        let Some((_, text)) = file(view, "policies", &name)? else { continue };
        let is_of = |kind: &str, zones: &[&str]| {
            xml::elements(&text)
                .any(|tag| tag.name == kind && tag.get("name").is_some_and(|name| zones.contains(&name)))
        };
        let root = xml::elements(&text).find(|tag| tag.depth == 0);
        let priority = root.as_ref().and_then(|tag| tag.get("priority")?.parse().ok()).unwrap_or(-1_i32);
        if priority < 0 && is_of("ingress-zone", &["ANY", &zone]) && is_of("egress-zone", &["HOST"]) {
            let chain = format!("policy {name}");
            let target = match root.as_ref().and_then(|tag| tag.get("target")) {
                Some("ACCEPT") => Verdict::Accept,
                Some("DROP" | "REJECT") => Verdict::Drop,
                _ => Verdict::Return,
            };
            set.chain(&chain).rules = rules(view, &text, target, packet)?;
            before
                .push((priority, Rule { text: chain.clone(), fit: Fit::Yes, verdict: Verdict::Jump(chain) }));
        }
    }
    before.sort_by_key(|(priority, _)| *priority);
    set.chain(INPUT).rules = before.into_iter().map(|(_, rule)| rule).chain(input).collect();
    Ok(Ok((path, set)))
}

/// The zone that the card's profile names.
fn given(view: &dyn View, packet: &Packet<'_>) -> Result<Option<String>> {
    for path in view.glob(PROFILES, "")? {
        let text = view.text(&path)?.unwrap_or_default();
        let value = |key: &str| ini::values(&text, "connection", key).pop().filter(|value| !value.is_empty());
        let is_for_card = value("interface-name").is_none_or(|name| name == packet.card)
            && value("type").is_none_or(|kind| kind.ends_with("ethernet"));
        if let Some(zone) = value("zone").filter(|_| is_for_card) {
            return Ok(Some(zone.to_owned()));
        }
    }
    let ifcfg = view.text(&format!("{IFCFG}/ifcfg-{}", packet.card))?.unwrap_or_default();
    Ok(shell_assign::get(&ifcfg, "ZONE").filter(|zone| !zone.is_empty()).map(str::to_owned))
}

/// The names of zones, services or policies.
fn names(view: &dyn View, kind: &str) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for dir in DIRS {
        for path in view.glob(&format!("{dir}/{kind}"), ".xml")? {
            let name = path.rsplit('/').next().unwrap_or(&path).trim_end_matches(".xml").to_owned();
            if !out.contains(&name) {
                out.push(name);
            }
        }
    }
    Ok(out)
}

/// Of files of a name the administrator's counts.
fn file(view: &dyn View, kind: &str, name: &str) -> Result<Option<(String, String)>> {
    for dir in DIRS {
        let path = format!("{dir}/{kind}/{name}.xml");
        if let Some(text) = view.text(&path)? {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

fn zone_chain(view: &dyn View, name: &str, text: &str, packet: &Packet<'_>, set: &mut Ruleset) -> Result<()> {
    let target = match xml::elements(text).find(|tag| tag.depth == 0).and_then(|tag| tag.get("target")) {
        Some("ACCEPT") => Verdict::Accept,
        _ => Verdict::Drop,
    };
    set.chain(name).rules = rules(view, text, target, packet)?;
    Ok(())
}

/// The rules of a zone or policy in the order in which they count: of priorities below 0, what denies, what
/// allows, of priorities above 0, the target.
fn rules(view: &dyn View, text: &str, target: Verdict, packet: &Packet<'_>) -> Result<Vec<Rule>> {
    let mut ordered: Vec<(i32, u8, Rule)> = Vec::new();
    let all: Vec<xml::Element<'_>> = xml::elements(text).collect();
    let mut tags = all.as_slice();
    while let [tag, rest @ ..] = tags {
        tags = rest;
        if tag.depth != 1 {
            continue;
        }
        let shown = || tag.shown();
        match tag.name {
            "rule" => {
                let len = rest.iter().take_while(|tag| tag.depth > 1).count();
                let (fit, verdict) = rich(view, tag, rest.get(..len).unwrap_or_default(), packet)?;
                let priority = tag.get("priority").and_then(|number| number.parse().ok()).unwrap_or(0);
                let group = if verdict == Verdict::Drop { 0 } else { 1 };
                ordered.push((priority, group, Rule { text: shown(), fit, verdict }));
            }
            "forward-port" => {
                let verdict = if tag.get("to-port") == Some("22") && tag.get("to-addr").is_none() {
                    Verdict::Next
                } else {
                    Verdict::Divert
                };
                ordered.push((
                    i32::MIN,
                    0,
                    Rule { text: shown(), fit: element(view, tag, packet)?, verdict },
                ));
            }
            "service" | "port" | "protocol" | "source-port" => {
                let fit = element(view, tag, packet)?;
                ordered.push((0, 1, Rule { text: shown(), fit, verdict: Verdict::Accept }));
            }
            _ => {}
        }
    }
    ordered.sort_by_key(|(priority, group, _)| (*priority, *group));
    let end = Rule { text: "the target of the zone".into(), fit: Fit::Yes, verdict: target };
    Ok(ordered.into_iter().map(|(.., rule)| rule).chain([end]).collect())
}

/// A rich rule.
fn rich(
    view: &dyn View,
    rule: &xml::Element<'_>,
    within: &[xml::Element<'_>],
    packet: &Packet<'_>,
) -> Result<(Fit, Verdict)> {
    let mut fit = Fit::of(rule.get("family") != Some("ipv6"));
    let mut verdict = Verdict::Next;
    for tag in within.iter().filter(|tag| tag.depth == 2) {
        match tag.name {
            "source" => fit = fit.and(source(tag, packet)),
            "destination" => {
                let to = tag.get("address").map_or(Fit::Yes, |net| packet.address(End::Destination, net));
                fit = fit.and(to.not_if(is_inverted(tag)));
            }
            "service" | "port" | "protocol" | "source-port" | "icmp-block" | "icmp-type" => {
                fit = fit.and(element(view, tag, packet)?);
            }
            "forward-port" => {
                fit = fit.and(element(view, tag, packet)?);
                verdict = Verdict::Divert;
            }
            "masquerade" => fit = Fit::No,
            "accept" => verdict = Verdict::Accept,
            "reject" | "drop" => verdict = Verdict::Drop,
            _ => {}
        }
    }
    Ok((fit, verdict))
}

fn is_inverted(tag: &xml::Element<'_>) -> bool {
    tag.get("invert").is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "yes" | "true"))
}

fn source(tag: &xml::Element<'_>, packet: &Packet<'_>) -> Fit {
    let fit = match (tag.get("address"), tag.get("ipset"), tag.get("mac")) {
        (Some(net), ..) => packet.address(End::Source, net),
        (_, Some(set), _) => Fit::Few(format!("of the set {set}")),
        (.., Some(mac)) => Fit::Few(format!("from {mac}")),
        _ => Fit::Yes,
    };
    fit.not_if(is_inverted(tag))
}

/// Whether the packet is of a service, port or protocol.
fn element(view: &dyn View, tag: &xml::Element<'_>, packet: &Packet<'_>) -> Result<Fit> {
    match tag.name {
        "service" => service(view, tag.get("name").unwrap_or_default(), packet),
        _ => Ok(port(tag, packet)),
    }
}

fn port(tag: &xml::Element<'_>, packet: &Packet<'_>) -> Fit {
    let is_tcp = Fit::of(tag.get("protocol").is_none_or(|protocol| protocol == "tcp"));
    let port =
        |end: End| tag.get("port").map_or(Fit::Yes, |port| packet.ports(end, port)).and(is_tcp.clone());
    match tag.name {
        "port" | "forward-port" => port(End::Destination),
        "source-port" => port(End::Source),
        "protocol" => Fit::of(matches!(tag.get("value"), Some("tcp" | "6"))),
        _ => Fit::No,
    }
}

/// Whether the packet is of a service, or of one that it includes.
fn service(view: &dyn View, name: &str, packet: &Packet<'_>) -> Result<Fit> {
    let mut names = vec![name.to_owned()];
    let mut fit = Fit::No;
    let mut at = 0;
    while let Some(name) = names.get(at).filter(|_| at < SERVICES).cloned() {
        at += 1;
        let Some((_, text)) = file(view, "services", &name)? else {
            fit = fit.or(match name.as_str() {
                "ssh" => Fit::Yes,
                _ => Fit::Unknown(format!("there is no service {name}")),
            });
            continue;
        };
        let own = xml::elements(&text).filter(|tag| tag.depth == 1).map(|tag| port(&tag, packet));
        let to = xml::elements(&text).find(|tag| tag.name == "destination");
        let net = to.as_ref().and_then(|tag| tag.get("ipv4"));
        let to = net.map_or(Fit::Yes, |net| packet.address(End::Destination, net));
        fit = fit.or(Fit::any(own).and(to));
        for included in xml::elements(&text).filter(|tag| tag.name == "include") {
            let included = included.get("service").unwrap_or_default().to_owned();
            if names.len() < SERVICES && !names.contains(&included) {
                names.push(included);
            }
        }
    }
    Ok(fit)
}
