//! Whether a manager of the network is at work: its unit or script is there, is started and not masked, and
//! its programs can run.

use super::{Answer, Said, dhclient};
use crate::place::Evidence;
use crate::programs::{self, cannot_start};
use crate::services::{is_started, starting_links};
use crate::systemd::Unit;
use crate::systemd::needs::{Fault, Start};
use crate::{Result, View};

/// Where the scripts of older inits and of OpenRC are.
const SCRIPTS: [&str; 2] = ["/etc/init.d", "/etc/rc.d/init.d"];

/// A program that configures the network.
pub(super) struct Manager {
    /// Its unit; a script, or a service of another init, has the same name without the suffix.
    pub(super) unit: &'static str,
    /// The programs that it needs, by name or path; of each the first that is there counts.
    pub(super) programs: &'static [&'static [&'static str]],
}

/// Whether it is at work.
pub(super) enum State {
    /// It is not installed.
    Absent,
    /// It is installed and does nothing: why.
    Idle(Evidence),
    /// Nobody can tell whether it is: why.
    Doubtful(Evidence),
    /// It is.
    Works,
}

impl Manager {
    /// Whether it is at work; `pulled_in` if another program starts it at boot.
    pub(super) fn state(&self, view: &dyn View, pulled_in: bool) -> Result<State> {
        let unit = self.unit;
        let idle = |place: &str, why: String| Ok(State::Idle(Evidence::new(place, why)));
        let (file, fault_of_unit) = match (Unit::find(view, unit)?, self.script(view)?) {
            (Unit::Masked(path), _) => return idle(&path, format!("{unit} is masked")),
            (Unit::There { name, path }, _) => {
                let fault = Start { view, arguments: None, arch: None }.fault(&name, &path)?;
                (path, fault)
            }
            (Unit::Missing { .. }, Some(script)) => (script, None),
            (Unit::Missing { .. }, None) => {
                return match starting_links(view, unit)?.first() {
                    Some(link) => idle(link, format!("it starts {unit}, which is not there")),
                    None => Ok(State::Absent),
                };
            }
        };
        if !pulled_in && !is_started(view, unit)? {
            return idle(&file, format!("nothing starts {unit}"));
        }
        if let Some(Fault { place, why, is_sure }) = fault_of_unit {
            let evidence = Evidence::new(place, why);
            return Ok(if is_sure { State::Idle(evidence) } else { State::Doubtful(evidence) });
        }
        for names in self.programs {
            if let Some(why) = fault(view, names)? {
                return idle(&file, why);
            }
        }
        Ok(State::Works)
    }

    /// What it says of the card: at work, what `at_work` reads.
    pub(super) fn said(&self, view: &dyn View, at_work: impl FnOnce() -> Result<Answer>) -> Result<Said> {
        Ok(match self.state(view, false)? {
            State::Absent => Said::Absent,
            State::Idle(why) => Said::Idle(why),
            State::Doubtful(why) => Said::doubtful(why),
            State::Works => Said::Answer(at_work()?),
        })
    }

    /// Its script, or its job of Upstart.
    fn script(&self, view: &dyn View) -> Result<Option<String>> {
        let name = self.unit.strip_suffix(".service").unwrap_or(self.unit);
        let scripts = SCRIPTS.iter().map(|dir| format!("{dir}/{name}"));
        for path in scripts.chain([format!("/etc/init/{name}.conf")]) {
            if view.exists(&path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// Why none of these programs runs: the first that is there is the one that is asked.
pub(super) fn fault(view: &dyn View, names: &[&str]) -> Result<Option<String>> {
    for name in names {
        let found = if name.starts_with('/') { view.resolve(name)? } else { programs::find(view, name)? };
        if let Some(path) = found {
            return cannot_start(view, &path, None);
        }
    }
    Ok(Some(format!("{} is not installed", names.first().copied().unwrap_or_default())))
}

/// Why there is no DHCP client for a manager that knows these; `None` if there is one.
pub(super) fn lacks_client(view: &dyn View, names: &[&str]) -> Result<Option<String>> {
    for name in names {
        let Some(path) = programs::find(view, name)? else { continue };
        let why = cannot_start(view, &path, None)?;
        return if why.is_none() && *name == "dhclient" { dhclient::fault(view) } else { Ok(why) };
    }
    Ok(Some(format!("no DHCP client ({}) is installed", names.first().copied().unwrap_or_default())))
}
