//! dhclient: its script, which gives the card the address, and the hooks that it sources (dhclient-script(8));
//! and what it is told: whose answers it takes, and what it asks for (dhclient.conf(5)).

use std::net::Ipv4Addr;

use super::commands::{Harm, Shell, Sure};
use super::manager;
use crate::platform::azure::{DHCP_OPTIONS, SERVER};
use crate::text::{bytes, lines};
use crate::{Result, View, packaged, programs};

const FILES: [&str; 4] = [
    "/etc/dhcp/dhclient.conf",
    "/etc/dhcp/dhclient-eth0.conf",
    "/etc/dhclient.conf",
    "/etc/dhclient-eth0.conf",
];
const SCRIPT: &str = "dhclient-script";
/// As much is read of it.
const READ: usize = 64 << 10;
/// What its script sources before it configures the card, and behind it.
pub(crate) const ENTER: [&str; 2] = ["/etc/dhcp/dhclient-enter-hooks", "/etc/dhclient-enter-hooks"];
pub(crate) const EXIT: [&str; 2] = ["/etc/dhcp/dhclient-exit-hooks", "/etc/dhclient-exit-hooks"];
/// Options that servers of offices give, and none of a cloud.
const OF_OFFICES: &[&str] = &[
    "finger-server",
    "irc-server",
    "log-servers",
    "lpr-servers",
    "netbios-dd-server",
    "netbios-name-servers",
    "netbios-node-type",
    "netbios-scope",
    "nis-domain",
    "nis-servers",
    "nisplus-domain",
    "nntp-server",
    "ntp-servers",
    "pop-server",
    "smtp-server",
    "tftp-server-name",
    "time-servers",
    "www-server",
];

/// Why it gets no address and router from the server of the target.
pub(super) fn fault(view: &dyn View) -> Result<Option<String>> {
    if let Some(why) = manager::fault(view, &[SCRIPT])? {
        return Ok(Some(why));
    }
    if let Some(why) = lacks_ip(view)? {
        return Ok(Some(why));
    }
    let mut all = configured(view)?;
    all.extend(hooked(view)?);
    Ok(all.into_iter().find(|(is_sure, _)| *is_sure).map(|(_, why)| why))
}

/// Why it may get none, where the client is this one: the first of `names` that is installed.
pub(super) fn doubt(view: &dyn View, names: &[&str]) -> Result<Option<String>> {
    for name in names {
        if programs::find(view, name)?.is_none() {
            continue;
        }
        if *name != "dhclient" {
            break;
        }
        let mut all = configured(view)?;
        all.extend(hooked(view)?);
        return Ok(all.into_iter().find(|(is_sure, _)| !is_sure).map(|(_, why)| why));
    }
    Ok(None)
}

/// What hooks of one's own do. They are sourced: one that ends ends the script, and an address that a script
/// fails at is given back (`dhclient.c`, DHCPDECLINE).
fn hooked(view: &dyn View) -> Result<Vec<(bool, String)>> {
    let shell = Shell { view, card: "eth0", depth: 0 };
    let mut out = Vec::new();
    for (hooks, is_before) in [(ENTER, true), (EXIT, false)] {
        let mut files = hooks.map(str::to_owned).to_vec();
        for hook in hooks {
            files.extend(view.glob(&format!("{hook}.d"), "")?);
        }
        for file in files {
            let Some(text) = view.text(&file)? else { continue };
            let outcome = shell.run(&text)?;
            let exits = outcome.exits.iter().filter(|(code, done)| match is_before {
                true => *code != 0 || done.sure == Sure::Yes,
                false => *code != 0,
            });
            let harms = outcome.harms.iter().filter(|(harm, _)| !is_before || *harm == Harm::Lasting);
            let all = exits.map(|(_, done)| done).chain(harms.map(|(_, done)| done));
            let Some(done) = all.filter(|done| done.sure != Sure::No).max_by_key(|done| done.sure) else {
                continue;
            };
            if packaged::is_of_package(view, &file)? {
                continue;
            }
            let why = format!(
                "{file}:{} keeps dhclient from giving the card an address: {}",
                done.line, done.command
            );
            out.push((done.sure == Sure::Yes, why));
        }
    }
    Ok(out)
}

