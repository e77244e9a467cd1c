//! The same template as Bicep ("Bicep file structure and syntax", Microsoft Learn, 2026).

use std::fmt::Write;

use super::model::Handover;
use super::resources::{Resource, Value, parameters, resources};

/// The whole file.
pub fn render(handover: &Handover) -> String {
    let mut text =
        format!("// The virtual machine {}, by refloat {}.\n", handover.name, env!("CARGO_PKG_VERSION"));
    for (name, value) in parameters(handover) {
        text += &format!("param {name} string = {}\n", quoted(value));
    }
    let all = resources(handover);
    for resource in &all {
        text.push('\n');
        self::resource(&mut text, resource);
    }
    text
}

fn resource(text: &mut String, resource: &Resource) {
    let Resource { symbol, kind, api, name, existing, scope, body } = resource;
    let existing = if *existing { " existing" } else { "" };
    push(text, format_args!("resource {symbol} '{kind}@{api}'{existing} = {{\n"));
    push(text, format_args!("  name: {}\n", quoted(name)));
    if let Some(scope) = scope {
        push(text, format_args!("  scope: {scope}\n"));
    }
    for (name, value) in body {
        push(text, format_args!("  {}: ", key(name)));
        self::value(text, value, 2);
        text.push('\n');
    }
    text.push_str("}\n");
}

fn value(text: &mut String, value: &Value, indent: usize) {
    let inner = " ".repeat(indent + 2);
    match value {
        Value::Text(words) => text.push_str(&quoted(words)),
        Value::Number(number) => push(text, format_args!("{number}")),
        Value::Bool(yes) => push(text, format_args!("{yes}")),
        Value::Parameter(name) => text.push_str(name),
        Value::Id(symbol, "") => push(text, format_args!("{symbol}.id")),
        Value::Id(symbol, within) => push(text, format_args!("'${{{symbol}.id}}{within}'")),
        Value::Policy(vault, policy) => {
            let kind = "Microsoft.RecoveryServices/vaults/backupPolicies";
            push(text, format_args!("resourceId('{kind}', {}, {})", quoted(vault), quoted(policy)));
        }
        Value::List(values) => {
            text.push_str("[\n");
            for one in values {
                text.push_str(&inner);
                self::value(text, one, indent + 2);
                text.push('\n');
            }
            push(text, format_args!("{}]", " ".repeat(indent)));
        }
        Value::Object(values) => {
            text.push_str("{\n");
            for (name, one) in values {
                push(text, format_args!("{inner}{}: ", key(name)));
                self::value(text, one, indent + 2);
                text.push('\n');
            }
            push(text, format_args!("{}}}", " ".repeat(indent)));
        }
    }
}

fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    // A text takes all that is written to it.
    let _ = text.write_fmt(words);
}

/// The name of a property.
fn key(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic());
    if plain { name.to_owned() } else { quoted(name) }
}

/// A text in quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '$' if rest.peek() == Some(&'{') => quoted.push_str("\\$"),
            c if c.is_control() => push(&mut quoted, format_args!("\\u{{{:x}}}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "'"
}
