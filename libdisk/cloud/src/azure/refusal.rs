//! What an answer of Azure Resource Manager that is none of the wished-for means.
//!
//! References: "Troubleshoot common Azure deployment errors" and "Virtual machine error messages",
//! learn.microsoft.com, 2026; the issues of azure-cli and of the Storage Explorer.

use serde_json::Value;

use crate::fault::{Fault, FaultKind, MAX_TOLD, told};

/// A code; what the message has in it, where the code alone says too little; what it means; and, where the
/// service does not say so itself, what to do.
struct Known(&'static str, &'static str, FaultKind, &'static str);

/// The first that fits is the one. Other codes are judged by their status.
const KNOWN: &[Known] = &[
    Known(
        "ExpiredAuthenticationToken",
        "",
        FaultKind::Credentials,
        "the token's time is over: get a new one",
    ),
    Known(
        "InvalidAuthenticationTokenTenant",
        "",
        FaultKind::Credentials,
        "the token is for another tenant than that of the subscription (az account set --subscription)",
    ),
    Known(
        "InvalidAuthenticationTokenAudience",
        "",
        FaultKind::Credentials,
        "the token is for another service: it has to be one for Azure Resource Manager, of this cloud (AZURE_CLOUD)",
    ),
    Known("InvalidAuthenticationToken", "", FaultKind::Credentials, "the token is not what was given out"),
    Known("AuthenticationFailed", "", FaultKind::Credentials, ""),
    Known(
        "LinkedAuthorizationFailed",
        "",
        FaultKind::Access,
        "what the disk refers to (an encryption set, a disk access) must be readable to you, too",
    ),
    Known(
        "AuthorizationFailed",
        "",
        FaultKind::Access,
        "the role Disk Pool Operator is too little, Contributor is enough",
    ),
    Known(
        "RequestDisallowedByPolicy",
        "",
        FaultKind::Access,
        "a policy of the subscription forbids such a disk",
    ),
    Known("ScopeLocked", "", FaultKind::Access, "a lock is on it or on its group (az lock list)"),
    Known(
        "ReadOnlyDisabledSubscription",
        "",
        FaultKind::Access,
        "the subscription is read-only: see its payment",
    ),
    Known("DisabledSubscription", "", FaultKind::Access, "the subscription is disabled: see its payment"),
    Known(
        "MissingSubscriptionRegistration",
        "",
        FaultKind::Access,
        "az provider register --namespace Microsoft.Compute enables disks in the subscription",
    ),
    Known(
        "SubscriptionNotFound",
        "",
        FaultKind::NotFound,
        "the credentials see no such subscription (az account list)",
    ),
    Known(
        "InvalidSubscriptionId",
        "",
        FaultKind::Invalid,
        "a subscription is named by its id, not by its name",
    ),
    Known("ResourceGroupNotFound", "", FaultKind::NotFound, "make the group first (az group create)"),
    Known("ResourceGroupBeingDeleted", "", FaultKind::InUse, "the group is being deleted: use another one"),
    Known("ResourceNotFound", "", FaultKind::NotFound, ""),
    Known("NotFound", "", FaultKind::NotFound, ""),
    Known("DiskEncryptionSetNotFound", "", FaultKind::Key, "no such disk encryption set is in that region"),
    Known("KeyVaultAccessForbidden", "", FaultKind::Key, "the encryption set's identity may not use its key"),
    Known(
        "KeyVaultAndDiskInDifferentRegions",
        "",
        FaultKind::Key,
        "the key vault must be in the disk's region",
    ),
    Known("TooManyRequests", "", FaultKind::Throttled, ""),
    Known("OperationNotAllowed", "quota", FaultKind::Quota, "ask for a larger quota in that region"),
    Known("QuotaExceeded", "", FaultKind::Quota, "ask for a larger quota in that region"),
    Known("SubscriptionRequestsThrottled", "", FaultKind::Throttled, ""),
    Known(
        "ResourceQuotaExceeded",
        "",
        FaultKind::Quota,
        "delete what the group no longer needs, or use another one",
    ),
    Known(
        "OperationNotAllowed",
        "active shared access signature",
        FaultKind::InUse,
        "somebody uploads or reads it: end that (az disk revoke-access)",
    ),
    Known("OperationNotAllowed", "not be renewed", FaultKind::InUse, NOT_RENEWED),
    Known(
        "OperationNotAllowed",
        "ReadyToUpload",
        FaultKind::InUse,
        "it is no disk that waits for its upload",
    ),
    Known("OperationNotAllowed", "attached", FaultKind::Attached, ""),
    Known("Conflict", "attached to running", FaultKind::Attached, ""),
    Known("AttachDiskWhileBeingDetached", "", FaultKind::InUse, "wait until it is detached"),
    Known("DiskInUse", "", FaultKind::Attached, ""),
    Known("AnotherOperationInProgress", "", FaultKind::Server, ""),
    Known("OperationPreempted", "", FaultKind::Server, ""),
    Known("RetryableError", "", FaultKind::Server, ""),
    Known("InternalServerError", "", FaultKind::Server, ""),
    Known("InternalExecutionError", "", FaultKind::Server, ""),
    Known("ServerTimeout", "", FaultKind::Server, ""),
    Known("GatewayTimeout", "", FaultKind::Server, ""),
    Known(
        "AllocationFailed",
        "",
        FaultKind::Server,
        "the region has no room for it now: another zone or region may",
    ),
    Known("Conflict", "", FaultKind::InUse, "another operation on it is under way"),
    Known(
        "InvalidVhd",
        "",
        FaultKind::Invalid,
        "Azure did not find the footer of a fixed VHD where it has to be",
    ),
    Known(
        "SkuNotAvailable",
        "",
        FaultKind::Invalid,
        "the subscription has no disks or sizes of that kind in that region or zone",
    ),
    Known("ZoneNotAllowed", "", FaultKind::Invalid, "that region has no such zone"),
    Known("AvailabilityZoneNotSupported", "", FaultKind::Invalid, "that region has no such zone"),
    Known(
        "LocationNotAvailableForResourceType",
        "",
        FaultKind::Invalid,
        "name a region that has managed disks",
    ),
    Known("InvalidResourceLocation", "", FaultKind::InUse, "a disk of that name is in another region"),
    Known(
        "NoRegisteredProviderFound",
        "",
        FaultKind::Invalid,
        "this cloud does not know that version of the service",
    ),
    Known(
        "InvalidApiVersionParameter",
        "",
        FaultKind::Invalid,
        "this cloud does not know that version of the service",
    ),
    Known("InvalidParameter", "MiB", FaultKind::Invalid, "a disk is a whole number of MiB, and its footer"),
    Known(
        "InvalidParameter",
        "TrustedLaunch",
        FaultKind::Invalid,
        "trusted launch is of generation 2, and made by an import (--via)",
    ),
    Known("InvalidResourceReference", "", FaultKind::NotFound, "what it refers to is not in the group"),
    Known("InUseSubnetCannotBeDeleted", "", FaultKind::InUse, "delete the cards in it first"),
    Known("InUseNetworkSecurityGroupCannotBeDeleted", "", FaultKind::InUse, "delete what it guards first"),
    Known("NicInUse", "", FaultKind::InUse, "delete its virtual machine first"),
    Known(
        "PropertyChangeNotAllowed",
        "",
        FaultKind::InUse,
        "a disk of that name is there, and is another one",
    ),
];

/// After the service gave no second signature for an upload.
const NOT_RENEWED: &str = "Azure opens this upload no second time: refloat azure cleanup SUBSCRIPTION/GROUP --yes removes \
                           what was begun, and the same command starts over";

/// The fault that an answer with an error's status tells.
pub(super) fn of_answer(status: u16, body: &[u8]) -> Fault {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    fault(Some(status), document.get("error").unwrap_or(&document))
}

/// The fault that an operation that has failed tells.
pub(super) fn of_operation(document: &Value) -> Fault {
    fault(None, document.get("error").unwrap_or(&Value::Null))
}

fn fault(status: Option<u16>, error: &Value) -> Fault {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let all: Vec<_> = std::iter::once(error)
        .chain(details)
        .map(|error| (text(error, "code"), text(error, "message")))
        .filter(|(code, message)| !code.is_empty() || !message.is_empty())
        .take(4)
        .collect();
    let fits = |known: &&Known| {
        let Known(code, has, ..) = known;
        let has = has.to_ascii_lowercase();
        all.iter().any(|(of, message)| of == code && message.to_ascii_lowercase().contains(&has))
    };
    let known = KNOWN.iter().find(fits);
    let kind = known.map_or_else(|| by_status(status), |Known(_, _, kind, _)| *kind);
    let first = match status {
        Some(status) => format!("HTTP {status}"),
        None => "the operation failed".to_owned(),
    };
    let said = all.iter().flat_map(|(code, message)| [code, message]).filter(|part| !part.is_empty());
    let said = said.map(|part| told(part, MAX_TOLD));
    let text = std::iter::once(first).chain(said).collect::<Vec<String>>().join(", ");
    match known {
        Some(Known(.., words)) if !words.is_empty() => Fault::new(kind, text).knowing(words),
        _ => Fault::new(kind, text),
    }
}

fn by_status(status: Option<u16>) -> FaultKind {
    match status {
        Some(401) => FaultKind::Credentials,
        Some(403) => FaultKind::Access,
        Some(404) => FaultKind::NotFound,
        Some(409 | 412 | 423) => FaultKind::InUse,
        Some(429) => FaultKind::Throttled,
        Some(408 | 500..) => FaultKind::Server,
        _ => FaultKind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_meaning_and_its_words() {
        for Known(code, has, kind, words) in KNOWN {
            let message = format!("It says {has} here.\n\x1b[2J");
            let error = serde_json::json!({ "error": { "code": code, "message": message } });
            for fault in [of_answer(400, error.to_string().as_bytes()), of_operation(&error)] {
                assert_eq!(fault.kind(), *kind, "{code}");
                assert!(fault.text().contains(code) && fault.text().contains(words), "{fault}");
                assert!(fault.text().contains("It says") && !fault.text().contains('\x1b'), "{fault}");
            }
        }
        // One that is within another is found, too.
        let body =
            br#"{"error":{"code":"DeploymentFailed","details":[{"code":"ScopeLocked","message":"no"}]}}"#;
        assert_eq!(of_answer(409, body).kind(), FaultKind::Access);
        for (status, kind) in [
            (401, FaultKind::Credentials),
            (403, FaultKind::Access),
            (404, FaultKind::NotFound),
            (409, FaultKind::InUse),
            (429, FaultKind::Throttled),
            (408, FaultKind::Server),
            (503, FaultKind::Server),
            (400, FaultKind::Invalid),
        ] {
            for body in [&b""[..], b"<html>", br#"{"error":{"code":"Unheard","message":"of"}}"#, b"[1]"] {
                assert_eq!(of_answer(status, body).kind(), kind);
            }
        }
    }
}
