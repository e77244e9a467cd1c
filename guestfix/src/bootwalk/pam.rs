//! Whether PAM lets anybody in by a service: the stack of modules, with those that are not there.

use super::login::Door;
use crate::elf::Elf;
use crate::programs::cannot_load;
use crate::text::pam::{Action, Kind, What, entries};
use crate::{Result, View};

const DIR: &str = "/etc/pam.d";
/// What holds for services without a file, and for kinds without a line.
const OTHER: &str = "other";
/// Where modules are.
const MODULES: &[&str] = &[
    "/lib/x86_64-linux-gnu/security",
    "/usr/lib/x86_64-linux-gnu/security",
    "/lib/aarch64-linux-gnu/security",
    "/usr/lib/aarch64-linux-gnu/security",
    "/lib64/security",
    "/usr/lib64/security",
    "/lib/security",
    "/usr/lib/security",
];
/// The module that always says no.
const DENY: &str = "pam_deny.so";
/// How deep files include files, and the most lines of one stack.
const DEPTH: usize = 16;
const LINES: usize = 1024;

/// Why a program that asks PAM lets nobody in; `None` if it lets somebody, or asks nobody. A snapshot's blocks
/// are paid for, so there the modules are not looked at.
pub(super) fn shuts(view: &dyn View, program: &str, service: &str, kinds: &[Kind]) -> Result<Option<Door>> {
    if view.machine().remote || !asks(view, program)? {
        return Ok(None);
    }
    let place = format!("{DIR}/{service}");
    let files = [place.clone(), format!("{DIR}/{OTHER}")];
    if !view.exists(&files[0])? && !view.exists(&files[1])? {
        return Ok(Some(Door::stuck(place, "it is not there, so PAM lets nobody in")));
    }
    for kind in kinds {
        let mut stack =
            Stack { view, kind: *kind, answer: None, faults: Vec::new(), grave: 0, refused: false, lines: 0 };
        stack.file(service, 0)?;
        if stack.lines == 0 {
            stack.file(OTHER, 0)?;
        }
        if stack.answer != Some(true) {
            let why = stack.faults.into_iter().next();
            let why = why.unwrap_or_else(|| format!("its modules for {kind:?} let nobody in").to_lowercase());
            return Ok(Some(Door::stuck(place, why)));
        }
    }
    Ok(None)
}

/// Whether a program is linked with PAM.
fn asks(view: &dyn View, program: &str) -> Result<bool> {
    let elf = Elf::read(view, program)?;
    Ok(elf.is_ok_and(|elf| elf.needed.iter().any(|name| name.starts_with("libpam.so"))))
}

/// One stack as it is gone through.
struct Stack<'a> {
    view: &'a dyn View,
    kind: Kind,
    /// What was said as yet.
    answer: Option<bool>,
    /// Modules and files that are not to be had.
    faults: Vec<String>,
    /// How many of these, at the front, are a no by themselves.
    grave: usize,
    /// It cannot be read as a whole.
    refused: bool,
    lines: usize,
}

