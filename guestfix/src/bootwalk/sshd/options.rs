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
    "allowagentforwarding",
    "allowtcpforwarding",
    "clientalivecountmax",
    "clientaliveinterval",
    "compression",
    "loglevel",
    "macs",
    "pidfile",
    "printlastlog",
    "printmotd",
    "syslogfacility",
    "tcpkeepalive",
    "usedns",
    "versionaddendum",
    "x11forwarding",
];

/// Whether a setting, as a line of the configuration or with "=" between, keeps nobody out.
fn is_harmless(setting: &str) -> bool {
    let Some((keyword, value)) = setting.trim().split_once(['=', ' ']) else { return false };
    let value = value.trim_start_matches(['=', ' ']);
    let number = |part: &str| part.parse::<u32>().ok();
    match keyword.to_ascii_lowercase().as_str() {
        "port" => value == "22",
        // how many may be there that have not logged in yet
        "maxstartups" => {
            let parts: Vec<&str> = value.split(':').collect();
            matches!(parts.len(), 1 | 3) && parts.iter().all(|part| number(part).is_some_and(|n| n > 0))
        }
        "maxsessions" | "maxauthtries" | "logingracetime" => {
            number(value.trim_end_matches('s')).is_some_and(|number| number >= 3)
        }
        keyword => HARMLESS.contains(&keyword),
    }
}

/// The words of a command line; quotes hold them together.
fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let (mut quote, mut is_open) = (None, false);
    for c in text.chars() {
        let is_blank = quote.is_none() && c.is_whitespace();
        if !is_blank && !is_open {
            out.push(String::new());
        }
        is_open = !is_blank;
        match quote {
            Some(end) if c == end => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if is_blank => {}
            _ => out.iter_mut().next_back().into_iter().for_each(|word| word.push(c)),
        }
    }
    out
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

/// An option that is not understood; `config` is the file that is read where none is named.
pub(super) fn doubtful(view: &dyn View, unit: &str, config: Option<&str>) -> Result<Option<Door>> {
    if let Unit::There { name, path } = Unit::find(view, unit)? {
        let all = directives(view, &name, &path)?;
        for line in all.iter().filter(|line| line.key == "ExecStart" && base(program(&line.value)) == "sshd")
        {
            let mut given = Vec::new();
            for word in words(&line.value).into_iter().skip(1) {
                let Some(name) = word.strip_prefix('$') else {
                    given.push((line.file.clone(), word));
                    continue;
                };
                let found = variable(view, &all, name.trim_matches(['{', '}']))?;
                let (place, value) = found.unwrap_or_else(|| (line.file.clone(), String::new()));
                given.extend(words(&value).into_iter().map(|word| (place.clone(), word)));
            }
            let mut given = given.into_iter();
            while let Some((place, option)) = given.next() {
                let mut value = || given.next().map(|(_, value)| value).unwrap_or_default();
                let is_understood = match option.as_str() {
                    "" => true,
                    "-o" => is_harmless(&value()),
                    "-p" => value() == "22",
                    "-f" => config.is_some_and(|config| config == value()),
                    // It is made, in a folder that is there.
                    "-E" => value().rsplit_once('/').is_some_and(|(folder, _)| is_folder(view, folder)),
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

fn is_folder(view: &dyn View, path: &str) -> bool {
    path.starts_with("/run/") || path.starts_with('/') && view.exists(path).unwrap_or(false)
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
