//! What keeps a needed unit from being started, judged directive by directive over its file and drop-ins:
//! conditions, what it requires, its commands, accounts and sandboxes (systemd.unit(5), systemd.service(5),
//! systemd.exec(5)). What the administrator has written and is not understood is said.

use super::conditions::{self, Verdict};
use super::slices;
use super::understood::is_harmless;
use super::{PREFIXES, Unit, drop_ins, packaged};
use crate::bootwalk::waits;
use crate::text::{fstab, ini};
use crate::{Result, View, programs};

/// As many units as require each other are followed.
const DEPTH: usize = 4;
/// Programs that end at once, and well.
const QUICK: &[&str] = &[
    "chmod",
    "chown",
    "cp",
    "echo",
    "hostname",
    "install",
    "ln",
    "logger",
    "mkdir",
    "modprobe",
    "rm",
    "sshd",
    "ssh-keygen",
    "sysctl",
    "systemd-tmpfiles",
    "touch",
    "true",
];

/// By these ld.so loads other libraries.
const LOADER: &[&str] = &["LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD"];

/// What keeps a unit from being started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file that says so.
    pub(crate) place: String,
    pub(crate) why: String,
    /// Whether that is sure; else nobody can tell.
    pub(crate) is_sure: bool,
}

impl Fault {
    pub(crate) fn sure(place: &str, why: impl Into<String>) -> Self {
        Self { place: place.to_owned(), why: why.into(), is_sure: true }
    }

    pub(crate) fn unsure(place: &str, why: impl Into<String>) -> Self {
        Self { place: place.to_owned(), why: why.into(), is_sure: false }
    }
}

/// One line of a unit or of a drop-in.
pub(crate) struct Directive {
    /// The file it is in.
    pub(crate) file: String,
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) value: String,
    /// Whether the administrator has written it: no package has brought it, nor the unit that it replaces.
    pub(crate) is_own: bool,
}

/// Whether a unit's file is where packages put theirs.
pub(crate) fn is_packaged(path: &str) -> bool {
    path.starts_with("/usr/lib/") || path.starts_with("/lib/")
}

/// The lines of a unit and of its drop-ins, in order, without what an empty value takes back.
pub(crate) fn directives(view: &dyn View, name: &str, path: &str) -> Result<Vec<Directive>> {
    let mut out: Vec<Directive> = Vec::new();
    let replaced = if is_packaged(path) { String::new() } else { packaged(view, name)? };
    let replaced = ini::entries(&replaced);
    let mut files = vec![path.to_owned()];
    files.extend(drop_ins(view, name)?);
    for file in files {
        let text = view.text(&file)?.unwrap_or_default().replace("\\\n", " ");
        for entry in ini::entries(&text) {
            // Of capabilities nothing is left by it.
            if entry.value.is_empty() && entry.key != "CapabilityBoundingSet" {
                // An empty condition takes back all conditions.
                let kind = ["Assert", "Condition"].into_iter().find(|kind| entry.key.starts_with(kind));
                let is_taken_back = |old: &Directive| match kind {
                    Some(kind) => old.key.starts_with(kind),
                    None => old.key == entry.key,
                };
                out.retain(|old| old.section != entry.section || !is_taken_back(old));
                continue;
            }
            let is_same = |old: &ini::Entry<'_>| (old.key, old.value) == (entry.key, entry.value);
            let is_own = !is_packaged(&file) && !replaced.iter().any(is_same);
            let owned = |text: &str| text.to_owned();
            let [section, key, value] = [entry.section, entry.key, entry.value].map(owned);
            out.push(Directive { file: file.clone(), section, key, value, is_own });
        }
    }
    Ok(out)
}

/// The start of units on one machine.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) view: &'a dyn View,
    /// The command line, if that is known.
    pub(crate) arguments: Option<&'a str>,
    /// What the guest is for, if that is known.
    pub(crate) arch: Option<&'a str>,
}

