//! The answer in Azure Migrate's own words, and its codes for what stands in the way.

use serde::Serialize;

use super::{Listing, Support};
use crate::Severity;
use crate::facts::Os;
use crate::plan::{Check, Remedy, Verdict};
use crate::platform::{Target, azure};
use crate::rules::packs::AZURE_VM;

/// Azure Migrate's answers, the best one first ("Azure VM assessments in Azure Migrate", Microsoft Learn, 2024-06-24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Suitability {
    /// It starts on Azure as it is, and is supported there.
    Ready,
    /// It starts once something is done, or nobody supports it there.
    ConditionallyReady,
    /// Nobody can tell.
    ReadinessUnknown,
    /// It does not start, and no fix of ours changes that.
    NotReady,
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
    pub fn of(target: &Target, check: &Check, os: Option<&Os>, support: &Support) -> Option<Self> {
        (*target.platform == azure::AZURE).then(|| {
            let pack = check.packs.iter().find(|pack| pack.pack == AZURE_VM.id);
            let found = pack.iter().flat_map(|pack| &pack.items);
            let found = found.filter(|item| matches!(item.verdict, Verdict::Wrong { .. }));
            let mut explanations: Vec<&str> = found.filter_map(|item| code(item.rule, os)).collect();
            explanations.sort_unstable();
            explanations.dedup();
            let boot = verdict(check, os, support);
            let asked = pack.map_or(boot, |pack| pack.verdict);
            Self { verdict: boot.max(asked), explanations }
        })
    }
}

fn verdict(check: &Check, os: Option<&Os>, support: &Support) -> Suitability {
    let blind = check.unknown().any(|item| item.severity == Severity::Blocker);
    let by_hand = check.faults(Severity::Blocker).any(|(_, _, remedy)| *remedy != Remedy::Fix);
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

/// The codes of rules of the pack `azure-vm`; that of a version depends on the distribution.
const CODES: [(&str, &str); 23] = [
    ("os-known", "GuestOperatingSystemUnknown"),
    ("architecture-bits", "GuestOperatingSystemArchitectureNotSupported"),
    ("architecture-arm64", "GuestOperatingSystemArchitectureNotSupported"),
    ("boot-type", "BootTypeNotSupported"),
    ("boot-type-known", "BootTypeUnknown"),
    ("windows-server", "WindowsServerVersionConditionallySupported"),
    ("windows-client", "WindowsClientVersionsConditionallySupported"),
    ("windows-support", "WindowsOSNoLongerUnderMSSupport"),
    ("linux-endorsed", "UnendorsedLinuxDistributions"),
    ("amazon-linux", "UnendorsedLinuxDistributions"),
    ("disk-count", "MoreDisksThanSupported"),
    ("disk-size", "OneOrMoreDisksNotSuitable"),
    ("disk-upload", "OneOrMoreDisksNotSuitable"),
    ("disk-least", "OneOrMoreDisksNotSuitable"),
    ("disk-kind", "OneOrMoreDisksNotSuitable"),
    ("disk-iops", "OneOrMoreDisksNotSuitable"),
    ("disk-throughput", "OneOrMoreDisksNotSuitable"),
    ("os-disk-bios", "OneOrMoreDisksNotSuitable"),
    ("os-disk-uefi", "OneOrMoreDisksNotSuitable"),
    ("network-cards", "OneOrMoreAdaptersNotSuitable"),
    ("cores", "NoSuitableVmSizeFound"),
    ("memory", "NoSuitableVmSizeFound"),
    ("size", "NoSuitableVmSizeFound"),
];

/// Azure Resource Manager's code for what a rule finds, where it has one.
pub fn code(rule: &str, os: Option<&Os>) -> Option<&'static str> {
    let name = rule.strip_prefix("azure-vm.")?;
    if name == "linux-version" {
        let id = os.map_or("", |os| os.id.as_str());
        let known = VERSIONS.iter().find(|(of, _)| id == *of || id.starts_with(&format!("{of}-")));
        return Some(known.map_or("EndorsedWithConditionsLinuxDistributions", |(_, code)| code));
    }
    CODES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootwalk;
    use crate::facts::{Facts, Family, OsKind};

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
    fn every_code_is_of_a_rule() {
        for (name, _) in CODES {
            assert!(crate::rules::find(&format!("azure-vm.{name}")).is_some(), "{name}");
        }
        let of = |id: &str| code("azure-vm.linux-version", Some(&linux(id, "9")));
        assert_eq!(of("debian"), Some("CheckDebianLinuxVersion"));
        assert_eq!(of("opensuse-leap"), Some("CheckOpenSuseLinuxVersion"));
        assert_eq!(of("rocky"), Some("EndorsedWithConditionsLinuxDistributions"));
        assert_eq!(code("linux.fstab.device-names", None), None);
    }

    #[test]
    fn a_machine_that_starts_is_ready_where_it_is_supported_too() {
        let check = Check {
            items: Vec::new(),
            shortages: Vec::new(),
            walk: bootwalk::sample::arriving(),
            walk_after_fix: None,
            packs: Vec::new(),
            unread: Vec::new(),
            steps: Vec::new(),
            facts: Facts::default(),
        };
        let of = |os: Option<&Os>| {
            let support = Support::of(os, &azure::AZURE);
            Readiness::of(&azure::GEN1, &check, os, &support).unwrap()
        };
        let ready = of(Some(&linux("debian", "12")));
        assert_eq!((ready.verdict, ready.explanations.len()), (Suitability::Ready, 0));
        assert_eq!(of(Some(&linux("debian", "9"))).verdict, Suitability::ConditionallyReady);
        let support = Support::of(None, &azure::AZURE);
        assert_eq!(Readiness::of(&crate::platform::hyperv::GEN1, &check, None, &support), None);
    }
}
