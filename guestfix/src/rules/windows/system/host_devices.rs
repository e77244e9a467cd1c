//! windows.system.host-devices

use super::super::values::{System, build, builds};
use crate::platform::azure::AZURE;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// The bus by the name that today's hosts of Azure have for it.
const BUS: &str = r"Enum\ACPI\MSFT1000";

/// 2012 and 2012 R2 on a host whose bus they do not know.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.system.host-devices",
        title: "2012 and 2012 R2 know the bus of today's hosts",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "Since 2026 hosts of Azure call their bus ACPI\\MSFT1000. 2012 and 2012 R2 know it as \
                ACPI\\VMBus only, and end with stop code 0x7B. Microsoft's cure copies a key that a guest of \
                EC2 does not have.",
        fix: "There is no proven cure for a guest that never ran on Hyper-V: upgrade it to Server 2016 or \
              later where it runs, and take a new snapshot.",
        source: &[Source::new(
            "Microsoft Learn",
            "Windows Server 2012 R2 boot failure after platform update",
            "2026-04-09",
        )],
        applies: Applies::WINDOWS.on(&AZURE),
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if !(builds::EIGHT..=builds::EIGHT_ONE).contains(&build(guest)?) {
        return Ok(Finding::NotApplicable("only 2012 and 2012 R2 do not know it"));
    }
    let system = System::of(guest)?;
    let key = format!(r"{}\{BUS}", system.default_set()?);
    let missing = system.hive.key(&key)?.is_none();
    let evidence = missing.then(|| Evidence::new(SYSTEM.place(&key, None), "is not there"));
    Ok(Finding::from_evidence(evidence.into_iter().collect()))
}
