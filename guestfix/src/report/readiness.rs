//! The answer in Azure Migrate's own words, and its codes for what stands in the way.

use serde::Serialize;

use super::{Listing, Support};
use crate::Severity;
use crate::facts::{Machine, Os, OsKind};
use crate::plan::Check;
use crate::platform::{Target, azure};

/// Azure Migrate's answers ("Azure VM assessments in Azure Migrate", Microsoft Learn, 2024-06-24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Suitability {
    /// It starts on Azure as it is, and is supported there.
    Ready,
    /// It starts once something is done, or nobody supports it there.
    ConditionallyReady,
    /// It does not start, and no fix of ours changes that.
    NotReady,
    /// Nobody can tell.
    ReadinessUnknown,
}

impl Suitability {
    /// As Azure's portal writes it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::ConditionallyReady => "Conditionally ready",
            Self::NotReady => "Not ready",
            Self::ReadinessUnknown => "Readiness unknown",
        }
    }
}

/// The answer for Azure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Readiness {
    /// The answer.
    pub verdict: Suitability,
    /// Codes of Azure Resource Manager that say why (`AzureVmSuitabilityExplanation`, azure-mgmt-
    /// migrationassessment 1.0.0b1); none where it has no word for it.
    pub explanations: Vec<&'static str>,
}

impl Readiness {
    /// For a target on Azure; `None` for others.
    pub fn of(
        target: &Target,
        check: &Check,
        machine: &Machine,
        os: Option<&Os>,
        support: &Support,
    ) -> Option<Self> {
        (*target.platform == azure::AZURE).then(|| Self {
            verdict: verdict(check, os, support),
            explanations: explanations(machine, os, support),
        })
    }
}

fn verdict(check: &Check, os: Option<&Os>, support: &Support) -> Suitability {
    let blind = check.unknown().any(|item| item.severity == Severity::Blocker);
    let by_hand = check.faults(Severity::Blocker).any(|(_, _, remedy)| *remedy != crate::plan::Remedy::Fix);
    match () {
        () if check.ready() && support.answer == Listing::Listed => Suitability::Ready,
        () if check.fixable() => Suitability::ConditionallyReady,
        () if os.is_none() || (blind && !by_hand) => Suitability::ReadinessUnknown,
        () => Suitability::NotReady,
    }
}

/// Codes for distributions whose version is not one that Azure endorses, by `ID` of os-release.
const VERSIONS: [(&str, &str); 8] = [
    ("rhel", "CheckRedHatLinuxVersion"),
    ("opensuse", "CheckOpenSuseLinuxVersion"),
    ("centos", "CheckCentOsVersion"),
    ("debian", "CheckDebianLinuxVersion"),
    ("sles", "CheckSuseLinuxVersion"),
    ("ol", "CheckOracleLinuxVersion"),
    ("ubuntu", "CheckUbuntuLinuxVersion"),
    ("coreos", "CheckCoreOsLinuxVersion"),
];

fn explanations(machine: &Machine, os: Option<&Os>, support: &Support) -> Vec<&'static str> {
    let mut codes = Vec::new();
    if !machine.starts() {
        codes.push("BootTypeUnknown");
    }
    let Some(os) = os else {
        codes.push("GuestOperatingSystemUnknown");
        return codes;
    };
    if matches!(os.arch, Some("i386" | "x86")) {
        codes.push("GuestOperatingSystemArchitectureNotSupported");
    }
    if support.answer != Listing::NotListed {
        return codes;
    }
    match os.kind {
        OsKind::Windows if os.pretty_name.contains("Server") => codes.push("WindowsOSNoLongerUnderMSSupport"),
        OsKind::Windows => codes.push("WindowsClientVersionsConditionallySupported"),
        OsKind::Linux => {
            let known = VERSIONS.iter().find(|(id, _)| os.id == *id || os.id.starts_with(&format!("{id}-")));
            codes.push(known.map_or("UnendorsedLinuxDistributions", |(_, code)| code));
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootwalk;
    use crate::facts::{Facts, Family};

    fn linux(id: &str, version: &str) -> Os {
        Os {
            kind: OsKind::Linux,
            id: id.into(),
            version: Some(version.into()),
            pretty_name: id.into(),
            family: Family::Other,
            arch: Some("x86_64"),
        }
    }

    #[test]
    fn a_machine_that_starts_is_ready_where_it_is_supported_too() {
        let walk = bootwalk::sample::arriving();
        let check = Check {
            items: Vec::new(),
            shortages: Vec::new(),
            walk,
            walk_after_fix: None,
            steps: Vec::new(),
            facts: Facts::default(),
        };
        let machine = Machine { bios: vec!["boot code".into()], ..Machine::default() };
        let of = |os: Option<&Os>| {
            let support = Support::of(os, &azure::AZURE);
            Readiness::of(&azure::GEN1, &check, &machine, os, &support).unwrap()
        };
        let ready = of(Some(&linux("debian", "12")));
        assert_eq!((ready.verdict, ready.explanations.len()), (Suitability::Ready, 0));
        let old = of(Some(&linux("debian", "9")));
        assert_eq!(old.verdict, Suitability::ConditionallyReady);
        assert_eq!(old.explanations, ["CheckDebianLinuxVersion"]);
        assert_eq!(of(Some(&linux("amzn", "2"))).explanations, ["UnendorsedLinuxDistributions"]);
        assert_eq!(of(None).explanations, ["GuestOperatingSystemUnknown"]);
        let narrow = Os { arch: Some("i386"), ..linux("debian", "12") };
        assert_eq!(of(Some(&narrow)).explanations, ["GuestOperatingSystemArchitectureNotSupported"]);
        let support = Support::of(None, &azure::AZURE);
        assert_eq!(Readiness::of(&crate::platform::hyperv::GEN1, &check, &machine, None, &support), None);
    }
}
