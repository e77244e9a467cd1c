//! Colours.

use anstyle::{AnsiColor, Style};
use guestfix::report::Ink;

/// How a terminal shows a piece of text.
pub(super) fn style(ink: Ink) -> Style {
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    match ink {
        Ink::Plain => Style::new(),
        Ink::Bad => color(AnsiColor::Red).bold(),
        Ink::Warning => color(AnsiColor::Yellow).bold(),
        Ink::Note => color(AnsiColor::Cyan),
        Ink::Good => color(AnsiColor::Green),
        Ink::Heading => Style::new().bold(),
        Ink::Added => color(AnsiColor::Green),
        Ink::Removed => color(AnsiColor::Red),
        Ink::Faint => Style::new().dimmed(),
    }
}
