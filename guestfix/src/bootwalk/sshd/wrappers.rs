//! `hosts.allow` and `hosts.deny`, which a server that is linked with libwrap asks (hosts_access(5)).

use super::super::login::Door;
use crate::elf::Elf;
use crate::{Result, View};

const ALLOW: &str = "/etc/hosts.allow";
const DENY: &str = "/etc/hosts.deny";

/// A rule about the server.
struct Rule<'a> {
    /// For everybody, or for those clients.
    everybody: bool,
    clients: &'a str,
    /// Those whom it leaves out of everybody.
    except: Option<&'a str>,
    /// What an option says in the place of its file.
    lets: Option<bool>,
}

/// Why one of these programs lets nobody in; `None` if nothing is wrong.
pub(super) fn shut(view: &dyn View, programs: &[String]) -> Result<Option<Door>> {
    let mut asks = false;
    for program in programs {
        if let Ok(elf) = Elf::read(view, program)? {
            asks |= elf.needed.iter().any(|name| name.starts_with("libwrap.so"));
        }
    }
    if !asks {
        return Ok(None);
    }
    let mut some: Vec<String> = Vec::new();
    for (file, lets) in [(ALLOW, true), (DENY, false)] {
        let text = view.text(file)?.unwrap_or_default().replace("\\\n", " ");
        for rule in text.lines().filter_map(about_ssh) {
            match (rule.everybody, rule.lets.unwrap_or(lets)) {
                (true, true) => return Ok(None),
                (true, false) => {
                    some.extend(rule.except.map(str::to_owned));
                    return Ok(match some.iter().any(|clients| is_public(clients)) {
                        true => None,
                        false if some.is_empty() => Some(Door::stuck(file, "sshd refuses whoever connects")),
                        false => Some(Door::Unsure {
                            place: file.to_owned(),
                            why: format!("sshd lets in {} only, of a net of its own", some.join(" ")),
                        }),
                    });
                }
                (false, true) => some.push(rule.clients.to_owned()),
                (false, false) => {}
            }
        }
    }
    Ok(None)
}

/// A line "daemons : clients : options", where it is about sshd.
fn about_ssh(line: &str) -> Option<Rule<'_>> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let (daemons, rest) = line.split_once(':')?;
    let (named, except) = daemons.split_once("EXCEPT").unwrap_or((daemons, ""));
    let has_sshd = |list: &str| {
        list.split([',', ' ', '\t']).any(|daemon| matches!(daemon.split('@').next(), Some("sshd" | "ALL")))
    };
    if !has_sshd(named) || has_sshd(except) {
        return None;
    }
    // An address of IPv6 has colons within brackets.
    let mut in_brackets = false;
    let mut fields = rest.split(|c| {
        in_brackets = c == '[' || in_brackets && c != ']';
        c == ':' && !in_brackets
    });
    let list = fields.next().unwrap_or_default().trim();
    let lets = fields.find_map(|option| match option.split_whitespace().next() {
        Some(word) if word.eq_ignore_ascii_case("allow") => Some(true),
        Some(word) if word.eq_ignore_ascii_case("deny") => Some(false),
        // another program answers
        Some(word) if word.eq_ignore_ascii_case("twist") => Some(false),
        _ => None,
    });
    let (clients, except) = match list.split_once(" EXCEPT ") {
        Some((clients, except)) => (clients.trim(), Some(except.trim())),
        None => (list, None),
    };
    let everybody = clients.split([',', ' ', '\t']).any(|client| {
        client.eq_ignore_ascii_case("ALL") || matches!(client, "*" | "0.0.0.0/0" | "0.0.0.0/0.0.0.0")
    });
    Some(Rule { everybody, clients, except, lets })
}

/// Whether one of the clients is no net behind an address translation, or the machine itself.
pub(in crate::bootwalk) fn is_public(clients: &str) -> bool {
    let is_own = |client: &str| {
        let second = client.split('.').nth(1).and_then(|part| part.parse::<u8>().ok());
        client.starts_with("10.")
            || client.starts_with("127.")
            || client.starts_with("192.168.")
            || client.starts_with("172.") && second.is_some_and(|part| (16..32).contains(&part))
            || client.starts_with('[')
            || matches!(client, "LOCAL" | "localhost")
    };
    clients.split([',', ' ', '\t']).filter(|client| !client.is_empty()).any(|client| !is_own(client))
}