impl Start<'_> {
    /// Why a unit that is there is not started, or starts nothing, or why nobody can tell.
    pub(crate) fn fault(&self, name: &str, path: &str) -> Result<Option<Fault>> {
        self.judge(name, path, 0)
    }

    fn judge(&self, name: &str, path: &str, depth: usize) -> Result<Option<Fault>> {
        let all = directives(self.view, name, path)?;
        for kind in ["Assert", "Condition"] {
            match conditions::judge(self, &all, kind)? {
                Verdict::Holds => {}
                // What is required and whose condition is false counts as started.
                _ if kind == "Condition" && depth > 0 => return Ok(None),
                Verdict::Fails(Directive { file, key, value, .. }) => {
                    let why = format!("{name} is not started: {key}={value} does not hold");
                    return Ok(Some(Fault::sure(file, why)));
                }
                // A distribution's own are for machines of all kinds.
                Verdict::Unknown(line) if !line.is_own => {}
                Verdict::Unknown(Directive { file, key, value, .. }) => {
                    let why = format!("nobody can tell whether {name} is started: {key}={value}");
                    return Ok(Some(Fault::unsure(file, why)));
                }
            }
        }
        let is_dynamic = all.iter().any(|line| line.key == "DynamicUser" && is_yes(&line.value));
        for line in &all {
            let is_account = matches!(line.key.as_str(), "User" | "Group");
            if line.section == "Install" || is_dynamic && is_account {
                continue;
            }
            if let Some(fault) = self.of_line(name, line, depth)? {
                return Ok(Some(fault));
            }
        }
        if name.ends_with(".service")
            && depth == 0
            && !self.view.machine().remote
            && let Some(fault) = slices::fault(self.view, slices::of(&all))?
        {
            return Ok(Some(Fault { why: format!("{name}: {}", fault.why), ..fault }));
        }
        let has_command = all.iter().any(|line| line.section == "Service" && line.key == "ExecStart");
        let is_idle = name.ends_with(".service") && depth == 0 && !has_command;
        Ok(is_idle.then(|| Fault::sure(path, format!("{name} has no ExecStart="))))
    }

    fn of_line(&self, name: &str, line: &Directive, depth: usize) -> Result<Option<Fault>> {
        let Directive { file, key, value, .. } = line;
        let sure = |why: String| Some(Fault::sure(file, why));
        Ok(match key.as_str() {
            "Requires" | "Requisite" | "BindsTo" => {
                for unit in value.split_whitespace() {
                    if let Some(fault) = self.requirement(unit, depth)? {
                        let why = format!("{name} requires {unit}, which {}", fault.why);
                        let place = if fault.place.is_empty() { file.clone() } else { fault.place };
                        return Ok(Some(Fault { place, why, ..fault }));
                    }
                }
                None
            }
            "RequiresMountsFor" => {
                for path in value.split_whitespace().filter(|path| !path.contains('%')) {
                    if let Some(why) = self.lacks_mount(path)? {
                        return Ok(Some(Fault::unsure(
                            file,
                            format!("{name} requires the mount of {path}: {why}"),
                        )));
                    }
                }
                None
            }
            "ExecStart" => self.command(name, line)?,
            "ExecStartPre" | "ExecStartPost" | "ExecCondition" => self.beside(name, line)?,
            "Environment" | "EnvironmentFile" if self.sets_libraries(line)? => {
                let why =
                    format!("nobody can tell whether {name} starts with the libraries of {key}={value}");
                Some(Fault::unsure(file, why))
            }
            "EnvironmentFile" if !value.starts_with('-') && !value.contains(['%', '*']) => {
                let is_made = conditions::is_runtime(value);
                match is_made || self.view.exists(value)? {
                    true => None,
                    false => sure(format!("{name} reads {value}, which is not there")),
                }
            }
            "User" if !self.has(value, "/etc/passwd", 'u')? => {
                sure(format!("{name} is to run as {value}, and there is no such account"))
            }
            "Group" | "SupplementaryGroups" => {
                for group in value.split_whitespace() {
                    if !self.has(group, "/etc/group", 'g')? {
                        return Ok(sure(format!(
                            "{name} is to run in the group {group}, and there is no such group"
                        )));
                    }
                }
                None
            }
            "User" if matches!(value.as_str(), "root" | "0") => None,
            "WorkingDirectory" if value.starts_with(['-', '~']) => None,
            "WorkingDirectory" if !value.contains('%') => match self.view.exists(value)? {
                true => None,
                false => sure(format!("{name} is to run in {value}, which is not there")),
            },
            "PrivateNetwork" if line.is_own && is_yes(value) => {
                sure(format!("{name} is cut off from the network: {key}={value}"))
            }
            "IPAddressDeny" if line.is_own && value.split_whitespace().any(|net| net == "any") => {
                Some(Fault::unsure(file, format!("whom {name} talks to is not understood: {key}={value}")))
            }
            _ if line.is_own && !is_harmless(name, key, value) => Some(Fault::unsure(
                file,
                format!("nobody can tell whether {name} does its work with {key}={value}"),
            )),
            _ => None,
        })
    }

    /// Whether a line, or the file that it names, has programs load other libraries.
    fn sets_libraries(&self, line: &Directive) -> Result<bool> {
        let text = match line.key.as_str() {
            "EnvironmentFile" => {
                let file = line.value.trim_start_matches('-');
                if file.contains(['%', '*']) || conditions::is_runtime(file) || self.view.machine().remote {
                    return Ok(false);
                }
                self.view.text(file)?.unwrap_or_default()
            }
            _ if line.is_own => line.value.clone(),
            _ => return Ok(false),
        };
        Ok(loader_variable(self.view, &text)?.is_some())
    }

    /// Why what a unit requires does not come; the place is empty where the unit itself tells.
    fn requirement(&self, unit: &str, depth: usize) -> Result<Option<Fault>> {
        let view = self.view;
        // what a specifier stands for is not known here
        if unit.contains('%') {
            return Ok(None);
        }
        let sure = |why: &str| Ok(Some(Fault::sure("", why)));
        let kind = unit.rsplit('.').next().unwrap_or_default();
        match (kind, Unit::find(view, unit)?) {
            (_, Unit::Masked(_)) => sure("is masked"),
            ("slice" | "scope", _) => Ok(None),
            ("device", _) => Ok(self.lacks_device(&path_of(unit))),
            (_, Unit::There { name, path }) if depth < DEPTH => {
                let fault = self.judge(&name, &path, depth.saturating_add(1))?;
                Ok(fault.map(|fault| Fault { why: format!("fails: {}", fault.why), ..fault }))
            }
            (_, Unit::There { .. }) => Ok(None),
            ("mount" | "automount" | "swap", _) => {
                let path = path_of(unit);
                let text = view.text("/etc/fstab")?.unwrap_or_default();
                let entries = fstab::entries(&text);
                let is_there =
                    path == "/" || entries.iter().any(|entry| entry.target == path || entry.spec == path);
                match (is_there, self.lacks_mount(&path)?) {
                    (false, _) => sure("is not there"),
                    (true, why) => Ok(why.map(|why| Fault::unsure("/etc/fstab", why))),
                }
            }
            _ => {
                // Generators make a unit of a script of older inits.
                let script = format!("/etc/init.d/{}", unit.strip_suffix(".service").unwrap_or(unit));
                if view.exists(&script)? { Ok(None) } else { sure("is not there") }
            }
        }
    }

    /// Why a device does not come.
    fn lacks_device(&self, path: &str) -> Option<Fault> {
        let is_terminal = path.starts_with("/dev/tty") || path == "/dev/console";
        if is_terminal || path == "/sys/subsystem/net/devices/eth0" {
            return None;
        }
        match waits::device(self.view.machine(), path) {
            Ok(true) => None,
            Ok(false) => Some(Fault::unsure("", "does not surely come on this machine")),
            Err((why, is_sure)) => {
                Some(Fault { place: String::new(), why: format!("does not come: {why}"), is_sure })
            }
        }
    }

    /// Why the mount below which a path is may not come: the start goes on without it.
    fn lacks_mount(&self, path: &str) -> Result<Option<String>> {
        let text = self.view.text("/etc/fstab")?.unwrap_or_default();
        for entry in fstab::entries(&text) {
            let is_below = path == entry.target
                || path.strip_prefix(entry.target.as_str()).is_some_and(|rest| rest.starts_with('/'));
            let is_optional = entry.options.split(',').any(|option| matches!(option, "nofail" | "noauto"));
            if is_below
                && entry.target != "/"
                && is_optional
                && entry.spec.starts_with(['/', 'U', 'L', 'P'])
                && !matches!(waits::device(self.view.machine(), &entry.spec), Ok(true))
            {
                return Ok(Some(format!("{} does not surely come", entry.spec)));
            }
        }
        Ok(None)
    }

    /// Why the main command of a service does nothing.
    fn command(&self, name: &str, line: &Directive) -> Result<Option<Fault>> {
        let program = program(&line.value);
        // what a specifier stands for is not known here
        if program.is_empty() || program.contains(['%', '$']) {
            return Ok(None);
        }
        if line.is_own && matches!(base(program), "false" | "true") {
            let why = format!("{name} is to start {program}, which does nothing");
            return Ok(Some(Fault::sure(&line.file, why)));
        }
        let why = self.cannot_start(program)?;
        Ok(why.map(|why| Fault::sure(&line.file, format!("{name} is to start it, and {why}"))))
    }

    fn cannot_start(&self, program: &str) -> Result<Option<String>> {
        let found = match program.contains('/') {
            true => Some(program.to_owned()),
            false => programs::find(self.view, program)?,
        };
        match found {
            Some(found) => programs::cannot_start(self.view, &found, self.arch),
            None => Ok(Some(format!("{program} is not installed"))),
        }
    }

    /// Why a command before or behind the main one makes the start fail.
    fn beside(&self, name: &str, line: &Directive) -> Result<Option<Fault>> {
        let Directive { file, key, value, .. } = line;
        let is_ignored = value.chars().take_while(|c| PREFIXES.contains(c)).any(|c| c == '-');
        let program = program(value);
        if is_ignored && key != "ExecCondition" || program.is_empty() || program.contains(['%', '$']) {
            return Ok(None);
        }
        let why = match base(program) {
            "false" => Some("that fails".to_owned()),
            _ => self.cannot_start(program)?,
        };
        Ok(match why {
            Some(why) => Some(Fault::sure(file, format!("{name} needs {key}={value}, and {why}"))),
            None if line.is_own && !is_quick(value) => {
                let why = format!("nobody can tell whether {key}={value} lets {name} be started");
                Some(Fault::unsure(file, why))
            }
            None => None,
        })
    }

    /// Whether an account or group is there, or made at boot (sysusers.d(5)).
    fn has(&self, name: &str, file: &str, kind: char) -> Result<bool> {
        let text = self.view.text(file)?.unwrap_or_default();
        if name.contains('%')
            || matches!(name, "root" | "nobody" | "nogroup")
            || name.bytes().all(|byte| byte.is_ascii_digit())
            || text.lines().any(|line| line.split(':').next() == Some(name))
        {
            return Ok(true);
        }
        for dir in ["/etc/sysusers.d", "/usr/lib/sysusers.d"] {
            for path in self.view.glob(dir, ".conf")? {
                let text = self.view.text(&path)?.unwrap_or_default();
                let makes = |line: &str| {
                    let mut words = line.split_whitespace();
                    let is_made = words.next().is_some_and(|word| word.starts_with(['u', kind]));
                    is_made && words.next() == Some(name)
                };
                if text.lines().any(makes) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// The variable by which ld.so loads other libraries than it would (ld.so(8)), where these are there; else it
/// goes on without.
pub(crate) fn loader_variable(view: &dyn View, text: &str) -> Result<Option<&'static str>> {
    for word in
        text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace)
    {
        let Some((name, value)) = word.trim_matches(['"', '\'']).split_once('=') else { continue };
        let Some(name) = LOADER.iter().find(|known| **known == name) else { continue };
        for path in value.trim_matches(['"', '\'']).split(':').filter(|path| path.starts_with('/')) {
            if view.exists(path)? {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// Whether a command is known to come to its end, and well.
pub(crate) fn is_quick(command: &str) -> bool {
    let mut words = command.trim_start_matches(PREFIXES).split_whitespace();
    let program = base(words.next().unwrap_or_default());
    let is_short = |time: &str| time.trim_end_matches('s').parse::<u32>().is_ok_and(|seconds| seconds <= 60);
    QUICK.contains(&program) || program == "sleep" && words.next().is_some_and(is_short)
}

/// The program of a command.
pub(crate) fn program(command: &str) -> &str {
    let word = command.trim_start_matches(PREFIXES).split_whitespace().next().unwrap_or_default();
    word.trim_matches(['"', '\''])
}

/// Its name without folders.
pub(crate) fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

pub(crate) fn is_yes(value: &str) -> bool {
    matches!(value, "1" | "yes" | "y" | "true" | "t" | "on")
}

/// The path that the name of a unit of a device or mount stands for (systemd.unit(5), "String escaping").
fn path_of(unit: &str) -> String {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    if stem == "-" {
        return "/".into();
    }
    format!("/{}", stem.replace('-', "/").replace("\\x2d", "-"))
}
