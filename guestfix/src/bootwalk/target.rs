//! What the init starts into: the default target of systemd, or the run level of an older init.

use super::{Hop, HopKind, MenuEntry, service, wanted};
use crate::systemd::needs::Start;
use crate::systemd::{self, Unit};
use crate::text::{cmdline, ini, lines};
use crate::{Guest, Result, View};

const KIND: HopKind = HopKind::Target;
const INITTAB: &str = "/etc/inittab";

/// Targets with everything that a machine with logins has.
const FULL: &[&str] = &[MULTI_USER, GRAPHICAL];
const MULTI_USER: &str = "multi-user.target";
const GRAPHICAL: &str = "graphical.target";
/// Without these no service is started, and no device is seen.
const ESSENTIAL: &[&str] = &["sysinit.target", "basic.target", "multi-user.target"];
/// Others that may not be there, and may not be masked on the command line.
const UNMASKED: &[&str] = &["local-fs.target", "sockets.target", "-.mount", "systemd-udevd-kernel.socket"];
const SERVICES: &[&str] = &["systemd-udevd.service", "systemd-udev-trigger.service"];

/// What runs as the first program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Init {
    Systemd,
    /// Before systemd, with jobs in /etc/init.
    Upstart,
    /// System V's.
    SysV,
    /// Busybox, with OpenRC behind it or not.
    Busybox,
    Unknown,
}

