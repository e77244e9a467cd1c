//! Conditions and assertions of units (systemd.unit(5)) on the machine that Azure starts.

use libdisk::vfs::FileType;

use super::needs::{Directive, Start, is_yes};
use crate::text::cmdline;
use crate::{Result, glob};

/// Folders that are filled while the system runs.
const RUNTIME: &[&str] = &["/run", "/var/run", "/proc", "/sys", "/dev", "/tmp"];
/// What is in them on every machine of Azure.
const ALWAYS: &[&str] = &[
    "/dev",
    "/dev/console",
    "/dev/null",
    "/dev/tty0",
    "/dev/tty1",
    "/dev/ttyS0",
    "/proc",
    "/proc/sys",
    "/run",
    "/sys",
    "/sys/fs/cgroup",
    "/tmp",
];

/// Whether the conditions of a unit hold.
pub(crate) enum Verdict<'a> {
    /// They do.
    Holds,
    /// This line does not.
    Fails(&'a Directive),
    /// Nobody can tell of this line.
    Unknown(&'a Directive),
}

/// Judges all lines of a kind, "Condition" or "Assert"; of those with `|` one that holds is enough.
pub(crate) fn judge<'a>(start: &Start<'_>, all: &'a [Directive], kind: &str) -> Result<Verdict<'a>> {
    let (mut unknown, mut triggers) = (None, Vec::new());
    for line in all.iter().filter(|line| line.section == "Unit") {
        let Some(test) = line.key.strip_prefix(kind) else { continue };
        let value = line.value.as_str();
        let (is_trigger, rest) = value.strip_prefix('|').map_or((false, value), |rest| (true, rest));
        let rest = rest.trim_start();
        let (negated, argument) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest));
        let holds = holds(start, test, argument.trim())?.map(|holds| holds != negated);
        match (is_trigger, holds) {
            (true, _) => triggers.push((holds, line)),
            (false, Some(false)) => return Ok(Verdict::Fails(line)),
            (false, None) => unknown = unknown.or(Some(line)),
            (false, Some(true)) => {}
        }
    }
    if triggers.iter().all(|(holds, _)| *holds != Some(true)) {
        let doubtful = triggers.iter().find(|(holds, _)| holds.is_none());
        match (doubtful, triggers.first()) {
            (Some((_, line)), _) => unknown = unknown.or(Some(line)),
            (None, Some((_, line))) => return Ok(Verdict::Fails(line)),
            (None, None) => {}
        }
    }
    Ok(unknown.map_or(Verdict::Holds, Verdict::Unknown))
}

/// Whether a path is in a folder that is filled while the system runs.
pub(super) fn is_runtime(path: &str) -> bool {
    let is_below =
        |dir: &str| path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
    RUNTIME.iter().any(|dir| is_below(dir))
}

fn holds(start: &Start<'_>, test: &str, argument: &str) -> Result<Option<bool>> {
    let Start { view, arguments, arch } = *start;
    if argument.contains('%') {
        return Ok(None);
    }
    if argument.starts_with('/') && is_runtime(argument) {
        return Ok((ALWAYS.contains(&argument) && test != "PathIsSymbolicLink").then_some(true));
    }
    let node = match argument.starts_with('/') {
        true => view.stat(argument)?,
        false => None,
    };
    Ok(match test {
        "PathExists" => Some(node.is_some()),
        "PathExistsGlob" => {
            let (dir, name) = argument.rsplit_once('/').unwrap_or(("", argument));
            match dir.contains(['*', '?', '[']) {
                true => None,
                false => Some(view.list(dir)?.iter().any(|found| glob::matches(name, found))),
            }
        }
        "PathIsDirectory" => Some(node.is_some_and(|node| node.file_type == FileType::Directory)),
        "PathIsSymbolicLink" => Some(view.read_link(argument)?.is_some()),
        "DirectoryNotEmpty" => Some(!view.list(argument)?.is_empty()),
        "FileNotEmpty" => Some(node.is_some_and(|node| node.file_type == FileType::Regular && node.size > 0)),
        "FileIsExecutable" => {
            Some(node.is_some_and(|node| node.file_type == FileType::Regular && node.mode & 0o111 != 0))
        }
        "PathIsReadWrite" => node.is_none().then_some(false),
        "Virtualization" => Some(matches!(argument, "microsoft" | "vm") || is_yes(argument)),
        "Capability" => Some(true),
        "ACPower" => Some(is_yes(argument)),
        "User" => Some(matches!(argument, "root" | "0" | "@system")),
        "KernelCommandLine" => arguments.map(|line| {
            cmdline::tokens(line).any(|token| {
                token == argument || !argument.contains('=') && cmdline::value(token, argument).is_some()
            })
        }),
        "Architecture" => match (argument, arch) {
            ("native", _) => Some(true),
            (wanted, Some(arch)) => Some(
                wanted.replace('-', "_") == arch.replace('-', "_") || wanted == "arm64" && arch == "aarch64",
            ),
            _ => None,
        },
        "FirstBoot" => {
            let text = view.text("/etc/machine-id")?.unwrap_or_default();
            (text.trim().len() == 32).then_some(!is_yes(argument))
        }
        _ => None,
    })
}
