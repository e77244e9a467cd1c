//! What a command runs: itself, or the lines of the script of a shell that it is; whether it ends the system, or
//! waits for something in a loop.

use std::collections::BTreeSet;

use crate::programs::SHELLS;
use crate::systemd::is_end;
use crate::systemd::needs::{base, program};
use crate::{Result, View};

/// Words of systemctl that end the system, or leave it without logins.
const VERBS: &[&str] = &[
    "emergency",
    "exit",
    "halt",
    "hibernate",
    "kexec",
    "poweroff",
    "reboot",
    "rescue",
    "soft-reboot",
    "suspend",
];
/// The most of a script that is read, in bytes.
const SCRIPT: usize = 64 << 10;
/// The most scripts that scripts run, and the most lines of each that are looked at for that.
const INNER: usize = 32;
const LINES: usize = 4096;

/// A script, a command a line.
pub(crate) struct Script(String);

impl Script {
    /// What a command runs: itself, or the lines of the script of a shell that it is.
    pub(crate) fn of(view: &dyn View, command: &str) -> Result<Self> {
        let first = program(command);
        let rest = command.split_once(first).map_or("", |(_, rest)| rest.trim_start_matches(['"', '\'']));
        if SHELLS.contains(&base(first)) {
            let mut words = rest.split_whitespace();
            if let Some((_, inner)) = rest.split_once("c ").filter(|(flags, _)| is_flags(flags)) {
                let inner = inner.trim().trim_matches(['"', '\'']);
                return Ok(Self(inner.replace(';', "\n")));
            }
            let file = words.find(|word| !word.starts_with('-')).unwrap_or_default();
            return Ok(Self(Self::read(view, file)?.unwrap_or_default()));
        }
        let is_path = first.starts_with('/')
            && !["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"].iter().any(|dir| first.starts_with(dir));
        let text = if is_path { Self::read(view, first)? } else { None };
        Ok(Self(text.unwrap_or_else(|| format!("{first} {}", rest.trim()))))
    }

    /// What a line runs that a shell is given: commands of its own, or a script.
    pub(crate) fn of_line(view: &dyn View, line: &str) -> Result<Self> {
        if line.contains([';', '&', '|']) { Ok(Self::of_text(line)) } else { Self::of(view, line) }
    }

    /// The lines of a file that a shell reads.
    pub(crate) fn of_text(text: &str) -> Self {
        Self(text.replace(';', "\n"))
    }

    /// Its text, a command a line.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The scripts that its lines run, and those that these run.
    pub(crate) fn inner(&self, view: &dyn View) -> Result<Vec<Self>> {
        let mut out: Vec<Self> = Vec::new();
        let mut known = BTreeSet::new();
        let mut at = 0_usize;
        let mut current = Some(self.0.clone());
        while let Some(text) = current {
            for line in text.lines().map(str::trim).take(LINES) {
                let line = line.trim_start_matches(". ").trim_start_matches("source ");
                let first = base(line.split_whitespace().next().unwrap_or_default());
                // What older inits start by itself is looked at where that is.
                let is_service = line.starts_with("/etc/init.d/");
                let runs_more =
                    line.starts_with('/') && !is_service || SHELLS.contains(&first) && line.contains(" /");
                if !runs_more || out.len() >= INNER || !known.insert(line.to_owned()) {
                    continue;
                }
                let script = Self::of(view, line)?;
                out.extend(script.0.contains('\n').then_some(script));
            }
            current = out.get(at).map(|script| script.0.clone());
            at = at.saturating_add(1);
        }
        Ok(out)
    }

