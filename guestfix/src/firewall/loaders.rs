//! Files of rules that scripts load: what runs at the start, when a card comes up, and by the clock.

use super::Language;
use crate::text::lines;
use crate::{Result, View, runs};

/// The files of rules that scripts load.
pub(super) fn files(view: &dyn View) -> Result<Vec<(String, Language)>> {
    let mut out = Vec::new();
    for run in runs::all(view)? {
        let inner = run.inner.iter().map(|script| script.text());
        out.extend([run.text.as_str()].into_iter().chain(inner).flat_map(loaded));
    }
    out.sort();
    out.dedup();
    Ok(out)
}

/// Those that a text names behind a program that loads them.
fn loaded(text: &str) -> Vec<(String, Language)> {
    let mut out = Vec::new();
    for line in lines(text).filter(|line| !line.body.trim_start().starts_with('#')) {
        let body = line.body.replace('<', " < ");
        let words: Vec<&str> = body.split_whitespace().collect();
        let runs = |name: &str| {
            let is_it =
                |word: &&str| word.trim_start_matches(['"', '\'', '(']).rsplit('/').next() == Some(name);
            words.iter().position(is_it)
        };
        let at = |at: usize| words.get(at.saturating_add(1)..).unwrap_or_default();
        let names = ["iptables-restore", "iptables-legacy-restore", "iptables-nft-restore"];
        if let Some(from) = names.iter().find_map(|name| runs(name)) {
            let file = at(from).iter().find(|word| word.starts_with('/'));
            out.extend(file.map(|file| (of_word(file), Language::Iptables)));
        } else if let Some(from) = runs("nft") {
            let file = at(from).iter().skip_while(|word| !matches!(**word, "-f" | "--file")).nth(1);
            out.extend(file.map(|file| (of_word(file), Language::Nft)));
        }
    }
    out
}

/// A path without what the shell has around it.
fn of_word(word: &str) -> String {
    word.trim_end_matches([';', ')', '"', '\'', '}']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_behind_their_program() {
        for (line, file) in [
            ("/usr/sbin/iptables-restore < /etc/iptables.rules", "/etc/iptables.rules Iptables"),
            ("    pre-up iptables-restore </etc/a;", "/etc/a Iptables"),
            ("iptables-restore -w /etc/b || true", "/etc/b Iptables"),
            ("nft -f /etc/c.nft", "/etc/c.nft Nft"),
            ("/bin/sh -c 'iptables-restore < /etc/d'", "/etc/d Iptables"),
            ("# iptables-restore < /etc/a", ""),
            ("ip6tables-restore < /etc/a", ""),
            ("nft flush ruleset", ""),
        ] {
            let found = loaded(line).into_iter().map(|(file, language)| format!("{file} {language:?}"));
            assert_eq!(found.collect::<String>(), file, "{line}");
        }
    }
}
