//! What a move does to licences, subscriptions and activation: always told, as nobody else does before the bill.

use std::borrow::Cow;

use serde::Serialize;

use crate::facts::{Family, Os, OsKind};

/// What is to be known of one licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Note {
    /// What it is of.
    pub subject: &'static str,
    /// What becomes of it, and what to do.
    pub what: Cow<'static, str>,
}

const fn note(subject: &'static str, what: &'static str) -> Note {
    Note { subject, what: Cow::Borrowed(what) }
}

const RHEL: Note = note(
    "Red Hat Enterprise Linux",
    "a subscription that was billed by AWS ends with the instance. Register the machine with one of your own \
     (subscription-manager register) and use RHEL_BYOS, or have Azure bill it by RHEL_BASE. Updates from AWS's RHUI \
     servers stop.",
);
const SLES: Note = note(
    "SUSE Linux Enterprise",
    "a subscription that was billed by AWS ends with the instance. Register the machine with SUSEConnect and use \
     SLES_BYOS, or have Azure bill it by SLES_STANDARD.",
);
const AMAZON: Note = note(
    "Amazon Linux",
    "it boots, and neither Amazon nor Microsoft supports it there. Its package repositories can be reached from \
     outside of AWS today. Plan to move to another distribution: AlmaLinux, Rocky Linux and RHEL are the nearest.",
);
const UBUNTU: Note = note(
    "Ubuntu",
    "no licence is needed. A subscription of Ubuntu Pro that was billed by AWS ends with the instance: attach a token \
     of your own (pro attach).",
);
const WINDOWS: Note = note(
    "Windows",
    "a licence that AWS included ends with the instance. Azure bills one, unless Azure Hybrid Benefit is used. \
     Activation is by Azure's KMS servers.",
);
const ACTIVATION: Note = note(
    "Activation",
    "a Windows is activated by azkms.core.windows.net, port 1688: firewalls and forced tunnels have to let it through, \
     and a key of a KMS client has to be installed.",
);
const CLIENT: Note = note(
    "Windows for desktops",
    "it may run on Azure with multi-tenant hosting rights alone (Windows E3 or E5 for each user, or Visual Studio \
     subscriptions for tests).",
);
const SQL: Note = note(
    "SQL Server",
    "a licence that AWS included ends with the instance. Register the machine with Azure (emit --sql-license): pay as \
     it runs, or by hybrid benefit with a licence of your own that has Software Assurance.",
);
const NONE: Note = note("Operating system", "no licence of it is known to be needed.");
const MARKETPLACE: Note = note(
    "AWS Marketplace",
    "software from there may stop, or need another licence: aws ec2 describe-instances shows ProductCodes where the \
     machine has some.",
);

/// What is to be known of the licences of a machine; never nothing.
pub fn notes(os: Option<&Os>, sql_server: bool) -> Vec<Note> {
    let mut notes = match os.map(|os| (os.kind, os.id.as_str(), os.family)) {
        Some((OsKind::Windows, ..)) => {
            let client = os.is_some_and(|os| !os.pretty_name.contains("Server"));
            [Some(WINDOWS), client.then_some(CLIENT), Some(ACTIVATION)].into_iter().flatten().collect()
        }
        Some((_, "rhel", _)) => vec![RHEL],
        Some((.., Family::Suse)) => vec![SLES],
        Some((.., Family::Amazon)) => vec![AMAZON],
        Some((.., Family::Ubuntu)) => vec![UBUNTU],
        _ => vec![NONE],
    };
    notes.extend(sql_server.then_some(SQL));
    notes.push(MARKETPLACE);
    notes
}

/// What AWS bills of the software of an instance: `platformDetails` of EC2, and codes of its Marketplace.
pub fn of_instance(platform: Option<&str>, product_codes: &[String]) -> Vec<Note> {
    let billed = platform.map(|platform| {
        let what = format!(
            "AWS bills the instance as {platform}: what is in that beside Linux ends with the instance."
        );
        Note { subject: "Billing by AWS", what: what.into() }
    });
    let codes = (!product_codes.is_empty()).then(|| {
        let codes = product_codes.join(", ");
        let what =
            format!("the instance has these: {codes}. Ask their vendors for a licence outside of AWS.");
        Note { subject: "Marketplace product codes", what: what.into() }
    });
    billed.into_iter().chain(codes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(kind: OsKind, id: &str, family: Family, name: &str) -> Os {
        Os { kind, id: id.into(), version: None, pretty_name: name.into(), family, arch: None }
    }

    #[test]
    fn something_is_said_of_every_machine() {
        let subjects =
            |os: Option<&Os>, sql| -> Vec<&str> { notes(os, sql).iter().map(|note| note.subject).collect() };
        assert_eq!(subjects(None, false), ["Operating system", "AWS Marketplace"]);
        let amazon = os(OsKind::Linux, "amzn", Family::Amazon, "Amazon Linux 2");
        assert_eq!(subjects(Some(&amazon), false), ["Amazon Linux", "AWS Marketplace"]);
        let server = os(OsKind::Windows, "windows", Family::Other, "Windows Server 2019 Datacenter");
        assert_eq!(subjects(Some(&server), true), ["Windows", "Activation", "SQL Server", "AWS Marketplace"]);
        let client = os(OsKind::Windows, "windows", Family::Other, "Windows 11 Pro");
        assert!(subjects(Some(&client), false).contains(&"Windows for desktops"));
        for (id, family) in [("rhel", Family::RedHat), ("sles", Family::Suse), ("ubuntu", Family::Ubuntu)] {
            assert_ne!(
                subjects(Some(&os(OsKind::Linux, id, family, id)), false)[0],
                "Operating system",
                "{id}"
            );
        }
    }

    #[test]
    fn what_aws_bills_is_told() {
        let notes = of_instance(Some("Red Hat Enterprise Linux"), &["abc123".to_owned()]);
        assert!(notes[0].what.contains("Red Hat") && notes[1].what.contains("abc123"), "{notes:?}");
        assert_eq!(of_instance(None, &[]), []);
    }
}
