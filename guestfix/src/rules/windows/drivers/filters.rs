//! windows.drivers.filters

use super::super::values::{Change, System, To, found, mend, service};
use crate::platform::aws;
use crate::registry::filters::{self, CLASSES, Filters, Lists};
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
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

/// Whether the list of a key is that of a class that a start needs, or of a device.
fn counts(key: &str) -> bool {
    let (_, path) = key.split_once('\\').unwrap_or_default();
    let is_class = |class: &&str| path.eq_ignore_ascii_case(&format!(r"Control\Class\{class}"));
    !path.to_ascii_lowercase().starts_with(r"control\class\") || CLASSES.iter().any(is_class)
}

/// The filters of a control set that a start needs. What is no list is noted, and hides no other.
pub(super) fn needed(guest: &Guest<'_>, system: &System, set: &str) -> Result<Vec<Filters>> {
    let Lists { all, unread } = filters::of(&system.hive, set)?;
    unread.into_iter().filter(|(key, _)| counts(key)).for_each(|(_, what)| guest.view.note_unread(what));
    Ok(all.into_iter().filter(|list| counts(&list.key)).collect())
}

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for set in &system.sets.all {
        for list in needed(guest, &system, set)? {
            let (mut stay, mut why) = (Vec::new(), Vec::new());
            for filter in list.names {
                match left_over(guest, &system, set, &filter)? {
                    Some(reason) => why.push(format!("{filter} {reason}")),
                    None => stay.push(filter),
                }
            }
            if !why.is_empty() {
                let to = if stay.is_empty() { To::Gone } else { To::Texts(stay) };
                changes.push(Change::new(SYSTEM, list.key, list.list, to, why.join(", ")));
            }
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
