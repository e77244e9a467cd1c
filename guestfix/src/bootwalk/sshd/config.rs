//! What the server is told in its configuration, and lines that it does not start with (sshd_config(5)).

use super::super::login::Door;
use super::keywords::{ALGORITHMS, GLOBAL, IN_MATCH, LISTS, SWITCHES, VALUES};
use super::people;
use crate::programs::cannot_start;
use crate::text::bytes;
use crate::text::sshd_config::{Entry, entries};
use crate::{Result, View, glob};

const DIR: &str = "/etc/ssh";
/// How deep files include files, and the most files in all.
const DEPTH: usize = 16;
const FILES: usize = 256;
/// Programs that newer servers start for each connection.
const PARTS: &[&str] = &["/sshd-session", "/sshd-auth"];

/// What the configuration says.
#[derive(Default)]
pub(super) struct Settings {
    /// The host keys that are named.
    pub(super) keys: Vec<String>,
    /// Whether an agent has the keys.
    pub(super) agent: bool,
    /// Whether PAM is asked; the first line counts.
    pub(super) pam: Option<bool>,
    /// How root may log in; the first line counts.
    pub(super) root: Option<String>,
    /// Who may.
    pub(super) lists: people::Lists,
    /// Line and value of each address that is named.
    pub(super) addresses: Vec<(String, String)>,
    pub(super) family: Option<String>,
    pub(super) ports: Vec<u16>,
    /// Ways to log in that are switched on or off, and whether that is below a `Match`.
    methods: Vec<(String, bool, bool)>,
}

/// Ways to log in, and whether the server offers each unless it is told.
const METHODS: [(&str, bool); 5] = [
    ("pubkeyauthentication", true),
    ("passwordauthentication", true),
    ("kbdinteractiveauthentication", true),
    ("gssapiauthentication", false),
    ("hostbasedauthentication", false),
];

impl Settings {
    /// Whether any way to log in is left to anybody.
    pub(super) fn has_method(&self) -> bool {
        METHODS.iter().any(|(name, unless_told)| {
            let mut told = self.methods.iter().filter(|(told, ..)| told == name);
            let of_all = told.clone().find(|(_, _, conditional)| !conditional);
            of_all.map_or(*unless_told, |(_, on, _)| *on)
                || told.any(|(_, on, conditional)| *conditional && *on)
        })
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
        below_match: bool,
        depth: usize,
    ) -> Result<Option<Door>> {
        self.files += 1;
        if depth > DEPTH || self.files > FILES {
            return Ok(Some(Door::stuck(path, "files include files without end")));
        }
        let text = self.view.text(path)?.unwrap_or_default();
        for mut entry in entries(&text) {
            entry.conditional |= below_match;
            let at = format!("{path}:{}", entry.line);
            if let Some(why) = self.refuses(&entry)? {
                return Ok(Some(Door::stuck(at, format!("sshd does not start with it: {why}"))));
            }
            let first = entry.arguments.first().copied().unwrap_or_default();
            let method = match entry.keyword.as_str() {
                "challengeresponseauthentication" => "kbdinteractiveauthentication",
                other => other,
            };
            if METHODS.iter().any(|(name, _)| *name == method) {
                let is_on = !first.eq_ignore_ascii_case("no");
                settings.methods.push((method.to_owned(), is_on, entry.conditional));
            }
            match entry.keyword.as_str() {
                "include" => {
                    for pattern in &entry.arguments {
                        for file in self.included(pattern)? {
                            if let Some(door) = self.read(&file, settings, entry.conditional, depth + 1)? {
                                return Ok(Some(door));
                            }
                        }
                    }
                }
                "hostkey" if !entry.conditional => settings.keys.push(first.to_owned()),
                "hostkeyagent" if !entry.conditional => settings.agent = first != "none",
                _ if entry.conditional => {}
                "permitrootlogin" => settings.root = settings.root.take().or(Some(first.to_owned())),
                "allowusers" | "denyusers" | "allowgroups" | "denygroups" => {
                    settings.lists.add(&entry.keyword, &at, &entry.arguments);
                }
                "port" => settings.ports.extend(first.parse::<u16>()),
                "listenaddress" => settings.addresses.push((at, first.to_owned())),
                "addressfamily" => {
                    settings.family = settings.family.take().or(Some(first.to_ascii_lowercase()));
                }
                "usepam" => settings.pam = settings.pam.or(Some(first.eq_ignore_ascii_case("yes"))),
                _ => {}
            }
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

    /// Why the server refuses a line.
    fn refuses(&mut self, entry: &Entry<'_>) -> Result<Option<String>> {
        let Entry { keyword, arguments, .. } = entry;
        let is_global = GLOBAL.contains(&keyword.as_str());
        if !is_global && !IN_MATCH.contains(&keyword.as_str()) && !self.says(keyword)? {
            return Ok(Some(format!("it knows no {keyword}")));
        }
        // Older versions know no other quote than this, and take the other as a letter.
        let is_open = entry.open_quote == Some('"');
        if is_open || entry.open_quote.is_some() && self.says("invalid quotes")? {
            return Ok(Some("a quote is opened and not closed".into()));
        }
        if entry.conditional && is_global {
            return Ok(Some(format!("{keyword} is not allowed below Match")));
        }
        let Some(value) = arguments.first() else {
            return Ok((!LISTS.contains(&keyword.as_str())).then(|| format!("{keyword} has no value")));
        };
        let is_switch = |word: &str| ["yes", "no"].iter().any(|known| word.eq_ignore_ascii_case(known));
        let is_fine = match keyword.as_str() {
            "port" => value.parse::<u16>().is_ok_and(|port| port > 0),
            "permitrootlogin" => {
                is_switch(value)
                    || ["prohibit-password", "without-password", "forced-commands-only"]
                        .iter()
                        .any(|known| value.eq_ignore_ascii_case(known))
            }
            switch if SWITCHES.contains(&switch) => is_switch(value),
            "maxauthtries" | "maxsessions" | "clientalivecountmax" | "x11displayoffset" => {
                value.parse::<i32>().is_ok()
            }
            list if ALGORITHMS.contains(&list) => return self.lacks_algorithm(list, value),
            word => match VALUES.iter().find(|(known, _)| *known == word) {
                Some((_, values)) => values.iter().any(|known| value.eq_ignore_ascii_case(known)),
                None => true,
            },
        };
        Ok((!is_fine).then(|| format!("{keyword} cannot be {value}")))
    }

    /// Why the server does not take a list of algorithms: it does not know one that is not taken away.
    fn lacks_algorithm(&mut self, keyword: &str, value: &str) -> Result<Option<String>> {
        if value.starts_with('-') {
            return Ok(None);
        }
        // The server reads no further than to an empty name.
        for name in value.trim_start_matches(['+', '^']).split(',').take_while(|name| !name.is_empty()) {
            let is_pattern = name.contains(['*', '?']);
            if name != "none" && !is_pattern && !self.says(name)? {
                return Ok(Some(format!("it knows no {name}, which {keyword} names")));
            }
        }
        Ok(None)
    }

    /// Whether a word is among the texts of the program: it then knows the keyword.
    fn says(&mut self, word: &str) -> Result<bool> {
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
