//! The survey as one page for a browser: verdicts, what rules find on which machines, and every machine. Nothing is
//! loaded, no script is run.

use std::collections::BTreeMap;
use std::fmt::Write;

use guestfix::report::escape::escape_html;

use super::page::{STYLE, bar};
use super::survey::{Survey, Surveyed, Verdict};
use crate::forecast::{EGRESS, GB};

/// Rules in the map: those that find something on most machines.
const RULES: usize = 40;
/// Pixels of a cell of the map, at most.
const CELL: f64 = 12.0;
/// Pixels of the map.
const WIDE: f64 = 900.0;

const MORE: &str = "\
.ready{color:var(--good)}.fixable{color:var(--run)}.blocked{color:var(--bad)}.unknown{color:var(--warn)}\
.map{overflow-x:auto}.map svg{width:auto;max-width:100%;height:auto}.map text{font-size:11px;fill:var(--ink)}\
.map path.blocker{fill:var(--bad)}.map path.warning{fill:var(--warn)}.map path.note{fill:var(--run)}\
summary{cursor:pointer}details ul{margin:.25rem 0;padding-left:1.25rem}";

pub(crate) fn html(survey: &Survey, machines: &[Surveyed]) -> String {
    let all = survey.machines;
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{all} machines</title><style>{STYLE}{MORE}</style></head>\
         <body><main>\n<h1>{all} machines</h1>\n"
    );
    page.push_str(&bar(survey.counts.iter().map(|(verdict, machines)| (verdict.word(), *machines))));
    let egress = survey.gib as f64 * f64::from(1 << 30) / GB * EGRESS;
    // Writing to a string does not fail.
    let _ = writeln!(
        page,
        "<p>{} GiB of disks. If all of it were data, it would be {:.1} hours of reading and ${egress:.0} for what leaves \
         AWS (us-east-1); what is empty is neither read nor sent. This survey read {} blocks by {} requests, \
         ${:.2}.</p>\n<p class=\"soft\">Ready \
         boots as it is; fixable boots once refloat migrate has mended it; blocked has to be mended by hand first; unknown \
         could not be looked at.</p>",
        survey.gib, survey.hours, survey.blocks, survey.requests, survey.dollars
    );
    page.push_str(&refused(survey));
    page.push_str(&map(machines));
    page.push_str(&waves(machines));
    page.push_str(
        "<h2>Machines</h2>\n<table><thead><tr><th>Machine<th>Verdict<th>System<th>Size<th>Target<th>Wave</tr></thead><tbody>\n",
    );
    machines.iter().for_each(|machine| page.push_str(&line(machine)));
    page.push_str("</tbody></table>\n</main></body></html>\n");
    page
}

/// Accounts of which nothing is known.
fn refused(survey: &Survey) -> String {
    let lines: String = (survey.refused.iter())
        .map(|one| format!("<li>{}: {}", escape_html(&one.place()), escape_html(&one.why)))
        .collect();
    match survey.refused.is_empty() {
        true => lines,
        false => format!("<h2 class=\"unknown\">Not looked at</h2>\n<ul>{lines}</ul>\n"),
    }
}

