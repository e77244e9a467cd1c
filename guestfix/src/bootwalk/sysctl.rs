//! What sysctl sets at the start that keeps drivers from being loaded, or programs from being started
//! (sysctl.d(5); Linux, Documentation/admin-guide/sysctl).

use std::collections::BTreeMap;

use crate::place::Place;
use crate::systemd::needs::Fault;
use crate::text::lines;
use crate::{Result, View, services};

const DIRS: &[&str] =
    &["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];

/// The line by which no module is loaded any more; not looked for in a snapshot, whose bytes are paid for.
pub(super) fn no_modules(view: &dyn View) -> Result<Option<Place>> {
    if view.machine().remote {
        return Ok(None);
    }
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        let line = lines(&text)
            .find(|line| line.body.split_once('=').is_some_and(|(key, value)| is_set(key, value)));
        if let Some(line) = line {
            return Ok(Some(Place::line(file.as_str(), line.number)));
        }
    }
    Ok(None)
}

/// The files, in the order in which they are read.
fn files(view: &dyn View) -> Result<Vec<String>> {
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
    Ok(files)
}

/// Variables by which few programs or none are started where they are less than this.
const LEAST: &[(&str, u64)] = &[
    ("fs.file-max", 1024),
    ("fs.nr_open", 256),
    ("kernel.pid_max", 1024),
    ("kernel.threads-max", 512),
    ("vm.max_map_count", 1024),
];
/// How the kernel hands out memory, and the value by which it hands out no more than it is told.
const OVERCOMMIT: (&str, &str) = ("vm.overcommit_memory", "2");
/// What it is told: a share of the memory, or an amount.
const RATIO: (&str, u64) = ("vm.overcommit_ratio", 10);
const AMOUNT: (&str, u64) = ("vm.overcommit_kbytes", 200_000);
/// Whose addresses the card answers for: by this value for none.
const ANSWERS: (&str, &str) = (".arp_ignore", "8");

/// The line by which programs do not start, or nobody reaches the card, or of which nobody can tell.
pub(super) fn fault(view: &dyn View) -> Result<Option<Fault>> {
    let mut set: BTreeMap<String, (String, String)> = BTreeMap::new();
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for line in lines(&text).filter(|line| !line.body.trim_start().starts_with(['#', ';'])) {
            let Some((key, value)) = line.body.split_once('=') else { continue };
            let key = name(key);
            set.insert(key, (format!("{file}:{}", line.number), value.trim().to_owned()));
        }
    }
    let number = |key: &str| set.get(key).and_then(|(_, value)| value.parse::<u64>().ok());
    let fault = |key: &str, why: &str| {
        let (place, value) = set.get(key)?;
        Some(Fault::unsure(place, format!("{why}: {key}={value}")))
    };
    const FEW: &str = "nobody can tell whether programs are started with so few";
    if let Some((key, _)) =
        LEAST.iter().find(|(key, least)| number(key).is_some_and(|number| number < *least))
    {
        return Ok(fault(key, FEW));
    }
    let is_strict = set.get(OVERCOMMIT.0).is_some_and(|(_, value)| value == OVERCOMMIT.1);
    let amount = number(AMOUNT.0).filter(|amount| *amount > 0);
    let little = match amount {
        Some(amount) => (amount < AMOUNT.1).then_some(AMOUNT.0),
        None => number(RATIO.0).filter(|ratio| *ratio < RATIO.1).map(|_| RATIO.0),
    };
    if let Some(key) = little.filter(|_| is_strict) {
        return Ok(fault(key, "nobody can tell whether programs get memory"));
    }
    let is_deaf = |(key, (_, value)): &(&String, &(String, String))| {
        key.starts_with("net.ipv4.conf.") && key.ends_with(ANSWERS.0) && value == ANSWERS.1
    };
    Ok(set.iter().find(is_deaf).and_then(|(key, _)| fault(key, "nobody can tell whether the card is found")))
}

/// A variable as it is named with points.
fn name(key: &str) -> String {
    key.trim().trim_start_matches('-').replace('/', ".")
}

/// Whether a variable is the one that forbids to load modules, and is set.
pub(super) fn is_set(key: &str, value: &str) -> bool {
    let value = value.trim();
    name(key) == "kernel.modules_disabled" && !value.is_empty() && value != "0"
}
