//! What an answer of the Blob service that is none of the wished-for means.
//!
//! References: "Common REST API error codes" and "Blob Storage error codes", learn.microsoft.com, 2026-02.

use roxmltree::Document;

use super::signature::Signature;
use crate::fault::{Fault, FaultKind};

/// A code; what it means; and, where its name and the service's own sentence leave it open, what to do.
struct Known(&'static str, FaultKind, &'static str);

/// The documented codes that one of our requests can meet; others are judged by their status. What of the two
/// documents is not here is of blocks, copies, tiers, queues, metadata and other requests that are never made.
const KNOWN: &[Known] = &[
    Known("ServerBusy", FaultKind::Throttled, ""),
    Known("TooManyRequests", FaultKind::Throttled, ""),
    Known("InternalError", FaultKind::Server, ""),
    Known("OperationTimedOut", FaultKind::Server, ""),
    Known("RequestTimeout", FaultKind::Server, ""),
    Known("AccountBeingCreated", FaultKind::Server, "the storage account is still being made"),
    Known(
        "ContainerBeingDeleted",
        FaultKind::Server,
        "the container is being deleted: wait, or use another one",
    ),
    Known("ContainerDisabled", FaultKind::Access, "the container is disabled: see the storage account"),
    Known(
        "PendingCopyOperation",
        FaultKind::InUse,
        "a copy into it is under way (az storage blob copy cancel)",
    ),
    Known("SystemInUse", FaultKind::InUse, "a system of Azure's, as a backup, holds it"),
    Known("Crc64Mismatch", FaultKind::Damaged, ""),
    Known("Md5Mismatch", FaultKind::Damaged, ""),
    Known("NoAuthenticationInformation", FaultKind::Credentials, "the request came without a signature"),
    Known("InvalidAuthenticationInfo", FaultKind::Credentials, "the signature is not whole"),
    Known(
        "PublicAccessNotPermitted",
        FaultKind::Credentials,
        "the account lets nobody in without a signature",
    ),
    Known(
        "KeyBasedAuthenticationNotPermitted",
        FaultKind::Credentials,
        "the account takes no signature made with its key: get one made with a user delegation key \
         (az storage blob generate-sas --as-user --auth-mode login)",
    ),
    Known(
        "AccountIsDisabled",
        FaultKind::Access,
        "the storage account is disabled: see its subscription's payment",
    ),
    Known(
        "AuthorizationFailure",
        FaultKind::Access,
        "the signature does not allow it, or the account's firewall shuts this machine out",
    ),
    Known(
        "AuthorizationPermissionMismatch",
        FaultKind::Access,
        "the signature's permissions (sp=) leave it out, or a blob of a managed disk is never made or deleted",
    ),
    Known("AuthorizationProtocolMismatch", FaultKind::Access, "the signature is for https alone (spr=)"),
    Known(
        "AuthorizationResourceTypeMismatch",
        FaultKind::Access,
        "the signature is for the service or containers, and not for blobs (srt= lacks o)",
    ),
    Known("AuthorizationServiceMismatch", FaultKind::Access, "the signature is not for blobs (ss= lacks b)"),
    Known(
        "AuthorizationSourceIPMismatch",
        FaultKind::Access,
        "the signature is for other addresses than that of this machine (sip=)",
    ),
    Known("InsufficientAccountPermissions", FaultKind::Access, "the account is read-only where it was asked"),
    Known(
        "BlobImmutableDueToPolicy",
        FaultKind::Access,
        "a policy of the container keeps what is there from change",
    ),
    Known(
        "UnauthorizedBlobOverwrite",
        FaultKind::Access,
        "the signature may make blobs and not write over them",
    ),
    Known("ResourceTypeMismatch", FaultKind::OtherKind, "the URL is that of something else than a blob"),
    Known("BlobNotFound", FaultKind::NotFound, "there is no blob of that name in the container"),
    Known("ContainerNotFound", FaultKind::NotFound, "make the container first (az storage container create)"),
    Known("ResourceNotFound", FaultKind::NotFound, ""),
    Known(
        "BlobArchived",
        FaultKind::NotFound,
        "bring it back from its archive first (az storage blob set-tier)",
    ),
    Known("BlobBeingRehydrated", FaultKind::NotFound, "it is on its way back from its archive: wait for it"),
    Known("InvalidBlobType", FaultKind::OtherKind, "it is no page blob"),
    Known(
        "OperationNotAllowedOnIncrementalCopyBlob",
        FaultKind::OtherKind,
        "it is an incremental copy, which is only read",
    ),
    Known(
        "InvalidVersionForPageBlobOperation",
        FaultKind::OtherKind,
        "it is a page blob of a premium account that this version of the service does not write",
    ),
    Known("BlobAlreadyExists", FaultKind::Changed, "somebody made it meanwhile"),
    Known("ResourceAlreadyExists", FaultKind::Changed, "somebody made it meanwhile"),
    Known("BlobOverwritten", FaultKind::Changed, "somebody wrote over it meanwhile"),
    Known("ConditionNotMet", FaultKind::Changed, "somebody wrote it meanwhile"),
    Known("TargetConditionNotMet", FaultKind::Changed, "somebody wrote it meanwhile"),
    Known("SequenceNumberConditionNotMet", FaultKind::Changed, "somebody wrote it meanwhile"),
    Known("LeaseAlreadyPresent", FaultKind::InUse, "somebody has a lease on it"),
    Known(
        "LeaseIdMissing",
        FaultKind::InUse,
        "somebody has a lease on it, as a machine has whose disk it is",
    ),
    Known("LeaseLost", FaultKind::InUse, "a lease on it has ended meanwhile"),
    Known("LeaseIdMismatchWithBlobOperation", FaultKind::InUse, "somebody else has a lease on it"),
    Known("SnapshotsPresent", FaultKind::InUse, "it has snapshots, which go first"),
    Known(
        "BlobUsesCustomerSpecifiedEncryption",
        FaultKind::Key,
        "it is encrypted with a key that comes with each request, which refloat has not",
    ),
    Known(
        "KeyVaultAccessTokenCannotBeAcquired",
        FaultKind::Key,
        "the account's identity gets into no key vault",
    ),
    Known(
        "KeyVaultEncryptionKeyNotFound",
        FaultKind::Key,
        "the account's key is not in its key vault any more",
    ),
    Known("KeyVaultVaultNotFound", FaultKind::Key, "the account's key vault is not there any more"),
    Known("AccountLimitExceeded", FaultKind::Quota, ""),
    Known(
        "FeatureVersionMismatch",
        FaultKind::Invalid,
        "it was made with what this version of the service does not know",
    ),
    Known("InvalidPageRange", FaultKind::Invalid, "pages are whole ones of 512 bytes, within the blob"),
    Known("InvalidRange", FaultKind::Invalid, "the blob is shorter than it was"),
    Known("RequestBodyTooLarge", FaultKind::Invalid, "a put has 4 MiB at most"),
    Known("OutOfRangeInput", FaultKind::Invalid, "a page blob has 8 TiB at most"),
    Known("InvalidUri", FaultKind::Invalid, "the URL has characters that none has"),
    Known(
        "InvalidResourceName",
        FaultKind::Invalid,
        "the container or the blob has a name that Azure has not",
    ),
    Known("RequestUrlFailedToParse", FaultKind::Invalid, "the URL is none of a blob"),
    Known(
        "InvalidQueryParameterValue",
        FaultKind::Invalid,
        "a part of the signature is not what Azure takes: was it cut or decoded on its way?",
    ),
    Known(
        "OutOfRangeQueryParameterValue",
        FaultKind::Invalid,
        "a part of the signature is not what Azure takes",
    ),
    Known("MissingRequiredQueryParameter", FaultKind::Invalid, "the signature lacks a part"),
    Known(
        "UnsupportedQueryParameter",
        FaultKind::Invalid,
        "what answers is no storage of blobs, or an old one",
    ),
    Known("UnsupportedHeader", FaultKind::Invalid, "what answers is no storage of blobs, or an old one"),
    Known("UnsupportedHttpVerb", FaultKind::Invalid, "what answers is no storage of blobs"),
    Known("InvalidHttpVerb", FaultKind::Invalid, "what answers is no storage of blobs"),
    Known(
        "InvalidHeaderValue",
        FaultKind::Invalid,
        "the service does not know this version, or what a header says",
    ),
    Known("MissingRequiredHeader", FaultKind::Invalid, "something on the way has taken a header out"),
    Known("MissingContentLengthHeader", FaultKind::Invalid, "something on the way has taken a header out"),
    Known("InvalidInput", FaultKind::Invalid, ""),
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
    let known = KNOWN.iter().find(|Known(name, ..)| *name == code);
    let by_status = || by_status(status, &code, detail.as_deref());
    let kind = known.map_or_else(by_status, |Known(_, kind, _)| *kind);
    let said = [Some(code.as_str()), message.as_deref(), detail.as_deref()];
    let fault = Fault::of_status(kind, status, said.into_iter().flatten());
    let fault = match known {
        Some(Known(.., words)) if !words.is_empty() => fault.knowing(words),
        _ => fault,
    };
    match signature {
        Some(signature) => fault.hiding(|text| signature.hide(text)),
        None => fault,
    }
}

fn by_status(status: u16, code: &str, detail: Option<&str>) -> FaultKind {
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
        for (index, Known(name, kind, words)) in KNOWN.iter().enumerate() {
            assert!(KNOWN.iter().skip(index + 1).all(|other| other.0 != *name), "{name} is there twice");
            for status in [400, 503] {
                let told = fault(status, Some(name), b"", None);
                assert_eq!(told.kind(), *kind, "{name}");
                assert!(told.text().contains(words), "{told}");
            }
            // What cannot pass by itself has words of its own, or a name that says it.
            let clear = ["ResourceNotFound", "AccountLimitExceeded", "InvalidInput"];
            assert!(kind.may_pass() || !words.is_empty() || clear.contains(name), "{name} has no words");
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
