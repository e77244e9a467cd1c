//! The keys of an account: `authorized_keys` (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"), in files that the server
//! trusts.

use super::super::accounts::Account;
use super::super::wanted::tmpfiles;
use super::config::Line;
use super::wrappers::is_public;
use super::{algorithms, session};
use crate::facts::Family;
use crate::systemd::needs::Fault;
use crate::{Guest, Result};

/// As many keys of one file are looked at.
const KEYS: usize = 4096;

/// What is asked of keys.
pub(super) struct Asked<'a> {
    /// The list of algorithms that are taken, if there is one.
    pub(super) algorithms: Option<&'a str>,
    /// Whether modes and owners count.
    pub(super) is_strict: bool,
    /// The least length of a key of RSA, in bits.
    pub(super) least_rsa: Option<usize>,
    /// The line with the file of keys that are not taken.
    pub(super) revoked: Option<&'a Line>,
}

/// A key of a file, as far as it is one to log in by.
enum Key {
    Fine,
    /// It starts a command that it names, and nothing else.
    Command,
    Unsure(String),
    Unfit(String),
}

/// What keeps the owner of a file of keys out; `None` where the file has no key to log in by.
pub(super) fn keys_of(
    guest: &Guest<'_>,
    account: &Account,
    path: &str,
    asked: &Asked<'_>,
) -> Result<Option<Option<Fault>>> {
    let view = guest.view;
    let Some(text) = view.text(path)? else { return Ok(None) };
    let revoked = match asked.revoked {
        Some(line) => match view.text(line.value())? {
            Some(text) => Some((line, text)),
            None => {
                let why = format!("RevokedKeys {} is not there, so sshd takes no key", line.value());
                return Ok(Some(Some(Fault::sure(&line.place, why))));
            }
        },
        None => None,
    };
    // The blocks of a snapshot are paid for.
    if !view.machine().remote
        && let Some(fault) = tmpfiles::takes_away(view, path)?
    {
        return Ok(Some(Some(fault)));
    }
    let mut found: Option<Option<Fault>> = None;
    for (number, line) in text.lines().enumerate().take(KEYS) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = format!("{path}:{}", number.saturating_add(1));
        let fault = match judge(line, asked) {
            Key::Command => continue,
            Key::Fine => revoked.as_ref().and_then(|(by, text)| is_revoked(line, by, text)),
            Key::Unsure(why) => Some(Fault::unsure(&at, why)),
            Key::Unfit(why) => Some(Fault::sure(&at, why)),
        };
        let is_better = match (&found, &fault) {
            (None, _) | (_, None) => true,
            (Some(Some(old)), Some(new)) => old.is_sure && !new.is_sure,
            (Some(None), _) => false,
        };
        if is_better {
            found = Some(fault);
        }
    }
    if found == Some(None)
        && asked.is_strict
        && let Some(fault) = distrusts(guest, account, path)?
    {
        found = Some(Some(fault));
    }
    Ok(found)
}

/// Whether a list has the key of a line: keys a line each, or what ssh-keygen(1) makes of them.
fn is_revoked(line: &str, by: &Line, list: &str) -> Option<Fault> {
    if list.starts_with("SSHKRL") {
        let why = format!("nobody can tell whether {} has the key", by.value());
        return Some(Fault::unsure(&by.place, why));
    }
    let is_listed = line
        .split_whitespace()
        .any(|word| word.starts_with("AAAA") && list.split_whitespace().any(|revoked| revoked == word));
    is_listed.then(|| Fault::sure(&by.place, format!("{} has the key, so sshd does not take it", by.value())))
}