    /// The text of a script of a shell.
    fn read(view: &dyn View, path: &str) -> Result<Option<String>> {
        let start = view.start(path, SCRIPT)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&start).into_owned();
        let runs = text.lines().next().and_then(|line| line.strip_prefix("#!")).unwrap_or_default();
        let is_shell = runs.split_whitespace().any(|word| SHELLS.contains(&base(word)));
        Ok(is_shell.then(|| text.replace(';', "\n")))
    }

    /// Its lines that say something, without the texts that it hands on as they are (`<<EOF`).
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        let all: Vec<&str> = self.0.lines().map(str::trim).collect();
        let mut out = Vec::new();
        let mut at = 0_usize;
        while let Some(line) = all.get(at) {
            at = at.saturating_add(1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            out.push(*line);
            let rest = all.get(at..).unwrap_or_default();
            if let Some(end) = handed_on(line).and_then(|end| rest.iter().position(|line| *line == end)) {
                at = at.saturating_add(end).saturating_add(1);
            }
        }
        out.into_iter()
    }

    /// Its commands, each with how deep it is within conditions, loops and functions.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut depth = 0_usize;
        self.lines().map(move |line| {
            let first = line.split_whitespace().next().unwrap_or_default();
            if matches!(first, "fi" | "done" | "esac" | "}") {
                depth = depth.saturating_sub(1);
            }
            let at = depth;
            if matches!(first, "if" | "for" | "while" | "until" | "case" | "select") || line.ends_with('{') {
                depth = depth.saturating_add(1);
            }
            let words = ["then ", "else ", "do "];
            let command = words.iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line);
            (at, command.trim_start())
        })
    }

    /// Whether it surely comes to its end without anything done but to speak.
    pub(crate) fn does_nothing(&self) -> bool {
        for (depth, command) in self.commands() {
            match command.split_whitespace().next().unwrap_or_default() {
                "exit" if depth == 0 => return true,
                ":" | "echo" | "exit" | "logger" | "true" | "set"
                    if !command.contains(['>', '|', '&', '`', '(']) => {}
                _ => return false,
            }
        }
        true
    }

    /// Whether it waits in a loop that nothing bounds, or sleeps.
    pub(crate) fn waits(&self) -> bool {
        let mut is_open = false;
        for (_, command) in self.commands() {
            let words: Vec<&str> = command.split_whitespace().collect();
            let first = words.first().copied().unwrap_or_default();
            let bounds = ["-lt", "-le", "-gt", "-ge", "-ne", "-eq", "read"];
            let is_bounded = bounds.iter().any(|word| words.contains(word)) || command.contains("((");
            match first {
                "while" | "until" => is_open = !is_bounded,
                "done" => is_open = false,
                _ => {}
            }
            if is_open && words.iter().any(|word| base(word) == "sleep") {
                return true;
            }
            let time = words.get(1).copied().unwrap_or_default();
            let is_long = |time: &str| {
                time == "infinity"
                    || time.trim_end_matches('s').parse::<u64>().is_ok_and(|seconds| seconds > 600)
                    || time.ends_with(['h', 'd'])
            };
            if base(first) == "sleep" && is_long(time) {
                return true;
            }
        }
        false
    }
}

/// The line at which a text ends that begins below this one.
fn handed_on(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("<<")?;
    let word = rest.trim_start_matches('-').split_whitespace().next()?.trim_matches(['"', '\'', '\\']);
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_').then_some(word)
}

/// Whether these are options of a shell: "-e", "-e -".
fn is_flags(text: &str) -> bool {
    text.split_whitespace().all(|word| word.starts_with('-'))
}

/// Whether a command ends the system.
pub(crate) fn ends(words: &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    let first = base(first.trim_start_matches(['-', '@', '+', '!', ':']));
    let mut plain = rest.iter().copied().filter(|word| !word.starts_with('-'));
    match first {
        "poweroff" | "reboot" | "halt" => {
            !rest.iter().any(|word| matches!(*word, "-w" | "--wtmp-only" | "--help"))
        }
        "kexec" => rest.iter().any(|word| matches!(*word, "-e" | "--exec")),
        "shutdown" => !rest.iter().any(|word| matches!(*word, "-c" | "-k" | "--show")),
        "init" | "telinit" => matches!(plain.next(), Some("0" | "1" | "6" | "s" | "S")),
        "systemctl" => match plain.next() {
            Some("start" | "isolate") => plain.any(is_end),
            Some(verb) => VERBS.contains(&verb),
            None => false,
        },
        "exec" | "sudo" | "nohup" => ends(rest),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Script;

    fn script(text: &str) -> Script {
        Script(text.replace(';', "\n"))
    }

    #[test]
    fn a_script_waits_in_a_loop_without_bounds() {
        for text in [
            "until curl -s http://169.254.169.254/; do sleep 1; done",
            "while ! ping -c1 10.0.0.2; do\n  sleep 2\ndone",
            "while true; do\n curl x && break\n sleep 5\ndone",
            "sleep infinity",
            "/bin/sleep 1d",
        ] {
            assert!(script(text).waits(), "{text}");
        }
        for text in [
            "for i in 1 2 3; do sleep 1; done",
            "while [ $i -lt 30 ]; do\n sleep 1\ndone",
            "while read line; do\n sleep 1\ndone",
            "sleep 5",
            "while shift; do\n echo\ndone\nsleep 1",
        ] {
            assert!(!script(text).waits(), "{text}");
        }
    }
}
