//! Units that a start comes to: by links, by the command line, by lines of the administrator's, and by timers of
//! theirs, soon or later (systemd.unit(5), systemd.timer(5)).

use std::collections::BTreeSet;

use super::needs::{Directive, directives, is_packaged};
use super::{Pulled, Unit, drop_ins, is_end, started_by_links};
use crate::text::cmdline;
use crate::{Result, View};

/// What the logins come after, beside the doors.
pub(crate) const GATES: &[&str] = &[
    "basic.target",
    "getty.target",
    "local-fs.target",
    "local-fs-pre.target",
    "network-pre.target",
    "network.target",
    "sockets.target",
    "sysinit.target",
    "systemd-udevd.service",
    "systemd-user-sessions.service",
];
/// What the system starts into.
const DEFAULTS: &[&str] = &["default.target", "graphical.target", "multi-user.target", "timers.target"];
/// By these the configuration of distributions starts the server for ssh.
pub(crate) const DOORS: &[&str] = &["ssh.service", "sshd.service", "ssh.socket", "sshd.socket"];

/// By these a unit starts others.
const PULLS: &[&str] = &["Requires", "Requisite", "Wants", "BindsTo", "Upholds"];
/// As many units are looked at.
const UNITS: usize = 4096;

/// A unit that is started.
pub(crate) struct Started {
    pub(crate) pulled: Pulled,
    /// The administrator's file, or the packaged one that a drop-in of theirs changes; links are resolved.
    pub(crate) own: Option<String>,
    /// Whether only a timer comes to it, at some other time than soon after the start.
    pub(crate) is_late: bool,
}

/// All of them; `line` is the command line.
pub(crate) fn all(view: &dyn View, line: &str) -> Result<Vec<Started>> {
    let mut soon = started_by_links(view)?;
    let by_line = cmdline::values(line, "systemd.wants").into_iter();
    soon.extend(by_line.map(|name| Pulled::by(name, "the command line")));
    for root in GATES.iter().chain(DEFAULTS).chain(DOORS) {
        soon.extend(own_pulls(view, root)?);
    }
    let (mut late, mut known, mut out) = (Vec::new(), BTreeSet::new(), Vec::new());
    loop {
        let (pulled, is_late) = match soon.pop() {
            Some(pulled) => (pulled, false),
            None => match late.pop() {
                Some(pulled) => (pulled, true),
                None => return Ok(out),
            },
        };
        let name = pulled.name.clone();
        if !known.insert(name.clone()) || known.len() > UNITS {
            continue;
        }
        let own = if is_end(&name) { None } else { own_file(view, &name)? };
        if let Some(path) = &own {
            let queue = if is_late { &mut late } else { &mut soon };
            queue.extend(own_pulls(view, &name)?);
            if let Some((unit, is_soon)) = timed(view, &name, path)? {
                let queue = if is_soon && !is_late { &mut soon } else { &mut late };
                queue.push(Pulled::by(&unit, &name));
            }
        }
        out.push(Started { pulled, own, is_late });
    }
}

/// The file of a unit that the administrator has written, or has changed by a drop-in.
fn own_file(view: &dyn View, name: &str) -> Result<Option<String>> {
    let Unit::There { path, .. } = Unit::find(view, name)? else { return Ok(None) };
    let own = view.resolve(&path)?.unwrap_or(path);
    let is_packaged = is_packaged(&own) && drop_ins(view, name)?.iter().all(|file| is_packaged(file));
    Ok((!is_packaged).then_some(own))
}

/// What the administrator's lines of a unit start.
fn own_pulls(view: &dyn View, unit: &str) -> Result<Vec<Pulled>> {
    let Unit::There { name, path } = Unit::find(view, unit)? else { return Ok(Vec::new()) };
    let all = directives(view, &name, &path)?;
    let lines = all.iter().filter(|line| line.is_own && PULLS.contains(&line.key.as_str()));
    let names = lines.flat_map(|line| line.value.split_whitespace());
    Ok(names.map(|other| Pulled::by(other, &name)).collect())
}

/// The unit that a timer starts, and whether it goes off by itself soon after the start.
fn timed(view: &dyn View, name: &str, path: &str) -> Result<Option<(String, bool)>> {
    let Some(stem) = name.strip_suffix(".timer") else { return Ok(None) };
    let all = directives(view, name, path)?;
    let is_soon = |line: &Directive| {
        let after_start = ["OnActiveSec", "OnBootSec", "OnStartupSec"].contains(&line.key.as_str());
        let unit = line.value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
        after_start
            && matches!(unit, "" | "s" | "sec" | "second" | "seconds" | "m" | "min" | "minute" | "minutes")
    };
    let unit = all.iter().find(|line| line.key == "Unit").map(|line| line.value.clone());
    let unit = unit.unwrap_or_else(|| format!("{stem}.service"));
    Ok(Some((unit, all.iter().any(is_soon))))
}
