//! What of a guest is never shown: keys, passwords and tokens are in no diff, no plan and no log.
//!
//! A file that is a secret as a whole is named and not shown. Of other files the values that look like
//! secrets are masked. A plan that changes a file with secrets in it says which parts of the file stay, not
//! what they are: see [`Content::Edited`](crate::edit::Content::Edited).

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in the place of a secret.
pub const MASK: &str = "(not-shown)";

/// Folders of which every file is a secret.
const FOLDERS: &[&str] = &[
    "/etc/cryptsetup-keys.d/",
    "/etc/ipsec.d/private/",
    "/etc/keys/",
    "/etc/kubernetes/",
    "/etc/letsencrypt/",
    "/etc/openvpn/",
    "/etc/pki/consumer/",
    "/etc/pki/entitlement/",
    "/etc/pki/tls/private/",
    "/etc/ssl/private/",
    "/etc/wireguard/",
    "/var/lib/amazon/ssm/",
    "/var/lib/cloud/",
    "/var/lib/kubelet/",
    "/var/lib/waagent/",
];

/// The same for folders of this name, wherever they are.
const FOLDER_NAMES: &[&str] = &[".aws", ".azure", ".config/gcloud", ".docker", ".gnupg", ".kube", ".ssh"];

/// What is no secret in a `.ssh`.
const SSH_PUBLIC: &[&str] = &["authorized_keys", "config", "environment", "known_hosts", "rc"];

/// Names of files that are secrets.
const NAMES: &[&str] = &[
    ".boto",
    ".git-credentials",
    ".my.cnf",
    ".netrc",
    ".passwd-s3fs",
    ".pgpass",
    ".s3cfg",
    ".vault-token",
    "boto.cfg",
    "chap-secrets",
    "credentials",
    "credentials.json",
    "gshadow",
    "gshadow-",
    "ipsec.secrets",
    "opasswd",
    "pap-secrets",
    "passwd-s3fs",
    "rclone.conf",
    "shadow",
    "shadow-",
    "user-data",
    "user-data.txt",
    "vendor-data.txt",
    "wpa_supplicant.conf",
];

/// Endings of files that are secrets.
const ENDINGS: &[&str] = &[".jks", ".key", ".keystore", ".keytab", ".p12", ".pem", ".pfx", ".ppk"];

/// What programs put behind the name of a file that they keep.
const COPIES: &[&str] =
    &[".pre-azure", ".bak", ".old", ".orig", ".save", ".rpmsave", ".rpmnew", ".dpkg-old", "~"];

/// Marks of a text that is a secret as a whole.
const MARKS: &[&str] = &["PRIVATE KEY-----", "PGP PRIVATE KEY BLOCK", "chpasswd:"];

/// `password=x`, `"secret_key": "x"`, and what needs no name to be known as a secret.
static VALUES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r#"((?i-u:passw(?:or)?d|passphrase|pwd|secret|token|psk|(?:private|preshared|api|access|auth|account|registration|wep)[-_.]?key)[A-Za-z0-9_.-]*["']?[ \t]*[=:][ \t]*)("[^"\n]*"|'[^'\n]*'|[^ \t\r\n,;]+)"#,
        r"(?m)(^[ \t]*password(?:_pbkdf2)?[ \t]+)([^ \t\r\n].*)$",
        r"(://[^ \t\r\n/:@]*:)([^ \t\r\n/@]+)@",
        r"((?i-u:bearer|basic)[ \t]+)([A-Za-z0-9_.~+/-]{8,}=*)",
        r"()(\$(?:1|2[abxy]?|5|6|7|y|gy)\$[A-Za-z0-9_./$=,-]+)",
        r"()(grub\.pbkdf2\.[A-Za-z0-9_.]+)",
        r"()((?-u:\b)(?:AKIA|ASIA)[0-9A-Z]{16}(?-u:\b))",
    ]
    .iter()
    .map(|pattern| Regex::new(pattern))
    .collect::<Result<_, _>>()
    .unwrap_or_default()
});

/// Values that say whether there is one, not which.
const HARMLESS: &[&str] =
    &["true", "false", "yes", "no", "y", "n", "on", "off", "none", "0", "1", "x", "*", "!", MASK];

/// Whether the file at this path is a secret as a whole.
pub fn is_secret(path: &str) -> bool {
    let path = COPIES.iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path);
    let name = path.rsplit('/').next().unwrap_or(path);
    let in_folder = |folder: &&str| path.contains(&format!("/{folder}/"));
    if name.ends_with(".pub") || path.contains("/.ssh/") && SSH_PUBLIC.contains(&name) {
        return false;
    }
    FOLDERS.iter().any(|folder| path.starts_with(folder))
        || FOLDER_NAMES.iter().any(in_folder)
        || NAMES.contains(&name)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || name.starts_with("ssh_host_") && name.ends_with("_key")
}

