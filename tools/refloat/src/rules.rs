//! `refloat rules`: every rule, its cause, its fix and where it is from; with `--symptom`, those that a
//! serial console leads to.

use anyhow::anyhow;
use guestfix::handover::document::{self, Block};
use guestfix::report::{self, Ink, Line, Page};
use guestfix::rule::{Applies, Pack, Source};
use guestfix::rules::packs::PACKS;
use guestfix::{Phase, Rule, RuleMeta, Severity, rules, symptoms};
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
    /// What a serial console shows of it, or people search for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    symptoms: Vec<&'static str>,
}

impl From<&Rule> for Row {
    fn from(rule: &Rule) -> Self {
        let RuleMeta { id, title, pack, phase, severity, cause, fix, source, applies } = rule.meta;
        let (by_hand, symptoms) = (rule.fix.is_none(), symptoms::texts_of(id));
        Self { id, title, pack, phase, severity, cause, fix, by_hand, source, applies, symptoms }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Table {
    rules: Vec<Row>,
}

impl Document for Table {
    const SCHEMA: &'static str = "refloat.rules/3";
}

pub(crate) fn run(context: &Context, args: &RulesArgs) -> Outcome {
    if let Some(symptom) = &args.symptom {
        return symptom::run(context, symptom);
    }
    let mut rules: Vec<Row> = rules::every().map(Row::from).collect();
    if let Some(id) = &args.id {
        rules.retain(|rule| rule.id == id);
        if rules.is_empty() {
            let error: anyhow::Result<()> = Err(anyhow!("there is no rule {id}"));
            error.help(help::RULES)?;
        }
    }
    let table = Table { rules };
    if args.markdown {
        context.out.own(document::markdown(&all(&table)).as_bytes())?;
        return Ok(Answer::Yes);
    }
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

/// The page of all rules: a table of them for each pack, then each rule by itself.
fn all(table: &Table) -> Vec<Block> {
    let mut blocks = vec![
        Block::Heading(1, "Rules".into()),
        Block::Text("By cargo xtask rules-page; refloat rules ID shows one of them.".into()),
    ];
    for pack in PACKS {
        blocks.push(Block::Heading(2, pack.id.into()));
        let text = format!("{} Version {}, of {}.", pack.title, pack.version, pack.date);
        blocks.push(Block::Text(text));
        let ids: Vec<&str> = pack.rules.iter().map(|rule| rule.meta.id).collect();
        let own = table.rules.iter().filter(|row| ids.contains(&row.id));
        let row = |it: &Row| {
            let severity = format!("{:?}", it.severity).to_lowercase();
            let remedy = if it.by_hand { "by hand: " } else { "" };
            let sources: Vec<String> = it.source.iter().map(ToString::to_string).collect();
            vec![
                it.id.to_owned(),
                severity,
                it.title.to_owned(),
                it.cause.to_owned(),
                format!("{remedy}{}", it.fix),
                sources.join("; "),
            ]
        };
        let head = vec!["rule", "severity", "what must be true", "why", "fix", "source"];
        blocks.push(Block::Table(head, own.map(row).collect()));
    }
    blocks
}

fn line(rule: &Row) -> Line {
    report::severity(rule.severity).text(format!("{:<38}  {}", rule.id, rule.title)).hang(11)
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
    let symptoms = rule.symptoms.iter().map(|text| ("symptom", (*text).to_owned()));
    for (name, text) in lines.into_iter().chain(sources).chain(symptoms) {
        page.line(Line::default().ink(Ink::Heading, format!("{name:<9}")).text(text).hang(9));
    }
}
