//! windows.network.search-list

use super::super::values::{Change, System, To, found, mend};
use crate::platform::aws;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Endings of names that only the servers of a VPC know.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.network.search-list",
        title: "names are not looked for in AWS's domains",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Note,
        cause: "Each short name is asked for with AWS's endings first, of servers that do not know them.",
        fix: "Those endings are taken out of SearchList, in every control set; others stay.",
        source: &[Source::new("EC2 user guide for Windows", "EC2Config, EC2Launch: DNS suffixes", "2026")],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for set in &system.sets.all {
        let key = format!(r"{set}\Services\Tcpip\Parameters");
        let list = system.hive.text(&key, "SearchList")?.unwrap_or_default();
        let of_aws = |name: &&str| aws::windows::SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
        let (go, stay): (Vec<&str>, Vec<&str>) =
            list.split([',', ' ']).filter(|name| !name.is_empty()).partition(of_aws);
        if !go.is_empty() {
            let what = format!("has {}", go.join(", "));
            changes.push(Change::new(SYSTEM, key, "SearchList", To::Text(stay.join(",")), what));
        }
    }
    Ok(changes)
}
