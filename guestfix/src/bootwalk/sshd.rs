//! The server for SSH: its unit, its program, and a configuration and keys that it takes.

mod config;
mod keys;
mod keywords;
mod listen;
mod options;
mod people;
mod shut;
mod wrappers;

use self::config::{Server, Settings};
use self::listen::Listen;
use super::accounts::Accounts;
use super::login::Door;
use super::target::Init;
use super::{pam, service};
use crate::programs::cannot_start;
use crate::systemd::Unit;
use crate::text::pam::Kind;
use crate::{Guest, Result, View, programs, services};

/// By these the configuration of distributions starts it.
pub(super) const UNITS: &[&str] = &["ssh.service", "sshd.service", "ssh.socket", "sshd.socket"];
/// Its configuration: the first of these that is there.
const CONFIGS: &[&str] =
    &["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config", "/usr/share/openssh/sshd_config"];
const PASSWD: &str = "/etc/passwd";
/// The account that it gives up root's rights for.
const ACCOUNT: &str = "sshd";

/// The way in by it.
pub(super) fn ssh(
    guest: &Guest<'_>,
    init: Init,
    accounts: &Accounts,
    arguments: &str,
    arch: Option<&str>,
) -> Result<Door> {
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
        let served = options::served(view, &unit)?;
        for unit in [&unit, &served] {
            if let Some(fault) = service::fault(view, unit, arguments, arch)? {
                return Ok(fault.into());
            }
        }
        if let Some(door) = options::doubtful(view, &served)? {
            return Ok(door);
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
    let mut server = Server::new(view, &program);
    if let Some(why) = server.lacks_parts(arch)? {
        return Ok(Door::stuck(program.clone(), why));
    }
    let Some(config) = config(view)? else {
        return Ok(Door::stuck(CONFIGS[0], "sshd does not start without it"));
    };
    let mut settings = Settings::default();
    if let Some(door) = server.read(config, &mut settings, false, 0)? {
        return Ok(door);
    }
    if let Some(door) = keys::lacking(view, &settings)? {
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
    if !settings.has_method() {
        return Ok(Door::stuck(config, "sshd lets nobody in: keys and passwords are switched off"));
    }
    let listen = Listen::of(view, &unit, &settings)?;
    if let Some(door) = listen.shut(guest)? {
        return Ok(door);
    }
    let parts = server.parts()?;
    if let Some(door) = wrappers::shut(view, &[vec![program.clone()], parts].concat())? {
        return Ok(door);
    }
    if let Some(door) = shut::by(view, listen.is_at_22())? {
        return Ok(door);
    }
    Ok(Door::open(config, "sshd"))
}

/// The configuration that the server reads.
fn config(view: &dyn View) -> Result<Option<&'static str>> {
    for path in CONFIGS {
        if view.exists(path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What starts the server: the unit, or the script or job of the same name of an older init. One that is
/// masked is named as well, as somebody has set it up.
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
            match ssh(guest, Init::Systemd, &accounts, "quiet", None).unwrap() {
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
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            "PubkeyAuthentication no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             Match Group ops\n  PubkeyAuthentication yes\n",
        ] {
            assert_eq!(wrong(&debian().file(CONFIG, text)), None, "{text}");
        }
        let program = [library(&[]), b"vendorsown\0".to_vec()].concat();
        assert_eq!(wrong(&debian().program(SSHD, program).file(CONFIG, "VendorsOwn 1\n")), None);
    }

    #[test]
    fn what_sshd_refuses_shuts_the_door_with_the_line() {
        let config = |text: &str| debian().file(CONFIG, text);
        let newer = [library(&[]), b"%s line %d: invalid quotes\0".to_vec()].concat();
        assert_eq!(wrong(&config("Banner it's\n")), None, "a letter to an older version");
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
            (config("Banner it's\n").program(SSHD, newer), "a quote is opened and not closed"),
            (dropped, "/etc/ssh/sshd_config.d/x.conf:1: sshd does not start with it: usepam cannot be maybe"),
            (
                config(
                    "PubkeyAuthentication no\nPasswordAuthentication no\nChallengeResponseAuthentication no\n",
                ),
                "keys and passwords are switched off",
            ),
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
        let text = "Ciphers aes256-ctr,\nMACs +hmac-sha2-256\nKexAlgorithms -diffie-*\n";
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
            "ListenAddress [::1]:22\nListenAddress 0.0.0.0:2222\n",
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
            ("ListenAddress 127.0.0.1\nListenAddress 10.0.1.23:22\n", ":2 unsure: sshd listens at 10.0.1.23"),
            ("AddressFamily inet6\n", "listens by IPv6 only"),
            ("ListenAddress ::\n", "listens by IPv6 only"),
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
            ("ALL: ALL\n", "sshd: 203.0.113.7\nsshd: 10.0.\n"),
            ("ALL: ALL EXCEPT .example.com\n", ""),
            ("ALL: ALL\n", "sshd: [::1]: deny\nsshd: ALL EXCEPT 10.9.: rfc931: allow\n"),
            ("sshd: ALL\n", "sshd: ALL: allow\n"),
        ] {
            assert_eq!(with(deny, allow), None, "{deny}{allow}");
        }
        let refuses = Some("/etc/hosts.deny: sshd refuses whoever connects".to_owned());
        assert_eq!(with("sshd: ALL\n", ""), refuses);
        assert_eq!(with("vsftpd, sshd :\\\n ALL : spawn /bin/x\n", "in.ftpd: ALL\n"), refuses);
        assert!(with("", "sshd: ALL: deny\n").is_some());
        assert!(with("", "sshd: ALL: twist /bin/echo no\n").is_some());
        assert!(with("sshd: ALL EXCEPT 10.0.\n", "").unwrap().contains("unsure: sshd lets in 10.0. only"));
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
    fn options_of_its_command_line_are_understood_or_named() {
        let unit = "[Service]\nEnvironmentFile=-/etc/default/ssh\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n";
        let with = |unit: &str, options: &str| {
            wrong(&debian().file("/lib/systemd/system/ssh.service", unit).file("/etc/default/ssh", options))
        };
        for fine in [
            "SSHD_OPTS='-o LogLevel=VERBOSE -oUseDNS=no -p 22'\n",
            "",
            "SSHD_OPTS=\n",
            "# SSHD_OPTS=-x\nSSHD_OPTS='-e -u0'\n",
            "OTHER=-f\n",
        ] {
            assert_eq!(with(unit, fine), None, "{fine}");
        }
        let why = with(unit, "SSHD_OPTS=\"-f /etc/ssh/gone\"\n").unwrap();
        assert_eq!(
            why,
            "/etc/default/ssh unsure: nobody can tell whether sshd works with this on its command line: -f"
        );
        assert!(with(&unit.replace("-D", "-D -p 2222"), "").is_some());
        let own = |text: &str| wrong(&debian().file("/etc/systemd/system/ssh.service.d/x.conf", text));
        assert!(own("[Service]\nCapabilityBoundingSet=\n").is_some_and(|why| why.contains("unsure")));
        assert_eq!(own("[Service]\nProtectSystem=full\nSystemCallFilter=\n"), None);
    }

    #[test]
    fn what_a_socket_starts_is_judged_as_well() {
        let wants = "/etc/systemd/system/sockets.target.wants/ssh.socket";
        let with = |socket: &str, service: &str| {
            let bench = debian().without("/etc/systemd/system/multi-user.target.wants/ssh.service");
            let bench = bench.link(wants, "/lib/systemd/system/ssh.socket");
            wrong(
                &bench
                    .file("/lib/systemd/system/ssh.socket", socket)
                    .file(service, "[Service]\nUser=ghost\n"),
            )
        };
        let each = "[Socket]\nListenStream=22\nAccept=yes\n";
        let template = "/lib/systemd/system/ssh@.service";
        let why = with(each, template).unwrap();
        assert!(why.contains("is to run as ghost"), "{why}");
        assert_eq!(with("[Socket]\nListenStream=22\n", template), None, "another service serves");
        let drop_in = "/etc/systemd/system/ssh.service.d/a.conf";
        assert!(with("[Socket]\nListenStream=22\n", drop_in).is_some());
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
