//! The keywords of `sshd_config`, and what some of them take (sshd_config(5)).

/// Keywords that stand without a value in older versions.
pub(super) const LISTS: &[&str] = &["acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers"];

/// Keywords that are either yes or no.
pub(super) const SWITCHES: &[&str] = &[
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

/// Keywords of times.
pub(super) const TIMES: &[&str] = &["clientaliveinterval", "logingracetime"];

/// Keywords that have a newer name.
const OLDER: &[(&str, &str)] = &[
    ("challengeresponseauthentication", "kbdinteractiveauthentication"),
    ("pubkeyacceptedkeytypes", "pubkeyacceptedalgorithms"),
    ("skeyauthentication", "kbdinteractiveauthentication"),
];

/// The newer name of a keyword.
pub(super) fn newer(keyword: &str) -> &str {
    OLDER.iter().find(|(older, _)| *older == keyword).map_or(keyword, |(_, newer)| newer)
}

/// Keywords of lists of algorithms.
pub(super) const ALGORITHMS: &[&str] = &[
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
pub(super) const VALUES: &[(&str, &[&str])] = &[
    ("addressfamily", &["any", "inet", "inet6"]),
    ("allowstreamlocalforwarding", &["yes", "no", "all", "local", "remote"]),
    ("allowtcpforwarding", &["yes", "no", "all", "local", "remote"]),
    ("compression", &["yes", "no", "delayed"]),
    ("fingerprinthash", &["md5", "sha1", "sha256", "sha384", "sha512"]),
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

/// The keywords of sshd_config(5) that may stand below `Match`.
pub(super) const IN_MATCH: &[&str] = &[
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

/// The other keywords of sshd_config(5), OpenSSH 5.3 to 10.0, and those of old that are passed over. One that is in
/// neither list is looked for in the server itself.
pub(super) const GLOBAL: &[&str] = &[
    "addressfamily",
    "ciphers",
    "compression",
    "debianbanner",
    "dsaauthentication",
    "fingerprinthash",
    "gssapicleanupcredentials",
    "gssapikeyexchange",
    "gssapikexalgorithms",
    "gssapistorecredentialsonrekey",
    "gssapistrictacceptorcheck",
    "hostcertificate",
    "hostdsakey",
    "hostkey",
    "hostkeyagent",
    "hostkeyalgorithms",
    "ignoreuserknownhosts",
    "kerberosgetafstoken",
    "kerberosorlocalpasswd",
    "kerberosticketcleanup",
    "kexalgorithms",
    "keyregenerationinterval",
    "listenaddress",
    "logingracetime",
    "macs",
    "maxstartups",
    "modulifile",
    "permituserenvironment",
    "persourcemaxstartups",
    "persourcenetblocksize",
    "pidfile",
    "port",
    "printlastlog",
    "printmotd",
    "protocol",
    "securitykeyprovider",
    "serverkeybits",
    "skeyauthentication",
    "strictmodes",
    "syslogfacility",
    "tcpkeepalive",
    "usedns",
    "uselogin",
    "usepam",
    "useprivilegeseparation",
    "versionaddendum",
    "xauthlocation",
];
