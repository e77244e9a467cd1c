//! Units of systemd (systemd.unit(5)): where one is, whether it is masked, its drop-ins, and what starts it.

pub(crate) mod conditions;
pub(crate) mod needs;
pub(crate) mod slices;
pub(crate) mod started;
pub(crate) mod understood;

use std::collections::BTreeMap;

use libdisk::vfs::FileType;

use crate::text::ini;
use crate::{Result, View};

/// Where units are on disk: of several files of one name, that in the first of these counts.
const DIRS: [&str; 6] = [
    "/etc/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Where the administrator's are.
pub(crate) const OWN: &str = "/etc/systemd/system";
/// Folders of links to what starts along with a unit: "multi-user.target.wants".
const PULLS: [&str; 3] = [".wants", ".requires", ".upholds"];
/// Targets that end the system.
pub(crate) const ENDS: &[&str] = &[
    "exit.target",
    "halt.target",
    "kexec.target",
    "poweroff.target",
    "reboot.target",
    "runlevel0.target",
    "runlevel6.target",
    "shutdown.target",
];
/// Targets that leave it without logins.
pub(crate) const ALONE: &[&str] = &["emergency.target", "rescue.target", "runlevel1.target"];
/// Other units that an ordinary start does not come to: what these pull in is not started.
const APART: &[&str] =
    &["factory-reset.target", "hibernate.target", "sleep.target", "suspend.target", "system-update.target"];

/// Whether a unit ends the system, or leaves it without logins.
pub(crate) fn is_end(unit: &str) -> bool {
    ENDS.contains(&unit) || ALONE.contains(&unit)
}

/// What may stand before a program (systemd.service(5), "Command lines").
const PREFIXES: &[char] = &['@', '-', ':', '+', '!', '|'];
/// As many aliases of aliases as are followed.
const ALIASES: usize = 8;

/// A unit as it is found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unit {
    /// It is there under this name, which an alias may have led to, in this file.
    There {
        /// The name without aliases.
        name: String,
        /// Its file; that of the template for an instance of one.
        path: String,
    },
    /// This link to /dev/null, or empty file, keeps it from being started.
    Masked(String),
    /// It is not there.
    Missing {
        /// The name without the aliases that there are.
        name: String,
        /// The last of those.
        link: Option<String>,
    },
}

impl Unit {
    /// Looks for a unit by its name; for an instance, like `getty@tty1.service`, then for its template.
    pub(crate) fn find(view: &dyn View, name: &str) -> Result<Self> {
        let mut name = name.to_owned();
        let mut last = None;
        for _ in 0..ALIASES {
            let Some(path) = first(view, &name)? else {
                return Ok(Self::Missing { name, link: last });
            };
            let Some(target) = view.read_link(&path)? else { return Self::at(view, name, path) };
            if is_null(&target) {
                return Ok(Self::Masked(path));
            }
            // A link is an alias, by the name of what it leads to; or the unit itself, where it leads to a
            // file of its own name or to its template, or out of the folders.
            let alias = target.rsplit('/').next().unwrap_or(&target).to_owned();
            if alias == name || template(&name).as_ref() == Some(&alias) {
                return Self::at(view, name, path);
            }
            if first(view, &alias)?.is_none() && view.exists(&path)? {
                return Self::at(view, alias, path);
            }
            last = Some(path);
            name = alias;
        }
        Ok(Self::Missing { name, link: last })
    }

    /// What is at this path, links followed.
    fn at(view: &dyn View, name: String, path: String) -> Result<Self> {
        Ok(match view.stat(&path)? {
            Some(node) if node.file_type == FileType::Regular && node.size == 0 => Self::Masked(path),
            Some(node) if node.file_type == FileType::Regular => Self::There { name, path },
            _ => Self::Missing { name, link: Some(path) },
        })
    }

    /// What is wrong with it, if anything is, and where.
    pub(crate) fn fault(&self, name: &str) -> Option<(String, String)> {
        match self {
            Self::There { .. } => None,
            Self::Masked(path) => Some((path.clone(), format!("{name} is masked"))),
            Self::Missing { name, link: Some(link) } => {
                Some((link.clone(), format!("it leads to a {name} that is not there")))
            }
            Self::Missing { name, link: None } => {
                Some((format!("/usr/lib/systemd/system/{name}"), format!("{name} is not there")))
            }
        }
    }
}

/// Whether something keeps the unit from ever being started.
pub(crate) fn is_masked(view: &dyn View, name: &str) -> Result<bool> {
    Ok(matches!(Unit::find(view, name)?, Unit::Masked(_)))
}

