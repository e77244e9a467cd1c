//! Files of nft: what they define, and their tables, sets and chains (nft(8)).

mod expression;
mod tokens;

use std::collections::{BTreeMap, HashMap};

use self::tokens::{Token, tokens};
use super::packet::{Packet, Way};
use super::ruleset::Ruleset;
use crate::glob::matches;
use crate::{Result, View};

/// How deep files include files.
const DEPTH: usize = 8;
/// The most tokens that are read, those of variables and included files among them.
const TOKENS: usize = 1 << 20;
/// Where files are looked for that are not named by a path.
const INCLUDES: &str = "/etc";

/// The file of rules, and all that it includes.
#[derive(Default)]
pub(super) struct Document {
    variables: HashMap<String, Vec<Token>>,
    tables: BTreeMap<String, Table>,
    taken: usize,
    /// What of it is not understood.
    unknown: Option<String>,
}

#[derive(Default)]
struct Table {
    /// Elements of sets and maps.
    sets: HashMap<String, Vec<Token>>,
    chains: BTreeMap<String, Chain>,
}

#[derive(Default)]
struct Chain {
    /// Type and hook, and the device of one at ingress.
    hook: Option<(String, String)>,
    devices: Vec<String>,
    drops: bool,
    rules: Vec<Vec<Token>>,
}

impl Document {
    /// Reads a file.
    pub(super) fn read(view: &dyn View, path: &str) -> Result<Self> {
        let mut document = Self::default();
        document.include(view, path, 0)?;
        Ok(document)
    }

    /// Reads what is told nft on its command line.
    pub(super) fn of_text(view: &dyn View, text: &str) -> Result<Self> {
        let mut document = Self::default();
        document.statements(view, tokens(text), 0)?;
        Ok(document)
    }

    /// What is in it that is not understood.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// The chains as this packet sees them.
    pub(super) fn ruleset(&self, packet: &Packet<'_>) -> Ruleset {
        let mut set = Ruleset::default();
        let rules =
            || self.tables.values().flat_map(|table| table.chains.values()).flat_map(|chain| &chain.rules);
        let sets_mark =
            |rule: &Vec<Token>| rule.windows(2).any(|pair| pair[0].is("mark") && pair[1].is("set"));
        let marks = rules().any(sets_mark);
        for (name, table) in &self.tables {
            let family = name.split(' ').next().unwrap_or_default();
            if !matches!(family, "ip" | "inet" | "netdev") {
                continue;
            }
            for (chain, from) in &table.chains {
                let mut rules = Vec::new();
                for tokens in &from.rules {
                    expression::rules(tokens, name, &table.sets, (packet, marks), &mut rules);
                }
                let is_base = from.sees(packet);
                *set.chain(&format!("{name} {chain}")) =
                    super::ruleset::Chain { is_base, drops: from.drops, rules };
            }
        }
        set
    }

    fn include(&mut self, view: &dyn View, pattern: &str, depth: usize) -> Result<()> {
        let pattern =
            if pattern.starts_with('/') { pattern.to_owned() } else { format!("{INCLUDES}/{pattern}") };
        let (dir, name) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
        let is_pattern = name.contains(['*', '?', '[']);
        let mut files = if is_pattern { view.glob(dir, "")? } else { vec![pattern.clone()] };
        files.retain(|file| {
            let last = file.rsplit('/').next().unwrap_or(file);
            !is_pattern || matches(name, last) && !last.starts_with('.')
        });
        for file in files {
            match view.text(&file)? {
                Some(text) if depth < DEPTH => self.statements(view, tokens(&text), depth)?,
                _ => self.give_up(format!("include {file}")),
            }
        }
        Ok(())
    }

    fn give_up(&mut self, what: String) {
        self.unknown.get_or_insert(what);
    }

