//! `lvm.conf` and `lvmlocal.conf`: sections in braces, `key = value`, a value or a list of them
//! (lvm.conf(5)).

use regex::RegexBuilder;

/// In bytes, of one compiled expression.
const LARGEST_PROGRAM: usize = 1 << 20;

/// `key = value` in a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// From 1.
    pub line: usize,
    /// The section and the key: "devices/filter".
    pub name: String,
    /// The value, or those of a list, without quotes.
    pub values: Vec<String>,
    /// Where in the text the first value begins: behind the bracket of a list.
    start: usize,
    /// Where a value that is no list ends.
    end: Option<usize>,
}

/// All settings.
pub fn settings(text: &str) -> Vec<Setting> {
    let mut out = Vec::new();
    let mut sections: Vec<String> = Vec::new();
    let mut tokens = Tokens { text, at: 0 };
    let mut key: Option<(String, usize)> = None;
    while let Some(token) = tokens.next() {
        match (token.kind, token.text) {
            (Kind::Mark, "{") => sections.push(key.take().map_or_else(String::new, |(key, _)| key)),
            (Kind::Mark, "}") => {
                sections.pop();
                key = None;
            }
            (Kind::Mark, "=") => {
                let Some((key, at)) = key.take() else { continue };
                let name =
                    sections.iter().map(String::as_str).chain([key.as_str()]).collect::<Vec<_>>().join("/");
                let line = text[..at].matches('\n').count() + 1;
                out.extend(tokens.value().map(|(values, start, end)| Setting {
                    line,
                    name,
                    values,
                    start,
                    end,
                }));
            }
            (Kind::Word, word) => key = Some((word.to_owned(), token.start)),
            _ => {}
        }
    }
    out
}

/// The text with strings put before the first value of a setting, which is made a list if it is none.
pub fn put_first(text: &str, setting: &Setting, added: &[&str]) -> String {
    let added: String = added.iter().map(|value| format!("\"{value}\", ")).collect();
    let (head, rest) = text.split_at(setting.start);
    match setting.end {
        None => format!("{head} {added}{}", rest.trim_start_matches(' ')),
        Some(end) => format!("{head}[ {added}{} ]{}", &text[setting.start..end], &text[end..]),
    }
}

/// Whether a filter lets a device with these names through: the first pattern that matches a name decides for
/// that name; one name that is accepted is enough, and so is none that is rejected.
pub fn accepts(filter: &[String], names: &[&str]) -> bool {
    let verdict = |name: &&str| filter.iter().find_map(|pattern| judge(pattern, name));
    let verdicts: Vec<bool> = names.iter().filter_map(verdict).collect();
    verdicts.is_empty() || verdicts.contains(&true)
}

/// What one pattern, `a|expression|` or `r|expression|`, says of a name; `None` if it does not match.
fn judge(pattern: &str, name: &str) -> Option<bool> {
    let mut chars = pattern.chars();
    let accept = chars.next()? == 'a';
    let close = match chars.next()? {
        '(' => ')',
        '[' => ']',
        '{' => '}',
        delimiter => delimiter,
    };
    let expression = chars.as_str().strip_suffix(close)?;
    let regex = RegexBuilder::new(expression).size_limit(LARGEST_PROGRAM).build().ok()?;
    regex.is_match(name).then_some(accept)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Word,
    Text,
    Mark,
}

