//! `/etc/network/interfaces` of ifupdown: stanzas that begin with a keyword (interfaces(5)).

use super::{comment_out, lines, rewrite};

/// A stanza of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// Its first line, from 1.
    pub line: usize,
    /// Its last line.
    last: usize,
    /// "auto", "allow-hotplug" or "iface".
    pub keyword: &'a str,
    /// The interfaces it names.
    pub interfaces: Vec<&'a str>,
    /// The method of an `iface` stanza: "dhcp", "static".
    pub method: Option<&'a str>,
    /// It fixes a hardware address.
    pub hwaddress: bool,
}

/// All stanzas that name interfaces.
pub fn stanzas(text: &str) -> Vec<Stanza<'_>> {
    let mut out: Vec<Stanza<'_>> = Vec::new();
    let mut open = false;
    for line in lines(text) {
        let words: Vec<&str> = line.words().collect();
        match words.as_slice() {
            [] => {}
            [keyword, names @ ..] if *keyword == "auto" || keyword.starts_with("allow-") => {
                let interfaces = names.to_vec();
                let (line, last) = (line.number, line.number);
                out.push(Stanza { line, last, keyword, interfaces, method: None, hwaddress: false });
                open = false;
            }
            ["iface", name, rest @ ..] => {
                let (line, last, method) = (line.number, line.number, rest.get(1).copied());
                let interfaces = vec![*name];
                out.push(Stanza { line, last, keyword: "iface", interfaces, method, hwaddress: false });
                open = true;
            }
            [keyword, ..] if starts_other_stanza(keyword) => open = false,
            [option, ..] if open => {
                if let Some(stanza) = out.last_mut() {
                    stanza.last = line.number;
                    stanza.hwaddress |= *option == "hwaddress";
                }
            }
            _ => {}
        }
    }
    out
}

/// The text with some stanzas made comments.
pub fn comment_out_stanzas(text: &str, why: &str, hit: impl Fn(&Stanza<'_>) -> bool) -> String {
    let hit: Vec<_> = stanzas(text).into_iter().filter(hit).map(|stanza| stanza.line..=stanza.last).collect();
    rewrite(text, |line| {
        let next = hit.partition_point(|range| *range.end() < line.number);
        let inside = hit.get(next).is_some_and(|range| range.contains(&line.number));
        (inside && line.words().next().is_some()).then(|| comment_out(line.body, why))
    })
}

fn starts_other_stanza(keyword: &str) -> bool {
    keyword.starts_with("source")
        || matches!(keyword, "mapping" | "rename" | "template" | "no-auto-down" | "no-scripts")
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const SAMPLE: &str = "auto lo\niface lo inet loopback\n\nauto ens5\niface ens5 inet static\n    address 10.0.0.5\n    # why\n    hwaddress 0a:00\nsource /x/*\n";

    #[test]
    fn a_stanza_goes_on_to_the_next_keyword() {
        let stanzas = stanzas(SAMPLE);
        assert_eq!(stanzas.len(), 4);
        assert_eq!((stanzas[3].method, stanzas[3].hwaddress, stanzas[3].line), (Some("static"), true, 5));
        let new = comment_out_stanzas(SAMPLE, "ens5", |stanza| stanza.interfaces == ["ens5"]);
        let gone = "auto lo\niface lo inet loopback\n\n# refloat: ens5: auto ens5\n# refloat: ens5: iface ens5 inet static\n# refloat: ens5:     address 10.0.0.5\n    # why\n# refloat: ens5:     hwaddress 0a:00\nsource /x/*\n";
        assert_eq!(new, gone);
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(6);
        for _ in 0..3000 {
            let text = random.text();
            assert_eq!(comment_out_stanzas(&text, "", |_| false), text);
            assert!(stanzas(&comment_out_stanzas(&text, "gone", |_| true)).is_empty(), "{text:?}");
        }
    }
}
