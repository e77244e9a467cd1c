//! `Match` lines: for whom the lines below one hold (sshd_config(5), "Match").

use std::rc::Rc;

use crate::glob;

/// What a line may ask for.
const KNOWN: &[&str] =
    &["address", "group", "host", "invalid-user", "localaddress", "localport", "rdomain", "user", "version"];

/// Who connects, as far as lines may ask.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) user: &'a str,
    pub(super) groups: &'a [String],
    /// Whether it comes from an address that a line asks for, or to one.
    pub(super) is_named: bool,
}

/// For whom lines hold.
#[derive(Debug, Default)]
pub(super) struct Criteria {
    asked: Vec<(String, String)>,
    /// The file that has the lines is included below these.
    outer: Option<Rc<Criteria>>,
}

impl Criteria {
    /// Reads what is behind `Match`, or says why the server refuses it. `all` asks for nothing.
    pub(super) fn parse(words: &[&str], outer: Option<Rc<Self>>) -> Result<Self, String> {
        let words: Vec<&str> = words.iter().flat_map(|word| word.splitn(2, '=')).collect();
        if words.first().is_some_and(|word| word.eq_ignore_ascii_case("all")) {
            return match words.len() {
                1 => Ok(Self { asked: Vec::new(), outer }),
                _ => Err("Match all stands with nothing else".into()),
            };
        }
        let mut asked = Vec::new();
        let mut words = words.into_iter();
        while let Some(name) = words.next() {
            let name = name.to_ascii_lowercase();
            if !KNOWN.contains(&name.as_str()) {
                return Err(format!("Match knows no {name}"));
            }
            if name == "invalid-user" {
                asked.push((name, String::new()));
                continue;
            }
            let Some(value) = words.next().filter(|value| !value.is_empty()) else {
                return Err(format!("Match {name} has no value"));
            };
            let is_wrong = match name.as_str() {
                "address" | "localaddress" => value.split(',').any(is_wrong_net),
                "localport" => !value.parse::<u16>().is_ok_and(|port| port > 0),
                _ => false,
            };
            if is_wrong {
                return Err(format!("Match {name} cannot be {value}"));
            }
            asked.push((name, value.to_owned()));
        }
        match asked.is_empty() {
            true => Err("Match asks for nothing".into()),
            false => Ok(Self { asked, outer }),
        }
    }

    /// Whether they ask where a client comes from.
    pub(super) fn asks_for_addresses(&self) -> bool {
        let mut asked = self.asked.iter().map(|(name, _)| name.as_str());
        asked.any(|name| !matches!(name, "user" | "group" | "invalid-user"))
            || self.outer.as_ref().is_some_and(|outer| outer.asks_for_addresses())
    }

    /// Whether they hold for this client.
    pub(super) fn hold(&self, client: Client<'_>) -> bool {
        let asked = self.asked.iter().all(|(name, value)| match name.as_str() {
            "user" => is_in(value, client.user),
            "group" => {
                let negated = value.split(',').filter_map(|one| one.strip_prefix('!'));
                let mut denied =
                    negated.filter(|one| client.groups.iter().any(|group| glob::matches(one, group)));
                denied.next().is_none() && client.groups.iter().any(|group| is_in(value, group))
            }
            "invalid-user" => false,
            _ => client.is_named,
        });
        asked && self.outer.as_ref().is_none_or(|outer| outer.hold(client))
    }
}

/// Whether a name fits a list of patterns: none with `!`, and one of the others (ssh_config(5), "PATTERNS").
fn is_in(list: &str, name: &str) -> bool {
    let (denied, named): (Vec<&str>, Vec<&str>) = list.split(',').partition(|one| one.starts_with('!'));
    !denied.iter().any(|one| glob::matches(one.trim_start_matches('!'), name))
        && named.iter().any(|one| glob::matches(one, name))
}

/// Whether the server refuses a net: its length is none, or its address has bits behind it.
fn is_wrong_net(pattern: &str) -> bool {
    let Some((address, length)) = pattern.trim_start_matches('!').split_once('/') else { return false };
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let (bits, most) = match address {
        std::net::IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        std::net::IpAddr::V6(address) => (u128::from(address), 128),
    };
    match length.parse::<u32>() {
        Ok(length) if length <= most => bits.checked_shl(length).unwrap_or(0) != 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Criteria, String> {
        Criteria::parse(&line.split_whitespace().collect::<Vec<_>>(), None)
    }

    #[test]
    fn what_the_server_refuses_is_refused() {
        for fine in
            ["all", "User a", "user=a", "Group !x,y User b", "Address 10.0.0.0/8,!10.1.2.3", "Host *.x"]
        {
            assert!(parse(fine).is_ok(), "{fine}");
        }
        for wrong in [
            "",
            "Exec true",
            "User",
            "Address 10.0.0.0/8 User",
            "all User a",
            "Address 10.0.0.1/8",
            "LocalPort x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn criteria_hold_for_whom_they_name() {
        let groups = ["ops".to_owned(), "users".to_owned()];
        let hold = |line: &str, is_named: bool| {
            parse(line).unwrap().hold(Client { user: "bob", groups: &groups, is_named })
        };
        for (line, holds) in [
            ("all", true),
            ("User alice,b*", true),
            ("User *,!bob", false),
            ("Group ops", true),
            ("Group admins", false),
            ("Group *,!ops", false),
            ("Address 10.0.0.0/8", false),
            ("User bob Group ops", true),
            ("User bob Address 10.0.0.0/8", false),
        ] {
            assert_eq!(hold(line, false), holds, "{line}");
        }
        assert!(hold("User bob Address 10.0.0.0/8", true));
    }
}
