//! Who can log in: accounts with a shell that starts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Hop, HopKind, mount_options};
use crate::programs::cannot_start;
use crate::text::fstab;
use crate::{Result, View};

const KIND: HopKind = HopKind::Login;
const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
const FSTAB: &str = "/etc/fstab";
const GROUP: &str = "/etc/group";
const NSSWITCH: &str = "/etc/nsswitch.conf";
/// Sources of accounts of the machine itself, and those of them that read /etc/passwd.
const OWN: &[&str] = &["altfiles", "compat", "db", "extrausers", "files", "nis", "systemd"];
const LOCAL: &[&str] = &["compat", "files"];
/// Programs in the place of a shell that let nobody do anything.
const NO_SHELLS: &[&str] = &["false", "nologin", "sync", "halt", "shutdown", "true"];
/// The most shells that are looked at.
const SHELLS: usize = 32;

/// What an account's password is (shadow(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Password {
    Set,
    Empty,
    /// None fits.
    None,
    /// None fits, and whoever locked it wants nobody in.
    Locked,
}

/// One account.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: Option<u32>,
    /// Its main group.
    pub(super) gid: String,
    pub(super) home: String,
    pub(super) shell: String,
    /// Why its shell is none.
    pub(super) no_shell: Option<String>,
    pub(super) password: Password,
    /// The day, counted from 1970, from which on nobody logs in to it.
    pub(super) expires: Option<u64>,
    /// Whether its password is to be in /etc/shadow, which has no line of it.
    pub(super) lacks_shadow: bool,
}

/// The accounts of a system.
pub(super) struct Accounts {
    all: Vec<Account>,
    /// Whether a directory of the network may have others.
    pub(super) has_directory: bool,
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
        let shadow = view.text(SHADOW)?.unwrap_or_default();
        if shadowed && shadow.trim().is_empty() {
            return blocked(SHADOW, "it has no line for any account, so nobody's password is known".into());
        }
        let shadow: BTreeMap<&str, Vec<&str>> = shadow
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, rest)| (name, rest.split(':').collect()))
            .collect();
        let sources = sources(view, "passwd")?;
        if !sources.iter().any(|source| LOCAL.contains(&source.as_str())) {
            let why = format!("accounts are looked for in {} alone, not in {PASSWD}", sources.join(" "));
            return blocked(NSSWITCH, why);
        }
        let mut all = Vec::new();
        let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
        let fstab = view.text(FSTAB)?.unwrap_or_default();
        let binds = fstab::entries(&fstab);
        let mut names = BTreeSet::new();
        // Of two lines of one name the first counts.
        for fields in lines.into_iter().filter(|fields| names.insert(fields.first().copied())) {
            let field = |at: usize| fields.get(at).map(|field| field.trim()).unwrap_or_default();
            let name = field(0);
            let shell = if field(6).is_empty() { "/bin/sh" } else { field(6) };
            let no_shell = if NO_SHELLS.contains(&shell.rsplit('/').next().unwrap_or(shell)) {
                Some(format!("its shell is {shell}"))
            } else {
                if !known.contains_key(shell) && known.len() < SHELLS {
                    known.insert(shell.to_owned(), cannot_start(view, shell, arch)?);
                }
                let Some(why) = known.get(shell) else { continue };
                why.clone()
            };
            if let (Some(why), "root", Some(_)) = (&no_shell, name, known.get(shell)) {
                return blocked(PASSWD, format!("root's shell cannot be started: {why}"));
            }
            let shadow = shadow.get(name);
            let hash = match (field(1), shadow) {
                ("x", Some(fields)) => fields.first().copied().unwrap_or_default(),
                ("x", None) => "*",
                (own, _) => own,
            };
            all.push(Account {
                name: name.to_owned(),
                uid: field(2).parse().ok(),
                gid: field(3).to_owned(),
                home: seen_from(&binds, field(5)),
                shell: shell.to_owned(),
                no_shell,
                password: Password::of(hash),
                expires: shadow.and_then(|fields| expiry(fields)),
                lacks_shadow: field(1) == "x" && shadow.is_none(),
            });
        }
        if all.iter().all(|account| account.no_shell.is_some()) {
            let why = known.into_values().flatten().next();
            let why = why.map_or_else(
                || "no account has a shell".to_owned(),
                |why| format!("no account has a shell that can be started: {why}"),
            );
            return blocked(PASSWD, why);
        }
        let all_sources = [sources, self::sources(view, "group")?].concat();
        let has_directory = all_sources.iter().any(|source| !OWN.contains(&source.as_str()));
        Ok(Ok(Self { all, has_directory }))
    }

    /// Whether nobody but root has a shell.
    pub(super) fn only_root(&self) -> bool {
        self.all.iter().all(|account| account.name == "root" || account.no_shell.is_some())
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Account] {
        &self.all
    }

    /// Whether there is an account of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all.iter().any(|account| account.name == name)
    }
}

