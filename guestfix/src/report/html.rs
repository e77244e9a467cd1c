//! A report as one page of HTML: no scripts, nothing from elsewhere; for a screen, light or dark, and for
//! paper.

mod assessment;
mod picture;

use std::fmt::Write;

use super::markdown::answers;
use super::{Ink, Page, Report, counted};
use crate::bootwalk::Outcome;
use crate::plan::{Item, Remedy, Verdict};
use crate::report::escape::escape_html;
use crate::rule::Evidence;
use crate::{Severity, rules};

const STYLE: &str = include_str!("html/style.css");

/// The most text of all changes, in bytes: the page stays one that can be mailed.
const CHANGES: usize = 96 << 10;
/// The most pieces of evidence of one finding; the others are counted.
const EVIDENCE: usize = 40;

pub(super) fn render(report: &Report) -> String {
    let sections: Vec<(&str, &str, String)> = [
        ("next", "What to do next", next(report)),
        ("boot", "How it boots", boot(report)),
        ("findings", "Findings", findings(report)),
        ("packs", "Assessment", assessment::packs(report)),
        ("sizing", "Size and disks on Azure", assessment::sizing(report)),
        ("drift", "What changed", assessment::drift(report)),
        ("changes", "What a plan changes", changes(report)),
        ("disks", "Disks and volumes", disks(report)),
        ("answers", "Support and licences", support(report)),
        ("rules", "All rules", all_rules(report)),
    ]
    .into_iter()
    .filter(|(.., body)| !body.is_empty())
    .collect();
    let title = escape_html(&report.image);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}: refloat check</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#findings\">Skip to the findings</a>\n"
    );
    let _ = writeln!(
        page,
        "<header>\n<p class=\"over\">refloat check, for {}</p>\n<h1>{title}</h1>\n<p class=\"soft\">{}</p>\n</header>",
        escape_html(report.goal.target.name),
        escape_html(&report.guest.to_string())
    );
    page += "<nav aria-label=\"Parts of this page\"><ul>";
    for (id, name, _) in &sections {
        let _ = write!(page, "<li><a href=\"#{id}\">{name}</a></li>");
    }
    page += "</ul></nav>\n<main>\n";
    page += &verdict(report);
    for (id, name, body) in &sections {
        let _ = writeln!(
            page,
            "<section id=\"{id}\" aria-labelledby=\"{id}-name\">\n<h2 id=\"{id}-name\">{name}</h2>\n{body}</section>"
        );
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        page,
        "</main>\n<footer><p>refloat {version}. What was not looked at counts as unknown, never as well.</p></footer>\n\
         </body>\n</html>"
    );
    page
}

/// The answer, and how many rules say what.
fn verdict(report: &Report) -> String {
    let warnings = report.check.faults(Severity::Warning).count();
    let tone = match (report.ready, report.ready_after_fix) {
        (true, _) if warnings == 0 => "good",
        (true, _) | (false, true) => "warn",
        (false, false) => "bad",
    };
    let sentence = match (report.ready, report.ready_after_fix) {
        (true, _) => "It starts there as it is.",
        (false, true) => "It starts there once the plan is applied.",
        (false, false) => "The plan alone does not make it start there.",
    };
    let mut chips = String::new();
    let mut chip = |tone: &str, text: String| {
        let _ = write!(chips, "<li><span class=\"chip {tone}\">{}</span></li>", escape_html(&text));
    };
    if let Some(azure) = &report.azure {
        chip(tone, format!("Azure: {}", azure.verdict.words()));
    }
    for (severity, tone, name) in [
        (Severity::Blocker, "bad", "blocker"),
        (Severity::Warning, "warn", "warning"),
        (Severity::Note, "note", "note"),
    ] {
        match report.check.faults(severity).count() {
            0 => {}
            count => chip(tone, counted(count, name)),
        }
    }
    if report.count.unknown > 0 {
        chip("warn", format!("{} unknown", report.count.unknown));
    }
    chip("good", format!("{} ok", report.count.ok));
    chip("idle", format!("{} not applicable", report.count.not_applicable));
    format!(
        "<section class=\"verdict {tone}\" aria-label=\"The answer\">\n<p class=\"answer\">{}</p>\n<p>{sentence}</p>\n\
         <ul class=\"counts\">{chips}</ul>\n</section>\n",
        capital(&report.answer())
    )
}

