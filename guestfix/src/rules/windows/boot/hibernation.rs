//! windows.boot.hibernation

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A Windows that sleeps.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.boot.hibernation",
        title: "Windows was shut down, and does not sleep",
        pack: Pack::Windows,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "The memory of a machine that hibernates, or was shut down with Fast Startup, is on the disk. \
                On other hardware it cannot be woken, and what is changed on the disk meanwhile is lost.",
        fix: "Start the machine where it runs, turn hibernation off (powercfg /hibernate off), shut it down \
              (shutdown /s /t 0), and take a new snapshot.",
        source: &[Source::new(
            "Microsoft Learn",
            "powercfg /hibernate; Hibernation and Fast Startup",
            "2026",
        )],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

const FILE: &str = "/hiberfil.sys";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let Some(start) = guest.view.start(FILE, 4)? else { return Ok(Finding::Ok) };
    Ok(match start.get(..4) {
        Some(b"hibr" | b"HIBR") => Finding::Wrong {
            evidence: vec![Evidence::new(FILE, "holds the memory of a machine that sleeps")],
        },
        Some(b"wake" | b"WAKE" | b"rstr" | b"RSTR" | b"\0\0\0\0") | None => Finding::Ok,
        Some(_) => Finding::unknown(FILE, "begins with no mark that is known"),
    })
}
