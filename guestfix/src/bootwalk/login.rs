//! The end of the way: somebody can log in, at a console or by SSH.

use super::target::Init;
use super::{Hop, HopKind, MenuEntry, service};
use crate::programs::cannot_start;
use crate::systemd::{self, Unit};
use crate::text::{cmdline, lines};
use crate::{Guest, Result, View, programs, services};

const KIND: HopKind = HopKind::Login;
const PASSWD: &str = "/etc/passwd";
const INITTAB: &str = "/etc/inittab";
const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";
/// By these the configuration of distributions starts a server for SSH.
const SSH_UNITS: &[&str] = &["ssh.service", "sshd.service", "ssh.socket", "sshd.socket"];

/// The hop of the login.
pub(super) fn login(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    let view = guest.view;
    let accounts = view.text(PASSWD)?.unwrap_or_default();
    if !accounts.lines().any(|line| line.split(':').count() >= 7) {
        return Ok(vec![Hop::blocked(KIND, PASSWD, "no accounts", "there is no account in it")]);
    }
    if view.exists("/etc/nologin")? {
        let why = "while it is there nobody but root may log in";
        return Ok(vec![Hop::blocked(KIND, "/etc/nologin", "no logins", why)]);
    }
    let arch = guest.facts.os.as_ref().and_then(|os| os.arch);
    let init = Init::of(guest, entry)?;
    let arguments = entry.map_or("", |entry| entry.cmdline.as_str());
    let is_door =
        |unit: &str| unit == "getty.target" || unit == console_unit(arguments) || SSH_UNITS.contains(&unit);
    if init == Init::Systemd
        && let Some(hop) = service::masked(KIND, entry, is_door)
    {
        return Ok(vec![hop]);
    }
    let doors = [ssh(view, init, arch)?, console(view, init, arguments, arch)?];
    // A door that is meant to open, and does not, is a fault also where another does.
    if let Some(Door::Stuck { place, why }) = doors.iter().find(|door| matches!(door, Door::Stuck { .. })) {
        return Ok(vec![Hop::blocked(KIND, place.as_str(), "no login", why)]);
    }
    let open = doors.iter().find_map(|door| match door {
        Door::Open { place, what } => Some(Hop::reached(KIND, place.as_str(), what)),
        _ => None,
    });
    let closed = || {
        let whys = doors.iter().filter_map(|door| match door {
            Door::Closed(why) => Some(why.as_str()),
            _ => None,
        });
        Hop::blocked(KIND, PASSWD, "no login", whys.collect::<Vec<_>>().join("; "))
    };
    Ok(vec![open.unwrap_or_else(closed)])
}

/// A way in.
enum Door {
    /// Somebody can log in there.
    Open { place: String, what: String },
    /// It is set up, and cannot work.
    Stuck { place: String, why: String },
    /// Nobody has set it up.
    Closed(String),
}

impl Door {
    fn open(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Open { place: place.into(), what: what.into() }
    }

    fn stuck(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Stuck { place: place.into(), why: why.into() }
    }
}

/// The server for SSH.
fn ssh(view: &dyn View, init: Init, arch: Option<&str>) -> Result<Door> {
    let Some(unit) = ssh_unit(view, init)? else {
        let why = if programs::find(view, "sshd")?.is_some() {
            "nothing starts sshd"
        } else {
            "sshd is not installed"
        };
        return Ok(Door::Closed(why.into()));
    };
    if init == Init::Systemd {
        let fault = match unit.ends_with(".service") {
            true => service::fault(view, &unit, arch)?,
            false => Unit::find(view, &unit)?.fault(&unit),
        };
        if let Some((place, why)) = fault {
            return Ok(Door::Stuck { place, why });
        }
    }
    let Some(program) = programs::find(view, "sshd")? else {
        return Ok(Door::stuck(unit, "it is to start sshd, which is not installed"));
    };
    if let Some(why) = cannot_start(view, &program, arch)? {
        return Ok(Door::stuck(program, why));
    }
    let configured = view.exists(SSHD_CONFIG)?
        || view.exists("/usr/etc/ssh/sshd_config")?
        || view.exists("/usr/share/openssh/sshd_config")?;
    if !configured {
        return Ok(Door::stuck(SSHD_CONFIG, "sshd does not start without it"));
    }
    let keys = view.list("/etc/ssh")?;
    let has_key = keys.iter().any(|name| name.starts_with("ssh_host_") && name.ends_with("_key"));
    if !has_key && !makes_keys(view)? {
        return Ok(Door::stuck("/etc/ssh", "sshd has no host keys, and nothing makes them"));
    }
    Ok(Door::open(SSHD_CONFIG, "sshd"))
}

