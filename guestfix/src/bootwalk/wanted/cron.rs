//! Lines of cron that are run at each start: `@reboot` (crontab(5)).

use super::script::Script;
use crate::systemd::needs::Fault;
use crate::{Result, View, services};

const UNITS: &[&str] = &["cron.service", "crond.service", "cronie.service"];
/// With the name of an account before the command.
const SYSTEM: &str = "/etc/crontab";
const SYSTEM_DIR: &str = "/etc/cron.d";
/// One for each account.
const SPOOLS: &[&str] = &["/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"];

/// The line that does harm.
pub(super) fn fault(view: &dyn View) -> Result<Option<Fault>> {
    let mut is_started = false;
    for unit in UNITS {
        is_started |= services::is_started(view, unit)?;
    }
    if !is_started {
        return Ok(None);
    }
    let mut files = vec![(SYSTEM.to_owned(), true)];
    files.extend(view.glob(SYSTEM_DIR, "")?.into_iter().map(|file| (file, true)));
    for spool in SPOOLS {
        files.extend(view.glob(spool, "")?.into_iter().map(|file| (file, false)));
    }
    for (file, has_account) in files {
        let text = view.text(&file)?.unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let Some(command) = line.trim().strip_prefix("@reboot") else { continue };
            let command = command.trim_start();
            let command = match has_account {
                true => {
                    command.split_once(char::is_whitespace).map_or("", |(_, command)| command.trim_start())
                }
                false => command,
            };
            if let Some(harm) = Script::of_line(view, command)?.harm(view)? {
                let place = format!("{file}:{}", number.saturating_add(1));
                let why = format!("cron runs it at each start, and it {}: {}", harm.what, harm.command);
                return Ok(Some(Fault { place, why, is_sure: harm.is_sure }));
            }
        }
    }
    Ok(None)
}
