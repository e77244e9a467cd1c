use base64::Engine as _;

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
         Match User root\n  PubkeyAuthentication yes\n",
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
        (config("LoginGraceTime -5\n"), "logingracetime cannot be -5"),
        (config("MaxStartups many\n"), "maxstartups cannot be many"),
        (config("KexAlgorithms none\n"), "it knows no none, which kexalgorithms names"),
        (
            config("Subsystem sftp /a\nSubsystem sftp internal-sftp\n"),
            ":2: sshd does not start with it: subsystem sftp",
        ),
        (config("AuthenticationMethods telepathy\n"), "authenticationmethods cannot be telepathy"),
        (config("AuthenticationMethods hostbased\n"), "not all of hostbased is switched on"),
        (config("Match Exec true\n"), "Match knows no exec"),
        (config("Match\n"), "Match asks for nothing"),
        (config("Match Address 10.0.0.0/8 User\n"), "Match user has no value"),
        (config("AuthorizedKeysCommand /bin/keys\n"), "authorizedkeyscommand stands without"),
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
    let keygen = |bench: Bench| bench.file(unit, "[Service]\n").program("/usr/bin/ssh-keygen", library(&[]));
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
        ("DenyUsers *\n", "root: DenyUsers * keeps it out"),
        ("DenyUsers root\n", "root: DenyUsers root keeps it out"),
        ("AllowUsers ec2-user\n", "root: AllowUsers ec2-user keeps it out"),
        ("AllowUsers root\nPermitRootLogin no\n", ":2: sshd lets nobody in: root: PermitRootLogin is no"),
        ("AllowGroups gone\n", "root: AllowGroups gone keeps it out"),
        ("DenyGroups wheel\n", "root: DenyGroups wheel keeps it out"),
    ] {
        let found = wrong(&config(text));
        assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{text}: {found:?}");
    }
}

#[test]
fn a_second_subsystem_is_passed_over_by_newer_servers() {
    let with = |version: &[u8]| {
        let program = [library(&[]), b"\0SSH-2.0-".to_vec(), version.to_vec(), b"\0".to_vec()].concat();
        let text = "Subsystem sftp /a\nSubsystem sftp internal-sftp\n";
        wrong(&debian().program(SSHD, program).file(CONFIG, text))
    };
    assert!(with(b"OpenSSH_9.2p1").is_some());
    assert_eq!(with(b"OpenSSH_9.6p1"), None);
    assert_eq!(with(b"OpenSSH_10.0p2"), None);
}

/// The one whom people come in as, with a key.
const ADMIN: &str = "root:x:0:0:root:/root:/bin/bash\nsshd:x:102:65534::/run/sshd:/usr/sbin/nologin\n\
                     admin:x:1000:1000::/home/admin:/bin/bash\n";
const ADMINS_KEYS: &str = "/home/admin/.ssh/authorized_keys";
/// By ssh-keygen(1).
const PUBLIC: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0u7yqfO1t1dVt7mC2o0Z9f6s3hXlq6yPz2G5f8Yk1a admin@ops\n";

/// A public key of RSA of 2048 bits; its modulus is the bytes from 1 to 255 behind 0xc3.
fn rsa() -> String {
    let modulus: Vec<u8> = [0, 0xc3].into_iter().chain(1..=255).collect();
    let fields: [&[u8]; 3] = [b"ssh-rsa", &[1, 0, 1], &modulus];
    let length = |field: &[u8]| u32::try_from(field.len()).unwrap().to_be_bytes();
    let blob: Vec<u8> = fields.iter().flat_map(|field| [length(field).as_slice(), *field].concat()).collect();
    format!("ssh-rsa {} admin@ops\n", base64::engine::general_purpose::STANDARD.encode(blob))
}

fn with_admin(config: &str) -> Bench {
    let names = b"ssh-dss\0ssh-rsa\0ssh-ed25519\0requiredrsasize\0".to_vec();
    debian()
        .program(SSHD, [library(&[]), names].concat())
        .file("/etc/passwd", ADMIN)
        .secret("/etc/shadow", "root:*:19675:0:99999:7:::\nadmin:!:20000:0:99999:7:::\n")
        .file("/etc/group", "root:x:0:\nadmin:x:1000:\nops:x:1500:admin\n")
        .file(ADMINS_KEYS, PUBLIC)
        .file(CONFIG, format!("UsePAM yes\nPermitRootLogin no\nPasswordAuthentication no\n{config}"))
}

