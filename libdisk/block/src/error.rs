//! One error for all layers: what kind, where, and why.

use std::borrow::Cow;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The result of every call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong, for callers that decide by it. Details are in the text and in the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The range does not lie inside the device.
    OutOfRange,
    /// The operating system reported an error.
    Io,
    /// The data contradict the format.
    Corrupt,
    /// The format is well known and uses something that we do not handle; the text names it.
    Unsupported,
    /// We could, but the caller did not allow it (a backing file, for one).
    Refused,
    /// A write failed earlier, so nothing after it can be trusted.
    Poisoned,
    /// What is below changed while it was in use (a file was truncated, for one).
    Changed,
    /// The caller asked for an end before the work was done.
    Cancelled,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::OutOfRange => "out of range",
            ErrorKind::Io => "input/output error",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Unsupported => "not supported",
            ErrorKind::Refused => "refused",
            ErrorKind::Poisoned => "unusable after a failed write",
            ErrorKind::Changed => "changed while in use",
            ErrorKind::Cancelled => "stopped",
        })
    }
}

/// A path for people: what is not UTF-8 in it as `\xE9`. It is for texts that somebody else escapes, so what
/// steers a terminal is left as it is.
pub fn shown(path: &Path) -> impl fmt::Display {
    struct Shown<'a>(&'a Path);

    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for chunk in self.0.as_os_str().as_bytes().utf8_chunks() {
                f.write_str(chunk.valid())?;
                chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02X}"))?;
            }
            Ok(())
        }
    }

    Shown(path)
}

/// An error of a layer. Its text is the kind and the place; the cause is in
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    layer: &'static str,
    what: Cow<'static, str>,
    offset: Option<u64>,
    path: Option<PathBuf>,
    source: Option<Cause>,
}

impl Error {
    /// An error of `kind` in the layer or format `layer`; `what` says it in a few words, lower case.
    pub fn new(kind: ErrorKind, layer: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, layer, what: what.into(), offset: None, path: None, source: None }
    }

    /// The data contradict the format `layer`.
    pub fn corrupt(layer: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Corrupt, layer, what)
    }

    /// The format `layer` uses something that we refuse by name.
    pub fn unsupported(layer: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, layer, what)
    }

    /// The operating system failed while we did `what`.
    pub fn io(layer: &'static str, what: impl Into<Cow<'static, str>>, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, layer, what).because(source)
    }

    /// Adds the byte offset at which it happened.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Adds the file it happened in.
    #[must_use]
    pub fn in_file(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind, to decide by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The layer or format that reported it.
    pub fn layer(&self) -> &'static str {
        self.layer
    }

    /// The byte offset at which it happened, where one is known.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.layer, self.kind, self.what)?;
        if let Some(offset) = self.offset {
            write!(f, ", at byte {offset:#x}")?;
        }
        if let Some(path) = &self.path {
            let joint = if self.offset.is_some() { " of " } else { ": " };
            write!(f, "{joint}{}", shown(path))?;
        }
        Ok(())
    }
}
