//! What ifupdown runs before and after it configures a card: options of the stanza, and scripts (interfaces(5)).
//! `ifup` gives up at the first that fails.

use super::Answer;
use crate::place::Place;
use crate::programs::{self, cannot_start};
use crate::{Result, View};

const BEFORE: &str = "/etc/network/if-pre-up.d";
/// Words of the shell itself.
const SHELL: &[&str] = &[
    ":", ".", "[", "case", "cd", "command", "echo", "eval", "exec", "exit", "export", "for", "if", "printf",
    "set", "test", "true", "umask", "ulimit", "unset", "until", "wait", "while",
];

/// Why the card of a stanza with these options gets no address.
pub(super) fn fault(view: &dyn View, place: &Place, options: &[Vec<String>]) -> Result<Option<Answer>> {
    for words in options {
        let Some((key, command)) = words.split_first() else { continue };
        let is_before = match key.as_str() {
            "pre-up" => true,
            "up" | "post-up" => false,
            _ => continue,
        };
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let Some(why) = fails(view, &command)? else { continue };
        let why = format!("{key} {}: {why}", command.join(" "));
        return Ok(Some(match is_before {
            true => Answer::none(place.clone(), why),
            false => Answer::unknown(place.clone(), why),
        }));
    }
    for path in view.glob(BEFORE, "")? {
        let name = path.rsplit('/').next().unwrap_or(&path);
        // run-parts(8)
        let is_run = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
            && view.stat(&path)?.is_some_and(|node| node.mode & 0o111 != 0);
        if !is_run {
            continue;
        }
        if let Some(why) = cannot_start(view, &path, None)? {
            return Ok(Some(Answer::none(path, why)));
        }
        let start = view.start(&path, 2)?.unwrap_or_default();
        if start.starts_with(b"#!") && always_fails(&view.text(&path)?.unwrap_or_default()) {
            return Ok(Some(Answer::none(path, "the script fails, and ifup gives up at it")));
        }
    }
    Ok(None)
}

/// Why a command surely fails.
fn fails(view: &dyn View, command: &[&str]) -> Result<Option<String>> {
    let [first, rest @ ..] = command else { return Ok(None) };
    // What comes behind it may make good, and nobody waits for what runs in the background.
    let text = command.join(" ");
    let is_alone = !text.trim_end_matches(';').contains([';', '|', '&']);
    if !is_alone && *first != "exit" {
        return Ok(None);
    }
    let first = first.trim_end_matches(';');
    if matches!(first, "false" | "/bin/false" | "/usr/bin/false") || first == "exit" && is_failure(rest) {
        return Ok(Some("the command fails, and ifup gives up at it".into()));
    }
    if first.starts_with('/') {
        return cannot_start(view, first, None);
    }
    let is_name = first.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !is_name || SHELL.contains(&first) || programs::find(view, first)?.is_some() {
        return Ok(None);
    }
    let local = view.exists(&format!("/usr/local/sbin/{first}"))?
        || view.exists(&format!("/usr/local/bin/{first}"))?;
    Ok((!local).then(|| format!("{first} is not installed")))
}

/// Whether these are the words behind an `exit` that is a failure.
fn is_failure(words: &[&str]) -> bool {
    words.first().and_then(|word| word.trim_end_matches(';').parse::<u8>().ok()).is_some_and(|code| code != 0)
}

/// Whether a script ends in a failure whatever happens: its first command is one, or the last at its top level.
fn always_fails(text: &str) -> bool {
    let fails = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["exit", rest @ ..] => is_failure(rest),
            ["false" | "/bin/false"] => true,
            _ => false,
        }
    };
    let commands: Vec<&str> =
        text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).collect();
    let Some((last, before)) = commands.split_last() else { return false };
    let may_end = |line: &&str| {
        line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| matches!(word, "exit" | "exec"))
    };
    commands.first().is_some_and(fails) || fails(last) && !before.iter().any(may_end)
}

#[cfg(test)]
mod tests {
    use super::always_fails;

    #[test]
    fn a_script_that_always_fails_is_known() {
        assert!(always_fails("#!/bin/sh\nexit 1\n") && always_fails("#!/bin/sh\necho x\nfalse\n"));
        for fine in [
            "#!/bin/sh\nexit 0\n",
            "#!/bin/sh\n[ -x /x ] || exit 1\necho\n",
            "#!/bin/sh\nif x; then\n  exit 1\nfi\n",
            "#!/bin/sh\ncase $1 in a) exit 0;; esac\nexit 1\n",
        ] {
            assert!(!always_fails(fine), "{fine}");
        }
    }
}