    /// What stands outside of any block.
    fn statements(&mut self, view: &dyn View, tokens: Vec<Token>, depth: usize) -> Result<()> {
        let mut input = Input { tokens: tokens.into_iter().rev().collect() };
        while let Some(token) = input.next(self) {
            let word = token.word().unwrap_or_default().to_owned();
            let mut verb = "add";
            let mut object = word;
            if matches!(
                object.as_str(),
                "add" | "create" | "insert" | "replace" | "delete" | "destroy" | "flush"
            ) {
                verb = match object.as_str() {
                    "insert" => "insert",
                    "delete" | "destroy" => "delete",
                    "flush" => "flush",
                    _ => "add",
                };
                object =
                    input.next(self).and_then(|token| token.word().map(str::to_owned)).unwrap_or_default();
            }
            match (verb, object.as_str()) {
                (_, "") => {}
                (_, "define" | "redefine") => {
                    let name = input.word(self);
                    input.skip(self, "=");
                    let value = input.statement(self);
                    self.variables.insert(name, value);
                }
                (_, "include") => {
                    let path = input.word(self);
                    self.include(view, &path, depth.saturating_add(1))?;
                }
                ("flush", "ruleset") => self.tables.clear(),
                ("delete", "table") => {
                    let name = input.table(self);
                    self.tables.remove(&name);
                }
                ("flush", "table") => {
                    let name = input.table(self);
                    self.table(&name).chains.values_mut().for_each(|chain| chain.rules.clear());
                }
                ("flush", "chain") => {
                    let (table, chain) = (input.table(self), input.word(self));
                    self.chain(&table, &chain).rules.clear();
                }
                ("add", "table") => {
                    let name = input.table(self);
                    self.table(&name);
                    if input.opens(self) {
                        self.block_of_table(view, &mut input, &name, depth)?;
                    }
                }
                ("add", "chain") => {
                    let (table, chain) = (input.table(self), input.word(self));
                    self.chain(&table, &chain);
                    if input.opens(self) {
                        self.block_of_chain(view, &mut input, &table, &chain, depth)?;
                    }
                }
                ("add" | "insert", "rule") => {
                    let (table, chain) = (input.table(self), input.word(self));
                    let mut rule = input.statement(self);
                    if rule
                        .first()
                        .is_some_and(|token| ["index", "position", "handle"].iter().any(|one| token.is(one)))
                    {
                        rule.drain(..2.min(rule.len()));
                    }
                    let rules = &mut self.chain(&table, &chain).rules;
                    let at = if verb == "insert" { 0 } else { rules.len() };
                    rules.insert(at, rule);
                }
                ("add", "set" | "map") => {
                    let (table, set) = (input.table(self), input.word(self));
                    self.set(&mut input, &table, &set);
                }
                ("add", "element") => {
                    let (table, set) = (input.table(self), input.word(self));
                    let more = input.statement(self);
                    let set = self.table(&table).sets.entry(set).or_default();
                    set.push(Token::Sign(","));
                    set.extend(more);
                }
                ("add", "counter" | "flowtable" | "limit" | "quota" | "ct" | "secmark" | "synproxy")
                | (_, "undefine")
                | ("flush", _) => drop(input.statement(self)),
                (verb, object) => {
                    let what = format!("{verb} {object}");
                    let _ = input.statement(self);
                    self.give_up(what);
                }
            }
        }
        Ok(())
    }

    fn block_of_table(
        &mut self,
        view: &dyn View,
        input: &mut Input,
        table: &str,
        depth: usize,
    ) -> Result<()> {
        while let Some(token) = input.next(self) {
            match token.word().unwrap_or_default() {
                _ if token.is("}") => break,
                "chain" => {
                    let name = input.word(self);
                    self.chain(table, &name);
                    if input.opens(self) {
                        self.block_of_chain(view, input, table, &name, depth)?;
                    }
                }
                "set" | "map" => {
                    let name = input.word(self);
                    self.set(input, table, &name);
                }
                "include" => {
                    let path = input.word(self);
                    self.give_up(format!("include {path} in a table"));
                }
                "" => {}
                _ => drop(input.statement(self)),
            }
        }
        Ok(())
    }

    fn block_of_chain(
        &mut self,
        view: &dyn View,
        input: &mut Input,
        table: &str,
        chain: &str,
        depth: usize,
    ) -> Result<()> {
        loop {
            if input.closes(self) {
                return Ok(());
            }
            let statement = input.statement(self);
            let words: Vec<&str> = statement.iter().filter_map(Token::word).collect();
            match words.as_slice() {
                [] if input.tokens.is_empty() => return Ok(()),
                [] | ["comment" | "flags", ..] => {}
                ["type", kind, "hook", hook, rest @ ..] => {
                    let devices = rest.iter().skip_while(|word| !word.starts_with("device")).skip(1);
                    let devices =
                        devices.take_while(|word| **word != "priority").map(|word| (*word).to_owned());
                    let devices = devices.collect();
                    let known = self.chain(table, chain);
                    known.devices = devices;
                    known.hook = Some(((*kind).to_owned(), (*hook).to_owned()));
                    let policy = rest.iter().skip_while(|word| **word != "policy").nth(1);
                    known.drops |= policy == Some(&"drop");
                }
                ["policy", policy, ..] => self.chain(table, chain).drops = *policy == "drop",
                ["include", path] => {
                    let path = (*path).to_owned();
                    self.rules_of(view, &path, table, chain, depth)?;
                }
                _ => self.chain(table, chain).rules.push(statement),
            }
        }
    }