/// Whether a text is a secret as a whole, wherever it is.
pub fn is_secret_text(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark))
}

/// The text with the values masked that look like secrets.
pub fn masked(text: &str) -> Cow<'_, str> {
    let mask = |found: &Captures<'_>| {
        let (name, value) = (&found[1], &found[2]);
        let plain = value.trim_matches(['"', '\'']);
        let harmless =
            HARMLESS.iter().any(|harmless| plain.eq_ignore_ascii_case(harmless)) || plain.is_empty();
        let behind = &found[0][name.len() + value.len()..];
        format!("{name}{}{behind}", if harmless { value } else { MASK })
    };
    let mut text = Cow::Borrowed(text);
    for pattern in VALUES.iter() {
        let masked = match pattern.replace_all(&text, mask) {
            Cow::Borrowed(_) => continue,
            Cow::Owned(masked) => masked,
        };
        text = Cow::Owned(masked);
    }
    text
}

/// Whether some value in the text looks like a secret.
pub fn holds_secret(text: &str) -> bool {
    masked(text) != text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_secrets_are_known_by_their_paths() {
        for path in [
            "/etc/shadow",
            "/etc/shadow-",
            "/etc/ssh/ssh_host_ed25519_key",
            "/etc/ssh/ssh_host_rsa_key.pre-azure",
            "/root/.ssh/id_rsa",
            "/home/a/.ssh/id_work",
            "/home/a/.aws/credentials",
            "/root/.aws/config",
            "/etc/boto.cfg",
            "/var/lib/amazon/ssm/Vault/Store/RegistrationKey",
            "/var/lib/amazon/ssm/Vault/Store/RegistrationKey.pre-azure",
            "/var/lib/cloud/instances/i-1/user-data.txt",
            "/var/lib/cloud/instance/obj.pkl",
            "/etc/ssl/private/site.crt",
            "/srv/www/site.pem",
            "/etc/krb5.keytab",
            "/root/.netrc",
        ] {
            assert!(is_secret(path), "{path}");
        }
        for path in [
            "/etc/fstab",
            "/etc/passwd",
            "/etc/ssh/sshd_config",
            "/etc/ssh/ssh_host_rsa_key.pub",
            "/root/.ssh/authorized_keys",
            "/root/.ssh/id_rsa.pub",
            "/etc/crypttab",
            "/boot/grub/grub.cfg",
        ] {
            assert!(!is_secret(path), "{path}");
        }
        assert!(is_secret_text("x\n-----BEGIN OPENSSH PRIVATE KEY-----\ny\n"));
        assert!(!is_secret_text("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn the_patterns_are_patterns() {
        assert_eq!(VALUES.len(), 7);
    }

    #[test]
    fn values_that_are_secrets_are_masked_and_nothing_else() {
        for (text, shown) in [
            (
                "//s/x /m cifs user=a,password=hunter2,rw 0 0",
                "//s/x /m cifs user=a,password=(not-shown),rw 0 0",
            ),
            ("  password: \"p w\"\n  ssid: x", "  password: (not-shown)\n  ssid: x"),
            ("psk=abc\nkey-mgmt=wpa-psk\n", "psk=(not-shown)\nkey-mgmt=wpa-psk\n"),
            ("aws_secret_access_key = wJalr/x", "aws_secret_access_key = (not-shown)"),
            ("{\"SecretAccessKey\":\"abc\",\"b\":1}", "{\"SecretAccessKey\":(not-shown),\"b\":1}"),
            ("password_pbkdf2 root grub.pbkdf2.sha512.10000.AB.CD", "password_pbkdf2 (not-shown)"),
            ("baseurl=https://me:pass@repo.example/x", "baseurl=https://me:(not-shown)@repo.example/x"),
            ("root:$6$salt$hash:19000:0", "root:(not-shown):19000:0"),
            ("id AKIAIOSFODNN7EXAMPLE.", "id (not-shown)."),
            ("Authorization: Bearer abcdef0123", "Authorization: Bearer (not-shown)"),
        ] {
            assert_eq!(masked(text), shown);
            assert!(holds_secret(text) && !holds_secret(shown), "{text}");
        }
        for text in [
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\n",
            "password=\nlock_passwd: True\n",
            "UUID=1 / ext4 errors=remount-ro 0 1\n",
            "linux /vmlinuz root=UUID=1 ro console=ttyS0\n",
            "server 169.254.169.123 prefer iburst\n",
            "https://cdn.example:443/x",
            "keyfile: /etc/keys/x",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
