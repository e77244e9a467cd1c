//! Who comes in: each account that may log in is judged from the lists of the server to its first shell
//! (sshd_config(5)). Where nobody has a key or a password to come in by, one is taken to come later: from the
//! platform, or from the console, if anybody has a password for that.

use std::time::SystemTime;

use time::{Date, OffsetDateTime};

use super::super::accounts::{Account, Accounts, Password};
use super::super::login::Door;
use super::authorized::{Asked, keys_of};
use super::config::{Line, Settings};
use super::criteria::Client;
use super::{algorithms, methods, session};
use crate::programs::cannot_start;
use crate::systemd::needs::Fault;
use crate::{Guest, Result, glob, services};

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
/// As many accounts are judged.
const MOST: usize = 256;
/// As many reasons are told.
const TOLD: usize = 3;
/// Where keys are unless something else is said.
const KEYS: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];
/// Units that put a key in where the platform hands one over.
const PLATFORM: &[&str] =
    &["cloud-init.service", "cloud-init-main.service", "walinuxagent.service", "waagent.service"];
const NO_CLOUD_INIT: &str = "/etc/cloud/cloud-init.disabled";

/// What somebody comes in by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The key or password that is there.
    Own,
    /// One that is put in later; whether a password may be.
    Later { password: bool },
}

/// The server, and whom it may let in.
pub(super) struct People<'a> {
    pub(super) guest: &'a Guest<'a>,
    pub(super) settings: &'a Settings,
    pub(super) accounts: &'a Accounts,
    /// Its program.
    pub(super) program: &'a str,
    /// The file of its configuration.
    pub(super) config: &'a str,
}