impl Init {
    /// By the program that /sbin/init, or the one of the command line, leads to.
    pub(super) fn of(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Self> {
        let view = guest.view;
        let named = entry.and_then(|entry| cmdline::values(&entry.cmdline, "init").pop());
        let path = view.resolve(named.unwrap_or("/sbin/init"))?.unwrap_or_default();
        Ok(match path.rsplit('/').next().unwrap_or_default() {
            "systemd" => Self::Systemd,
            "busybox" => Self::Busybox,
            "upstart" => Self::Upstart,
            "init" | "sysvinit"
                if view.exists("/etc/init/rc-sysinit.conf")? || view.exists("/etc/init/rcS.conf")? =>
            {
                Self::Upstart
            }
            "init" | "sysvinit" | "openrc-init" => Self::SysV,
            _ => Self::Unknown,
        })
    }
}

/// The hop of the target or run level.
pub(super) fn target(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    let arguments = entry.map_or("", |entry| entry.cmdline.as_str());
    match Init::of(guest, entry)? {
        Init::Systemd => default_target(guest, entry, arguments),
        Init::Unknown => {
            let why = "refloat does not know this init: what it starts is not looked at";
            Ok(vec![Hop::unknown(KIND, "/sbin/init", "an unknown init", why)])
        }
        init => run_level(guest.view, init, entry, arguments),
    }
}

fn default_target(guest: &Guest<'_>, entry: Option<&MenuEntry>, arguments: &str) -> Result<Vec<Hop>> {
    let view = guest.view;
    let asked = asked_target(arguments);
    if let (Some(entry), Some((token, name))) = (entry, &asked)
        && !FULL.contains(&name.as_str())
        && let Some(why) = incomplete(view, name)?
    {
        let why = format!("{token} on the command line: {why}");
        return Ok(vec![Hop::blocked(KIND, &entry.place, name, why)]);
    }
    let wanted = asked.map_or_else(|| "default.target".to_owned(), |(_, name)| name);
    let found = Unit::find(view, &wanted)?;
    let Unit::There { name, path } = &found else {
        let (place, why) = found.fault(&wanted).unwrap_or_default();
        return Ok(vec![Hop::blocked(KIND, place, wanted, why)]);
    };
    if let Some(why) = incomplete(view, name)? {
        return Ok(vec![Hop::blocked(KIND, path, name, why)]);
    }
    let arch = guest.facts.os.as_ref().and_then(|os| os.arch);
    if let (Some(entry), Some((token, why))) = (entry, asks(arguments)) {
        return Ok(vec![Hop::blocked(
            KIND,
            &entry.place,
            name,
            format!("{token} on the command line {why}"),
        )]);
    }
    let needed = |unit: &str| {
        unit == name || ESSENTIAL.contains(&unit) || SERVICES.contains(&unit) || UNMASKED.contains(&unit)
    };
    if let Some(hop) = service::masked(KIND, entry, needed) {
        return Ok(vec![hop]);
    }
    for unit in ESSENTIAL {
        if let Some(fault) = service::fault(view, unit, arguments, arch)? {
            return Ok(vec![service::hop(KIND, name, fault)]);
        }
    }
    for service in SERVICES {
        if let Some(fault) = service::fault(view, service, arguments, arch)? {
            return Ok(vec![service::hop(KIND, name, fault)]);
        }
    }
    if let Some(fault) = wanted::fault(&Start { view, arguments: Some(arguments), arch })? {
        return Ok(vec![service::hop(KIND, name, fault)]);
    }
    Ok(vec![Hop::reached(KIND, path, name)])
}

/// What on the command line keeps systemd from starting the system by itself.
fn asks(arguments: &str) -> Option<(&str, &'static str)> {
    cmdline::tokens(arguments).find_map(|token| {
        let value = |key| cmdline::value(token, key);
        if value("systemd.run").is_some() {
            return Some((token, "has systemd run a command in the place of the system"));
        }
        let is_off = |value: &str| matches!(value, "0" | "no" | "n" | "false" | "f" | "off");
        let confirms = token == "systemd.confirm_spawn"
            || value("systemd.confirm_spawn").is_some_and(|value| !is_off(value));
        confirms.then_some((token, "has systemd ask at the console before it starts a program"))
    })
}

/// The unit that the command line asks for, and the word that does; the last one counts.
fn asked_target(arguments: &str) -> Option<(String, String)> {
    let of = |token: &str| {
        let name = match token {
            "emergency" | "-b" => "emergency.target",
            "rescue" | "single" | "s" | "S" | "1" => "rescue.target",
            "2" | "3" | "4" => "multi-user.target",
            "5" => "graphical.target",
            token => return cmdline::value(token, "systemd.unit").map(str::to_owned),
        };
        Some(name.to_owned())
    };
    let found = cmdline::tokens(arguments).filter_map(|token| Some((token.to_owned(), of(token)?)));
    found.last()
}

/// Why a target is no start with logins.
fn incomplete(view: &dyn View, name: &str) -> Result<Option<String>> {
    if name == MULTI_USER
        || matches!(name, "runlevel2.target" | "runlevel3.target" | "runlevel4.target" | "runlevel5.target")
    {
        return Ok(None);
    }
    if systemd::ENDS.contains(&name) {
        return Ok(Some(format!("{name} ends the system")));
    }
    if systemd::ALONE.contains(&name) {
        return Ok(Some(format!("{name} asks for a password on the console, and starts nothing else")));
    }
    let Unit::There { name, path } = Unit::find(view, name)? else { return Ok(None) };
    for target in FULL.iter().filter(|target| **target != name) {
        if pulls(view, &name, &path, target)? {
            return Ok(None);
        }
    }
    Ok(Some(format!("{name} does not start multi-user.target")))
}

/// Whether a target starts another unit: by a line of its own, or by a link beside it.
fn pulls(view: &dyn View, name: &str, path: &str, other: &str) -> Result<bool> {
    let text = systemd::text(view, name, path)?;
    let says = |key: &str| {
        let values = ini::values(&text, "Unit", key);
        values.iter().any(|value| value.split_whitespace().any(|unit| unit == other))
    };
    if ["Requires", "Wants", "BindsTo", "Upholds"].into_iter().any(says) {
        return Ok(true);
    }
    let link = format!("/{name}.");
    Ok(systemd::starters(view, other)?.iter().any(|starter| starter.contains(&link)))
}

/// Inits that read inittab, or leave it at that.
fn run_level(view: &dyn View, init: Init, entry: Option<&MenuEntry>, arguments: &str) -> Result<Vec<Hop>> {
    let single = |token: &&str| matches!(*token, "single" | "s" | "S" | "1" | "emergency" | "-b");
    if let (Some(entry), Some(token)) = (entry, cmdline::tokens(arguments).find(single)) {
        let why = format!("{token} on the command line starts one shell on the console, and nothing else");
        return Ok(vec![Hop::blocked(KIND, &entry.place, "single-user mode", why)]);
    }
    let text = view.text(INITTAB)?;
    if init == Init::Busybox {
        return Ok(vec![match busybox(view, text.as_deref())? {
            None => Hop::reached(KIND, INITTAB, "busybox"),
            Some(why) => Hop::blocked(KIND, INITTAB, "busybox", why),
        }]);
    }
    let entries: Vec<[&str; 3]> = text.as_deref().map(entries).unwrap_or_default();
    let default = entries.iter().find(|[_, action, _]| *action == "initdefault");
    let level = match (default, init) {
        (Some([level, ..]), _) => *level,
        // its jobs have a default of their own
        (None, Init::Upstart) => return Ok(vec![Hop::reached(KIND, "/etc/init", "Upstart's own run level")]),
        (None, _) => {
            let why = "it names no run level to start into";
            return Ok(vec![Hop::blocked(KIND, INITTAB, "no run level", why)]);
        }
    };
    let what = format!("run level {level}");
    // Upstart has a job for what inittab starts otherwise.
    let starts = |[levels, action, _]: &[&str; 3]| levels.contains(level) && *action == "wait";
    Ok(vec![if !matches!(level, "2" | "3" | "4" | "5") {
        Hop::blocked(KIND, INITTAB, &what, format!("{what} is not one with logins"))
    } else if init == Init::SysV && !entries.iter().any(starts) {
        Hop::blocked(KIND, INITTAB, &what, format!("it starts nothing in {what}"))
    } else {
        Hop::reached(KIND, INITTAB, what)
    }])
}

/// The lines of an inittab: run levels, action and program of each.
fn entries(text: &str) -> Vec<[&str; 3]> {
    let bodies = lines(text).map(|line| line.body).filter(|body| !body.trim_start().starts_with('#'));
    let entry = bodies.map(|line| {
        let mut fields = line.splitn(4, ':').skip(1);
        Some([fields.next()?, fields.next()?, fields.next().unwrap_or_default()])
    });
    entry.flatten().collect()
}

/// Why busybox starts no system; without an inittab it runs one script, and shells.
fn busybox(view: &dyn View, inittab: Option<&str>) -> Result<Option<&'static str>> {
    let Some(text) = inittab else {
        let starts = view.exists("/etc/init.d/rcS")?;
        return Ok((!starts).then_some("there is no such file, and no /etc/init.d/rcS"));
    };
    let starts = |[_, action, command]: [&'_ str; 3]| {
        matches!(action, "sysinit" | "wait" | "once").then(|| command.trim().to_owned())
    };
    let commands: Vec<String> = entries(text).into_iter().filter_map(starts).collect();
    let is_openrc = |command: &&String| command.split(' ').next().is_some_and(|it| it.ends_with("openrc"));
    let openrc: Vec<&String> = commands.iter().filter(is_openrc).collect();
    if commands.is_empty() {
        return Ok(Some("nothing in it starts the system"));
    }
    let starts_all = openrc.is_empty() || openrc.iter().any(|command| command.ends_with(" default"));
    Ok((!starts_all).then_some("OpenRC is not told to start the run level \"default\""))
}

