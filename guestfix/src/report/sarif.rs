//! A report as SARIF 2.1.0 (OASIS, 2020-03-27): a rule for each that was asked, a result for each piece of
//! evidence, with its file and line.
//!
//! Files are those of the guest: their addresses are relative to its root, which the base `GUEST` stands for.

use serde_json::{Map, Value, json};

use super::Report;
use super::escape::escape;
use crate::plan::{Item, Remedy, Verdict};
use crate::rule::{Evidence, Place};
use crate::{Severity, rules};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn render(report: &Report) -> Value {
    let items: Vec<&Item> = report.items().collect();
    let rules: Vec<Value> = items.iter().map(|item| rule(item)).collect();
    let mut results: Vec<Value> =
        items.iter().enumerate().flat_map(|(index, item)| results(index, item)).collect();
    for result in &mut results {
        let waiver = report.gate.iter().flat_map(|gate| &gate.waived).find(|it| result["ruleId"] == it.rule);
        if let Some(waiver) = waiver {
            let why = format!("{} ({}, until {})", waiver.reason, waiver.owner, waiver.expires);
            result["suppressions"] =
                json!([{ "kind": "external", "status": "accepted", "justification": why }]);
        }
    }
    let mut properties = json!({
        "target": report.goal.target.id,
        "ready": report.ready,
        "readyAfterFix": report.ready_after_fix,
        "answer": report.answer(),
        "boot": report.check.walk.chain().to_string(),
        "support": report.supported.why,
    });
    if let Some(azure) = &report.azure {
        properties["azure"] = json!(azure.verdict.words());
        properties["azureExplanations"] = json!(azure.explanations);
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "refloat",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            } },
            "originalUriBaseIds": {
                "GUEST": { "description": { "text": format!("the root of the guest in {}", report.image) } },
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": properties,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocker => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn rule(item: &Item) -> Value {
    let mut rule = json!({
        "id": item.rule,
        "shortDescription": { "text": item.title },
        "defaultConfiguration": { "level": level(item.severity) },
        "properties": { "phase": item.phase, "severity": item.severity },
    });
    if let Some(meta) = rules::find(item.rule).map(|rule| &rule.meta) {
        let sources: Vec<String> = meta.source.iter().map(ToString::to_string).collect();
        rule["fullDescription"] = json!({ "text": meta.cause });
        rule["help"] = json!({ "text": format!("{} Source: {}.", meta.fix, sources.join("; ")) });
    }
    rule
}

/// What a rule says: a failure for each piece of evidence, "open" for what cannot be told, else one result.
fn results(index: usize, item: &Item) -> Vec<Value> {
    let one = |kind: &str, level: &str, text: String, place: Option<&Place>| {
        let mut result = json!({
            "ruleId": item.rule,
            "ruleIndex": index,
            "kind": kind,
            "level": level,
            "message": { "text": text },
        });
        if let Some(place) = place {
            result["locations"] = json!([location(place)]);
        }
        result
    };
    let mut results: Vec<Value> = item
        .unread
        .iter()
        .map(|unread| {
            one("open", "none", format!("cannot tell: {}", escape(&unread.what)), Some(&unread.place))
        })
        .collect();
    match &item.verdict {
        Verdict::Ok => results.push(one("pass", "none", item.title.to_owned(), None)),
        Verdict::NotApplicable { why } => {
            results.push(one("notApplicable", "none", (*why).to_owned(), None));
        }
        Verdict::Wrong { evidence, remedy } => {
            let fix = match remedy {
                Remedy::Fix => "refloat plan mends it".to_owned(),
                Remedy::ByHand { what } => format!("by hand: {}", escape(what)),
            };
            let text = |it: &Evidence| format!("{} ({fix})", escape(&it.what));
            results.extend(
                evidence.iter().map(|it| one("fail", level(item.severity), text(it), Some(&it.place))),
            );
        }
        Verdict::Unknown => {}
    }
    results
}

fn location(place: &Place) -> Value {
    let named = |kind: &str| {
        json!({ "logicalLocations": [{
            "fullyQualifiedName": escape(&place.to_string()),
            "kind": kind,
        }] })
    };
    match place {
        Place::File { path, line, name } => {
            let mut physical = Map::new();
            let uri = relative(path);
            physical.insert("artifactLocation".into(), json!({ "uri": uri, "uriBaseId": "GUEST" }));
            if let Some(line) = line.filter(|line| *line > 0) {
                physical.insert("region".into(), json!({ "startLine": line }));
            }
            let mut location = json!({ "physicalLocation": physical });
            if let Some(name) = name {
                location["logicalLocations"] = json!([{ "name": escape(name), "kind": "member" }]);
            }
            location
        }
        Place::Registry { .. } => named("resource"),
        Place::Volume { .. } => named("volume"),
        Place::Disk { .. } => named("disk"),
        Place::Platform => named("platform"),
    }
}

/// A path of the guest as a relative reference (RFC 3986, 4.2).
fn relative(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.trim_start_matches('/').bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    if uri.is_empty() { "./".to_owned() } else { uri }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_relative_reference() {
        assert_eq!(relative("/etc/fstab"), "etc/fstab");
        assert_eq!(relative("/a b/c:d#e?f"), "a%20b/c%3Ad%23e%3Ff");
        assert_eq!(relative("/"), "./");
        let place = Place::line("/etc/fstab", 3);
        let expected = json!({ "physicalLocation": {
            "artifactLocation": { "uri": "etc/fstab", "uriBaseId": "GUEST" },
            "region": { "startLine": 3 },
        } });
        assert_eq!(location(&place), expected);
    }
}
