//! linux.initramfs.resume

use crate::inspect::devices;
use crate::rule::Evidence;
use crate::text::{Line, comment_out, lines, rewrite, shell_assign};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A guest that looks for the image of its hibernation where none can be.
pub(in crate::rules) struct InitramfsResume;

static META: RuleMeta = RuleMeta {
    id: "linux.initramfs.resume",
    title: "the next initramfs resumes from no device of EC2",
    phase: Phase::Boot,
    severity: Severity::Warning,
    cause: "initramfs-tools and uswsusp wait at every boot for the swap device that they were told to resume from: 30 s for one that is not \
            there.",
    fix: "RESUME= becomes none, which initramfs-tools takes for an answer; a resume device of uswsusp becomes a comment.",
    source: "initramfs-tools(7), initramfs.conf(5), 2026-11; virt-v2v 71376bdb, resume (behaviour), 2026",
};

const CONF_D: &str = "/etc/initramfs-tools/conf.d";
const MAIN: &str = "/etc/initramfs-tools/initramfs.conf";
const USWSUSP: &str = "/etc/uswsusp.conf";

impl Rule for InitramfsResume {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let view = guest.view;
        let mut evidence = Vec::new();
        for file in files(view)? {
            let text = view.text(&file)?.unwrap_or_default();
            for one in shell_assign::assignments(&text) {
                if one.key == "RESUME" && is_gone(view, one.value) {
                    let what = format!("waits for {}, which is not on this disk under this name", one.value);
                    evidence.push(Evidence::new(format!("{file}:{}", one.line), what));
                }
            }
        }
        let text = view.text(USWSUSP)?.unwrap_or_default();
        for line in lines(&text).filter(|line| resumes(view, line)) {
            evidence.push(Evidence::new(format!("{USWSUSP}:{}", line.number), line.body.trim()));
        }
        Ok(Finding::from_evidence(evidence))
    }

    fn fix(&self, stage: &mut Stage<'_>) -> Result<Fixed> {
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
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec![MAIN.to_owned()];
    files.extend(view.glob(CONF_D, "")?);
    Ok(files)
}

/// Whether this names a device that will not be found: another name is no help here, it is only a boot that is slow.
fn is_gone(view: &dyn View, spec: &str) -> bool {
    devices::is_disk_name(spec)
        || (devices::is_device(spec) && devices::resolve(view.machine(), spec, None).is_none())
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
    use crate::rules::testing::{BOOT_UUID, Bench};

    #[test]
    fn a_resume_device_of_ec2_is_waited_for_no_more() {
        let resume = "/etc/initramfs-tools/conf.d/resume";
        let bench = Bench::debian()
            .file(resume, "RESUME=UUID=dead-beef\n")
            .file(USWSUSP, "# x\nresume device = /dev/xvda3\ncompress = y\n");
        assert_eq!(
            bench.findings(&InitramfsResume),
            [
                "/etc/initramfs-tools/conf.d/resume:1: waits for UUID=dead-beef, which is not on this disk under this name",
                "/etc/uswsusp.conf:2: resume device = /dev/xvda3",
            ]
        );
        bench.mended(&InitramfsResume, |view| {
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
        for value in [&format!("UUID={BOOT_UUID}"), "none", "auto", "/dev/mapper/vg-swap"] {
            let bench =
                Bench::debian().file("/etc/initramfs-tools/conf.d/resume", format!("RESUME={value}\n"));
            assert_eq!(bench.findings(&InitramfsResume), [""; 0], "{value}");
        }
    }
}
