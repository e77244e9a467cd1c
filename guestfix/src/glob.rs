//! Shell patterns of names: `*`, `?`, `[a-z]`, `[!a-z]` (glob(7)).

/// Whether a pattern fits the whole of a name.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: it takes one character more.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match one(&pattern[p..], name[n]) {
            _ if pattern.get(p) == Some(&'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(len) => {
                (p, n) = (p + len, n + 1);
                continue;
            }
            None => {}
        }
        let Some((at, taken)) = star else { return false };
        star = Some((at, taken + 1));
        (p, n) = (at + 1, taken + 1);
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of the pattern fits this one character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            let negated = matches!(pattern.get(1), Some('!' | '^'));
            let start = if negated { 2 } else { 1 };
            // A bracket in the first place is one of the set.
            let len = pattern.get(start + 1..)?.iter().position(|c| *c == ']')? + 1;
            let set = &pattern[start..start + len];
            let hit = set.contains(&c) || set.windows(3).any(|w| w[1] == '-' && (w[0]..=w[2]).contains(&c));
            (hit != negated).then_some(start + len + 1)
        }
        first => (*first == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name, fits) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("e*", "eth0", true),
            ("en*", "eth0", false),
            ("*", "", true),
            ("*0", "eth00", true),
            ("e?h[0-9]", "eth0", true),
            ("eth[!0]", "eth0", false),
            ("eth[!1-9]*", "eth0", true),
            ("*a*b*c", "xaxbxbc", true),
            ("*a*b*c", "xaxbxb", false),
            ("[", "[", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
        // No pattern takes long.
        assert!(!matches(&"*a".repeat(200), &"b".repeat(4000)));
    }
}
