//! Sections of `key=value` lines: systemd units, networkd, NetworkManager keyfiles, timesyncd.conf.

use super::{Line, lines, rewrite};

/// `key=value` in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// From 1.
    pub line: usize,
    /// The section without brackets; empty before the first.
    pub section: &'a str,
    /// The key.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// All entries.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut section = "";
    lines(text).filter_map(|line| entry(&line, &mut section)).collect()
}

/// The values of a key in a section, in order.
pub fn values<'a>(text: &'a str, section: &str, key: &str) -> Vec<&'a str> {
    let wanted = |entry: &Entry<'_>| entry.section == section && entry.key == key;
    entries(text).into_iter().filter(wanted).map(|entry| entry.value).collect()
}

/// The text with some entries made comments: `change` answers why, or `None` to leave one.
pub fn comment_out(text: &str, mut why: impl FnMut(&Entry<'_>) -> Option<&'static str>) -> String {
    let hit: Vec<(usize, &str)> =
        entries(text).iter().filter_map(|entry| Some((entry.line, why(entry)?))).collect();
    rewrite(text, |line| {
        let found = hit.binary_search_by_key(&line.number, |(number, _)| *number).ok()?;
        Some(super::comment_out(line.body, hit[found].1))
    })
}

/// The text with some values changed: `change` answers the new one, or `None` to leave it.
pub fn edit(text: &str, mut change: impl FnMut(&Entry<'_>) -> Option<String>) -> String {
    let mut section = "";
    let changed: Vec<(usize, String)> =
        lines(text).filter_map(|line| Some((line.number, change(&entry(&line, &mut section)?)?))).collect();
    rewrite(text, |line| {
        let found = changed.binary_search_by_key(&line.number, |(number, _)| *number).ok()?;
        let value = &changed[found].1;
        let (key, old) = line.body.split_once('=')?;
        let blanks = &old[..old.len() - old.trim_start().len()];
        Some(format!("{key}={blanks}{value}"))
    })
}

fn entry<'a>(line: &Line<'a>, section: &mut &'a str) -> Option<Entry<'a>> {
    let body = line.body.trim();
    if body.starts_with(['#', ';']) {
        return None;
    }
    if let Some(name) = body.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        *section = name;
        return None;
    }
    let (key, value) = body.split_once('=')?;
    Some(Entry { line: line.number, section, key: key.trim(), value: value.trim() })
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn entries_know_their_section() {
        let text = "[Match]\nName = ens5\n# Name=x\n[Network]\nDHCP=yes";
        assert_eq!(values(text, "Match", "Name"), ["ens5"]);
        assert_eq!(values(text, "Network", "Name"), [""; 0]);
        let new = comment_out(text, |entry| (entry.key == "Name").then_some("gone"));
        assert_eq!(new, text.replace("Name = ens5", "# refloat: gone: Name = ens5"));
        let new = edit(text, |entry| (entry.key == "Name").then(|| "eth0".into()));
        assert_eq!(new, text.replace("Name = ens5", "Name = eth0"));
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(5);
        for _ in 0..3000 {
            let text = random.text();
            assert_eq!(comment_out(&text, |_| None), text);
            assert_eq!(edit(&text, |_| None), text);
        }
    }
}