fn next(report: &Report) -> String {
    let step = |line: &String| match line.strip_prefix("next: ") {
        Some(command) if command.starts_with("refloat ") => {
            format!("<li><pre class=\"command\">{}</pre></li>", escape_html(command))
        }
        Some(sentence) => format!("<li>{}</li>", escape_html(sentence)),
        None => format!("<li>{}</li>", escape_html(line)),
    };
    let by_hand: String = report
        .check
        .items
        .iter()
        .filter_map(|item| match &item.verdict {
            Verdict::Wrong { remedy: Remedy::ByHand { what }, .. } if item.severity != Severity::Note => {
                Some(format!(
                    "<li>By hand: {} <span class=\"soft\">(<a href=\"#{}\">{}</a>)</span></li>",
                    escape_html(what),
                    item.rule,
                    item.rule
                ))
            }
            _ => None,
        })
        .collect();
    let steps: String = report.next.iter().map(step).collect();
    match (by_hand.is_empty(), steps.is_empty()) {
        (true, true) => String::new(),
        _ => format!("<ol class=\"next\">{by_hand}{steps}</ol>\n"),
    }
}

fn boot(report: &Report) -> String {
    let walk = &report.check.walk;
    let mut rows = vec![("as it is", walk)];
    if let Some(after) = report.check.walk_after_fix.as_ref().filter(|after| after.chain() != walk.chain()) {
        rows.push(("with the fixes", after));
    }
    let mut body = scrolled("Picture of the boot chain", &picture::chain(&rows));
    if let Some(why) = walk.chain().why() {
        let _ = writeln!(body, "<p>{}</p>", sentence(&why));
    }
    if let Some(why) = report.check.walk_after_fix.as_ref().and_then(|after| after.chain().why()) {
        let _ = writeln!(body, "<p>With the fixes: {}</p>", sentence(&why));
    }
    body += "<details><summary>Every hop, and what was looked at</summary>\n";
    let mut table = String::from(
        "<table><thead><tr><th scope=\"col\">hop</th><th scope=\"col\">where</th><th scope=\"col\">what</th>\
         <th scope=\"col\">outcome</th></tr></thead><tbody>\n",
    );
    for hop in walk.hops() {
        let (tone, outcome) = match &hop.outcome {
            Outcome::Reached => ("good", "reached".to_owned()),
            Outcome::Blocked { why } => ("bad", format!("stops: {why}")),
            Outcome::Unknown { why } => ("warn", format!("unknown: {why}")),
        };
        let _ = writeln!(
            table,
            "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td class=\"{tone}\"><span style=\"color:var(--tone)\">\
             {}</span></td></tr>",
            hop.kind,
            escape_html(&hop.place.to_string()),
            escape_html(&hop.what),
            escape_html(&outcome)
        );
    }
    table += "</tbody></table>";
    body += &scrolled("Table of every hop", &table);
    body + "</details>\n"
}

/// What may be wider than the page, which a keyboard can scroll.
fn scrolled(name: &str, inner: &str) -> String {
    format!("<div class=\"scroll\" role=\"region\" aria-label=\"{name}\" tabindex=\"0\">{inner}</div>\n")
}

/// With a capital letter.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    escape_html(&(first + chars.as_str()))
}

/// A sentence: with a full stop, too.
fn sentence(text: &str) -> String {
    let stop = if text.ends_with(['.', ':', '!', '?']) { "" } else { "." };
    capital(text) + stop
}

fn findings(report: &Report) -> String {
    let mut body = String::new();
    for (severity, tone, name) in [
        (Severity::Blocker, "bad", "Blockers"),
        (Severity::Warning, "warn", "Warnings"),
        (Severity::Note, "note", "Notes"),
    ] {
        let found: String = report
            .check
            .items
            .iter()
            .filter(|item| item.severity == severity)
            .map(|item| finding(item, tone))
            .collect();
        if !found.is_empty() {
            let _ = writeln!(body, "<div class=\"group {tone}\"><h3>{name}</h3>\n{found}</div>");
        }
    }
    for shortage in &report.check.shortages {
        let _ = writeln!(body, "<p>No room for the fixes: {}</p>", escape_html(shortage));
    }
    if body.is_empty() { "<p>None: no rule found a fault.</p>\n".to_owned() } else { body }
}

