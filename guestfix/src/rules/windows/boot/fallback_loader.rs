//! windows.boot.fallback-loader

use crate::platform::Firmware;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::tree::SYSTEM_PARTITION;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An EFI system partition that only starts with boot entries that stay behind in EC2's firmware.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.boot.fallback-loader",
        title: "the EFI partition has a loader where firmware without boot entries looks",
        pack: Pack::Windows,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "Boot entries are in the firmware's variables, which do not move with the disk. A new \
                machine of generation 2 starts \\EFI\\Boot\\bootx64.efi or nothing.",
        fix: "Windows' own boot manager is copied there from the same partition. Nothing in it is changed, so \
              its signature stays good.",
        source: &[
            Source::new("UEFI Specification 2.10", "3.5.1.1", "2026"),
            Source::new("microsoft/openvmm #2437", "default_boot_always_attempt", "2026"),
            Source::new("libguestfs/virt-v2v 71376bdb", "fix_win_esp", "2026-08-21"),
        ],
        applies: Applies::WINDOWS.with(Firmware::Uefi),
    },
    detect,
    fix: Some(fix),
};

const FALLBACK: &str = "EFI/Boot/bootx64.efi";
const MANAGER: &str = "EFI/Microsoft/Boot/bootmgfw.efi";

fn path(name: &str) -> String {
    format!("{SYSTEM_PARTITION}/{name}")
}

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let fallback = path(FALLBACK);
    let what = match guest.view.stat(&fallback)?.map(|file| file.size) {
        None => "there is none",
        Some(0) => "is empty",
        Some(_) => return Ok(Finding::Ok),
    };
    Ok(Finding::Wrong { evidence: vec![Evidence::new(fallback, what)] })
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let content = stage.guest()?.view.read(&path(MANAGER))?.filter(|content| !content.is_empty());
    let Some(content) = content else {
        return Ok(Fixed::ByHand(format!(
            "there is no {MANAGER} on the partition either: run bcdboot C:\\Windows /f UEFI in the guest where it runs"
        )));
    };
    stage.put_binary(&path(FALLBACK), content, vec![format!("a copy of {MANAGER}")])?;
    Ok(Fixed::Staged)
}
