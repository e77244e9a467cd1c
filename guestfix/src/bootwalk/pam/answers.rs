//! What modules say of one account that comes in by the network: pam_access(8), pam_exec(8), pam_limits(8),
//! pam_listfile(8), pam_nologin(8), pam_shells(8), pam_succeed_if(8), pam_time(8), pam_unix(8). Others are
//! taken to say yes: they ask for what only a running system knows.

use super::super::accounts::Account;
use super::super::sshd::is_public;
use crate::programs::cannot_start;
use crate::systemd::needs::base;
use crate::text::pam::Kind;
use crate::{Result, View, glob};

const ACCESS: &str = "/etc/security/access.conf";
const ACCESS_DIR: &str = "/etc/security/access.d";
const LIMITS: &str = "/etc/security/limits.conf";
const LIMITS_DIR: &str = "/etc/security/limits.d";
const TIME: &str = "/etc/security/time.conf";
const SHELLS: &str = "/etc/shells";
const SERVICE: &str = "sshd";

/// What a module says.
pub(super) enum Answer {
    Yes,
    /// And why.
    No(String),
    /// Nobody can tell, and why.
    Unsure(String),
}

/// What a module says of an account.
pub(super) fn of(
    view: &dyn View,
    name: &str,
    arguments: &[&str],
    kind: Kind,
    account: &Account,
) -> Result<Answer> {
    let groups = || account.groups(view);
    Ok(match base(name) {
        "pam_access.so" => access(view, arguments, account, &groups()?)?,
        "pam_exec.so" => exec(view, arguments)?,
        "pam_limits.so" => limits(view, account, &groups()?)?,
        "pam_listfile.so" => list_file(view, arguments, account, &groups()?)?,
        "pam_shells.so" => {
            let text = view.text(SHELLS)?.unwrap_or_default();
            match text.lines().any(|line| line.trim() == account.shell) {
                true => Answer::Yes,
                false => Answer::No(format!("{SHELLS} does not name {}", account.shell)),
            }
        }
        "pam_nologin.so" if !account.is_root() && view.exists("/etc/nologin")? => {
            Answer::No("/etc/nologin is there".into())
        }
        "pam_succeed_if.so" => succeed_if(arguments, account, &groups()?),
        "pam_time.so" if kind == Kind::Account => time(view, account)?,
        _ => Answer::Yes,
    })
}

/// Lines "permission : users : origins"; the first that fits counts, and where none does, all come in.
fn access(view: &dyn View, arguments: &[&str], account: &Account, groups: &[String]) -> Result<Answer> {
    let named = arguments.iter().find_map(|argument| argument.strip_prefix("accessfile="));
    let mut files = vec![named.unwrap_or(ACCESS).to_owned()];
    if named.is_none() {
        files.extend(view.glob(ACCESS_DIR, ".conf")?);
    }
    let mut from_some: Option<String> = None;
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut fields = line.splitn(3, ':').map(str::trim);
            let (Some(permission), Some(users), Some(origins)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let is_user = |word: &str| {
                let group = word.strip_prefix('(').and_then(|word| word.strip_suffix(')'));
                let user = word.split('@').next().unwrap_or(word);
                word == "ALL"
                    || user == account.name
                    || groups.iter().any(|name| group.unwrap_or(word) == name)
            };
            let lets = permission == "+";
            match (fits(users, is_user), fits(origins, |word| word == "ALL")) {
                (true, true) if lets => return Ok(Answer::Yes),
                (true, true) => {
                    return Ok(match from_some {
                        Some(origins) if is_public(&origins) => Answer::Yes,
                        Some(origins) => Answer::Unsure(format!(
                            "{file} lets it in from {origins} only, of a net of its own"
                        )),
                        None => Answer::No(format!("{file} keeps it out: {line}")),
                    });
                }
                (true, false) if lets && is_remote(origins) => from_some = Some(origins.to_owned()),
                _ => {}
            }
        }
    }
    Ok(Answer::Yes)
}

/// Whether one of the words before EXCEPT fits, and none behind it.
fn fits(list: &str, is: impl Fn(&str) -> bool) -> bool {
    let (named, except) = list.split_once("EXCEPT").unwrap_or((list, ""));
    let words = |list: &str| list.split([' ', '\t', ',']).any(&is);
    words(named) && !words(except)
}

/// Whether one of the origins is an address, a net or the name of a host: consoles and LOCAL are none.
fn is_remote(origins: &str) -> bool {
    origins.split([' ', '\t', ',']).any(|word| word.contains('.') || word.contains("::"))
}

/// A command that has to end well; one in the background, or one whose end does not count, is none.
fn exec(view: &dyn View, arguments: &[&str]) -> Result<Answer> {
    let options = ["debug", "expose_authtok", "seteuid", "quiet", "quiet_log", "stdout"];
    let is_option =
        |word: &&&str| options.contains(*word) || word.starts_with("log=") || word.starts_with("type=");
    let Some(program) = arguments.iter().find(|word| !is_option(word)) else { return Ok(Answer::Yes) };
    Ok(match base(program) {
        "true" => Answer::Yes,
        "false" => Answer::No("the command fails".into()),
        _ => match cannot_start(view, program, None)? {
            Some(why) => Answer::No(why),
            None => Answer::Unsure(format!("nobody can tell whether {program} lets it in")),
        },
    })
}

/// The least of each limit with which a session surely does its work, in the unit of each (limits.conf(5)).
const LEAST: &[(&str, u64)] = &[
    ("as", 65_536),
    ("cpu", 1),
    ("data", 16_384),
    ("fsize", 1024),
    ("nofile", 64),
    ("nproc", 8),
    ("stack", 128),
];

