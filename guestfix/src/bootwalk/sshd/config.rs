//! What the server is told in its configuration, and lines that it does not start with (sshd_config(5)).

use std::rc::Rc;

use super::super::login::Door;
use super::criteria::{Client, Criteria};
use super::keywords::newer;
use crate::programs::cannot_start;
use crate::text::bytes;
use crate::text::sshd_config::entries;
use crate::{Result, View, glob};

const DIR: &str = "/etc/ssh";
/// How deep files include files, and the most files in all.
const DEPTH: usize = 16;
const FILES: usize = 256;
/// Programs that newer servers start for each connection.
const PARTS: &[&str] = &["/sshd-session", "/sshd-auth"];

/// A line that says something.
pub(super) struct Line {
    /// File and line.
    pub(super) place: String,
    pub(super) keyword: String,
    pub(super) arguments: Vec<String>,
    /// For whom, where it is below a `Match`.
    whom: Option<Rc<Criteria>>,
}

impl Line {
    /// Its first argument.
    pub(super) fn value(&self) -> &str {
        self.arguments.first().map(String::as_str).unwrap_or_default()
    }
}

/// What the configuration says.
#[derive(Default)]
pub(super) struct Settings {
    /// The host keys that are named.
    pub(super) keys: Vec<String>,
    /// Whether an agent has the keys.
    pub(super) agent: bool,
    /// Whether PAM is asked; the first line counts.
    pub(super) pam: Option<bool>,
    /// Line and value of each address that is named.
    pub(super) addresses: Vec<(String, String)>,
    pub(super) family: Option<String>,
    pub(super) ports: Vec<u16>,
    lines: Vec<Line>,
}

impl Settings {
    /// The line of a keyword that counts for everybody: the first one.
    pub(super) fn of_all(&self, keyword: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.whom.is_none() && line.keyword == keyword)
    }

    /// The line that counts for a client: the first below a `Match` for it, else the first of those for all.
    pub(super) fn of(&self, client: Client<'_>, keyword: &str) -> Option<&Line> {
        self.lists_of(client, keyword).into_iter().next()
    }

    /// The lines that count for a client, of a keyword whose lines add up.
    pub(super) fn lists_of(&self, client: Client<'_>, keyword: &str) -> Vec<&Line> {
        let lines = self.lines.iter().filter(|line| line.keyword == keyword);
        let (own, all): (Vec<&Line>, Vec<&Line>) = lines.partition(|line| line.whom.is_some());
        let own: Vec<&Line> =
            own.into_iter().filter(|line| line.whom.as_ref().is_some_and(|whom| whom.hold(client))).collect();
        if own.is_empty() { all } else { own }
    }

    /// Whether some lines are for clients of some addresses only.
    pub(super) fn asks_for_addresses(&self) -> bool {
        self.lines.iter().any(|line| line.whom.as_ref().is_some_and(|whom| whom.asks_for_addresses()))
    }

    /// Whether a subsystem of this name is for everybody.
    pub(super) fn has_subsystem(&self, name: &str) -> bool {
        let mut lines = self.lines.iter().filter(|line| line.whom.is_none() && line.keyword == "subsystem");
        lines.any(|line| line.value() == name)
    }

    /// Whether a switch is on for a client, or for all whom nothing else is said of.
    pub(super) fn is_on(&self, client: Option<Client<'_>>, keyword: &str, unless_told: bool) -> bool {
        let line = match client {
            Some(client) => self.of(client, keyword),
            None => self.of_all(keyword),
        };
        line.map_or(unless_told, |line| !line.value().eq_ignore_ascii_case("no"))
    }
}

/// The program that reads it.
pub(super) struct Server<'a> {
    view: &'a dyn View,
    program: &'a str,
    content: Option<Vec<u8>>,
    files: usize,
}

impl<'a> Server<'a> {
    pub(super) fn new(view: &'a dyn View, program: &'a str) -> Self {
        Self { view, program, content: None, files: 0 }
    }

