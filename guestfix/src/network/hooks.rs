//! What ifupdown runs before and after it configures a card: options of the stanza, and scripts (interfaces(5)).
//! `ifup` gives up at the first that fails, and what a later one undoes stays undone. Other managers
//! have dispatchers that run scripts as well.

use super::Answer;
use super::commands::{Done, Harm, Outcome, Shell, Sure, of_shell};
use crate::place::Place;
use crate::programs::cannot_start;
use crate::services::is_started;
use crate::{Result, View, packaged};

const BEFORE: &str = "/etc/network/if-pre-up.d";
const AFTER: &str = "/etc/network/if-up.d";

/// Why the card of a stanza with these options has no address in the end.
pub(super) fn fault(
    view: &dyn View,
    card: &str,
    place: &Place,
    options: &[Vec<String>],
) -> Result<Option<Answer>> {
    let shell = Shell { view, card, depth: 0 };
    for words in options {
        let Some((key, command)) = words.split_first() else { continue };
        let is_before = match key.as_str() {
            "pre-up" => true,
            "up" | "post-up" => false,
            _ => continue,
        };
        let out = shell.run(&command.join(" "))?;
        let say = |done: &Done, what: &str| format!("{key} {}: {what}", done.command);
        if let Some(answer) = judged(&out, is_before, place, say) {
            return Ok(Some(answer));
        }
        // The address is there all the same, unless the way back is taken as well.
        if let Some(done) = out.failure().filter(|_| !is_before) {
            return Ok(Some(Answer::unknown(place.clone(), say(done, &failing(done)))));
        }
    }
    for (dir, is_before) in [(BEFORE, true), (AFTER, false)] {
        for path in view.glob(dir, "")? {
            if let Some(answer) = of_script(&shell, &path, is_before)? {
                return Ok(Some(answer));
            }
        }
    }
    Ok(None)
}

/// What runs scripts once a manager has configured a card, and goes on whatever they say.
pub(super) enum Dispatcher {
    /// NetworkManager-dispatcher(8).
    NetworkManager,
    /// networkd-dispatcher(8), where that is started.
    Networkd,
    /// `ifup-local` of initscripts.
    Initscripts,
}

impl Dispatcher {
    fn scripts(&self, view: &dyn View) -> Result<Vec<String>> {
        let dirs: &[&str] = match self {
            Self::NetworkManager => {
                &["/etc/NetworkManager/dispatcher.d/pre-up.d", "/etc/NetworkManager/dispatcher.d"]
            }
            Self::Networkd if is_started(view, "networkd-dispatcher.service")? => {
                &["/etc/networkd-dispatcher/configured.d", "/etc/networkd-dispatcher/routable.d"]
            }
            Self::Networkd => &[],
            Self::Initscripts => return Ok(vec!["/sbin/ifup-local".to_owned()]),
        };
        let mut out = Vec::new();
        for dir in dirs {
            out.extend(view.glob(dir, "")?);
        }
        Ok(out)
    }

    /// Why the card has no address in the end.
    pub(super) fn fault(&self, view: &dyn View, card: &str) -> Result<Option<Answer>> {
        let shell = Shell { view, card, depth: 0 };
        for path in self.scripts(view)? {
            let is_run =
                view.stat(&path)?.is_some_and(|node| node.mode & 0o111 != 0 && node.mode & 0o022 == 0);
            let Some(text) = of_shell(view, &path)?.filter(|_| is_run) else { continue };
            let names = ["${1}", "$1", "$DEVICE_IFACE", "$DEVICE_IP_IFACE"];
            let text = names.iter().fold(text, |text, name| text.replace(name, card));
            let mut out = shell.run(&text.replace("${2}", "up").replace("$2", "up"))?;
            out.exits.clear();
            out.failed = None;
            let Some((_, done)) = out.harms.first() else { continue };
            let place = Place::line(&path, done.line);
            if let Some(answer) =
                judged(&out, false, &place, |done, what| format!("{}: {what}", done.command))
                // No package brings that of initscripts.
                && (matches!(self, Self::Initscripts) || !packaged::is_of_package(view, &path)?)
            {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

fn failing(done: &Done) -> String {
    done.why.clone().unwrap_or_else(|| "the command fails, and ifup gives up at it".into())
}

/// What an outcome means for the card. What comes before it is configured is made good where it passes.
fn judged(
    out: &Outcome,
    is_before: bool,
    place: &Place,
    say: impl Fn(&Done, &str) -> String,
) -> Option<Answer> {
    let answer = |done: &Done, what: &str| match done.sure {
        Sure::Yes => Answer::none(place.clone(), say(done, what)),
        _ => Answer::unknown(place.clone(), say(done, what)),
    };
    if let Some(done) = out.failure().filter(|_| is_before) {
        return Some(answer(done, &failing(done)));
    }
    let harms = out
        .harms
        .iter()
        .filter(|(harm, done)| done.sure != Sure::No && (!is_before || *harm == Harm::Lasting));
    let (_, done) = harms.max_by_key(|(_, done)| done.sure)?;
    Some(answer(done, "it takes the card's address or its routes away"))
}

/// The same of a script that run-parts(8) runs.
fn of_script(shell: &Shell<'_>, path: &str, is_before: bool) -> Result<Option<Answer>> {
    let view = shell.view;
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_run = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        && view.stat(path)?.is_some_and(|node| node.mode & 0o111 != 0);
    if !is_run {
        return Ok(None);
    }
    if let Some(why) = cannot_start(view, path, None)?.filter(|_| is_before) {
        return Ok(Some(Answer::none(path, why)));
    }
    let Some(text) = of_shell(view, path)? else { return Ok(None) };
    let say = |done: &Done, what: &str| match done.command.starts_with("exit") {
        true => format!("it ends by {}, and ifup gives up at it", done.command),
        false => format!("{}: {what}", done.command),
    };
    let out = shell.run(&text)?;
    let place = |done: &Done| Place::line(path, done.line);
    let found = out.failure().filter(|_| is_before).or_else(|| out.harms.first().map(|(_, done)| done));
    let answer = found.map(place).and_then(|place| judged(&out, is_before, &place, say));
    // Scripts of packages know what they do.
    Ok(if answer.is_some() && packaged::is_of_package(view, path)? { None } else { answer })
}