/// The text of a unit that is at this path, and behind it those of its drop-ins: of two values the later one
/// counts.
pub(crate) fn text(view: &dyn View, name: &str, path: &str) -> Result<String> {
    let mut text = view.text(path)?.unwrap_or_default();
    for file in drop_ins(view, name)? {
        text.push('\n');
        text.push_str(&view.text(&file)?.unwrap_or_default());
    }
    Ok(text)
}

/// The commands by which a service starts, a word each, in the order of `ExecStart=` in its file and its
/// drop-ins; an empty value forgets those before it.
pub(crate) fn commands(view: &dyn View, name: &str, path: &str) -> Result<Vec<Vec<String>>> {
    let text = text(view, name, path)?;
    let mut commands = Vec::new();
    for value in ini::values(&text, "Service", "ExecStart") {
        let words = value.trim_start_matches(PREFIXES).split_whitespace();
        let words: Vec<String> = words.map(|word| word.trim_matches(['"', '\'']).to_owned()).collect();
        match words.is_empty() {
            true => commands.clear(),
            false => commands.push(words),
        }
    }
    Ok(commands)
}

/// The drop-ins of a unit that are in force, in the order in which they are read: that of their names. Of two
/// of one name, that of the unit itself counts more than one of all units of its kind, and that in the first
/// of the folders more than others.
pub(crate) fn drop_ins(view: &dyn View, unit: &str) -> Result<Vec<String>> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for name in drop_in_names(unit) {
        for dir in dirs(view)? {
            let folder = format!("{dir}/{name}.d");
            for file in view.list(&folder)?.into_iter().filter(|file| file.ends_with(".conf")) {
                let path = format!("{folder}/{file}");
                if found.contains_key(&file) {
                    continue;
                }
                let masked = view.read_link(&path)?.is_some_and(|target| is_null(&target));
                found.insert(file, (!masked).then_some(path));
            }
        }
    }
    Ok(found.into_values().flatten().collect())
}

/// "a-b@c.service", its template "a-b@.service", "a-.service" and "service": for whom the folders of drop-ins
/// of a unit are named.
fn drop_in_names(unit: &str) -> Vec<String> {
    let mut out = vec![unit.to_owned()];
    out.extend(template(unit));
    if let Some((stem, kind)) = unit.rsplit_once('.') {
        let prefix = stem.split('@').next().unwrap_or(stem);
        let dashes = prefix.rmatch_indices('-').map(|(at, _)| &prefix[..=at]).filter(|part| *part != prefix);
        out.extend(dashes.map(|part| format!("{part}.{kind}")));
        out.push(kind.to_owned());
    }
    out
}

/// The links by which other units start this one at an ordinary start. A link to /dev/null takes that of the
/// same name in later folders away.
pub(crate) fn starters(view: &dyn View, unit: &str) -> Result<Vec<String>> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (folder, name) in pulling(view, &PULLS)? {
        let link = format!("{folder}/{unit}");
        if found.contains_key(&name) || view.lstat(&link)?.is_none() {
            continue;
        }
        let masked = view.read_link(&link)?.is_some_and(|target| is_null(&target));
        found.insert(name, (!masked).then_some(link));
    }
    Ok(found.into_values().flatten().collect())
}

/// The units whose names end in `suffix` that others cannot do without.
pub(crate) fn required(view: &dyn View, suffix: &str) -> Result<Vec<String>> {
    named(view, &[".requires"], suffix)
}

/// The units whose names end in `suffix` that others start.
pub(crate) fn pulled(view: &dyn View, suffix: &str) -> Result<Vec<String>> {
    named(view, &PULLS, suffix)
}

fn named(view: &dyn View, pulls: &[&str], suffix: &str) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for (folder, _) in pulling(view, pulls)? {
        out.extend(view.list(&folder)?.into_iter().filter(|name| name.ends_with(suffix)));
    }
    out.sort();
    out.dedup();
    Ok(out)
}

/// A unit that an ordinary start comes to by links.
pub(crate) struct Pulled {
    pub(crate) name: String,
    /// The units that pull it in: "multi-user.target".
    pub(crate) by: Vec<String>,
    /// Whether one of them cannot do without.
    pub(crate) is_required: bool,
}

impl Pulled {
    /// One that another only wants.
    pub(crate) fn by(name: &str, by: &str) -> Self {
        Self { name: name.to_owned(), by: vec![by.to_owned()], is_required: false }
    }
}

/// All of these.
pub(crate) fn started_by_links(view: &dyn View) -> Result<Vec<Pulled>> {
    let mut found: BTreeMap<String, Pulled> = BTreeMap::new();
    for (folder, by) in pulling(view, &PULLS)? {
        let (by, is_required) = match by.rsplit_once('.') {
            Some((by, kind)) => (by, kind == "requires"),
            None => continue,
        };
        for name in view.list(&folder)? {
            if view.read_link(&format!("{folder}/{name}"))?.is_some_and(|target| is_null(&target)) {
                continue;
            }
            let new = || Pulled { name: name.clone(), by: Vec::new(), is_required: false };
            let one = found.entry(name.clone()).or_insert_with(new);
            one.by.push(by.to_owned());
            one.is_required |= is_required;
        }
    }
    Ok(found.into_values().collect())
}

