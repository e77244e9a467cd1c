//! What may go wrong with a request, whichever service it was made of.

use std::fmt;

/// What a fault means for the one who made the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Too many requests, for the snapshot, the account or its keys. HTTP 400.
    Throttled,
    /// The service failed: HTTP 5xx.
    Server,
    /// There was no answer: refused, reset, timed out.
    Connection,
    /// The server's certificate is not one to trust.
    Certificate,
    /// The proxy does not let the request through, or cannot be used.
    Proxy,
    /// The body is short, or is not what its checksum says.
    Damaged,
    /// A page or block token is no longer valid.
    Token,
    /// There are no credentials, or they are wrong or have expired.
    Credentials,
    /// The shared access signature is over.
    Expired,
    /// This machine's clock and the service's differ too much for a signature.
    Clock,
    /// It is not known which region is meant.
    Region,
    /// The credentials do not allow it.
    Access,
    /// The key of what is encrypted may not be used, or is not there.
    Key,
    /// There is no such snapshot or blob, or none that can be read: it is not completed, archived, public.
    NotFound,
    /// A quota of the account, or of the key's service, is used up. HTTP 402.
    Quota,
    /// The two snapshots are not of one volume.
    Unrelated,
    /// A disk that is to be left out is none of the machine's, or the one that it starts from.
    Exclusion,
    /// A blob of another kind than is needed.
    OtherKind,
    /// Somebody else holds a lease on it.
    InUse,
    /// It is the disk of a virtual machine.
    Attached,
    /// It was changed while it was read.
    Changed,
    /// The service takes the request for wrong.
    Invalid,
    /// The answer contradicts the service's own description.
    Protocol,
}

impl FaultKind {
    /// Whether the same request may succeed later.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Throttled | Self::Server | Self::Connection | Self::Damaged)
    }
}

impl FaultKind {
    /// Whether other credentials might help.
    pub(crate) fn is_about_access(self) -> bool {
        matches!(self, Self::Credentials | Self::Access | Self::NotFound)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "throttled",
            Self::Server => "the service failed",
            Self::Connection => "no answer",
            Self::Certificate => "the certificate cannot be trusted",
            Self::Proxy => "the proxy cannot be used",
            Self::Damaged => "damaged on its way",
            Self::Token => "a token is not valid any more",
            Self::Credentials => "the credentials do not work",
            Self::Expired => "the shared access signature is over",
            Self::Clock => "the clocks differ",
            Self::Region => "no region is set",
            Self::Access => "access denied",
            Self::Key => "the encryption key cannot be used",
            Self::NotFound => "there is none that can be read",
            Self::Quota => "a quota is used up",
            Self::Unrelated => "the snapshots are not of one volume",
            Self::Exclusion => "that cannot be left out",
            Self::OtherKind => "it is a blob of another kind",
            Self::InUse => "somebody else holds it",
            Self::Attached => "it is attached to a virtual machine",
            Self::Changed => "it was changed meanwhile",
            Self::Invalid => "the request was refused",
            Self::Protocol => "the answer makes no sense",
        })
    }
}

/// How many characters are told of each thing that a service says.
pub(crate) const MAX_TOLD: usize = 500;

/// One failed request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {text}")]
pub struct Fault {
    kind: FaultKind,
    text: String,
}

/// What a service says, fit for a terminal: at most so many characters, none that steers one.
pub(crate) fn told(text: &str, most: usize) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(most).collect()
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The fault that caused an error of the SDK, if one did.
    pub(crate) fn of_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }

    /// Of an answer with an error's status, and what the service says beside it.
    pub(crate) fn of_status<'a>(
        kind: FaultKind,
        status: u16,
        said: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let said = said.into_iter().filter(|part| !part.is_empty()).map(|part| told(part, MAX_TOLD));
        let text: Vec<String> = std::iter::once(format!("HTTP {status}")).chain(said).collect();
        Self::new(kind, text.join(", "))
    }

    /// A header or URL has characters that have no place there.
    pub(crate) fn unsendable(_: ureq::http::Error) -> Self {
        Self::new(FaultKind::Invalid, "it cannot be put into a request")
    }

    /// With its text changed: what is secret taken out.
    pub(crate) fn hiding(self, hide: impl FnOnce(&str) -> String) -> Self {
        Self { text: hide(&self.text), ..self }
    }

    /// The same, where it means something else.
    pub(crate) fn of_kind(self, kind: FaultKind) -> Self {
        Self { kind, ..self }
    }

    /// With more that is known of its cause.
    pub(crate) fn knowing(self, more: &str) -> Self {
        Self { text: format!("{}; {more}", self.text), ..self }
    }

    /// What was said, without the kind.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The kind, to decide by.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }
}
