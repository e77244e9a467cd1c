//! What the administrator tells systemd itself (systemd-system.conf(5)), and programs of the administrator's
//! that write units at each start (systemd.generator(7)).

use crate::script::Script;
use crate::systemd::needs::{Fault, loader_variable};
use crate::systemd::understood::is_harmless;
use crate::text::ini;
use crate::{Result, View};

const MAIN: &str = "/etc/systemd/system.conf";
const DIR: &str = "/etc/systemd/system.conf.d";
const GENERATORS: &[&str] = &["/etc/systemd/system-generators", "/usr/local/lib/systemd/system-generators"];
/// Limits of the time in which a unit has to start, by which no real one does, and the least by which all do.
const FALSE_START: u64 = 1_000;
const START: u64 = 5_000;

/// The line that keeps units from starting, or of which nobody can tell.
pub(super) fn fault(view: &dyn View) -> Result<Option<Fault>> {
    let mut files = vec![MAIN.to_owned()];
    files.extend(view.glob(DIR, ".conf")?);
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        for entry in ini::entries(&text).into_iter().filter(|entry| entry.section == "Manager") {
            let place = format!("{file}:{}", entry.line);
            let (key, value) = (entry.key, entry.value);
            let unsure = |why: &str| Ok(Some(Fault::unsure(&place, format!("{why}: {key}={value}"))));
            match key {
                "DefaultTimeoutStartSec" | "DefaultTimeoutSec" => match milliseconds(value) {
                    Some(1..FALSE_START) => {
                        let why = format!("no unit that is needed starts in that time: {key}={value}");
                        return Ok(Some(Fault::sure(&place, why)));
                    }
                    Some(FALSE_START..START) => {
                        return unsure("nobody can tell whether units start in that time");
                    }
                    _ => {}
                },
                "DefaultEnvironment" | "ManagerEnvironment" => {
                    if loader_variable(view, value)?.is_some() {
                        return unsure("nobody can tell whether programs start with these libraries");
                    }
                }
                "CapabilityBoundingSet" | "SystemCallArchitectures" if value != "native" => {
                    return unsure("nobody can tell what units do without");
                }
                _ => {
                    let limit = key.strip_prefix("Default").filter(|key| key.starts_with("Limit"));
                    if limit.is_some_and(|limit| !is_harmless("", limit, value)) {
                        return unsure("nobody can tell whether units start with so little");
                    }
                }
            }
        }
    }
    for dir in GENERATORS {
        for file in view.glob(dir, "")? {
            let is_run = view.stat(&file)?.is_some_and(|node| node.mode & 0o111 != 0 && node.size > 0);
            if is_run
                && !Script::of(view, &file)?.does_nothing()
                && view.read_link(&file)?.is_none_or(|target| target != "/dev/null")
            {
                let why = "it writes units at each start, and nobody can tell which";
                return Ok(Some(Fault::unsure(&file, why)));
            }
        }
    }
    Ok(None)
}

/// A time of systemd (systemd.time(7)), for what is less than some seconds; `None` for what is more, or none.
fn milliseconds(value: &str) -> Option<u64> {
    let digits = value.trim().trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = value.trim().get(digits.len()..)?.trim();
    let number: u64 = digits.parse().ok()?;
    match unit {
        "us" | "usec" | "µs" => Some(number / 1_000).map(|number| number.max(1)),
        "ms" | "msec" => Some(number),
        "" | "s" | "sec" | "second" | "seconds" => number.checked_mul(1_000),
        _ => None,
    }
}
