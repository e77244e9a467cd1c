//! linux.grub.absent-volumes

use super::arguments;
use crate::bootwalk::waits;
use crate::facts::Machine;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::cmdline::{self, Change};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An initramfs that is told to wait for volumes that stay behind.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.grub.absent-volumes",
        title: "no boot entry waits for a volume that is not on this machine",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "dracut looks for every volume that rd.lvm.lv=, rd.luks.uuid= and rd.md.uuid= name before it \
                mounts the root. One that was on another EBS volume never comes: after some minutes the \
                boot ends in an emergency shell.",
        fix: "Those arguments go, in every boot entry, in what entries share, and in what entries to come \
              are made of. Those that name a volume of this machine stay.",
        source: &[
            Source::new("dracut.cmdline(7)", "", "2026-11"),
            Source::new("dracut 059", "modules.d/90lvm, 90crypt, 90mdraid", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let machine = guest.view.machine();
    let evidence = arguments::faults(guest, |place, cmdline| faults(place, cmdline, machine))?;
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let machine = stage.guest()?.view.machine().clone();
    arguments::edit(stage, |cmdline| without(cmdline, &machine))?;
    Ok(Fixed::Staged)
}

fn faults(place: &Place, cmdline: &str, machine: &Machine) -> Vec<Evidence> {
    let fault = |token: &str| waits::absent_of(machine, token).map(|why| Evidence::new(place, why));
    cmdline::tokens(cmdline).filter_map(fault).collect()
}

fn without(cmdline: &str, machine: &Machine) -> String {
    cmdline::edit(cmdline, |token| match waits::absent_of(machine, token) {
        Some(_) => Change::Drop,
        None => Change::Keep,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::SignatureKind;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};

    #[test]
    fn volumes_that_are_not_here_go_and_those_that_are_stay() {
        let root = format!("UUID={ROOT_UUID}");
        let here = || {
            Bench::debian().machine(|machine| {
                machine.volumes[1].kind = Some(SignatureKind::Luks);
                machine.volumes[1].uuid = Some("0f0e0d0c-1111-4ec2-8abc-0123456789ab".into());
            })
        };
        for (before, after) in [
            ("rd.lvm.lv=datavg/lv0 quiet", "quiet"),
            ("nosmt rd.md.uuid=3e7a1b2c:00000000:11111111:22222222", "nosmt"),
            ("nosmt rd.luks.uuid=luks-dead-beef", "nosmt"),
            (
                "rd.luks.uuid=luks-0f0e0d0c-1111-4ec2-8abc-0123456789ab rd.luks.uuid=dead",
                "rd.luks.uuid=luks-0f0e0d0c-1111-4ec2-8abc-0123456789ab",
            ),
        ] {
            let bench = here().file("/boot/grub/grub.cfg", grub_cfg(&root, before));
            assert!(bench.findings(&RULE)[0].ends_with("that is not on this machine"));
            assert_eq!(bench.mended_text(&RULE, "/boot/grub/grub.cfg"), grub_cfg(&root, after));
        }
        let defaults = here().file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"rd.lvm.lv=rhel/root nosmt\"\n");
        let text = defaults.mended_text(&RULE, "/etc/default/grub");
        assert_eq!(text, "GRUB_CMDLINE_LINUX=\"nosmt\"\n");
    }
}
