//! The language of LVM's metadata.
//!
//! ```text
//! section = { name "{" section "}" | name "=" value }
//! value   = number | string | "[" [ value { "," value } ] "]"
//! ```
//!
//! A name is made of letters, digits and `+_.-`; a string stands in double quotes; `#` starts a comment, to
//! the line's end.

use block::{Error, Result};

use super::LAYER;

/// LVM nests four deep.
const MAX_DEPTH: u32 = 8;

/// Names with what they stand for, in the order of the text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Section<'a>(Vec<(&'a str, Node<'a>)>);

#[derive(Debug, PartialEq, Eq)]
enum Node<'a> {
    Section(Section<'a>),
    Value(Value<'a>),
    List(Vec<Value<'a>>),
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    /// Escapes are left as they are.
    Text(&'a str),
}

impl<'a> Section<'a> {
    fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, node)| node)
    }

    /// The number of this name.
    pub(super) fn number(&self, name: &str) -> Result<u64> {
        match self.get(name) {
            Some(Node::Value(Value::Number(number))) => Ok(*number),
            _ => Err(missing("number", name)),
        }
    }

    /// The text of this name.
    pub(super) fn text(&self, name: &str) -> Result<&'a str> {
        self.text_if_there(name).ok_or_else(|| missing("text", name))
    }

    /// The text of this name, which has no other characters than names have.
    pub(super) fn word(&self, name: &str) -> Result<&'a str> {
        self.text_if_there(name).filter(|text| is_word(text)).ok_or_else(|| missing("word", name))
    }

    /// The text of this name, if there is one.
    pub(super) fn text_if_there(&self, name: &str) -> Option<&'a str> {
        match self.get(name) {
            Some(Node::Value(Value::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// The list of this name; empty if there is none. A value alone is a list of one.
    pub(super) fn list(&self, name: &str) -> &[Value<'a>] {
        match self.get(name) {
            Some(Node::List(list)) => list,
            Some(Node::Value(value)) => std::slice::from_ref(value),
            _ => &[],
        }
    }

    /// Whether the list of this name has this text in it.
    pub(super) fn has(&self, name: &str, text: &str) -> bool {
        self.list(name).contains(&Value::Text(text))
    }

    /// The sections inside the section of this name; none if there is no such section.
    pub(super) fn sections_of(&self, name: &str) -> impl Iterator<Item = (&'a str, &Section<'a>)> {
        let inner = match self.get(name) {
            Some(Node::Section(section)) => Some(section),
            _ => None,
        };
        inner.into_iter().flat_map(Section::sections)
    }

    /// The sections inside this one.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&'a str, &Section<'a>)> {
        self.0.iter().filter_map(|(name, node)| match node {
            Node::Section(section) => Some((*name, section)),
            Node::Value(_) | Node::List(_) => None,
        })
    }
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+_.-".contains(c)
}

/// Whether this may be a name.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(in_word)
}

fn missing(what: &str, name: &str) -> Error {
    Error::corrupt(LAYER, format!("the metadata has no {what} called {name:?}"))
}

/// Reads a whole text; zeros may follow it.
pub(super) fn parse(text: &str) -> Result<Section<'_>> {
    let text = text.trim_end_matches('\0');
    let mut parser = Parser { text, rest: text };
    let section = parser.section(0)?;
    if parser.rest.is_empty() { Ok(section) } else { Err(parser.wrong("a closing brace too many")) }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn wrong(&self, what: &str) -> Error {
        let at = self.text.len().saturating_sub(self.rest.len());
        Error::corrupt(LAYER, format!("{what} in byte {at} of the metadata"))
    }

    /// Leaves out blanks and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    /// Takes this, if it is next.
    fn take(&mut self, what: char) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// All up to the end of the section, its brace left.
    fn section(&mut self, depth: u32) -> Result<Section<'a>> {
        let mut entries = Vec::new();
        loop {
            self.skip();
            if self.rest.is_empty() || self.rest.starts_with('}') {
                return Ok(Section(entries));
            }
            let name = self.word()?;
            let node = if self.take('{') {
                if depth >= MAX_DEPTH {
                    return Err(self.wrong("sections nested too deep"));
                }
                let inner = self.section(depth.saturating_add(1))?;
                if !self.take('}') {
                    return Err(self.wrong("a section without end"));
                }
                Node::Section(inner)
            } else if self.take('=') {
                self.node()?
            } else {
                return Err(self.wrong("a name without value"));
            };
            entries.push((name, node));
        }
    }

    fn node(&mut self) -> Result<Node<'a>> {
        if !self.take('[') {
            return self.value().map(Node::Value);
        }
        let mut list = Vec::new();
        while !self.take(']') {
            list.push(self.value()?);
            if !self.take(',') {
                self.skip();
                if !self.rest.starts_with(']') {
                    return Err(self.wrong("a list without end"));
                }
            }
        }
        Ok(Node::List(list))
    }

    fn value(&mut self) -> Result<Value<'a>> {
        if self.take('"') {
            let end = self.end_of_string().ok_or_else(|| self.wrong("a string without end"))?;
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest.strip_prefix('"').unwrap_or(rest);
            return Ok(Value::Text(text));
        }
        let word = self.word()?;
        Ok(word.parse().map_or(Value::Text(word), Value::Number))
    }

    /// Where the next quote is that is not escaped.
    fn end_of_string(&self) -> Option<usize> {
        let mut escaped = false;
        let end = self.rest.char_indices().find(|(_, c)| {
            let is_end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        end.map(|(at, _)| at)
    }

    fn word(&mut self) -> Result<&'a str> {
        let end = self.rest.find(|c| !in_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(self.wrong("no name, and no value"));
        }
        self.rest = rest;
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_values_lists_and_comments() {
        let text = "# made by hand\nvg0 {\n id = \"a\\\"#b\" # not \"this\"\n n=18446744073709551615\n\
                    empty = []\n list = [\"pv0\", 5,\n \"pv1\", 7]\n my-data { x = y } }\nversion = 1\0\0";
        let top = parse(text).unwrap();
        assert_eq!(top.number("version").unwrap(), 1);
        let (name, vg) = top.sections().next().unwrap();
        assert_eq!(name, "vg0");
        assert_eq!(vg.text("id").unwrap(), "a\\\"#b");
        assert_eq!(vg.number("n").unwrap(), u64::MAX);
        assert_eq!(vg.list("empty"), []);
        let list = [Value::Text("pv0"), Value::Number(5), Value::Text("pv1"), Value::Number(7)];
        assert_eq!(vg.list("list"), list);
        assert!(vg.has("list", "pv1") && !vg.has("list", "pv2") && !vg.has("none", "pv1"));
        let (name, inner) = top.sections_of("vg0").next().unwrap();
        assert_eq!((name, inner.text("x").unwrap()), ("my-data", "y"));
        assert!(vg.number("id").is_err() && vg.text("n").is_err());
        assert_eq!(parse("").unwrap(), Section::default());
    }

    #[test]
    fn what_is_not_in_the_language_is_refused() {
        let deep = "a{".repeat(100_000);
        for text in [
            "a",
            "a =",
            "a {",
            "a { b = 1",
            "}",
            "a = [",
            "a = [1 2]",
            "a = \"b",
            "a = \"b\\\"",
            "= 1",
            "a = [[1]]",
            "ä = 1",
            "a = \u{7}",
            &deep,
        ] {
            assert!(parse(text).is_err(), "{:?}", text.get(..20).unwrap_or(text));
        }
    }
}
