//! A report as Markdown, to be put into a ticket or a wiki.

use super::{Report, counted};
use crate::Severity;
use crate::handover::document::{Block, markdown};
use crate::plan::{Item, Remedy, Verdict};
use crate::rule::Evidence;

pub(super) fn render(report: &Report) -> String {
    let mut blocks = vec![
        Block::Heading(1, format!("{}: {}", report.image, report.answer())),
        Block::Text(report.guest.to_string()),
        Block::Table(vec!["question", "answer"], answers(report)),
        Block::Heading(2, "Boot walk".into()),
        Block::Table(vec!["hop", "where", "what", "outcome"], hops(report)),
    ];
    blocks.push(Block::Heading(2, "Findings".into()));
    let rows = findings(report);
    match rows.len() {
        0 => blocks.push(Block::Text("None.".into())),
        _ => blocks.push(Block::Table(vec!["severity", "rule", "where", "what", "what to do"], rows)),
    }
    let count = report.count;
    blocks.push(Block::Text(format!(
        "{} ok, {} not applicable, {} unknown.",
        counted(count.ok, "rule"),
        count.not_applicable,
        count.unknown
    )));
    if !report.changes.is_empty() {
        blocks.push(Block::Heading(2, "What a plan changes".into()));
        blocks.extend(report.changes.iter().map(|change| Block::Diff(change.to_string())));
    }
    if !report.next.is_empty() {
        blocks.push(Block::Heading(2, "What to do next".into()));
        blocks.extend(report.next.iter().map(|line| Block::Code(line.clone())));
    }
    markdown(&blocks)
}

/// What was asked, and the answers.
pub(super) fn answers(report: &Report) -> Vec<Vec<String>> {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let mut rows = vec![
        row("target", report.goal.target.name.to_owned()),
        row("ready as it is", yes(report.ready).to_owned()),
        row("ready once a plan is applied", yes(report.ready_after_fix).to_owned()),
        row("supported there", report.supported.why.clone()),
    ];
    if let Some(azure) = &report.azure {
        let codes = azure.explanations.join(", ");
        let codes = if codes.is_empty() { codes } else { format!(" ({codes})") };
        rows.push(row("in Azure Migrate's words", format!("{}{codes}", azure.verdict.words())));
    }
    rows.extend(report.licence.iter().map(|note| row(note.subject, note.what.to_string())));
    for pack in &report.check.packs {
        let text = format!("{} (version {}, of {})", pack.verdict.words(), pack.version, pack.date);
        rows.push(row(pack.pack, text));
    }
    rows
}

fn hops(report: &Report) -> Vec<Vec<String>> {
    use crate::bootwalk::Outcome;
    let one = |hop: &crate::bootwalk::Hop| {
        let outcome = match &hop.outcome {
            Outcome::Reached => "reached".to_owned(),
            Outcome::Blocked { why } => format!("stops: {why}"),
            Outcome::Unknown { why } => format!("unknown: {why}"),
        };
        vec![hop.kind.to_string(), hop.place.to_string(), hop.what.clone(), outcome]
    };
    report.check.walk.hops().map(one).collect()
}

/// A row for each piece of evidence, blockers first.
fn findings(report: &Report) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (severity, name) in
        [(Severity::Blocker, "blocker"), (Severity::Warning, "warning"), (Severity::Note, "note")]
    {
        for item in report.items().filter(|item| item.severity == severity) {
            rows.extend(of_item(item, name));
        }
    }
    rows
}

fn of_item(item: &Item, severity: &str) -> Vec<Vec<String>> {
    let row = |it: &Evidence, todo: &str| {
        [severity, item.rule, &it.place.to_string(), &it.what, todo].map(str::to_owned).to_vec()
    };
    let unread = item.unread.iter().map(|it| row(it, "cannot be read: find out why"));
    let (evidence, todo) = match &item.verdict {
        Verdict::Wrong { evidence, remedy: Remedy::Fix } => (evidence.as_slice(), "refloat plan"),
        Verdict::Wrong { evidence, remedy: Remedy::ByHand { what } } => (evidence.as_slice(), what.as_str()),
        _ => (&[][..], ""),
    };
    evidence.iter().map(|it| row(it, todo)).chain(unread).collect()
}
