//! The language of GRUB 2's scripts, as far as menus and stubs are written in it: words, quotes, variables,
//! `if`, loops, functions and blocks (GRUB manual 2.12, "Writing full configuration files directly", 2023).

use crate::limits;

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Stands for itself.
    Text(String),
    /// The value of a variable; where it is not quoted, blanks in it part words.
    Variable { name: String, quoted: bool },
}

/// A word before variables are filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Word {
    pub(super) pieces: Vec<Piece>,
    /// Some of it was in quotes: it is a word even if it is empty.
    pub(super) quoted: bool,
}

impl Word {
    /// What it is where it has no variables.
    pub(super) fn literal(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Variable { .. } => None,
            })
            .collect()
    }

    fn is(&self, text: &str) -> bool {
        !self.quoted && matches!(self.pieces.as_slice(), [Piece::Text(known)] if known == text)
    }
}

/// A command with the line that it begins in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) what: What,
}

/// The kinds of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Words.
    Simple(Vec<Word>),
    /// Each condition with what follows from it, and what is done if none holds.
    If { branches: Vec<(Vec<Command>, Vec<Command>)>, otherwise: Vec<Command> },
    /// `for name in words; do ... done`
    For { name: String, words: Vec<Word>, body: Vec<Command> },
    /// `while`, `until`.
    Loop,
    /// `function name { ... }`
    Function { name: String, body: Vec<Command> },
    /// A command with a block behind its words: `menuentry`, `submenu`, `hiddenentry`.
    Block { words: Vec<Word>, body: Vec<Command> },
}

/// Parses a script; an error is the line of what cannot be understood, and why.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, (usize, String)> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let commands = parser.commands(&[])?;
    match parser.tokens.get(parser.at) {
        None => Ok(commands),
        Some(token) => Err((token.line, "this closes nothing that is open".into())),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    /// `None` for the end of a command.
    word: Option<Word>,
}

fn tokens(text: &str) -> Result<Vec<Token>, (usize, String)> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    let (mut line, mut start) = (1, 1);
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let push = |word: &mut Option<Word>, c: char| {
        let word = word.get_or_insert_default();
        match word.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => word.pieces.push(Piece::Text(c.into())),
        }
    };
    while let Some(c) = chars.next() {
        if word.is_none() {
            start = line;
        }
        if c == '\n' {
            line += 1;
        }
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => push(&mut word, c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default().quoted = true;
            }
            (quote, '\\') => match chars.next() {
                Some('\n') => line += 1,
                // in quotes a backslash stays before what it does not need to guard
                Some(next) if quote.is_some() && !matches!(next, '$' | '"' | '\\') => {
                    push(&mut word, '\\');
                    push(&mut word, next);
                }
                Some(next) => push(&mut word, next),
                None => {}
            },
            (quote, '$') => match variable(&mut chars) {
                Some(name) => {
                    let variable = Piece::Variable { name, quoted: quote.is_some() };
                    word.get_or_insert_default().pieces.push(variable);
                }
                None => push(&mut word, '$'),
            },
            (Some(_), c) => push(&mut word, c),
            (None, '#') if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, c) if c.is_whitespace() || c == ';' => {
                out.extend(word.take().map(|word| Token { line: start, word: Some(word) }));
                if matches!(c, '\n' | ';') {
                    out.push(Token { line: start, word: None });
                }
            }
            (None, '&' | '|' | '<' | '>') => {
                return Err((line, format!("{c} is not of the language")));
            }
            (None, c) => push(&mut word, c),
        }
    }
    if quote.is_some() {
        return Err((start, "a quote that does not end".into()));
    }
    out.extend(word.map(|word| Token { line: start, word: Some(word) }));
    Ok(out)
}

/// The name of a variable behind its dollar.
fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    if chars.next_if_eq(&'{').is_some() {
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '}' && *c != '\n') {
            name.push(c);
        }
        chars.next_if_eq(&'}');
        return Some(name);
    }
    if let Some(special) = chars.next_if(|c| matches!(c, '?' | '@' | '*' | '#')) {
        return Some(special.into());
    }
    let mut name = String::new();
    while let Some(c) = chars.next_if(is_name) {
        name.push(c);
        if name.len() == 1 && c.is_ascii_digit() {
            break;
        }
    }
    (!name.is_empty()).then_some(name)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, (usize, String)>;

