//! linux.serial-login

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::systemd::Unit;
use crate::text::{append, lines};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A serial console at which nobody can log in.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.serial-login",
        title: "login on the first serial port is enabled",
        pack: Pack::Linux,
        phase: Phase::Identity,
        severity: Severity::Warning,
        cause: "Azure's serial console is the only way into a machine whose network does not work. systemd \
                starts a getty on it by itself, unless that is masked; older inits have to be told.",
        fix: "The mask goes, a link starts the getty where systemd's generator is masked, an inittab or \
              Upstart gets one for ttyS0.",
        source: &[
            Source::new(
                "Microsoft Learn",
                "Prepare for agentless migration and Azure serial console for Linux",
                "2026",
            ),
            Source::new("systemd-getty-generator(8)", "", "2026-11"),
            Source::new("inittab(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

/// The getty of the first serial port, and the template of those of all.
const UNITS: [&str; 2] = ["serial-getty@ttyS0.service", "serial-getty@.service"];
const GENERATOR: &str = "/etc/systemd/system-generators/systemd-getty-generator";
const WANTS: &str = "/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service";
const INITTAB: &str = "/etc/inittab";
const INITTAB_LINE: &str = "S0:2345:respawn:/sbin/getty -L ttyS0 115200 vt102";
/// The same for busybox, which has the terminal in the first field.
const BUSYBOX_LINE: &str = "ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100";
const UPSTART: &str = "/etc/init/ttyS0.conf";
/// By this Red Hat 6 starts a getty on whatever console the kernel has.
const RED_HAT_6: &str = "/etc/init/serial.conf";
const UPSTART_TEXT: &str = "# for Azure (refloat): a login on the serial console\n\
                            start on stopped rc RUNLEVEL=[12345]\nstop on runlevel [!12345]\n\
                            respawn\nexec /sbin/getty -L 115200 ttyS0 vt102\n";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if guest.facts.os.as_ref().is_some_and(|os| os.arch == Some("aarch64")) {
        return Ok(Finding::NotApplicable("the serial port of an Arm machine has another name"));
    }
    let view = guest.view;
    let mut evidence = Vec::new();
    if is_systemd(view)? {
        for file in masks(view)? {
            evidence.push(Evidence::new(file, "masks the getty of the serial port"));
        }
        if is_masked(view, GENERATOR)? && view.lstat(WANTS)?.is_none() {
            evidence.push(Evidence::new(GENERATOR, "is masked, and nothing else starts a getty on ttyS0"));
        }
    } else if let Some(place) = old_init(view)? {
        evidence.push(Evidence::new(place, "starts no getty on ttyS0"));
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let view = stage.guest()?.view;
    if is_systemd(view)? {
        let generator_is_masked = is_masked(view, GENERATOR)?;
        for file in masks(view)? {
            stage.remove(&file)?;
        }
        if generator_is_masked && stage.guest()?.view.lstat(WANTS)?.is_none() {
            stage.put_link(WANTS, "/lib/systemd/system/serial-getty@.service")?;
        }
        return Ok(Fixed::Staged);
    }
    match old_init(view)? {
        Some(INITTAB) => {
            stage.edit(INITTAB, |text| {
                let is_busybox = lines(text).any(|line| line.body.starts_with("::sysinit:"));
                append(text, if is_busybox { BUSYBOX_LINE } else { INITTAB_LINE })
            })?;
        }
        _ => stage.put(UPSTART, UPSTART_TEXT)?,
    }
    Ok(Fixed::Staged)
}

fn is_systemd(view: &dyn View) -> Result<bool> {
    Ok(view.exists("/usr/lib/systemd/systemd")? || view.exists("/lib/systemd/systemd")?)
}

fn is_masked(view: &dyn View, path: &str) -> Result<bool> {
    Ok(view.read_link(path)?.as_deref() == Some("/dev/null"))
}

/// The administrator's masks of the getty, its own or that of all serial ports.
fn masks(view: &dyn View) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for unit in UNITS {
        if let Unit::Masked(path) = Unit::find(view, unit)?
            && path.starts_with("/etc/")
            && !out.contains(&path)
        {
            out.push(path);
        }
    }
    Ok(out)
}

/// What an init before systemd lacks a getty on ttyS0 in.
fn old_init(view: &dyn View) -> Result<Option<&'static str>> {
    if view.exists(RED_HAT_6)? {
        return Ok(None);
    }
    if view.exists("/etc/init/tty1.conf")? {
        return Ok((!view.exists(UPSTART)?).then_some(UPSTART));
    }
    let Some(text) = view.text(INITTAB)? else { return Ok(None) };
    let has_getty =
        lines(&text).any(|line| !line.body.trim_start().starts_with('#') && line.body.contains("ttyS0"));
    Ok((!has_getty).then_some(INITTAB))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    fn systemd() -> Bench {
        Bench::debian().file("/usr/lib/systemd/systemd", "program")
    }

    #[test]
    fn a_masked_getty_is_unmasked() {
        for unit in UNITS {
            let mask = format!("/etc/systemd/system/{unit}");
            for bench in [systemd().link(&mask, "/dev/null"), systemd().file(&mask, "")] {
                assert_eq!(bench.findings(&RULE), [format!("{mask}: masks the getty of the serial port")]);
                bench.mended(&RULE, |view| assert!(view.lstat(&mask).unwrap().is_none()));
            }
        }
    }

    #[test]
    fn a_link_does_what_the_masked_generator_does_not() {
        let bench = systemd().link(GENERATOR, "/dev/null");
        bench.mended(&RULE, |view| {
            let link = view.read_link(WANTS).unwrap();
            assert_eq!(link.as_deref(), Some("/lib/systemd/system/serial-getty@.service"));
        });
    }

    #[test]
    fn older_inits_get_a_getty() {
        let inittab = "id:2:initdefault:\n#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n";
        let text = Bench::debian().file(INITTAB, inittab).mended_text(&RULE, INITTAB);
        assert_eq!(text, format!("{inittab}{INITTAB_LINE}\n"));
        let busybox = "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n";
        let text = Bench::debian().file(INITTAB, busybox).mended_text(&RULE, INITTAB);
        assert_eq!(text, format!("{busybox}{BUSYBOX_LINE}\n"));
        let upstart = Bench::debian().file("/etc/init/tty1.conf", "respawn\n");
        assert_eq!(upstart.mended_text(&RULE, UPSTART), UPSTART_TEXT);
    }

    #[test]
    fn a_getty_of_systemd_needs_nothing() {
        assert_eq!(systemd().findings(&RULE), [""; 0]);
        let red_hat_6 = Bench::debian().file(INITTAB, "id:3:initdefault:\n").file(RED_HAT_6, "respawn\n");
        assert_eq!(red_hat_6.findings(&RULE), [""; 0]);
        assert_eq!(systemd().file(INITTAB, "# not read\n").findings(&RULE), [""; 0]);
    }
}