#[test]
fn the_one_who_has_a_key_comes_in_by_it() {
    for config in [
        "",
        "AuthenticationMethods publickey,keyboard-interactive publickey\n",
        "PubkeyAcceptedAlgorithms -ssh-dss,ssh-rsa\n",
        "HostKeyAlgorithms ssh-ed25519\n",
        "AllowGroups ops\n",
        "Match Address 10.0.0.0/8\n  PermitRootLogin yes\nMatch User admin\n  X11Forwarding no\n",
        "Match Address 10.0.0.0/8\n  DenyUsers admin\n",
        "Match Group sftp\n  ChrootDirectory /srv/%u\n  ForceCommand internal-sftp\n",
        "AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/keys/%u\n",
        "ForceCommand internal-sftp\n",
        "StrictModes no\n",
        "AuthorizedKeysCommand /usr/bin/keys %u\nAuthorizedKeysCommandUser nobody\n",
        "RevokedKeys none\n",
        "RevokedKeys /etc/ssh/revoked\nRequiredRSASize 3072\n",
        "GSSAPIAuthentication yes\nAuthenticationMethods gssapi-with-mic publickey\n",
    ] {
        let bench = with_admin(config).file("/etc/ssh/revoked", "ssh-ed25519 AAAAother\n");
        assert_eq!(wrong(&bench), None, "{config}");
    }
    let bound = with_admin("").without(ADMINS_KEYS).file("/srv/home/admin/.ssh/authorized_keys", PUBLIC);
    assert!(wrong(&bound).is_some());
    assert_eq!(
        wrong(&bound.file("/etc/fstab", "/srv/home /home none bind 0 0\n")),
        None,
        "it is seen from there"
    );
    let by_rsa = |config: &str| wrong(&with_admin(config).file(ADMINS_KEYS, rsa()));
    assert_eq!(by_rsa("RequiredRSASize 2048\n"), None);
    assert!(by_rsa("RequiredRSASize 4096\n").is_some_and(|why| why.contains("it has 2048 bits")));
    let tickets = "PubkeyAuthentication no\nGSSAPIAuthentication yes\n";
    let tickets = with_admin(tickets).file("/etc/krb5.keytab", "x");
    assert_eq!(wrong(&tickets.secret("/etc/shadow", "root:*:1::::::\nadmin:$y$j9T$s$h:1::::::\n")), None);
    let elsewhere = "AuthorizedKeysFile none\nTrustedUserCAKeys /etc/ssh/ca.pub\n";
    let signed = with_admin(elsewhere).without(ADMINS_KEYS);
    assert_eq!(wrong(&signed.clone().file("/etc/ssh/ca.pub", PUBLIC)), None);
    assert!(wrong(&signed).is_some(), "there is no authority");
    let keys = |text: &str| wrong(&with_admin("").file(ADMINS_KEYS, text));
    let key = PUBLIC;
    for text in [
        format!("# mine\n\nssh-ed25519 garbage\n{key}"),
        format!("no-pty,from=\"203.0.113.7,10.0.0.1\" {key}"),
        format!("from=\"*\" {key}"),
        format!("command=\"/usr/bin/rrsync /srv\" {key}{key}"),
        format!("environment=\"A=b c, d\",expiry-time=\"29991231\" {key}"),
    ] {
        assert_eq!(keys(&text), None, "{text}");
    }
}

#[test]
fn one_who_has_no_key_is_given_one_later() {
    for bench in [
        with_admin("").without(ADMINS_KEYS),
        with_admin("").file(ADMINS_KEYS, "# none\n"),
        with_admin("").file(ADMINS_KEYS, format!("command=\"/usr/bin/backup\" {PUBLIC}")),
    ] {
        let none = "/etc/shadow: nobody has a key or a password, and no agent of the platform gives one";
        assert_eq!(wrong(&bench).as_deref(), Some(none));
        // whoever has a password comes in at the console
        let shadow = "root:$y$j9T$salt$hash:1::::::\nadmin:!:1::::::\n";
        assert_eq!(wrong(&bench.secret("/etc/shadow", shadow)), None);
    }
    let shadow = "root:$y$j9T$salt$hash:1::::::\nadmin:!:1::::::\n";
    let none = with_admin("AuthorizedKeysFile none\n").secret("/etc/shadow", shadow);
    let why = wrong(&none.without(ADMINS_KEYS)).unwrap();
    assert!(why.contains("admin: no file is to have its keys"), "{why}");
}

