//! The host keys of the server: one that it takes is there, or something makes one.

use super::super::login::Door;
use super::algorithms;
use super::config::{Line, Settings};
use crate::script::Script;
use crate::systemd::conditions::{self, Verdict};
use crate::systemd::needs::{Start, base, directives};
use crate::systemd::{Unit, started};
use crate::{Result, View, programs};

const DIR: &str = "/etc/ssh";
/// Host keys where none is named.
const KEYS: &[&str] = &["rsa", "ecdsa", "ed25519", "dsa"];

/// Why there is no host key that the server takes.
pub(super) fn lacking(view: &dyn View, settings: &Settings, arguments: &str) -> Result<Option<Door>> {
    if settings.agent {
        return Ok(None);
    }
    let keys = match settings.keys.is_empty() {
        true => KEYS.iter().map(|kind| format!("{DIR}/ssh_host_{kind}_key")).collect(),
        false => settings.keys.clone(),
    };
    let list = settings.of_all("hostkeyalgorithms").map(Line::value);
    let mut unfit = None;
    for key in keys {
        match unusable(view, &key, list)? {
            Key::Fine => return Ok(None),
            Key::Unfit(why) => unfit = unfit.or(Some(Door::stuck(key, why))),
            Key::Missing => {}
        }
    }
    if unfit.is_none() && !makes_keys(view, arguments)? {
        return Ok(Some(Door::stuck(DIR, "sshd has no host keys, and nothing makes them")));
    }
    Ok(unfit)
}

/// What a host key's file is to the server.
enum Key {
    Fine,
    /// It is there, and nobody makes another.
    Unfit(String),
    /// It is not there, or empty: what makes keys makes it.
    Missing,
}

fn unusable(view: &dyn View, path: &str, list: Option<&str>) -> Result<Key> {
    let Some(node) = view.stat(path)?.filter(|node| node.size > 0) else { return Ok(Key::Missing) };
    // Red Hat's has a group that may read keys.
    if node.mode & 0o037 != 0 || node.mode & 0o040 != 0 && node.gid == 0 {
        return Ok(Key::Unfit(format!(
            "sshd takes no host key that others may read: its mode is {:04o}",
            node.mode
        )));
    }
    let text = view.text(path)?.unwrap_or_default();
    let is_key = text.starts_with("-----BEGIN ") && text.contains("\n-----END ")
        || text.starts_with("SSH PRIVATE KEY FILE FORMAT");
    if is_key && has_passphrase(&text) {
        return Ok(Key::Unfit("sshd asks nobody for the passphrase that it has".into()));
    }
    if let Some(kind) = algorithms::kind_of_private(&text)
        && !algorithms::takes(list, kind)
    {
        return Ok(Key::Unfit(format!("HostKeyAlgorithms takes no key of the kind {kind}")));
    }
    Ok(if is_key { Key::Fine } else { Key::Unfit("it is no host key, or not a whole one".into()) })
}

/// Whether a key's own header says that it is encrypted (PROTOCOL.key of OpenSSH; RFC 1421, 5958).
fn has_passphrase(text: &str) -> bool {
    /// "openssh-key-v1" and its zero, in base64; behind it the cipher's name, here "none".
    const MAGIC: &str = "b3BlbnNzaC1rZXktdjEA";
    const NONE: &str = "AAAABG5vbmUA";
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let second = lines.next().unwrap_or_default();
    let is_open = second.strip_prefix(MAGIC).is_none_or(|rest| rest.starts_with(NONE));
    first.contains("ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED") || !is_open
}

/// Whether something makes host keys at the first start: a unit of the distribution, cloud-init, or the
/// scripts of older inits; or a unit of the administrator's before the server.
fn makes_keys(view: &dyn View, arguments: &str) -> Result<bool> {
    if programs::find(view, "ssh-keygen")?.is_none() {
        return Ok(false);
    }
    for unit in [
        "sshd-keygen.target",
        "sshd-keygen@.service",
        "sshd-keygen.service",
        "ssh-keygen.service",
        "sshdgenkeys.service",
    ] {
        if matches!(Unit::find(view, unit)?, Unit::There { .. }) {
            return Ok(true);
        }
    }
    if is_made_before(view, arguments)? {
        return Ok(true);
    }
    let cloud = view.exists("/usr/bin/cloud-init")? && !view.exists("/etc/cloud/cloud-init.disabled")?;
    Ok(cloud || view.exists("/etc/init.d/sshd")? || view.exists("/etc/rc.d/init.d/sshd")?)
}

/// Whether a unit of the administrator's runs `ssh-keygen -A`: the server's own, or one that comes before it.
fn is_made_before(view: &dyn View, arguments: &str) -> Result<bool> {
    let start = Start { view, arguments: Some(arguments), arch: None };
    for unit in started::all(view, arguments)? {
        let Some(file) = unit.own.filter(|_| !unit.is_late) else { continue };
        let name = unit.pulled.name.as_str();
        let all = directives(view, name, &file)?;
        let is_first = started::DOORS.contains(&name)
            || all
                .iter()
                .filter(|line| line.key == "Before")
                .any(|line| line.value.split_whitespace().any(|before| started::DOORS.contains(&before)));
        if !is_first || matches!(conditions::judge(&start, &all, "Condition")?, Verdict::Fails(_)) {
            continue;
        }
        for line in all.iter().filter(|line| line.is_own && line.key.starts_with("ExecStart")) {
            let script = Script::of(view, &line.value)?;
            let makes = |(depth, command): (usize, &str)| {
                let mut words = command.split_whitespace();
                depth == 0
                    && base(words.next().unwrap_or_default()) == "ssh-keygen"
                    && words.any(|word| word == "-A")
            };
            if script.commands().any(makes) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