impl Parser {
    /// The commands up to one of these words, which stays.
    fn commands(&mut self, ends: &[&str]) -> Parsed<Vec<Command>> {
        if self.depth > limits::MENU_DEPTH {
            return Err((self.line(), format!("more than {} blocks within blocks", limits::MENU_DEPTH)));
        }
        self.depth += 1;
        let mut out = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            let Some(word) = &token.word else {
                self.at += 1;
                continue;
            };
            if ends.iter().any(|end| word.is(end)) || word.is("}") {
                break;
            }
            out.push(self.command()?);
        }
        self.depth -= 1;
        Ok(out)
    }

    fn command(&mut self) -> Parsed<Command> {
        let line = self.line();
        let what = if self.take("if") {
            self.conditions(line)?
        } else if self.take("for") {
            let words = self.words();
            let (name, words) = match words.split_first() {
                Some((name, [of, words @ ..])) if of.is("in") => (name.literal(), words.to_vec()),
                _ => (None, Vec::new()),
            };
            let name = name.ok_or((line, "a loop over nothing".to_owned()))?;
            self.expect("do", line)?;
            let body = self.commands(&["done"])?;
            self.expect("done", line)?;
            What::For { name, words, body }
        } else if self.take("while") || self.take("until") {
            self.commands(&["done"])?;
            self.expect("done", line)?;
            What::Loop
        } else if self.take("function") {
            let name = self.words().first().and_then(Word::literal);
            let name = name.ok_or((line, "a function without a name".to_owned()))?;
            What::Function { name, body: self.block(line)? }
        } else {
            let words = self.words();
            if self.next_is("{") {
                What::Block { words, body: self.block(line)? }
            } else {
                What::Simple(words)
            }
        };
        Ok(Command { line, what })
    }

    fn conditions(&mut self, line: usize) -> Parsed<What> {
        let mut branches = Vec::new();
        loop {
            let condition = self.commands(&["then"])?;
            self.expect("then", line)?;
            branches.push((condition, self.commands(&["elif", "else", "fi"])?));
            if !self.take("elif") {
                break;
            }
        }
        let otherwise = if self.take("else") { self.commands(&["fi"])? } else { Vec::new() };
        self.expect("fi", line)?;
        Ok(What::If { branches, otherwise })
    }

    /// `{ ... }`
    fn block(&mut self, line: usize) -> Parsed<Vec<Command>> {
        self.expect("{", line)?;
        let body = self.commands(&["}"])?;
        self.expect("}", line)?;
        Ok(body)
    }

    /// The words up to the end of the command, or up to a block.
    fn words(&mut self) -> Vec<Word> {
        let mut out = Vec::new();
        while let Some(Token { word: Some(word), .. }) = self.tokens.get(self.at)
            && !word.is("{")
            && !word.is("}")
        {
            out.push(word.clone());
            self.at += 1;
        }
        out
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn next_is(&self, text: &str) -> bool {
        let word = self.tokens.get(self.at).and_then(|token| token.word.as_ref());
        word.is_some_and(|word| word.is(text))
    }

    fn take(&mut self, text: &str) -> bool {
        let is = self.next_is(text);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, text: &str, line: usize) -> Parsed<()> {
        while self.tokens.get(self.at).is_some_and(|token| token.word.is_none()) {
            self.at += 1;
        }
        if self.take(text) { Ok(()) } else { Err((line, format!("what begins here has no {text}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::random::Random;

    fn simple(text: &str) -> Vec<Vec<String>> {
        let words = |command: Command| match command.what {
            What::Simple(words) => words.iter().map(|word| word.literal().unwrap_or("?".into())).collect(),
            other => panic!("{other:?}"),
        };
        parse(text).unwrap().into_iter().map(words).collect()
    }

    #[test]
    fn words_are_parted_as_grub_parts_them() {
        let text = "set a='b c' # d\necho \"x\\\"y\" ; echo a\\ b\n linux \\\n /k ''\n";
        let expected =
            [vec!["set", "a=b c"], vec!["echo", "x\"y"], vec!["echo", "a b"], vec!["linux", "/k", ""]];
        assert_eq!(simple(text), expected);
        assert_eq!(parse("\n\necho a\n").unwrap()[0].line, 3);
    }

    #[test]
    fn variables_end_where_their_names_do() {
        let commands = parse("set p=($root)'/boot'\"${x}y\"").unwrap();
        let What::Simple(words) = &commands[0].what else { panic!() };
        let text = |text: &str| Piece::Text(text.into());
        let variable = |name: &str, quoted| Piece::Variable { name: name.into(), quoted };
        let expected = [text("p=("), variable("root", false), text(")/boot"), variable("x", true), text("y")];
        assert_eq!(words[1].pieces, expected);
    }

    #[test]
    fn blocks_nest() {
        let text = "if [ a ]; then\n if b; then c; elif d\n then e; else f; fi\nfi\nfunction g {\n h\n}\n\
                    submenu 'x' {\n menuentry y { linux /z\n }\n}\nwhile a; do b; done\n";
        let commands = parse(text).unwrap();
        let [conditions, function, menu, last] = commands.as_slice() else { panic!("{commands:?}") };
        let What::If { branches, .. } = &conditions.what else { panic!() };
        let What::If { branches: inner, otherwise } = &branches[0].1[0].what else { panic!() };
        assert_eq!((inner.len(), otherwise.len()), (2, 1));
        assert!(matches!(&function.what, What::Function { name, body } if name == "g" && body.len() == 1));
        let What::Block { body, .. } = &menu.what else { panic!() };
        assert!(matches!(&body[0].what, What::Block { body, .. } if body.len() == 1));
        assert_eq!((menu.line, body[0].line, &last.what), (8, 9, &What::Loop));
    }

    #[test]
    fn what_is_not_understood_is_named_by_its_line() {
        for (text, line) in [("\na 'b", 2), ("a\nif b; then\nc\n", 2), ("a\n}\n", 2), ("a\nb && c", 2)] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text:?}");
        }
        assert!(parse(&"if a; then\n".repeat(1000)).is_err());
    }

    #[test]
    fn random_text_is_no_problem() {
        let mut random = Random(11);
        for _ in 0..3000 {
            let _ = parse(&random.text());
        }
    }
}
