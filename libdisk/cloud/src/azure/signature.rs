//! Shared access signatures: kept apart from what is printed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::url::BlobUrl;
use crate::lock;

/// A file with signatures is no larger.
const MAX_FILE: u64 = 1 << 20;
/// What is shown in place of a secret.
const HIDDEN: &str = "…";

/// A shared access signature: the query that follows the `?`. Printing it tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(String);

/// Why something gives no signature. What it says is not told.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// It has no `sig=`, or characters that no query has.
    #[error("{0} is no shared access signature: it is a query such as sv=…&sr=b&sp=rw&se=…&sig=…")]
    Shape(String),
    /// The file cannot be read.
    #[error("cannot read the shared access signature in {0}")]
    File(PathBuf, #[source] std::io::Error),
}

impl Signature {
    /// The signature in `text`, with or without a `?` before it; `named` says where it is from.
    ///
    /// # Errors
    /// `Shape`.
    pub fn new(text: &str, named: &str) -> Result<Self, SignatureError> {
        let query = text.trim();
        let query = query.strip_prefix('?').unwrap_or(query);
        let is_query = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'"');
        let signature = Self(query.to_owned());
        let signed = signature.part("sig").is_some_and(|sig| !sig.is_empty());
        if is_query && signed { Ok(signature) } else { Err(SignatureError::Shape(named.to_owned())) }
    }

    /// The query, for a request.
    pub(super) fn query(&self) -> &str {
        &self.0
    }

    /// When it ends, as it says itself.
    pub fn ends(&self) -> Option<String> {
        let ends = self.part("se")?;
        ends.chars().all(|c| c.is_ascii_alphanumeric() || "-:.+".contains(c)).then_some(ends)
    }

    /// Whether it allows this, by its letter (`r`, `w`, `d`, ..); so do those that do not say what they allow.
    pub fn allows(&self, permission: char) -> bool {
        self.part("sp").is_none_or(|allowed| allowed.contains(permission))
    }

    fn part(&self, name: &str) -> Option<String> {
        let mut parts = form_urlencoded::parse(self.0.as_bytes());
        parts.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }

    /// `text` without the signature, should it hold it in whatever spelling.
    pub fn hide(&self, text: &str) -> String {
        let raw = self.0.split('&').find_map(|part| part.strip_prefix("sig="));
        let secrets = [Some(self.0.clone()), raw.map(str::to_owned), self.part("sig")];
        let secrets = secrets.into_iter().flatten().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(&secret, HIDDEN))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// The signatures that were given, and for which blobs. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Signatures(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Those of one blob each.
    typed: Vec<(String, Signature)>,
    given: Mutex<Vec<Given>>,
    file: Option<PathBuf>,
    grant: Option<Grant>,
}

/// Who gives a new signature where one has ended, one at a time.
struct Grant(Mutex<Box<dyn Fn() -> Option<Signature> + Send>>);

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant")
    }
}

/// A line of a file: a signature for all blobs, or for those below a URL.
#[derive(Debug, Clone)]
struct Given {
    below: Option<String>,
    signature: Signature,
}

impl Signatures {
    /// Those that came with the URLs of blobs, in their order.
    #[must_use]
    pub fn of_blobs(typed: Vec<(String, Signature)>) -> Self {
        Self(Arc::new(Inner { typed, ..Inner::default() }))
    }

    /// The same, and those in `file`: a signature for all blobs, or lines of `URL?SIGNATURE`, each for the
    /// blobs whose URLs begin so. It is read again when a signature has ended.
    ///
    /// # Errors
    /// `File`, `Shape`.
    pub fn and_file(self, file: &Path) -> Result<Self, SignatureError> {
        let given = Mutex::new(read(file)?);
        let (typed, file) = (self.0.typed.clone(), Some(file.to_owned()));
        Ok(Self(Arc::new(Inner { typed, given, file, grant: None })))
    }

