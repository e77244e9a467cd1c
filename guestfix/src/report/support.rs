//! Whether the cloud's vendor stands behind an operating system: a matter of lists, not of bits.

use serde::Serialize;

use crate::facts::{Os, OsKind};
use crate::platform::{Platform, azure};

/// Where the list is from.
const SOURCE: &str =
    "Microsoft, azure-compute-docs, articles/virtual-machines/linux/endorsed-distros.md, read 2026";

/// `ID` of os-release, the versions on Azure's list of endorsed distributions (none: all), the name.
const LISTED: &[(&str, &[&str], &str)] = &[
    ("almalinux", &[], "AlmaLinux"),
    ("debian", &["11", "12"], "Debian"),
    ("flatcar", &[], "Flatcar"),
    ("ol", &[], "Oracle Linux"),
    ("rhel", &[], "Red Hat Enterprise Linux"),
    ("rocky", &[], "Rocky Linux"),
    ("sles", &["12.5", "15.5", "15.6", "15.7", "16", "16.0"], "SUSE Linux Enterprise Server"),
    ("ubuntu", &["22.04", "24.04"], "Ubuntu"),
];

/// Where the ends of support are from.
const WINDOWS_SOURCE: &str = "Microsoft Learn, Microsoft server software support for Azure virtual machines, and \
                              lifecycle pages, read 2026-11";

/// Builds of Windows Server that Microsoft supports on Azure, and until when; of others support has ended.
const SERVERS: &[(&str, &str)] =
    &[("14393", "2027-01-12"), ("17763", "2029-01-09"), ("20348", "2031-10-14"), ("26100", "2034-10-10")];
/// From this build on it is Windows 11.
const ELEVEN: u32 = 22_000;

/// What that means.
const UNLISTED: &str = "whether it boots is another question, answered below";

/// What the list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Listing {
    /// The distribution and version are on it.
    Listed,
    /// They are not. That says nothing about whether it boots.
    NotListed,
    /// We do not know what the guest is.
    Unknown,
}

/// Whether Azure endorses the guest's operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Support {
    /// What the list says.
    pub answer: Listing,
    /// The same in words.
    pub why: String,
    /// Where the list is from.
    pub source: &'static str,
}

impl Support {
    /// Whether a distribution is on Azure's list, by its `ID`, in whatever version.
    pub fn knows(id: &str) -> bool {
        LISTED.iter().any(|(known, ..)| *known == id)
    }

    /// Looks an operating system up, on the list of the platform where it is to run.
    pub fn of(os: Option<&Os>, platform: &Platform) -> Self {
        if *platform != azure::AZURE {
            let why = format!("refloat has no list of what is supported on {}", platform.name);
            return Self { answer: Listing::Unknown, why, source: "" };
        }
        let (answer, why) = match os {
            None => (Listing::Unknown, "the operating system is not known".to_owned()),
            Some(os) if os.kind == OsKind::Windows => {
                let (answer, why) = windows(os);
                return Self { answer, why, source: WINDOWS_SOURCE };
            }
            Some(os) => look_up(os),
        };
        Self { answer, why, source: SOURCE }
    }
}

fn look_up(os: &Os) -> (Listing, String) {
    let version = os.version.as_deref().unwrap_or_default();
    let list = "Azure's list of endorsed distributions";
    match LISTED.iter().find(|(id, ..)| *id == os.id) {
        Some((_, [], name)) => {
            (Listing::Listed, format!("{name} is on {list}; whether version {version} still is, see there"))
        }
        Some((_, versions, name)) if versions.contains(&version) => {
            (Listing::Listed, format!("{name} {version} is on {list}"))
        }
        Some((_, _, name)) => {
            (Listing::NotListed, format!("{name} {version} is not on {list}, other versions are: {UNLISTED}"))
        }
        None => (Listing::NotListed, format!("{} is not on {list}: {UNLISTED}", os.pretty_name)),
    }
}

fn windows(os: &Os) -> (Listing, String) {
    let (name, build) = (&os.pretty_name, os.version.as_deref().unwrap_or_default());
    if !name.contains("Server") {
        let supported = build.parse::<u32>().is_ok_and(|build| build >= ELEVEN);
        let answer = if supported { Listing::Listed } else { Listing::NotListed };
        return (answer, format!("{name} may run on Azure with multi-tenant hosting rights alone"));
    }
    match SERVERS.iter().find(|(known, _)| *known == build) {
        Some((_, until)) => (Listing::Listed, format!("Microsoft supports {name} on Azure until {until}")),
        None => (Listing::NotListed, format!("Microsoft's support of {name} has ended: {UNLISTED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Family;

    #[test]
    fn a_windows_is_supported_until_a_day() {
        let support = |name: &str, build: &str| {
            let (pretty_name, version) = (name.to_owned(), Some(build.to_owned()));
            let (kind, id, family) = (OsKind::Windows, "windows".to_owned(), Family::Other);
            let os = Os { kind, id, version, pretty_name, family, arch: None };
            let Support { answer, why, .. } = Support::of(Some(&os), &azure::AZURE);
            (answer, why)
        };
        let (answer, why) = support("Windows Server 2019 Datacenter", "17763");
        assert_eq!(answer, Listing::Listed);
        assert_eq!(why, "Microsoft supports Windows Server 2019 Datacenter on Azure until 2029-01-09");
        assert_eq!(support("Windows Server 2012 R2 Datacenter", "9600").0, Listing::NotListed);
        assert_eq!(support("Windows 11 Pro", "22631").0, Listing::Listed);
        assert_eq!(support("Windows 10 Pro", "19045").0, Listing::NotListed);
    }

    #[test]
    fn versions_count_where_the_list_names_them() {
        let answer = |id: &str, version: &str| {
            let os = Os {
                kind: OsKind::Linux,
                id: id.into(),
                version: Some(version.into()),
                pretty_name: id.into(),
                family: Family::Other,
                arch: None,
            };
            Support::of(Some(&os), &azure::AZURE).answer
        };
        assert_eq!(answer("ubuntu", "22.04"), Listing::Listed);
        assert_eq!(answer("ubuntu", "18.04"), Listing::NotListed);
        assert_eq!(answer("rocky", "9.4"), Listing::Listed);
        assert_eq!(answer("amzn", "2"), Listing::NotListed);
        assert_eq!(Support::of(None, &azure::AZURE).answer, Listing::Unknown);
    }
}