#[test]
fn the_platform_gives_a_key_to_whom_it_likes() {
    let unit = "/lib/systemd/system/cloud-init.service";
    let broken = with_admin("").file(ADMINS_KEYS, "ssh-ed25519 garbage\n");
    let platform = broken
        .file(unit, "[Service]\nExecStart=/usr/bin/cloud-init\n")
        .link("/etc/systemd/system/cloud-init.target.wants/cloud-init.service", unit);
    assert_eq!(wrong(&platform), None);
    assert!(wrong(&platform.clone().file("/etc/cloud/cloud-init.disabled", "")).is_some());
    let without_keys =
        "PubkeyAuthentication no\nKbdInteractiveAuthentication no\nPasswordAuthentication no\n";
    assert!(wrong(&platform.file(CONFIG, without_keys)).is_some());
}

#[test]
fn nobody_comes_in_where_the_one_who_could_does_not() {
    let keys = |text: &str| with_admin("").file(ADMINS_KEYS, text);
    let shadow = |line: &str| with_admin("").secret("/etc/shadow", format!("root:*:1::::::\n{line}\n"));
    for (bench, why) in [
        (with_admin("AuthorizedKeysFile none\n"), "authorized_keys, and sshd looks in none"),
        (
            with_admin("AuthorizedKeysFile /etc/ssh/keys/%u\n"),
            "admin: its keys are in /home/admin/.ssh/authorized_keys, and sshd looks in /etc/ssh/keys/%u",
        ),
        (with_admin("").mode(ADMINS_KEYS, 0o600), "the account cannot read it: its mode is 0600"),
        (
            with_admin("PubkeyAcceptedAlgorithms ssh-dss\n"),
            "admin: sshd is told to take no key of the kind ssh-ed25519",
        ),
        (with_admin("PubkeyAcceptedAlgorithms rsa-*\n"), "take no key of the kind ssh-ed25519"),
        (with_admin("MaxSessions 0\n"), "admin: MaxSessions 0 leaves no session"),
        (with_admin("ForceCommand /bin/false\n"), "it ends at once"),
        (with_admin("Match all\n  ForceCommand /usr/local/bin/gone\n"), "/usr/local/bin/gone is not there"),
        (with_admin("ChrootDirectory /srv\n"), "ChrootDirectory /srv: /srv is not there"),
        (with_admin("ChrootDirectory /srv\n").folder("/srv"), "there is no /bin/bash within"),
        (
            with_admin("ChrootDirectory /srv\n").folder("/srv").mode("/srv", 0o777),
            "/srv is written by others, its mode is 0777",
        ),
        (with_admin("Match User admin\n  AllowUsers bob\n"), "admin: AllowUsers bob keeps it out"),
        (with_admin("Match all\n  DenyUsers *\n"), "DenyUsers * keeps it out"),
        (with_admin("AuthenticationMethods publickey,password\n"), "not all of publickey,password"),
        (
            with_admin("").mode("/home/admin", 0o777),
            "/home/admin: sshd lets nobody in: admin: sshd does not trust it",
        ),
        (with_admin("").mode(ADMINS_KEYS, 0o666), "its mode is 0666"),
        (with_admin("RevokedKeys /etc/ssh/gone\n"), "admin: RevokedKeys /etc/ssh/gone is not there"),
        (
            with_admin("RevokedKeys /etc/ssh/revoked\n").file("/etc/ssh/revoked", PUBLIC),
            "admin: /etc/ssh/revoked has the key",
        ),
        (
            with_admin("RevokedKeys /etc/ssh/revoked\n").file("/etc/ssh/revoked", "SSHKRL\n\u{0}"),
            "unsure: nobody can tell whether sshd lets anybody in: admin: nobody can tell whether /etc/ssh/revoked",
        ),
        (
            with_admin("GSSAPIAuthentication yes\nAuthenticationMethods gssapi-with-mic\n"),
            "admin: it has not all that sshd asks for",
        ),
        (
            with_admin("HostbasedAuthentication yes\nAuthenticationMethods hostbased\n"),
            "admin: it has not all that sshd asks for",
        ),
        (keys(&format!("command=\"/usr/sbin/nologin\" {PUBLIC}")), "it is for a command that ends at once"),
        (
            with_admin("").file("/etc/tmpfiles.d/n.conf", "r! /home/admin/.ssh/authorized_keys\n"),
            "it takes /home/admin/.ssh/authorized_keys away at the start",
        ),
        (with_admin("").file("/etc/tmpfiles.d/n.conf", "R! /home/*/.ssh\n"), "away at the start: R!"),
        (shadow("x:*:1::::::"), "admin: it has no line of the account"),
        (shadow("admin:!:18262:0:30:7:5::"), "admin: the account has expired"),
        (
            with_admin("").file(
                "/etc/passwd",
                ADMIN.replace("admin:x", "admin:x:1000:1000::/home/admin:/usr/sbin/nologin\nadmin:x"),
            ),
            "admin: its shell is /usr/sbin/nologin",
        ),
        (
            with_admin("").file("/etc/profile.d/x.sh", "kill -9 $$\n"),
            "/etc/profile.d/x.sh: sshd lets nobody in",
        ),
        (with_admin("").file("/etc/bash.bashrc", "kill $$\n"), "/etc/bash.bashrc unsure"),
        (with_admin("").mode("/lib/x86_64-linux-gnu", 0o700), "/lib/x86_64-linux-gnu has the mode 0700"),
        (with_admin("").mode("/bin/bash", 0o700), "/bin/bash has the mode 0700"),
        (
            with_admin("")
                .file("/etc/pam.d/common-session", "session optional pam_systemd.so\n")
                .file("/etc/systemd/system/user.slice.d/a.conf", "[Slice]\nMemoryMax=64K\n"),
            "what is in user.slice does its work with MemoryMax=64K",
        ),
        (keys("ssh-ed25519 not-base64\n"), "it is no key, or not a whole one"),
        (keys("hello\n"), "knows no key of this kind"),
        (keys(&format!("expiry-time=\"20200101\" {PUBLIC}")), "good until 20200101 only"),
        (
            keys(&format!("from=\"10.0.0.7\" {PUBLIC}")),
            "unsure: nobody can tell whether sshd lets anybody in",
        ),
        (shadow("admin:!:20000:0:99999:7::1:"), "admin: the account has expired"),
        (
            with_admin("").file("/etc/passwd", ADMIN.replace("admin:/bin/bash", "admin:/usr/bin/fish")),
            "admin: /usr/bin/fish is not there",
        ),
        (
            with_admin("").file(CONFIG, "PermitRootLogin no\nPasswordAuthentication no\n"),
            "the account is locked, and UsePAM is not on",
        ),
        (with_admin("").file("/home/admin/.bashrc", "exit 0\n"), "/home/admin/.bashrc: sshd lets nobody in"),
        (with_admin("").file("/etc/profile", "# x\nexit 1\n"), "/etc/profile: sshd lets nobody in"),
        (with_admin("").file("/etc/profile.d/a.sh", "exec /opt/menu\n"), "/etc/profile.d/a.sh unsure"),
    ] {
        let found = wrong(&bench);
        assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{why}: {found:?}");
    }
    let debians = "case $- in\n *i*) ;;\n *) return;;\nesac\n[ -z \"$PS1\" ] && return\nif x; then\n exit\nfi\nexec bash\n";
    assert_eq!(wrong(&with_admin("").file("/home/admin/.bashrc", debians)), None);
}