    /// The same, and those in `text`, which is as a file; `named` says where it is from.
    ///
    /// # Errors
    /// `Shape`.
    pub fn and_text(self, text: &str, named: &str) -> Result<Self, SignatureError> {
        let given = Mutex::new(lines(text, named)?);
        Ok(Self(Arc::new(Inner { typed: self.0.typed.clone(), given, ..Inner::default() })))
    }

    /// One that was granted, and who grants the next one when it has ended.
    #[must_use]
    pub fn granted(signature: Signature, next: impl Fn() -> Option<Signature> + Send + 'static) -> Self {
        let given = Mutex::new(vec![Given { below: None, signature }]);
        let grant = Some(Grant(Mutex::new(Box::new(next))));
        Self(Arc::new(Inner { given, grant, ..Inner::default() }))
    }

    /// Takes a signature off the URL of a blob in `text`, where there is one: `azure:https://…?sv=…`, and the
    /// same where the `azure:` was forgotten. Gives the rest, and the URL with its signature.
    ///
    /// # Errors
    /// `Shape` where the query of an address is none.
    pub fn split(text: &str) -> Result<(String, Option<(String, Signature)>), SignatureError> {
        let whole = || Ok((text.to_owned(), None));
        let at = ["https://", "http://"].into_iter().find_map(|scheme| text.find(scheme));
        let Some((before, url)) = at.and_then(|at| text.split_at_checked(at)) else { return whole() };
        let (url, part) = url.split_at(url.find('#').unwrap_or(url.len()));
        let Some((url, query)) = url.split_once('?') else { return whole() };
        if !before.ends_with("azure:") && !query.contains("sig=") {
            return whole();
        }
        let signature = Signature::new(query, &format!("what follows {url}?"))?;
        Ok((format!("{before}{url}{part}"), Some((url.to_owned(), signature))))
    }

    /// The one for `blob`, if there is one: that which came with it, with one beside it, or that of a file.
    pub fn of(&self, blob: &BlobUrl) -> Option<Signature> {
        let url = blob.as_str();
        let typed = &self.0.typed;
        let own = typed.iter().find(|(of, _)| of == url);
        let beside =
            || typed.iter().find(|(of, _)| of.rsplit_once('/').map(|(of, _)| of) == Some(blob.folder()));
        if let Some((_, signature)) = own.or_else(beside) {
            return Some(signature.clone());
        }
        let given = lock(&self.0.given);
        let fits =
            given.iter().filter(|given| given.below.as_deref().is_none_or(|below| url.starts_with(below)));
        let best = fits.max_by_key(|given| given.below.as_ref().map_or(0, String::len));
        best.map(|given| given.signature.clone())
    }

    /// Reads the file again. Whether there is now another signature for `blob` than `old`.
    pub(super) fn renew(&self, blob: &BlobUrl, old: &Signature) -> bool {
        let is_new = || self.of(blob).is_some_and(|new| new != *old);
        if let Some(Grant(grant)) = &self.0.grant {
            let grant = lock(grant);
            // Another thread may have asked for it meanwhile.
            if !is_new()
                && let Some(signature) = grant()
            {
                *lock(&self.0.given) = vec![Given { below: None, signature }];
            }
        }
        if let Some(found) = self.0.file.as_deref().and_then(|file| read(file).ok()) {
            *lock(&self.0.given) = found;
        }
        is_new()
    }
}

fn read(file: &Path) -> Result<Vec<Given>, SignatureError> {
    use std::io::Read as _;
    let failed = |cause| SignatureError::File(file.to_owned(), cause);
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    lines(&text, &format!("what is in {}", block::shown(file)))
}

