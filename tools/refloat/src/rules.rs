//! `refloat rules`: every rule, its cause, its fix and where it is from; with `--symptom`, those that a
//! serial console leads to.

use anyhow::anyhow;
use guestfix::report::{self, Ink, Line, Page};
use guestfix::rule::{Applies, Pack, Source};
use guestfix::{Phase, Rule, RuleMeta, Severity, rules};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::RulesArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{help, symptom};

#[derive(Serialize, JsonSchema)]
pub(crate) struct Row {
    id: &'static str,
    title: &'static str,
    pack: Pack,
    phase: Phase,
    severity: Severity,
    cause: &'static str,
    fix: &'static str,
    /// Whether the user does it.
    by_hand: bool,
    source: &'static [Source],
    applies: Applies,
}

impl From<&Rule> for Row {
    fn from(rule: &Rule) -> Self {
        let RuleMeta { id, title, pack, phase, severity, cause, fix, source, applies } = rule.meta;
        Self { id, title, pack, phase, severity, cause, fix, by_hand: rule.fix.is_none(), source, applies }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Table {
    rules: Vec<Row>,
}

impl Document for Table {
    const SCHEMA: &'static str = "refloat.rules/2";
}

pub(crate) fn run(context: &Context, args: &RulesArgs) -> Outcome {
    if let Some(symptom) = &args.symptom {
        return symptom::run(context, symptom);
    }
    let mut rules: Vec<Row> = rules::ALL.iter().map(|rule| Row::from(*rule)).collect();
    if let Some(id) = &args.id {
        rules.retain(|rule| rule.id == id);
        if rules.is_empty() {
            let error: anyhow::Result<()> = Err(anyhow!("there is no rule {id}"));
            error.help(help::RULES)?;
        }
    }
    let table = Table { rules };
    context.answer(&table, || {
        let mut page = Page::new();
        table
            .rules
            .iter()
            .for_each(|rule| if args.id.is_some() { whole(&mut page, rule) } else { page.line(line(rule)) });
        Ok(page)
    })?;
    Ok(Answer::Yes)
}

fn line(rule: &Row) -> Line {
    report::severity(rule.severity).text(format!("{:<34}  {}", rule.id, rule.title)).hang(11)
}

fn whole(page: &mut Page, rule: &Row) {
    let Row { id, title, severity, cause, fix, .. } = rule;
    page.line(Line::default().ink(Ink::Heading, *id).text(format!(": {title}")).hang(2));
    page.gap();
    page.line(
        report::severity(*severity).text(format!("phase {}", format!("{:?}", rule.phase).to_lowercase())),
    );
    let remedy = if rule.by_hand { "by hand" } else { "fix" };
    let lines = [("why", (*cause).to_owned()), (remedy, (*fix).to_owned())];
    let sources = rule.source.iter().map(|source| ("source", source.to_string()));
    for (name, text) in lines.into_iter().chain(sources) {
        page.line(Line::default().ink(Ink::Heading, format!("{name:<9}")).text(text).hang(9));
    }
}
