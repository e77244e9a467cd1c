//! What commands of a shell do to the card, where that can be told: options of ifupdown, and scripts of one's
//! own that run when a card comes up. A command that is not known is taken to succeed; what a condition finds
//! on the target is told for files and for the cards there are, and doubted else.

mod harm;

use self::harm::harm;
use crate::packaged::is_of_package;
use crate::programs::{self, SHELLS};
use crate::text::lines;
use crate::{Result, View};

/// How sure it is that something runs, holds or succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sure {
    No,
    Perhaps,
    Yes,
}

impl Sure {
    fn of(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
            Self::Yes => Self::No,
        }
    }
}

/// What a command does to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    /// What is configured afterwards makes good.
    Passing,
    /// It stays.
    Lasting,
}

/// Whether a command takes the card, its addresses or its routes away.
pub(crate) fn takes_away(name: &str, words: &[&str], card: &str) -> bool {
    harm(name, words, card).is_some()
}

/// Something that a script does, and how sure it is that it does so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) line: usize,
    pub(super) command: String,
    pub(super) sure: Sure,
    /// Why the command fails, where that is known.
    pub(super) why: Option<String>,
}

/// What came of a script.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) harms: Vec<(Harm, Done)>,
    /// The command at which it ends.
    pub(super) exits: Vec<(u8, Done)>,
    /// The last command, if it fails: the script fails as well.
    pub(super) failed: Option<Done>,
    /// Why the command before failed.
    why: Option<String>,
}

impl Outcome {
    /// By what it fails, and how sure that is: `None` if it does not. That the last command may fail is not
    /// enough.
    pub(super) fn failure(&self) -> Option<&Done> {
        let exits = self.exits.iter().filter(|(code, _)| *code != 0).map(|(_, done)| done);
        let failed = self.failed.as_ref().filter(|done| done.sure == Sure::Yes);
        exits.chain(failed).max_by_key(|done| done.sure)
    }
}

/// Commands that ask somebody else, or the machine that they run on.
const ASKS: &[&str] = &[
    "curl",
    "dig",
    "dmidecode",
    "dmesg",
    "ec2metadata",
    "ethtool",
    "getent",
    "grep",
    "egrep",
    "host",
    "lsmod",
    "lspci",
    "mountpoint",
    "nc",
    "nslookup",
    "pgrep",
    "ping",
    "systemd-detect-virt",
    "wget",
    "virt-what",
];

/// Words of the shell itself.
const SHELL: &[&str] = &[
    ".", "alias", "break", "cd", "continue", "eval", "export", "getopts", "local", "read", "readonly", "set",
    "shift", "source", "trap", "type", "ulimit", "umask", "unalias", "unset", "wait",
];

/// What a shell runs for a card.
pub(super) struct Shell<'a> {
    pub(super) view: &'a dyn View,
    pub(super) card: &'a str,
    /// How many scripts are around this one.
    pub(super) depth: usize,
}

/// How deep scripts that run scripts are followed.
const DEPTH: usize = 3;

/// Parts of a script that may not run.
struct Block {
    /// Whether what is in this branch runs.
    runs: Sure,
    /// Whether one before it has run.
    taken: Sure,
}