#[cfg(test)]
mod tests {
    use super::super::look::look;
    use super::super::testing::{debian, entry, lines, stops};
    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};

    fn hops(bench: &Bench) -> Vec<Hop> {
        let entry = entry(bench);
        bench.guest(|guest| look(guest, KIND, |guest| target(guest, Some(&entry))).unwrap())
    }

    fn with_arguments(bench: Bench, arguments: &str) -> Bench {
        bench.file("/boot/grub/grub.cfg", grub_cfg(&format!("UUID={ROOT_UUID}"), arguments))
    }

    const DEFAULT: &str = "/etc/systemd/system/default.target";

    #[test]
    fn a_target_with_logins_is_reached() {
        assert_eq!(stops(hops(&debian())), [""; 0]);
        let own = debian().link(DEFAULT, "/lib/systemd/system/multi-user.target");
        assert_eq!(lines(&hops(&own)), ["Target /lib/systemd/system/multi-user.target: multi-user.target"]);
        assert_eq!(stops(hops(&with_arguments(debian(), "systemd.unit=multi-user.target 3"))), [""; 0]);
        assert_eq!(stops(hops(&with_arguments(debian(), "systemd.confirm_spawn=no"))), [""; 0]);
        let site = debian()
            .link(DEFAULT, "/etc/systemd/system/site.target")
            .file("/etc/systemd/system/site.target", "[Unit]\nRequires=multi-user.target\n");
        assert_eq!(stops(hops(&site)), [""; 0]);
    }

    #[test]
    fn a_target_without_logins_or_without_its_parts_stops_the_boot() {
        let unit = |name: &str| format!("/lib/systemd/system/{name}");
        let mask = |name: &str| debian().link(&format!("/etc/systemd/system/{name}"), "/dev/null");
        for (bench, why) in [
            (debian().without(&unit("default.target")), "default.target is not there"),
            (debian().without(&unit("graphical.target")), "it leads to a graphical.target that is not there"),
            (debian().without(&unit("sysinit.target")), "sysinit.target is not there"),
            (debian().file(&unit("basic.target"), ""), "basic.target is masked"),
            (
                debian().file(&unit("graphical.target"), "[Unit]\n"),
                "graphical.target does not start multi-user",
            ),
            (mask("multi-user.target"), "multi-user.target is masked"),
            (mask("systemd-udevd.service"), "systemd-udevd.service is masked"),
            (
                debian().without("/bin/udevadm"),
                "systemd-udevd.service is to start it, and /lib/systemd/systemd-udevd is not there",
            ),
            (
                debian().file("/lib/systemd/system/systemd-udevd.service", "[Unit]\n"),
                "systemd-udevd.service has no ExecStart=",
            ),
            (debian().link(DEFAULT, "/dev/null"), "default.target is masked"),
            (
                debian()
                    .link(DEFAULT, "/lib/systemd/system/rescue.target")
                    .file(&unit("rescue.target"), "[Unit]\n"),
                "rescue.target asks",
            ),
            (
                debian()
                    .link(DEFAULT, "/lib/systemd/system/reboot.target")
                    .file(&unit("reboot.target"), "[Unit]\n"),
                "reboot.target ends",
            ),
            (
                debian().link(DEFAULT, "/lib/systemd/system/x.target").file(&unit("x.target"), "[Unit]\n"),
                "x.target does not start",
            ),
            (
                with_arguments(debian(), "systemd.mask=systemd-udevd.service"),
                "systemd.mask=systemd-udevd.service on the command line",
            ),
            (
                with_arguments(debian(), "systemd.mask=local-fs.target"),
                "systemd.mask=local-fs.target on the command line",
            ),
            (
                with_arguments(debian(), "systemd.run=/bin/false"),
                "systemd.run=/bin/false on the command line has systemd run",
            ),
            (
                with_arguments(debian(), "systemd.confirm_spawn"),
                "systemd.confirm_spawn on the command line has systemd ask",
            ),
            (
                debian().file(
                    "/etc/systemd/system/sysinit.target.d/x.conf",
                    "[Unit]\nConditionVirtualization=amazon\n",
                ),
                "sysinit.target is not started: ConditionVirtualization=amazon does not hold",
            ),
            (
                debian().file("/etc/systemd/system/service.d/x.conf", "[Service]\nExecStartPre=/bin/false\n"),
                "systemd-udevd.service needs ExecStartPre=/bin/false, and that fails",
            ),
            (
                debian()
                    .link("/etc/systemd/system/basic.target.wants/x.service", "../x.service")
                    .file("/etc/systemd/system/x.service", "[Service]\nExecStart=/sbin/reboot\n"),
                "x.service is started, and ends the system: ExecStart=/sbin/reboot",
            ),
            (with_arguments(debian(), "single"), "single on the command line: rescue.target"),
            (
                with_arguments(debian(), "systemd.unit=emergency.target"),
                "systemd.unit=emergency.target on the command line",
            ),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(&format!("blocked: {why}")), "{why}: {stops:?}");
        }
    }

    #[test]
    fn an_init_before_systemd_has_a_run_level() {
        let old = || {
            debian()
                .without("/sbin/init")
                .program("/sbin/init", "program")
                .file(INITTAB, "# x\nid:3:initdefault:\nl3:3:wait:/etc/init.d/rc 3\n")
        };
        assert_eq!(lines(&hops(&old())), ["Target /etc/inittab: run level 3"]);
        for (bench, why) in [
            (old().file(INITTAB, "id:1:initdefault:\n"), "run level 1 is not one with logins"),
            (old().file(INITTAB, ""), "it names no run level"),
            (old().without(INITTAB), "it names no run level"),
            (old().file(INITTAB, "id:3:initdefault:\n"), "it starts nothing in run level 3"),
            (old().file(INITTAB, "id:3:initdefault:\nl5:5:wait:/etc/init.d/rc 5\n"), "it starts nothing"),
            (with_arguments(old(), "S"), "S on the command line starts one shell"),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(why), "{why}: {stops:?}");
        }
        let upstart = old().file(INITTAB, "").file("/etc/init/rcS.conf", "start on startup\n");
        assert_eq!(stops(hops(&upstart)), [""; 0]);
        let whole = "::sysinit:/sbin/openrc sysinit\n::wait:/sbin/openrc default\n";
        let busybox = || {
            let bench = debian().without("/sbin/init").link("/sbin/init", "/bin/busybox");
            bench.program("/bin/busybox", "program").file(INITTAB, whole)
        };
        assert_eq!(lines(&hops(&busybox())), ["Target /etc/inittab: busybox"]);
        for (inittab, why) in [
            (Some("::sysinit:/sbin/openrc sysinit\n"), "OpenRC is not told to start the run level"),
            (Some("#::sysinit:/sbin/openrc sysinit\n"), "nothing in it starts the system"),
            (Some("tty1::respawn:/sbin/getty 38400 tty1\n"), "nothing in it starts the system"),
            (None, "there is no such file, and no /etc/init.d/rcS"),
        ] {
            let bench = match inittab {
                Some(text) => busybox().file(INITTAB, text),
                None => busybox().without(INITTAB),
            };
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(why), "{why}: {stops:?}");
        }
        let own = busybox().file(INITTAB, "::sysinit:/etc/init.d/rcS\n");
        assert_eq!(stops(hops(&own)), [""; 0]);
        let by_default = busybox().without(INITTAB).file("/etc/init.d/rcS", "#!/bin/sh\n");
        assert_eq!(stops(hops(&by_default)), [""; 0]);
        let other = debian().without("/sbin/init").link("/sbin/init", "/usr/bin/runit");
        let other = other.program("/usr/bin/runit", "program");
        assert!(stops(hops(&other))[0].contains("unknown: refloat does not know this init"));
    }
}
