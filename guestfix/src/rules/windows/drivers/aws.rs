//! windows.drivers.aws

use super::super::values::{Change, System, found, service, stage};
use super::filters::{is_of_aws, needed};
use crate::platform::aws;
use crate::registry::filters::Filters;
use crate::registry::{self, DISABLED};
use crate::rule::{Applies, Pack, Source};
use crate::{Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// Drivers of Xen, of EC2's NVMe and of its network cards.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.aws",
        title: "no driver of AWS is started",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Warning,
        cause: "Drivers of AWS find no device of theirs elsewhere. They take time at each start, and those of \
                Xen change the disks and cards that they find.",
        fix: "Their Start is 4, disabled, in every control set, once no filter names them. Nothing is \
              uninstalled: use the installers in the guest for that.",
        source: &[
            Source::new("EC2 user guide for Windows", "PV drivers, NVMe drivers, ENA", "2026"),
            Source::new("libguestfs/virt-v2v 71376bdb", "convert_windows.ml", "2026-08-21"),
            Source::new("Microsoft Learn", "Migrate Amazon Web Services VMs to Azure", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(fix),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for set in &system.sets.all {
        for name in system.hive.subkeys(&format!(r"{set}\Services"))? {
            let key = service(set, &name);
            // Programs have 0x10 and 0x20, keys that are no service have none.
            let kind = system.hive.dword(&key, "Type")?.unwrap_or(0);
            if kind & 0xb == 0 || !(is_of_aws(&name) || is_file_of_aws(&system, set, &name)?) {
                continue;
            }
            changes.extend(system.start(&key, "Start", DISABLED, |start| start == DISABLED)?);
        }
    }
    Ok(changes)
}

fn is_file_of_aws(system: &System, set: &str, name: &str) -> Result<bool> {
    let path = registry::driver_file(&system.hive, set, name)?;
    let file = path.rsplit('/').next().unwrap_or_default();
    Ok(aws::windows::DRIVER_FILES.iter().any(|known| known.eq_ignore_ascii_case(file)))
}

fn fix(staged: &mut Stage<'_>) -> Result<Fixed> {
    let guest = staged.guest()?;
    let system = System::of(&guest)?;
    let changes = wanted(&guest)?;
    for set in &system.sets.all {
        let filters = needed(&guest, &system, set)?;
        for change in &changes {
            let Some(driver) = change.key.strip_prefix(&service(set, "")) else { continue };
            let is_it = |list: &&Filters| list.names.iter().any(|name| name.eq_ignore_ascii_case(driver));
            // A disabled driver that is still a filter stops Windows.
            if let Some(list) = filters.iter().find(is_it) {
                let what = format!("take {driver} out of the filters of {} first", list.key);
                return Ok(Fixed::ByHand(what));
            }
        }
    }
    stage(staged, changes)
}