/// What starts the server: the unit, or the script or job of the same name of an older init. One that is masked
/// is named as well, as somebody has set it up.
fn ssh_unit(view: &dyn View, init: Init) -> Result<Option<String>> {
    let mut masked = None;
    for unit in SSH_UNITS {
        if init == Init::Systemd && matches!(Unit::find(view, unit)?, Unit::Masked(_)) {
            masked = Some((*unit).to_owned());
        } else if services::is_started(view, unit)? {
            return Ok(Some((*unit).to_owned()));
        }
    }
    Ok(masked)
}

/// Whether something makes host keys at the first start: a unit of the distribution, cloud-init, or the
/// scripts of older inits.
fn makes_keys(view: &dyn View) -> Result<bool> {
    for unit in [
        "sshd-keygen.target",
        "sshd-keygen@.service",
        "sshd-keygen.service",
        "ssh-keygen.service",
        "sshdgenkeys.service",
    ] {
        if matches!(Unit::find(view, unit)?, Unit::There { .. }) {
            return Ok(true);
        }
    }
    let cloud = view.exists("/usr/bin/cloud-init")? && !view.exists("/etc/cloud/cloud-init.disabled")?;
    Ok(cloud || view.exists("/etc/init.d/sshd")? || view.exists("/etc/rc.d/init.d/sshd")?)
}

/// The console with a login.
fn console(view: &dyn View, init: Init, arguments: &str, arch: Option<&str>) -> Result<Door> {
    match init {
        Init::Systemd => of_systemd(view, arguments, arch),
        Init::Upstart => {
            let jobs = view.glob("/etc/init", ".conf")?;
            let is_getty = |path: &&String| {
                let name = path.rsplit('/').next().unwrap_or_default();
                name.starts_with("tty") || name.starts_with("serial") || name.starts_with("start-ttys")
            };
            Ok(match jobs.iter().find(is_getty) {
                Some(job) => Door::open(job.as_str(), "a login of Upstart"),
                None => Door::Closed("no job of Upstart starts a login".into()),
            })
        }
        Init::SysV | Init::Busybox | Init::Unknown => of_inittab(view, arch),
    }
}

/// systemd starts a login at the console of the kernel if that is a serial port, and at the first screen.
fn of_systemd(view: &dyn View, arguments: &str, arch: Option<&str>) -> Result<Door> {
    if let Some((place, why)) = Unit::find(view, "getty.target")?.fault("getty.target") {
        return Ok(Door::Stuck { place, why });
    }
    if systemd::starters(view, "getty.target")?.is_empty() {
        return Ok(Door::Closed("nothing starts getty.target".into()));
    }
    let unit = console_unit(arguments);
    if let Some((place, why)) = service::fault(view, &unit, arch)? {
        return Ok(Door::Stuck { place, why });
    }
    Ok(match Unit::find(view, &unit)? {
        Unit::There { path, .. } => Door::open(path, unit),
        _ => Door::Closed(format!("{unit} is not there")),
    })
}

/// The login at the console of the kernel.
fn console_unit(arguments: &str) -> String {
    let consoles = cmdline::values(arguments, "console").into_iter();
    let serial =
        consoles.filter_map(|console| console.split(',').next()).find(|port| port.starts_with("ttyS"));
    serial.map_or_else(|| "getty@tty1.service".to_owned(), |port| format!("serial-getty@{port}.service"))
}

fn of_inittab(view: &dyn View, arch: Option<&str>) -> Result<Door> {
    let text = view.text(INITTAB)?.unwrap_or_default();
    let mut stuck = None;
    for line in lines(&text).filter(|line| !line.body.trim_start().starts_with('#')) {
        let mut fields = line.body.splitn(4, ':').skip(2);
        let (Some(action), Some(command)) = (fields.next(), fields.next()) else { continue };
        let Some(getty) = command.split_whitespace().next().filter(|word| word.contains("getty")) else {
            continue;
        };
        if !matches!(action, "respawn" | "askfirst") {
            continue;
        }
        match cannot_start(view, getty, arch)? {
            None => return Ok(Door::open(INITTAB, command)),
            Some(why) => stuck = Some(Door::stuck(INITTAB, why)),
        }
    }
    Ok(stuck.unwrap_or_else(|| Door::Closed(format!("{INITTAB} starts no login"))))
}