fn lines(text: &str, named: &str) -> Result<Vec<Given>, SignatureError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let given = |line: &str| {
        let line = line.strip_prefix("azure:").unwrap_or(line);
        let (below, query) = match line.split_once('?') {
            Some((below, query)) if !below.is_empty() => (Some(below.to_owned()), query),
            _ => (None, line),
        };
        Ok(Given { below, signature: Signature::new(query, named)? })
    };
    let found: Vec<_> = lines.map(given).collect::<Result<_, SignatureError>>()?;
    if found.is_empty() { Err(SignatureError::Shape(named.to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAS: &str = "sv=2018-03-28&sr=b&se=2026-11-29T12%3A00%3A00Z&sig=a%2Bb%3D";

    fn url(text: &str) -> BlobUrl {
        text.parse().unwrap()
    }

    #[test]
    fn it_is_taken_off_the_address_and_told_by_nothing() {
        for (text, rest, of) in [
            (
                "azure:https://a/c/b.vhd?S#p1:/etc",
                "azure:https://a/c/b.vhd#p1:/etc",
                Some("https://a/c/b.vhd"),
            ),
            (
                "--disk=azure:http://localhost/c/b?S",
                "--disk=azure:http://localhost/c/b",
                Some("http://localhost/c/b"),
            ),
            ("azure:https://a/c/b#/etc/a?b", "azure:https://a/c/b#/etc/a?b", None),
            ("what?S", "what?S", None),
            ("https://a/c/b?S", "https://a/c/b", Some("https://a/c/b")),
            ("https://a/c/b?page=1", "https://a/c/b?page=1", None),
        ] {
            let (found, signature) = Signatures::split(&text.replace('S', SAS)).unwrap();
            assert_eq!(found, rest.replace('S', SAS), "{text}");
            assert_eq!(signature.as_ref().map(|(of, _)| of.as_str()), of, "{text}");
            assert!(!format!("{signature:?}").contains("a%2Bb"), "{signature:?}");
        }
        let wrong = Signatures::split("azure:https://a/c/b?sv=1&secret=2").unwrap_err();
        assert!(!wrong.to_string().contains("secret"), "{wrong}");
        let signature = Signature::new(&format!("?{SAS}\n"), "x").unwrap();
        assert_eq!(signature.ends().as_deref(), Some("2026-11-29T12:00:00Z"));
        assert!(signature.allows('d'));
        let limited = Signature::new("sp=rcw&sig=x", "x").unwrap();
        assert!(limited.allows('w') && !limited.allows('d'));
        for said in [format!("GET /c/b?{SAS}"), "x sig=a%2Bb%3D".into(), "not a+b= but".into()] {
            let hidden = signature.hide(&said);
            assert!(
                !hidden.contains("a+b=") && !hidden.contains("a%2Bb%3D") && hidden.contains('…'),
                "{hidden}"
            );
        }
        for text in ["", "sig=", "sv=1", "sv=1&sig=a b", "se=1&sig=x\ny"] {
            assert!(Signature::new(text, "it").is_err(), "{text}");
        }
    }

    #[test]
    fn the_nearest_one_is_taken_and_a_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sas");
        std::fs::write(&file, "sig=any\n# those of one account\nhttps://a/c/?sig=c\nhttps://a/?sig=a\n")
            .unwrap();
        let typed = vec![("https://t/c/os.vhd".to_owned(), Signature::new("sig=t", "x").unwrap())];
        let all = Signatures::of_blobs(typed).and_file(&file).unwrap();
        let of = |text: &str| all.of(&url(text)).unwrap().0;
        assert_eq!(of("https://t/c/os.vhd"), "sig=t");
        assert_eq!(of("https://t/c/os-data1.vhd"), "sig=t");
        assert_eq!(of("https://t/other/os.vhd"), "sig=any");
        assert_eq!(of("https://a/c/x"), "sig=c");
        assert_eq!(of("https://a/d/x"), "sig=a");
        let old = all.of(&url("https://a/d/x")).unwrap();
        assert!(!all.renew(&url("https://a/d/x"), &old));
        std::fs::write(&file, "sig=new").unwrap();
        assert!(all.renew(&url("https://a/d/x"), &old));
        assert_eq!(of("https://a/d/x"), "sig=new");
        assert!(all.clone().and_file(&folder.path().join("none")).is_err());
    }
}
