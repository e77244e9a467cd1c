//! Text for people, before it is known where it goes: what stands out and where a line may be broken is said
//! here; colours and widths are the program's.

use std::fmt;

use super::escape::escape_line;

/// What a piece of text is, for whoever colours it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ink {
    /// Nothing special.
    #[default]
    Plain,
    /// Bad: a blocker, an error.
    Bad,
    /// To be looked at: a warning.
    Warning,
    /// To be known.
    Note,
    /// Good: ready, ok.
    Good,
    /// What a part of the text is about.
    Heading,
    /// A line that a diff adds.
    Added,
    /// A line that a diff removes.
    Removed,
    /// Of less interest than what is around it.
    Faint,
}

/// One line. It holds whatever text it was given, and shows it escaped: nothing in it can end the line or
/// steer a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    spans: Vec<(Ink, String)>,
    hang: Option<usize>,
}

impl Line {
    /// A line of plain text.
    pub fn new(text: impl Into<String>) -> Self {
        Self::default().ink(Ink::Plain, text)
    }

    /// Goes on with plain text.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.ink(Ink::Plain, text)
    }

    /// Goes on with text of a kind.
    #[must_use]
    pub fn ink(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.spans.push((ink, text.into()));
        self
    }

    /// Lets the line be broken where it is too long; what follows is indented by `columns`.
    #[must_use]
    pub fn hang(mut self, columns: usize) -> Self {
        self.hang = Some(columns);
        self
    }

    /// The pieces of the line, escaped.
    pub fn spans(&self) -> impl Iterator<Item = (Ink, std::borrow::Cow<'_, str>)> {
        self.spans.iter().map(|(ink, text)| (*ink, escape_line(text)))
    }

    /// By how many columns to indent what does not fit; `None` if the line must stay whole.
    pub fn hanging(&self) -> Option<usize> {
        self.hang
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spans().try_for_each(|(_, text)| f.write_str(&text))
    }
}

/// Lines for people. What is written with `write!` is plain and never broken; a line end in it ends the line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    lines: Vec<Line>,
    /// The last line has no end yet.
    open: bool,
}

impl Page {
    /// A page with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts one more line.
    pub fn line(&mut self, line: Line) {
        self.open = false;
        self.lines.push(line);
    }

    /// Puts an empty line.
    pub fn gap(&mut self) {
        self.line(Line::default());
    }

    /// Puts a line that may be broken, all of it indented by `columns`.
    pub fn prose(&mut self, columns: usize, text: impl AsRef<str>) {
        self.line(Line::new(" ".repeat(columns) + text.as_ref()).hang(columns));
    }

    /// Puts the lines of another page.
    pub fn append(&mut self, page: Page) {
        self.lines.extend(page.lines);
        self.open = false;
    }

    /// The lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl Page {
    /// Goes on with plain text, in which a line end ends the line.
    fn push(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            let (text, ends) = piece.strip_suffix('\n').map_or((piece, false), |text| (text, true));
            let last = if self.open { self.lines.pop() } else { None };
            self.lines.push(last.unwrap_or_default().text(text));
            self.open = !ends;
        }
    }
}

impl From<String> for Page {
    fn from(text: String) -> Self {
        let mut page = Self::new();
        page.push(&text);
        page
    }
}

/// All lines, escaped, none of them broken.
impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let mut page = Page::new();
        page.line(Line::new("file ").ink(Ink::Bad, "a\nready\x1b[2K"));
        write!(page, "size {}", 5).unwrap();
        writeln!(page, " bytes\n").unwrap();
        page.prose(2, "why");
        assert_eq!(page.to_string(), "file a\\nready\\u{1b}[2K\nsize 5 bytes\n\n  why\n");
    }
}