/// A rule that found a fault, or cannot tell.
fn finding(item: &Item, tone: &str) -> String {
    let (evidence, chip, todo) = match &item.verdict {
        Verdict::Wrong { evidence, remedy: Remedy::Fix } => (evidence.as_slice(), "a plan fixes it", None),
        Verdict::Wrong { evidence, remedy: Remedy::ByHand { what } } => {
            (evidence.as_slice(), "by hand", Some(what.as_str()))
        }
        _ if item.unread.is_empty() => return String::new(),
        _ => (&[][..], "unknown", None),
    };
    let meta = rules::find(item.rule).map(|rule| &rule.meta);
    let mut body = format!(
        "<article class=\"finding\" id=\"{id}\"><div class=\"head\"><h4 style=\"margin:0;font-size:1rem\">{}</h4>\
         <span class=\"chip {}\">{chip}</span><code>{id}</code></div>\n<ul>",
        capital(item.title),
        if todo.is_some() || evidence.is_empty() { tone } else { "idle" },
        id = item.rule
    );
    let line = |piece: &Evidence, why: &str| {
        let (place, what) = (escape_html(&piece.place.to_string()), escape_html(&piece.what));
        format!("<li><code>{place}</code>: {why}{what}</li>")
    };
    body.extend(evidence.iter().take(EVIDENCE).map(|piece| line(piece, "")));
    body.extend(item.unread.iter().take(EVIDENCE).map(|piece| line(piece, "cannot be read: ")));
    if let more @ 1.. = (evidence.len() + item.unread.len()).saturating_sub(EVIDENCE) {
        let _ = write!(body, "<li class=\"soft\">and up to {more} more</li>");
    }
    body += "</ul>\n<dl>";
    if let Some(meta) = meta {
        let _ = write!(body, "<dt>why it matters</dt><dd>{}</dd>", escape_html(meta.cause));
    }
    let todo = todo.or(meta.map(|meta| meta.fix)).unwrap_or_default();
    if !todo.is_empty() {
        let _ = write!(body, "<dt>what to do</dt><dd>{}</dd>", sentence(todo));
    }
    if let Some(meta) = meta {
        let sources: Vec<String> = meta.source.iter().map(ToString::to_string).collect();
        let _ = write!(body, "<dt>source</dt><dd class=\"soft\">{}</dd>", escape_html(&sources.join("; ")));
    }
    body + "</dl></article>\n"
}

fn changes(report: &Report) -> String {
    let mut body = String::new();
    let (mut left, mut hidden) = (CHANGES, 0);
    for change in &report.changes {
        let (text, cut) = diff(change, left);
        if text.is_empty() {
            hidden += 1;
            continue;
        }
        left = left.saturating_sub(text.len());
        let lines = change.lines().len();
        let open = if lines <= 24 { " open" } else { "" };
        let (name, rules) = heading(change);
        let heading = format!("{} <code>{}</code>", escape_html(&name), escape_html(&rules));
        if lines <= 2 {
            // The name says it all.
            let _ = writeln!(body, "<p class=\"change\">{heading}</p>");
            continue;
        }
        let _ = write!(body, "<details{open}><summary>{heading}</summary>\n<pre>{text}</pre>");
        if cut > 0 {
            let _ = write!(
                body,
                "<p class=\"soft\">{} more; refloat plan shows them all.</p>",
                counted(cut, "line")
            );
        }
        body += "</details>\n";
    }
    if hidden > 0 {
        let _ = writeln!(
            body,
            "<p class=\"soft\">{} more; refloat plan shows all.</p>",
            counted(hidden, "change")
        );
    }
    body
}

/// What a change is called, and the rules that ask for it.
fn heading(change: &Page) -> (String, String) {
    let mut lines = change.lines().iter().map(ToString::to_string);
    let rules = lines.next().unwrap_or_default().trim_start_matches("# ").to_owned();
    let rest: Vec<String> = lines.take(2).collect();
    let named = |line: &String| {
        let path = line.strip_prefix("+++ b").or_else(|| line.strip_prefix("--- a"))?;
        Some(path.to_owned())
    };
    let removed = rest.get(1).is_some_and(|line| line == "+++ /dev/null");
    let name = rest.iter().rev().find_map(named);
    let name = match name {
        Some(path) if removed => format!("remove {path}"),
        Some(path) => path,
        None => rest.first().cloned().unwrap_or_default(),
    };
    (name, rules)
}

