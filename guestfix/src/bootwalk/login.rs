//! The end of the way: somebody can log in, at a console or by SSH.

use super::init::cannot_start;
use super::target::Init;
use super::{Hop, HopKind, MenuEntry};
use crate::systemd::Unit;
use crate::text::lines;
use crate::{Guest, Result, View, programs, services};

const KIND: HopKind = HopKind::Login;
const PASSWD: &str = "/etc/passwd";
const INITTAB: &str = "/etc/inittab";
const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";
/// Consoles at which systemd starts a login by itself: the screen, and the first serial port.
const CONSOLES: &[&str] = &["serial-getty@ttyS0.service", "getty@tty1.service"];
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
    let mut why = Vec::new();
    match ssh(view, init, arch)? {
        Ok(what) => return Ok(vec![Hop::reached(KIND, SSHD_CONFIG, what)]),
        Err(no) => why.push(no),
    }
    match console(view, init, arch)? {
        Ok((place, what)) => return Ok(vec![Hop::reached(KIND, place, what)]),
        Err(no) => why.push(no),
    }
    Ok(vec![Hop::blocked(KIND, PASSWD, "no login", why.join("; "))])
}

type Way<T> = std::result::Result<T, String>;

/// What answers by SSH, or why nothing does.
fn ssh(view: &dyn View, init: Init, arch: Option<&str>) -> Result<Way<&'static str>> {
    let Some(program) = programs::find(view, "sshd")? else { return Ok(Err("sshd is not installed".into())) };
    if let Some(why) = cannot_start(view, &program, arch)? {
        return Ok(Err(why));
    }
    let configured = view.exists(SSHD_CONFIG)?
        || view.exists("/usr/etc/ssh/sshd_config")?
        || view.exists("/usr/share/openssh/sshd_config")?;
    if !configured {
        return Ok(Err(format!("sshd has no {SSHD_CONFIG}")));
    }
    if !is_started(view, init)? {
        return Ok(Err("nothing starts sshd".into()));
    }
    let keys = view.list("/etc/ssh")?;
    let has_key = keys.iter().any(|name| name.starts_with("ssh_host_") && name.ends_with("_key"));
    if !has_key && !makes_keys(view)? {
        return Ok(Err("sshd has no host keys, and nothing makes them".into()));
    }
    Ok(Ok("sshd"))
}

fn is_started(view: &dyn View, init: Init) -> Result<bool> {
    for unit in SSH_UNITS {
        // A link to a unit that is not there starts nothing.
        let is_there = init != Init::Systemd || matches!(Unit::find(view, unit)?, Unit::There { .. });
        if is_there && services::is_started(view, unit)? {
            return Ok(true);
        }
    }
    Ok(false)
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

/// The console with a login and what is there, or why there is none.
fn console(view: &dyn View, init: Init, arch: Option<&str>) -> Result<Way<(String, String)>> {
    match init {
        Init::Systemd => of_systemd(view, arch),
        Init::Upstart => {
            let jobs = view.glob("/etc/init", ".conf")?;
            let is_getty = |path: &&String| {
                let name = path.rsplit('/').next().unwrap_or_default();
                name.starts_with("tty") || name.starts_with("serial") || name.starts_with("start-ttys")
            };
            Ok(match jobs.iter().find(is_getty) {
                Some(job) => Ok((job.clone(), "a login of Upstart".into())),
                None => Err("no job of Upstart starts a login".into()),
            })
        }
        Init::SysV | Init::Busybox | Init::Unknown => of_inittab(view, arch),
    }
}

fn of_systemd(view: &dyn View, arch: Option<&str>) -> Result<Way<(String, String)>> {
    if let Some((place, why)) = Unit::find(view, "getty.target")?.fault("getty.target") {
        return Ok(Err(format!("{place}: {why}")));
    }
    let Some(getty) = programs::find(view, "agetty")? else {
        return Ok(Err("agetty is not installed".into()));
    };
    if let Some(why) = cannot_start(view, &getty, arch)? {
        return Ok(Err(why));
    }
    let mut faults = Vec::new();
    for unit in CONSOLES {
        match Unit::find(view, unit)? {
            Unit::There { path, .. } => return Ok(Ok((path, (*unit).to_owned()))),
            other => faults.extend(other.fault(unit).map(|(place, why)| format!("{place}: {why}"))),
        }
    }
    Ok(Err(faults.join(", ")))
}

fn of_inittab(view: &dyn View, arch: Option<&str>) -> Result<Way<(String, String)>> {
    let text = view.text(INITTAB)?.unwrap_or_default();
    let mut why = format!("{INITTAB} starts no login");
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
            None => return Ok(Ok((INITTAB.to_owned(), command.to_owned()))),
            Some(no) => why = no,
        }
    }
    Ok(Err(why))
}

#[cfg(test)]
mod tests {
    use super::super::look::look;
    use super::super::testing::{debian, entry, lines, stops};
    use super::*;
    use crate::rules::testing::Bench;

    fn hops(bench: &Bench) -> Vec<Hop> {
        let entry = entry(bench);
        bench.guest(|guest| look(guest, KIND, |guest| login(guest, Some(&entry))).unwrap())
    }

    const SSH: &str = "/etc/systemd/system/multi-user.target.wants/ssh.service";

    /// Without SSH there is the console.
    fn without_ssh() -> Bench {
        debian().without(SSH)
    }

    #[test]
    fn one_way_in_is_enough() {
        assert_eq!(lines(&hops(&debian())), ["Login /etc/ssh/sshd_config: sshd"]);
        for bench in [
            without_ssh(),
            debian().without("/usr/sbin/sshd"),
            debian().program("/usr/sbin/sshd", ""),
            debian().without("/etc/ssh/sshd_config"),
            debian().without("/etc/ssh/ssh_host_ed25519_key"),
            debian().link("/etc/systemd/system/ssh.service", "/dev/null"),
            debian().without("/lib/systemd/system/ssh.service"),
        ] {
            let found = lines(&hops(&bench));
            assert_eq!(
                found,
                ["Login /lib/systemd/system/serial-getty@.service: serial-getty@ttyS0.service"]
            );
        }
        let keygen = debian()
            .without("/etc/ssh/ssh_host_ed25519_key")
            .file("/lib/systemd/system/sshd-keygen@.service", "[Service]\n");
        assert_eq!(lines(&hops(&keygen)), ["Login /etc/ssh/sshd_config: sshd"]);
    }

    #[test]
    fn none_is_not() {
        let mask = |bench: Bench, unit: &str| bench.link(&format!("/etc/systemd/system/{unit}"), "/dev/null");
        let masked = mask(mask(without_ssh(), "serial-getty@ttyS0.service"), "getty@tty1.service");
        for (bench, why) in [
            (
                masked,
                "serial-getty@ttyS0.service is masked, /etc/systemd/system/getty@tty1.service: getty@tty1.service is masked",
            ),
            (
                mask(without_ssh(), "getty.target"),
                "nothing starts sshd; /etc/systemd/system/getty.target: getty.target is masked",
            ),
            (without_ssh().without("/sbin/agetty"), "agetty is not installed"),
            (without_ssh().program("/sbin/agetty", ""), "/sbin/agetty is empty"),
            (debian().file(PASSWD, ""), "there is no account in it"),
            (debian().file("/etc/nologin", "closed\n"), "nobody but root may log in"),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(why), "{why}: {stops:?}");
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
