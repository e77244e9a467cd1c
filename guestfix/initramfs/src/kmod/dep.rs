//! `modules.dep`: for each module file the files it needs, and `modules.dep.bin`.

use std::collections::BTreeMap;

use super::index::{self, Index};
use crate::error::Result;
use crate::modules::normalise;

/// One line of `modules.dep`. Paths are relative to the module directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The module's file.
    pub path: String,
    /// The files of all modules it needs, those needed last first: `modprobe` inserts from the end.
    pub needs: Vec<String>,
}

/// The content of `modules.dep`, in order: a module's place in it is its priority in all indexes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dep {
    /// The lines.
    pub lines: Vec<Line>,
}

impl Dep {
    /// Reads the text. Old ones (before kmod) have absolute paths: what follows `/<kver>/` is kept.
    #[must_use]
    pub fn parse(text: &[u8], kver: &str) -> Self {
        let text = String::from_utf8_lossy(text);
        Self { lines: text.lines().filter_map(|line| Line::parse(line, kver)).collect() }
    }

    /// Takes the lines back out of a `modules.dep.bin`.
    pub fn from_index(bytes: &[u8], kver: &str) -> Result<Self> {
        let index = Index::read(bytes, "modules.dep.bin")?;
        let values = index.iter().flat_map(|(_, values)| values);
        let mut lines: Vec<_> =
            values.filter_map(|(priority, line)| Some((*priority, Line::parse(line, kver)?))).collect();
        lines.sort_by_key(|(priority, _)| *priority);
        Ok(Self { lines: lines.into_iter().map(|(_, line)| line).collect() })
    }

    /// The line of one module in a `modules.dep.bin`, by its name with underscores.
    pub fn lookup(bytes: &[u8], module: &str, kver: &str) -> Result<Option<Line>> {
        let values = index::lookup(bytes, "modules.dep.bin", module)?;
        Ok(values.first().and_then(|line| Line::parse(line, kver)))
    }

    /// Puts the lines in the order of the kernel's link order (`modules.order`), which `depmod` keeps so that
    /// of two modules with the same alias the same one is tried first. Lines that it does not name stay,
    /// after those it does.
    pub fn sort(&mut self, order: &[u8]) {
        let order = String::from_utf8_lossy(order);
        let ranks: BTreeMap<String, usize> =
            order.lines().zip(0..).map(|(path, rank)| (normalise(path), rank)).collect();
        self.lines.sort_by_key(|line| ranks.get(&normalise(&line.path)).copied().unwrap_or(usize::MAX));
    }

    /// Each module's priority in the binary indexes, by name.
    #[must_use]
    pub fn priorities(&self) -> BTreeMap<String, u32> {
        self.lines.iter().zip(0..).map(|(line, rank)| (normalise(&line.path), rank)).collect()
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| format!("{}\n", line.text()).into_bytes()).collect()
    }

    /// The content of `modules.dep.bin`.
    #[must_use]
    pub fn index(&self) -> Index {
        let mut index = Index::default();
        for (line, rank) in self.lines.iter().zip(0..) {
            index.insert(&normalise(&line.path), &line.text(), rank);
        }
        index
    }
}

impl Line {
    /// Reads one line: `path: path path`.
    #[must_use]
    pub fn parse(line: &str, kver: &str) -> Option<Self> {
        let (path, needs) = line.split_once(':')?;
        let relative = |path: &str| {
            let whole = path.starts_with('/').then(|| path.split_once(&format!("/{kver}/"))).flatten();
            whole.map_or(path, |(_, rest)| rest).to_owned()
        };
        let path = relative(path.trim());
        let needs = needs.split_whitespace().map(relative).collect();
        (!path.is_empty()).then_some(Self { path, needs })
    }

    fn text(&self) -> String {
        let mut text = format!("{}:", self.path);
        for path in &self.needs {
            text.push(' ');
            text.push_str(path);
        }
        text
    }
}
