//! What an answer of the Blob service that is none of the wished-for means.
//!
//! References: "Common REST API error codes" and "Blob Storage error codes", learn.microsoft.com, 2026-02.

use roxmltree::Document;

use super::signature::Signature;
use crate::fault::{Fault, FaultKind};

/// What the codes mean, those that are clear by themselves; others are judged by their status.
const CODES: &[(&str, FaultKind)] = &[
    ("ServerBusy", FaultKind::Throttled),
    ("TooManyRequests", FaultKind::Throttled),
    ("InternalError", FaultKind::Server),
    ("OperationTimedOut", FaultKind::Server),
    ("RequestTimeout", FaultKind::Server),
    ("ContainerBeingDeleted", FaultKind::Server),
    ("ContainerDisabled", FaultKind::Access),
    ("PendingCopyOperation", FaultKind::InUse),
    ("Crc64Mismatch", FaultKind::Damaged),
    ("Md5Mismatch", FaultKind::Damaged),
    ("NoAuthenticationInformation", FaultKind::Credentials),
    ("InvalidAuthenticationInfo", FaultKind::Credentials),
    ("PublicAccessNotPermitted", FaultKind::Credentials),
    ("KeyBasedAuthenticationNotPermitted", FaultKind::Credentials),
    ("AccountIsDisabled", FaultKind::Access),
    ("AuthorizationFailure", FaultKind::Access),
    ("AuthorizationPermissionMismatch", FaultKind::Access),
    ("AuthorizationProtocolMismatch", FaultKind::Access),
    ("AuthorizationResourceTypeMismatch", FaultKind::Access),
    ("AuthorizationServiceMismatch", FaultKind::Access),
    ("AuthorizationSourceIPMismatch", FaultKind::Access),
    ("InsufficientAccountPermissions", FaultKind::Access),
    ("BlobImmutableDueToPolicy", FaultKind::Access),
    ("UnauthorizedBlobOverwrite", FaultKind::Access),
    ("FeatureVersionMismatch", FaultKind::Invalid),
    ("BlobNotFound", FaultKind::NotFound),
    ("ContainerNotFound", FaultKind::NotFound),
    ("ResourceNotFound", FaultKind::NotFound),
    ("BlobArchived", FaultKind::NotFound),
    ("BlobBeingRehydrated", FaultKind::NotFound),
    ("InvalidBlobType", FaultKind::OtherKind),
    ("BlobAlreadyExists", FaultKind::Changed),
    ("ConditionNotMet", FaultKind::Changed),
    ("TargetConditionNotMet", FaultKind::Changed),
    ("LeaseAlreadyPresent", FaultKind::InUse),
    ("LeaseIdMissing", FaultKind::InUse),
    ("LeaseLost", FaultKind::InUse),
    ("LeaseIdMismatchWithBlobOperation", FaultKind::InUse),
    ("SnapshotsPresent", FaultKind::InUse),
    ("BlobUsesCustomerSpecifiedEncryption", FaultKind::Key),
    ("KeyVaultAccessTokenCannotBeAcquired", FaultKind::Key),
    ("KeyVaultEncryptionKeyNotFound", FaultKind::Key),
    ("KeyVaultVaultNotFound", FaultKind::Key),
    ("AccountLimitExceeded", FaultKind::Quota),
];

/// The fault that an answer with an error's status tells. `code` is the header `x-ms-error-code`, which is
/// there even where there is no body; nothing of `signature` is told.
pub(super) fn fault(status: u16, code: Option<&str>, body: &[u8], signature: Option<&Signature>) -> Fault {
    let told = std::str::from_utf8(body).ok().map(|text| text.trim_start_matches('\u{feff}'));
    let document = told.and_then(|text| Document::parse(text).ok());
    let element = |name: &str| {
        let mut nodes = document.iter().flat_map(Document::descendants);
        nodes.find(|node| node.has_tag_name(name)).and_then(|node| node.text()).map(str::to_owned)
    };
    let code = code.map(str::to_owned).or_else(|| element("Code")).unwrap_or_default();
    // The lines that follow are the number of the request, and its time.
    let message = element("Message").and_then(|message| message.lines().next().map(str::to_owned));
    let detail = element("AuthenticationErrorDetail");
    let kind = kind(status, &code, detail.as_deref());
    let said = [Some(code.as_str()), message.as_deref(), detail.as_deref()];
    let fault = Fault::of_status(kind, status, said.into_iter().flatten());
    match signature {
        Some(signature) => fault.hiding(|text| signature.hide(text)),
        None => fault,
    }
}

fn kind(status: u16, code: &str, detail: Option<&str>) -> FaultKind {
    if let Some((_, kind)) = CODES.iter().find(|(name, _)| *name == code) {
        return *kind;
    }
    match (code, status) {
        ("AuthenticationFailed", _) => time(detail.unwrap_or_default()).unwrap_or(FaultKind::Credentials),
        (_, 408) => FaultKind::Server,
        (_, 429) => FaultKind::Throttled,
        (_, 500..) => FaultKind::Server,
        (_, 401) => FaultKind::Credentials,
        (_, 403) => FaultKind::Access,
        (_, 404) => FaultKind::NotFound,
        (_, 412) => FaultKind::Changed,
        _ => FaultKind::Invalid,
    }
}

