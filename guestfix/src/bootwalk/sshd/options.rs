//! The server's command line, as its unit and the files that this reads have it (sshd(8)).

use super::super::login::Door;
use crate::systemd::Unit;
use crate::systemd::needs::{Directive, base, directives, is_yes, program};
use crate::text::shell_assign;
use crate::{Result, View};

/// Options by which it serves as without them.
const UNDERSTOOD: &[&str] = &["-D", "-e", "-q", "-i", "-4", "-u0", "-u", "0", "-p22"];
/// Keywords, behind -o, of which no value keeps anybody out; algorithms are those of a policy of the system.
const HARMLESS: &[&str] = &[
    "ciphers",
    "clientalivecountmax",
    "clientaliveinterval",
    "compression",
    "loglevel",
    "macs",
    "printlastlog",
    "printmotd",
    "syslogfacility",
    "tcpkeepalive",
    "usedns",
    "versionaddendum",
    "x11forwarding",
];

fn is_harmless(setting: &str) -> bool {
    setting
        .split_once('=')
        .is_some_and(|(keyword, _)| HARMLESS.contains(&keyword.to_ascii_lowercase().as_str()))
}

/// The service that a socket starts for a connection; a service is that itself.
pub(super) fn served(view: &dyn View, unit: &str) -> Result<String> {
    let Some(stem) = unit.strip_suffix(".socket") else { return Ok(unit.to_owned()) };
    let Unit::There { name, path } = Unit::find(view, unit)? else { return Ok(format!("{stem}.service")) };
    let all = directives(view, &name, &path)?;
    let last = |key: &str| all.iter().rfind(|line| line.key == key).map(|line| line.value.as_str());
    let for_each = last("Accept").is_some_and(is_yes);
    Ok(match last("Service") {
        Some(service) => service.to_owned(),
        None if for_each => format!("{stem}@0.service"),
        None => format!("{stem}.service"),
    })
}

/// An option that is not understood.
pub(super) fn doubtful(view: &dyn View, unit: &str) -> Result<Option<Door>> {
    if let Unit::There { name, path } = Unit::find(view, unit)? {
        let all = directives(view, &name, &path)?;
        for line in all.iter().filter(|line| line.key == "ExecStart" && base(program(&line.value)) == "sshd")
        {
            let mut words = Vec::new();
            for word in line.value.split_whitespace().skip(1) {
                let (place, value) = match word.strip_prefix('$') {
                    None => (line.file.clone(), word.to_owned()),
                    Some(name) => variable(view, &all, name.trim_matches(['{', '}']))?
                        .unwrap_or_else(|| (line.file.clone(), String::new())),
                };
                let each = value.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned());
                words.extend(each.map(|word| (place.clone(), word)));
            }
            let mut words = words.into_iter();
            while let Some((place, option)) = words.next() {
                let mut value = || words.next().map(|(_, value)| value).unwrap_or_default();
                let is_understood = match option.as_str() {
                    "" => true,
                    "-o" => is_harmless(&value()),
                    "-p" => value() == "22",
                    other => UNDERSTOOD.contains(&other) || other.strip_prefix("-o").is_some_and(is_harmless),
                };
                if !is_understood {
                    let why =
                        format!("nobody can tell whether sshd works with this on its command line: {option}");
                    return Ok(Some(Door::Unsure { place, why }));
                }
            }
        }
    }
    Ok(None)
}

/// The value of a variable of a unit, and where it was found: the last one counts.
fn variable(view: &dyn View, all: &[Directive], name: &str) -> Result<Option<(String, String)>> {
    let mut found = None;
    for line in all {
        let (file, text) = match line.key.as_str() {
            "Environment" => (line.file.as_str(), line.value.replace(['"', '\''], "")),
            "EnvironmentFile" => {
                let file = line.value.trim_start_matches('-');
                (file, view.text(file)?.unwrap_or_default())
            }
            _ => continue,
        };
        if let Some(value) = shell_assign::get(&text, name) {
            found = Some((file.to_owned(), value.to_owned()));
        }
    }
    Ok(found)
}