    /// Why the server does not take a file, or one that it includes, where that is below a `Match`.
    pub(super) fn read(
        &mut self,
        path: &str,
        settings: &mut Settings,
        outer: Option<&Rc<Criteria>>,
        depth: usize,
    ) -> Result<Option<Door>> {
        self.files += 1;
        if depth > DEPTH || self.files > FILES {
            return Ok(Some(Door::stuck(path, "files include files without end")));
        }
        let text = self.view.text(path)?.unwrap_or_default();
        let mut whom = outer.cloned();
        for mut entry in entries(&text) {
            entry.conditional |= outer.is_some();
            let at = format!("{path}:{}", entry.line);
            let refused =
                |why: String| Ok(Some(Door::stuck(&at, format!("sshd does not start with it: {why}"))));
            if let Some(why) = self.refuses(&entry, settings)? {
                return refused(why);
            }
            match entry.keyword.as_str() {
                "match" => {
                    whom = match Criteria::parse(&entry.arguments, outer.cloned()) {
                        Ok(criteria) => Some(Rc::new(criteria)),
                        Err(why) => return refused(why),
                    };
                    continue;
                }
                "include" => {
                    for pattern in &entry.arguments {
                        for file in self.included(pattern)? {
                            let whom = whom.as_ref().filter(|_| entry.conditional);
                            if let Some(door) = self.read(&file, settings, whom, depth + 1)? {
                                return Ok(Some(door));
                            }
                        }
                    }
                    continue;
                }
                _ => {}
            }
            let first = entry.arguments.first().copied().unwrap_or_default();
            match entry.keyword.as_str() {
                _ if entry.conditional => {}
                "hostkey" => settings.keys.push(first.to_owned()),
                "hostkeyagent" => settings.agent = first != "none",
                "port" => settings.ports.extend(first.parse::<u16>()),
                "listenaddress" => settings.addresses.push((at.clone(), first.to_owned())),
                "addressfamily" => {
                    settings.family = settings.family.take().or(Some(first.to_ascii_lowercase()));
                }
                "usepam" => settings.pam = settings.pam.or(Some(first.eq_ignore_ascii_case("yes"))),
                _ => {}
            }
            settings.lines.push(Line {
                place: at,
                keyword: newer(&entry.keyword).to_owned(),
                arguments: entry.arguments.iter().map(|argument| (*argument).to_owned()).collect(),
                whom: whom.clone(),
            });
        }
        Ok(None)
    }

    /// The files that a pattern means; only the last part of it may have wildcards.
    fn included(&self, pattern: &str) -> Result<Vec<String>> {
        let path = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{DIR}/{pattern}") };
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut names = self.view.list(dir)?;
        names.retain(|found| glob::matches(name, found));
        names.sort();
        Ok(names.into_iter().map(|name| format!("{dir}/{name}")).collect())
    }

    /// Whether a word is among the texts of the program: it then knows the keyword.
    pub(super) fn says(&mut self, word: &str) -> Result<bool> {
        let wanted = [word.as_bytes(), b"\0"].concat();
        Ok(!word.is_empty() && self.find(&wanted)?.is_some())
    }

    fn find(&mut self, wanted: &[u8]) -> Result<Option<usize>> {
        let content = match self.content.take() {
            Some(content) => content,
            None => self.view.read(self.program)?.map(|content| content.to_vec()).unwrap_or_default(),
        };
        let found = content.windows(wanted.len().max(1)).position(|part| part == wanted);
        self.content = Some(content);
        Ok(found)
    }

    /// The version of the program: "OpenSSH_9.2p1" is 9.2.
    pub(super) fn version(&mut self) -> Result<Option<(u32, u32)>> {
        const NAME: &[u8] = b"OpenSSH_";
        let Some(at) = self.find(NAME)? else { return Ok(None) };
        let start = at.saturating_add(NAME.len());
        let rest = self.content.as_ref().and_then(|content| content.get(start..)).unwrap_or_default();
        let text: String = rest.iter().take(8).map(|byte| char::from(*byte)).collect();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        Ok(numbers
            .next()
            .and_then(std::result::Result::ok)
            .zip(numbers.next().and_then(std::result::Result::ok)))
    }

    /// Why a program that it starts for each connection cannot be started. A snapshot's bytes are paid for.
    pub(super) fn lacks_parts(&mut self, arch: Option<&str>) -> Result<Option<String>> {
        for part in self.parts()? {
            if let Some(why) = cannot_start(self.view, &part, arch)? {
                return Ok(Some(format!("it starts a program for each connection, and {why}")));
            }
        }
        Ok(None)
    }

    /// The programs that it starts for each connection; none of a snapshot.
    pub(super) fn parts(&mut self) -> Result<Vec<String>> {
        let mut parts = Vec::new();
        for part in PARTS.iter().filter(|_| !self.view.machine().remote) {
            let Some(at) = self.find(&[part.as_bytes(), b"\0"].concat())? else { continue };
            let before = self.content.as_ref().and_then(|content| content.get(..at)).unwrap_or_default();
            let start = before.iter().rposition(|byte| *byte == 0).map_or(0, |at| at.saturating_add(1));
            let dir = bytes::decode(before.get(start..).unwrap_or_default());
            if dir.starts_with('/') {
                parts.push(format!("{dir}{part}"));
            }
        }
        Ok(parts)
    }
}