impl Stack<'_> {
    /// Goes through a file; whether the stack ends there.
    fn file(&mut self, name: &str, depth: usize) -> Result<bool> {
        let path = if name.starts_with('/') { name.to_owned() } else { format!("{DIR}/{name}") };
        if depth > DEPTH {
            return Ok(self.ends(format!("{path} includes itself")));
        }
        let Some(text) = self.view.text(&path)? else {
            return Ok(depth > 0 && self.ends(format!("{path}, which it includes, is not there")));
        };
        let of_kind = |kind: Option<Kind>| kind.is_none_or(|kind| kind == self.kind);
        let entries: Vec<_> = entries(&text).into_iter().filter(|entry| of_kind(entry.kind)).collect();
        let mut at = 0;
        while let Some(entry) = entries.get(at) {
            at += 1;
            self.lines += 1;
            if self.lines > LINES {
                return Ok(self.ends(format!("{path}: the stack has more than {LINES} lines")));
            }
            let ends = match &entry.what {
                What::Include(file) => self.file(file, depth + 1)?,
                What::Substack(file) => {
                    self.file(file, depth + 1)?;
                    self.refused
                }
                What::Module { name, success, failure, missing } => {
                    let (says, action) = match self.fault_of(name)? {
                        Some(why) => {
                            // what shuts the door by itself is named before what is passed over
                            let counts = matches!(missing, Action::Bad | Action::Die);
                            let at = if counts { self.grave } else { self.faults.len() };
                            self.faults.insert(at, format!("{path}:{}: {why}", entry.line));
                            self.grave += usize::from(counts);
                            (false, missing)
                        }
                        None if *name == DENY => (false, failure),
                        None => (true, success),
                    };
                    match action {
                        Action::Jump(over) => {
                            at = at.saturating_add(*over);
                            if says && self.answer.is_none() {
                                self.answer = Some(true);
                            }
                            false
                        }
                        action => self.count(says, *action),
                    }
                }
            };
            if ends {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// PAM refuses the whole service.
    fn ends(&mut self, why: String) -> bool {
        self.faults.insert(0, why);
        self.answer = Some(false);
        self.refused = true;
        true
    }

    /// Counts what a module said; whether nothing else is asked.
    fn count(&mut self, says: bool, action: Action) -> bool {
        match action {
            Action::Ignore | Action::Jump(_) => return false,
            Action::Reset => self.answer = None,
            Action::Ok | Action::Done => {
                if self.answer != Some(false) {
                    self.answer = Some(says);
                }
                return action == Action::Done && self.answer == Some(true);
            }
            Action::Bad | Action::Die => {
                self.answer = Some(false);
                return action == Action::Die;
            }
        }
        false
    }

    /// Why a module cannot be loaded.
    fn fault_of(&self, name: &str) -> Result<Option<String>> {
        let candidates: Vec<String> = match name.starts_with('/') {
            true => vec![name.to_owned()],
            false => MODULES.iter().map(|dir| format!("{dir}/{name}")).collect(),
        };
        for path in candidates {
            if let Some(found) = self.view.resolve(&path)? {
                return cannot_load(self.view, &found, None);
            }
        }
        Ok(Some(format!("{name} is not there")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::debian;
    use super::*;
    use crate::elf::testing::{library, program};
    use crate::rules::testing::Bench;

    const LOGIN: &str = "/bin/login";
    const DIR_OF_MODULES: &str = "/lib/x86_64-linux-gnu/security";

    /// Debian's stacks, shortened.
    fn bench() -> Bench {
        let modules = ["pam_deny.so", "pam_env.so", "pam_nologin.so", "pam_permit.so", "pam_unix.so"];
        let with = |bench: Bench, name: &&str| bench.file(&format!("{DIR_OF_MODULES}/{name}"), library(&[]));
        modules
            .iter()
            .fold(debian(), with)
            .program("/lib/x86_64-linux-gnu/libpam.so.0", library(&[]))
            .program(LOGIN, program("/lib64/ld-linux-x86-64.so.2", &["libpam.so.0"], ""))
            .file(
                "/etc/pam.d/login",
                "auth requisite pam_nologin.so\nsession [success=ok ignore=ignore module_unknown=ignore default=bad] \
                 pam_selinux.so\nsession required pam_env.so\nsession optional pam_motd.so\n@include common\n",
            )
            .file(
                "/etc/pam.d/common",
                "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n\
                 account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n\
                 account requisite pam_deny.so\naccount required pam_permit.so\nsession required pam_unix.so\n",
            )
            .file("/etc/pam.d/other", "auth required pam_deny.so\n")
    }

    fn wrong(bench: &Bench) -> Option<String> {
        let kinds = [Kind::Auth, Kind::Account, Kind::Session];
        bench.guest(|guest| match shuts(guest.view, LOGIN, "login", &kinds).unwrap() {
            Some(Door::Stuck { place, why }) => Some(format!("{place}: {why}")),
            _ => None,
        })
    }

    fn without(name: &str) -> Bench {
        bench().without(&format!("{DIR_OF_MODULES}/{name}"))
    }

    #[test]
    fn a_stack_with_all_that_counts_lets_people_in() {
        assert_eq!(wrong(&bench()), None);
        assert_eq!(wrong(&without("pam_deny.so")), None, "nobody comes to it");
        let none = debian().program(LOGIN, library(&[]));
        assert_eq!(wrong(&none), None, "it does not ask PAM");
        let sufficient = bench().file(
            "/etc/pam.d/common",
            "auth sufficient pam_unix.so\nauth required pam_deny.so\naccount required pam_unix.so\n\
             session required pam_unix.so\n",
        );
        assert_eq!(wrong(&sufficient), None);
    }

    #[test]
    fn a_module_that_counts_and_is_not_there_shuts_the_door() {
        let unix = format!("{DIR_OF_MODULES}/pam_unix.so");
        for (bench, why) in [
            (without("pam_unix.so"), "/etc/pam.d/common:1: pam_unix.so is not there"),
            (without("pam_permit.so"), "/etc/pam.d/common:3: pam_permit.so is not there"),
            (without("pam_env.so"), "/etc/pam.d/login:3: pam_env.so is not there"),
            (bench().file(&unix, ""), "pam_unix.so is empty"),
            (bench().file(&unix, &library(&[])[..80]), "pam_unix.so is cut short"),
            (bench().file(&unix, library(&["libcrypt.so.1"])), "libcrypt.so.1"),
            (bench().without("/etc/pam.d/common"), "/etc/pam.d/common, which it includes, is not there"),
            (bench().without("/etc/pam.d/login"), "its modules for auth let nobody in"),
            (
                bench().without("/etc/pam.d/login").without("/etc/pam.d/other"),
                "it is not there, so PAM lets nobody in",
            ),
            (bench().file("/etc/pam.d/login", ""), "its modules for auth let nobody in"),
            (bench().file("/etc/pam.d/login", "@include login\n"), "/etc/pam.d/login includes itself"),
            (
                bench().file("/etc/pam.d/login", "@include login\n".repeat(1000)),
                "/etc/pam.d/login includes itself",
            ),
            (
                bench().file("/etc/pam.d/login", "auth optional pam_unix.so\n".repeat(2000)),
                "the stack has more than 1024 lines",
            ),
        ] {
            let found = wrong(&bench);
            assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{why}: {found:?}");
        }
    }

    #[test]
    fn what_ends_a_substack_does_not_end_the_stack() {
        let with = |control: &str| {
            bench()
                .file("/etc/pam.d/login", format!("auth {control} inner\nauth required pam_gone.so\n"))
                .file("/etc/pam.d/inner", "auth sufficient pam_unix.so\n")
        };
        assert!(wrong(&with("substack")).unwrap().contains("pam_gone.so is not there"));
        let included = with("include")
            .file("/etc/pam.d/other", "account required pam_unix.so\nsession required pam_unix.so\n");
        assert_eq!(wrong(&included), None);
    }
}
