//! Who can log in: accounts with a shell that starts.

use super::{Hop, HopKind};
use crate::programs::cannot_start;
use crate::{Result, View};

const KIND: HopKind = HopKind::Login;
const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
/// Programs in the place of a shell that let nobody do anything.
const NO_SHELLS: &[&str] = &["false", "nologin", "sync", "halt", "shutdown", "true"];
/// The most shells that are looked at.
const SHELLS: usize = 32;

/// The accounts of a system.
pub(super) struct Accounts {
    /// Name and main group of those that have a shell.
    people: Vec<(String, String)>,
    names: Vec<String>,
}

impl Accounts {
    /// Reads them; the hop is where nobody can log in.
    pub(super) fn read(view: &dyn View, arch: Option<&str>) -> Result<std::result::Result<Self, Hop>> {
        let blocked = |place: &str, why: String| Ok(Err(Hop::blocked(KIND, place, "no accounts", why)));
        let text = view.text(PASSWD)?.unwrap_or_default();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(':').collect()).collect();
        let lines: Vec<&Vec<&str>> = lines.iter().filter(|fields| fields.len() >= 7).collect();
        if lines.is_empty() {
            return blocked(PASSWD, "there is no account in it".into());
        }
        let shadowed = lines.iter().any(|fields| fields.get(1) == Some(&"x"));
        if shadowed && view.text(SHADOW)?.is_none_or(|text| text.trim().is_empty()) {
            return blocked(SHADOW, "it has no line for any account, so nobody's password is known".into());
        }
        let names = lines.iter().filter_map(|fields| fields.first()).map(|name| (*name).to_owned()).collect();
        let mut people = Vec::new();
        let mut known: Vec<(String, Option<String>)> = Vec::new();
        for fields in lines {
            let (name, shell) = (fields.first().copied().unwrap_or_default(), fields.get(6).copied());
            let shell = shell.map(str::trim).filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh");
            if NO_SHELLS.contains(&shell.rsplit('/').next().unwrap_or(shell)) {
                continue;
            }
            if !known.iter().any(|(path, _)| path == shell) && known.len() < SHELLS {
                known.push((shell.to_owned(), cannot_start(view, shell, arch)?));
            }
            match known.iter().find(|(path, _)| path == shell) {
                Some((_, Some(why))) if name == "root" => {
                    return blocked(PASSWD, format!("root's shell cannot be started: {why}"));
                }
                Some((_, None)) => {
                    let group = fields.get(3).copied().unwrap_or_default();
                    people.push((name.to_owned(), group.to_owned()));
                }
                _ => {}
            }
        }
        if people.is_empty() {
            let why = known.into_iter().find_map(|(_, why)| why);
            let why = why.map_or_else(
                || "no account has a shell".to_owned(),
                |why| format!("no account has a shell that can be started: {why}"),
            );
            return blocked(PASSWD, why);
        }
        Ok(Ok(Self { people, names }))
    }

    /// Whether there is nobody but root.
    pub(super) fn only_root(&self) -> bool {
        self.people.iter().all(|(name, _)| name == "root")
    }

    /// Name and main group of all who have a shell.
    pub(super) fn people(&self) -> impl Iterator<Item = (&str, &str)> {
        self.people.iter().map(|(name, group)| (name.as_str(), group.as_str()))
    }

    /// Whether there is an account of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::debian;
    use super::*;
    use crate::bootwalk::Outcome;
    use crate::elf::testing::library;
    use crate::rules::testing::Bench;

    fn wrong(bench: &Bench) -> Option<String> {
        bench.guest(|guest| match Accounts::read(guest.view, None).unwrap() {
            Ok(_) => None,
            Err(Hop { outcome: Outcome::Blocked { why }, .. }) => Some(why),
            Err(hop) => panic!("{hop:?}"),
        })
    }

    #[test]
    fn somebody_has_a_shell_that_starts() {
        assert_eq!(wrong(&debian()), None);
        let with = |text: &str| debian().file(PASSWD, text);
        let users = "root:x:0:0::/root:/usr/sbin/nologin\nadmin:x:1000:1000::/home/admin:\n";
        assert_eq!(wrong(&with(users).program("/bin/sh", library(&[]))), None, "no shell is /bin/sh");
        for (bench, why) in [
            (with(users), "no account has a shell that can be started: /bin/sh is not there"),
            (debian().without("/bin/bash"), "root's shell cannot be started: /bin/bash is not there"),
            (debian().program("/bin/bash", ""), "root's shell cannot be started: /bin/bash is empty"),
            (with("root:x:0:0::/root:/bin/false\n"), "no account has a shell"),
            (with("root:x:0\n"), "there is no account in it"),
            (debian().without(SHADOW), "it has no line for any account"),
            (debian().file(SHADOW, ""), "it has no line for any account"),
        ] {
            let found = wrong(&bench);
            assert!(found.as_ref().is_some_and(|found| found.starts_with(why)), "{why}: {found:?}");
        }
    }
}
