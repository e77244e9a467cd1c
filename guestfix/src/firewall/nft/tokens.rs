//! The words of nft's language (nft(8)).

/// A word, a sign, or what ends a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// In quotes.
    Text(String),
    /// `{`, `!=`, `.`
    Sign(&'static str),
    /// A line's end, or `;`.
    End,
}

impl Token {
    /// The word that it is, whether in quotes or not.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) | Self::Text(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => word == text,
            Self::Sign(sign) => *sign == text,
            _ => false,
        }
    }
}

/// Signs of which the longer stand first.
const SIGNS: &[&str] =
    &["!=", "==", "<=", ">=", "<<", ">>", "{", "}", "(", ")", ",", "=", "<", ">", "!", "&", "|", "^", "+"];
/// What stands behind a `:` in a map.
const VERDICTS: &[&str] = &["accept", "drop", "jump", "goto", "return", "continue", "reject", "queue"];

/// All tokens of a text; comments are left out.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let behind = rest.get(c.len_utf8()..).unwrap_or_default();
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        let mut taken = c.len_utf8();
        match c {
            '\n' | ';' => out.push(Token::End),
            '\\' if behind.starts_with('\n') => taken = 2,
            '#' => taken = rest.find('\n').unwrap_or(rest.len()),
            '"' => {
                let len = behind.find('"').unwrap_or(behind.len());
                out.push(Token::Text(behind.get(..len).unwrap_or_default().to_owned()));
                taken = len.saturating_add(2).min(rest.len());
            }
            ':' | '.' if ends_sign(behind) => out.push(Token::Sign(if c == ':' { ":" } else { "." })),
            c if c.is_whitespace() => {}
            _ => match sign {
                Some(sign) => {
                    out.push(Token::Sign(sign));
                    taken = sign.len();
                }
                None => {
                    let word = word(rest);
                    taken = word.len().max(taken);
                    out.push(Token::Word(rest.get(..taken).unwrap_or_default().to_owned()));
                }
            },
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

/// Whether a `:` or `.` before this stands by itself.
fn ends_sign(behind: &str) -> bool {
    behind.is_empty()
        || behind.starts_with(char::is_whitespace)
        || VERDICTS.iter().any(|verdict| behind.starts_with(verdict))
}

/// The word at the start.
fn word(text: &str) -> &str {
    let is_end = |(at, c): &(usize, char)| {
        let behind = text.get(at.saturating_add(c.len_utf8())..).unwrap_or_default();
        c.is_whitespace() || "{}();,=<>!&|^\"#".contains(*c) || *c == ':' && ends_sign(behind)
    };
    let end = text.char_indices().find(is_end).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_tokens() {
        let words = |text: &str| {
            let name = |token: Token| match token {
                Token::Word(word) => word,
                Token::Text(text) => format!("{text:?}"),
                Token::Sign(sign) => format!("<{sign}>"),
                Token::End => ";".to_owned(),
            };
            tokens(text).into_iter().map(name).collect::<Vec<_>>().join(" ")
        };
        for (text, cut) in [
            ("tcp dport {22,80-90} accept # x\n", "tcp dport <{> 22 <,> 80-90 <}> accept ;"),
            ("ip saddr 10.0.0.0/8 . tcp dport", "ip saddr 10.0.0.0/8 <.> tcp dport"),
            ("vmap { 22:accept, 80 : jump x }", "vmap <{> 22 <:> accept <,> 80 <:> jump x <}>"),
            ("fe80::1 != \"a;b\"", "fe80::1 <!=> \"a;b\""),
            ("a \\\n b;c", "a b ; c"),
            ("flags & (syn|ack) == syn", "flags <&> <(> syn <|> ack <)> <==> syn"),
            ("\"open", "\"open\""),
            ("é\u{0}:", "é\u{0} <:>"),
        ] {
            assert_eq!(words(text), cut, "{text}");
        }
    }
}