struct Token<'a> {
    kind: Kind,
    /// Without quotes.
    text: &'a str,
    start: usize,
    end: usize,
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            if first.is_whitespace() {
                self.at += first.len_utf8();
            } else if first == '#' {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                break;
            }
        }
        let start = self.at;
        let rest = &self.text[start..];
        let first = rest.chars().next()?;
        let is_word = |c: char| !(c.is_whitespace() || "{}[]=,#\"'".contains(c));
        let (kind, len) = match first {
            '"' | '\'' => (Kind::Text, quoted(rest, first)),
            c if is_word(c) => (Kind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
            c => (Kind::Mark, c.len_utf8()),
        };
        self.at = start + len;
        let whole = &rest[..len];
        let text = match kind {
            Kind::Text => whole[1..].strip_suffix(first).unwrap_or(&whole[1..]),
            _ => whole,
        };
        Some(Token { kind, text, start, end: self.at })
    }

    /// The values behind an `=`, where the first begins, and where a single one ends.
    fn value(&mut self) -> Option<(Vec<String>, usize, Option<usize>)> {
        let first = self.next()?;
        if (first.kind, first.text) != (Kind::Mark, "[") {
            let is_value = first.kind != Kind::Mark;
            return is_value.then(|| (vec![first.text.to_owned()], first.start, Some(first.end)));
        }
        let mut values = Vec::new();
        loop {
            let token = self.next()?;
            match (token.kind, token.text) {
                (Kind::Mark, "]") => return Some((values, first.end, None)),
                (Kind::Mark, ",") => {}
                (Kind::Mark, _) => return None,
                (_, value) => values.push(value.to_owned()),
            }
        }
    }
}

/// The length of a string with its quotes; up to the end of the text if it is not closed.
fn quoted(text: &str, quote: char) -> usize {
    let mut protected = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if protected => protected = false,
            '\\' => protected = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const SAMPLE: &str = "# lvm\nconfig { checks = 1 }\ndevices {\n\tdir=\"/dev\"\n\t# filter = [ \"r|.*|\" ]\n\tfilter = [ \"a|^/dev/nvme.*|\",\n\
                          \t\t# all else\n\t\t\"r|.*|\" ]\n\tglobal_filter = \"r/sd/\"\n}\ndevices/use_devicesfile=1\n";

    #[test]
    fn settings_have_sections_and_lists() {
        let settings = settings(SAMPLE);
        let names: Vec<(&str, usize)> = settings.iter().map(|one| (one.name.as_str(), one.line)).collect();
        assert_eq!(
            names,
            [
                ("config/checks", 2),
                ("devices/dir", 4),
                ("devices/filter", 6),
                ("devices/global_filter", 9),
                ("devices/use_devicesfile", 11)
            ]
        );
        assert_eq!(settings[2].values, ["a|^/dev/nvme.*|", "r|.*|"]);
        assert_eq!(settings[4].values, ["1"]);
        let new = put_first(SAMPLE, &settings[2], &["a|^/dev/sd|"]);
        assert_eq!(new, SAMPLE.replace("\tfilter = [ \"a", "\tfilter = [ \"a|^/dev/sd|\", \"a"));
        let new = put_first(SAMPLE, &settings[3], &["a|x|"]);
        assert_eq!(new, SAMPLE.replace("\"r/sd/\"", "[ \"a|x|\", \"r/sd/\" ]"));
    }

    #[test]
    fn the_first_pattern_that_matches_decides() {
        let filter = |patterns: &[&str]| patterns.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let names = &["/dev/sda2", "/dev/disk/by-partuuid/x"];
        for (patterns, expected) in [
            (&[][..], true),
            (&["a|.*|"], true),
            (&["r|.*|"], false),
            (&["a|^/dev/xvd.*|", "r|.*|"], false),
            (&["a|^/dev/xvd.*|"], true),
            (&["r|^/dev/sd.*|"], false),
            (&["a|^/dev/disk/by-partuuid/|", "r|.*|"], true),
            (&["a(^/dev/sd[a-z]+[0-9]*$)", "r|.*|"], true),
            (&["r|(|", "a|.*|"], true),
        ] {
            assert_eq!(accepts(&filter(patterns), names), expected, "{patterns:?}");
        }
    }

    #[test]
    fn random_text_is_no_problem() {
        let mut random = Random(10);
        for _ in 0..3000 {
            let text = random.text().replace("linux", "[").replace("auto", "]");
            for setting in settings(&text) {
                assert!(put_first(&text, &setting, &["a|x|"]).contains("\"a|x|\""));
            }
        }
    }
}
