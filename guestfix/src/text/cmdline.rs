//! The kernel command line: tokens between blanks, double quotes around blanks that belong to a value
//! (Linux, admin-guide/kernel-parameters).

use std::ops::Range;

/// What becomes of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    Keep,
    /// It goes, with the blanks before it; the first one, with those around it.
    Drop,
    /// It is replaced by this.
    Replace(String),
}

/// The tokens as they are written, up to `--`, after which the arguments of init begin.
pub fn tokens(cmdline: &str) -> impl Iterator<Item = &str> {
    ranges(cmdline).into_iter().map(|range| &cmdline[range])
}

/// The values of all `key=value` tokens in order, quotes removed. For most keys the last one counts.
pub fn values<'a>(cmdline: &'a str, key: &str) -> Vec<&'a str> {
    tokens(cmdline).filter_map(|token| value(token, key)).collect()
}

/// The value of a token, if it is `key=value`; quotes around either are removed.
pub fn value<'a>(token: &'a str, key: &str) -> Option<&'a str> {
    let token = token.trim_matches(['"', '\'']);
    Some(token.strip_prefix(key)?.strip_prefix('=')?.trim_matches(['"', '\'']))
}

/// The command line with some tokens changed.
pub fn edit(cmdline: &str, mut change: impl FnMut(&str) -> Change) -> String {
    let mut out = String::with_capacity(cmdline.len());
    let mut done = 0;
    let ranges = ranges(cmdline);
    for (index, range) in ranges.iter().enumerate() {
        match change(&cmdline[range.clone()]) {
            Change::Keep => out.push_str(&cmdline[done..range.end]),
            Change::Drop if out.is_empty() => {
                done = ranges.get(index + 1).map_or(range.end, |next| next.start);
                continue;
            }
            Change::Drop => {}
            Change::Replace(new) => {
                out.push_str(&cmdline[done..range.start]);
                out.push_str(&new);
            }
        }
        done = range.end;
    }
    out.push_str(&cmdline[done..]);
    out
}

/// The command line with tokens more, before `--` and blanks at the end.
pub fn append(cmdline: &str, token: &str) -> String {
    let end = ranges(cmdline).last().map_or(0, |range| range.end);
    match end {
        0 if cmdline.trim().is_empty() => format!("{cmdline}{token}"),
        0 => format!("{token} {cmdline}"),
        end => format!("{} {token}{}", &cmdline[..end], &cmdline[end..]),
    }
}

/// The command line with GRUB's variables filled in; one that `value` does not know stands for nothing.
pub fn expand(cmdline: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(cmdline.len());
    let mut rest = cmdline;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, tail) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            Some(braced) => braced,
            None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
        };
        if name.is_empty() {
            out.push('$');
        }
        out.extend(value(name));
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Where the tokens are, up to `--`.
fn ranges(cmdline: &str) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let (mut start, mut quote) = (None, None);
    for (at, c) in cmdline.char_indices() {
        match (start, quote) {
            (_, Some(open)) => {
                if c == open {
                    quote = None;
                }
            }
            (Some(from), None) if c.is_whitespace() => {
                out.push(from..at);
                start = None;
            }
            (None, None) if c.is_whitespace() => {}
            (_, None) => {
                start = start.or(Some(at));
                if c == '"' || c == '\'' {
                    quote = Some(c);
                }
            }
        }
    }
    out.extend(start.map(|from| from..cmdline.len()));
    if let Some(end) = out.iter().position(|range| matches!(&cmdline[range.clone()], "--" | "---")) {
        out.truncate(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn tokens_are_found_with_their_quotes() {
        let line = r#" root="UUID=1" ro  dyndbg="file a +p" -- init"#;
        assert_eq!(tokens(line).collect::<Vec<_>>(), [r#"root="UUID=1""#, "ro", r#"dyndbg="file a +p""#]);
        assert_eq!(values(line, "root"), ["UUID=1"]);
        assert_eq!(values("console=tty0 console=ttyS0", "console"), ["tty0", "ttyS0"]);
    }

    #[test]
    fn edits_keep_the_rest() {
        let line = "root=/dev/xvda1 ro  console=hvc0 quiet ";
        let new = edit(line, |token| match token {
            "console=hvc0" => Change::Drop,
            "root=/dev/xvda1" => Change::Replace("root=UUID=1".into()),
            _ => Change::Keep,
        });
        assert_eq!(new, "root=UUID=1 ro quiet ");
        assert_eq!(append(&new, "a=1"), "root=UUID=1 ro quiet a=1 ");
        assert_eq!(edit("a b c", |token| if token == "c" { Change::Keep } else { Change::Drop }), "c");
        assert_eq!(append("ro -- x", "a"), "ro a -- x");
        assert_eq!(append("-- x", "a"), "a -- x");
        assert_eq!(append("", "a"), "a");
    }

    #[test]
    fn variables_of_grub_are_filled_in() {
        let value = |name: &str| (name == "kernelopts").then(|| "root=UUID=1 ro".to_owned());
        assert_eq!(expand("$kernelopts $tuned_params quiet", value), "root=UUID=1 ro  quiet");
        assert_eq!(expand("a${kernelopts}b $ c", value), "aroot=UUID=1 rob $ c");
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(2);
        for _ in 0..3000 {
            let text = random.text();
            assert_eq!(edit(&text, |_| Change::Keep), text);
            assert_eq!(edit(&text, |token| Change::Replace(token.to_owned())), text);
            assert!(!expand(&text.replace('$', ""), |_| None).contains('$'));
            let _ = expand(&text, |_| None);
        }
    }
}
