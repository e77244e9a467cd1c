//! A report as lines of JSON: one for the machine, then one for each rule.

use serde::Serialize;

use super::escape::escape_json;
use super::kind::no_json;
use super::{Readiness, Report};
use crate::Result;
use crate::bootwalk::Chain;
use crate::plan::{Count, Item};

/// A line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Row<'a> {
    /// The first one.
    Machine {
        schema: &'static str,
        image: &'a str,
        target: &'static str,
        ready: bool,
        ready_after_fix: bool,
        azure: Option<&'a Readiness>,
        count: Count,
        boot: &'a Chain,
    },
    /// What a rule says.
    Rule {
        image: &'a str,
        #[serde(flatten)]
        item: &'a Item,
    },
}

/// The schema of a line.
const SCHEMA: &str = "refloat.check-lines/1";

pub(super) fn render(report: &Report) -> Result<String> {
    let boot = report.check.walk.chain();
    let first = Row::Machine {
        schema: SCHEMA,
        image: &report.image,
        target: report.goal.target.id,
        ready: report.ready,
        ready_after_fix: report.ready_after_fix,
        azure: report.azure.as_ref(),
        count: report.count,
        boot: &boot,
    };
    let rest = report.items().map(|item| Row::Rule { image: &report.image, item });
    let mut text = String::new();
    for row in std::iter::once(first).chain(rest) {
        text += &escape_json(&serde_json::to_string(&row).map_err(no_json)?);
        text.push('\n');
    }
    Ok(text)
}