impl Shell<'_> {
    /// What comes of a script.
    pub(super) fn run(&self, text: &str) -> Result<Outcome> {
        let mut out = Outcome::default();
        let mut errexit = false;
        let mut blocks: Vec<Block> = Vec::new();
        // What is not run on its way any more, once it has perhaps ended.
        let mut alive = Sure::Yes;
        let text = text.replace("\\\n", " ");
        for line in lines(&text) {
            let body = line.body.trim();
            if body.starts_with('#') {
                errexit |= body.starts_with("#!") && body.split_whitespace().any(|word| word == "-e");
                continue;
            }
            for part in statements(body) {
                let words: Vec<&str> = part.split_whitespace().collect();
                let (first, rest) = match words.split_first() {
                    Some((first, rest)) => (*first, rest.join(" ")),
                    None => continue,
                };
                let around = blocks.iter().map(|block| block.runs).min().unwrap_or(Sure::Yes).min(alive);
                let statement = match first {
                    "if" | "elif" => {
                        let holds = self.list(&rest, line.number, around, &mut Outcome::default())?;
                        match (first, blocks.last_mut()) {
                            ("elif", Some(block)) => {
                                block.runs = block.taken.not().min(holds);
                                block.taken = block.taken.max(holds);
                            }
                            _ => blocks.push(Block { runs: holds, taken: holds }),
                        }
                        continue;
                    }
                    "else" => {
                        if let Some(block) = blocks.last_mut() {
                            block.runs = block.taken.not();
                        }
                        rest
                    }
                    "then" | "do" => rest,
                    "while" | "until" | "for" | "case" | "select" | "function" => {
                        blocks.push(Block { runs: Sure::Perhaps, taken: Sure::Perhaps });
                        match rest.split_once(" in ").filter(|_| first == "case") {
                            Some((_, branch)) => behind_pattern(branch),
                            None => continue,
                        }
                    }
                    "fi" | "done" | "esac" | "}" => {
                        blocks.pop();
                        continue;
                    }
                    _ if part.contains("()") => {
                        blocks.push(Block { runs: Sure::Perhaps, taken: Sure::Perhaps });
                        part.split_once('{').map_or_else(String::new, |(_, body)| body.to_owned())
                    }
                    "set" if rest.starts_with("-e") => {
                        errexit = true;
                        continue;
                    }
                    "{" => rest,
                    _ => behind_pattern(&part),
                };
                if statement.trim().is_empty() {
                    continue;
                }
                let around = blocks.iter().map(|block| block.runs).min().unwrap_or(Sure::Yes).min(alive);
                if around == Sure::No {
                    continue;
                }
                let before = out.exits.len();
                let holds = self.list(&statement, line.number, around, &mut out)?;
                let (sure, why) = (holds.not().min(around), out.why.take());
                let command = statement.trim().to_owned();
                out.failed = (holds != Sure::Yes).then_some(Done { line: line.number, command, sure, why });
                if errexit && !statement.contains("||") && !statement.contains("&&") {
                    out.exits.extend(out.failed.take().map(|done| (1, done)));
                }
                for (_, done) in out.exits.iter().skip(before) {
                    alive = alive.min(done.sure.not());
                }
                if alive == Sure::No {
                    out.failed = None;
                    return Ok(out);
                }
            }
        }
        Ok(out)
    }

    /// Runs commands that `&&` and `||` join; answers whether the last one succeeds.
    fn list(&self, text: &str, line: usize, around: Sure, out: &mut Outcome) -> Result<Sure> {
        let mut status = Sure::Yes;
        let mut runs = Sure::Yes;
        let mut rest = text.trim();
        loop {
            let cut = ["&&", "||"].iter().filter_map(|sign| Some((rest.find(sign)?, *sign))).min();
            let command = cut.map_or(rest, |(at, _)| rest.get(..at).unwrap_or_default());
            if runs != Sure::No {
                let found = self.command(command, line, around.min(runs), out)?;
                status = if runs == Sure::Yes { found } else { Sure::Perhaps };
            }
            let Some((at, sign)) = cut else { return Ok(status) };
            runs = if sign == "&&" { status } else { status.not() };
            rest = rest.get(at.saturating_add(2)..).unwrap_or_default();
        }
    }

    /// Runs one command; answers whether it succeeds.
    fn command(&self, text: &str, line: usize, sure: Sure, out: &mut Outcome) -> Result<Sure> {
        // What another command takes up says nothing of this one.
        let is_piped = text.contains('|');
        let is_waited_for = !text.trim_end().ends_with('&');
        let text = text.trim().trim_start_matches(['(', '{']).trim_end_matches([')', '&', ' ']);
        let text = text
            .replace("${IFACE}", self.card)
            .replace("$IFACE", self.card)
            .replace("${interface}", self.card)
            .replace("$interface", self.card);
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut words = words.as_slice();
        while let ["exec" | "sudo" | "nohup" | "command", more @ ..] = words {
            words = more;
        }
        let ([first, rest @ ..], negated) = (match words {
            ["!", more @ ..] => (more, true),
            words => (words, false),
        }) else {
            return Ok(Sure::Yes);
        };
        let name = first.rsplit('/').next().unwrap_or(first);
        let done = || Done { line, command: text.clone(), sure, why: None };
        let status = match name {
            "exit" | "return" => {
                // That of a variable is mostly that all is well.
                let code = rest.first().and_then(|word| word.parse::<u8>().ok()).unwrap_or(0);
                if name == "exit" {
                    out.exits.push((code, done()));
                }
                Sure::of(code == 0)
            }
            "false" => Sure::No,
            "true" | ":" | "echo" | "logger" | "printf" => Sure::Yes,
            "test" | "[" | "[[" => self.test(rest)?,
            _ if is_piped || ASKS.contains(&name) => Sure::Perhaps,
            _ => {
                let bare: Vec<&str> = rest.iter().map(|word| word.trim_matches(['"', '\''])).collect();
                if let Some(harm) = harm(name, &bare, self.card) {
                    out.harms.push((harm, done()));
                }
                out.why = self.cannot_start(first)?.or(self.lacks(&words_of(first, &bare))?);
                match out.why {
                    Some(_) => Sure::No,
                    None => self.script(first, &bare, sure, line, out)?,
                }
            }
        };
        Ok(match (is_waited_for, negated) {
            (false, _) => Sure::Yes,
            (true, true) => status.not(),
            (true, false) => status,
        })
    }

    /// Why a command fails that names a card, or a file to read, that is not there.
    fn lacks(&self, words: &[&str]) -> Result<Option<String>> {
        let is_of_ec2 = |name: &str| {
            name != self.card
                && name.trim_end_matches(|c: char| c.is_ascii_digit()).len() < name.len()
                && ["ens", "enp", "enX", "eth"].iter().any(|start| name.starts_with(start))
                && name.chars().all(|c| c.is_ascii_alphanumeric())
        };
        let named = match words {
            ["ip", rest @ ..] => {
                let set = rest.iter().skip_while(|word| **word != "set").nth(1);
                rest.windows(2).find(|pair| pair[0] == "dev").map(|pair| pair[1]).or(set.copied())
            }
            ["tc", rest @ ..] => rest.windows(2).find(|pair| pair[0] == "dev").map(|pair| pair[1]),
            ["ifconfig" | "ethtool", rest @ ..] => rest.iter().find(|word| !word.starts_with('-')).copied(),
            _ => None,
        };
        if let Some(name) = named.filter(|name| is_of_ec2(name)) {
            return Ok(Some(format!("there is no card {name} on the target")));
        }
        let read =
            words.iter().zip(words.iter().skip(1)).find(|(sign, _)| **sign == "<").map(|(_, path)| *path);
        let joined =
            words.iter().find_map(|word| word.strip_prefix('<').filter(|path| path.starts_with('/')));
        match read.or(joined) {
            Some(path) if self.is_there(path)? == Sure::No => Ok(Some(format!("{path} is not there"))),
            _ => Ok(None),
        }
    }

    /// Runs a script of one's own that a command is, or that a shell is told to run.
    fn script(&self, first: &str, rest: &[&str], sure: Sure, line: usize, out: &mut Outcome) -> Result<Sure> {
        let name = first.rsplit('/').next().unwrap_or(first);
        let path = match (SHELLS.contains(&name), rest) {
            (true, [path, ..]) if path.starts_with('/') => (*path).to_owned(),
            (true, _) => return Ok(Sure::Yes),
            (false, _) if first.starts_with('/') => first.to_owned(),
            (false, _) => format!("/usr/local/sbin/{first}"),
        };
        if self.depth >= DEPTH || is_of_package(self.view, &path)? {
            return Ok(Sure::Yes);
        }
        let Some(text) = of_shell(self.view, &path)? else { return Ok(Sure::Yes) };
        let text = rest.first().map_or_else(|| text.clone(), |word| text.replace("$1", word));
        let within = Shell { depth: self.depth.saturating_add(1), ..*self }.run(&text)?;
        let at =
            |done: &Done| Done { line, command: done.command.clone(), sure: done.sure.min(sure), why: None };
        out.harms.extend(within.harms.iter().map(|(harm, done)| (*harm, at(done))));
        let failure = within.failure();
        out.why = failure.map(|done| format!("{path} fails at line {}", done.line));
        Ok(failure.map_or(Sure::Yes, |done| done.sure.not()))
    }

    /// Why a program does not start, as far as it is named plainly.
    fn cannot_start(&self, first: &str) -> Result<Option<String>> {
        let is_plain = first.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c));
        if !is_plain || SHELL.contains(&first) {
            return Ok(None);
        }
        if first.starts_with('/') {
            return programs::cannot_start(self.view, first, None);
        }
        let mut is_there = programs::find(self.view, first)?.is_some();
        for dir in ["/usr/local/sbin", "/usr/local/bin"] {
            is_there = is_there || self.view.exists(&format!("{dir}/{first}"))?;
        }
        Ok((!is_there).then(|| format!("{first} is not installed")))
    }

    /// Whether a condition holds.
    fn test(&self, words: &[&str]) -> Result<Sure> {
        let words: Vec<&str> = words.iter().copied().filter(|word| !matches!(*word, "]" | "]]")).collect();
        let bare = |word: &str| word.trim_matches(['"', '\'']).to_owned();
        Ok(match words.as_slice() {
            ["!", rest @ ..] => self.test(rest)?.not(),
            [first, sign @ ("=" | "==" | "!="), second] => {
                let (first, second) = (bare(first), bare(second));
                if first.contains('$') || second.contains(['$', '*']) {
                    return Ok(Sure::Perhaps);
                }
                Sure::of((first == second) == (*sign != "!="))
            }
            ["-d" | "-e" | "-f" | "-x" | "-r" | "-s" | "-L" | "-h", path] => self.is_there(&bare(path))?,
            _ => Sure::Perhaps,
        })
    }

    /// Whether a file is there when the card comes up.
    fn is_there(&self, path: &str) -> Result<Sure> {
        const CARDS: &str = "/sys/class/net/";
        if path.contains(['$', '*', '`']) || !path.starts_with('/') {
            return Ok(Sure::Perhaps);
        }
        if let Some(rest) = path.strip_prefix(CARDS) {
            let name = rest.split('/').next().unwrap_or_default();
            let is_card = name == self.card || name == "lo";
            // What programs make is there, or is not; a name of a card of EC2 is not.
            let is_of_ec2 = ["ens", "enp", "enX"].iter().any(|start| name.starts_with(start));
            return Ok(match is_card {
                true if rest.contains('/') => Sure::Perhaps,
                true => Sure::Yes,
                false if is_of_ec2 => Sure::No,
                false => Sure::Perhaps,
            });
        }
        let is_made = ["/dev/", "/proc/", "/run/", "/sys/", "/tmp/", "/var/run/", "/var/lib/", "/var/lock/"];
        if is_made.iter().any(|dir| path.starts_with(dir)) {
            return Ok(Sure::Perhaps);
        }
        Ok(Sure::of(self.view.exists(path)?))
    }
}

