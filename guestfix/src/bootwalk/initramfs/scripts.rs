//! What an image of initramfs-tools is configured to do, and the scripts that it runs in turn.

use initramfs::Archive;

use super::loading::Loading;
use super::texts;
use crate::Result;
use crate::text::{cmdline, lines};

/// Words of a shell by which the machine ends.
const ENDS: &[&str] = &["halt", "poweroff", "reboot", "shutdown"];
/// What a shell has before a command.
const BEFORE: &[&str] = &["!", "busybox", "do", "else", "exec", "if", "then"];
/// Variables by which it finds and mounts the root, beside what the command line says.
const OF_ROOT: &[&str] = &["ROOTFLAGS", "ROOTFSTYPE"];

/// Why it does not come to the root, or why nobody can tell.
pub(super) fn fault(archive: &Archive<'_>, arguments: &str) -> Result<Option<Loading>> {
    let mut boot = "local".to_owned();
    let is_setting = |path: &str| path == "conf/initramfs.conf" || path.starts_with("conf/conf.d/");
    let mut settings = texts(archive, is_setting)?;
    // that of the package comes first
    settings.sort_by_key(|(path, _)| path != "conf/initramfs.conf");
    for (path, text) in settings {
        for line in lines(&text).map(|line| line.body.trim()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let assignment = line.strip_prefix("export ").unwrap_or(line).split_once('=');
            let is_plain = |value: &str| !value.contains([';', '&', '|', '`']) && !value.contains("$(");
            match assignment.map(|(name, value)| (name, value.trim_matches(['"', '\'']))) {
                Some(("BOOT", value)) => boot = value.to_owned(),
                Some((name, value)) if is_variable(name) && is_plain(value) => {}
                _ => {
                    return Ok(Some(Loading::NotKnown(format!("what its {path} does is not known: {line}"))));
                }
            }
        }
    }
    if let Some(asked) = cmdline::values(arguments, "boot").pop() {
        boot = asked.to_owned();
    }
    match boot.as_str() {
        "" | "local" => {}
        "nfs" => return Ok(Some(Loading::Never("BOOT=nfs: its root is on a server".into()))),
        other => return Ok(Some(Loading::NotKnown(format!("what it does with BOOT={other} is not known")))),
    }
    for (path, text) in texts(archive, is_order)? {
        for line in lines(&text).map(|line| line.body.trim()) {
            if line.is_empty() || line.starts_with('#') || line.ends_with(". /conf/param.conf") {
                continue;
            }
            let script = line.strip_suffix("\"$@\"").map(|line| line.trim().trim_start_matches('/'));
            let Some(script) = script.filter(|script| !script.contains(' ')) else {
                return Ok(Some(Loading::NotKnown(format!("what its {path} does is not known: {line}"))));
            };
            let Some((_, text)) = texts(archive, |path| path == script)?.pop() else {
                return Ok(Some(Loading::NotKnown(format!("its {path} runs {script}, which is not in it"))));
            };
            if let Some(line) = lines(&text).map(|line| line.body).find(|line| ends(line)) {
                let why = format!("its {script} may end the machine: {}", line.trim());
                return Ok(Some(Loading::NotKnown(why)));
            }
        }
    }
    Ok(None)
}

/// Variables in capitals are for the framework's own; the others steer it.
fn is_variable(name: &str) -> bool {
    let is_name =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    is_name && !OF_ROOT.contains(&name)
}

/// Whether this lists the scripts of a step that a start from a disk comes to.
fn is_order(path: &str) -> bool {
    let step = path.strip_prefix("scripts/").and_then(|path| path.strip_suffix("/ORDER"));
    step.is_some_and(|step| step.starts_with("init-") || step.starts_with("local-"))
}

/// Whether a line of a script ends the machine.
fn ends(line: &str) -> bool {
    if line.trim_start().starts_with('#') {
        return false;
    }
    line.split([';', '&', '|', '(', ')', '{']).any(|command| {
        let command = command.split_whitespace().find(|word| !BEFORE.contains(word)).unwrap_or_default();
        ENDS.contains(&command.rsplit('/').next().unwrap_or(command))
    })
}
