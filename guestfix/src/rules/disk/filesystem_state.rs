//! disk.filesystem-state

use crate::facts::Volume;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A journal that has not been replayed.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.filesystem-state",
        title: "file systems that are edited were unmounted cleanly",
        pack: Pack::Disk,
        phase: Phase::Replay,
        severity: Severity::Warning,
        cause: "The snapshot of a running machine holds writes that are in the journal only. The machine \
                would boot and replay it, but files read without them may be old, and an edit would be \
                undone, or mixed up, by that.",
        fix: "The journal is replayed before anything else: what was committed is written to its place, and \
              files that were being removed or cut off are, as Linux does at the next mount.",
        source: &[
            Source::new("Linux", "Documentation/filesystems/ext4/journal.rst", "2026-11"),
            Source::new("virt-v2v manual", "\"File system consistency\"", "2026-11"),
        ],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    Ok(Finding::from_evidence(
        dirty(guest.view)
            .map(|volume| {
                let kind = volume.kind_name().unwrap_or("unknown");
                Evidence::new(
                    Place::volume(&volume.name),
                    format!("{kind} with a journal that must be replayed"),
                )
            })
            .collect(),
    ))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let volumes: Vec<_> = dirty(stage.guest()?.view).cloned().collect();
    for Volume { name, unrecoverable, .. } in volumes {
        if let Some(why) = unrecoverable {
            return Ok(Fixed::ByHand(format!("{name}: {why}; or take the snapshot from a stopped instance")));
        }
        stage.replay(&name)?;
    }
    Ok(Fixed::Staged)
}

/// What the guest has mounted and did not unmount; other volumes are not edited.
fn dirty(view: &dyn View) -> impl Iterator<Item = &Volume> {
    let volumes = view.machine().volumes.iter();
    volumes.filter(|volume| volume.needs_recovery && volume.mounted_at.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_dirty_journal_is_replayed_where_it_can_be() {
        let clean = Bench::debian();
        assert_eq!(clean.findings(&RULE), [""; 0]);
        let dirty = Bench::debian().machine(|machine| machine.volumes[0].needs_recovery = true);
        assert_eq!(dirty.findings(&RULE), ["p1: ext4 with a journal that must be replayed"]);
        dirty.mended(&RULE, |view| assert!(!view.machine().volumes[0].needs_recovery));
        let refused = dirty.machine(|machine| machine.volumes[0].unrecoverable = Some("fast commits".into()));
        assert!(refused.by_hand(&RULE).contains("fast commits"));
        // Nobody edits the second volume: Linux replays it when it mounts it.
        let other = Bench::debian().machine(|machine| machine.volumes[1].needs_recovery = true);
        assert_eq!(other.findings(&RULE), [""; 0]);
    }
}
