//! The server for SSH: its unit, its program, and a configuration and keys that it takes.

mod algorithms;
mod authorized;
mod config;
mod criteria;
mod keys;
mod keywords;
mod listen;
mod methods;
mod options;
mod people;
mod refusals;
mod session;
mod shut;
mod wrappers;

use self::config::{Server, Settings};
use self::listen::Listen;
use self::people::People;
pub(super) use self::wrappers::is_public;
use super::accounts::Accounts;
use super::login::Door;
use super::target::Init;
use super::{pam, service};
use crate::programs::cannot_start;
use crate::systemd::{Unit, started};
use crate::text::pam::Kind;
use crate::{Guest, Result, View, programs, services};

/// By these the configuration of distributions starts it.
pub(super) use crate::systemd::started::DOORS as UNITS;
/// Its configuration: the first of these that is there.
const CONFIGS: &[&str] =
    &["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config", "/usr/share/openssh/sshd_config"];
const PASSWD: &str = "/etc/passwd";
/// The account that it gives up root's rights for.
const ACCOUNT: &str = "sshd";

/// Other servers for SSH.
const OTHERS: &[&str] = &["dropbear.service", "tinysshd.socket", "teleport.service"];

/// The way in by it. A machine that has it is one that people come to by it: it is no choice of theirs if
/// nothing starts it, as nobody sits at the console of a machine in a cloud.
pub(super) fn ssh(
    guest: &Guest<'_>,
    init: Init,
    accounts: &Accounts,
    arguments: &str,
    arch: Option<&str>,
) -> Result<Door> {
    let view = guest.view;
    let Some(unit) = unit(view, init, arguments)? else {
        for other in OTHERS {
            if services::is_started(view, other)? {
                return Ok(Door::Closed(format!("{other} is started in the place of sshd")));
            }
        }
        return Ok(match programs::find(view, "sshd")? {
            Some(program) => Door::stuck(program, "it is installed, and nothing starts it"),
            None => Door::Closed("sshd is not installed".into()),
        });
    };
    if init == Init::Systemd {
        let served = options::served(view, &unit)?;
        for unit in [&unit, &served] {
            if let Some(fault) = service::fault(view, unit, arguments, arch)? {
                return Ok(fault.into());
            }
        }
        if let Some(door) = options::doubtful(view, &served, config(view)?)? {
            return Ok(door);
        }
    }
    let Some(program) = programs::find(view, "sshd")? else {
        return Ok(Door::stuck(unit, "it is to start sshd, which is not installed"));
    };
    if let Some(why) = cannot_start(view, &program, arch)? {
        return Ok(Door::stuck(program, why));
    }
    if !accounts.has(ACCOUNT) {
        return Ok(Door::stuck(PASSWD, "sshd does not start without an account of its own, sshd"));
    }
    let mut server = Server::new(view, &program);
    if let Some(why) = server.lacks_parts(arch)? {
        return Ok(Door::stuck(program.clone(), why));
    }
    let Some(config) = config(view)? else {
        return Ok(Door::stuck(CONFIGS[0], "sshd does not start without it"));
    };
    let mut settings = Settings::default();
    if let Some(door) = server.read(config, &mut settings, None, 0)? {
        return Ok(door);
    }
    if let Some(door) = refusals::together(&settings) {
        return Ok(door);
    }
    if let Some(door) = keys::lacking(view, &settings, arguments)? {
        return Ok(door);
    }
    if settings.pam == Some(true) {
        // the modules that a login by a key asks
        if let Some(door) = pam::shuts(view, &program, "sshd", &[Kind::Account, Kind::Session])? {
            return Ok(door);
        }
    }
    let people = People { guest, settings: &settings, accounts, program: &program, config };
    if let Some(door) = people.shut()? {
        return Ok(door);
    }
    let listen = Listen::of(view, &unit, &settings)?;
    if let Some(door) = listen.shut(guest)? {
        return Ok(door);
    }
    let parts = server.parts()?;
    if let Some(door) = wrappers::shut(view, &[vec![program.clone()], parts].concat())? {
        return Ok(door);
    }
    if let Some(door) = shut::by(guest, listen.is_at_22())? {
        return Ok(door);
    }
    Ok(Door::open(config, "sshd"))
}

/// The configuration that the server reads.
fn config(view: &dyn View) -> Result<Option<&'static str>> {
    for path in CONFIGS {
        if view.exists(path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What starts the server: the unit, or the script or job of the same name of an older init. One that is
/// masked is named as well, as somebody has set it up.
fn unit(view: &dyn View, init: Init, arguments: &str) -> Result<Option<String>> {
    let mut masked = None;
    for unit in UNITS {
        if init == Init::Systemd && matches!(Unit::find(view, unit)?, Unit::Masked(_)) {
            masked = Some((*unit).to_owned());
        } else if services::is_started(view, unit)? {
            return Ok(Some((*unit).to_owned()));
        }
    }
    if masked.is_some() || init != Init::Systemd {
        return Ok(masked);
    }
    // What no link starts may be started by a line of another unit, or by a timer.
    let pulled = started::all(view, arguments)?.into_iter().filter(|started| !started.is_late);
    for name in pulled.map(|started| started.pulled.name) {
        if UNITS.contains(&name.as_str()) && matches!(Unit::find(view, &name)?, Unit::There { .. }) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
