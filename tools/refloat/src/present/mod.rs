//! Everything that reaches a terminal or a pipe: escaped, coloured, wrapped. Nothing is written past it.

mod ink;
mod log;
mod progress;
mod words;
mod wrap;

use std::io::{ErrorKind, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context, Result};
use guestfix::report::escape::escape_json;
use guestfix::report::{Line, Page};
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};

pub(crate) use log::set_up as set_up_log;
pub(crate) use progress::{Progressed, observer};
pub(crate) use words::{command, quote, size};

/// Longer lines are hard to read, however wide the terminal is.
const WIDEST: usize = 120;
/// Narrower than this nothing is laid out well.
const NARROWEST: usize = 20;

/// How one of the two streams is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// With colours: on a terminal, unless NO_COLOR, CLICOLOR=0 or TERM=dumb say no; elsewhere if
    /// CLICOLOR_FORCE does.
    pub(crate) color: bool,
    /// Columns.
    pub(crate) width: usize,
}

/// Standard output, which gets the answer, and standard error, which gets the story.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    stdout: Manner,
    stderr: Manner,
    /// Whether a progress bar has a place.
    pub(crate) terminal: bool,
}

impl Out {
    pub(crate) fn new() -> Self {
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        // What goes into a file or another program stays one line: only a terminal has an edge, or who sets
        // COLUMNS.
        let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
        let width = |terminal: Option<(Width, _)>| match terminal {
            Some((Width(columns), _)) => usize::from(columns).clamp(NARROWEST, WIDEST),
            None => columns().map_or(usize::MAX, |columns: usize| columns.max(NARROWEST)),
        };
        Self {
            stdout: Manner {
                color: AutoStream::choice(&stdout) != ColorChoice::Never,
                width: width(terminal_size_of(&stdout)),
            },
            stderr: Manner {
                color: AutoStream::choice(&stderr) != ColorChoice::Never,
                width: width(terminal_size_of(&stderr)),
            },
            terminal: stderr.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
        }
    }

    /// Writes the answer to standard output.
    pub(crate) fn page(&self, page: &Page) -> Result<()> {
        answer(wrap::render(page.lines(), self.stdout).as_bytes())
    }

    /// Writes one JSON document to standard output.
    pub(crate) fn json(&self, document: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string_pretty(document)? + "\n";
        answer(escape_json(&json).as_bytes())
    }

    /// Standard output for the bytes of a file of the guest as they are: `fs cat` and nothing else.
    pub(crate) fn raw(&self) -> impl Write + use<> {
        std::io::stdout().lock()
    }

    /// Writes text that is all ours to standard output: a script, a man page.
    pub(crate) fn own(&self, text: &[u8]) -> Result<()> {
        answer(text)
    }

    /// Writes a line of the story to standard error. That nobody listens is no failure.
    pub(crate) fn tell(&self, line: Line) {
        story(&wrap::render(&[line], self.stderr));
    }

    /// Writes a JSON document of one line to standard error.
    pub(crate) fn tell_json(&self, document: &impl Serialize) {
        // Of our own types all are JSON.
        if let Ok(json) = serde_json::to_string(document) {
            story(&(escape_json(&json).into_owned() + "\n"));
        }
    }
}

fn story(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// That the reader had enough (`| head`) is no failure, and changes no answer.
fn answer(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the answer"),
    }
}
