//! Whether PAM lets anybody in by a service: the stack of modules, with those that are not there.

mod answers;

use self::answers::Answer;
use super::accounts::Account;
use super::login::Door;
use crate::elf::Elf;
use crate::programs::cannot_load;
use crate::systemd::needs::Fault;
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
    Ok(refuses(view, program, service, kinds, None)?.map(Door::from))
}

/// The same for one account.
pub(super) fn refuses(
    view: &dyn View,
    program: &str,
    service: &str,
    kinds: &[Kind],
    account: Option<&Account>,
) -> Result<Option<Fault>> {
    if view.machine().remote || !asks(view, program)? {
        return Ok(None);
    }
    let place = format!("{DIR}/{service}");
    let files = [place.clone(), format!("{DIR}/{OTHER}")];
    if !view.exists(&files[0])? && !view.exists(&files[1])? {
        return Ok(Some(Fault::sure(&place, "it is not there, so PAM lets nobody in")));
    }
    for kind in kinds {
        let mut stack = Stack { account, ..Stack::of(view, *kind) };
        stack.file(service, 0)?;
        if stack.lines == 0 {
            stack.file(OTHER, 0)?;
        }
        if stack.answer != Some(true) {
            let why = stack.faults.into_iter().next();
            let why = why.unwrap_or_else(|| format!("its modules for {kind:?} let nobody in").to_lowercase());
            return Ok(Some(Fault::sure(&place, why)));
        }
        if let Some(why) = stack.doubt {
            return Ok(Some(Fault::unsure(&place, why)));
        }
    }
    Ok(None)
}

/// Whether a login by ssh gets a session of systemd, in a slice of its own (pam_systemd(8)).
pub(super) fn has_sessions_of_systemd(view: &dyn View) -> Result<bool> {
    const FILES: &[&str] = &["common-session", "common-session-pc", "password-auth", "sshd", "system-auth"];
    for file in FILES {
        let text = view.text(&format!("{DIR}/{file}"))?.unwrap_or_default();
        if text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("pam_systemd.so")) {
            return Ok(true);
        }
    }
    Ok(false)
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
    /// Who comes in, if that is known.
    account: Option<&'a Account>,
    /// What was said as yet.
    answer: Option<bool>,
    /// Modules and files that are not to be had.
    faults: Vec<String>,
    /// How many of these, at the front, are a no by themselves.
    grave: usize,
    /// It cannot be read as a whole.
    refused: bool,
    /// What nobody can tell of, where it counts.
    doubt: Option<String>,
    lines: usize,
}

