//! linux.grub.initrdless

use super::{boot_entries, grub_defaults};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::{comment_out, grub_cfg, grubenv, rewrite, shell_assign};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An Ubuntu that boots without its initramfs, as those made for EC2 do.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.grub.initrdless",
        title: "the boot menu uses the initramfs",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "Ubuntu's images for EC2 boot without an initramfs first. On Azure the disk needs a driver \
                that only the initramfs has: the kernel panics and the machine restarts, at every boot.",
        fix: "In grub.cfg the branch without initramfs becomes a comment in every entry, \
              GRUB_FORCE_PARTUUID is emptied in /etc/default/grub.d, and the note of failed boots is taken \
              out of grubenv.",
        source: &[
            Source::new(
                "Ubuntu",
                "40-force-partuuid.cfg and grub-initrd-fallback.service in the EC2 images",
                "2024",
            ),
            Source::new("measured boots", "", "2026-11-23"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const WHY: &str = "a boot without initramfs";
const KEY: &str = "GRUB_FORCE_PARTUUID";
const VARIABLE: &str = "initrdfail";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let view = guest.view;
    let mut evidence = Vec::new();
    for config in &guest.facts.boot.configs {
        let text = view.text(config)?.unwrap_or_default();
        let lines = grub_cfg::initrdless_lines(&text);
        evidence.extend(
            lines
                .first()
                .map(|line| Evidence::new(Place::line(config, *line), "boots without initramfs first")),
        );
        let environment = grubenv::beside(config);
        let block = view.read(&environment)?.unwrap_or_default();
        if grubenv::get(&block, VARIABLE).is_some() {
            evidence.push(Evidence::new(environment, "notes a boot without initramfs that failed"));
        }
    }
    for file in grub_defaults::files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for assignment in shell_assign::assignments(&text) {
            if assignment.key == KEY && !assignment.value.is_empty() {
                evidence.push(Evidence::new(
                    Place::line(&file, assignment.line),
                    "asks for boots without initramfs",
                ));
            }
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let configs = stage.guest()?.facts.boot.configs.clone();
    for config in configs {
        stage.edit(&config, |text| {
            let hit = grub_cfg::initrdless_lines(text);
            rewrite(text, |line| hit.contains(&line.number).then(|| comment_out(line.body.trim_start(), WHY)))
        })?;
        boot_entries::set_variable(stage, &grubenv::beside(&config), VARIABLE, None)?;
    }
    for file in grub_defaults::files(stage.guest()?.view)? {
        stage.edit(&file, |text| {
            shell_assign::edit(text, |assignment| {
                (assignment.key == KEY && !assignment.value.is_empty()).then(String::new)
            })
        })?;
    }
    Ok(Fixed::Staged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};

    #[test]
    fn only_the_branch_with_an_initramfs_stays() {
        let cfg = "menuentry 'Ubuntu' {\n  if [ \"${initrdfail}\" = 1 ]; then\n    linux /boot/vmlinuz-6 root=UUID=1\n    initrd /boot/initrd.img-6\n  else\n    linux /boot/vmlinuz-6 root=PARTUUID=2 panic=-1\n  fi\n  initrdfail\n}\n";
        let mut block = b"# GRUB Environment Block\ninitrdfail=2\n".to_vec();
        block.resize(1024, b'#');
        let bench = Bench::debian()
            .file("/boot/grub/grub.cfg", cfg)
            .file("/boot/grub/grubenv", &block)
            .file("/etc/default/grub.d/40-force-partuuid.cfg", "GRUB_FORCE_PARTUUID=2\n");
        assert_eq!(
            bench.findings(&RULE),
            [
                "/boot/grub/grub.cfg:2: boots without initramfs first",
                "/boot/grub/grubenv: notes a boot without initramfs that failed",
                "/etc/default/grub.d/40-force-partuuid.cfg:1: asks for boots without initramfs",
            ]
        );
        bench.mended(&RULE, |view| {
            let text = view.text("/boot/grub/grub.cfg").unwrap().unwrap();
            let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).map(str::trim).collect();
            assert_eq!(
                kept,
                [
                    "menuentry 'Ubuntu' {",
                    "linux /boot/vmlinuz-6 root=UUID=1",
                    "initrd /boot/initrd.img-6",
                    "}"
                ]
            );
            assert_eq!(view.read("/boot/grub/grubenv").unwrap().unwrap().len(), 1024);
            let forced = view.text("/etc/default/grub.d/40-force-partuuid.cfg").unwrap().unwrap();
            assert_eq!(forced, "GRUB_FORCE_PARTUUID=\n");
        });
        let plain = Bench::debian().file("/boot/grub/grub.cfg", grub_cfg(&format!("UUID={ROOT_UUID}"), ""));
        assert_eq!(plain.findings(&RULE), [""; 0]);
    }
}
