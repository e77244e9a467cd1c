//! What sysctl sets at the start that keeps drivers from being loaded (sysctl.d(5)).

use std::collections::BTreeMap;

use crate::place::Place;
use crate::text::lines;
use crate::{Result, View, services};

const DIRS: &[&str] =
    &["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];

/// The line by which no module is loaded any more; not looked for in a snapshot, whose bytes are paid for.
pub(super) fn no_modules(view: &dyn View) -> Result<Option<Place>> {
    if view.machine().remote {
        return Ok(None);
    }
    // the first folder with a file of a name has it
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for dir in DIRS {
        for name in view.list(dir)?.into_iter().filter(|name| name.ends_with(".conf")) {
            let path = format!("{dir}/{name}");
            files.entry(name).or_insert(path);
        }
    }
    let mut files: Vec<String> = files.into_values().collect();
    if services::is_without_systemd(view)? {
        files.push("/etc/sysctl.conf".into());
    }
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        let line = lines(&text)
            .find(|line| line.body.split_once('=').is_some_and(|(key, value)| is_set(key, value)));
        if let Some(line) = line {
            return Ok(Some(Place::line(file.as_str(), line.number)));
        }
    }
    Ok(None)
}

/// Whether a variable is the one that forbids to load modules, and is set.
pub(super) fn is_set(key: &str, value: &str) -> bool {
    let key = key.trim().trim_start_matches('-').replace('/', ".");
    let value = value.trim();
    key == "kernel.modules_disabled" && !value.is_empty() && value != "0"
}