/// The lines of a change behind its head, at most so many bytes; and how many were left out.
fn diff(change: &Page, room: usize) -> (String, usize) {
    let mut text = String::new();
    let lines = change.lines();
    for (at, line) in lines.iter().enumerate().skip(1) {
        let mut row = String::new();
        for (ink, span) in line.spans() {
            let class = match ink {
                Ink::Added => "add",
                Ink::Removed => "del",
                Ink::Note => "hunk",
                Ink::Heading => "file",
                Ink::Faint => "faint",
                _ => "",
            };
            let span = escape_html(&span);
            row += &if class.is_empty() { span } else { format!("<span class=\"{class}\">{span}</span>") };
        }
        if text.len() + row.len() > room {
            return (text, lines.len() - at);
        }
        text += &row;
        text.push('\n');
    }
    (text, 0)
}

fn disks(report: &Report) -> String {
    let machine = &report.machine;
    if machine.size == 0 {
        return String::new();
    }
    let mut body = scrolled("Picture of the disks", &picture::disks(machine));
    let mut table = String::from(
        "<table><thead><tr><th scope=\"col\">volume</th><th scope=\"col\">what is on it</th>\
         <th scope=\"col\" class=\"num\">size</th><th scope=\"col\" class=\"num\">used</th>\
         <th scope=\"col\">mounted at</th><th scope=\"col\">label or UUID</th></tr></thead><tbody>\n",
    );
    for volume in &machine.volumes {
        let bytes = volume.device.size();
        let used = volume.free.map(|free| size(bytes.saturating_sub(free))).unwrap_or_default();
        let name = volume.label.as_ref().or(volume.uuid.as_ref()).cloned().unwrap_or_default();
        let _ = writeln!(
            table,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{used}</td>\
             <td><code>{}</code></td><td><code>{}</code></td></tr>",
            escape_html(&volume.name),
            escape_html(&picture::what(volume)),
            size(bytes),
            escape_html(volume.mounted_at.as_deref().unwrap_or_default()),
            escape_html(&name)
        );
    }
    table += "</tbody></table>";
    body += &scrolled("Table of volumes", &table);
    body
}

fn support(report: &Report) -> String {
    let mut body = String::from("<dl>");
    for row in answers(report) {
        if let [name, text] = row.as_slice() {
            let _ = write!(body, "<dt>{}</dt><dd>{}</dd>", escape_html(name), escape_html(text));
        }
    }
    let _ = write!(body, "<dt>source</dt><dd class=\"soft\">{}</dd>", escape_html(report.supported.source));
    body + "</dl>\n"
}

/// What every rule says, in a line each.
fn all_rules(report: &Report) -> String {
    let mut rows = String::new();
    for item in report.items() {
        let (tone, word, why) = match &item.verdict {
            Verdict::Ok => ("good", "ok", ""),
            Verdict::NotApplicable { why } => ("idle", "not applicable", *why),
            Verdict::Unknown => ("warn", "unknown", ""),
            Verdict::Wrong { .. } => ("bad", "found", ""),
        };
        let _ = writeln!(
            rows,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"{tone}\"><span style=\"color:var(--tone)\">{word}</span>\
             {}</td></tr>",
            item.rule,
            escape_html(item.title),
            if why.is_empty() {
                String::new()
            } else {
                format!("<br><span class=\"soft\">{}</span>", escape_html(why))
            }
        );
    }
    let table = format!(
        "<table><thead><tr><th scope=\"col\">rule</th><th scope=\"col\">what must be true</th><th scope=\"col\">says</th>\
         </tr></thead><tbody>\n{rows}</tbody></table>"
    );
    let count = counted(report.items().count(), "rule");
    format!(
        "<details><summary>{count}, and what each says</summary>\n{}</details>\n",
        scrolled("Table of all rules", &table)
    )
}

/// A size for people, in the unit that fits.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}