/// The words of a command, the program by its name.
fn words_of<'a>(first: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let name = first.rsplit('/').next().unwrap_or(first);
    [name].into_iter().chain(rest.iter().copied()).collect()
}

/// The text of a script of a shell.
pub(super) fn of_shell(view: &dyn View, path: &str) -> Result<Option<String>> {
    let start = view.start(path, 128)?.unwrap_or_default();
    let start = String::from_utf8_lossy(&start);
    let is_shell = start.lines().next().and_then(|line| line.strip_prefix("#!")).is_some_and(|program| {
        program.split_whitespace().any(|word| SHELLS.contains(&word.rsplit('/').next().unwrap_or(word)))
    });
    if is_shell { view.text(path) } else { Ok(None) }
}

/// A branch of `case` without its pattern.
fn behind_pattern(text: &str) -> String {
    let text = text.trim_start();
    let pattern = text.split_once(')').filter(|(pattern, _)| {
        !pattern.contains(['(', '"', '$', ' ', '`']) || pattern.starts_with('(') && !pattern.contains(' ')
    });
    pattern.map_or(text, |(_, rest)| rest).to_owned()
}

/// A line's commands, which `;` ends; comments are left out.
fn statements(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quote = None;
    let mut before = ' ';
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let is_joined = |c: &char| matches!(c, '&' | '>');
        let is_end = match (quote, c) {
            (Some(end), c) if c == end => {
                quote = None;
                false
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                false
            }
            (None, '#') if before.is_whitespace() => break,
            (None, ';') => true,
            // Nobody waits for it.
            (None, '&') => !is_joined(&before) && !chars.peek().is_some_and(is_joined),
            _ => false,
        };
        before = c;
        if let Some(last) = out.last_mut().filter(|_| c != ';' || !is_end) {
            last.push(c);
        }
        if is_end {
            out.push(String::new());
        }
    }
    out.retain(|part| !part.trim().is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::testing::library;
    use crate::rules::testing::Bench;

    fn outcome(text: &str) -> String {
        let programs = ["cat", "curl", "ethtool", "ifconfig", "ifdown", "ip", "ping", "route", "sh", "tc"];
        let bench = programs.iter().fold(Bench::debian().file("/etc/there", ""), |bench, name| {
            bench.program(&format!("/sbin/{name}"), library(&[]))
        });
        let scripts =
            [("fails", "exit 1"), ("undoes", "ip link set $1 down"), ("itself", "/usr/local/bin/itself")];
        let bench = scripts.iter().fold(bench, |bench, (name, text)| {
            bench.program(&format!("/usr/local/bin/{name}"), format!("#!/bin/sh\n{text}\n"))
        });
        bench.program("/bin/sh", library(&[])).guest(|guest| {
            let out = Shell { view: guest.view, card: "eth0", depth: 0 }.run(text).unwrap();
            let failure = out.failure().map(|done| format!("fails {:?}", done.sure));
            let harms = out.harms.iter().map(|(harm, done)| format!("{harm:?} {:?}", done.sure));
            harms.chain(failure).collect::<Vec<_>>().join(", ")
        })
    }

    #[test]
    fn what_a_script_does_is_told() {
        for (text, what) in [
            ("exit 1", "fails Yes"),
            ("exit 0\nexit 1", ""),
            ("false", "fails Yes"),
            ("false\ntrue", ""),
            ("set -e\nfalse\ntrue", "fails Yes"),
            ("#!/bin/sh -e\nfalse || true", ""),
            ("[ -d /sys/module/ena ] || exit 1", "fails Perhaps"),
            ("[ -e /etc/none ] || exit 1", "fails Yes"),
            ("[ -e /etc/there ] || exit 1\n", ""),
            ("test -d /sys/class/net/ens5", "fails Yes"),
            ("[ \"$IFACE\" = lo ] && exit 0\ntrue", ""),
            ("[ \"$IFACE\" != \"eth0\" ] || exit 3", "fails Yes"),
            ("[ \"$IFACE\" = eth0 ] || exit 0\nip link set eth0 down", "Passing Yes"),
            ("[ \"$IFACE\" = wlan0 ] || exit 0\nip link set eth0 down", ""),
            ("if [ ! -d /sys/module/ena ]; then\n  exit 1\nfi", "fails Perhaps"),
            ("if [ -e /etc/there ]; then exit 0; else exit 1; fi", ""),
            ("if [ -e /etc/none ]; then exit 0; elif true; then exit 1; fi", "fails Yes"),
            ("f() {\n  exit 1\n}\ntrue", "fails Perhaps"),
            ("case $IFACE in\nlo) exit 0;;\nesac\ntrue", ""),
            ("case $IFACE in\n  eth*)\n    exit 2\n    ;;\nesac\ntrue", "fails Perhaps"),
            ("case $IFACE in lo) exit 1;; esac", "fails Perhaps"),
            ("f() { exit 1; }\ntrue", "fails Perhaps"),
            ("grep -q x /proc/cpuinfo && true", ""),
            ("exit $RET", ""),
            ("gone", "fails Yes"),
            ("gone &", ""),
            ("ip link set ens5 up", "fails Yes"),
            ("ip route add 10.0.0.0/8 dev eth1", "fails Yes"),
            ("ethtool -K eth1 gro off || true", ""),
            ("ip addr add 10.1.1.1/32 dev docker0", ""),
            ("cat < /etc/there", ""),
            ("cat </etc/none", "fails Yes"),
            ("/usr/local/bin/fails", "fails Yes"),
            ("sh /usr/local/bin/fails || true", ""),
            ("/usr/local/bin/undoes eth0", "Passing Yes"),
            ("[ -e /etc/none ] && /usr/local/bin/undoes eth0; true", ""),
            ("/usr/local/bin/itself", ""),
            ("gone >/dev/null 2>&1", "fails Yes"),
            ("gone & gone", "fails Yes"),
            ("/opt/gone eth0", "fails Yes"),
            ("ping -c1 10.0.0.1 || exit 1", "fails Perhaps"),
            ("# exit 1\necho exit 1", ""),
        ] {
            assert_eq!(outcome(text), what, "{text}");
        }
    }

    #[test]
    fn what_undoes_the_card_is_known() {
        for (text, what) in [
            ("ip link set eth0 down", "Passing Yes"),
            ("/sbin/ip link set dev $IFACE down", "Passing Yes"),
            ("ip link set eth0 up", ""),
            ("ip link set docker0 down", ""),
            ("ip addr flush dev eth0", "Passing Yes"),
            ("ip -6 addr flush dev eth0", ""),
            ("ip a f eth0", "Passing Yes"),
            ("ip addr add 10.1.1.1/32 dev eth0", ""),
            ("ip route del default", "Passing Yes"),
            ("ip route add 10.50.0.0/16 via 10.0.0.1 || true", ""),
            ("ip route add blackhole 10.0.0.0/8", ""),
            ("ip route add unreachable default", "Lasting Yes"),
            ("ip route add blackhole 128.0.0.0/1", "Lasting Yes"),
            ("tc qdisc add dev eth0 root netem loss 100%", "Lasting Yes"),
            ("tc qdisc add dev eth0 root netem delay 10ms loss 0.1%", ""),
            ("tc qdisc add dev eth1 root netem loss 100%", "fails Yes"),
            ("ip route flush cache", ""),
            ("ip rule add prio 100 unreachable", "Lasting Yes"),
            ("ip rule add from 10.0.0.0/8 table 100", ""),
            ("ifconfig eth0 0.0.0.0", "Passing Yes"),
            ("ifconfig eth0 mtu 1500", ""),
            ("ifdown eth0", "Lasting Yes"),
            ("/sbin/ethtool -K eth0 gro off || true", ""),
            ("route del default || true", "Passing Yes"),
            ("[ -e /etc/none ] && ifdown eth0; true", ""),
            ("if curl http://x; then ifdown eth0; fi", "Lasting Perhaps"),
        ] {
            assert_eq!(outcome(text), what, "{text}");
        }
    }
}
