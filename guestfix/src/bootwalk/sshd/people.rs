//! Whom the server lets in: `AllowUsers`, `DenyUsers` and their like (sshd_config(5)).

use super::super::accounts::Accounts;
use super::super::login::Door;
use crate::{Result, View, glob};

const GROUP: &str = "/etc/group";
const NSSWITCH: &str = "/etc/nsswitch.conf";

/// The four lists, each with its patterns from all lines.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) allow_users: Vec<String>,
    pub(super) deny_users: Vec<String>,
    pub(super) allow_groups: Vec<String>,
    pub(super) deny_groups: Vec<String>,
    /// The last line of them.
    pub(super) place: Option<String>,
}

impl Lists {
    pub(super) fn add(&mut self, keyword: &str, place: &str, patterns: &[&str]) {
        let list = match keyword {
            "allowusers" => &mut self.allow_users,
            "denyusers" => &mut self.deny_users,
            "allowgroups" => &mut self.allow_groups,
            "denygroups" => &mut self.deny_groups,
            _ => return,
        };
        list.extend(patterns.iter().map(|pattern| (*pattern).to_owned()));
        self.place = Some(place.to_owned());
    }

    /// Why they leave nobody who could log in; `root` is whether root may.
    pub(super) fn shut(&self, view: &dyn View, accounts: &Accounts, root: bool) -> Result<Option<Door>> {
        let Some(place) = &self.place else { return Ok(None) };
        let all = ["*", "*@*"];
        let is_all = |list: &[String]| list.iter().any(|pattern| all.contains(&pattern.as_str()));
        if is_all(&self.deny_users) || is_all(&self.deny_groups) {
            return Ok(Some(Door::stuck(place, "sshd lets nobody in: all are denied")));
        }
        // Accounts that a directory has are not in these files.
        let services = view.text(NSSWITCH)?.unwrap_or_default();
        let is_local = |word: &str| {
            matches!(word, "files" | "compat" | "systemd" | "altfiles" | "nis") || word.starts_with('[')
        };
        let names_others = services.lines().any(|line| {
            let (name, words) = line.split_once(':').unwrap_or_default();
            let words = words.split('#').next().unwrap_or_default();
            matches!(name.trim(), "passwd" | "group") && words.split_whitespace().any(|word| !is_local(word))
        });
        if names_others {
            return Ok(None);
        }
        let groups = view.text(GROUP)?.unwrap_or_default();
        let groups: Vec<Vec<&str>> = groups.lines().map(|line| line.split(':').collect()).collect();
        let lets = |name: &str, gid: &str| {
            let of: Vec<&str> = groups
                .iter()
                .filter(|fields| {
                    let members = fields.get(3).copied().unwrap_or_default();
                    fields.get(2) == Some(&gid) || members.split(',').any(|member| member.trim() == name)
                })
                .filter_map(|fields| fields.first().copied())
                .collect();
            let in_groups =
                |list: &[String]| list.iter().any(|one| of.iter().any(|group| glob::matches(one, group)));
            let is_named = |pattern: &String, any_host: bool| match pattern.split_once('@') {
                Some((user, host)) => glob::matches(user, name) && (any_host || host == "*"),
                None => glob::matches(pattern, name),
            };
            !self.deny_users.iter().any(|pattern| is_named(pattern, false))
                && (self.allow_users.is_empty()
                    || self.allow_users.iter().any(|pattern| is_named(pattern, true)))
                && !in_groups(&self.deny_groups)
                && (self.allow_groups.is_empty() || in_groups(&self.allow_groups))
        };
        let mut people = accounts.people().filter(|(name, _)| root || *name != "root");
        if people.any(|(name, gid)| lets(name, gid)) {
            return Ok(None);
        }
        Ok(Some(Door::stuck(place, "sshd lets in nobody who has an account with a shell")))
    }
}