impl Account {
    /// The names of the groups that it is in.
    pub(super) fn groups(&self, view: &dyn View) -> Result<Vec<String>> {
        let text = view.text(GROUP)?.unwrap_or_default();
        let is_in = |fields: &Vec<&str>| {
            let members = fields.get(3).copied().unwrap_or_default();
            fields.get(2) == Some(&self.gid.as_str())
                || members.split(',').any(|member| member.trim() == self.name)
        };
        let lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        Ok(lines.filter(is_in).filter_map(|fields| fields.first().map(|name| (*name).to_owned())).collect())
    }

    pub(super) fn is_root(&self) -> bool {
        self.uid == Some(0)
    }

    /// Whether it is one of a person: root, or none of the system's.
    pub(super) fn is_of_a_person(&self) -> bool {
        self.is_root() || self.uid.is_some_and(|uid| (500..60_000).contains(&uid))
    }
}

/// A folder by the place that a line of fstab has it seen from.
fn seen_from(binds: &[fstab::Entry], folder: &str) -> String {
    for entry in binds.iter().filter(|entry| mount_options::is_bind(&entry.options)) {
        let is_mounted = !fstab::has_option(&entry.options, "noauto");
        let below = folder.strip_prefix(entry.target.as_str()).filter(|_| is_mounted && entry.target != "/");
        if let Some(below) = below.filter(|below| below.is_empty() || below.starts_with('/')) {
            return format!("{}{below}", entry.spec);
        }
    }
    folder.to_owned()
}

/// The last day on which somebody logs in to an account, by its fields behind the name: the one that is
/// written down, or some days behind that on which its password was too old (shadow(5)).
fn expiry(fields: &[&str]) -> Option<u64> {
    let field = |at: usize| fields.get(at)?.trim().parse::<u64>().ok();
    let inactive = || {
        let changed = field(1).filter(|day| *day > 0)?;
        changed.checked_add(field(3)?)?.checked_add(field(5)?)
    };
    [field(6), inactive()].into_iter().flatten().min()
}

impl Password {
    fn of(hash: &str) -> Self {
        match hash {
            "" => Self::Empty,
            locked if locked.starts_with('!') => Self::Locked,
            // a salt and a hash, or one of the oldest kind
            hash if hash.starts_with('$') || hash.len() == 13 => Self::Set,
            _ => Self::None,
        }
    }
}

/// Where a database of names is looked for (nsswitch.conf(5)). A snapshot's blocks are paid for: of one these
/// are taken to be the files.
fn sources(view: &dyn View, database: &str) -> Result<Vec<String>> {
    let text = if view.machine().remote { None } else { view.text(NSSWITCH)? }.unwrap_or_default();
    let mut out: Vec<String> = Vec::new();
    for (name, words) in text.lines().filter_map(|line| line.split('#').next()?.split_once(':')) {
        // what is in brackets says what becomes of an answer
        let mut is_action = false;
        for word in words.split_whitespace().filter(|_| name.trim() == database) {
            is_action |= word.starts_with('[');
            if !is_action {
                out.push(word.to_owned());
            }
            is_action &= !word.ends_with(']');
        }
    }
    if out.is_empty() {
        out.push("files".to_owned());
    }
    Ok(out)
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
        for fine in
            ["passwd: files systemd\n", "passwd: sss [SUCCESS=return] files # x\n", "group: ldap\n", ""]
        {
            assert_eq!(wrong(&debian().file(NSSWITCH, fine)), None, "{fine}");
        }
        let first = "root:x:0:0::/root:/bin/false\nroot:x:0:0::/root:/bin/bash\n";
        assert_eq!(wrong(&with(first)).as_deref(), Some("no account has a shell"), "the first line counts");
        for (line, day) in [
            ("h:19675:0:99999:7:::", None),
            ("h:19675:0:99999:7::20000:", Some(20_000)),
            ("h:18262:0:30:7:5::", Some(18_297)),
            ("h:18262:0:30:7::20000:", Some(20_000)),
            ("h:0:0:30:7:5::", None),
        ] {
            assert_eq!(expiry(&line.split(':').collect::<Vec<_>>()), day, "{line}");
        }
        for (bench, why) in [
            (
                debian().file(NSSWITCH, "passwd: ldap [NOTFOUND=return]\n"),
                "accounts are looked for in ldap alone, not in /etc/passwd",
            ),
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
