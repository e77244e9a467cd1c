//! What the machine runs by itself, of what the administrator has written: at the start, when a card comes up, and
//! by the clock. Each is a text for a shell; what it does is for those to tell who ask.

mod cron;
mod udev;

use crate::network::{ENTER, EXIT};
use crate::script::Script;
use crate::services::RC_LOCAL;
use crate::systemd::conditions::{self, Verdict};
use crate::systemd::needs::{Start, directives};
use crate::systemd::started;
use crate::text::lines;
use crate::{Result, View};

/// What SLES runs where others have rc.local.
const BOOT_LOCAL: &str = "/etc/init.d/boot.local";
/// Scripts that managers of the network run.
const FOLDERS: &[&str] =
    &["/etc/network/if-pre-up.d", "/etc/network/if-up.d", "/etc/NetworkManager/dispatcher.d/pre-up.d"];
/// The same, not looked at in a snapshot.
const MORE_FOLDERS: &[&str] = &[
    "/etc/NetworkManager/dispatcher.d",
    "/etc/networkd-dispatcher/configured.d",
    "/etc/networkd-dispatcher/routable.d",
];
const IFUP_LOCAL: &str = "/sbin/ifup-local";
/// Options of these run commands (interfaces(5)).
const INTERFACES: &str = "/etc/network/interfaces";
const MORE_INTERFACES: &str = "/etc/network/interfaces.d";

/// When something is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Start,
    /// A card comes up.
    Card,
    /// At times.
    Clock {
        /// Several times an hour.
        is_often: bool,
    },
}

/// Something that is run.
pub(crate) struct Run {
    /// The file that says so.
    pub(crate) file: String,
    /// The line in it, where it is one line.
    line: Option<usize>,
    /// Whether the text is the file's.
    is_file: bool,
    pub(crate) when: When,
    /// What a shell is given.
    pub(crate) text: String,
    /// The scripts that it runs.
    pub(crate) inner: Vec<Script>,
}

impl Run {
    /// The text of a file.
    fn file(path: &str, when: When, text: String) -> Self {
        Self { file: path.to_owned(), line: None, is_file: true, when, text, inner: Vec::new() }
    }

    /// A text that a file has, in one line or in several.
    fn said(path: &str, line: Option<usize>, when: When, text: String) -> Self {
        Self { file: path.to_owned(), line, is_file: false, when, text, inner: Vec::new() }
    }

    /// With the scripts that it runs.
    fn whole(mut self, view: &dyn View) -> Result<Self> {
        self.inner = Script::of_text(&self.text).inner(view)?;
        Ok(self)
    }

    /// The place of a line of the text.
    pub(crate) fn place(&self, number: usize) -> String {
        match self.line.or(self.is_file.then_some(number)) {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }

    /// Whether it is the script at the end of the start.
    pub(crate) fn is_local(&self) -> bool {
        RC_LOCAL.contains(&self.file.as_str()) || self.file == BOOT_LOCAL
    }
}

/// All of it. A snapshot's blocks are paid for: less of it is looked at.
pub(crate) fn all(view: &dyn View) -> Result<Vec<Run>> {
    let mut out = Vec::new();
    for script in RC_LOCAL.into_iter().chain([BOOT_LOCAL]) {
        out.extend(of_file(view, script, When::Start)?);
    }
    match view.machine().remote {
        true => out.extend(of_cards(view)?),
        false => {
            out.extend(units(view)?);
            out = out.into_iter().map(|run| run.whole(view)).collect::<Result<_>>()?;
            out.extend(beside_units(view)?);
        }
    }
    Ok(out)
}

/// What neither a unit nor the script at the end of the start runs: hooks of cards, udev, cron.
pub(crate) fn beside_units(view: &dyn View) -> Result<Vec<Run>> {
    let mut out = of_cards(view)?;
    for folder in MORE_FOLDERS {
        for script in view.glob(folder, "")? {
            out.extend(of_file(view, &script, When::Card)?);
        }
    }
    out.extend(of_file(view, IFUP_LOCAL, When::Card)?);
    // These are sourced: their modes do not count.
    for hook in ENTER.into_iter().chain(EXIT) {
        let mut files = view.glob(&format!("{hook}.d"), "")?;
        files.push(hook.to_owned());
        for file in files {
            if let Some(text) = view.text(&file)? {
                out.push(Run::file(&file, When::Card, text));
            }
        }
    }
    out.extend(udev::runs(view)?);
    out.extend(cron::runs(view)?);
    out.into_iter().map(|run| run.whole(view)).collect()
}

/// A script, where it is executable.
fn of_file(view: &dyn View, path: &str, when: When) -> Result<Option<Run>> {
    if view.stat(path)?.is_none_or(|node| node.mode & 0o111 == 0) {
        return Ok(None);
    }
    let text = view.text(path)?.unwrap_or_default();
    Ok(Some(Run::file(path, when, text)))
}

/// The hooks of ifupdown and of NetworkManager, and the options of stanzas.
fn of_cards(view: &dyn View) -> Result<Vec<Run>> {
    let mut out = Vec::new();
    for folder in FOLDERS {
        for script in view.glob(folder, "")? {
            out.extend(of_file(view, &script, When::Card)?);
        }
    }
    let mut configured = vec![INTERFACES.to_owned()];
    configured.extend(view.glob(MORE_INTERFACES, "")?);
    for file in configured {
        let text = view.text(&file)?.unwrap_or_default().replace("\\\n", " ");
        let commands = lines(&text).filter_map(|line| {
            let (key, command) = line.body.trim_start().split_once(char::is_whitespace)?;
            matches!(key, "pre-up" | "up" | "post-up").then(|| format!("{}\n", command.trim()))
        });
        let text: String = commands.collect();
        if !text.is_empty() {
            out.push(Run::said(&file, None, When::Card, text));
        }
    }
    Ok(out)
}

/// The commands of units of the administrator's that are started, soon or by a timer.
fn units(view: &dyn View) -> Result<Vec<Run>> {
    let start = Start { view, arguments: None, arch: None };
    let mut out = Vec::new();
    for unit in started::all(view, "")? {
        let Some(file) = unit.own else { continue };
        let all = directives(view, &unit.pulled.name, &file)?;
        if matches!(conditions::judge(&start, &all, "Condition")?, Verdict::Fails(_)) {
            continue;
        }
        let mut text = String::new();
        for line in all.iter().filter(|line| line.is_own && line.key.starts_with("ExecStart")) {
            text.push_str(Script::of(view, &line.value)?.text());
            text.push('\n');
        }
        let when = if unit.is_late { When::Clock { is_often: false } } else { When::Start };
        if !text.is_empty() {
            out.push(Run::said(&file, None, when, text));
        }
    }
    Ok(out)
}