/// The folders with these suffixes of units that an ordinary start comes to: path and name.
fn pulling(view: &dyn View, suffixes: &[&str]) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for dir in dirs(view)? {
        for name in view.list(dir)? {
            let Some(by) = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)) else { continue };
            let is_apart = [ENDS, ALONE, APART].iter().any(|units| units.contains(&by));
            if !is_apart && !by.starts_with("initrd") {
                out.push((format!("{dir}/{name}"), name.clone()));
            }
        }
    }
    Ok(out)
}

/// The text of the unit of this name, or of its template, that a package has brought.
fn packaged(view: &dyn View, name: &str) -> Result<String> {
    for name in [Some(name.to_owned()), template(name)].into_iter().flatten() {
        for dir in ["/usr/lib/systemd/system", "/lib/systemd/system"] {
            if let Some(text) = view.text(&format!("{dir}/{name}"))? {
                return Ok(text);
            }
        }
    }
    Ok(String::new())
}

/// The first directory that has the unit, or its template.
fn first(view: &dyn View, name: &str) -> Result<Option<String>> {
    for name in [Some(name.to_owned()), template(name)].into_iter().flatten() {
        for dir in DIRS {
            let path = format!("{dir}/{name}");
            if view.lstat(&path)?.is_some() {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// "getty@.service" for "getty@tty1.service"; `None` for what is no instance.
fn template(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once('@')?;
    let (instance, kind) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{stem}@.{kind}"))
}

/// The folders that are there, each once: /lib is a link to /usr/lib on most guests.
fn dirs(view: &dyn View) -> Result<Vec<&'static str>> {
    let (mut known, mut out) = (Vec::new(), Vec::new());
    for dir in DIRS {
        if let Some(found) = view.resolve(dir)?
            && !known.contains(&found)
        {
            known.push(found);
            out.push(dir);
        }
    }
    Ok(out)
}

/// Whether this is where a link leads that masks something.
fn is_null(target: &str) -> bool {
    target == "/dev/null" || target.starts_with("../") && target.ends_with("/../dev/null")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    fn find(bench: &Bench, name: &str) -> String {
        match bench.guest(|guest| Unit::find(guest.view, name).unwrap()) {
            Unit::There { name, path } => format!("{name} in {path}"),
            Unit::Masked(path) => format!("masked by {path}"),
            Unit::Missing { name, link } => format!("no {name}, {}", link.unwrap_or_default()),
        }
    }

    fn path(dir: usize, rest: &str) -> String {
        format!("{}/{rest}", DIRS[dir])
    }

    #[test]
    fn the_first_of_all_folders_counts() {
        let mut bench = Bench::debian();
        for dir in (0..DIRS.len()).rev() {
            bench = bench.file(&path(dir, "x.service"), "[Unit]\n");
            assert_eq!(find(&bench, "x.service"), format!("x.service in {}", path(dir, "x.service")));
        }
        assert_eq!(find(&bench, "y.service"), "no y.service, ");
    }

    #[test]
    fn a_mask_is_a_link_to_null_or_an_empty_file_before_the_unit() {
        let unit = || Bench::debian().file(&path(4, "x.service"), "[Unit]\n");
        for dir in 0..4 {
            let own = path(dir, "x.service");
            let masked = format!("masked by {own}");
            assert_eq!(find(&unit().link(&own, "/dev/null"), "x.service"), masked);
            assert_eq!(find(&unit().link(&own, "../../../dev/null"), "x.service"), masked);
            assert_eq!(find(&unit().file(&own, ""), "x.service"), masked);
        }
        let behind = unit().link(&path(5, "x.service"), "/dev/null");
        assert!(
            find(&behind, "x.service").starts_with("x.service in"),
            "one in a later folder masks nothing"
        );
    }

    #[test]
    fn an_alias_leads_to_its_unit_and_to_the_mask_of_it() {
        let bench = Bench::debian().file(&path(4, "ssh.service"), "[Unit]\n");
        let alias = bench.clone().link(&path(1, "sshd.service"), "/lib/systemd/system/ssh.service");
        assert_eq!(find(&alias, "sshd.service"), format!("ssh.service in {}", path(4, "ssh.service")));
        let masked = alias.link(&path(1, "ssh.service"), "/dev/null");
        assert_eq!(find(&masked, "sshd.service"), format!("masked by {}", path(1, "ssh.service")));
        let broken = bench.link(&path(1, "a.service"), "b.service");
        assert_eq!(find(&broken, "a.service"), format!("no b.service, {}", path(1, "a.service")));
        let looped =
            Bench::debian().link(&path(1, "a.service"), "b.service").link(&path(1, "b.service"), "a.service");
        assert!(find(&looped, "a.service").starts_with("no "));
        let linked = Bench::debian()
            .file("/opt/own.service", "[Unit]\n")
            .link(&path(1, "own.service"), "/opt/own.service");
        assert_eq!(find(&linked, "own.service"), format!("own.service in {}", path(1, "own.service")));
    }

    #[test]
    fn an_instance_is_of_its_template_unless_it_has_a_file() {
        let bench = Bench::debian().file(&path(4, "getty@.service"), "[Unit]\n");
        let of_template = format!("getty@tty1.service in {}", path(4, "getty@.service"));
        assert_eq!(find(&bench, "getty@tty1.service"), of_template);
        let own = path(1, "getty@tty1.service");
        let linked = bench.clone().link(&own, &path(4, "getty@.service"));
        assert_eq!(find(&linked, "getty@tty1.service"), format!("getty@tty1.service in {own}"));
        let masked = bench.clone().link(&own, "/dev/null");
        assert_eq!(find(&masked, "getty@tty1.service"), format!("masked by {own}"));
        assert_eq!(find(&masked, "getty@tty2.service"), of_template.replace("tty1", "tty2"));
        let all = bench.link(&path(1, "getty@.service"), "/dev/null");
        assert_eq!(find(&all, "getty@tty2.service"), format!("masked by {}", path(1, "getty@.service")));
    }

    #[test]
    fn what_starts_a_unit_is_of_an_ordinary_start() {
        let starters = |bench: &Bench| bench.guest(|guest| starters(guest.view, "x.service").unwrap());
        for dir in 0..DIRS.len() {
            for pull in PULLS {
                let link = path(dir, &format!("multi-user.target{pull}/x.service"));
                assert_eq!(starters(&Bench::without_network().link(&link, "../x.service")), [link]);
            }
            let apart = ["rescue.target.wants", "initrd-switch-root.target.requires", "reboot.target.wants"];
            for folder in apart {
                let link = path(dir, &format!("{folder}/x.service"));
                assert_eq!(starters(&Bench::without_network().link(&link, "../x.service")), [""; 0]);
            }
        }
        let packaged =
            Bench::without_network().link(&path(4, "sysinit.target.wants/x.service"), "../x.service");
        let masked = packaged.link(&path(1, "sysinit.target.wants/x.service"), "/dev/null");
        assert_eq!(starters(&masked), [""; 0]);
        let merged = Bench::without_network()
            .link("/usr/lib/systemd", "/lib/systemd")
            .link(&path(5, "sysinit.target.wants/x.service"), "../x.service");
        assert_eq!(starters(&merged).len(), 1, "both names of one folder");
    }

    #[test]
    fn drop_ins_are_read_by_their_names_and_hide_each_other() {
        let bench = Bench::debian()
            .file(&path(4, "a-b@.service"), "[Unit]\nDescription=unit\n")
            .file(&path(4, "service.d/10-all.conf"), "[Unit]\nDescription=all\n")
            .file(&path(4, "a-.service.d/20-prefix.conf"), "[Unit]\nDescription=prefix\n")
            .file(&path(4, "a-b@.service.d/30-template.conf"), "[Unit]\nDescription=packaged\n")
            .file(&path(1, "a-b@.service.d/30-template.conf"), "[Unit]\nDescription=own\n")
            .file(&path(4, "a-b@c.service.d/40-instance.conf"), "[Unit]\nDescription=instance\n")
            .link(&path(1, "a-b@c.service.d/10-all.conf"), "/dev/null")
            .file(&path(1, "a-b@c.service.d/notes"), "x");
        let found = bench.guest(|guest| drop_ins(guest.view, "a-b@c.service").unwrap());
        let expected = [
            path(4, "a-.service.d/20-prefix.conf"),
            path(1, "a-b@.service.d/30-template.conf"),
            path(4, "a-b@c.service.d/40-instance.conf"),
        ];
        assert_eq!(found, expected);
        let text = bench.guest(|guest| text(guest.view, "a-b@c.service", &path(4, "a-b@.service")).unwrap());
        let values = crate::text::ini::values(&text, "Unit", "Description");
        assert_eq!(values, ["unit", "prefix", "own", "instance"]);
        let other = bench.guest(|guest| drop_ins(guest.view, "z.service").unwrap());
        assert_eq!(other, [path(4, "service.d/10-all.conf")]);
    }
}