/// Judges a line: options, kind, key, comment.
fn judge(line: &str, asked: &Asked<'_>) -> Key {
    let (first, rest) = word(line);
    let (options, kind, rest) = match algorithms::kind(first) {
        Some(kind) => ("", Some(kind), rest),
        None => {
            let (kind, rest) = word(rest);
            (first, algorithms::kind(kind), rest)
        }
    };
    let Some(kind) = kind else { return Key::Unfit("sshd knows no key of this kind".into()) };
    if !algorithms::is_public_key(kind, word(rest).0) {
        return Key::Unfit("it is no key, or not a whole one".into());
    }
    if let (Some(least), Some(bits)) = (asked.least_rsa, algorithms::bits_of_rsa(word(rest).0))
        && bits < least
    {
        return Key::Unfit(format!("it has {bits} bits, and RequiredRSASize is {least}"));
    }
    let mut hosts = None;
    for option in split(options) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = value.trim_matches('"');
        match name.to_ascii_lowercase().as_str() {
            "command" if session::is_ending(value) => {
                return Key::Unfit(format!("it is for a command that ends at once: {value}"));
            }
            "command" => return Key::Command,
            "from" => hosts = Some(value),
            "expiry-time" if is_over(value) => {
                return Key::Unfit(format!("the key is good until {value} only"));
            }
            _ => {}
        }
    }
    if !algorithms::takes(asked.algorithms, kind) {
        return Key::Unfit(format!("sshd is told to take no key of the kind {kind}"));
    }
    match hosts {
        Some(hosts) if !hosts.contains('*') && !is_public(hosts) => {
            Key::Unsure(format!("the key is good from {hosts} only, of a net of its own"))
        }
        _ => Key::Fine,
    }
}

/// Whether a day, and perhaps a time behind it, is over: YYYYMMDD.
fn is_over(value: &str) -> bool {
    let Some(today) = super::people::today() else { return false };
    let (year, month, day) = (i64::from(today.year()), u8::from(today.month()), today.day());
    let number = year * 10_000 + i64::from(month) * 100 + i64::from(day);
    value.get(..8).and_then(|day| day.parse::<i64>().ok()).is_some_and(|day| day < number)
}

/// The first word, quotes kept together, and what is behind it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut is_quoted = false;
    let mut before = ' ';
    let end = text.find(|c: char| {
        is_quoted ^= c == '"' && before != '\\';
        before = c;
        c.is_whitespace() && !is_quoted
    });
    text.split_at(end.unwrap_or(text.len()))
}

/// Options, commas between that are not in quotes.
fn split(options: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    options.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    })
}

/// Why the server does not trust a file: others than its owner may write it, or a folder that it is in.
fn distrusts(guest: &Guest<'_>, account: &Account, path: &str) -> Result<Option<Fault>> {
    let view = guest.view;
    let Some(mut path) = view.resolve(path)? else { return Ok(None) };
    if let Some(node) = view.stat(&path)? {
        let is_of_group = node.gid.to_string() == account.gid && node.mode & 0o040 != 0;
        let is_read =
            account.is_root() || Some(node.uid) == account.uid || node.mode & 0o004 != 0 || is_of_group;
        if !is_read {
            let why = format!("the account cannot read it: its mode is {:04o}", node.mode & 0o7777);
            return Ok(Some(Fault::sure(&path, why)));
        }
    }
    let home = view.resolve(&account.home)?.unwrap_or_else(|| account.home.clone());
    loop {
        if let Some(node) = view.stat(&path)? {
            let is_own = node.uid == 0 || Some(node.uid) == account.uid;
            // Debian's server trusts a group that nobody else is in
            let is_own_group = node.gid.to_string() == account.gid && is_of_debian(guest);
            if !is_own {
                let why = format!("sshd does not trust it: it belongs to the user {}", node.uid);
                return Ok(Some(Fault::sure(&path, why)));
            }
            if node.mode & 0o002 != 0 || node.mode & 0o020 != 0 && !is_own_group {
                let why = format!(
                    "sshd does not trust it: others may write it, its mode is {:04o}",
                    node.mode & 0o7777
                );
                return Ok(Some(Fault::sure(&path, why)));
            }
        }
        match path.rsplit_once('/') {
            Some((folder, _)) if !folder.is_empty() && path != home => path = folder.to_owned(),
            _ => return Ok(None),
        }
    }
}

fn is_of_debian(guest: &Guest<'_>) -> bool {
    guest.facts.os.as_ref().is_some_and(|os| matches!(os.family, Family::Debian | Family::Ubuntu))
}
