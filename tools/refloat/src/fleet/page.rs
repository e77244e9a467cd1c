//! The status as one page for a browser: nothing is loaded, no script is run.

use std::fmt::Write;

use guestfix::report::escape::escape_html;

use super::state::{Stage, time_of};
use super::status::{Row, Status};
use super::tested::Tested;
use crate::present;

/// The chart of machines done over time, in units of its view box.
const WIDE: f64 = 640.0;
const HIGH: f64 = 120.0;

pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5a6472;--line:#d9dee6;--paper:#fff;--good:#1f7a4d;--bad:#b3261e;\
--warn:#8a5a00;--run:#1f5fb0}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#a3adba;--line:#343c48;--paper:#14181e;--good:#5fc792;\
--bad:#ff8a80;--warn:#f0b84d;--run:#7fb4f5}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:70rem;margin:2rem auto;\
padding:0 1rem}h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p.soft,td.soft,th{color:var(--soft)}\
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600;font-size:.85rem;white-space:nowrap}\
td,th{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}\
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}code{font:.9em ui-monospace,monospace}\
.bar{display:flex;height:1.25rem;border-radius:.3rem;overflow:hidden;margin:1rem 0 .5rem;background:var(--line)}\
.done{color:var(--good)}.running{color:var(--run)}.interrupted{color:var(--warn)}.waiting{color:var(--soft)}\
.refused,.failed{color:var(--bad)}.bar span{background:currentColor}.refused{opacity:.8}\
ul.key{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin:0}\
svg{width:100%;height:auto;color:var(--good)}svg text{fill:var(--soft);font-size:11px}\
@media print{body{margin:0;max-width:none}}";

/// How such a page begins.
pub(super) const START: &str = "<!doctype html>\n<!-- refloat fleet status -->\n";

pub(crate) fn html(status: &Status) -> String {
    let (done, all) = (status.count(Stage::Done), status.machines.len());
    let mut page = format!(
        "{START}<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{done} of {all} machines done</title><style>{STYLE}\
         </style></head><body><main>\n<h1>{done} of {all} machines done</h1>\n<p class=\"soft\">{}, as of {}</p>\n",
        escape_html(&status.folder),
        time_of(status.at)
    );
    // Writing to a string does not fail.
    let _ = page.write_str(&bar(status.counts.iter().map(|count| (count.stage.word(), count.machines))));
    if let Some(next) = status.next() {
        let _ = writeln!(page, "<p>Next: <code>{}</code></p>", escape_html(&next));
    }
    let _ = page.write_str(&chart(status));
    if !status.causes.is_empty() {
        page.push_str("<h2>What stands against machines</h2>\n<table><thead><tr><th>Machines<th>Why<th>What to do</tr></thead><tbody>\n");
        for cause in &status.causes {
            let help = cause.help.as_deref().unwrap_or("");
            let names = cause.machines.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
            let more = cause.machines.len().saturating_sub(10);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _ = writeln!(
                page,
                "<tr><td>{}{more}<td>{}<td>{}</tr>",
                escape_html(&names),
                escape_html(&cause.why),
                escape_html(help)
            );
        }
        page.push_str("</tbody></table>\n");
    }
    // A column that says nothing of anyone is none.
    let test = if status.tests.is_empty() { "" } else { "<th>Test in Azure" };
    let _ = writeln!(
        page,
        "<h2>Machines</h2>\n<table><thead><tr><th>Row<th>Machine<th>Wave<th>Stage{test}<th>Bytes<th>Time<th>Attempts</tr>\
         </thead><tbody>"
    );
    status.machines.iter().for_each(|row| page.push_str(&line(row, status)));
    page.push_str("</tbody></table>\n</main></body></html>\n");
    page
}

/// All machines as one bar of parts, each a word and how many, and what they are.
pub(super) fn bar<'a>(parts: impl Iterator<Item = (&'a str, usize)>) -> String {
    let (mut bar, mut key) = (String::new(), String::new());
    for (word, machines) in parts.filter(|(_, machines)| *machines > 0) {
        let _ = write!(bar, "<span class=\"{word}\" style=\"flex:{machines}\"></span>");
        let _ = write!(key, "<li class=\"{word}\">{machines} {word}</li>");
    }
    format!("<div class=\"bar\" aria-hidden=\"true\">{bar}</div>\n<ul class=\"key\">{key}</ul>\n")
}

/// How many machines were done when.
fn chart(status: &Status) -> String {
    let mut ends: Vec<u64> = status.machines.iter().filter_map(|row| row.ended).collect();
    ends.sort_unstable();
    let first = status.machines.iter().filter_map(|row| row.began).min();
    let (Some(first), Some(last)) = (first, ends.last().copied()) else { return String::new() };
    let (span, all) = ((last - first.min(last)).max(1) as f64, status.machines.len().max(1) as f64);
    let at = |end: u64| end.saturating_sub(first) as f64 / span * WIDE;
    let mut path = format!("M0 {HIGH}");
    for (done, end) in ends.iter().enumerate() {
        let high = HIGH - (done as f64 + 1.0) / all * HIGH;
        let _ = write!(path, "H{:.1}V{high:.1}", at(*end));
    }
    let bytes: u64 = status.machines.iter().filter(|row| row.stage == Stage::Done).map(|row| row.bytes).sum();
    let rate = present::size((bytes as f64 / span) as u64);
    format!(
        "<h2>Done over time</h2>\n<svg viewBox=\"0 -8 {WIDE} {}\" role=\"img\" aria-label=\"{} machines done between {} \
         and {}\"><path d=\"{path}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"/><path d=\"M0 {HIGH}H{WIDE}\" \
         stroke=\"var(--line)\"/><text x=\"0\" y=\"{}\">{}</text><text x=\"{WIDE}\" y=\"{}\" text-anchor=\"end\">{}\
         </text></svg>\n<p class=\"soft\">{} written, {rate} a second</p>\n",
        HIGH + 30.0,
        ends.len(),
        time_of(first),
        time_of(last),
        HIGH + 16.0,
        time_of(first),
        HIGH + 16.0,
        time_of(last),
        present::size(bytes),
    )
}

fn line(row: &Row, status: &Status) -> String {
    let took = row.began.map(|began| row.ended.unwrap_or(status.at).saturating_sub(began));
    let took = took.map(|seconds| format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    let of = row.of.map(|of| format!(" of {}", present::size(of))).unwrap_or_default();
    let bytes = if row.bytes > 0 { present::size(row.bytes) + &of } else { String::new() };
    let because = |why: Option<&String>| why.map(|why| format!(": {}", escape_html(why))).unwrap_or_default();
    let why = because(row.why.as_ref());
    let test = row.test.as_ref().map(|test| {
        let (class, word) = (test.stage.word(), Tested::word(test.stage));
        format!("<span class=\"{class}\">{word}</span>{}", because(test.why.as_ref()))
    });
    let test =
        if status.tests.is_empty() { String::new() } else { format!("<td>{}", test.unwrap_or_default()) };
    format!(
        "<tr><td class=\"n\">{}<td>{}<td class=\"n\">{}<td><span class=\"{}\">{}</span>{why}{test}<td class=\"n\">{bytes}\
         <td class=\"n\">{}<td class=\"n\">{}</tr>\n",
        row.row,
        escape_html(&row.id),
        row.wave,
        row.stage.word(),
        row.stage.word(),
        took.unwrap_or_default(),
        row.attempts,
    )
}
