//! What an answer of the service that is none of the wished-for means.

use serde::Deserialize;

use crate::fault::{Fault, FaultKind};

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
    /// The fault that an answer of the EBS direct APIs with an error's status tells. `error_type` is the
    /// header `x-amzn-ErrorType`.
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
            _ if code.contains("Throttl") => FaultKind::Throttled,
            "RequestLimitExceeded" | "ConcurrentLimitExceededException" | "TooManyRequestsException" => {
                FaultKind::Throttled
            }
            // Of AWS Organizations: the account is in none.
            "AWSOrganizationsNotInUseException" => FaultKind::NotFound,
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => FaultKind::Clock,
            "InvalidSignatureException" | "SignatureDoesNotMatch" | "AuthFailure"
                if message.is_some_and(is_about_time) =>
            {
                FaultKind::Clock
            }
            "ExpiredTokenException"
            | "ExpiredToken"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "AuthFailure" => FaultKind::Credentials,
            "AccessDeniedException" if reason == "DEPENDENCY_ACCESS_DENIED" => FaultKind::Key,
            "AccessDeniedException"
            | "AccessDenied"
            | "UnauthorizedOperation"
            | "OptInRequired"
            | "Blocked" => FaultKind::Access,
            "ServiceQuotaExceededException" => FaultKind::Quota,
            "ValidationException" => match reason {
                "INVALID_PAGE_TOKEN" | "INVALID_BLOCK_TOKEN" => FaultKind::Token,
                "UNRELATED_SNAPSHOTS" => FaultKind::Unrelated,
                "INVALID_CUSTOMER_KEY" | "INVALID_GRANT_TOKEN" | "INVALID_DEPENDENCY_REQUEST" => {
                    FaultKind::Key
                }
                "INVALID_SNAPSHOT_ID" => FaultKind::NotFound,
                "WRITE_REQUEST_TIMEOUT" => FaultKind::Server,
                _ => FaultKind::Invalid,
            },
            "ResourceNotFoundException" => match reason {
                "GRANT_NOT_FOUND" | "DEPENDENCY_RESOURCE_NOT_FOUND" => FaultKind::Key,
                _ => FaultKind::NotFound,
            },
            _ if code.ends_with(".NotFound") || code.ends_with(".Malformed") => FaultKind::NotFound,
            _ if status >= 500 => FaultKind::Server,
            _ => FaultKind::Invalid,
        };
        Self::of_status(kind, status, [code, reason].into_iter().chain(message))
    }
}

/// Whether a refused signature is one of another time: "Signature expired: …", "Signature not yet current:
/// …".
fn is_about_time(message: &str) -> bool {
    ["Signature expired", "not yet current", "not within the valid time"]
        .iter()
        .any(|said| message.contains(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every exception with every reason that the service model tells (botocore 1.44.5, ebs/2019-11-02), and
    /// what is common to AWS's services.
    #[test]
    fn each_answer_has_its_meaning() {
        use FaultKind::*;
        let cases = [
            (403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", Access),
            (403, "AccessDeniedException", "DEPENDENCY_ACCESS_DENIED", Key),
            (400, "ConcurrentLimitExceededException", "", Throttled),
            (409, "ConflictException", "", Invalid),
            (500, "InternalServerException", "", Server),
            (400, "RequestThrottledException", "ACCOUNT_THROTTLED", Throttled),
            (400, "RequestThrottledException", "DEPENDENCY_REQUEST_THROTTLED", Throttled),
            (400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE", Throttled),
            (404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", NotFound),
            (404, "ResourceNotFoundException", "GRANT_NOT_FOUND", Key),
            (404, "ResourceNotFoundException", "DEPENDENCY_RESOURCE_NOT_FOUND", Key),
            (404, "ResourceNotFoundException", "IMAGE_NOT_FOUND", NotFound),
            (402, "ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", Quota),
            (400, "ValidationException", "INVALID_CUSTOMER_KEY", Key),
            (400, "ValidationException", "INVALID_PAGE_TOKEN", Token),
            (400, "ValidationException", "INVALID_BLOCK_TOKEN", Token),
            (400, "ValidationException", "INVALID_GRANT_TOKEN", Key),
            (400, "ValidationException", "INVALID_SNAPSHOT_ID", NotFound),
            (400, "ValidationException", "UNRELATED_SNAPSHOTS", Unrelated),
            (400, "ValidationException", "INVALID_BLOCK", Invalid),
            (400, "ValidationException", "INVALID_CONTENT_ENCODING", Invalid),
            (400, "ValidationException", "INVALID_TAG", Invalid),
            (400, "ValidationException", "INVALID_DEPENDENCY_REQUEST", Key),
            (400, "ValidationException", "INVALID_PARAMETER_VALUE", Invalid),
            (400, "ValidationException", "INVALID_VOLUME_SIZE", Invalid),
            (400, "ValidationException", "CONFLICTING_BLOCK_UPDATE", Invalid),
            (400, "ValidationException", "INVALID_IMAGE_ID", Invalid),
            (400, "ValidationException", "WRITE_REQUEST_TIMEOUT", Server),
            (400, "ThrottlingException", "", Throttled),
            (503, "RequestLimitExceeded", "", Throttled),
            (503, "", "", Server),
            (403, "ExpiredTokenException", "", Credentials),
            (403, "UnrecognizedClientException", "", Credentials),
            (403, "InvalidSignatureException", "", Credentials),
            (403, "RequestTimeTooSkewed", "", Clock),
            (403, "UnauthorizedOperation", "", Access),
            (400, "InvalidSnapshotID.Malformed", "", NotFound),
            (400, "InvalidInstanceID.NotFound", "", NotFound),
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
        for message in [
            "Signature expired: 20261123T100000Z is now earlier than 20261123T135500Z (20261123T140000Z - 5 min.)",
            "Signature not yet current: 20261123T180000Z is still later than 20261123T140500Z (20261123T140000Z + 5 min.)",
        ] {
            let told = Fault::of_code(403, "InvalidSignatureException", None, Some(message));
            assert_eq!(told.kind(), Clock, "{message}");
        }
    }
}
