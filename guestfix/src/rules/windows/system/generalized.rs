//! windows.system.generalized

use super::super::values::{System, open};
use crate::registry::{SOFTWARE, SYSTEM};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

const STATE: &str = r"Microsoft\Windows\CurrentVersion\Setup\State";

/// A Windows that is set up at its next start.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.system.generalized",
        title: "Windows is set up",
        pack: Pack::Windows,
        phase: Phase::Identity,
        severity: Severity::Warning,
        cause: "A guest that was generalized by Sysprep, or whose setup has not ended, asks questions at its \
                next start. In Azure they are answered for a machine made of an image, not for one that gets \
                this disk.",
        fix: "Make an image of the disk in Azure and create machines of that, or take a snapshot of a guest \
              that is set up.",
        source: &[Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026")],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    let state = open(guest, SOFTWARE)?.text(STATE, "ImageState")?;
    if let Some(state) = state.filter(|state| !state.is_empty() && state != "IMAGE_STATE_COMPLETE") {
        evidence.push(Evidence::new(SOFTWARE.place(STATE, Some("ImageState")), format!("is {state}")));
    }
    let system = System::of(guest)?;
    for value in ["SystemSetupInProgress", "OOBEInProgress"] {
        if let Some(found @ 1..) = system.hive.dword("Setup", value)? {
            evidence.push(Evidence::new(SYSTEM.place("Setup", Some(value)), format!("is {found}")));
        }
    }
    Ok(Finding::from_evidence(evidence))
}
