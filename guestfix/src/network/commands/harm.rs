//! What one command does to the card, its addresses and its routes (ip(8), ifconfig(8), route(8), ifdown(8),
//! tc-netem(8)).

use super::Harm;

/// What a command does to the card.
pub(super) fn harm(name: &str, words: &[&str], card: &str) -> Option<Harm> {
    let has = |word: &str| words.contains(&word);
    let plain: Vec<&str> =
        words.iter().copied().filter(|word| !word.starts_with('-') && *word != "dev").collect();
    let names_card = has(card);
    let is_v6 =
        has("-6") || words.windows(2).any(|pair| pair == ["-f", "inet6"] || pair == ["-family", "inet6"]);
    const REFUSES: [&str; 3] = ["unreachable", "blackhole", "prohibit"];
    let refuses = || REFUSES.iter().any(|word| has(word));
    let is_default = || ["default", "0.0.0.0/0", "0/0"].iter().any(|net| has(net));
    // Each is one half of all there is.
    let is_half = || ["0.0.0.0/1", "0/1", "128.0.0.0/1", "128/1"].iter().any(|net| has(net));
    let object = plain.first().copied().unwrap_or_default();
    let verb = plain.get(1).copied().unwrap_or_default();
    let starts = |word: &str, of: &str| !word.is_empty() && of.starts_with(word);
    match name {
        _ if is_v6 => None,
        "ip" if starts(object, "link") => match names_card {
            true if has("down") || words.windows(2).any(|pair| pair == ["arp", "off"]) => Some(Harm::Passing),
            true if has("netns") => Some(Harm::Lasting),
            _ => None,
        },
        "ip" if starts(object, "address") => {
            let is_flush = starts(verb, "flush") && verb.starts_with('f');
            (is_flush && (names_card || plain.len() == 2)).then_some(Harm::Passing)
        }
        "ip" if starts(object, "route") => match verb {
            "del" | "delete" | "d" if is_default() => Some(Harm::Passing),
            "flush" | "f" if !has("cache") && (names_card || is_default() || has("main") || has("all")) => {
                Some(Harm::Passing)
            }
            "add" | "replace" | "change" | "append" | "a" | "r"
                if refuses() && (is_default() || is_half()) =>
            {
                Some(Harm::Lasting)
            }
            _ => None,
        },
        "ip" if object == "rule" || object == "ru" => {
            let selects =
                ["from", "to", "iif", "oif", "fwmark", "tos", "uidrange", "dport", "sport", "ipproto"]
                    .iter()
                    .any(|word| has(word));
            let adds = verb == "add" || verb == "a" || REFUSES.contains(&verb);
            (adds && refuses() && !selects || verb == "flush").then_some(Harm::Lasting)
        }
        "ifconfig" if plain.first() == Some(&card) => {
            ["down", "0.0.0.0", "0"].iter().any(|word| has(word)).then_some(Harm::Passing)
        }
        "ifdown" => (names_card || has("-a")).then_some(Harm::Lasting),
        "route" if plain.first() == Some(&"del") && (is_default() || has("0.0.0.0")) => Some(Harm::Passing),
        "tc" if names_card => drops_all(words).then_some(Harm::Lasting),
        "dhclient" => (has("-r") || has("-x")).then_some(Harm::Passing),
        "nmcli" => (has("off") && !has("wifi") || has("disconnect") && names_card).then_some(Harm::Lasting),
        _ => None,
    }
}

/// Whether a discipline of queues loses all packets, or nearly all: no connection of TCP comes to stand.
fn drops_all(words: &[&str]) -> bool {
    let is_all = |share: &&&str| {
        let share = share.trim_end_matches('%').split('.').next().and_then(|share| share.parse::<u32>().ok());
        share.is_some_and(|share| share >= 95)
    };
    let is_set = words.iter().any(|word| matches!(*word, "add" | "replace" | "change"));
    let mut behind = words.iter().skip_while(|word| !matches!(**word, "loss" | "corrupt")).skip(1);
    is_set && words.contains(&"netem") && behind.find(|word| **word != "random").filter(is_all).is_some()
}
