//! Text of a guest must not steer a terminal: the one place that says what does, and how it is shown instead.

use std::borrow::Cow;

use crate::text::bytes;

/// Whether a terminal takes `c` for an order and not for a letter: control characters (C0, DEL, C1), those
/// that turn the direction of writing, and those that end a line.
pub fn steers(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The text with everything that [`steers`] shown as Rust writes it, `\n`, `\u{1b}`, and what is no text as
/// `\xE9`. What it gives is left alone by another call.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_but(text, |_| false)
}

/// The same, but tabs stay: for whole lines of a file.
pub fn escape_line(text: &str) -> Cow<'_, str> {
    escape_but(text, |c| c == '\t')
}

/// Bytes that should be text: what is not UTF-8 is shown as `\xE9`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    escape(&bytes::decode(bytes)).into_owned()
}

/// A line in which no character steers, and none means anything to HTML: for text and for attributes in double
/// quotes.
pub fn escape_html(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    for c in escape_line(line).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// JSON text without raw characters that steer, outside of which it has none but line ends: `\u009b` as JSON
/// writes it.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    let steers = |c: char| c != '\n' && steers(c);
    if !json.contains(steers) {
        return json.into();
    }
    let one = |c: char| match steers(c) {
        // All that steer are below U+FFFF, so one unit does.
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    json.chars().map(one).collect::<String>().into()
}

fn escape_but(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let steers = |c: char| steers(c) && !keep(c);
    let text = bytes::shown(text);
    if !text.contains(steers) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_shown_and_the_rest_is_kept() {
        for (text, shown) in [
            ("plain Grüße 日本 🐧 \\n", "plain Grüße 日本 🐧 \\n"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("gpj\u{202e}exe", "gpj\\u{202e}exe"),
            ("\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}", "\\u{2066}\\u{2069}\\u{200e}\\u{200f}\\u{61c}"),
            ("line\u{2028}para\u{2029}", "line\\u{2028}para\\u{2029}"),
        ] {
            assert_eq!(escape(text), shown);
            assert_eq!(escape(&escape(text)), shown, "escaped once, never twice");
        }
        assert_eq!(escape_line("a\tb\x1b"), "a\tb\\u{1b}");
        assert_eq!(escape_bytes(b"caf\xe9 \x1b"), "caf\\xE9 \\u{1b}");
    }

    #[test]
    fn json_means_the_same_and_holds_nothing_raw() {
        let text = "\u{9b}2J \u{202e} \x7f \x1b \n \t Grüße 🐧";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let escaped = escape_json(&json);
        assert!(!escaped.contains(|c| c != '\n' && steers(c)), "{escaped:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [text]);
    }

    #[test]
    fn every_character_is_either_shown_or_kept() {
        for c in '\0'..=char::MAX {
            let escaped = escape(c.encode_utf8(&mut [0; 4])).into_owned();
            assert!(!escaped.contains(steers), "{c:?}");
            // What stands for a byte that is no text is shown as that byte.
            assert_eq!(escaped.starts_with(c), !steers(c) && c < '\u{10ff00}', "{c:?}");
        }
    }
}
