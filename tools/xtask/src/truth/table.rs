//! The table of what was judged: a line for each mutant, kept in the repository.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::top;

/// What refloat says of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// It is ready.
    pub(super) ready: bool,
    /// Else the first hop that it does not get past, "initramfs", with a question mark behind it if nobody can
    /// tell; "rule" if the walk arrives and a rule objects; "error" if there was no answer.
    pub(super) hop: String,
}

/// One mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its name.
    pub(super) id: String,
    /// What refloat says of it.
    pub(super) said: Said,
    /// How far it boots: a hop's name, or "nobody can tell"; `None` if it was not booted.
    pub(super) boots: Option<String>,
    /// Whether refloat says that it can mend it.
    pub(super) mended: bool,
    /// How far it boots after that.
    pub(super) boots_mended: Option<String>,
}

impl Said {
    fn text(&self) -> String {
        if self.ready { "ready".into() } else { format!("stops at {}", self.hop) }
    }

    fn parse(text: &str) -> Self {
        match text.strip_prefix("stops at ") {
            Some(hop) => Self { ready: false, hop: hop.into() },
            None => Self { ready: true, hop: String::new() },
        }
    }
}

/// What a login is called.
pub(super) const LOGIN: &str = "login";
/// What a boot is called that showed nothing.
pub(super) const UNKNOWN: &str = "nobody can tell";

impl Row {
    /// For people.
    pub(super) fn shown(&self) -> String {
        let boots = self.boots.as_deref().unwrap_or("not booted");
        let mended = match (&self.boots_mended, self.mended) {
            (Some(boots), _) => format!("; mended: {boots}"),
            (None, true) => "; can be mended".into(),
            (None, false) => String::new(),
        };
        format!("{}: {}; {boots}{mended}", self.id, self.said.text())
    }

    /// The hop that refloat names, without its doubt.
    pub(super) fn hop(&self) -> &str {
        self.said.hop.trim_end_matches('?')
    }

    fn line(&self) -> String {
        let boots = |boots: &Option<String>| boots.clone().unwrap_or_else(|| "-".into());
        let mended = if self.mended { "yes" } else { "no" };
        let cells =
            [self.id.clone(), self.said.text(), boots(&self.boots), mended.into(), boots(&self.boots_mended)];
        cells.join("\t")
    }

    fn parse(line: &str) -> Result<Self> {
        let cells: Vec<_> = line.split('\t').collect();
        let [id, said, boots, mended, boots_mended] = cells[..] else {
            anyhow::bail!("{line:?} has {} cells", cells.len());
        };
        let cell = |text: &str| (text != "-").then(|| text.to_owned());
        Ok(Self {
            id: id.into(),
            said: Said::parse(said),
            boots: cell(boots),
            mended: mended == "yes",
            boots_mended: cell(boots_mended),
        })
    }
}

/// All that was judged, by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<String, Row>,
    /// Whether it is that of the repository.
    kept: bool,
}

const HEAD: &str = "mutant\trefloat says\tit boots to\tcan be mended\tmended, it boots to";

fn path() -> PathBuf {
    top().join("tools/xtask/truth.tsv")
}

impl Table {
    /// The table of the repository, for a run that adds to it.
    pub(super) fn read() -> Result<Self> {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let rows = text.lines().skip(1).map(Row::parse);
        let rows = rows.map(|row| row.map(|row| (row.id.clone(), row))).collect::<Result<_>>();
        Ok(Self { rows: rows.context(path().display().to_string())?, kept: true })
    }

    /// Writes it back, but for the names that there are no more.
    pub(super) fn write(&mut self) -> Result<()> {
        let known: Vec<_> = testimages::mutants::all().iter().map(|mutant| mutant.id()).collect();
        self.rows.retain(|id, _| known.contains(id));
        self.write_kept()
    }

    /// Writes it as it is, so that nothing is lost when the run is stopped.
    pub(super) fn write_kept(&self) -> Result<()> {
        if !self.kept {
            return Ok(());
        }
        let mut text = format!("{HEAD}\n");
        for row in self.rows.values() {
            writeln!(text, "{}", row.line())?;
        }
        fs::write(path(), text).with_context(|| path().display().to_string())
    }

    pub(super) fn put(&mut self, row: Row) {
        self.rows.insert(row.id.clone(), row);
    }

    /// Whether a mutant is called ready, if it was judged.
    pub(super) fn ready(&self, id: &str) -> Option<bool> {
        Some(self.rows.get(id)?.said.ready)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }
}