/// Why its script, which gives the card its address by `ip`, cannot; of a snapshot, whose blocks are paid for,
/// it is not looked at.
fn lacks_ip(view: &dyn View) -> Result<Option<String>> {
    let Some(path) = programs::find(view, SCRIPT)?.filter(|_| !view.machine().remote) else {
        return Ok(None);
    };
    let text = bytes::decode(&view.start(&path, READ)?.unwrap_or_default());
    let runs_ip = text.lines().any(|line| line.split_whitespace().next() == Some("ip"));
    if runs_ip && programs::find(view, "ip")?.is_none() {
        return Ok(Some(format!("{path} gives the card its address by ip, which is not installed")));
    }
    Ok(None)
}

/// Why its configuration lets it take none, and whether that is sure.
fn configured(view: &dyn View) -> Result<Vec<(bool, String)>> {
    let mut out = Vec::new();
    for file in FILES {
        let Some(text) = view.text(file)? else { continue };
        let text: String = lines(&text)
            .map(|line| line.body.split('#').next().unwrap_or_default())
            .flat_map(|line| [line, " "])
            .collect();
        if text.matches('{').count() != text.matches('}').count() {
            out.push((false, format!("{file} has a brace without its other")));
        }
        let mut is_elsewhere = false;
        for statement in text.split_inclusive([';', '{', '}']) {
            // What is said of another card.
            if let Some(card) = statement.trim().strip_prefix("interface ") {
                is_elsewhere = !card.contains("\"eth0\"");
            }
            let is_end = statement.ends_with('}');
            if is_elsewhere {
                is_elsewhere = !is_end;
                continue;
            }
            let statement = statement.trim_end_matches([';', '{', '}']);
            let words: Vec<&str> = statement
                .split(|c: char| c.is_whitespace() || c == ',')
                .filter(|word| !word.is_empty())
                .collect();
            match words.as_slice() {
                ["reject", nets @ ..] if nets.iter().any(|net| has_server(net)) => {
                    out.push((true, format!("{file} has dhclient take no answer of the target's server")));
                }
                ["request", options @ ..] if !options.contains(&"routers") => {
                    out.push((true, format!("{file} has dhclient ask for no router")));
                }
                ["require", options @ ..] => {
                    if let Some(option) = options.iter().find(|option| !DHCP_OPTIONS.contains(option)) {
                        let why = format!("{file} has dhclient take no answer without {option}");
                        out.push((OF_OFFICES.contains(option), why));
                    }
                }
                ["script", path] => {
                    let path = path.trim_matches('"');
                    match programs::cannot_start(view, path, None)? {
                        Some(why) => out.push((true, why)),
                        None if packaged::is_of_package(view, path)? => {}
                        None => out.push((false, format!("{file} has dhclient run {path}"))),
                    }
                }
                ["supersede", "routers" | "subnet-mask", ..] => {
                    let why = format!("{file} has dhclient set aside what the server says of the net");
                    out.push((true, why));
                }
                _ => {}
            }
        }
    }
    Ok(out)
}

/// Whether an address or a net has the server.
pub(super) fn has_server(net: &str) -> bool {
    let (address, len) = net.split_once('/').unwrap_or((net, "32"));
    let (Ok(address), Ok(len)) = (address.parse::<Ipv4Addr>(), len.parse::<u32>()) else { return false };
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(len)).unwrap_or(0);
    SERVER.parse().is_ok_and(|server: Ipv4Addr| u32::from(address) & mask == u32::from(server) & mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::testing::library;
    use crate::rules::testing::Bench;

    #[test]
    fn a_script_gives_no_address_without_ip() {
        let lacks = |bench: &Bench| bench.guest(|guest| lacks_ip(guest.view).unwrap());
        let bench =
            Bench::debian().file("/sbin/dhclient-script", "#!/bin/sh\n    ip -4 addr add $new dev $it\n");
        assert!(lacks(&bench).is_some_and(|why| why.contains("by ip, which is not installed")));
        assert_eq!(lacks(&bench.program("/bin/ip", library(&[]))), None);
        let by_ifconfig = Bench::debian().file("/sbin/dhclient-script", "#!/bin/sh\nifconfig $it $new\n");
        assert_eq!(lacks(&by_ifconfig), None);
    }

    #[test]
    fn a_net_has_the_server_or_not() {
        for net in ["0.0.0.0/0", "168.63.129.16", "168.0.0.0/8"] {
            assert!(has_server(net), "{net}");
        }
        for net in ["192.168.0.0/16", "10.0.0.1", "x", "168.63.129.17/32"] {
            assert!(!has_server(net), "{net}");
        }
    }
}
