//! Commands of scripts that change the rules, one after another on top of none.

use super::packet::Packet;
use super::{Door, door, iptables, nft};
use crate::text::lines;
use crate::{Result, View};

/// The number and the text of the first command by which a script may keep everybody out.
pub(crate) fn shut<'t>(view: &dyn View, text: &'t str, card: &str) -> Result<Option<(usize, &'t str)>> {
    let (mut rules, mut of_nft) = (String::new(), String::new());
    let mut variables: Vec<(&str, Vec<&str>)> = Vec::new();
    let (mut first, mut first_of_nft) = (None, None);
    let mut is_open = false;
    for line in lines(text) {
        let body = line.body.trim();
        if body.split_whitespace().next() == Some("exit") && !line.body.starts_with([' ', '\t']) {
            break;
        }
        if body.starts_with('#') {
            continue;
        }
        // What is in braces may go on in the next line.
        if let Some(command) = if is_open { Some(body) } else { of_program(body, "nft") } {
            let command = command.replace(['\\', '\'', '"'], " ");
            if command.contains("drop") || command.contains("reject") {
                first_of_nft = first_of_nft.or(Some((line.number, body)));
            }
            of_nft.push_str(&command);
            of_nft.push('\n');
            is_open = of_nft.matches('{').count() > of_nft.matches('}').count();
            continue;
        }
        for command in body.split([';', '&', '|']) {
            let words: Vec<&str> = command.split_whitespace().collect();
            match words.as_slice() {
                ["for", name, "in", values @ ..] => variables.push((*name, values.to_vec())),
                [assigned] => {
                    variables.extend(assigned.split_once('=').map(|(name, value)| (name, vec![value])));
                }
                _ => {}
            }
            if let Some(rule) = rule(&words, &variables) {
                if rule.contains("DROP") || rule.contains("REJECT") {
                    first = first.or(Some((line.number, body)));
                }
                for rule in replaced(&rule, &variables) {
                    rules += &rule;
                    rules.push('\n');
                }
            }
        }
    }
    let shuts = |door: Option<Door>| matches!(door, Some(Door::Shut(_) | Door::Unknown(_)));
    if first.is_some() && shuts(door("", card, |packet: &Packet<'_>| iptables::ruleset(&rules, packet))) {
        return Ok(first);
    }
    if first_of_nft.is_some() {
        let document = nft::Document::of_text(view, &of_nft)?;
        if shuts(door("", card, |packet: &Packet<'_>| document.ruleset(packet))) {
            return Ok(first_of_nft);
        }
    }
    Ok(None)
}

/// What a line tells a program on its command line; nothing where it is to read a file.
fn of_program<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    let (first, rest) = line.split_once(char::is_whitespace)?;
    let is_it = first.rsplit('/').next() == Some(name) || *first.to_ascii_lowercase() == *format!("${name}");
    (is_it && !rest.trim_start().starts_with("-f")).then_some(rest)
}

/// A rule with what its first known variable stands for: for each value of a loop one.
fn replaced(rule: &str, variables: &[(&str, Vec<&str>)]) -> Vec<String> {
    for (name, values) in variables.iter().rev() {
        for written in [format!("${{{name}}}"), format!("${name}")] {
            if rule.split([' ', ',']).any(|word| word == written) {
                return values.iter().map(|value| rule.replace(&written, value.trim_matches('"'))).collect();
            }
        }
    }
    vec![rule.to_owned()]
}

/// What a command of iptables changes, without the program.
fn rule(words: &[&str], variables: &[(&str, Vec<&str>)]) -> Option<String> {
    let is_filter = |word: &&str| {
        let named = |word: &str| {
            let name = word.trim_matches(['"', '\'']).rsplit('/').next().unwrap_or(word);
            matches!(name, "iptables" | "iptables-nft" | "iptables-legacy")
        };
        let variable = word.trim_matches('"').strip_prefix('$').map(|name| name.trim_matches(['{', '}']));
        named(word)
            || variable.is_some_and(|name| {
                let known = variables.iter().rev().find(|(known, _)| *known == name);
                known.map_or_else(
                    || name.to_ascii_lowercase().contains("ipt"),
                    |(_, values)| values.iter().any(|value| named(value)),
                )
            })
    };
    let at = words.iter().position(is_filter)?;
    Some(words.get(at.saturating_add(1)..)?.join(" "))
}
