//! What a shell runs before it asks for the first command (bash(1), "INVOCATION"): one that ends there, or that
//! goes on as another program, is none to work in.

use super::accounts::Account;
use crate::programs::SHELLS;
use crate::script::Script;
use crate::systemd::needs::{Fault, base};
use crate::{Result, View};

/// Read by each shell of a login.
const OF_ALL: &str = "/etc/profile";
const OF_PACKAGES: &str = "/etc/profile.d";
/// Read by bash, if a profile says so: those of distributions do.
const OF_BASH: &[&str] = &["/etc/bash.bashrc", "/etc/bashrc"];
/// Of the profiles of an account bash reads the first that is there.
const OWN: &[&str] = &[".bash_profile", ".bash_login", ".profile"];
const OWN_OF_BASH: &str = ".bashrc";

/// What of the files that an account's shell reads ends it.
pub(super) fn ends(view: &dyn View, account: &Account) -> Result<Option<Fault>> {
    let shell = base(&account.shell);
    if !matches!(shell, "ash" | "bash" | "dash" | "ksh" | "sh") {
        return Ok(None);
    }
    let mut files = vec![OF_ALL.to_owned()];
    files.extend(view.glob(OF_PACKAGES, ".sh")?);
    let home = account.home.trim_end_matches('/');
    if shell == "bash" {
        files.extend(OF_BASH.iter().map(|file| (*file).to_owned()));
        for file in OWN.iter().map(|name| format!("{home}/{name}")) {
            if view.exists(&file)? {
                files.push(file);
                break;
            }
        }
        files.push(format!("{home}/{OWN_OF_BASH}"));
    } else {
        files.push(format!("{home}/.profile"));
    }
    for file in files {
        let Some(text) = view.text(&file)? else { continue };
        for (depth, command) in Script::of_text(&text).commands() {
            let mut words = command.split_whitespace();
            match (depth, words.next().unwrap_or_default()) {
                (0, "return") => break,
                (0, "kill") if words.clone().any(|word| matches!(word.trim_matches('"'), "$$" | "$PPID")) => {
                    // Shells that somebody works in pass over the signal that is sent if none is named.
                    const PASSED_OVER: &[&str] = &["-15", "-TERM", "-SIGTERM", "-INT", "-QUIT", "-2", "-3"];
                    let signal = words.find(|word| word.starts_with('-'));
                    let is_sure = signal.is_some_and(|signal| !PASSED_OVER.contains(&signal));
                    let why = format!("its shell is ended by it: {command}");
                    return Ok(Some(Fault { place: file, why, is_sure }));
                }
                (0, "exit" | "logout") => {
                    return Ok(Some(Fault::sure(&file, format!("its shell ends by it: {command}"))));
                }
                (0, "exec") => {
                    let program = words.next().unwrap_or_default();
                    let is_redirection = program.contains(['<', '>']);
                    if !is_redirection && !SHELLS.contains(&base(program)) {
                        let why = format!("nobody can tell what its shell goes on as: {command}");
                        return Ok(Some(Fault::unsure(&file, why)));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(None)
}
