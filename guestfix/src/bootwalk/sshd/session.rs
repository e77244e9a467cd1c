//! What somebody gets who has come in: a session, its folder, its command, PAM's consent and a shell that stays
//! (sshd_config(5), sshd(8) "LOGIN PROCESS").

use super::super::accounts::Account;
use super::super::{pam, profile};
use super::criteria::Client;
use super::people::{People, path};
use crate::programs::{self, cannot_start};
use crate::systemd::needs::{Fault, base};
use crate::systemd::slices;
use crate::text::pam::Kind;
use crate::{Result, View};

/// Programs that end at once.
const ENDING: &[&str] = &["false", "nologin", "true"];
/// Where the library is that every shell needs.
const LIBRARIES: &[&str] = &["/lib64", "/usr/lib64", "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu"];
/// The command that is the server itself, for files.
const SFTP: &str = "internal-sftp";
/// By these bits others than the owner write a folder.
const OTHERS: u16 = 0o022;

/// Why an account gets no session, or one that ends at once.
pub(super) fn ends(people: &People<'_>, account: &Account, client: Client<'_>) -> Result<Option<Fault>> {
    let (view, settings) = (people.guest.view, people.settings);
    if let Some(line) = settings.of(client, "maxsessions").filter(|line| line.value() == "0") {
        return Ok(Some(Fault::sure(&line.place, "MaxSessions 0 leaves no session")));
    }
    let is_set = |keyword: &str| settings.of(client, keyword).filter(|line| line.value() != "none");
    let command = is_set("forcecommand");
    let is_for_files = command.is_some_and(|line| line.value().starts_with(SFTP));
    if let Some(line) = command.filter(|_| !is_for_files)
        && let Some(why) = ends_at_once(view, &line.arguments)?
    {
        return Ok(Some(Fault::sure(&line.place, why)));
    }
    let is_anybody = account.name.is_empty();
    if let Some(line) = is_set("chrootdirectory").filter(|line| !is_anybody || !line.value().contains('%')) {
        let folder = path(line.value(), account);
        if let Some(why) = no_root(view, &folder)? {
            return Ok(Some(Fault::sure(&line.place, why)));
        }
        if !is_for_files && !view.exists(&format!("{}{}", folder.trim_end_matches('/'), account.shell))? {
            let why = format!("there is no {} within ChrootDirectory {folder}", account.shell);
            return Ok(Some(Fault::sure(&line.place, why)));
        }
    }
    // The blocks of a snapshot are paid for.
    if is_anybody || view.machine().remote {
        return Ok(None);
    }
    if !account.is_root()
        && !is_for_files
        && let Some(fault) = is_out_of_reach(view, account)?
    {
        return Ok(Some(fault));
    }
    if settings.pam == Some(true)
        && pam::has_sessions_of_systemd(view)?
        && let Some(fault) = slices::fault(view, slices::SESSIONS)?
    {
        return Ok(Some(fault));
    }
    if settings.pam == Some(true)
        && let Some(fault) =
            pam::refuses(view, people.program, "sshd", &[Kind::Account, Kind::Session], Some(account))?
    {
        return Ok(Some(fault));
    }
    if command.is_some() { Ok(None) } else { profile::ends(view, account) }
}

/// Whether a command is one that ends at once.
pub(super) fn is_ending(command: &str) -> bool {
    ENDING.contains(&base(command.split_whitespace().next().unwrap_or_default()))
}

/// A folder or a library on the way to an account's shell that only root gets to.
fn is_out_of_reach(view: &dyn View, account: &Account) -> Result<Option<Fault>> {
    let mut files = vec![account.shell.clone()];
    for dir in LIBRARIES {
        let path = format!("{dir}/libc.so.6");
        files.extend(view.exists(&path)?.then_some(path));
    }
    for file in files {
        let Some(real) = view.resolve(&file)? else { continue };
        let ends = real.match_indices('/').map(|(at, _)| at.max(1)).chain([real.len()]);
        for part in ends.filter_map(|end| real.get(..end)) {
            let Some(node) = view.stat(part)? else { continue };
            let bits = match () {
                () if Some(node.uid) == account.uid => node.mode >> 6,
                () if node.gid.to_string() == account.gid => node.mode >> 3,
                () => node.mode,
            };
            // A folder is gone through, a library is read.
            let needed = if part == real && file != account.shell { 0o4 } else { 0o1 };
            if bits & needed == 0 {
                let why = format!("it cannot get to {file}: {part} has the mode {:04o}", node.mode & 0o7777);
                return Ok(Some(Fault::sure(part, why)));
            }
        }
    }
    Ok(None)
}

/// Why a command that is started in the place of the shell ends at once.
fn ends_at_once(view: &dyn View, words: &[String]) -> Result<Option<String>> {
    let first = words.iter().flat_map(|word| word.split_whitespace()).next().unwrap_or_default();
    let first = first.trim_matches(['"', '\'']);
    let says = |why: &str| format!("ForceCommand {}: {why}", words.join(" "));
    if ENDING.contains(&base(first)) {
        return Ok(Some(says("it ends at once")));
    }
    if first.starts_with('/') {
        return Ok(cannot_start(view, first, None)?.map(|why| says(&why)));
    }
    // a word of the shell, or one that it fills in, may be no program
    let is_plain = first.contains('-') && !first.contains(['$', '%', '=']);
    let is_missing = is_plain && programs::find(view, first)?.is_none();
    Ok(is_missing.then(|| says("there is no such program")))
}

/// Why the server takes a folder for nobody's root: it and all above it belong to root, and nobody else writes
/// them.
fn no_root(view: &dyn View, folder: &str) -> Result<Option<String>> {
    let ends = folder.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([folder.len()]);
    for part in ends.filter_map(|end| folder.get(..end)) {
        let says = |why: String| Ok(Some(format!("ChrootDirectory {folder}: {part} {why}")));
        match view.stat(part)? {
            None => return says("is not there".into()),
            Some(node) if node.uid != 0 => return says(format!("belongs to the user {}", node.uid)),
            Some(node) if node.mode & OTHERS != 0 => {
                return says(format!("is written by others, its mode is {:04o}", node.mode & 0o7777));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}
