//! A report as JUnit's XML: one suite for the machine, one test for each rule and one for the boot walk.
//!
//! A blocker or a warning that was found is a failure, what nobody can tell an error, and a note that was found
//! a test that passes, with what it found as its output: a note fails no build.

use std::fmt::Write;

use super::Report;
use super::escape::escape;
use crate::Severity;
use crate::plan::{Item, Remedy, Verdict};
use crate::rule::Evidence;

pub(super) fn render(report: &Report) -> String {
    let mut cases = String::new();
    let (mut failures, mut errors, mut skipped, mut tests) = (0, 0, 0, 0);
    for item in report.items() {
        tests += 1;
        let (outcome, count) = of_item(item);
        if let Some(count) = count {
            *match count {
                Counted::Failure => &mut failures,
                Counted::Error => &mut errors,
                Counted::Skipped => &mut skipped,
            } += 1;
        }
        let area = item.rule.split('.').next().unwrap_or_default();
        case(&mut cases, area, item.rule, &outcome);
    }
    tests += 1;
    let stop = report.check.walk.chain().why();
    failures += usize::from(stop.is_some());
    let walk = stop.map(|why| element("failure", Some(("stop", &why)), &why)).unwrap_or_default();
    case(&mut cases, "boot", "boot walk", &walk);
    let name = attribute(&report.image);
    let mut properties = vec![
        ("target", report.goal.target.id.to_owned()),
        ("ready", report.ready.to_string()),
        ("ready after fix", report.ready_after_fix.to_string()),
        ("answer", report.answer()),
        ("support", report.supported.why.clone()),
    ];
    if let Some(azure) = &report.azure {
        properties.push(("azure", azure.verdict.words().to_owned()));
        azure.explanations.iter().for_each(|code| properties.push(("azure explanation", (*code).to_owned())));
    }
    let properties: String = properties
        .iter()
        .map(|(name, value)| format!("      <property name=\"{name}\" value=\"{}\"/>\n", attribute(value)))
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"refloat check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n  \
         <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"{skipped}\">\n    <properties>\n{properties}    </properties>\n{cases}  </testsuite>\n\
         </testsuites>\n"
    )
}

enum Counted {
    Failure,
    Error,
    Skipped,
}

/// What a rule says, as the content of its test.
fn of_item(item: &Item) -> (String, Option<Counted>) {
    let lines = |evidence: &[Evidence]| {
        evidence.iter().map(|piece| escape(&piece.to_string()).into_owned()).collect::<Vec<_>>().join("\n")
    };
    match &item.verdict {
        Verdict::Ok => (String::new(), None),
        Verdict::NotApplicable { why } => {
            (element("skipped", Some(("not applicable", why)), ""), Some(Counted::Skipped))
        }
        Verdict::Unknown => {
            let what = lines(&item.unread);
            (element("error", Some(("unknown", first(&what))), &what), Some(Counted::Error))
        }
        Verdict::Wrong { evidence, remedy } => {
            let mut what = lines(evidence);
            match remedy {
                Remedy::Fix => what += "\nfix: refloat plan does it",
                Remedy::ByHand { what: by_hand } => {
                    let _ = write!(what, "\nfix: {}", escape(by_hand));
                }
            }
            if item.severity == Severity::Note {
                return (element("system-out", None, &what), None);
            }
            let severity = if item.severity == Severity::Blocker { "blocker" } else { "warning" };
            (element("failure", Some((severity, first(&what))), &what), Some(Counted::Failure))
        }
    }
}

fn first(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn case(cases: &mut String, class: &str, name: &str, content: &str) {
    let (class, name) = (attribute(class), attribute(name));
    let _ = match content {
        "" => writeln!(cases, "    <testcase classname=\"{class}\" name=\"{name}\"/>"),
        _ => writeln!(
            cases,
            "    <testcase classname=\"{class}\" name=\"{name}\">\n      {content}\n    </testcase>"
        ),
    };
}

/// An element with its type and message, if it has them.
fn element(name: &str, kind: Option<(&str, &str)>, text: &str) -> String {
    let kind = kind.map(|(kind, message)| format!(" type=\"{kind}\" message=\"{}\"", attribute(message)));
    let kind = kind.unwrap_or_default();
    match text {
        "" => format!("<{name}{kind}/>"),
        text => format!("<{name}{kind}>{}</{name}>", content(text)),
    }
}

/// Text of an attribute: no character in it means anything to XML, and all are ones that XML 1.0 has.
fn attribute(text: &str) -> String {
    content(&escape(text))
}

/// Text of an element, whose line ends stay.
fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
