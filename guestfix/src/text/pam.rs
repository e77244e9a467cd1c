//! `/etc/pam.d/*`: which modules are asked for a service, in which order, and what their answers count
//! (pam.conf(5)).

use super::lines;

/// What a service asks modules for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who somebody is.
    Auth,
    /// Whether they may come in now.
    Account,
    /// What is done before and after.
    Session,
    /// A new password.
    Password,
}

/// What becomes of a stack after a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// As if the module were not there.
    Ignore,
    /// It counts as a yes, if nothing said no.
    Ok,
    /// So does this, and nothing else is asked.
    Done,
    /// It counts as a no.
    Bad,
    /// So does this, and nothing else is asked.
    Die,
    /// What was said is forgotten.
    Reset,
    /// As many modules are passed over.
    Jump(usize),
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What<'a> {
    /// A module, and what becomes of its yes, of its no, and of its being missing.
    Module {
        /// A name, or a path.
        name: &'a str,
        /// What it is told.
        arguments: Vec<&'a str>,
        /// It says yes.
        success: Action,
        /// It says no.
        failure: Action,
        /// It cannot be loaded.
        missing: Action,
    },
    /// The lines of this kind in another file.
    Include(&'a str),
    /// The same as a stack of its own: what ends it does not end this one.
    Substack(&'a str),
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// From 1.
    pub line: usize,
    /// `None` for all kinds.
    pub kind: Option<Kind>,
    /// What it asks for.
    pub what: What<'a>,
}

/// The lines of a text that can be understood.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    lines(text).filter_map(|line| entry(line.number, line.body)).collect()
}

fn entry(line: usize, body: &str) -> Option<Entry<'_>> {
    let body = body.split('#').next()?.trim();
    if let Some(file) = body.strip_prefix("@include") {
        return Some(Entry { line, kind: None, what: What::Include(file.trim()) });
    }
    let (kind, rest) = body.split_once(char::is_whitespace)?;
    let kind = match kind.trim_start_matches('-').to_ascii_lowercase().as_str() {
        "auth" => Kind::Auth,
        "account" => Kind::Account,
        "session" => Kind::Session,
        "password" => Kind::Password,
        _ => return None,
    };
    let rest = rest.trim_start();
    let (control, rest) = match rest.strip_prefix('[') {
        Some(list) => list.split_once(']')?,
        None => rest.split_once(char::is_whitespace)?,
    };
    let mut words = rest.split_whitespace();
    let name = words.next()?;
    let arguments = words.collect();
    let what = match control.to_ascii_lowercase().as_str() {
        "include" => What::Include(name),
        "substack" => What::Substack(name),
        "required" => module(name, arguments, Action::Ok, Action::Bad),
        "requisite" => module(name, arguments, Action::Ok, Action::Die),
        "sufficient" => module(name, arguments, Action::Done, Action::Ignore),
        "optional" => module(name, arguments, Action::Ok, Action::Ignore),
        list => listed(name, arguments, list),
    };
    Some(Entry { line, kind: Some(kind), what })
}

fn module<'a>(name: &'a str, arguments: Vec<&'a str>, success: Action, failure: Action) -> What<'a> {
    What::Module { name, arguments, success, failure, missing: failure }
}

/// `success=1 default=ignore`; what is not listed is bad.
fn listed<'a>(name: &'a str, arguments: Vec<&'a str>, list: &str) -> What<'a> {
    let of = |wanted: &str| {
        let mut pairs = list.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == wanted).map(|(_, action)| action_of(action))
    };
    let default = of("default").unwrap_or(Action::Bad);
    What::Module {
        name,
        arguments,
        success: of("success").unwrap_or(default),
        failure: of("auth_err").unwrap_or(default),
        missing: of("module_unknown").unwrap_or(default),
    }
}

fn action_of(word: &str) -> Action {
    match word {
        "ignore" => Action::Ignore,
        "ok" => Action::Ok,
        "done" => Action::Done,
        "die" => Action::Die,
        "reset" => Action::Reset,
        number => number.parse().map_or(Action::Bad, Action::Jump),
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn controls_say_what_becomes_of_an_answer() {
        let text = "# x\n@include common-auth\nauth\trequired pam_env.so readenv=1\n-session optional pam_systemd.so\n\
                    account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n\
                    session [success=ok ignore=ignore module_unknown=ignore default=bad] pam_selinux.so close\n\
                    auth substack system-auth\nnonsense\n";
        let found = entries(text);
        let lines: Vec<_> = found.iter().map(|entry| (entry.line, entry.kind)).collect();
        assert_eq!(
            lines,
            [
                (2, None),
                (3, Some(Kind::Auth)),
                (4, Some(Kind::Session)),
                (5, Some(Kind::Account)),
                (6, Some(Kind::Session)),
                (7, Some(Kind::Auth))
            ]
        );
        assert_eq!(found[1].what, module("pam_env.so", vec!["readenv=1"], Action::Ok, Action::Bad));
        let (success, failure) = (Action::Jump(1), Action::Ignore);
        assert_eq!(
            found[3].what,
            What::Module {
                name: "pam_unix.so",
                arguments: Vec::new(),
                success,
                failure,
                missing: Action::Ignore
            }
        );
        let (success, failure) = (Action::Ok, Action::Bad);
        assert_eq!(
            found[4].what,
            What::Module {
                name: "pam_selinux.so",
                arguments: vec!["close"],
                success,
                failure,
                missing: Action::Ignore
            }
        );
        assert_eq!(found[5].what, What::Substack("system-auth"));
    }

    #[test]
    fn random_text_is_no_problem() {
        let mut random = Random(16);
        for _ in 0..3000 {
            entries(&random.text());
        }
    }
}
