//! The server for SSH: its unit, its program, and a configuration and keys that it takes.

mod listen;
mod people;
mod shut;
mod wrappers;

use super::accounts::Accounts;
use super::login::Door;
use super::target::Init;
use super::{pam, service};
use crate::network::glob;
use crate::programs::cannot_start;
use crate::systemd::Unit;
use crate::text::bytes;
use crate::text::pam::Kind;
use crate::text::sshd_config::{Entry, entries};
use crate::{Guest, Result, View, programs, services};

/// By these the configuration of distributions starts it.
pub(super) const UNITS: &[&str] = &["ssh.service", "sshd.service", "ssh.socket", "sshd.socket"];
/// Its configuration: the first of these that is there.
const CONFIGS: &[&str] =
    &["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config", "/usr/share/openssh/sshd_config"];
const DIR: &str = "/etc/ssh";
const PASSWD: &str = "/etc/passwd";
/// Host keys where none is named.
const KEYS: &[&str] = &["rsa", "ecdsa", "ed25519", "dsa"];
/// How deep files include files, and the most files in all.
const DEPTH: usize = 16;
const FILES: usize = 256;
/// Programs that newer servers start for each connection.
const PARTS: &[&str] = &["/sshd-session", "/sshd-auth"];
/// The account that it gives up root's rights for.
const ACCOUNT: &str = "sshd";

/// The way in by it.
pub(super) fn ssh(guest: &Guest<'_>, init: Init, accounts: &Accounts, arch: Option<&str>) -> Result<Door> {
    let view = guest.view;
    let Some(unit) = unit(view, init)? else {
        let why = if programs::find(view, "sshd")?.is_some() {
            "nothing starts sshd"
        } else {
            "sshd is not installed"
        };
        return Ok(Door::Closed(why.into()));
    };
    if init == Init::Systemd {
        let fault = match unit.ends_with(".service") {
            true => service::fault(view, &unit, arch)?,
            false => Unit::find(view, &unit)?.fault(&unit),
        };
        if let Some((place, why)) = fault {
            return Ok(Door::Stuck { place, why });
        }
    }
    let Some(program) = programs::find(view, "sshd")? else {
        return Ok(Door::stuck(unit, "it is to start sshd, which is not installed"));
    };
    if let Some(why) = cannot_start(view, &program, arch)? {
        return Ok(Door::stuck(program, why));
    }
    if !accounts.has(ACCOUNT) {
        return Ok(Door::stuck(PASSWD, "sshd does not start without an account of its own, sshd"));
    }
    let mut server = Server { view, program: &program, content: None, files: 0 };
    if let Some(why) = server.lacks_parts(arch)? {
        return Ok(Door::stuck(program.clone(), why));
    }
    let mut config = None;
    for path in CONFIGS {
        config = config.or(view.exists(path)?.then_some(*path));
    }
    let Some(config) = config else {
        return Ok(Door::stuck(CONFIGS[0], "sshd does not start without it"));
    };
    let mut settings = Settings::default();
    if let Some(door) = server.read(config, &mut settings, false, 0)? {
        return Ok(door);
    }
    if let Some(door) = no_key(view, &settings)? {
        return Ok(door);
    }
    if settings.pam == Some(true) {
        // the modules that a login by a key asks
        if let Some(door) = pam::shuts(view, &program, "sshd", &[Kind::Account, Kind::Session])? {
            return Ok(door);
        }
    }
    let root = !settings.root.as_deref().is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if let Some(door) = settings.lists.shut(view, accounts, root)? {
        return Ok(door);
    }
    let listen = match unit.ends_with(".socket") {
        true => listen::of_socket(view, &unit)?,
        false => listen::shut(&settings.addresses, settings.family.as_deref().unwrap_or("any")),
    };
    if let Some(door) = listen {
        return Ok(door);
    }
    let parts = server.parts()?;
    if let Some(door) = wrappers::shut(view, &[vec![program.clone()], parts].concat())? {
        return Ok(door);
    }
    if let Some(door) = shut::by(guest)? {
        return Ok(door);
    }
    Ok(Door::open(config, "sshd"))
}

