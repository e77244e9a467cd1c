//! What a script does to the machine that runs it at its start: it ends the system, stops the server for ssh, or
//! sets the card down; surely, or where a condition holds that nobody can tell of.

use crate::network;
use crate::script::{Script, ends};
use crate::systemd::needs::base;
use crate::{Result, View, bootwalk::waits};

/// What it does, in words.
pub(super) const ENDS: &str = "ends the system";
pub(super) const STOPS: &str = "stops the server for ssh";

/// Names of the server's units, with and without a suffix.
const SERVER: &[&str] = &["ssh", "sshd"];
/// The card of a machine on Azure.
const CARD: &str = "eth0";
/// Commands that surely end well.
const FINE: &[&str] = &[":", "date", "echo", "logger", "printf", "sleep", "sync", "touch", "true", "wall"];
/// Folders that are empty at the start, but for these.
const RUNTIME: &[&str] = &["/run/", "/tmp/", "/var/run/"];
const ALWAYS: &[&str] = &["/run/systemd/", "/var/run/systemd/"];
/// What the kernel has on Xen only.
const XEN: &[&str] = &["/proc/xen", "/sys/hypervisor"];
const CARDS: &str = "/sys/class/net/";

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Harm {
    /// The command.
    pub(super) command: String,
    /// "ends the system".
    pub(super) what: &'static str,
    /// Whether it is surely run, and surely does.
    pub(super) is_sure: bool,
}

/// What a script turns off, for a later line to turn on again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Server,
    Card,
    /// The card's addresses and routes.
    Reach,
}

/// Whether a condition holds, and whether its contrary does; `None` if nobody can tell.
#[derive(Clone, Copy)]
struct Truth {
    is: Option<bool>,
    is_not: Option<bool>,
}

impl Truth {
    const UNKNOWN: Self = Self { is: None, is_not: None };
    /// It is not so at the start, but may come to be so.
    const NOT_YET: Self = Self { is: Some(false), is_not: None };

    fn sure(is: bool) -> Self {
        Self { is: Some(is), is_not: Some(!is) }
    }

    fn negated(self) -> Self {
        Self { is: self.is_not, is_not: self.is }
    }
}

impl Part {
    fn what(self) -> &'static str {
        match self {
            Self::Server => STOPS,
            Self::Card => "sets the network card down",
            Self::Reach => "takes the card's address or its routes away",
        }
    }
}

/// The harm of a script, or of one that it runs; whether it comes to that one is not looked at.
pub(super) fn of_all(view: &dyn View, script: &Script) -> Result<Option<Harm>> {
    if let Some(harm) = script.harm(view)? {
        return Ok(Some(harm));
    }
    for inner in script.inner(view)? {
        if let Some(harm) = inner.harm(view)? {
            return Ok(Some(Harm { is_sure: false, ..harm }));
        }
    }
    Ok(None)
}

