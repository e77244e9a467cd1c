//! Lines of cron, by the clock and at each start, and the scripts of its folders (crontab(5), run-parts(8)).

use super::{Run, When, of_file};
use crate::script::Script;
use crate::{Result, View, services};

const UNITS: &[&str] = &["cron.service", "crond.service", "cronie.service"];
/// With the name of an account before the command.
const SYSTEM: &str = "/etc/crontab";
const SYSTEM_DIR: &str = "/etc/cron.d";
/// One for each account, by its name.
const SPOOLS: &[&str] = &["/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"];
/// Scripts that are run as often as the folder says.
const FOLDERS: &[&str] = &["/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"];

/// What it runs as root.
pub(super) fn runs(view: &dyn View) -> Result<Vec<Run>> {
    let mut out = Vec::new();
    let mut is_started = false;
    for unit in UNITS {
        is_started |= services::is_started(view, unit)?;
    }
    if !is_started {
        return Ok(out);
    }
    let mut files = vec![(SYSTEM.to_owned(), None)];
    files.extend(view.glob(SYSTEM_DIR, "")?.into_iter().map(|file| (file, None)));
    for spool in SPOOLS {
        for account in view.list(spool)? {
            files.push((format!("{spool}/{account}"), Some(account)));
        }
    }
    for (file, account) in files {
        let text = view.text(&file)?.unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let Some((when, command)) = timed(line.trim()) else { continue };
            let (account, command) = match &account {
                Some(account) => (account.as_str(), command),
                None => word(command),
            };
            if account != "root" && !command.contains("sudo ") {
                continue;
            }
            let text = Script::of_line(view, command)?.text().to_owned();
            out.push(Run::said(&file, Some(number.saturating_add(1)), when, text));
        }
    }
    for folder in FOLDERS {
        for script in view.glob(folder, "")? {
            out.extend(of_file(view, &script, When::Clock { is_often: false })?);
        }
    }
    Ok(out)
}

/// When a line is run, and what is behind that; `None` for a comment, or a variable that is set.
fn timed(line: &str) -> Option<(When, &str)> {
    if line.starts_with('@') {
        let (name, rest) = word(line);
        let when = if name == "@reboot" { When::Start } else { When::Clock { is_often: false } };
        return Some((when, rest));
    }
    let is_time = |c: char| c.is_ascii_alphanumeric() || "*/,-~".contains(c);
    let (mut fields, mut rest) = (Vec::new(), line);
    for _ in 0..5 {
        let (field, behind) = word(rest);
        if field.is_empty() || !field.chars().all(is_time) {
            return None;
        }
        fields.push(field);
        rest = behind;
    }
    let [minute, hour, days @ ..] = fields.as_slice() else { return None };
    let is_often =
        minute.contains(['*', ',', '/']) && hour.starts_with('*') && days.iter().all(|day| *day == "*");
    Some((When::Clock { is_often }, rest))
}

/// The first word, and what is behind it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_times() {
        let clock = |is_often| When::Clock { is_often };
        for (line, found) in [
            ("@reboot root x", Some((When::Start, "root x"))),
            ("@daily  root x y", Some((clock(false), "root x y"))),
            ("*/10 * * * * root x", Some((clock(true), "root x"))),
            ("* * * * *\troot x", Some((clock(true), "root x"))),
            ("0 4 * * 0 root x", Some((clock(false), "root x"))),
            ("*/5 * * * sun x", Some((clock(false), "x"))),
            ("PATH=/bin:/sbin a b c d e", None),
            ("# * * * * * x", None),
            ("", None),
        ] {
            assert_eq!(timed(line), found, "{line}");
        }
    }
}