/// What starts the server: the unit, or the script or job of the same name of an older init. One that is masked
/// is named as well, as somebody has set it up.
fn unit(view: &dyn View, init: Init) -> Result<Option<String>> {
    let mut masked = None;
    for unit in UNITS {
        if init == Init::Systemd && matches!(Unit::find(view, unit)?, Unit::Masked(_)) {
            masked = Some((*unit).to_owned());
        } else if services::is_started(view, unit)? {
            return Ok(Some((*unit).to_owned()));
        }
    }
    Ok(masked)
}

/// What the configuration says.
#[derive(Default)]
struct Settings {
    /// The host keys that are named.
    keys: Vec<String>,
    /// Whether an agent has the keys.
    agent: bool,
    /// Whether PAM is asked; the first line counts.
    pam: Option<bool>,
    /// How root may log in; the first line counts.
    root: Option<String>,
    /// Who may.
    lists: people::Lists,
    /// Line and value of each address that is named.
    addresses: Vec<(String, String)>,
    family: Option<String>,
}

/// The program that reads it.
struct Server<'a> {
    view: &'a dyn View,
    program: &'a str,
    content: Option<Vec<u8>>,
    files: usize,
}

impl Server<'_> {
    /// Why the server does not take a file, or one that it includes, where that is below a `Match`.
    fn read(
        &mut self,
        path: &str,
        settings: &mut Settings,
        below_match: bool,
        depth: usize,
    ) -> Result<Option<Door>> {
        self.files += 1;
        if depth > DEPTH || self.files > FILES {
            return Ok(Some(Door::stuck(path, "files include files without end")));
        }
        let text = self.view.text(path)?.unwrap_or_default();
        for mut entry in entries(&text) {
            entry.conditional |= below_match;
            let at = format!("{path}:{}", entry.line);
            if let Some(why) = self.refuses(&entry)? {
                return Ok(Some(Door::stuck(at, format!("sshd does not start with it: {why}"))));
            }
            let first = entry.arguments.first().copied().unwrap_or_default();
            match entry.keyword.as_str() {
                "include" => {
                    for pattern in &entry.arguments {
                        for file in self.included(pattern)? {
                            if let Some(door) = self.read(&file, settings, entry.conditional, depth + 1)? {
                                return Ok(Some(door));
                            }
                        }
                    }
                }
                "hostkey" if !entry.conditional => settings.keys.push(first.to_owned()),
                "hostkeyagent" if !entry.conditional => settings.agent = first != "none",
                _ if entry.conditional => {}
                "permitrootlogin" => settings.root = settings.root.take().or(Some(first.to_owned())),
                "allowusers" | "denyusers" | "allowgroups" | "denygroups" => {
                    settings.lists.add(&entry.keyword, &at, &entry.arguments);
                }
                "listenaddress" => settings.addresses.push((at, first.to_owned())),
                "addressfamily" => {
                    settings.family = settings.family.take().or(Some(first.to_ascii_lowercase()));
                }
                "usepam" => settings.pam = settings.pam.or(Some(first.eq_ignore_ascii_case("yes"))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The files that a pattern means; only the last part of it may have wildcards.
    fn included(&self, pattern: &str) -> Result<Vec<String>> {
        let path = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{DIR}/{pattern}") };
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut names = self.view.list(dir)?;
        names.retain(|found| glob::matches(name, found));
        names.sort();
        Ok(names.into_iter().map(|name| format!("{dir}/{name}")).collect())
    }

    /// Why the server refuses a line.
    fn refuses(&mut self, entry: &Entry<'_>) -> Result<Option<String>> {
        let Entry { keyword, arguments, .. } = entry;
        if !KEYWORDS.contains(&keyword.as_str()) && !self.says(keyword)? {
            return Ok(Some(format!("it knows no {keyword}")));
        }
        if entry.unbalanced {
            return Ok(Some("a quote is opened and not closed".into()));
        }
        let is_known = KEYWORDS.contains(&keyword.as_str());
        if entry.conditional && is_known && !IN_MATCH.contains(&keyword.as_str()) {
            return Ok(Some(format!("{keyword} is not allowed below Match")));
        }
        let Some(value) = arguments.first() else {
            return Ok((!LISTS.contains(&keyword.as_str())).then(|| format!("{keyword} has no value")));
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
        for name in value.trim_start_matches(['+', '^']).split(',') {
            let is_pattern = name.contains(['*', '?']);
            if name != "none" && !is_pattern && !self.says(name)? {
                return Ok(Some(format!("it knows no {name}, which {keyword} names")));
            }
        }
        Ok(None)
    }

    /// Whether a word is among the texts of the program: it then knows the keyword.
    fn says(&mut self, word: &str) -> Result<bool> {
        let wanted = [word.as_bytes(), b"\0"].concat();
        Ok(!word.is_empty() && self.find(&wanted)?.is_some())
    }

    fn find(&mut self, wanted: &[u8]) -> Result<Option<usize>> {
        let content = match self.content.take() {
            Some(content) => content,
            None => self.view.read(self.program)?.map(|content| content.to_vec()).unwrap_or_default(),
        };
        let found = content.windows(wanted.len().max(1)).position(|part| part == wanted);
        self.content = Some(content);
        Ok(found)
    }

    /// Why a program that it starts for each connection cannot be started. A snapshot's bytes are paid for.
    fn lacks_parts(&mut self, arch: Option<&str>) -> Result<Option<String>> {
        for part in self.parts()? {
            if let Some(why) = cannot_start(self.view, &part, arch)? {
                return Ok(Some(format!("it starts a program for each connection, and {why}")));
            }
        }
        Ok(None)
    }

    /// The programs that it starts for each connection; none of a snapshot.
    fn parts(&mut self) -> Result<Vec<String>> {
        let mut parts = Vec::new();
        for part in PARTS.iter().filter(|_| !self.view.machine().remote) {
            let Some(at) = self.find(&[part.as_bytes(), b"\0"].concat())? else { continue };
            let before = self.content.as_ref().and_then(|content| content.get(..at)).unwrap_or_default();
            let start = before.iter().rposition(|byte| *byte == 0).map_or(0, |at| at.saturating_add(1));
            let dir = bytes::decode(before.get(start..).unwrap_or_default());
            if dir.starts_with('/') {
                parts.push(format!("{dir}{part}"));
            }
        }
        Ok(parts)
    }
}

/// Why there is no host key that the server takes.
fn no_key(view: &dyn View, settings: &Settings) -> Result<Option<Door>> {
    if settings.agent {
        return Ok(None);
    }
    let keys = match settings.keys.is_empty() {
        true => KEYS.iter().map(|kind| format!("{DIR}/ssh_host_{kind}_key")).collect(),
        false => settings.keys.clone(),
    };
    let mut unfit = None;
    for key in keys {
        match unusable(view, &key)? {
            Key::Fine => return Ok(None),
            Key::Unfit(why) => unfit = unfit.or(Some(Door::stuck(key, why))),
            Key::Missing => {}
        }
    }
    if unfit.is_none() && !makes_keys(view)? {
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

fn unusable(view: &dyn View, path: &str) -> Result<Key> {
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
/// scripts of older inits.
fn makes_keys(view: &dyn View) -> Result<bool> {
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
    let cloud = view.exists("/usr/bin/cloud-init")? && !view.exists("/etc/cloud/cloud-init.disabled")?;
    Ok(cloud || view.exists("/etc/init.d/sshd")? || view.exists("/etc/rc.d/init.d/sshd")?)
}

/// Keywords that stand without a value in older versions.
const LISTS: &[&str] = &["acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers"];

/// Keywords that are either yes or no.
const SWITCHES: &[&str] = &[
    "challengeresponseauthentication",
    "exposeauthinfo",
    "gssapiauthentication",
    "hostbasedauthentication",
    "kbdinteractiveauthentication",
    "passwordauthentication",
    "permitemptypasswords",
    "permittty",
    "permituserrc",
    "printlastlog",
    "printmotd",
    "pubkeyauthentication",
    "strictmodes",
    "tcpkeepalive",
    "usedns",
    "usepam",
    "x11forwarding",
    "x11uselocalhost",
];

/// Keywords of lists of algorithms.
const ALGORITHMS: &[&str] = &[
    "casignaturealgorithms",
    "ciphers",
    "hostbasedacceptedalgorithms",
    "hostbasedacceptedkeytypes",
    "hostkeyalgorithms",
    "kexalgorithms",
    "macs",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
];

/// Keywords whose values are words of a list.
const VALUES: &[(&str, &[&str])] = &[
    ("addressfamily", &["any", "inet", "inet6"]),
    ("allowstreamlocalforwarding", &["yes", "no", "all", "local", "remote"]),
    ("allowtcpforwarding", &["yes", "no", "all", "local", "remote"]),
    ("compression", &["yes", "no", "delayed"]),
    ("fingerprinthash", &["md5", "sha256"]),
    ("gatewayports", &["yes", "no", "clientspecified"]),
    ("loglevel", &["quiet", "fatal", "error", "info", "verbose", "debug", "debug1", "debug2", "debug3"]),
    ("permittunnel", &["yes", "no", "point-to-point", "ethernet"]),
    (
        "syslogfacility",
        &[
            "daemon", "user", "auth", "authpriv", "local0", "local1", "local2", "local3", "local4", "local5",
            "local6", "local7",
        ],
    ),
];

/// Those of the keywords that may stand below `Match`.
const IN_MATCH: &[&str] = &[
    "acceptenv",
    "allowagentforwarding",
    "allowgroups",
    "allowstreamlocalforwarding",
    "allowtcpforwarding",
    "allowusers",
    "authenticationmethods",
    "authorizedkeyscommand",
    "authorizedkeyscommanduser",
    "authorizedkeysfile",
    "authorizedkeysfile2",
    "authorizedprincipalscommand",
    "authorizedprincipalscommanduser",
    "authorizedprincipalsfile",
    "banner",
    "casignaturealgorithms",
    "challengeresponseauthentication",
    "channeltimeout",
    "chrootdirectory",
    "clientalivecountmax",
    "clientaliveinterval",
    "denygroups",
    "denyusers",
    "disableforwarding",
    "exposeauthinfo",
    "forcecommand",
    "gatewayports",
    "gssapiauthentication",
    "hostbasedacceptedalgorithms",
    "hostbasedacceptedkeytypes",
    "hostbasedauthentication",
    "hostbasedusesnamefrompacketonly",
    "ignorerhosts",
    "include",
    "ipqos",
    "kbdinteractiveauthentication",
    "kerberosauthentication",
    "loglevel",
    "logverbose",
    "match",
    "maxauthtries",
    "maxsessions",
    "passwordauthentication",
    "permitemptypasswords",
    "permitlisten",
    "permitopen",
    "permitrootlogin",
    "permittty",
    "permittunnel",
    "permituserrc",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
    "pubkeyauthentication",
    "pubkeyauthoptions",
    "rdomain",
    "rekeylimit",
    "revokedkeys",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "setenv",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "subsystem",
    "trustedusercakeys",
    "x11displayoffset",
    "x11forwarding",
    "x11uselocalhost",
];

/// The keywords of sshd_config(5), OpenSSH 5.3 to 10.0, and those of old that are passed over. One that is not
/// here is looked for in the server itself.
const KEYWORDS: &[&str] = &[
    "acceptenv",
    "addressfamily",
    "allowagentforwarding",
    "allowgroups",
    "allowstreamlocalforwarding",
    "allowtcpforwarding",
    "allowusers",
    "authenticationmethods",
    "authorizedkeyscommand",
    "authorizedkeyscommanduser",
    "authorizedkeysfile",
    "authorizedkeysfile2",
    "authorizedprincipalscommand",
    "authorizedprincipalscommanduser",
    "authorizedprincipalsfile",
    "banner",
    "casignaturealgorithms",
    "challengeresponseauthentication",
    "channeltimeout",
    "chrootdirectory",
    "ciphers",
    "clientalivecountmax",
    "clientaliveinterval",
    "compression",
    "debianbanner",
    "denygroups",
    "denyusers",
    "disableforwarding",
    "dsaauthentication",
    "exposeauthinfo",
    "fingerprinthash",
    "forcecommand",
    "gatewayports",
    "gssapiauthentication",
    "gssapicleanupcredentials",
    "gssapikeyexchange",
    "gssapikexalgorithms",
    "gssapistorecredentialsonrekey",
    "gssapistrictacceptorcheck",
    "hostbasedacceptedalgorithms",
    "hostbasedacceptedkeytypes",
    "hostbasedauthentication",
    "hostbasedusesnamefrompacketonly",
    "hostcertificate",
    "hostdsakey",
    "hostkey",
    "hostkeyagent",
    "hostkeyalgorithms",
    "ignorerhosts",
    "ignoreuserknownhosts",
    "include",
    "ipqos",
    "kbdinteractiveauthentication",
    "kerberosauthentication",
    "kerberosgetafstoken",
    "kerberosorlocalpasswd",
    "kerberosticketcleanup",
    "kexalgorithms",
    "keyregenerationinterval",
    "listenaddress",
    "logingracetime",
    "loglevel",
    "logverbose",
    "macs",
    "match",
    "maxauthtries",
    "maxsessions",
    "maxstartups",
    "modulifile",
    "passwordauthentication",
    "permitemptypasswords",
    "permitlisten",
    "permitopen",
    "permitrootlogin",
    "permittty",
    "permittunnel",
    "permituserenvironment",
    "permituserrc",
    "persourcemaxstartups",
    "persourcenetblocksize",
    "pidfile",
    "port",
    "printlastlog",
    "printmotd",
    "protocol",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
    "pubkeyauthentication",
    "pubkeyauthoptions",
    "rdomain",
    "rekeylimit",
    "revokedkeys",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "securitykeyprovider",
    "serverkeybits",
    "setenv",
    "skeyauthentication",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "strictmodes",
    "subsystem",
    "syslogfacility",
    "tcpkeepalive",
    "trustedusercakeys",
    "usedns",
    "uselogin",
    "usepam",
    "useprivilegeseparation",
    "versionaddendum",
    "x11displayoffset",
    "x11forwarding",
    "x11uselocalhost",
    "xauthlocation",
];

#[cfg(test)]
mod tests {
    use super::super::testing::{HOST_KEY, debian};
    use super::*;
    use crate::elf::testing::library;
    use crate::rules::testing::Bench;

    const CONFIG: &str = "/etc/ssh/sshd_config";
    const KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
    const SSHD: &str = "/usr/sbin/sshd";

    fn wrong(bench: &Bench) -> Option<String> {
        bench.guest(|guest| {
            let accounts = Accounts::read(guest.view, None).unwrap().unwrap_or_else(|hop| panic!("{hop:?}"));
            match ssh(guest, Init::Systemd, &accounts, None).unwrap() {
                Door::Open { .. } => None,
                Door::Stuck { place, why } => Some(format!("{place}: {why}")),
                Door::Unsure { place, why } => Some(format!("{place} unsure: {why}")),
                Door::Closed(why) => Some(why),
            }
        })
    }

    #[test]
    fn a_configuration_that_sshd_takes_opens_the_door() {
        assert_eq!(wrong(&debian()), None);
        for text in [
            "Port 2222\nPermitRootLogin prohibit-password\nUsePAM = yes\nAllowUsers\n",
            "Include /etc/ssh/none.d/*.conf\nMatch User a\n  Banner /gone\nMatch all\nX11Forwarding no\n",
            "",
        ] {
            assert_eq!(wrong(&debian().file(CONFIG, text)), None, "{text}");
        }
        let program = [library(&[]), b"vendorsown\0".to_vec()].concat();
        assert_eq!(wrong(&debian().program(SSHD, program).file(CONFIG, "VendorsOwn 1\n")), None);
    }

    #[test]
    fn what_sshd_refuses_shuts_the_door_with_the_line() {
        let config = |text: &str| debian().file(CONFIG, text);
        let dropped =
            config("Include sshd_config.d/*.conf\n").file("/etc/ssh/sshd_config.d/x.conf", "UsePAM maybe\n");
        for (bench, why) in [
            (
                config("UsePAM yes\nPermitRotLogin no\n"),
                "sshd_config:2: sshd does not start with it: it knows no permitrotlogin",
            ),
            (config("Port 0\n"), "port cannot be 0"),
            (config("Port ssh\n"), "port cannot be ssh"),
            (config("PermitRootLogin maybe\n"), "permitrootlogin cannot be maybe"),
            (config("HostKey\n"), "hostkey has no value"),
            (config("Ciphers aes256-ctr,foo-bar\n"), "it knows no aes256-ctr, which ciphers names"),
            (config("MACs +foo-bar\n"), "it knows no foo-bar, which macs names"),
            (config("LogLevel loud\n"), "loglevel cannot be loud"),
            (config("Match User a\n  Port 23\n"), "port is not allowed below Match"),
            (
                config("Match User a\nInclude /etc/ssh/x\n").file("/etc/ssh/x", "UsePAM yes\n"),
                "/etc/ssh/x:1: sshd does not start with it: usepam is not allowed below Match",
            ),
            (config("Banner \"/etc/issue\n"), "a quote is opened and not closed"),
            (dropped, "/etc/ssh/sshd_config.d/x.conf:1: sshd does not start with it: usepam cannot be maybe"),
            (config("Include /etc/ssh/sshd_config\n"), "files include files without end"),
            (debian().without(CONFIG), "sshd does not start without it"),
            (
                debian().file("/etc/passwd", "root:x:0:0::/root:/bin/bash\n"),
                "sshd does not start without an account of its own",
            ),
        ] {
            let found = wrong(&bench);
            assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{why}: {found:?}");
        }
    }

    #[test]
    fn a_host_key_is_one_that_sshd_takes_or_that_something_makes() {
        let keyless = || debian().without(KEY);
        let unit = "/lib/systemd/system/sshd-keygen@.service";
        let keygen =
            |bench: Bench| bench.file(unit, "[Service]\n").program("/usr/bin/ssh-keygen", library(&[]));
        assert_eq!(wrong(&keygen(keyless())), None);
        assert_eq!(wrong(&keygen(debian().secret(KEY, ""))), None, "one that is empty is made");
        assert_eq!(wrong(&keyless().secret("/opt/key", HOST_KEY).file(CONFIG, "HostKey /opt/key\n")), None);
        for (bench, why) in [
            (keyless(), "sshd has no host keys, and nothing makes them"),
            (keyless().file(unit, "[Service]\n"), "sshd has no host keys, and nothing makes them"),
            (debian().secret(KEY, ""), "sshd has no host keys, and nothing makes them"),
            (debian().file(CONFIG, "HostKey /gone\n"), "sshd has no host keys, and nothing makes them"),
            (debian().without(KEY).file(KEY, HOST_KEY), "no host key that others may read: its mode is 0644"),
            (keygen(debian().secret(KEY, &HOST_KEY[..40])), "it is no host key, or not a whole one"),
            (debian().secret(KEY, library(&[])), "it is no host key, or not a whole one"),
        ] {
            let found = wrong(&bench);
            assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{why}: {found:?}");
        }
    }

    #[test]
    fn algorithms_are_those_that_the_program_knows() {
        let program = [library(&[]), b"aes256-ctr\0hmac-sha2-256\0".to_vec()].concat();
        let text = "Ciphers aes256-ctr\nMACs +hmac-sha2-256\nKexAlgorithms -diffie-*\n";
        let bench = debian().program(SSHD, program);
        assert_eq!(wrong(&bench.clone().file(CONFIG, text)), None);
        let why = wrong(&bench.file(CONFIG, "Ciphers aes256-ctr,foo-bar\n")).unwrap();
        assert!(why.ends_with("it knows no foo-bar, which ciphers names"), "{why}");
    }

    #[test]
    fn somebody_may_come_in_from_somewhere() {
        let group = "root:x:0:\nwheel:x:10:bob,root\n";
        let config = |text: &str| debian().file(CONFIG, text).file("/etc/group", group);
        for text in [
            "ListenAddress 0.0.0.0\nListenAddress 10.0.1.23\n",
            "ListenAddress 0.0.0.0:22\nAddressFamily inet\n",
            "AllowUsers admin r*t@10.0.*\nDenyUsers bob *@10.1.*\n",
            "AllowGroups wheel\n",
            "Match User a\n  AllowUsers nobody\n",
        ] {
            assert_eq!(wrong(&config(text)), None, "{text}");
        }
        let directory = config("AllowGroups admins\n").file("/etc/nsswitch.conf", "group: files sss\n");
        assert_eq!(wrong(&directory), None, "a directory may have the group");
        for (text, why) in [
            ("ListenAddress 127.0.0.1\n", ":1: sshd listens at 127.0.0.1, which nobody else reaches"),
            ("ListenAddress [::1]:22\nListenAddress localhost\n", "which nobody else reaches"),
            ("ListenAddress host.example\n", "unsure: sshd listens at host.example"),
            ("AddressFamily inet6\n", "listens by IPv6 only"),
            ("ListenAddress ::\n", "which is IPv6 alone"),
            ("DenyUsers *\n", "all are denied"),
            ("DenyUsers root\n", "nobody who has an account with a shell"),
            ("AllowUsers ec2-user\n", "nobody who has an account with a shell"),
            ("AllowUsers root\nPermitRootLogin no\n", "nobody who has an account with a shell"),
            ("AllowGroups gone\n", "nobody who has an account with a shell"),
            ("DenyGroups wheel\n", "nobody who has an account with a shell"),
        ] {
            let found = wrong(&config(text));
            assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{text}: {found:?}");
        }
    }

    #[test]
    fn hosts_deny_counts_for_a_server_with_libwrap() {
        let lib = "/usr/lib/x86_64-linux-gnu/libwrap.so.0";
        let bench = debian().program(SSHD, library(&["libwrap.so.0"])).file(lib, library(&[]));
        let with = |deny: &str, allow: &str| {
            wrong(&bench.clone().file("/etc/hosts.deny", deny).file("/etc/hosts.allow", allow))
        };
        for (deny, allow) in [
            ("ALL: PARANOID\n", ""),
            ("# sshd: ALL\nvsftpd: ALL\n", ""),
            ("ALL: ALL\n", "sshd: ALL\n"),
            ("ALL: ALL\n", "sshd: 203.0.113.7\n"),
            ("ALL EXCEPT sshd: ALL\n", ""),
            ("sshd: ALL\n", "sshd: ALL: allow\n"),
        ] {
            assert_eq!(with(deny, allow), None, "{deny}{allow}");
        }
        let refuses = Some("/etc/hosts.deny: sshd refuses whoever connects".to_owned());
        assert_eq!(with("sshd: ALL\n", ""), refuses);
        assert_eq!(with("vsftpd, sshd :\\\n ALL : spawn /bin/x\n", "in.ftpd: ALL\n"), refuses);
        assert!(with("", "sshd: ALL: deny\n").is_some());
        assert!(with("ALL: ALL\n", "sshd: 10.0.\n").unwrap().contains("unsure: sshd lets in 10.0. only"));
        let without = debian().file("/etc/hosts.deny", "sshd: ALL\n");
        assert_eq!(wrong(&without), None, "a server without libwrap asks nobody");
    }

    #[test]
    fn a_key_with_a_passphrase_is_none() {
        let key = |body: &str| {
            let text =
                format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n");
            wrong(&debian().secret(KEY, text))
        };
        assert_eq!(key("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"), None);
        let why = key("b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABA").unwrap();
        assert!(why.ends_with("the passphrase that it has"), "{why}");
        for text in [
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nA\n-----END RSA PRIVATE KEY-----\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        ] {
            assert!(wrong(&debian().secret(KEY, text)).is_some(), "{text}");
        }
    }

    #[test]
    fn the_programs_of_a_newer_server_are_there() {
        let program = [library(&[]), b"\0/usr/lib/openssh/sshd-session\0".to_vec()].concat();
        let bench = debian().program(SSHD, program);
        let why = wrong(&bench).unwrap();
        assert!(why.ends_with("/usr/lib/openssh/sshd-session is not there"), "{why}");
        assert_eq!(wrong(&bench.program("/usr/lib/openssh/sshd-session", library(&[]))), None);
    }
}
