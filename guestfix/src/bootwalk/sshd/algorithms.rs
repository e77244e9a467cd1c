//! Lists of algorithms, and the kinds of keys that they take (sshd_config(5), "HostKeyAlgorithms",
//! "PubkeyAcceptedAlgorithms").

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::glob;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Kinds of keys by the name that they have in files, and the algorithms of a signature with one.
const KINDS: &[(&str, &[&str])] = &[
    ("ecdsa-sha2-nistp256", &["ecdsa-sha2-nistp256"]),
    ("ecdsa-sha2-nistp384", &["ecdsa-sha2-nistp384"]),
    ("ecdsa-sha2-nistp521", &["ecdsa-sha2-nistp521"]),
    ("sk-ecdsa-sha2-nistp256@openssh.com", &["sk-ecdsa-sha2-nistp256@openssh.com"]),
    ("sk-ssh-ed25519@openssh.com", &["sk-ssh-ed25519@openssh.com"]),
    ("ssh-dss", &["ssh-dss"]),
    ("ssh-ed25519", &["ssh-ed25519"]),
    ("ssh-rsa", &["rsa-sha2-256", "rsa-sha2-512", "ssh-rsa"]),
];
/// The kind that newer servers take only if they are told.
const OLD: &str = "ssh-dss";

/// The kind of this name.
pub(super) fn kind(name: &str) -> Option<&'static str> {
    KINDS.iter().map(|(kind, _)| *kind).find(|kind| *kind == name)
}

/// Whether a list takes keys of a kind.
pub(super) fn takes(list: Option<&str>, kind: &str) -> bool {
    let Some((_, algorithms)) = KINDS.iter().find(|(known, _)| *known == kind) else { return true };
    let list = list.unwrap_or("+");
    let names = list.trim_start_matches(['+', '-', '^']);
    let is_named = |algorithm: &str| names.split(',').any(|name| glob::matches(name, algorithm));
    let by_itself = kind != OLD;
    algorithms.iter().any(|algorithm| match list.chars().next() {
        Some('+' | '^') => by_itself || is_named(algorithm),
        Some('-') => by_itself && !is_named(algorithm),
        _ => is_named(algorithm),
    })
}

/// Whether a list takes any key that people have.
pub(super) fn takes_any(list: Option<&str>) -> bool {
    KINDS.iter().any(|(kind, _)| *kind != OLD && takes(list, kind))
}

/// Why this is no public key of the kind, in base64: names and numbers, each behind its length (RFC 4253, 6.6).
pub(super) fn is_public_key(kind: &str, text: &str) -> bool {
    let Ok(bytes) = BASE64.decode(text) else { return false };
    let mut rest = bytes.as_slice();
    let mut fields: Vec<&[u8]> = Vec::new();
    while !rest.is_empty() && fields.len() < 8 {
        let Some((field, behind)) = field(rest) else { return false };
        fields.push(field);
        rest = behind;
    }
    let is_of_its_length = fields.get(1).is_some_and(|field| kind != "ssh-ed25519" || field.len() == 32);
    rest.is_empty() && fields.first() == Some(&kind.as_bytes()) && is_of_its_length
}

/// The length of a public key of RSA, in bits; `None` for another: its name, its exponent, its modulus.
pub(super) fn bits_of_rsa(text: &str) -> Option<usize> {
    let bytes = BASE64.decode(text).ok()?;
    let (name, rest) = field(&bytes)?;
    let (_, rest) = field(rest)?;
    let (modulus, _) = field(rest)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let own = modulus.get(zeros..)?;
    let blank = usize::try_from(own.first()?.leading_zeros()).ok()?;
    (name == b"ssh-rsa").then(|| own.len().checked_mul(8)?.checked_sub(blank)).flatten()
}

/// The kind of a private key by its file, if that can be told (PROTOCOL.key of OpenSSH; RFC 5915).
pub(super) fn kind_of_private(file: &str) -> Option<&'static str> {
    let mut lines = file.lines();
    match lines.next()?.trim() {
        "-----BEGIN RSA PRIVATE KEY-----" => return Some("ssh-rsa"),
        "-----BEGIN DSA PRIVATE KEY-----" => return Some(OLD),
        "-----BEGIN OPENSSH PRIVATE KEY-----" => {}
        _ => return None,
    }
    let body: String = lines.take_while(|line| !line.starts_with('-')).map(str::trim).collect();
    let bytes = BASE64.decode(body).ok()?;
    // cipher, its key's derivation and options, how many keys, the first public one
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    for _ in 0..3 {
        (_, rest) = field(rest)?;
    }
    let (public, _) = field(rest.get(4..)?)?;
    let (name, _) = field(public)?;
    kind(std::str::from_utf8(name).ok()?)
}

/// What is behind its length, and what is behind that.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_add_take_away_and_replace() {
        for (list, kind, taken) in [
            (None, "ssh-rsa", true),
            (None, "ssh-dss", false),
            (Some("+ssh-dss"), "ssh-dss", true),
            (Some("-ssh-ed25519*"), "ssh-ed25519", false),
            (Some("-ssh-rsa"), "ssh-rsa", true),
            (Some("^ssh-ed25519"), "ssh-rsa", true),
            (Some("ssh-ed25519,ecdsa-*"), "ssh-rsa", false),
            (Some("rsa-sha2-512"), "ssh-rsa", true),
        ] {
            assert_eq!(takes(list, kind), taken, "{list:?} {kind}");
        }
        assert!(takes_any(Some("rsa-sha2-256")) && !takes_any(Some("ssh-dss")));
    }

    /// By ssh-keygen(1).
    #[test]
    fn keys_are_whole() {
        let key = "AAAAC3NzaC1lZDI1NTE5AAAAIJ0u7yqfO1t1dVt7mC2o0Z9f6s3hXlq6yPz2G5f8Yk1a";
        assert!(is_public_key("ssh-ed25519", key));
        for (kind, text) in [
            ("ssh-rsa", key),
            ("ssh-ed25519", "not-base64"),
            ("ssh-ed25519", "AAAA"),
            ("ssh-ed25519", ""),
            ("ssh-ed25519", &key[..60]),
        ] {
            assert!(!is_public_key(kind, text), "{kind} {text}");
        }
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
                       b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
                       QyNTUxOQAAACCdLu8qnztbdXVbe5gtqNGfX+rN4V5aus\n-----END OPENSSH PRIVATE KEY-----\n";
        assert_eq!(kind_of_private(private), None, "it is cut short");
        assert_eq!(kind_of_private("-----BEGIN RSA PRIVATE KEY-----\nx\n"), Some("ssh-rsa"));
    }
}