#[test]
fn a_server_that_nothing_starts_lets_nobody_in() {
    let off = debian().without("/etc/systemd/system/multi-user.target.wants/ssh.service");
    assert_eq!(wrong(&off).as_deref(), Some("/usr/sbin/sshd: it is installed, and nothing starts it"));
    let other = "/lib/systemd/system/dropbear.service";
    let dropbear = off
        .file(other, "[Service]\nExecStart=/usr/sbin/dropbear\n")
        .link("/etc/systemd/system/multi-user.target.wants/dropbear.service", other);
    assert_eq!(wrong(&dropbear).as_deref(), Some("dropbear.service is started in the place of sshd"));
}

#[test]
fn a_server_is_started_by_lines_of_other_units_and_by_timers() {
    let off = || debian().without("/etc/systemd/system/multi-user.target.wants/ssh.service");
    let own = |name: &str, text: &str| {
        off()
            .file(&format!("/etc/systemd/system/{name}"), text)
            .link(&format!("/etc/systemd/system/multi-user.target.wants/{name}"), &format!("../{name}"))
    };
    let drop_in =
        |unit: &str, text: &str| off().file(&format!("/etc/systemd/system/{unit}.d/ssh.conf"), text);
    for (what, bench) in [
        ("a drop-in", drop_in("multi-user.target", "[Unit]\nWants=ssh.service\n")),
        ("a target", own("remote.target", "[Unit]\nWants=ssh.service\nAfter=ssh.service\n")),
        ("a service", own("guard.service", "[Unit]\nWants=ssh.service\n[Service]\nExecStart=/sbin/agetty\n")),
        ("a timer", own("late.timer", "[Timer]\nOnBootSec=30\nUnit=ssh.service\n")),
    ] {
        assert_eq!(wrong(&bench), None, "{what}");
    }
    for (what, bench) in [
        ("after", drop_in("multi-user.target", "[Unit]\nAfter=ssh.service\n")),
        ("another target", drop_in("rescue.target", "[Unit]\nWants=ssh.service\n")),
        ("a late timer", own("late.timer", "[Timer]\nOnCalendar=monthly\nUnit=ssh.service\n")),
    ] {
        assert!(wrong(&bench).is_some_and(|why| why.ends_with("nothing starts it")), "{what}");
    }
}

