//! linux.xen.leftovers

use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::rules::linux::{linewise, systemd};
use crate::text::modprobe::{Command, commands, comment_out_commands};
use crate::text::{Line, comment_out, shell_assign};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View, modprobe};

/// What a guest of Xen keeps and Hyper-V has no use for.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.xen.leftovers",
        title: "nothing is left that only Xen can do",
        pack: Pack::Linux,
        phase: Phase::Identity,
        severity: Severity::Warning,
        cause: "Aliases lead to Xen's drivers, modules that cannot be loaded make units fail, gettys start \
                over and over on a console that is not there.",
        fix: "Lines that load or alias Xen's drivers become comments, gettys on hvc0 and xvc0 and Xen's own \
              agents are not started any more.",
        source: &[
            Source::new("virt-v2v 71376bdb", "convert_linux (behaviour)", "2026"),
            Source::new("modprobe.d(5)", "", "2026-11"),
            Source::new("modules-load.d(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const WHY: &str = "only for Xen";
const UNITS: &[&str] = &[
    "serial-getty@hvc0.service",
    "serial-getty@xvc0.service",
    "getty@hvc0.service",
    "xe-daemon.service",
    "xe-linux-distribution.service",
    "xen-guest-agent.service",
];
const SYSCONFIG: &str = "/etc/sysconfig/kernel";
const SYSCONFIG_KEYS: [&str; 2] = ["INITRD_MODULES", "DOMU_INITRD_MODULES"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let view = guest.view;
    let mut evidence = systemd::started(view, UNITS)?;
    for file in modprobe_files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for alias in commands(&text).iter().filter(|command| is_xen_alias(command)) {
            evidence.push(Evidence::new(Place::line(&file, alias.line), alias.words.join(" ")));
        }
    }
    for (file, is_xen) in files(view)? {
        let what = |line: &Line<'_>| is_xen(line).then(|| line.body.trim().to_owned());
        evidence.extend(linewise::faults(view, &[file], what)?);
    }
    let text = view.text(SYSCONFIG)?.unwrap_or_default();
    for assignment in shell_assign::assignments(&text) {
        if SYSCONFIG_KEYS.contains(&assignment.key) && assignment.value.split_whitespace().any(is_xen_module)
        {
            let what = format!("{} names drivers of Xen", assignment.key);
            evidence.push(Evidence::new(Place::line(SYSCONFIG, assignment.line), what));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    systemd::disable_started(stage, UNITS)?;
    for file in modprobe_files(stage.guest()?.view)? {
        stage.edit(&file, |text| comment_out_commands(text, WHY, is_xen_alias))?;
    }
    for (file, is_xen) in files(stage.guest()?.view)? {
        linewise::rewrite(stage, &[file], |line| is_xen(line).then(|| comment_out(line.body, WHY)))?;
    }
    stage.edit(SYSCONFIG, |text| {
        shell_assign::edit(text, |assignment| {
            let kept = assignment
                .value
                .split_whitespace()
                .filter(|module| !is_xen_module(module))
                .collect::<Vec<_>>();
            let hit = SYSCONFIG_KEYS.contains(&assignment.key)
                && assignment.value.split_whitespace().any(is_xen_module);
            hit.then(|| kept.join(" "))
        })
    })?;
    Ok(Fixed::Staged)
}

/// A file and what makes one of its lines Xen's.
type File = (String, fn(&Line<'_>) -> bool);

fn files(view: &dyn View) -> Result<Vec<File>> {
    let mut out: Vec<File> = vec![("/etc/modules".into(), loads_xen), ("/etc/inittab".into(), is_xen_getty)];
    out.extend(
        view.glob("/etc/modules-load.d", ".conf")?
            .into_iter()
            .map(|file| (file, loads_xen as fn(&Line<'_>) -> bool)),
    );
    Ok(out)
}

/// The administrator's files of modprobe.
fn modprobe_files(view: &dyn View) -> Result<Vec<String>> {
    Ok(modprobe::files(view)?.into_iter().filter(|file| file.starts_with("/etc/")).collect())
}

fn is_xen_alias(command: &Command<'_>) -> bool {
    command.alias_of().is_some_and(is_xen_module)
}

fn loads_xen(line: &Line<'_>) -> bool {
    line.words().next().is_some_and(|module| !module.starts_with(';') && is_xen_module(module))
}

/// `co:2345:respawn:/sbin/agetty xvc0 9600 vt100-nav`
fn is_xen_getty(line: &Line<'_>) -> bool {
    let body = line.body.trim_start();
    !body.starts_with('#')
        && body.contains(":respawn:")
        && body.split([' ', ':']).any(|word| matches!(word, "hvc0" | "xvc0"))
}

fn is_xen_module(module: &str) -> bool {
    let module = module.replace('-', "_");
    module.starts_with("xen_")
        || matches!(
            module.as_str(),
            "xennet" | "xenblk" | "xenfs" | "evtchn" | "xen" | "xenbus_probe_frontend"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn lines_and_units_of_xen_go() {
        let bench = Bench::debian()
            .file(
                "/etc/modprobe.d/xen.conf",
                "alias eth0 xennet\nblacklist xen_fbfront\nalias scsi_hostadapter xen-blkfront\n",
            )
            .file("/etc/modules", "loop\nxen-netfront\n")
            .file("/etc/inittab", "1:2345:respawn:/sbin/getty tty1\nco:2345:respawn:/sbin/agetty xvc0 9600\n")
            .file(SYSCONFIG, "DOMU_INITRD_MODULES=\"xennet ext4 xenblk\"\n")
            .link(
                "/etc/systemd/system/getty.target.wants/serial-getty@hvc0.service",
                "/lib/systemd/system/serial-getty@.service",
            );
        assert_eq!(bench.findings(&RULE).len(), 6);
        bench.mended(&RULE, |view| {
            let text = |path| view.text(path).unwrap().unwrap();
            let why = "# refloat: only for Xen: ";
            assert_eq!(text("/etc/modprobe.d/xen.conf"), format!("{why}alias eth0 xennet\nblacklist xen_fbfront\n{why}alias scsi_hostadapter xen-blkfront\n"));
            assert_eq!(text("/etc/modules"), format!("loop\n{why}xen-netfront\n"));
            assert_eq!(text("/etc/inittab"), format!("1:2345:respawn:/sbin/getty tty1\n{why}co:2345:respawn:/sbin/agetty xvc0 9600\n"));
            assert_eq!(text(SYSCONFIG), "DOMU_INITRD_MODULES=\"ext4\"\n");
        });
    }
}
