//! Where a blob is.

use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::http;

/// The URL of a blob, without a query: `https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB`. By plain `http`
/// only this machine is reached, where emulators are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobUrl(String);

/// Why something is no URL of a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL, or has neither `https` nor a host and a path.
    #[error("{0:?} is no URL of a blob, as https://ACCOUNT.blob.core.windows.net/CONTAINER/DISK.vhd is")]
    Shape(String),
    /// It has a query, which may be secret.
    #[error("the URL of {0:?} holds a query; a shared access signature is given apart from it")]
    Query(String),
    /// It goes over a network in the clear.
    #[error("{0:?} goes over the network unencrypted, and its signature with it")]
    Clear(String),
}

impl BlobUrl {
    /// The URL, which tells no secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// All before the last part: the container, or a folder in it.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The name of the storage account that it is in: the first part of the host's name, or, as emulators have
    /// it, of the path.
    pub fn account(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once("://")?;
        let (host, path) = rest.split_once('/')?;
        let name = match http::is_here(host.split(':').next()?) {
            true => path.split('/').next()?,
            false => host.split('.').next()?,
        };
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        (is_name && !name.is_empty()).then_some(name)
    }

    /// The URL of the container, and what is left of the path. As emulators have it, the account is a part of the path.
    pub(super) fn container(&self) -> (&str, &str) {
        let at = self.0.find("://").map_or(0, |at| at.saturating_add(3));
        let rest = self.0.get(at..).unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let parts = if http::is_here(host.split(':').next().unwrap_or_default()) { 2 } else { 1 };
        let left: usize = path
            .splitn(parts, '/')
            .last()
            .map_or(0, |last| last.find('/').map_or(0, |slash| last.len().saturating_sub(slash)));
        let (container, left) =
            self.0.split_at_checked(self.0.len().saturating_sub(left)).unwrap_or((&self.0, ""));
        (container, left.trim_start_matches('/'))
    }

    /// The blob of another name beside it.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.folder()))
    }
}

impl FromStr for BlobUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // What has an @ may hold a password, wherever it ends.
        let bare = || text.split('?').next().unwrap_or_default();
        let told = || if text.contains('@') { "…" } else { bare() }.to_owned();
        if text.contains('?') {
            return Err(UrlError::Query(told()));
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Shape(told()))?;
        let host = uri.host().unwrap_or_default();
        let is_named = uri.path().rsplit('/').next().is_some_and(|name| !name.is_empty());
        if host.is_empty() || !is_named || text.contains(['@', '#']) {
            return Err(UrlError::Shape(told()));
        }
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => {}
            Some(scheme) if *scheme == Scheme::HTTP => {
                if !http::is_here(host) {
                    return Err(UrlError::Clear(told()));
                }
            }
            _ => return Err(UrlError::Shape(told())),
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_blob_is_taken_and_nothing_secret_is_told() {
        for text in [
            "https://acc.blob.core.windows.net/vhds/os.vhd",
            "https://md-impexp-abc.z12.blob.storage.azure.net/0123456789ab/abcd",
            "http://127.0.0.1:10000/devstoreaccount1/vhds/a%20b.vhd",
            "http://localhost:10000/devstoreaccount1/vhds/x.vhd",
        ] {
            let url: BlobUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text);
        }
        let url: BlobUrl = "https://a.blob.core.windows.net/c/folder/os.vhd".parse().unwrap();
        assert_eq!((url.name(), url.folder()), ("os.vhd", "https://a.blob.core.windows.net/c/folder"));
        assert_eq!(url.beside("b.vhd").as_str(), "https://a.blob.core.windows.net/c/folder/b.vhd");
        for (text, account) in [
            ("https://acc1.blob.core.windows.net/vhds/os.vhd", Some("acc1")),
            ("http://127.0.0.1:10000/devstoreaccount1/vhds/x.vhd", Some("devstoreaccount1")),
            ("https://md-impexp-abc.z12.blob.storage.azure.net/0123456789ab/abcd", None),
        ] {
            assert_eq!(text.parse::<BlobUrl>().unwrap().account(), account, "{text}");
        }
        let of = |text: &str| text.parse::<BlobUrl>().unwrap_err();
        for text in ["", "disk", "https://host", "https://host/", "https://host/c/", "ftp://a/b", "/a/b"] {
            assert!(matches!(of(text), UrlError::Shape(_)), "{text}");
        }
        for text in
            ["https://u:secret@host/c/b", "https://host/c/b?sv=1&sig=secret", "https:// /x?sig=secret"]
        {
            assert!(!of(text).to_string().contains("secret"), "{text}");
        }
        assert!(matches!(of("http://acc.blob.core.windows.net/c/b"), UrlError::Clear(_)));
    }
}