    /// Rules in a file of their own.
    fn rules_of(
        &mut self,
        view: &dyn View,
        path: &str,
        table: &str,
        chain: &str,
        depth: usize,
    ) -> Result<()> {
        match view.text(path)?.filter(|_| depth < DEPTH) {
            Some(text) => {
                let mut input = Input { tokens: tokens(&text).into_iter().rev().collect() };
                self.block_of_chain(view, &mut input, table, chain, depth.saturating_add(1))
            }
            None => {
                self.give_up(format!("include {path}"));
                Ok(())
            }
        }
    }

    /// A set or map: its elements.
    fn set(&mut self, input: &mut Input, table: &str, name: &str) {
        let mut elements = Vec::new();
        if input.opens(self) {
            while !input.closes(self) && !input.tokens.is_empty() {
                let statement = input.statement(self);
                if statement.first().is_some_and(|token| token.is("elements")) {
                    elements.extend(statement.into_iter().skip_while(|token| !token.is("{")));
                }
            }
        }
        self.table(table).sets.entry(name.to_owned()).or_default().extend(elements);
    }

    fn table(&mut self, name: &str) -> &mut Table {
        self.tables.entry(name.to_owned()).or_default()
    }

    fn chain(&mut self, table: &str, name: &str) -> &mut Chain {
        self.table(table).chains.entry(name.to_owned()).or_default()
    }
}

impl Chain {
    /// Whether the packet comes by it from a hook.
    fn sees(&self, packet: &Packet<'_>) -> bool {
        let Some((kind, hook)) = &self.hook else { return false };
        if kind == "nat" && packet.way != Way::First {
            return false;
        }
        match hook.as_str() {
            "prerouting" | "input" => packet.is_inbound(),
            "ingress" => packet.is_inbound() && self.devices.iter().any(|device| device == packet.card),
            "output" | "postrouting" => !packet.is_inbound(),
            "egress" => !packet.is_inbound() && self.devices.iter().any(|device| device == packet.card),
            _ => false,
        }
    }
}

/// What is left to read, the next token last. Variables are replaced on the way.
struct Input {
    tokens: Vec<Token>,
}

impl Input {
    fn next(&mut self, document: &mut Document) -> Option<Token> {
        loop {
            let token = self.tokens.pop()?;
            document.taken = document.taken.saturating_add(1);
            if document.taken > TOKENS {
                document.give_up("it is too long".into());
                self.tokens.clear();
                return None;
            }
            let Some(name) = token.word().and_then(|word| word.strip_prefix('$')) else { return Some(token) };
            match document.variables.get(name) {
                Some(value) => self.tokens.extend(value.iter().rev().cloned()),
                // It is looked at where it stands.
                None => return Some(token),
            }
        }
    }

    /// The next word.
    fn word(&mut self, document: &mut Document) -> String {
        let token = self.next(document);
        token.and_then(|token| token.word().map(str::to_owned)).unwrap_or_default()
    }

    /// A table with its family: "inet filter".
    fn table(&mut self, document: &mut Document) -> String {
        const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
        let first = self.word(document);
        match FAMILIES.contains(&first.as_str()) {
            true => format!("{first} {}", self.word(document)),
            false => format!("ip {first}"),
        }
    }

    fn skip(&mut self, document: &mut Document, sign: &str) {
        if self.tokens.last().is_some_and(|token| token.is(sign)) {
            self.next(document);
        }
    }

    /// Whether a block opens here, perhaps on a line of its own; its brace is taken.
    fn opens(&mut self, document: &mut Document) -> bool {
        let is_block =
            self.tokens.iter().rev().find(|token| **token != Token::End).is_some_and(|token| token.is("{"));
        while is_block && self.next(document).is_some_and(|token| !token.is("{")) {}
        is_block
    }

    /// Whether the block closes here; its brace is taken.
    fn closes(&mut self, document: &mut Document) -> bool {
        while self.tokens.last() == Some(&Token::End) {
            self.next(document);
        }
        let is_close = self.tokens.last().is_some_and(|token| token.is("}"));
        if is_close {
            self.next(document);
        }
        is_close
    }

    /// All up to the end of the statement; a brace that closes the block around it stays.
    fn statement(&mut self, document: &mut Document) -> Vec<Token> {
        let mut out = Vec::new();
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.last() {
            if depth == 0 && token.is("}") {
                break;
            }
            let Some(token) = self.next(document) else { break };
            if token.is("{") {
                depth = depth.saturating_add(1);
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
            }
            match token {
                Token::End if depth == 0 => break,
                Token::End => {}
                token => out.push(token),
            }
        }
        out
    }
}
