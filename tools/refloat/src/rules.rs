//! `refloat rules`: every rule, its cause, its fix and where it is from.

use anyhow::anyhow;
use guestfix::{Phase, RuleMeta, Severity, rules};
use serde::Serialize;

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{Global, RulesArgs};

#[derive(Serialize)]
struct Row {
    id: &'static str,
    title: &'static str,
    phase: Phase,
    severity: Severity,
    cause: &'static str,
    fix: &'static str,
    source: &'static str,
}

impl From<&RuleMeta> for Row {
    fn from(meta: &RuleMeta) -> Self {
        let RuleMeta { id, title, phase, severity, cause, fix, source } = *meta;
        Self { id, title, phase, severity, cause, fix, source }
    }
}

#[derive(Serialize)]
struct Table {
    rules: Vec<Row>,
}

pub(crate) fn run(global: &Global, args: &RulesArgs) -> Outcome {
    let mut rules: Vec<Row> = rules::ALL.iter().map(|rule| Row::from(rule.meta())).collect();
    if let Some(id) = &args.id {
        rules.retain(|rule| rule.id == id);
        if rules.is_empty() {
            let error: anyhow::Result<()> = Err(anyhow!("there is no rule {id}"));
            error.help("refloat rules lists them all")?;
        }
    }
    if global.json {
        answer::json("refloat.rules/1", &Table { rules })?;
    } else if args.id.is_some() {
        answer::text(&rules.iter().map(whole).collect::<String>())?;
    } else {
        answer::text(&rules.iter().map(line).collect::<String>())?;
    }
    Ok(Answer::Yes)
}

fn line(rule: &Row) -> String {
    format!("{:<34}  {:<8}  {}\n", rule.id, format!("{:?}", rule.severity).to_lowercase(), rule.title)
}

fn whole(rule: &Row) -> String {
    let Row { id, title, cause, fix, source, .. } = rule;
    let (phase, severity) =
        (format!("{:?}", rule.phase).to_lowercase(), format!("{:?}", rule.severity).to_lowercase());
    format!(
        "{id}: {title}\n\n  {severity}, phase {phase}\n  why     {cause}\n  fix     {fix}\n  source  {source}\n"
    )
}
