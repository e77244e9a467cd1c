//! disk.filesystem-state

use crate::rule::Evidence;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A journal that has not been replayed.
pub(in crate::rules) struct FilesystemState;

static META: RuleMeta = RuleMeta {
    id: "disk.filesystem-state",
    title: "file systems that are edited were unmounted cleanly",
    phase: Phase::Replay,
    severity: Severity::Blocker,
    cause: "The snapshot of a running machine holds writes that are in the journal only. Files read without them may be old, and \
            an edit would be undone, or mixed up, when the journal is replayed at the next boot.",
    fix: "None yet: the journal must be replayed before the file system can be edited.",
    source: "Linux, Documentation/filesystems/ext4/journal.rst, 2026-11; virt-v2v manual, \"File system consistency\", 2026-11",
};

impl Rule for FilesystemState {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let dirty = guest.view.machine().volumes.iter().filter(|volume| volume.needs_recovery);
        Ok(Finding::from_evidence(
            dirty
                .map(|volume| {
                    let kind = volume.kind.as_deref().unwrap_or("unknown");
                    Evidence::new(&volume.name, format!("{kind} with a journal that must be replayed"))
                })
                .collect(),
        ))
    }

    fn fix(&self, _stage: &mut Stage<'_>) -> Result<Fixed> {
        Ok(Fixed::ByHand(
            "take the snapshot from a stopped instance, or mount a copy of the disk once and unmount it"
                .into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_dirty_journal_is_found_and_left_to_the_user() {
        let clean = Bench::debian();
        assert_eq!(clean.findings(&FilesystemState), [""; 0]);
        let dirty = Bench::debian().machine(|machine| machine.volumes[0].needs_recovery = true);
        assert_eq!(dirty.findings(&FilesystemState), ["p1: ext4 with a journal that must be replayed"]);
        dirty.by_hand(&FilesystemState);
    }
}