impl People<'_> {
    /// Why nobody comes in.
    pub(super) fn shut(&self) -> Result<Option<Door>> {
        let mut faults: Vec<(String, Fault)> = Vec::new();
        let mut judged = self.accounts.all().iter().take(MOST);
        if self.accounts.has_directory {
            match self.lets_in(&somebody(), By::Later { password: true })? {
                None => return Ok(None),
                Some(fault) => faults.push(("those of a directory".into(), fault)),
            }
        }
        // The blocks of a snapshot are paid for: whose keys are there is not looked at.
        let is_platform = self.guest.view.machine().remote || self.has_platform()?;
        let mut credentials = 0_usize;
        if !is_platform {
            for account in judged.clone() {
                let Some(fault) = self.credential(account)? else { continue };
                credentials = credentials.saturating_add(1);
                let fault = match fault {
                    None => self.lets_in(account, By::Own)?,
                    // what is wrong with the account itself comes first
                    Some(fault) => self.before(account)?.or(Some(fault)),
                };
                match fault {
                    None => return Ok(None),
                    Some(fault) => faults.push((account.name.clone(), fault)),
                }
            }
        }
        if credentials == 0 && !is_platform && !judged.clone().any(has_password) {
            let why = "nobody has a key or a password, and no agent of the platform gives one";
            return Ok(Some(Door::stuck(SHADOW, why)));
        }
        if credentials == 0 {
            for account in judged.by_ref().filter(|account| account.is_of_a_person()) {
                // an account that is not to be logged in to is no reason
                if account.no_shell.is_some() && !account.is_root() {
                    continue;
                }
                let password = is_platform || account.password == Password::Set;
                match self.lets_in(account, By::Later { password })? {
                    None => return Ok(None),
                    Some(fault) => faults.push((account.name.clone(), fault)),
                }
            }
        }
        if is_platform && self.lets_in(&somebody(), By::Later { password: true })?.is_none() {
            return Ok(None);
        }
        if self.accounts.all().len() > MOST {
            let why = format!("of more than {MOST} accounts nobody can tell who comes in by ssh");
            return Ok(Some(Door::Unsure { place: PASSWD.into(), why }));
        }
        Ok(Some(self.door(&faults)))
    }

    /// The door with the reasons: those that nobody can tell of count more than the sure ones.
    fn door(&self, faults: &[(String, Fault)]) -> Door {
        let is_sure = faults.iter().all(|(_, fault)| fault.is_sure);
        let counting = || faults.iter().filter(|(_, fault)| fault.is_sure == is_sure);
        let place = counting().next().map_or(self.config, |(_, fault)| fault.place.as_str()).to_owned();
        let mut whys: Vec<String> =
            counting().take(TOLD).map(|(name, fault)| format!("{name}: {}", fault.why)).collect();
        if counting().count() > TOLD {
            whys.push("and others".into());
        }
        let whys = if whys.is_empty() { "no account is anybody's".to_owned() } else { whys.join("; ") };
        match is_sure {
            true => Door::Stuck { place, why: format!("sshd lets nobody in: {whys}") },
            false => {
                Door::Unsure { place, why: format!("nobody can tell whether sshd lets anybody in: {whys}") }
            }
        }
    }

    /// Whether something puts a key in that the platform hands over.
    fn has_platform(&self) -> Result<bool> {
        let view = self.guest.view;
        for unit in PLATFORM {
            let is_cloud_init = unit.starts_with("cloud-init");
            if services::is_started(view, unit)? && !(is_cloud_init && view.exists(NO_CLOUD_INIT)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What an account has to come in by, and what is wrong with that; `None` if it has nothing.
    fn credential(&self, account: &Account) -> Result<Option<Option<Fault>>> {
        let groups = self.groups(account)?;
        let client = Client { user: &account.name, groups: &groups, is_named: false };
        let is_open = account.password == Password::Empty
            && self.settings.is_on(Some(client), "permitemptypasswords", false);
        if is_open || account.password == Password::Set && self.takes_password(account, client) {
            return Ok(Some(None));
        }
        if account.home.is_empty() || !methods::is_on(self.settings, Some(client), "publickey") {
            return Ok(None);
        }
        if account.is_of_a_person() && self.has_other_keys(client)? {
            return Ok(Some(None));
        }
        let asked = Asked {
            algorithms: self.settings.of(client, "pubkeyacceptedalgorithms").map(Line::value),
            is_strict: self.settings.is_on(None, "strictmodes", true),
            least_rsa: self.settings.of(client, "requiredrsasize").and_then(|line| line.value().parse().ok()),
            revoked: self.revoked(client),
        };
        let mut found: Option<Option<Fault>> = None;
        for file in self.key_files(account, client) {
            match keys_of(self.guest, account, &file, &asked)? {
                Some(None) => return Ok(Some(None)),
                Some(fault) => found = found.or(Some(fault)),
                None => {}
            }
        }
        let elsewhere = self.settings.of(client, "authorizedkeysfile");
        if let (None, Some(line)) = (&found, elsewhere) {
            for file in KEYS.iter().map(|name| path(name, account)) {
                if keys_of(self.guest, account, &file, &asked)?.is_some() {
                    let why =
                        format!("its keys are in {file}, and sshd looks in {}", line.arguments.join(" "));
                    return Ok(Some(Some(Fault::sure(&line.place, why))));
                }
            }
        }
        Ok(found)
    }

    /// The line with the file of keys that are not taken.
    fn revoked(&self, client: Client<'_>) -> Option<&Line> {
        let line = self.settings.of(client, "revokedkeys");
        line.filter(|line| !line.value().eq_ignore_ascii_case("none"))
    }

    /// The files with the keys of an account; none where they are in no file.
    fn key_files(&self, account: &Account, client: Client<'_>) -> Vec<String> {
        let named: Vec<&str> = match self.settings.of(client, "authorizedkeysfile") {
            Some(line) => line.arguments.iter().map(String::as_str).collect(),
            None => KEYS.to_vec(),
        };
        let named = named.into_iter().filter(|name| !name.eq_ignore_ascii_case("none"));
        named.map(|name| self::path(name, account)).collect()
    }

    /// Whether keys come from elsewhere than the files of an account: from a program, or signed by an authority.
    fn has_other_keys(&self, client: Client<'_>) -> Result<bool> {
        let view = self.guest.view;
        let is_set = |keyword: &str| {
            let line = self.settings.of(client, keyword);
            line.map(Line::value).filter(|value| !value.eq_ignore_ascii_case("none"))
        };
        if let Some(program) = is_set("authorizedkeyscommand")
            && (view.machine().remote || cannot_start(view, program, None)?.is_none())
        {
            return Ok(true);
        }
        match is_set("trustedusercakeys") {
            Some(file) => Ok(view.stat(file)?.is_some_and(|node| node.size > 0)),
            None => Ok(false),
        }
    }

    /// Whether an account comes in by a password.
    fn takes_password(&self, account: &Account, client: Client<'_>) -> bool {
        let is_on = ["password", "keyboard-interactive"]
            .iter()
            .any(|method| methods::is_on(self.settings, Some(client), method));
        let root = self.settings.of(client, "permitrootlogin").map(Line::value);
        is_on && (!account.is_root() || root.is_some_and(|root| root.eq_ignore_ascii_case("yes")))
    }

    fn groups(&self, account: &Account) -> Result<Vec<String>> {
        match account.name.is_empty() || self.guest.view.machine().remote {
            true => Ok(Vec::new()),
            false => account.groups(self.guest.view),
        }
    }

    /// Why an account does not come in, whatever it comes in by.
    fn before(&self, account: &Account) -> Result<Option<Fault>> {
        self.lets_in(account, By::Later { password: true })
    }

    /// Why an account does not come in; from the addresses that lines ask for, or from others.
    fn lets_in(&self, account: &Account, by: By) -> Result<Option<Fault>> {
        let groups = self.groups(account)?;
        let client = Client { user: &account.name, groups: &groups, is_named: false };
        let fault = self.judge(account, client, by)?;
        match fault {
            Some(fault) if self.settings.asks_for_addresses() => {
                let named = self.judge(account, Client { is_named: true, ..client }, by)?;
                Ok(named.map(|named| if named.is_sure { fault } else { named }))
            }
            fault => Ok(fault),
        }
    }

    fn judge(&self, account: &Account, client: Client<'_>, by: By) -> Result<Option<Fault>> {
        let sure = |place: &str, why: String| Ok(Some(Fault::sure(place, why)));
        if let Some(why) = &account.no_shell {
            return sure(PASSWD, why.clone());
        }
        if account.expires.is_some_and(is_over) {
            return sure(SHADOW, "the account has expired".into());
        }
        if account.lacks_shadow && self.settings.pam == Some(true) {
            return sure(SHADOW, "it has no line of the account, and PAM lets nobody in without".into());
        }
        if account.password == Password::Locked && self.settings.pam != Some(true) {
            return sure(SHADOW, "the account is locked, and UsePAM is not on".into());
        }
        if let Some(line) = self.settings.of(client, "permitrootlogin").filter(|_| account.is_root())
            && matches!(line.value().to_ascii_lowercase().as_str(), "no" | "forced-commands-only")
        {
            return sure(&line.place, format!("PermitRootLogin is {}", line.value()));
        }
        if let Some(fault) = self.lists(account, client) {
            return Ok(Some(fault));
        }
        if let Some(fault) = self.lacks_method(account, client, by)? {
            return Ok(Some(fault));
        }
        session::ends(self, account, client)
    }

    /// Why the lists of users and groups keep an account out.
    fn lists(&self, account: &Account, client: Client<'_>) -> Option<Fault> {
        // The groups of a snapshot's accounts are not looked at.
        let is_anybody = account.name.is_empty();
        let has_groups = !is_anybody && !self.guest.view.machine().remote;
        let is_named = |pattern: &String, any_host: bool| match pattern.split_once('@') {
            Some((user, host)) => glob::matches(user, client.user) && (any_host || host == "*"),
            None => glob::matches(pattern, client.user),
        };
        let in_groups = |pattern: &String| client.groups.iter().any(|group| glob::matches(pattern, group));
        let is_all = |pattern: &String| matches!(pattern.as_str(), "*" | "*@*");
        let fits = |keyword: &str, pattern: &String| match keyword {
            "DenyUsers" | "DenyGroups" if is_all(pattern) => true,
            "DenyUsers" => !is_anybody && is_named(pattern, false),
            "DenyGroups" => in_groups(pattern),
            "AllowUsers" => is_anybody || is_named(pattern, true),
            _ => !has_groups || in_groups(pattern),
        };
        for keyword in ["DenyUsers", "AllowUsers", "DenyGroups", "AllowGroups"] {
            let lines = self.settings.lists_of(client, &keyword.to_ascii_lowercase());
            let mut patterns = lines.iter().flat_map(|line| &line.arguments).peekable();
            let is_denied = match keyword.starts_with("Deny") {
                true => patterns.any(|pattern| fits(keyword, pattern)),
                false => patterns.peek().is_some() && !patterns.any(|pattern| fits(keyword, pattern)),
            };
            if let (true, Some(line)) = (is_denied, lines.last()) {
                let values = line.arguments.join(" ");
                return Some(Fault::sure(&line.place, format!("{keyword} {values} keeps it out")));
            }
        }
        None
    }

    /// Why no way to log in is left.
    fn lacks_method(&self, account: &Account, client: Client<'_>, by: By) -> Result<Option<Fault>> {
        let settings = self.settings;
        let algorithms = settings.of(client, "pubkeyacceptedalgorithms");
        // Without the file no key is taken at all.
        let lacks_revoked = match self.revoked(client) {
            Some(line) => !self.guest.view.exists(line.value())?,
            None => false,
        };
        let has_key = match by {
            _ if lacks_revoked => false,
            By::Own => true,
            By::Later { .. } => !self.key_files(account, client).is_empty() || self.has_other_keys(client)?,
        };
        let key = has_key && algorithms::takes_any(algorithms.map(Line::value));
        let may_have_password = match by {
            By::Own => matches!(account.password, Password::Set | Password::Empty),
            By::Later { password } => password,
        };
        let password = may_have_password && self.takes_password(account, client);
        let is_any_there = |files: &[&str]| {
            files
                .iter()
                .try_fold(false, |found, file| Ok::<_, crate::Error>(found || self.guest.view.exists(file)?))
        };
        let has_tickets = is_any_there(methods::KEYTABS)?;
        let trusts_hosts = is_any_there(methods::HOSTS)?;
        let can = |method: &str| {
            methods::is_on(settings, Some(client), method)
                && match method.split(':').next().unwrap_or(method) {
                    "publickey" => key,
                    "password" => password,
                    // modules of PAM may ask for something else than the password
                    "keyboard-interactive" => password || settings.pam == Some(true) && !account.is_root(),
                    "gssapi-with-mic" => has_tickets,
                    "hostbased" => trusts_hosts,
                    _ => true,
                }
        };
        let lists = settings.of(client, "authenticationmethods");
        let lists = lists.filter(|line| !line.value().eq_ignore_ascii_case("any"));
        let (is_open, place) = match lists {
            Some(line) => (line.arguments.iter().any(|list| list.split(',').all(can)), Some(line)),
            None => {
                let mut ways = methods::ALL.iter().map(|(method, ..)| *method);
                // a way that asks for nothing is for empty passwords; one with a second factor is a list's
                let is_way =
                    |method: &str| method != "none" && (method != "keyboard-interactive" || password);
                let line = ["pubkeyauthentication", "authorizedkeysfile", "passwordauthentication"]
                    .iter()
                    .find_map(|keyword| settings.of(client, keyword))
                    .or(algorithms);
                (ways.any(|method| is_way(method) && can(method)), line)
            }
        };
        if is_open {
            return Ok(None);
        }
        let place = place.map_or(self.config, |line| line.place.as_str());
        let why = match methods::is_on(settings, Some(client), "publickey") {
            false => "keys and passwords are switched off, or it has none that is asked for",
            true if lacks_revoked => {
                "the file of RevokedKeys is not there, so no key is taken, and no password is"
            }
            true if !has_key => "no file is to have its keys, and it has no password that is taken",
            true if !key => "sshd is told to take no key of a kind that there is, and no password",
            true => "it has not all that sshd asks for",
        };
        Ok(Some(Fault::sure(place, why)))
    }
}

/// Whether somebody comes in to an account by a password, at the console at least.
fn has_password(account: &Account) -> bool {
    account.no_shell.is_none() && matches!(account.password, Password::Set | Password::Empty)
}

/// Somebody who has an account that is not in the files.
fn somebody() -> Account {
    Account {
        name: String::new(),
        uid: None,
        gid: String::new(),
        home: "/home/somebody".into(),
        shell: "/bin/sh".into(),
        no_shell: None,
        password: Password::Set,
        expires: None,
        lacks_shadow: false,
    }
}

/// A path with what stands for an account in it filled in; one without a slash at its start is in the home.
pub(super) fn path(pattern: &str, account: &Account) -> String {
    let uid = account.uid.map_or_else(String::new, |uid| uid.to_string());
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('%', Some('h')) => out.push_str(&account.home),
            ('%', Some('u')) => out.push_str(&account.name),
            ('%', Some('U')) => out.push_str(&uid),
            ('%', Some('%')) => out.push('%'),
            (c, _) => {
                out.push(c);
                continue;
            }
        }
        chars.next();
    }
    if out.starts_with('/') { out } else { format!("{}/{out}", account.home.trim_end_matches('/')) }
}

/// Today, by the clock of this machine.
pub(super) fn today() -> Option<Date> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(OffsetDateTime::from_unix_timestamp(i64::try_from(now.as_secs()).ok()?).ok()?.date())
}

/// Whether a day, counted from 1970, is over.
fn is_over(day: u64) -> bool {
    const DAY_OF_1970: i64 = 2_440_588;
    let day = i64::try_from(day).unwrap_or(i64::MAX).saturating_add(DAY_OF_1970);
    today().is_some_and(|today| day < i64::from(today.to_julian_day()))
}
