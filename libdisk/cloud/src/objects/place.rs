//! Where objects are.

use std::fmt;
use std::str::FromStr;

use crate::azure::{BlobUrl, UrlError};

/// `s3://BUCKET/PREFIX`, or `azure:https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX`; with no prefix all of the
/// bucket or the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// What the keys begin with, without a slash at its end.
        prefix: String,
    },
    /// In a container: the URL of what the keys begin with, without a signature.
    Azure(BlobUrl),
}

/// Why something names no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It begins with neither `s3://` nor `azure:https://`, or there is no bucket.
    #[error("{0:?} is no place for objects, as s3://BUCKET/PREFIX is")]
    Shape(String),
    /// It has other characters than a name that needs no encoding.
    #[error("the name in {0:?} has other characters than letters, digits and / . _ -")]
    Characters(String),
    /// It is no URL of a blob.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl Place {
    /// Whether a text means such a place, and no folder.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("s3:") || text.starts_with("azure:")
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if let Some(url) = text.strip_prefix("azure:") {
            let url: BlobUrl = url.trim_end_matches('/').parse()?;
            let path = url.as_str().split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            return match path {
                Some((_, path)) if !is_plain(path) => Err(PlaceError::Characters(text.to_owned())),
                _ => Ok(Self::Azure(url)),
            };
        }
        // Whatever is behind a question mark may be secret.
        let told = || text.split(['?', '@']).next().unwrap_or_default().to_owned();
        let rest = text.strip_prefix("s3://").ok_or_else(|| PlaceError::Shape(told()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(PlaceError::Shape(told()));
        }
        if !is_plain(rest) {
            return Err(PlaceError::Characters(told()));
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Azure(url) => write!(f, "azure:{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_as_they_are_typed_and_others_refused() {
        for (text, told) in [
            ("s3://fleet-1.state/a/b/", "s3://fleet-1.state/a/b"),
            ("s3://bucket", "s3://bucket"),
            (
                "azure:https://acc.blob.core.windows.net/fleet/run-1/",
                "azure:https://acc.blob.core.windows.net/fleet/run-1",
            ),
            ("azure:http://127.0.0.1:10000/account/fleet", "azure:http://127.0.0.1:10000/account/fleet"),
        ] {
            assert!(Place::is_meant(text));
            assert_eq!(text.parse::<Place>().unwrap().to_string(), told);
        }
        for text in
            ["s3:bucket", "s3://", "s3:///a", "s3://b/a b", "azure:group/disk", "azure:https://a/b%20c"]
        {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        assert!(!Place::is_meant("fleet/s3:x"));
        let told = "s3://bucket/a?sig=secret".parse::<Place>().unwrap_err().to_string();
        assert!(!told.contains("secret"), "{told}");
    }
}