/// Limits of 0 logins, and those with which nothing is started.
fn limits(view: &dyn View, account: &Account, groups: &[String]) -> Result<Answer> {
    let mut files = vec![LIMITS.to_owned()];
    files.extend(view.glob(LIMITS_DIR, ".conf")?);
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        for line in text.lines() {
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let [domain, _, item, value] = words.as_slice() else { continue };
            let is_for = match domain.strip_prefix(['@', '%']) {
                Some(group) => groups.iter().any(|name| name == group),
                None => *domain == account.name || *domain == "*" && !account.is_root(),
            };
            if is_for && *value == "0" && matches!(*item, "maxlogins" | "maxsyslogins") {
                return Ok(Answer::No(format!("{file} allows it no login: {line}")));
            }
            let Some((_, least)) = LEAST.iter().find(|(name, _)| name == item).filter(|_| is_for) else {
                continue;
            };
            match value.parse::<u64>() {
                Ok(0) => return Ok(Answer::No(format!("{file} leaves it nothing to start: {line}"))),
                Ok(value) if value < *least => {
                    let why =
                        format!("nobody can tell whether its shell starts with so little: {file}: {line}");
                    return Ok(Answer::Unsure(why));
                }
                _ => {}
            }
        }
    }
    Ok(Answer::Yes)
}

fn list_file(view: &dyn View, arguments: &[&str], account: &Account, groups: &[String]) -> Result<Answer> {
    let value = |key: &str| {
        arguments.iter().find_map(|argument| argument.split_once('=').filter(|(name, _)| *name == key))
    };
    let value = |key: &str| value(key).map(|(_, value)| value).unwrap_or_default();
    let file = value("file");
    let Some(text) = view.text(file)? else {
        return Ok(match value("onerr") {
            "succeed" => Answer::Yes,
            _ => Answer::No(format!("{file} is not there")),
        });
    };
    let is_named = |name: &str| text.lines().any(|line| line.trim() == name);
    let is_in = match value("item") {
        "user" => is_named(&account.name),
        "group" => groups.iter().any(|group| is_named(group)),
        "shell" => is_named(&account.shell),
        item => return Ok(Answer::Unsure(format!("nobody can tell whether {file} names its {item}"))),
    };
    Ok(match is_in == (value("sense") == "allow") {
        true => Answer::Yes,
        false if is_in => Answer::No(format!("{file} names it")),
        false => Answer::No(format!("{file} does not name it")),
    })
}

/// Conditions, each of three words, all of which have to hold.
fn succeed_if(arguments: &[&str], account: &Account, groups: &[String]) -> Answer {
    let flags = ["audit", "debug", "use_uid", "quiet", "quiet_fail", "quiet_success"];
    let words: Vec<&str> = arguments.iter().copied().filter(|word| !flags.contains(word)).collect();
    for condition in words.chunks(3) {
        let says = || condition.join(" ");
        let holds = match condition {
            ["user", "ingroup", group] => {
                Some(group.split(':').any(|one| groups.iter().any(|name| name == one)))
            }
            ["user", "notingroup", group] => {
                Some(!group.split(':').any(|one| groups.iter().any(|name| name == one)))
            }
            [field, how, value] => {
                let own = match *field {
                    "user" => Some(account.name.clone()),
                    "uid" => account.uid.map(|uid| uid.to_string()),
                    "gid" => Some(account.gid.clone()),
                    "shell" => Some(account.shell.clone()),
                    "home" => Some(account.home.clone()),
                    "service" => Some(SERVICE.to_owned()),
                    _ => None,
                };
                own.and_then(|own| compares(&own, how, value))
            }
            _ => None,
        };
        match holds {
            Some(true) => {}
            Some(false) => return Answer::No(format!("{} does not hold", says())),
            None => return Answer::Unsure(format!("nobody can tell whether {} holds", says())),
        }
    }
    Answer::Yes
}

fn compares(own: &str, how: &str, value: &str) -> Option<bool> {
    let numbers = || Some((own.parse::<i64>().ok()?, value.parse::<i64>().ok()?));
    Some(match how {
        "=" => own == value,
        "!=" => own != value,
        "=~" => glob::matches(value, own),
        "!~" => !glob::matches(value, own),
        "in" => value.split(':').any(|one| one == own),
        "notin" => !value.split(':').any(|one| one == own),
        "eq" => numbers().map(|(own, value)| own == value)?,
        "ne" => numbers().map(|(own, value)| own != value)?,
        "lt" | "<" => numbers().map(|(own, value)| own < value)?,
        "le" | "<=" => numbers().map(|(own, value)| own <= value)?,
        "gt" | ">" => numbers().map(|(own, value)| own > value)?,
        "ge" | ">=" => numbers().map(|(own, value)| own >= value)?,
        _ => return None,
    })
}

/// Lines "services;terminals;users;times": one that is for the account and never lets it in.
fn time(view: &dyn View, account: &Account) -> Result<Answer> {
    let text = view.text(TIME)?.unwrap_or_default();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        let fields: Vec<&str> = line.split(';').map(str::trim).collect();
        let [services, _, users, times] = fields.as_slice() else { continue };
        let is_for = |list: &str, name: &str| {
            list.split(['|', '&']).any(|one| match one.strip_prefix('!') {
                Some(other) => !glob::matches(other, name),
                None => glob::matches(one, name),
            })
        };
        let is_never = times.strip_prefix('!').is_some_and(|times| times == "Al0000-2400");
        if is_for(services, SERVICE) && is_for(users, &account.name) && is_never {
            return Ok(Answer::No(format!("{TIME} lets it in at no time: {line}")));
        }
    }
    Ok(Answer::Yes)
}
