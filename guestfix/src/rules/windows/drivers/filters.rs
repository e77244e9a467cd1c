//! windows.drivers.filters

use super::super::values::{Change, System, To, finding, service, stage};
use crate::platform::aws;
use crate::registry::{self, SYSTEM};
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Filters of disks and buses whose driver is of AWS, or is not there.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.filters",
        title: "no filter of disks or buses is left over",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "A device does not start if one of its filters does not. A filter of Xen on the bus, or one \
                whose driver is gone, leaves Windows without its disk: stop code 0x7B.",
        fix: "The name is taken out of UpperFilters or LowerFilters, in every control set; an empty list \
              goes. The filter's own driver is left to windows.drivers.aws, which comes later.",
        source: &[
            Source::new("EC2 user guide for Windows", "Troubleshoot PV drivers", "2026"),
            Source::new("Azure/repair-script-library #156", "win-fix-inaccessible-boot-device", "2026"),
            Source::new("xcp-ng/win-pv", "XenCleanup.cs", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| Ok(finding(wanted(guest)?)),
    fix: Some(|staged| {
        let changes = wanted(&staged.guest()?)?;
        stage(staged, changes)
    }),
};

/// Disk drives, their controllers, system devices, volumes (Microsoft Learn, "System-defined device setup
/// classes available to vendors").
const CLASSES: [&str; 5] = [
    "{4d36e967-e325-11ce-bfc1-08002be10318}",
    "{4d36e96a-e325-11ce-bfc1-08002be10318}",
    "{4d36e97b-e325-11ce-bfc1-08002be10318}",
    "{4d36e97d-e325-11ce-bfc1-08002be10318}",
    "{71a27cdd-812a-11d0-bec7-08002be2092f}",
];
const LISTS: [&str; 2] = ["UpperFilters", "LowerFilters"];

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for set in &system.sets.all {
        for class in CLASSES {
            changes.extend(of_key(guest, &system, set, &format!(r"{set}\Control\Class\{class}"))?);
        }
        for device in devices(&system, set)? {
            changes.extend(of_key(guest, &system, set, &device)?);
        }
    }
    Ok(changes)
}

/// Every device that was ever plugged in: `Enum\BUS\DEVICE\INSTANCE`.
fn devices(system: &System, set: &str) -> Result<Vec<String>> {
    let mut keys = vec![format!(r"{set}\Enum")];
    for _ in 0..3 {
        let mut below = Vec::new();
        for key in keys {
            below.extend(system.hive.subkeys(&key)?.into_iter().map(|name| format!(r"{key}\{name}")));
        }
        keys = below;
    }
    Ok(keys)
}

/// The filters of a class or device that are to go.
fn of_key(guest: &Guest<'_>, system: &System, set: &str, key: &str) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for list in LISTS {
        let Some(filters) = system.hive.texts(key, list)? else { continue };
        let (mut stay, mut why) = (Vec::new(), Vec::new());
        for filter in filters {
            match left_over(guest, system, set, &filter)? {
                Some(reason) => why.push(format!("{filter} {reason}")),
                None => stay.push(filter),
            }
        }
        if !why.is_empty() {
            let to = if stay.is_empty() { To::Gone } else { To::Texts(stay) };
            changes.push(Change::new(SYSTEM, key, list, to, why.join(", ")));
        }
    }
    Ok(changes)
}

/// Why a filter is left over, if it is.
fn left_over(guest: &Guest<'_>, system: &System, set: &str, filter: &str) -> Result<Option<String>> {
    if is_of_aws(filter) {
        return Ok(Some("is a driver of AWS".to_owned()));
    }
    let key = service(set, filter);
    if system.hive.key(&key)?.is_none() {
        return Ok(Some("has no driver".to_owned()));
    }
    let path = registry::driver_file(&system.hive, set, filter)?;
    Ok(match guest.view.stat(&path)? {
        None => Some(format!("is at {path}, which is missing")),
        Some(_) => None,
    })
}

/// Whether it is one of AWS's drivers, by its name.
pub(super) fn is_of_aws(name: &str) -> bool {
    aws::windows::DRIVERS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Where in a control set this driver is a filter.
pub(super) fn named(system: &System, set: &str, driver: &str) -> Result<Option<String>> {
    let classes = CLASSES.iter().map(|class| format!(r"{set}\Control\Class\{class}"));
    for key in classes.chain(devices(system, set)?) {
        for list in LISTS {
            let filters = system.hive.texts(&key, list)?.unwrap_or_default();
            if filters.iter().any(|filter| filter.eq_ignore_ascii_case(driver)) {
                return Ok(Some(key));
            }
        }
    }
    Ok(None)
}
