//! `modules.alias` (a device's name to the module that drives it), `modules.symbols` (an exported symbol to
//! its module; the same format) and their `.bin`; and `modules.softdep`, which has none.

use std::collections::BTreeMap;

use super::index::Index;
use crate::error::Result;

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `modules.alias`.
    Alias,
    /// `modules.symbols`.
    Symbols,
}

impl Table {
    /// The text file's name; the binary one's has `.bin` after it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alias => "modules.alias",
            Self::Symbols => "modules.symbols",
        }
    }

    /// The comment that `depmod` starts the text with.
    fn heading(self) -> &'static str {
        match self {
            Self::Alias => "# Aliases extracted from modules themselves.\n",
            Self::Symbols => "# Aliases for symbols, used by symbol_request().\n",
        }
    }

    /// A name as the binary index has it.
    #[must_use]
    pub fn key(self, name: &str) -> String {
        match self {
            Self::Alias => underscores(name),
            Self::Symbols => name.to_owned(),
        }
    }
}

/// The lines of one of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    /// The alias, a pattern with `*` and `[...]`, and the module's name.
    pub lines: Vec<(String, String)>,
}

impl Aliases {
    /// Reads the text: `alias <name> <module>` lines.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().filter_map(|line| {
            // A name may hold blanks, a module's cannot.
            let (name, module) = line.strip_prefix("alias ")?.rsplit_once(' ')?;
            Some((name.to_owned(), module.to_owned()))
        });
        Self { lines: lines.collect() }
    }

    /// Takes the lines back out of a binary index.
    pub fn from_index(bytes: &[u8], table: Table) -> Result<Self> {
        let index = Index::read(bytes, table.name())?;
        let mut lines: Vec<_> = index
            .iter()
            .flat_map(|(key, values)| values.iter().map(move |(priority, module)| (*priority, key, module)))
            .map(|(priority, key, module)| {
                (priority, String::from_utf8_lossy(key).into_owned(), module.clone())
            })
            .collect();
        lines.sort();
        Ok(Self { lines: lines.into_iter().map(|(_, name, module)| (name, module)).collect() })
    }

    /// The text.
    #[must_use]
    pub fn text(&self, table: Table) -> Vec<u8> {
        let mut text = table.heading().to_owned();
        for (name, module) in &self.lines {
            text.push_str(&format!("alias {name} {module}\n"));
        }
        text.into_bytes()
    }

    /// The content of the binary index; `priorities` as `modules.dep` gives them.
    #[must_use]
    pub fn index(&self, table: Table, priorities: &BTreeMap<String, u32>) -> Index {
        let mut index = Index::default();
        for (name, module) in &self.lines {
            let priority = priorities.get(module).copied().unwrap_or(u32::MAX);
            index.insert(&table.key(name), module, priority);
        }
        index
    }
}

/// `modules.softdep`: modules to load before and after another if they exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Softdeps {
    /// The module and the rest of its line: `pre: a b post: c`.
    pub lines: Vec<(String, String)>,
}

impl Softdeps {
    /// Reads the text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().filter_map(|line| {
            let (module, rest) = line.strip_prefix("softdep ")?.split_once(' ')?;
            Some((module.to_owned(), rest.to_owned()))
        });
        Self { lines: lines.collect() }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let mut text = "# Soft dependencies extracted from modules themselves.\n".to_owned();
        for (module, rest) in &self.lines {
            text.push_str(&format!("softdep {module} {rest}\n"));
        }
        text.into_bytes()
    }
}

/// `-` becomes `_`, save between brackets, where it makes a range.
fn underscores(name: &str) -> String {
    let mut bracket = false;
    name.chars()
        .map(|char| {
            bracket = (bracket || char == '[') && char != ']';
            if char == '-' && !bracket { '_' } else { char }
        })
        .collect()
}
