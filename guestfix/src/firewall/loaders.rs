//! Scripts that load files of rules: what runs at the end of the start, and when a card comes up.

use super::Language;
use crate::services::RC_LOCAL;
use crate::text::lines;
use crate::{Result, View};

const FOLDERS: &[&str] =
    &["/etc/network/if-pre-up.d", "/etc/network/if-up.d", "/etc/NetworkManager/dispatcher.d/pre-up.d"];
/// Their options run commands as well.
const INTERFACES: &[&str] = &["/etc/network/interfaces"];
const MORE_INTERFACES: &str = "/etc/network/interfaces.d";

/// The files of rules that scripts load.
pub(super) fn files(view: &dyn View) -> Result<Vec<(String, Language)>> {
    let mut scripts: Vec<String> = RC_LOCAL.iter().map(|path| (*path).to_owned()).collect();
    for dir in FOLDERS {
        scripts.extend(view.glob(dir, "")?);
    }
    let mut out = Vec::new();
    for path in scripts {
        if view.stat(&path)?.is_some_and(|node| node.mode & 0o111 != 0) {
            out.extend(loaded(&view.text(&path)?.unwrap_or_default()));
        }
    }
    let mut configured: Vec<String> = INTERFACES.iter().map(|path| (*path).to_owned()).collect();
    configured.extend(view.glob(MORE_INTERFACES, "")?);
    for path in configured {
        out.extend(loaded(&view.text(&path)?.unwrap_or_default()));
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
        let runs = |name: &str| words.iter().position(|word| word.rsplit('/').next() == Some(name));
        let at = |at: usize| words.get(at.saturating_add(1)..).unwrap_or_default();
        let names = ["iptables-restore", "iptables-legacy-restore", "iptables-nft-restore"];
        if let Some(from) = names.iter().find_map(|name| runs(name)) {
            let file = at(from).iter().find(|word| word.starts_with('/'));
            out.extend(file.map(|file| (file.trim_end_matches(';').to_owned(), Language::Iptables)));
        } else if let Some(from) = runs("nft") {
            let file = at(from).iter().skip_while(|word| !matches!(**word, "-f" | "--file")).nth(1);
            out.extend(file.map(|file| (file.trim_end_matches(';').to_owned(), Language::Nft)));
        }
    }
    out
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
            ("# iptables-restore < /etc/a", ""),
            ("ip6tables-restore < /etc/a", ""),
            ("nft flush ruleset", ""),
        ] {
            let found = loaded(line).into_iter().map(|(file, language)| format!("{file} {language:?}"));
            assert_eq!(found.collect::<String>(), file, "{line}");
        }
    }
}
