//! windows.network.routes

use super::super::values::{Change, System, To, found, mend};
use crate::platform::aws;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Routes to services of AWS.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.network.routes",
        title: "no lasting route leads to services of AWS",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "EC2's launch agents route the metadata and activation services to the router of the old \
                network. Azure has its own metadata service at the same address, which is not reached then.",
        fix: "These routes are taken out of PersistentRoutes, in every control set; all others stay.",
        source: &[
            Source::new("EC2 user guide for Windows", "Metadata routes", "2026"),
            Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for set in &system.sets.all {
        let key = format!(r"{set}\Services\Tcpip\Parameters\PersistentRoutes");
        // The route is the value's name: destination, mask, gateway, metric.
        for route in system.hive.values(&key)? {
            let to = route.split(',').next().unwrap_or_default();
            if aws::windows::ROUTES.contains(&to) {
                let what = format!("leads to {to}, a service of AWS");
                changes.push(Change::new(SYSTEM, &*key, route, To::Gone, what));
            }
        }
    }
    Ok(changes)
}
