//! Lines that the server does not start with: `sshd -t` says no (sshd_config(5)).

use super::super::login::Door;
use super::config::{Server, Settings};
use super::keywords::{ALGORITHMS, GLOBAL, IN_MATCH, LISTS, SWITCHES, TIMES, VALUES};
use super::methods;
use crate::Result;
use crate::text::sshd_config::Entry;

impl Server<'_> {
    /// Why the server refuses a line, with those before it.
    pub(super) fn refuses(&mut self, entry: &Entry<'_>, settings: &Settings) -> Result<Option<String>> {
        let Entry { keyword, arguments, .. } = entry;
        let is_global = GLOBAL.contains(&keyword.as_str());
        if !is_global && !IN_MATCH.contains(&keyword.as_str()) && !self.says(keyword)? {
            return Ok(Some(format!("it knows no {keyword}")));
        }
        // Older versions know no other quote than this, and take the other as a letter.
        let is_open = entry.open_quote == Some('"');
        if is_open || entry.open_quote.is_some() && self.says("invalid quotes")? {
            return Ok(Some("a quote is opened and not closed".into()));
        }
        if entry.conditional && is_global {
            return Ok(Some(format!("{keyword} is not allowed below Match")));
        }
        let Some(value) = arguments.first() else {
            let is_fine = LISTS.contains(&keyword.as_str()) || keyword == "match";
            return Ok((!is_fine).then(|| format!("{keyword} has no value")));
        };
        let is_switch = |word: &str| ["yes", "no"].iter().any(|known| word.eq_ignore_ascii_case(known));
        let is_fine = match keyword.as_str() {
            "port" => value.parse::<u16>().is_ok_and(|port| port > 0),
            "permitrootlogin" => {
                is_switch(value)
                    || ["prohibit-password", "without-password", "forced-commands-only"]
                        .iter()
                        .any(|known| value.eq_ignore_ascii_case(known))
            }
            switch if SWITCHES.contains(&switch) => is_switch(value),
            "maxauthtries" | "maxsessions" | "clientalivecountmax" | "x11displayoffset" => {
                value.parse::<i32>().is_ok()
            }
            time if TIMES.contains(&time) => is_time(value),
            "maxstartups" => {
                let parts: Vec<&str> = value.split(':').collect();
                matches!(parts.len(), 1 | 3) && parts.iter().all(|part| part.parse::<u32>().is_ok())
            }
            "authenticationmethods" => {
                let is_any = arguments.len() == 1 && value.eq_ignore_ascii_case("any");
                match arguments.iter().find(|list| !is_any && !is_list_of_methods(list)) {
                    Some(list) => return Ok(Some(format!("{keyword} cannot be {list}"))),
                    None => true,
                }
            }
            "subsystem" => {
                let is_second = !entry.conditional && settings.has_subsystem(value);
                // from then on it passes over the second
                let is_refused = is_second && self.version()?.is_none_or(|version| version < (9, 5));
                return Ok(is_refused.then(|| format!("{keyword} {value} stands before it already")));
            }
            list if ALGORITHMS.contains(&list) => return self.lacks_algorithm(list, value),
            word => match VALUES.iter().find(|(known, _)| *known == word) {
                Some((_, values)) => values.iter().any(|known| value.eq_ignore_ascii_case(known)),
                None => true,
            },
        };
        Ok((!is_fine).then(|| format!("{keyword} cannot be {value}")))
    }

    /// Why the server does not take a list of algorithms: it does not know one that is not taken away.
    fn lacks_algorithm(&mut self, keyword: &str, value: &str) -> Result<Option<String>> {
        if value.starts_with('-') {
            return Ok(None);
        }
        // The server reads no further than to an empty name.
        for name in value.trim_start_matches(['+', '^']).split(',').take_while(|name| !name.is_empty()) {
            let is_pattern = name.contains(['*', '?']);
            if name == "none" || !is_pattern && !self.says(name)? {
                return Ok(Some(format!("it knows no {name}, which {keyword} names")));
            }
        }
        Ok(None)
    }
}

/// Why the server does not start with what is for everybody, taken together.
pub(super) fn together(settings: &Settings) -> Option<Door> {
    let is_set =
        |keyword: &str| settings.of_all(keyword).filter(|line| !line.value().eq_ignore_ascii_case("none"));
    for (command, user) in [
        ("authorizedkeyscommand", "authorizedkeyscommanduser"),
        ("authorizedprincipalscommand", "authorizedprincipalscommanduser"),
    ] {
        let Some(line) = is_set(command) else { continue };
        if is_set(user).is_none() {
            let why = format!("sshd does not start with it: {command} stands without {user}");
            return Some(Door::stuck(&line.place, why));
        }
        if !line.value().starts_with('/') {
            let why = format!("sshd does not start with it: {command} is no path from the root");
            return Some(Door::stuck(&line.place, why));
        }
    }
    let line = settings.of_all("authenticationmethods")?;
    let can = |list: &String| list.split(',').all(|method| methods::is_on(settings, None, method));
    (!line.arguments.iter().any(can)).then(|| {
        let why =
            format!("sshd does not start with it: not all of {} is switched on", line.arguments.join(" "));
        Door::stuck(&line.place, why)
    })
}

/// Whether this is a time: "120", "2m", "1h30m".
fn is_time(value: &str) -> bool {
    let mut digits = 0_u32;
    for c in value.chars() {
        match c {
            '0'..='9' => digits = digits.saturating_add(1),
            's' | 'S' | 'm' | 'M' | 'h' | 'H' | 'd' | 'D' | 'w' | 'W' if digits > 0 => digits = 0,
            _ => return false,
        }
    }
    !value.is_empty()
}

/// Whether these are ways to log in, commas between.
fn is_list_of_methods(list: &str) -> bool {
    let mut names = list.split(',').map(|name| name.split(':').next().unwrap_or(name));
    names.all(|name| methods::ALL.iter().any(|(known, ..)| *known == name))
}

#[cfg(test)]
mod tests {
    use super::is_time;

    #[test]
    fn times_have_units() {
        for fine in ["0", "120", "2m", "1h30m", "1H30"] {
            assert!(is_time(fine), "{fine}");
        }
        for wrong in ["", "-5", "m", "1x", "none"] {
            assert!(!is_time(wrong), "{wrong}");
        }
    }
}
