//! linux.grub.root-device

use super::{boot_entries, grub_defaults};
use crate::facts::{BootEntry, Machine, Volume};
use crate::inspect::devices::{self, Named};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::cmdline::{self, Change};
use crate::text::shell_assign;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A kernel that is told to look for its root where there will be none.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.grub.root-device",
        title: "every boot entry finds its root by UUID",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "root=/dev/xvda1 and root=/dev/nvme0n1p1 name devices of EC2; on Azure the initramfs gives \
                up waiting for them.",
        fix: "root= becomes the UUID in the root's own superblock: in every entry of the boot menu, \
              grub.cfg, menu.lst or BLS, in place, in what they share (kernelopts in grubenv), and in what \
              entries to come are made of (/etc/kernel/cmdline, /etc/default/grub). grub.cfg is not \
              generated anew.",
        source: &[
            Source::new("Azure/AzMigrate-Hydration 4337598c", "update_root_device_uuid", "2026"),
            Source::new("measured boots", "", "2026-11-23"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let machine = guest.view.machine();
    let Some(root) = devices::root(machine) else {
        return Ok(Finding::NotApplicable("there is no root file system"));
    };
    let mut evidence = Vec::new();
    for cmdline in &guest.facts.boot.cmdlines {
        if let Some(what) = fault(&cmdline.written, machine, root) {
            evidence.push(Evidence::new(&cmdline.place, what));
        }
    }
    for file in grub_defaults::files(guest.view)? {
        let text = guest.view.text(&file)?.unwrap_or_default();
        for assignment in shell_assign::assignments(&text) {
            let what = match assignment.key {
                "GRUB_CMDLINE_LINUX" | "GRUB_CMDLINE_LINUX_DEFAULT" => fault(assignment.value, machine, root),
                "GRUB_DISABLE_LINUX_UUID" if assignment.value == "true" => {
                    Some("keeps grub-mkconfig from writing UUIDs".to_owned())
                }
                _ => None,
            };
            evidence.extend(what.map(|what| Evidence::new(Place::line(&file, assignment.line), what)));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (machine, boot) = (guest.view.machine().clone(), guest.facts.boot.clone());
    let Some((root, spec)) =
        devices::root(&machine).and_then(|root| Some((root, devices::stable_spec(&machine, root)?)))
    else {
        return Ok(Fixed::ByHand(
            "the root file system has no name that no other volume has: give it a UUID of its own, and boot by that".into(),
        ));
    };
    let mended = |cmdline: &str, spec: &str| {
        cmdline::edit(cmdline, |token| match cmdline::value(token, "root") {
            Some(old) if !finds(&machine, old, root) => Change::Replace(format!("root={spec}")),
            _ => Change::Keep,
        })
    };
    boot_entries::edit_cmdlines(stage, |cmdline| {
        Some(mended(&cmdline.written, &spec_for(boot.entry_of(cmdline), root, &spec)))
    })?;
    grub_defaults::edit_cmdlines(stage, |value| mended(value, &spec))?;
    for file in grub_defaults::files(stage.guest()?.view)? {
        stage.edit(&file, |text| {
            shell_assign::edit(text, |assignment| {
                (assignment.key == "GRUB_DISABLE_LINUX_UUID" && assignment.value == "true")
                    .then(|| "false".into())
            })
        })?;
    }
    Ok(Fixed::Staged)
}

/// A kernel without initramfs knows nothing of file systems: it finds its root by PARTUUID only.
fn spec_for(entry: Option<&BootEntry>, root: &Volume, spec: &str) -> String {
    match &root.partuuid {
        Some(partuuid) if entry.is_some_and(|entry| entry.initrds.is_empty()) => {
            format!("PARTUUID={partuuid}")
        }
        _ => spec.to_owned(),
    }
}

/// Whether this finds the root volume wherever the disk is attached.
fn finds(machine: &Machine, spec: &str, root: &Volume) -> bool {
    match devices::named(machine, spec, None) {
        Named::Volume(volume) => volume.name == root.name,
        Named::DiskName(_) | Named::Several(_) => false,
        // what is told by a name of LVM is not ours to judge where it is nowhere
        Named::Absent => spec.starts_with("/dev/") && !spec.starts_with("/dev/disk/"),
        // network roots, variables of GRUB, what refloat does not open
        Named::Closed(_) | Named::Other => true,
    }
}

fn fault(cmdline: &str, machine: &Machine, root: &Volume) -> Option<String> {
    let spec = cmdline::values(cmdline, "root").into_iter().find(|spec| !finds(machine, spec, root))?;
    Some(match devices::named(machine, spec, None) {
        Named::DiskName(_) => format!("root={spec}, a name that {} has only on EC2", root.name),
        Named::Several(volumes) => {
            let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
            format!("root={spec}, which is the name of {}", names.join(" and "))
        }
        _ => format!("root={spec}, which is not the root on this disk"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};
    use crate::text::lines;

    #[test]
    fn every_entry_and_the_defaults_are_mended_in_place() {
        let bench = Bench::debian().file("/boot/grub/grub.cfg", grub_cfg("/dev/xvda1", "quiet ")).file(
            "/etc/default/grub",
            "GRUB_DISABLE_LINUX_UUID=true\nGRUB_CMDLINE_LINUX=\"root=/dev/nvme0n1p1 ro\"\n",
        );
        let found = bench.findings(&RULE);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0], "/boot/grub/grub.cfg:4: root=/dev/xvda1, a name that p1 has only on EC2");
        bench.mended(&RULE, |view| {
            let uuid = format!("UUID={ROOT_UUID}");
            assert_eq!(view.text("/boot/grub/grub.cfg").unwrap().unwrap(), grub_cfg(&uuid, "quiet "));
            let defaults = view.text("/etc/default/grub").unwrap().unwrap();
            assert_eq!(
                defaults,
                format!("GRUB_DISABLE_LINUX_UUID=false\nGRUB_CMDLINE_LINUX=\"root={uuid} ro\"\n")
            );
        });
    }

    #[test]
    fn a_root_that_is_on_another_disk_is_wrong_and_a_partuuid_of_this_one_is_right() {
        let other = Bench::debian().file("/boot/grub/grub.cfg", grub_cfg("UUID=dead-beef", ""));
        assert_eq!(other.findings(&RULE).len(), 2);
        let this = Bench::debian().file("/boot/grub/grub.cfg", grub_cfg("PARTUUID=1ec2a517-01", ""));
        assert_eq!(this.findings(&RULE), [""; 0]);
        let logical = Bench::debian().file("/boot/grub/grub.cfg", grub_cfg("/dev/mapper/vg-root", ""));
        assert_eq!(logical.findings(&RULE), [""; 0]);
    }

    #[test]
    fn a_name_that_two_volumes_have_becomes_one_that_only_the_root_has() {
        for before in [format!("UUID={ROOT_UUID}"), "/dev/xvda1".to_owned()] {
            let twins = Bench::debian()
                .machine(|machine| machine.volumes[1].uuid = Some(ROOT_UUID.into()))
                .file("/boot/grub/grub.cfg", grub_cfg(&before, "quiet "));
            let text = twins.mended_text(&RULE, "/boot/grub/grub.cfg");
            assert_eq!(text, grub_cfg("PARTUUID=1ec2a517-01", "quiet "));
        }
        let nameless = Bench::debian()
            .machine(|machine| {
                machine.volumes[1].uuid = Some(ROOT_UUID.into());
                machine.volumes[0].partuuid = None;
            })
            .file("/boot/grub/grub.cfg", grub_cfg("/dev/xvda1", ""));
        assert!(nameless.by_hand(&RULE).contains("give it a UUID of its own"));
    }

    #[test]
    fn entries_of_systemd_boot_are_mended_beside_those_of_grub() {
        let entry = "/boot/efi/loader/entries/m-6.1.0-50-amd64.conf";
        let text = "title Debian\nlinux /m/6.1.0-50-amd64/linux\ninitrd /m/6.1.0-50-amd64/initrd.img\noptions root=/dev/nvme0n1p1 ro\n";
        let both = Bench::debian().file(entry, text).file("/boot/efi/loader/loader.conf", "timeout 5\n");
        for bench in [both.clone().without("/boot/grub/grub.cfg"), both] {
            assert_eq!(
                bench.findings(&RULE),
                [format!("{entry}:4: root=/dev/nvme0n1p1, a name that p1 has only on EC2")]
            );
            let mended = text.replace("/dev/nvme0n1p1", &format!("UUID={ROOT_UUID}"));
            assert_eq!(bench.mended_text(&RULE, entry), mended);
        }
    }

    #[test]
    fn a_boot_without_initramfs_gets_a_partuuid() {
        let cfg = grub_cfg("/dev/xvda1", "")
            .lines()
            .filter(|line| !line.contains("initrd"))
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        let text = Bench::debian().file("/boot/grub/grub.cfg", cfg).mended_text(&RULE, "/boot/grub/grub.cfg");
        assert_eq!(lines(&text).filter(|line| line.body.contains("root=PARTUUID=1ec2a517-01")).count(), 2);
    }
}
