//! The end of the way: somebody can log in. Where sshd is installed, that is by SSH, as people reach a machine in
//! a cloud, and the console has to work beside it; where it is not, the console is enough.

use super::accounts::Accounts;
use super::target::Init;
use super::{Hop, HopKind, MenuEntry, pam, service, sshd};
use crate::programs::cannot_start;
use crate::systemd::needs::Fault;
use crate::systemd::{self, Unit};
use crate::text::pam::{Kind, What};
use crate::text::{cmdline, lines};
use crate::{Guest, Result, View};

const KIND: HopKind = HopKind::Login;
const PASSWD: &str = "/etc/passwd";
const INITTAB: &str = "/etc/inittab";
const SECURETTY: &str = "/etc/securetty";
/// What asks for the name's password.
const LOGIN: &str = "/bin/login";
/// What is said of a snapshot, whose blocks are paid for.
const NOT_OF_SNAPSHOTS: &str = "in a snapshot, the modules of PAM, people's keys and what sshd starts for a connection are not looked at";

/// What keeps all but root out until the start is done, and what ends that (pam_nologin(8)).
const NO_LOGINS_YET: &str = "/usr/lib/tmpfiles.d/systemd-nologin.conf";
const SESSIONS: &str = "systemd-user-sessions.service";

/// The hop of the login.
pub(super) fn login(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    let view = guest.view;
    let arch = guest.facts.os.as_ref().and_then(|os| os.arch);
    let accounts = match Accounts::read(view, arch)? {
        Ok(accounts) => accounts,
        Err(hop) => return Ok(vec![hop]),
    };
    if view.exists("/etc/nologin")? {
        let why = "while it is there nobody but root may log in";
        return Ok(vec![Hop::blocked(KIND, "/etc/nologin", "no logins", why)]);
    }
    let init = Init::of(guest, entry)?;
    if init == Init::Systemd
        && let Unit::Masked(place) = Unit::find(view, SESSIONS)?
        && view.exists(NO_LOGINS_YET)?
    {
        let why = "it ends the time at the start in which nobody but root may log in, and is masked";
        return Ok(vec![Hop::blocked(KIND, place, "no logins", why)]);
    }
    let arguments = entry.map_or("", |entry| entry.cmdline.as_str());
    let is_door =
        |unit: &str| unit == "getty.target" || unit == console_unit(arguments) || sshd::UNITS.contains(&unit);
    if init == Init::Systemd
        && let Some(hop) = service::masked(KIND, entry, is_door)
    {
        return Ok(vec![hop]);
    }
    let doors = [
        sshd::ssh(guest, init, &accounts, arguments, arch)?,
        console(view, init, &accounts, arguments, arch)?,
    ];
    // A door that is meant to open, and does not, is a fault also where another does.
    if let Some(Door::Stuck { place, why }) = doors.iter().find(|door| matches!(door, Door::Stuck { .. })) {
        return Ok(vec![Hop::blocked(KIND, place.as_str(), "no login", why)]);
    }
    if let Some(Door::Unsure { place, why }) = doors.iter().find(|door| matches!(door, Door::Unsure { .. })) {
        return Ok(vec![Hop::unknown(KIND, place.as_str(), "a login", why)]);
    }
    let open = doors.iter().find_map(|door| match door {
        Door::Open { place, what } if view.machine().remote => {
            Some(Hop::reached(KIND, place.as_str(), format!("{what}; {NOT_OF_SNAPSHOTS}")))
        }
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
pub(super) enum Door {
    /// Somebody can log in there.
    Open {
        /// The file that says so.
        place: String,
        /// What it is.
        what: String,
    },
    /// It is set up, and cannot work.
    Stuck {
        /// Where that is seen.
        place: String,
        /// Why.
        why: String,
    },
    /// It is set up, and nobody can tell whether it works.
    Unsure {
        /// Where that is seen.
        place: String,
        /// Why.
        why: String,
    },
    /// Nobody has set it up.
    Closed(String),
}

impl Door {
    pub(super) fn open(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Open { place: place.into(), what: what.into() }
    }

    pub(super) fn stuck(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Stuck { place: place.into(), why: why.into() }
    }
}

impl From<Fault> for Door {
    fn from(Fault { place, why, is_sure }: Fault) -> Self {
        if is_sure { Self::Stuck { place, why } } else { Self::Unsure { place, why } }
    }
}

/// The console with a login.
fn console(
    view: &dyn View,
    init: Init,
    accounts: &Accounts,
    arguments: &str,
    arch: Option<&str>,
) -> Result<Door> {
    match init {
        Init::Systemd => of_systemd(view, accounts, arguments, arch),
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
fn of_systemd(view: &dyn View, accounts: &Accounts, arguments: &str, arch: Option<&str>) -> Result<Door> {
    if let Some(fault) = service::fault(view, "getty.target", arguments, arch)? {
        return Ok(fault.into());
    }
    if systemd::starters(view, "getty.target")?.is_empty() {
        return Ok(Door::Closed("nothing starts getty.target".into()));
    }
    let unit = console_unit(arguments);
    if let Some(fault) = service::fault(view, &unit, arguments, arch)? {
        return Ok(fault.into());
    }
    let Unit::There { path, .. } = Unit::find(view, &unit)? else {
        return Ok(Door::Closed(format!("{unit} is not there")));
    };
    if let Some(program) = login_of(&systemd::commands(view, &unit, &path)?) {
        if let Some(why) = cannot_start(view, &program, arch)? {
            return Ok(Door::stuck(path, format!("a getty is to start it, and {why}")));
        }
        if let Some(door) = pam::shuts(view, &program, "login", &[Kind::Auth, Kind::Account, Kind::Session])?
        {
            return Ok(door);
        }
    }
    if accounts.only_root() && !lets_root(view, &unit)? {
        return Ok(Door::Closed(format!(
            "only root has a shell, and {SECURETTY} does not let root in there"
        )));
    }
    Ok(Door::open(path, unit))
}

/// The program that asks for the password after a getty has asked for the name (agetty(8)); `None` where
/// another program than a getty of these names is started.
fn login_of(commands: &[Vec<String>]) -> Option<String> {
    let is_getty = |command: &&Vec<String>| {
        command
            .first()
            .is_some_and(|program| program.rsplit('/').next().unwrap_or(program).ends_with("agetty"))
    };
    let words = commands.iter().find(is_getty)?;
    let mut named = None;
    for (at, word) in words.iter().enumerate() {
        if matches!(word.as_str(), "-l" | "--login-program") {
            named = words.get(at.saturating_add(1)).cloned();
        } else if let Some(program) = word.strip_prefix("--login-program=") {
            named = Some(program.to_owned());
        }
    }
    Some(named.unwrap_or_else(|| LOGIN.to_owned()))
}

/// Whether root may log in on the terminal of this unit: where the file is and PAM asks for it, it must be in
/// it (pam_securetty(8)).
fn lets_root(view: &dyn View, unit: &str) -> Result<bool> {
    let stack = view.text("/etc/pam.d/login")?.unwrap_or_default();
    let asks =
        |what: &What<'_>| matches!(what, What::Module { name, .. } if name.ends_with("pam_securetty.so"));
    if !crate::text::pam::entries(&stack).iter().any(|entry| asks(&entry.what)) {
        return Ok(true);
    }
    let Some(text) = view.text(SECURETTY)? else { return Ok(true) };
    let terminal = unit.split_once('@').and_then(|(_, rest)| rest.strip_suffix(".service")).unwrap_or(unit);
    Ok(text.lines().any(|line| line.trim().trim_start_matches("/dev/") == terminal))
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

    /// One that sshd is not installed on.
    fn without_ssh() -> Bench {
        debian().without(SSH).without("/usr/sbin/sshd")
    }

    /// One whose getty starts another program.
    fn own_login() -> Bench {
        let unit = "[Service]\nExecStart=-/sbin/agetty -l /opt/login - $TERM\n";
        debian().file("/lib/systemd/system/serial-getty@.service", unit)
    }

    #[test]
    fn a_getty_starts_the_login_that_it_is_told() {
        let bench =
            own_login().without("/bin/login").program("/opt/login", crate::elf::testing::library(&[]));
        assert_eq!(stops(hops(&bench)), [""; 0]);
    }

    #[test]
    fn root_alone_logs_in_where_securetty_says() {
        let with = |text: &str| {
            without_ssh().file("/etc/pam.d/login", "auth requisite pam_securetty.so\n").file(SECURETTY, text)
        };
        assert_eq!(stops(hops(&with("tty1\nttyS0\n"))), [""; 0]);
        assert!(stops(hops(&with("tty1\n")))[0].contains("/etc/securetty does not let root in"));
        let others = with("tty1\n").file(
            PASSWD,
            "root:x:0:0:root:/root:/bin/bash\nadmin:x:1:1::/:/bin/bash\nsshd:x:2:2::/:/usr/sbin/nologin\n",
        );
        assert_eq!(stops(hops(&others)), [""; 0], "others than root are let in");
        let not_asked = with("tty1\n").file("/etc/pam.d/login", "auth required pam_unix.so\n");
        assert_eq!(stops(hops(&not_asked)), [""; 0]);
    }

    #[test]
    fn one_door_is_enough_if_nobody_has_set_up_the_other() {
        assert_eq!(lines(&hops(&debian())), ["Login /etc/ssh/sshd_config: sshd"]);
        let console = ["Login /lib/systemd/system/serial-getty@.service: serial-getty@ttyS0.service"];
        let off = stops(hops(&debian().without(SSH)));
        assert!(
            off.len() == 1 && off[0].contains("/usr/sbin/sshd blocked: it is installed, and nothing"),
            "{off:?}"
        );
        assert_eq!(lines(&hops(&without_ssh())), console);
        let screen = grub_cfg(&format!("UUID={ROOT_UUID}"), "quiet");
        let screen = without_ssh().file("/boot/grub/grub.cfg", screen);
        assert_eq!(lines(&hops(&screen)), ["Login /lib/systemd/system/getty@.service: getty@tty1.service"]);
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
            (debian().without("/bin/login"), "a getty is to start it, and /bin/login is not there"),
            (debian().program("/bin/login", ""), "a getty is to start it, and /bin/login is empty"),
            (own_login().without("/bin/login"), "a getty is to start it, and /opt/login is not there"),
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
            (debian().without("/bin/bash"), "root's shell cannot be started"),
            (debian().file("/etc/nologin", "closed\n"), "nobody but root may log in"),
            (
                mask(SESSIONS).file(NO_LOGINS_YET, "F! /run/nologin\n"),
                "nobody but root may log in, and is masked",
            ),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(why), "{why}: {stops:?}");
        }
        assert_eq!(stops(hops(&mask(SESSIONS))), [""; 0], "nothing keeps anybody out");
    }

    #[test]
    fn a_door_can_be_shut_on_the_command_line() {
        for unit in ["serial-getty@ttyS0.service", "getty.target", "ssh.service", "ssh"] {
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
