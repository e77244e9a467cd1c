//! Files of shell assignments: `/etc/default/grub`, `/etc/sysconfig/*`, `ifcfg-*`, `os-release`.
//!
//! A value is what stands between its quotes, as it is written: nothing is expanded. A value that goes on
//! over more than one line is not seen.

use super::{Line, append, lines, rewrite};

/// `KEY=value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// From 1.
    pub line: usize,
    /// The variable.
    pub key: &'a str,
    /// Its value without quotes.
    pub value: &'a str,
    /// The quote it stands in, if it stands in one.
    quote: Option<char>,
    /// Where the value with its quotes starts in the line.
    start: usize,
}

/// All assignments.
pub fn assignments(text: &str) -> Vec<Assignment<'_>> {
    lines(text).filter_map(|line| assignment(&line)).collect()
}

/// The value of a variable, the last one assigned; quotes removed.
pub fn get<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    assignments(text).into_iter().rfind(|assignment| assignment.key == key).map(|assignment| assignment.value)
}

/// The text with some values changed: `change` answers the new value, without quotes, or `None` to leave it.
pub fn edit(text: &str, mut change: impl FnMut(&Assignment<'_>) -> Option<String>) -> String {
    rewrite(text, |line| {
        let assignment = assignment(line)?;
        let value = change(&assignment)?;
        let quotes = if assignment.quote.is_some() { 2 } else { 0 };
        let rest = &line.body[assignment.start + assignment.value.len() + quotes..];
        Some(format!("{}{}{rest}", &line.body[..assignment.start], quoted(&value, assignment.quote)))
    })
}

/// The text with a variable set: its last assignment changed, or one appended.
pub fn set(text: &str, key: &str, value: &str) -> String {
    match assignments(text).into_iter().rfind(|assignment| assignment.key == key) {
        Some(last) => edit(text, |assignment| (assignment.line == last.line).then(|| value.to_owned())),
        None => append(text, &format!("{key}={}", quoted(value, None))),
    }
}

fn quoted(value: &str, quote: Option<char>) -> String {
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/+@%,".contains(c));
    match quote {
        Some(quote) => format!("{quote}{value}{quote}"),
        None if plain => value.to_owned(),
        None => format!("\"{value}\""),
    }
}

fn assignment<'a>(line: &Line<'a>) -> Option<Assignment<'a>> {
    let body = line.body;
    let trimmed = body.trim_start();
    let trimmed = trimmed.strip_prefix("export ").map_or(trimmed, str::trim_start);
    let (key, rest) = trimmed.split_once('=')?;
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if key.is_empty() || !key.chars().all(name) || key.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let start = body.len() - rest.len();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let value = match quote {
        Some(quote) => until_quote(&rest[1..], quote)?,
        None => rest.split([' ', '\t', ';', '#']).next().unwrap_or(rest),
    };
    Some(Assignment { line: line.number, key, value, quote, start })
}

/// The text up to the closing quote; a backslash protects one in double quotes.
fn until_quote(text: &str, quote: char) -> Option<&str> {
    let mut protected = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if protected => protected = false,
            '\\' if quote == '"' => protected = true,
            c if c == quote => return Some(&text[..at]),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const SAMPLE: &str =
        "# GRUB\nGRUB_DEFAULT=0 # first\n export GRUB_CMDLINE_LINUX=\"a=\\\"b c\\\" d\"\r\nX='y z'\nX=";

    #[test]
    fn values_are_read_without_their_quotes() {
        assert_eq!(get(SAMPLE, "GRUB_DEFAULT"), Some("0"));
        assert_eq!(get(SAMPLE, "GRUB_CMDLINE_LINUX"), Some("a=\\\"b c\\\" d"));
        assert_eq!(get(SAMPLE, "X"), Some(""));
        assert_eq!(get(SAMPLE, "Y"), None);
        assert_eq!(get("A=\"open", "A"), None);
    }

    #[test]
    fn a_value_is_changed_in_its_quotes() {
        assert_eq!(set(SAMPLE, "GRUB_DEFAULT", "1"), SAMPLE.replace("=0 ", "=1 "));
        assert_eq!(set(SAMPLE, "GRUB_CMDLINE_LINUX", "q"), SAMPLE.replace("a=\\\"b c\\\" d", "q"));
        assert_eq!(set(SAMPLE, "X", "1 2"), format!("{SAMPLE}\"1 2\""));
        assert_eq!(set("A=1", "B", "2"), "A=1\nB=2\n");
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(4);
        for _ in 0..3000 {
            let text = random.text();
            assert_eq!(edit(&text, |_| None), text);
            let same = edit(&text, |assignment| assignment.quote.map(|_| assignment.value.to_owned()));
            assert_eq!(same, text);
        }
    }
}