#[cfg(test)]
mod tests {
    use super::super::look::look;
    use super::super::testing::{debian, entry, lines, stops};
    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};

    fn hops(bench: &Bench) -> Vec<Hop> {
        let entry = entry(bench);
        bench.guest(|guest| look(guest, KIND, |guest| login(guest, Some(&entry))).unwrap())
    }

    const SSH: &str = "/etc/systemd/system/multi-user.target.wants/ssh.service";

    fn without_ssh() -> Bench {
        debian().without(SSH)
    }

    #[test]
    fn one_door_is_enough_if_nobody_has_set_up_the_other() {
        assert_eq!(lines(&hops(&debian())), ["Login /etc/ssh/sshd_config: sshd"]);
        let console = ["Login /lib/systemd/system/serial-getty@.service: serial-getty@ttyS0.service"];
        assert_eq!(lines(&hops(&without_ssh())), console);
        assert_eq!(lines(&hops(&without_ssh().without("/usr/sbin/sshd"))), console);
        let screen = grub_cfg(&format!("UUID={ROOT_UUID}"), "quiet");
        let screen = without_ssh().file("/boot/grub/grub.cfg", screen);
        assert_eq!(lines(&hops(&screen)), ["Login /lib/systemd/system/getty@.service: getty@tty1.service"]);
        let keygen = debian()
            .without("/etc/ssh/ssh_host_ed25519_key")
            .file("/lib/systemd/system/sshd-keygen@.service", "[Service]\n");
        assert_eq!(lines(&hops(&keygen)), ["Login /etc/ssh/sshd_config: sshd"]);
    }

    #[test]
    fn a_door_that_is_set_up_and_does_not_open_is_none() {
        let mask = |unit: &str| debian().link(&format!("/etc/systemd/system/{unit}"), "/dev/null");
        for (bench, why) in [
            (
                debian().without("/usr/sbin/sshd"),
                "ssh.service is to start it, and /usr/sbin/sshd is not there",
            ),
            (debian().program("/usr/sbin/sshd", ""), "/usr/sbin/sshd is empty"),
            (debian().without("/etc/ssh/sshd_config"), "sshd does not start without it"),
            (
                debian().without("/etc/ssh/ssh_host_ed25519_key"),
                "sshd has no host keys, and nothing makes them",
            ),
            (debian().file("/lib/systemd/system/ssh.service", "[Unit]\n"), "ssh.service has no ExecStart="),
            (mask("ssh.service"), "ssh.service is masked"),
            (mask("ssh.service").without(SSH), "ssh.service is masked"),
            (debian().without("/lib/systemd/system/ssh.service"), "ssh.service is not there"),
            (mask("serial-getty@ttyS0.service"), "serial-getty@ttyS0.service is masked"),
            (mask("getty.target"), "getty.target is masked"),
            (
                debian().without("/sbin/agetty"),
                "serial-getty@ttyS0.service is to start it, and /sbin/agetty is not there",
            ),
            (
                debian().program("/sbin/agetty", ""),
                "serial-getty@ttyS0.service is to start it, and /sbin/agetty is empty",
            ),
            (debian().file(PASSWD, ""), "there is no account in it"),
            (debian().file("/etc/nologin", "closed\n"), "nobody but root may log in"),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(why), "{why}: {stops:?}");
        }
    }

    #[test]
    fn a_door_can_be_shut_on_the_command_line() {
        for unit in ["serial-getty@ttyS0.service", "getty.target", "ssh.service"] {
            let arguments = format!("console=ttyS0 systemd.mask={unit}");
            let grub = grub_cfg(&format!("UUID={ROOT_UUID}"), &arguments);
            let stops = stops(hops(&debian().file("/boot/grub/grub.cfg", grub)));
            assert!(
                stops.len() == 1 && stops[0].contains(&format!("systemd.mask={unit} on the")),
                "{stops:?}"
            );
        }
    }

    #[test]
    fn older_inits_have_their_own_consoles() {
        let old = || without_ssh().without("/sbin/init").program("/sbin/init", "program");
        let inittab = "id:3:initdefault:\nS0:2345:respawn:/sbin/agetty -L ttyS0 115200 vt102\n";
        assert_eq!(stops(hops(&old().file(INITTAB, inittab))), [""; 0]);
        let missing = stops(hops(&old().file(INITTAB, inittab).without("/sbin/agetty")));
        assert!(missing[0].contains("/sbin/agetty is not there"), "{missing:?}");
        assert!(stops(hops(&old().file(INITTAB, "id:3:initdefault:\n")))[0].contains("starts no login"));
        let upstart = old().file("/etc/init/rcS.conf", "x\n").file("/etc/init/tty1.conf", "respawn\n");
        assert_eq!(stops(hops(&upstart)), [""; 0]);
    }
}
