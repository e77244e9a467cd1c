//! What an answer of the service that is none of the wished-for means.

use std::fmt;

use serde::Deserialize;

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
    /// The credentials do not allow it.
    Access,
    /// The key of an encrypted snapshot may not be used, or is not there.
    Key,
    /// There is no such snapshot, or no such block in it.
    NotFound,
    /// The two snapshots are not of one volume.
    Unrelated,
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
            Self::Access => "access denied",
            Self::Key => "the key of the encrypted snapshot cannot be used",
            Self::NotFound => "not found",
            Self::Unrelated => "the snapshots are not of one volume",
            Self::Invalid => "the request was refused",
            Self::Protocol => "the answer makes no sense",
        })
    }
}

/// One failed request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {text}")]
pub struct Fault {
    kind: FaultKind,
    text: String,
}

/// What the body of an error may hold; every service spells it in its own way.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(alias = "code", alias = "Code", rename = "__type")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
    #[serde(alias = "reason", rename = "Reason")]
    reason: Option<String>,
}

impl Fault {
    pub(super) fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The fault that caused an error of the SDK, if one did.
    pub(super) fn of_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }

    /// The kind, to decide by.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// The fault that an answer of the EBS direct APIs with an error's status tells. `error_type` is the header `x-amzn-ErrorType`.
    pub(super) fn of_answer(status: u16, error_type: Option<&str>, body: &[u8]) -> Self {
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        // "Code:http://…" in the header, "namespace#Code" in the body.
        let code = error_type.map(str::to_owned).or(body.code).unwrap_or_default();
        let code = code.rsplit('#').next().and_then(|code| code.split(':').next()).unwrap_or_default();
        Self::of_code(status, code, body.reason.as_deref(), body.message.as_deref())
    }

    /// The fault that a code tells; `reason` is the `Reason` of the service model, where there is one.
    pub(super) fn of_code(status: u16, code: &str, reason: Option<&str>, message: Option<&str>) -> Self {
        let reason = reason.unwrap_or_default();
        let kind = match code {
            _ if code.contains("Throttl") || code == "RequestLimitExceeded" => FaultKind::Throttled,
            "ExpiredTokenException"
            | "ExpiredToken"
            | "RequestExpired"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "AuthFailure" => FaultKind::Credentials,
            "AccessDeniedException" if reason == "DEPENDENCY_ACCESS_DENIED" => FaultKind::Key,
            "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" => FaultKind::Access,
            "ValidationException" => match reason {
                "INVALID_PAGE_TOKEN" | "INVALID_BLOCK_TOKEN" => FaultKind::Token,
                "UNRELATED_SNAPSHOTS" => FaultKind::Unrelated,
                "INVALID_CUSTOMER_KEY" | "INVALID_DEPENDENCY_REQUEST" => FaultKind::Key,
                _ => FaultKind::Invalid,
            },
            "ResourceNotFoundException" => match reason {
                "GRANT_NOT_FOUND" | "DEPENDENCY_RESOURCE_NOT_FOUND" => FaultKind::Key,
                _ => FaultKind::NotFound,
            },
            _ if code.ends_with(".NotFound") => FaultKind::NotFound,
            _ if status >= 500 => FaultKind::Server,
            _ => FaultKind::Invalid,
        };
        let mut text = format!("HTTP {status}");
        for part in [Some(code), Some(reason), message].into_iter().flatten().filter(|part| !part.is_empty())
        {
            text.push_str(", ");
            // It came from the network and goes to a terminal.
            text.extend(part.chars().filter(|c| !c.is_control()).take(500));
        }
        Self { kind, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_meaning() {
        use FaultKind::*;
        let cases = [
            (400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE", Throttled),
            (400, "ThrottlingException", "", Throttled),
            (500, "InternalServerException", "", Server),
            (503, "", "", Server),
            (403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", Access),
            (403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED", Key),
            (400, "ValidationException", "INVALID_CUSTOMER_KEY", Key),
            (400, "ValidationException", "INVALID_BLOCK_TOKEN", Token),
            (400, "ValidationException", "INVALID_PAGE_TOKEN", Token),
            (400, "ValidationException", "UNRELATED_SNAPSHOTS", Unrelated),
            (400, "ValidationException", "INVALID_PARAMETER_VALUE", Invalid),
            (404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", NotFound),
            (404, "ResourceNotFoundException", "GRANT_NOT_FOUND", Key),
            (403, "ExpiredTokenException", "", Credentials),
            (402, "ServiceQuotaExceededException", "", Invalid),
        ];
        for (status, code, reason, kind) in cases {
            let body = format!(r#"{{"Reason":"{reason}","Message":"so it is"}}"#);
            let fault = Fault::of_answer(status, Some(&format!("{code}:http://x/")), body.as_bytes());
            assert_eq!(fault.kind(), kind, "{code} {reason}");
            let body = format!(r#"{{"__type":"com.amazonaws.ebs#{code}","reason":"{reason}"}}"#);
            assert_eq!(Fault::of_answer(status, None, body.as_bytes()).kind(), kind, "{code} {reason}");
        }
        let told = Fault::of_answer(403, Some("AccessDeniedException"), br#"{"message":"no \u001b[31m"}"#);
        assert_eq!(told.to_string(), "access denied: HTTP 403, AccessDeniedException, no [31m");
        assert_eq!(Fault::of_answer(500, None, b"<html>").kind(), Server);
    }
}
