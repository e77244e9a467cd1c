//! The server's command line, as its unit and the files that this reads have it (sshd(8)).

use super::super::login::Door;
use crate::systemd::Unit;
use crate::systemd::needs::{base, directives, is_yes, program};
use crate::text::shell_assign;
use crate::{Result, View};

/// Options by which it serves as without them.
const UNDERSTOOD: &[&str] = &["-D", "-e", "-q", "-i", "-4", "-u0", "-u", "0"];

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
            for word in line.value.split_whitespace().skip(1) {
                let (place, value) = match word.strip_prefix('$') {
                    None => (line.file.clone(), word.to_owned()),
                    Some(name) => {
                        let name = name.trim_matches(['{', '}']);
                        let mut found = (line.file.clone(), String::new());
                        for line in &all {
                            let (file, text) = match line.key.as_str() {
                                "Environment" => (line.file.as_str(), line.value.replace(['"', '\''], "")),
                                "EnvironmentFile" => {
                                    let file = line.value.trim_start_matches('-');
                                    (file, view.text(file)?.unwrap_or_default())
                                }
                                _ => continue,
                            };
                            if let Some(value) = shell_assign::get(&text, name) {
                                found = (file.to_owned(), value.to_owned());
                            }
                        }
                        found
                    }
                };
                let mut words = value.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
                let is_policy = |word: &str| word.starts_with("-oCiphers=") || word.starts_with("-oMACs=");
                if let Some(option) = words.find(|word| !UNDERSTOOD.contains(word) && !word.is_empty())
                    && !is_policy(option)
                {
                    let why =
                        format!("nobody can tell whether sshd works with this on its command line: {option}");
                    return Ok(Some(Door::Unsure { place, why }));
                }
            }
        }
    }
    Ok(None)
}