#[test]
fn host_keys_are_made_by_a_unit_before_the_server() {
    let keyless = || debian().without(KEY).program("/usr/bin/ssh-keygen", library(&[]));
    let unit = |lines: &str, target: &str| {
        let unit = "[Unit]\nBefore=ssh.service\nConditionPathExists=!/etc/ssh/ssh_host_ed25519_key\n";
        keyless()
            .file("/etc/systemd/system/regen.service", format!("{unit}[Service]\nType=oneshot\n{lines}\n"))
            .link(&format!("/etc/systemd/system/{target}/regen.service"), "../regen.service")
    };
    let pre = |lines: &str| {
        keyless().file("/etc/systemd/system/ssh.service.d/a.conf", format!("[Service]\n{lines}\n"))
    };
    let makes = "ExecStart=/usr/bin/ssh-keygen -A";
    for (what, bench) in [
        ("before", unit(makes, "multi-user.target.wants")),
        ("required", unit(makes, "ssh.service.requires")),
        ("its own", pre("ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A")),
    ] {
        assert_eq!(wrong(&bench), None, "{what}");
    }
    for (what, bench) in [
        ("not started", unit(makes, "rescue.target.wants")),
        ("another key", unit("ExecStart=/usr/bin/ssh-keygen -f /root/.ssh/id", "multi-user.target.wants")),
        ("no keygen", pre("ExecStartPre=/usr/bin/ssh-keygen -A").without("/usr/bin/ssh-keygen")),
    ] {
        assert!(wrong(&bench).is_some(), "{what}");
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
        "SSHD_OPTS=\"-4 -o LogLevel=VERBOSE -o MaxStartups=50:30:100 -o Port=22\"\n",
        "SSHD_OPTS='-E /etc/ssh/log -f /etc/ssh/sshd_config'\n",
    ] {
        assert_eq!(with(unit, fine), None, "{fine}");
    }
    let why = with(unit, "SSHD_OPTS=\"-f /etc/ssh/gone\"\n").unwrap();
    assert_eq!(
        why,
        "/etc/default/ssh unsure: nobody can tell whether sshd works with this on its command line: -f"
    );
    for doubtful in
        ["-D -p 2222", "-D -o Port=2222", "-D -o \"MaxStartups 0\"", "-D -E /gone/log", "-D -o AllowUsers=x"]
    {
        assert!(with(&unit.replace("-D", doubtful), "").is_some(), "{doubtful}");
    }
    let quoted = unit.replace("-D", "-D -e -f /etc/ssh/sshd_config -o \"MaxStartups 20:30:60\"");
    assert_eq!(with(&quoted, ""), None);
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
        wrong(&bench.file("/lib/systemd/system/ssh.socket", socket).file(service, "[Service]\nUser=ghost\n"))
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