/// What is wrong with the time of a signature: "Signature not valid in the specified time frame: Start [A] -
/// Expiry [B] - Current [C]", or "Signed expiry time [B] must be after signed start time [A]".
fn time(detail: &str) -> Option<FaultKind> {
    if !detail.contains("time frame") && !detail.contains("expired") {
        return None;
    }
    let of = |name: &str| {
        let (_, after) = detail.split_once(&format!("{name} ["))?;
        seconds(after.split_once(']')?.0)
    };
    // Where it is not there to be compared, the end is the usual one.
    let early = of("Start").zip(of("Current")).is_some_and(|(start, now)| now < start);
    Some(if early { FaultKind::Clock } else { FaultKind::Expired })
}

/// A time as HTTP writes it, "Fri, 27 Nov 2026 10:00:00 GMT", as a number that grows with it.
fn seconds(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_whitespace().skip(1);
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next().filter(|month| month.len() == 3).and_then(|month| MONTHS.find(month))?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let month = crate::to_u64(month).checked_div(3)?;
    let parts = [(month, 12), (day, 32), (hour, 24), (minute, 60), (second, 61)];
    let grow = |sum: u64, (part, of): (u64, u64)| sum.checked_mul(of)?.checked_add(part);
    parts.into_iter().try_fold(year, grow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_meaning_with_a_body_and_without() {
        use FaultKind::*;
        let frame = "Signature not valid in the specified time frame: Start [Fri, 27 Nov 2026 10:00:00 GMT] - \
                     Expiry [Fri, 27 Nov 2026 12:00:00 GMT] - Current [AT]";
        let late = frame.replace("AT", "Tue, 01 Dec 2026 09:00:00 GMT");
        let early = frame.replace("AT", "Fri, 27 Nov 2026 09:59:59 GMT");
        let wrong = "Signature did not match. String to sign used was rw ...";
        let cases = [
            (503, "ServerBusy", "", Throttled),
            (429, "", "", Throttled),
            (500, "InternalError", "", Server),
            (500, "OperationTimedOut", "", Server),
            (408, "", "", Server),
            (502, "", "", Server),
            (400, "Crc64Mismatch", "", Damaged),
            (403, "AuthenticationFailed", late.as_str(), Expired),
            (403, "AuthenticationFailed", early.as_str(), Clock),
            (403, "AuthenticationFailed", "Access has expired", Expired),
            (403, "AuthenticationFailed", wrong, Credentials),
            (403, "AuthenticationFailed", "", Credentials),
            (401, "NoAuthenticationInformation", "", Credentials),
            (409, "PublicAccessNotPermitted", "", Credentials),
            (403, "AuthorizationPermissionMismatch", "", Access),
            (403, "AuthorizationSourceIPMismatch", "", Access),
            (403, "", "", Access),
            (404, "BlobNotFound", "", NotFound),
            (404, "ContainerNotFound", "", NotFound),
            (404, "", "", NotFound),
            (409, "InvalidBlobType", "", OtherKind),
            (409, "BlobArchived", "", NotFound),
            (412, "LeaseIdMissing", "", InUse),
            (412, "ConditionNotMet", "", Changed),
            (412, "", "", Changed),
            (403, "KeyVaultEncryptionKeyNotFound", "", Key),
            (416, "InvalidPageRange", "", Invalid),
            (413, "RequestBodyTooLarge", "", Invalid),
            (400, "InvalidHeaderValue", "", Invalid),
        ];
        for (status, code, detail, kind) in cases {
            let body = format!(
                "\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>So it is.\nRequestId:1</Message>\
                 <AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail></Error>"
            );
            let told = fault(status, None, body.as_bytes(), None);
            assert_eq!(told.kind(), kind, "{status} {code} {detail}");
            assert!(
                told.to_string().contains("So it is.") && !told.to_string().contains("RequestId"),
                "{told}"
            );
            if detail.is_empty() {
                let code = Some(code).filter(|code| !code.is_empty());
                assert_eq!(fault(status, code, b"", None).kind(), kind, "{status} {code:?} of a header");
            }
        }
        for (index, (name, _)) in CODES.iter().enumerate() {
            assert!(CODES.iter().skip(index + 1).all(|(other, _)| other != name), "{name} is there twice");
        }
    }

    #[test]
    fn what_is_said_is_bare_and_holds_no_signature() {
        let signature = Signature::new("sv=1&sig=top%2Bsecret", "x").unwrap();
        let body = b"<Error><Code>InvalidQueryParameterValue</Code><Message>\x1b[31m sig top+secret, top%2Bsecret</Message></Error>";
        for body in [&body[..], &String::from_utf8_lossy(body).replace('\u{1b}', "").into_bytes()] {
            let told = fault(400, None, body, Some(&signature)).to_string();
            assert!(!told.contains("secret") && !told.contains('\u{1b}'), "{told}");
        }
        assert_eq!(fault(500, None, b"<html>", None).kind(), FaultKind::Server);
    }
}
