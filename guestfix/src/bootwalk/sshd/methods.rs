//! Ways to log in (sshd_config(5), "AuthenticationMethods").

use super::config::Settings;
use super::criteria::Client;

/// Each way, the keyword that switches it, and whether it is on unless that is told.
pub(super) const ALL: &[(&str, &str, bool)] = &[
    ("publickey", "pubkeyauthentication", true),
    ("password", "passwordauthentication", true),
    ("keyboard-interactive", "kbdinteractiveauthentication", true),
    ("gssapi-with-mic", "gssapiauthentication", false),
    ("hostbased", "hostbasedauthentication", false),
    // for accounts that have an empty password
    ("none", "permitemptypasswords", true),
];

/// Keys of the machine itself for tickets of Kerberos (krb5.conf(5)).
pub(super) const KEYTABS: &[&str] = &["/etc/krb5.keytab", "/etc/krb5/krb5.keytab"];
/// Hosts whose users are let in by these (sshd(8), "FILES").
pub(super) const HOSTS: &[&str] = &["/etc/hosts.equiv", "/etc/shosts.equiv", "/etc/ssh/shosts.equiv"];

/// Whether a way is switched on for a client; "any" is each of them.
pub(super) fn is_on(settings: &Settings, client: Option<Client<'_>>, method: &str) -> bool {
    let name = method.split(':').next().unwrap_or(method);
    name.eq_ignore_ascii_case("any")
        || ALL.iter().any(|(known, keyword, unless_told)| {
            *known == name && settings.is_on(client, keyword, *unless_told)
        })
}