impl Script {
    /// The harm that it does, the surest first.
    pub(super) fn harm(&self, view: &dyn View) -> Result<Option<Harm>> {
        // Whether each block that is open is run.
        let mut blocks: Vec<Truth> = Vec::new();
        let mut may_have_ended = false;
        let mut stopped: Vec<(Part, Harm)> = Vec::new();
        let mut doubt: Option<Harm> = None;
        for line in self.lines() {
            let first = line.split_whitespace().next().unwrap_or_default();
            let rest = line.strip_prefix(first).unwrap_or_default().trim();
            let mut line = line;
            match first {
                "fi" | "done" | "esac" | "}" => {
                    blocks.pop();
                    continue;
                }
                "if" => {
                    blocks.push(holds(view, rest)?);
                    continue;
                }
                "elif" | "else" => {
                    if let Some(block) = blocks.last_mut() {
                        *block = match block.negated() {
                            // another condition comes
                            contrary if first == "elif" && contrary.is != Some(false) => Truth::UNKNOWN,
                            contrary => contrary,
                        };
                    }
                    if first == "elif" {
                        continue;
                    }
                    line = rest;
                }
                "while" | "until" | "case" | "select" | "for" => {
                    blocks.push(Truth::UNKNOWN);
                    continue;
                }
                "then" | "do" => line = rest,
                // one that is not called does nothing
                _ if line.ends_with('{') => {
                    blocks.push(Truth::sure(false));
                    continue;
                }
                _ => {}
            }
            let mut run = blocks.iter().map(|block| block.is).fold(Some(true), and);
            if may_have_ended {
                run = and(run, None);
            }
            for (before, command) in chained(line) {
                run = match before {
                    Some((true, earlier)) => and(run, holds(view, earlier)?.is),
                    Some((false, earlier)) => and(run, holds(view, earlier)?.is_not),
                    None => run,
                };
                if run == Some(false) {
                    continue;
                }
                let words: Vec<&str> = command.split_whitespace().collect();
                let harm = |what| Harm { command: command.to_owned(), what, is_sure: run == Some(true) };
                if ends(&words) {
                    match run {
                        Some(true) => return Ok(Some(harm(ENDS))),
                        _ => doubt = doubt.or_else(|| Some(harm(ENDS))),
                    }
                }
                match turns(&words) {
                    Some((part, false)) => stopped.push((part, harm(part.what()))),
                    Some((part, true)) => stopped.retain(|(other, _)| *other != part),
                    None => {}
                }
                if matches!(words.first(), Some(&"exit" | &"exec")) {
                    match run {
                        Some(true) => return Ok(surest(stopped, doubt)),
                        _ => may_have_ended = true,
                    }
                }
            }
        }
        Ok(surest(stopped, doubt))
    }
}

fn surest(stopped: Vec<(Part, Harm)>, doubt: Option<Harm>) -> Option<Harm> {
    let mut all: Vec<Harm> = stopped.into_iter().map(|(_, harm)| harm).chain(doubt).collect();
    all.sort_by_key(|harm| !harm.is_sure);
    all.into_iter().next()
}

