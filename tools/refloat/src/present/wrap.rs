//! Lines as a terminal shows them: escaped, coloured, broken between words where they may be and are too
//! long.

use guestfix::report::{Ink, Line};
use textwrap::WordSeparator;
use textwrap::core::{Fragment, display_width};
use textwrap::wrap_algorithms::wrap_first_fit;

use super::{Manner, ink};

/// A word and the gap after it.
#[derive(Debug)]
struct Word {
    ink: Ink,
    text: String,
    gap: String,
}

impl Fragment for Word {
    fn width(&self) -> f64 {
        display_width(&self.text) as f64
    }

    fn whitespace_width(&self) -> f64 {
        display_width(&self.gap) as f64
    }

    fn penalty_width(&self) -> f64 {
        0.0
    }
}

/// All lines, each with its end.
pub(super) fn render(lines: &[Line], manner: Manner) -> String {
    let mut out = String::new();
    for line in lines {
        match line.hanging() {
            Some(columns) if display_width(&line.to_string()) > manner.width => {
                broken(&mut out, line, columns.min(manner.width / 2), manner);
            }
            _ => {
                line.spans().for_each(|(ink, text)| put(&mut out, ink, &text, manner.color));
                out.push('\n');
            }
        }
    }
    out
}

fn broken(out: &mut String, line: &Line, indent: usize, manner: Manner) {
    let words: Vec<Word> = line.spans().flat_map(|(ink, text)| words(ink, &text)).collect();
    let widths = [manner.width as f64, manner.width.saturating_sub(indent) as f64];
    for (number, row) in wrap_first_fit(&words, &widths).into_iter().enumerate() {
        if number > 0 {
            out.push_str(&" ".repeat(indent));
        }
        for (at, Word { ink, text, gap }) in row.iter().enumerate() {
            put(out, *ink, text, manner.color);
            if at + 1 < row.len() {
                out.push_str(gap);
            }
        }
        out.push('\n');
    }
}

fn words(ink: Ink, text: &str) -> Vec<Word> {
    let words = WordSeparator::AsciiSpace.find_words(text);
    words.map(|word| Word { ink, text: word.word.to_owned(), gap: word.whitespace.to_owned() }).collect()
}

fn put(out: &mut String, ink: Ink, text: &str, color: bool) {
    let style = ink::style(ink);
    match color && !text.is_empty() {
        true => out.push_str(&format!("{style}{text}{style:#}")),
        false => out.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Manner = Manner { color: false, width: 20 };

    #[test]
    fn a_line_is_broken_between_words_and_hangs() {
        let line = Line::default().ink(Ink::Bad, "BLOCKER").text("  one two three four five").hang(9);
        assert_eq!(render(&[line], PLAIN), "BLOCKER  one two\n         three four\n         five\n");
        let whole = Line::new("a line that must not be broken");
        assert_eq!(render(&[whole], PLAIN), "a line that must not be broken\n");
    }

    #[test]
    fn colours_are_ours_and_never_the_guests() {
        let line = Line::default().ink(Ink::Removed, "-\x1b[2J").text("\u{9b}31m");
        let out = render(&[line], Manner { color: true, width: 80 });
        assert_eq!(out, "\x1b[31m-\\u{1b}[2J\x1b[0m\\u{9b}31m\n");
    }

    #[test]
    fn no_row_of_short_words_is_wider_than_the_terminal() {
        for width in 20..90 {
            let text = "ab cde fghi ".repeat(20);
            let out = render(&[Line::new(text).hang(4)], Manner { color: false, width });
            assert!(out.lines().all(|row| row.len() <= width), "{width}\n{out}");
        }
    }
}
