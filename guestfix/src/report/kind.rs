//! The forms in which a report is written, each a function over one [`Report`].

use serde::Serialize;

use super::escape::escape_json;
use super::{Report, html, jsonl, junit, markdown, migrate_csv, sarif};
use crate::{Error, Result};

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Lines for people, with all evidence.
    Text,
    /// One JSON document, as `check --json` answers.
    Json,
    /// One JSON object a line: the machine, then what each rule says.
    Jsonl,
    /// JUnit's XML, for continuous integration: one suite a machine, one test a rule.
    Junit,
    /// SARIF 2.1.0, for code scanning: one result a piece of evidence.
    Sarif,
    /// CommonMark with GitHub's tables.
    Markdown,
    /// One page of HTML that needs nothing else.
    Html,
    /// The file that Azure Migrate imports servers from.
    AzureMigrateCsv,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::Json,
        Self::Jsonl,
        Self::Junit,
        Self::Sarif,
        Self::Markdown,
        Self::Html,
        Self::AzureMigrateCsv,
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Junit => "junit",
            Self::Sarif => "sarif",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::AzureMigrateCsv => "azure-migrate-csv",
        }
    }

    /// The kind of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it shows the changes of the plan, which take a while to be put together.
    pub fn shows_changes(self) -> bool {
        matches!(self, Self::Markdown | Self::Html)
    }
}

impl Report {
    /// The whole file. A report that is to show changes needs [`changes`](Self::changes).
    ///
    /// # Errors
    /// None in practice: `Refused` if it cannot be written as JSON.
    pub fn render(&self, kind: Kind) -> Result<String> {
        Ok(match kind {
            Kind::Text => format!("{}{}\n", self.page(true), self.answer()),
            Kind::Json => json(&Whole { schema: super::SCHEMA, report: self })?,
            Kind::Jsonl => jsonl::render(self)?,
            Kind::Junit => junit::render(self),
            Kind::Sarif => json(&sarif::render(self))?,
            Kind::Markdown => markdown::render(self),
            Kind::Html => html::render(self),
            Kind::AzureMigrateCsv => migrate_csv::render(self),
        })
    }
}

/// A report that says which document it is.
#[derive(Serialize)]
struct Whole<'a> {
    schema: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

/// A document of JSON, with a line end.
fn json(document: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(document).map_err(no_json)?;
    Ok(escape_json(&json).into_owned() + "\n")
}

pub(super) fn no_json(error: serde_json::Error) -> Error {
    Error::Refused(format!("the report is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.name()), Some(kind));
        }
        assert_eq!(Kind::of("pdf"), None);
    }
}
