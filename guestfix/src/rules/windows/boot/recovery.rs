//! windows.boot.recovery

use super::super::values::{Change, found, mend};
use super::store;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A start that failed once, and asks somebody at a screen that is not there.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.boot.recovery",
        title: "a start that failed is tried again, and no recovery waits for somebody at the screen",
        pack: Pack::Windows,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "After a snapshot of a running machine Windows finds that it was not shut down. It may start \
                its recovery then, which waits at a screen that a machine in Azure has not.",
        fix: "The default entry of the boot configuration ignores failures, and starts no recovery.",
        source: &[Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026")],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for store in store::all(guest)? {
        let Some(default) = &store.default else { continue };
        changes.extend(store.set(default, 0x1600_0009, &[0], "recovery starts after a failure")?);
        let status = 1_u64.to_le_bytes();
        changes.extend(store.set(
            default,
            0x2500_00e0,
            &status,
            "failures of the last start are asked about",
        )?);
    }
    Ok(changes)
}
