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
    /// The option at its end turns its file's meaning round.
    option: Option<&'a str>,
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
    let mut some: Option<String> = None;
    for (file, lets) in [(ALLOW, true), (DENY, false)] {
        let text = view.text(file)?.unwrap_or_default().replace("\\\n", " ");
        for rule in text.lines().filter_map(about_ssh) {
            let lets = match rule.option {
                Some("allow") => true,
                Some("deny") => false,
                _ => lets,
            };
            match (rule.everybody, lets) {
                (true, true) => return Ok(None),
                (true, false) => {
                    return Ok(match some {
                        Some(clients) if is_public(&clients) => None,
                        Some(clients) => Some(Door::Unsure {
                            place: file.to_owned(),
                            why: format!("sshd lets in {clients} only, addresses of a net of its own"),
                        }),
                        None => Some(Door::stuck(file, "sshd refuses whoever connects")),
                    });
                }
                (false, true) => some = Some(rule.clients.to_owned()),
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
    // An address of IPv6 has colons within brackets; the option is behind the last blank colon.
    let (clients, option) = match rest.rsplit_once(':') {
        Some((clients, option)) if matches!(option.trim(), "allow" | "deny" | "ALLOW" | "DENY") => {
            (clients, Some(if option.trim().eq_ignore_ascii_case("allow") { "allow" } else { "deny" }))
        }
        _ => (rest, None),
    };
    let list = clients.split(" : ").next().unwrap_or(clients).trim();
    let first = list.split([',', ' ', '\t', ':']).next().unwrap_or_default();
    let everybody = matches!(first, "ALL" | "0.0.0.0/0" | "0.0.0.0/0.0.0.0");
    Some(Rule { everybody, clients: list, option })
}

/// Whether one of the clients is no net behind an address translation, or the machine itself.
fn is_public(clients: &str) -> bool {
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