/// Which rule finds something on which machine: a row a rule, a column a machine.
fn map(machines: &[Surveyed]) -> String {
    let mut found: BTreeMap<&str, (&str, Vec<usize>)> = BTreeMap::new();
    for (column, machine) in machines.iter().enumerate() {
        for (rule, severity) in &machine.rules {
            found.entry(rule).or_insert((severity, Vec::new())).1.push(column);
        }
    }
    if found.is_empty() {
        return String::new();
    }
    let mut rules: Vec<_> = found.into_iter().collect();
    rules.sort_by_key(|(_, (_, columns))| std::cmp::Reverse(columns.len()));
    rules.truncate(RULES);
    let cell = (WIDE / machines.len().max(1) as f64).min(CELL);
    let (left, high) = (260.0, 16.0);
    let wide = left + cell * machines.len() as f64 + 60.0;
    let mut map = format!(
        "<h2>What is found where</h2>\n<p class=\"soft\">A row is a rule, a column a machine in the order of the table \
         below; the number says on how many.</p>\n<div class=\"map\"><svg viewBox=\"0 0 {wide:.0} {:.0}\" width=\"{wide:.0}\" \
         role=\"img\" aria-label=\"rules by machines\">",
        high * rules.len() as f64
    );
    for (row, (rule, (severity, columns))) in rules.iter().enumerate() {
        let top = row as f64 * high;
        let mut path = String::new();
        for run in columns.chunk_by(|one, next| one + 1 == *next) {
            let at = left + run.first().copied().unwrap_or(0) as f64 * cell;
            let wide = (run.len() as f64 - 0.1) * cell;
            let _ = write!(path, "M{at:.1} {:.1}h{wide:.1}v{:.1}h-{wide:.1}z", top + 2.0, high - 4.0);
        }
        let _ = write!(
            map,
            "<text x=\"0\" y=\"{:.1}\">{}</text><path class=\"{}\" d=\"{path}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            top + 12.0,
            escape_html(rule),
            escape_html(severity),
            left + cell * machines.len() as f64 + 8.0,
            top + 12.0,
            columns.len()
        );
    }
    map + "</svg></div>\n"
}

fn waves(machines: &[Surveyed]) -> String {
    let mut waves: BTreeMap<u32, [usize; 4]> = BTreeMap::new();
    for machine in machines {
        let counts = waves.entry(machine.wave).or_default();
        counts[Verdict::ALL.iter().position(|verdict| *verdict == machine.verdict).unwrap_or(3)] += 1;
    }
    if waves.len() < 2 {
        return String::new();
    }
    let heads: String = Verdict::ALL.iter().map(|verdict| format!("<th>{}", verdict.word())).collect();
    let mut table = format!("<h2>Waves</h2>\n<table><thead><tr><th>Wave{heads}</tr></thead><tbody>\n");
    for (wave, counts) in waves {
        let cells: String = counts.iter().map(|count| format!("<td class=\"n\">{count}")).collect();
        let _ = writeln!(table, "<tr><td class=\"n\">{wave}{cells}</tr>");
    }
    table + "</tbody></table>\n"
}

fn line(machine: &Surveyed) -> String {
    let title =
        machine.name.as_ref().map(|name| format!(" <span class=\"soft\">{}</span>", escape_html(name)));
    let id = escape_html(&machine.id);
    let id = match &machine.page {
        Some(page) => format!("<a href=\"{}\">{id}</a>", escape_html(page)),
        None => id,
    };
    let account = machine.account.as_ref();
    let account =
        account.map(|id| format!(" <span class=\"soft\">in {}</span>", escape_html(id))).unwrap_or_default();
    let kind = machine.kind.as_ref().map(|kind| format!(", {}", escape_html(kind))).unwrap_or_default();
    let why = machine.why.as_ref().map(|why| format!(": {}", escape_html(why))).unwrap_or_default();
    let rules: String = machine
        .rules
        .iter()
        .map(|(rule, severity)| format!("<li>{} ({})", escape_html(rule), escape_html(severity)))
        .collect();
    let found = match machine.rules.len() {
        0 => String::new(),
        count => format!("<details><summary>{count} found</summary><ul>{rules}</ul></details>"),
    };
    format!(
        "<tr><td>{id}{}{account}<td><span class=\"{}\">{}</span>{why}{found}<td>{}{kind}<td class=\"n\">{} GiB<td>{}<td class=\"n\">{}</tr>\n",
        title.unwrap_or_default(),
        machine.verdict.word(),
        machine.verdict.word(),
        escape_html(machine.os.as_deref().unwrap_or("")),
        machine.gib,
        escape_html(&machine.target),
        machine.wave,
    )
}
