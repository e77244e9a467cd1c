//! `sshd_config`: a keyword a line, and its arguments (sshd_config(5)).

use super::lines;

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// From 1.
    pub line: usize,
    /// The keyword in small letters, as sshd compares it.
    pub keyword: String,
    /// Its arguments without quotes.
    pub arguments: Vec<&'a str>,
    /// It counts only for those whom a `Match` before it names.
    pub conditional: bool,
    /// The quote that is opened and not closed.
    pub open_quote: Option<char>,
}

/// The entries of a text.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut conditional = false;
    let mut out = Vec::new();
    for line in lines(text) {
        let body = line.body.trim();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let end = body.find(|c: char| c.is_whitespace() || c == '=' || c == '"').unwrap_or(body.len());
        let (keyword, rest) = body.split_at(end);
        let rest = rest.trim_start();
        let keyword = keyword.to_ascii_lowercase();
        // `Match all` is for everybody again
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        let arguments = words(rest);
        if keyword == "match" {
            conditional = !arguments.first().is_some_and(|word| word.eq_ignore_ascii_case("all"));
        }
        let open_quote = open_quote(rest);
        out.push(Entry { line: line.number, keyword, arguments, conditional, open_quote });
    }
    out
}

/// The quote that is left open before the comment. A backslash stands before one that is a letter.
fn open_quote(text: &str) -> Option<char> {
    let (mut quote, mut before) = (None, ' ');
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (_, '\\') if chars.as_str().starts_with(['"', '\'', '\\']) => _ = chars.next(),
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if before.is_whitespace() => break,
            _ => {}
        }
        before = c;
    }
    quote
}

/// Words between blanks; quotes around one are removed, and a comment behind them left out.
fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let quoted = rest.strip_prefix('"').and_then(|inner| inner.split_once('"'));
        let (word, after) = match quoted {
            Some(parts) => parts,
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        out.push(word);
        rest = after.trim_start();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn keywords_have_arguments() {
        let text = "# x\nPort 22\nUsePAM=yes\n\tHostKey \"/etc/ssh/a key\" # mine\nMatch User a\n  X11Forwarding no\n\
                    Match all\nBanner none\nPermitRootLogin\n";
        let found: Vec<_> = entries(text)
            .into_iter()
            .map(|entry| (entry.line, entry.keyword, entry.arguments.join("|"), entry.conditional))
            .collect();
        let expected = [
            (2, "port", "22", false),
            (3, "usepam", "yes", false),
            (4, "hostkey", "/etc/ssh/a key", false),
            (5, "match", "User|a", true),
            (6, "x11forwarding", "no", true),
            (7, "match", "all", false),
            (8, "banner", "none", false),
            (9, "permitrootlogin", "", false),
        ];
        assert_eq!(found, expected.map(|(a, b, c, d)| (a, b.to_owned(), c.to_owned(), d)));
    }

    #[test]
    fn a_quote_that_is_left_open_is_seen() {
        let is_open = |text: &str| entries(text).iter().any(|entry| entry.open_quote.is_some());
        for text in ["Banner \"/etc/issue\n", "HostKey '/a\n", "AllowUsers a \"b c\" \"d\n"] {
            assert!(is_open(text), "{text}");
        }
        for text in [
            "Banner \"/etc/my issue\" # it's\n",
            "# \"\n",
            "Banner '/a \" b'\n",
            "Banner a\\'b\n",
            "Banner \"a\\\"b\"\n",
        ] {
            assert!(!is_open(text), "{text}");
        }
    }

    #[test]
    fn random_text_is_no_problem() {
        let mut random = Random(15);
        for _ in 0..3000 {
            entries(&random.text());
        }
    }
}