impl<'a> Stack<'a> {
    fn of(view: &'a dyn View, kind: Kind) -> Self {
        Self {
            view,
            kind,
            account: None,
            answer: None,
            faults: Vec::new(),
            grave: 0,
            refused: false,
            doubt: None,
            lines: 0,
        }
    }

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
                What::Module { name, arguments, success, failure, missing } => {
                    let (says, action) = match self.fault_of(name)? {
                        Some(why) => {
                            self.fault(missing, format!("{path}:{}: {why}", entry.line));
                            (false, missing)
                        }
                        None if *name == DENY => (false, failure),
                        None => match self.asked(name, arguments)? {
                            Answer::Yes => (true, success),
                            Answer::No(why) => {
                                self.fault(failure, format!("{path}:{}: {name}: {why}", entry.line));
                                (false, failure)
                            }
                            Answer::Unsure(why) => {
                                if matches!(failure, Action::Bad | Action::Die) {
                                    let why = format!("{path}:{}: {name}: {why}", entry.line);
                                    self.doubt = self.doubt.take().or(Some(why));
                                }
                                (true, success)
                            }
                        },
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

    /// Notes a no: what shuts the door by itself is named before what is passed over.
    fn fault(&mut self, action: &Action, why: String) {
        let counts = matches!(action, Action::Bad | Action::Die);
        let at = if counts { self.grave } else { self.faults.len() };
        self.faults.insert(at, why);
        self.grave += usize::from(counts);
    }

    /// What a module says of the account.
    fn asked(&self, name: &str, arguments: &[&str]) -> Result<Answer> {
        match self.account {
            Some(account) => answers::of(self.view, name, arguments, self.kind, account),
            None => Ok(Answer::Yes),
        }
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
    use super::super::accounts::Accounts;
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

    #[test]
    fn modules_keep_some_accounts_out() {
        let passwd = "root:x:0:0::/root:/bin/bash\nbob:x:1000:1000::/home/bob:/bin/bash\n";
        let modules = [
            "pam_access.so",
            "pam_exec.so",
            "pam_limits.so",
            "pam_listfile.so",
            "pam_shells.so",
            "pam_succeed_if.so",
            "pam_time.so",
        ];
        let with = |bench: Bench, name: &&str| bench.file(&format!("{DIR_OF_MODULES}/{name}"), library(&[]));
        let base = modules
            .iter()
            .fold(bench(), with)
            .file("/etc/passwd", passwd)
            .file("/etc/group", "wheel:x:10:bob\n")
            .secret("/etc/shadow", "root:*:1::::::\nbob:!:1::::::\n");
        // whether bob is kept out, and whether surely
        let bob = |line: &str, file: &str, text: &str| {
            let stack = format!("{line}\n@include common\n");
            let bench = base.clone().file("/etc/pam.d/sshd", stack);
            let bench = if file.is_empty() { bench } else { bench.file(file, text) };
            bench.guest(|guest| {
                let accounts =
                    Accounts::read(guest.view, None).unwrap().unwrap_or_else(|hop| panic!("{hop:?}"));
                let bob = accounts.all().iter().find(|account| account.name == "bob");
                let kinds = [Kind::Account, Kind::Session];
                refuses(guest.view, LOGIN, "sshd", &kinds, bob).unwrap().map(|fault| fault.is_sure)
            })
        };
        let access = "/etc/security/access.conf";
        let access = |text: &str| bob("account required pam_access.so", access, text);
        for (text, kept) in [
            ("+:root:LOCAL\n-:ALL:ALL\n", Some(true)),
            ("# none\n", None),
            ("+ : bob root : ALL\n- : ALL : ALL\n", None),
            ("+:(wheel):ALL\n-:ALL:ALL\n", None),
            ("+:wheel:ALL\n-:ALL:ALL\n", None),
            ("-:ALL EXCEPT root bob:ALL\n", None),
            ("-:ALL EXCEPT root:LOCAL\n", None),
            ("+:bob:10.0.0.0/8\n-:ALL:ALL\n", Some(false)),
            ("+:bob:203.0.113.0/24\n-:ALL:ALL\n", None),
            ("+:root:cron crond :0 tty1\n-:ALL:ALL\n", Some(true)),
        ] {
            assert_eq!(access(text), kept, "{text}");
        }
        for (line, file, text, kept) in [
            (
                "account required pam_listfile.so item=user sense=allow file=/etc/ok onerr=fail",
                "",
                "",
                Some(true),
            ),
            ("account required pam_listfile.so item=user sense=allow file=/etc/ok", "/etc/ok", "bob\n", None),
            (
                "account required pam_listfile.so item=user sense=deny file=/etc/no",
                "/etc/no",
                "bob\n",
                Some(true),
            ),
            (
                "account required pam_listfile.so item=user sense=deny file=/etc/no onerr=succeed",
                "",
                "",
                None,
            ),
            ("account required pam_succeed_if.so user = alice", "", "", Some(true)),
            ("account required pam_succeed_if.so quiet uid >= 1000 user ingroup wheel", "", "", None),
            ("account sufficient pam_succeed_if.so uid < 500 quiet", "", "", None),
            ("session [success=1 default=ignore] pam_succeed_if.so service in crond quiet", "", "", None),
            ("account required pam_succeed_if.so rhost = x", "", "", Some(false)),
            (
                "account required pam_time.so",
                "/etc/security/time.conf",
                "sshd;*;*;!Al0000-2400\n",
                Some(true),
            ),
            ("account required pam_time.so", "/etc/security/time.conf", "sshd;*;!bob;!Al0000-2400\n", None),
            ("account required pam_time.so", "/etc/security/time.conf", "*;*;bob;Wk0800-1800\n", None),
            ("session required pam_exec.so /bin/false", "", "", Some(true)),
            ("session required pam_exec.so quiet /bin/bash", "", "", Some(false)),
            ("session optional pam_exec.so /bin/false", "", "", None),
            (
                "session required pam_limits.so",
                "/etc/security/limits.conf",
                "* hard maxlogins 0\n",
                Some(true),
            ),
            (
                "session required pam_limits.so",
                "/etc/security/limits.d/a.conf",
                "@wheel - maxlogins 0 # x\n",
                Some(true),
            ),
            (
                "session required pam_limits.so",
                "/etc/security/limits.d/z.conf",
                "bob hard as 1000\n",
                Some(false),
            ),
            (
                "session required pam_limits.so",
                "/etc/security/limits.d/z.conf",
                "bob hard nproc 0\n",
                Some(true),
            ),
            (
                "session required pam_limits.so",
                "/etc/security/limits.conf",
                "* soft nproc 4096\n* hard nofile unlimited\n* - as -1\nroot - nproc 0\n",
                None,
            ),
            (
                "session required pam_limits.so",
                "/etc/security/limits.conf",
                "* hard core 0\nx - maxlogins 0\n",
                None,
            ),
            ("account required pam_shells.so", "/etc/shells", "/bin/bash\n", None),
            ("account required pam_shells.so", "/etc/shells", "/bin/sh\n", Some(true)),
            ("account required pam_nologin.so", "/etc/nologin", "x\n", Some(true)),
        ] {
            assert_eq!(bob(line, file, text), kept, "{line} {text}");
        }
    }
}
