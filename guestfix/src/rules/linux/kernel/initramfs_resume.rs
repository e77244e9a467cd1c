//! linux.initramfs.resume

use std::collections::BTreeSet;

use crate::facts::BootEntry;
use crate::inspect::devices::{self, Named};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::rules::linux::boot::boot_entries;
use crate::text::{Line, bytes, cmdline, comment_out, lines, rewrite, shell_assign};
use crate::{Error, Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A guest that looks for the image of its hibernation where none can be.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.initramfs.resume",
        title: "no initramfs waits for a device of EC2 to resume from",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "initramfs-tools and uswsusp wait at every boot for the swap device that they were told to \
                resume from: 30 s for one that is not there.",
        fix: "RESUME= becomes none for the initramfs that is made next, and boot entries whose initramfs \
              has such a device in it now get noresume; a resume device of uswsusp becomes a comment.",
        source: &[
            Source::new("initramfs-tools(7)", "", "2026-11"),
            Source::new("initramfs.conf(5)", "", "2026-11"),
            Source::new("virt-v2v 71376bdb", "resume (behaviour)", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const CONF_D: &str = "/etc/initramfs-tools/conf.d";
const MAIN: &str = "/etc/initramfs-tools/initramfs.conf";
/// Where an initramfs has it, in the order in which it is read.
const BAKED: [&str; 3] = ["conf/initramfs.conf", "conf/conf.d/resume", "conf/conf.d/zz-resume-auto"];
const NO_RESUME: &str = "noresume";
const USWSUSP: &str = "/etc/uswsusp.conf";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let view = guest.view;
    let mut evidence = Vec::new();
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for one in shell_assign::assignments(&text) {
            if one.key == "RESUME" && is_gone(view, one.value) {
                let what = format!("waits for {}, which is not on this disk under this name", one.value);
                evidence.push(Evidence::new(Place::line(&file, one.line), what));
            }
        }
    }
    let text = view.text(USWSUSP)?.unwrap_or_default();
    for line in lines(&text).filter(|line| resumes(view, line)) {
        evidence.push(Evidence::new(Place::line(USWSUSP, line.number), line.body.trim()));
    }
    for entry in &guest.facts.boot.entries {
        if let Some((initrd, spec)) = waits(guest, entry)? {
            let what = format!("{initrd} waits for {spec}, which is not on this disk under this name");
            evidence.push(Evidence::new(&entry.place, what));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    for file in files(stage.guest()?.view)? {
        let view = stage.guest()?.view;
        let old = view.text(&file)?.unwrap_or_default();
        let new = shell_assign::edit(&old, |one| {
            (one.key == "RESUME" && is_gone(view, one.value)).then(|| "none".to_owned())
        });
        if new != old {
            stage.put(&file, new)?;
        }
    }
    let guest = stage.guest()?;
    let mut waiting = BTreeSet::new();
    for entry in &guest.facts.boot.entries {
        waiting.extend(waits(&guest, entry)?.map(|_| entry.place.clone()));
    }
    boot_entries::edit_cmdlines(stage, |cmdline| {
        waiting.contains(&cmdline.place).then(|| cmdline::append(&cmdline.written, NO_RESUME))
    })?;
    let view = stage.guest()?.view;
    if let Some(old) = view.text(USWSUSP)? {
        let new =
            rewrite(&old, |line| resumes(view, line).then(|| comment_out(line.body, "a device of EC2")));
        if new != old {
            stage.put(USWSUSP, new)?;
        }
    }
    Ok(Fixed::Staged)
}

/// The initramfs of an entry that waits, and for what.
fn waits(guest: &Guest<'_>, entry: &BootEntry) -> Result<Option<(String, String)>> {
    let told = cmdline::values(&entry.cmdline, "resume").iter().any(|spec| !is_gone(guest.view, spec));
    if told || cmdline::tokens(&entry.cmdline).any(|token| token == NO_RESUME) {
        return Ok(None);
    }
    for path in &entry.initrds {
        let Some(bytes) = guest.view.read(path)? else { continue };
        // one that cannot be read is the business of linux.initramfs.hyperv
        let Ok(parsed) = guest.archives.get(path, &bytes) else { continue };
        let mut last = None;
        for file in BAKED.iter().filter_map(|name| parsed.archive().find(name)) {
            let failed =
                |source: initramfs::Error| Error::Initramfs { path: path.clone(), source: source.into() };
            let text = bytes::decode(file.data().map_err(failed)?);
            last = shell_assign::get(&text, "RESUME").map(str::to_owned).or(last);
        }
        if let Some(spec) = last.filter(|spec| is_gone(guest.view, spec)) {
            return Ok(Some((path.clone(), spec)));
        }
    }
    Ok(None)
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec![MAIN.to_owned()];
    files.extend(view.glob(CONF_D, "")?);
    Ok(files)
}

/// Whether this names a device that will not be found: another name is no help here, it is only a boot that
/// is slow.
fn is_gone(view: &dyn View, spec: &str) -> bool {
    matches!(devices::named(view.machine(), spec, None), Named::DiskName(_) | Named::Absent)
}

/// `resume device = /dev/xvda2`
fn resumes(view: &dyn View, line: &Line<'_>) -> bool {
    let device =
        line.body.trim().strip_prefix("resume device").and_then(|rest| rest.trim().strip_prefix('='));
    device.is_some_and(|device| is_gone(view, device.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{BOOT_UUID, Bench, ROOT_UUID, grub_cfg, initramfs_with};

    #[test]
    fn an_initramfs_that_waits_is_told_not_to() {
        let cfg = |arguments| grub_cfg(&format!("UUID={ROOT_UUID}"), arguments);
        let resume = [("conf/conf.d/zz-resume-auto", "RESUME=UUID=dead-beef\n")];
        let bench = Bench::debian()
            .file("/boot/grub/grub.cfg", cfg("quiet"))
            .file("/boot/initrd.img-6.1.0-50-amd64", initramfs_with(&resume));
        assert_eq!(
            bench.findings(&RULE)[0],
            "/boot/grub/grub.cfg:4: /boot/initrd.img-6.1.0-50-amd64 waits for UUID=dead-beef, which is not on this disk under this name"
        );
        assert_eq!(bench.mended_text(&RULE, "/boot/grub/grub.cfg"), cfg("quiet noresume"));
        let other =
            [("conf/conf.d/resume", "RESUME=/dev/xvda3\n"), ("conf/conf.d/zz-resume-auto", "RESUME=none\n")];
        let fine = bench.file("/boot/initrd.img-6.1.0-50-amd64", initramfs_with(&other));
        assert_eq!(fine.findings(&RULE), [""; 0]);
    }

    #[test]
    fn a_resume_device_of_ec2_is_waited_for_no_more() {
        let resume = "/etc/initramfs-tools/conf.d/resume";
        let bench = Bench::debian()
            .file(resume, "RESUME=UUID=dead-beef\n")
            .file(USWSUSP, "# x\nresume device = /dev/xvda3\ncompress = y\n");
        assert_eq!(
            bench.findings(&RULE),
            [
                "/etc/initramfs-tools/conf.d/resume:1: waits for UUID=dead-beef, which is not on this disk under this name",
                "/etc/uswsusp.conf:2: resume device = /dev/xvda3",
            ]
        );
        bench.mended(&RULE, |view| {
            assert_eq!(view.text(resume).unwrap().unwrap(), "RESUME=none\n");
            let uswsusp = view.text(USWSUSP).unwrap().unwrap();
            assert_eq!(
                uswsusp,
                "# x\n# refloat: a device of EC2: resume device = /dev/xvda3\ncompress = y\n"
            );
        });
    }

    #[test]
    fn a_swap_of_this_disk_and_no_swap_are_fine() {
        for value in [&format!("UUID={BOOT_UUID}"), "none", "auto"] {
            let bench =
                Bench::debian().file("/etc/initramfs-tools/conf.d/resume", format!("RESUME={value}\n"));
            assert_eq!(bench.findings(&RULE), [""; 0], "{value}");
        }
    }
}