/// Both: no if one is no.
fn and(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// The commands of a line, each with the one before it and whether that has to end well.
fn chained(line: &str) -> Vec<(Option<(bool, &str)>, &str)> {
    let mut out: Vec<(Option<(bool, &str)>, &str)> = Vec::new();
    let (mut rest, mut before) = (line, None);
    loop {
        let at = rest
            .match_indices(['&', '|'])
            .map(|(at, _)| at)
            .find(|at| rest.get(*at..).is_some_and(|rest| rest.starts_with("&&") || rest.starts_with("||")));
        let Some(at) = at else { break };
        let (command, behind) = rest.split_at(at);
        out.push((before, command.trim()));
        before = Some((behind.starts_with('&'), command.trim()));
        rest = behind.get(2..).unwrap_or_default();
    }
    out.push((before, rest.trim()));
    // what is behind a pipe or put into the background is none of the first command
    out.into_iter()
        .map(|(before, command)| (before, command.split(['|', '&']).next().unwrap_or(command)))
        .collect()
}

/// Whether a command ends well at the start of the machine.
fn holds(view: &dyn View, command: &str) -> Result<Truth> {
    let command = command.trim();
    if let Some(command) = command.strip_prefix("! ") {
        return Ok(holds(view, command)?.negated());
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["[" | "[[", test @ .., "]" | "]]"] | ["test", test @ ..] => tests(view, test),
        [first, ..] if FINE.contains(&base(first)) => Ok(Truth::sure(true)),
        ["false"] => Ok(Truth::sure(false)),
        _ => Ok(Truth::UNKNOWN),
    }
}

/// Whether a test of a file holds (test(1)).
fn tests(view: &dyn View, test: &[&str]) -> Result<Truth> {
    let (flag, path) = match test {
        ["!", test @ ..] => return Ok(tests(view, test)?.negated()),
        [flag @ ("-b" | "-d" | "-e" | "-f" | "-r" | "-s" | "-x" | "-L" | "-h"), path] => (*flag, *path),
        _ => return Ok(Truth::UNKNOWN),
    };
    let path = path.trim_matches(['"', '\'']);
    let is_in = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    if !path.starts_with('/') || path.contains(['$', '*', '?', '`']) {
        return Ok(Truth::UNKNOWN);
    }
    if let Some(card) = path.strip_prefix(CARDS) {
        return Ok(Truth::sure(matches!(card, CARD | "lo")));
    }
    if path.starts_with("/dev/") {
        return Ok(match waits::device(view.machine(), path) {
            Ok(true) if flag != "-d" => Truth::sure(true),
            Err((_, true)) => Truth::sure(false),
            _ => Truth::UNKNOWN,
        });
    }
    Ok(match () {
        () if is_in(XEN) => Truth::sure(false),
        () if is_in(RUNTIME) && !is_in(ALWAYS) => Truth::NOT_YET,
        () if is_in(&["/proc/", "/sys/", "/run/", "/var/run/"]) => Truth::UNKNOWN,
        () => Truth::sure(view.exists(path)?),
    })
}

/// What a command turns off, or on.
fn turns(words: &[&str]) -> Option<(Part, bool)> {
    let words = match words {
        ["sudo" | "nohup" | "-" | "exec", rest @ ..] => rest,
        words => words,
    };
    let (first, rest) = words.split_first()?;
    let first = first.trim_start_matches(['-', '@', '+', '!', ':']);
    let plain: Vec<&str> = rest.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let is_server = |word: &&str| {
        let name = word.split('.').next().unwrap_or(word);
        SERVER.contains(&name)
    };
    let names_server = plain.iter().any(is_server);
    let names_card = plain.contains(&CARD);
    let on = |verb: &str| matches!(verb, "start" | "restart" | "reload-or-restart" | "unmask" | "up");
    match (base(first), plain.as_slice()) {
        ("systemctl", ["disable", ..]) if names_server && rest.contains(&"--now") => {
            Some((Part::Server, false))
        }
        ("systemctl", ["enable", ..]) if names_server && rest.contains(&"--now") => {
            Some((Part::Server, true))
        }
        ("systemctl", [verb @ ("stop" | "mask" | "kill" | "start" | "restart"), ..]) if names_server => {
            Some((Part::Server, on(verb)))
        }
        ("service" | "invoke-rc.d" | "rc-service", [_, verb @ ("stop" | "start" | "restart")])
            if names_server =>
        {
            Some((Part::Server, on(verb)))
        }
        ("ssh" | "sshd", [verb @ ("stop" | "start" | "restart")]) if first.starts_with("/etc/") => {
            Some((Part::Server, on(verb)))
        }
        ("pkill" | "killall", _) if names_server => Some((Part::Server, false)),
        ("ip", _) if names_card && plain.contains(&"down") => Some((Part::Card, false)),
        ("ip", _) if names_card && plain.contains(&"up") => Some((Part::Card, true)),
        ("ifconfig", [CARD, verb @ ("up" | "down"), ..]) => Some((Part::Card, on(verb))),
        ("ifdown", _) if names_card || rest.contains(&"-a") => Some((Part::Card, false)),
        ("ifup", _) if names_card || rest.contains(&"-a") => Some((Part::Card, true)),
        ("nmcli", ["networking", "off"]) => Some((Part::Card, false)),
        ("nmcli", ["networking", "on"]) => Some((Part::Card, true)),
        ("nmcli", ["dev" | "device" | "d", verb @ ("disconnect" | "connect"), CARD]) => {
            Some((Part::Card, *verb == "connect"))
        }
        (name, _) if network::takes_away(name, rest, CARD) => Some((Part::Reach, false)),
        ("dhclient" | "udhcpc" | "dhcpcd" | "ifup" | "netplan", _) => Some((Part::Reach, true)),
        ("ip", [object, "add" | "replace", ..])
            if "route".starts_with(*object) && plain.contains(&"default") =>
        {
            Some((Part::Reach, true))
        }
        ("tc", ["qdisc", "del", ..]) if names_card => Some((Part::Reach, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::debian;
    use super::*;

    /// What it does, and whether surely.
    fn harm(text: &str) -> Option<(&'static str, bool)> {
        let found = debian().guest(|guest| Script::of_text(text).harm(guest.view).unwrap());
        found.map(|harm| (harm.what, harm.is_sure))
    }

    #[test]
    fn what_is_surely_run_is_told_apart_from_what_may_be() {
        for text in [
            "reboot",
            "#!/bin/sh\nsleep 9; /sbin/shutdown -h now",
            "systemctl --no-block reboot",
            "if x; then\n  y\nfi\nsystemctl start poweroff.target",
            "[ -e /dev/xvda ] || shutdown -h now",
            "if [ ! -d /sys/class/net/ens5 ]; then\n  poweroff\nfi",
            "[ -f /etc/passwd ] && reboot",
            "[ -d /proc/xen ] || reboot",
            "echo bye && reboot",
            "cat <<EOF\nbye\nEOF\nreboot",
            "x=$((1<<Y))\nreboot",
            "if [ -e /nope ]; then\n true\nelse\n reboot\nfi",
        ] {
            assert_eq!(harm(text), Some((ENDS, true)), "{text}");
        }
        for text in [
            "curl -s http://169.254.169.254/ || poweroff",
            "if ! mount /backup; then shutdown -h now; fi",
            "if x; then exit 0; fi\nreboot",
            "while true; do\n ping -c1 x || reboot\n sleep 60\ndone",
            "[ ! -e /run/x ] && reboot",
            "[ -e /run/x ] || reboot",
            "[ -e /proc/cpuinfo ] || reboot",
            "if [ -e /run/x ]; then\n true\nelse\n reboot\nfi",
        ] {
            assert_eq!(harm(text), Some((ENDS, false)), "{text}");
        }
        for text in [
            "if [ -e /run/reboot-required ]; then\n  reboot\nfi",
            "[ -e /nope ] && reboot",
            "[ -e /etc/passwd ] || reboot",
            "/opt/app init",
            "f() {\n reboot\n}",
            "exit 0\nreboot",
            "cat > /usr/local/bin/x <<'EOF'\n#!/bin/sh\nreboot\nEOF\nchmod +x /usr/local/bin/x",
            "systemctl start x; shutdown -c",
            "echo reboot",
            "systemctl set-default poweroff.target",
        ] {
            assert_eq!(harm(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_turned_off_and_on_again_does_no_harm() {
        for (text, what) in [
            ("/bin/systemctl stop ssh.service", "stops the server for ssh"),
            ("service sshd stop", "stops the server for ssh"),
            ("/sbin/ip link set eth0 down", "sets the network card down"),
            ("ip link set dev eth0 up\nifdown eth0", "sets the network card down"),
            ("ip route del default", "takes the card's address or its routes away"),
            ("tc qdisc add dev eth0 root netem loss 100%", "takes the card's address or its routes away"),
        ] {
            assert_eq!(harm(text), Some((what, true)), "{text}");
        }
        for text in [
            "systemctl stop ssh\nssh-keygen -A\nsystemctl start ssh",
            "ip link set eth0 down\nip link set eth0 mtu 1500\nip link set eth0 up",
            "ip link set eth1 down",
            "systemctl stop apache2",
            "systemctl restart sshd",
            "ip route del default\nip route add default via 10.0.0.1",
            "tc qdisc add dev eth0 root fq",
            "tc qdisc add dev eth0 root netem loss 100%\nsleep 5\ntc qdisc del dev eth0 root",
        ] {
            assert_eq!(harm(text), None, "{text}");
        }
    }
}
