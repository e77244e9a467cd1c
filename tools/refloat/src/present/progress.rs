//! What long work tells, on standard error: a bar on a terminal, a line now and then otherwise, or JSON
//! lines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use guestfix::report::Line;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use libdisk::block::{Cancel, Event, EventKind, Observer};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Out, size};
use crate::cli::{Global, Progress};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Who shows events, and stops the work once `cancel` is set.
pub(crate) fn observer(global: &Global, out: Out, cancel: Cancel) -> Arc<dyn Observer> {
    let show: Box<dyn Show> = match global.progress {
        _ if global.quiet => Box::new(Nothing),
        Progress::Json => Box::new(Json { out, last: Mutex::default() }),
        Progress::Auto if out.terminal => {
            Box::new(Bar { out, bar: ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()) })
        }
        Progress::Auto => Box::new(Lines { out, steps: Mutex::default() }),
    };
    Arc::new(Shown { show, cancel })
}

/// Shows an event.
trait Show: Send + Sync {
    fn show(&self, event: Event);
}

struct Shown {
    show: Box<dyn Show>,
    cancel: Cancel,
}

impl Observer for Shown {
    fn on(&self, event: Event) {
        self.show.show(event);
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// `--quiet`.
struct Nothing;

impl Show for Nothing {
    fn show(&self, _event: Event) {}
}

/// A bar on a terminal.
struct Bar {
    out: Out,
    bar: ProgressBar,
}

/// What fits into so many columns.
fn template(columns: usize, sized: bool) -> &'static str {
    match (columns, sized) {
        (72.., true) => "{msg:<12.12} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        (48.., true) => "{msg:<12.12} {wide_bar} {percent:>3}% {eta:>4}",
        (_, true) => "{wide_msg} {percent:>3}% {eta:>4}",
        (72.., false) => "{msg} {spinner} {bytes} {bytes_per_sec}",
        (_, false) => "{wide_msg} {bytes}",
    }
}

impl Show for Bar {
    fn show(&self, event: Event) {
        match event.kind {
            EventKind::Started { step, total } => {
                if let Ok(style) =
                    ProgressStyle::with_template(template(self.out.stderr.width, total.is_some()))
                {
                    self.bar.set_style(style);
                }
                self.bar.reset();
                self.bar.set_length(total.unwrap_or(0));
                self.bar.set_message(step);
            }
            EventKind::Advanced { bytes } => self.bar.inc(bytes),
            EventKind::Note(note) => self.bar.suspend(|| self.out.tell(Line::new(note).hang(2))),
            EventKind::Finished => self.bar.finish_and_clear(),
            _ => {}
        }
    }
}

/// A line now and then in a log.
struct Lines {
    out: Out,
    steps: Mutex<HashMap<u32, Step>>,
}

struct Step {
    name: &'static str,
    done: u64,
    total: Option<u64>,
    told: Instant,
}

impl Show for Lines {
    fn show(&self, event: Event) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match event.kind {
            EventKind::Started { step, total } => {
                steps.insert(event.item, Step { name: step, done: 0, total, told: Instant::now() });
            }
            EventKind::Advanced { bytes } => {
                let Some(step) = steps.get_mut(&event.item) else { return };
                step.done = step.done.saturating_add(bytes);
                if step.told.elapsed() >= LINE_EVERY {
                    step.told = Instant::now();
                    let of = step.total.map(|total| format!(" of {}", size(total))).unwrap_or_default();
                    self.out.tell(Line::new(format!("{}: {}{of}", step.name, size(step.done))));
                }
            }
            EventKind::Note(note) => self.out.tell(Line::new(note).hang(2)),
            EventKind::Finished => drop(steps.remove(&event.item)),
            _ => {}
        }
    }
}

/// A line of `--progress json`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Progressed<'a> {
    /// A step begins.
    Started {
        /// Tells steps that run at the same time apart.
        item: u32,
        step: &'a str,
        /// Its bytes, if that is known.
        total: Option<u64>,
    },
    /// A part of a step is done.
    Advanced {
        item: u32,
        /// Since the last such line.
        bytes: u64,
    },
    /// Something to know.
    Note { item: u32, text: &'a str },
    /// The step is done.
    Finished { item: u32 },
}

/// One JSON object a line: for a program that shows progress itself.
struct Json {
    out: Out,
    /// When each item was told of last, and its bytes since.
    last: Mutex<HashMap<u32, (Instant, u64)>>,
}

/// Between two lines of one item.
const JSON_EVERY: Duration = Duration::from_millis(200);

impl Show for Json {
    fn show(&self, event: Event) {
        let (item, mut last) = (event.item, self.last.lock().unwrap_or_else(PoisonError::into_inner));
        match event.kind {
            EventKind::Started { step, total } => {
                last.insert(item, (Instant::now(), 0));
                self.out.tell_json(&Progressed::Started { item, step, total });
            }
            EventKind::Advanced { bytes } => {
                let (told, since) = last.entry(item).or_insert_with(|| (Instant::now(), 0));
                *since = since.saturating_add(bytes);
                if told.elapsed() >= JSON_EVERY {
                    let bytes = std::mem::take(since);
                    *told = Instant::now();
                    self.out.tell_json(&Progressed::Advanced { item, bytes });
                }
            }
            EventKind::Note(note) => self.out.tell_json(&Progressed::Note { item, text: &note }),
            EventKind::Finished => {
                if let Some((_, bytes @ 1..)) = last.remove(&item) {
                    self.out.tell_json(&Progressed::Advanced { item, bytes });
                }
                self.out.tell_json(&Progressed::Finished { item });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use indicatif::TermLike;
    use textwrap::core::display_width;

    use super::*;

    /// A terminal that keeps every line it was given.
    #[derive(Debug, Clone)]
    struct Recorded(u16, Arc<Mutex<Vec<String>>>);

    impl TermLike for Recorded {
        fn width(&self) -> u16 {
            self.0
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.1.lock().unwrap().push(text.to_owned());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_fits_into_a_line_however_narrow_the_terminal_is() {
        for columns in [30, 40, 47, 48, 60, 71, 72, 80, 120] {
            for total in [Some(3 << 40), None] {
                let term = Recorded(columns, Arc::default());
                let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
                let mut out = Out::new();
                out.stderr.width = usize::from(columns);
                let bar = Bar { out, bar: ProgressBar::with_draw_target(Some(0), target) };
                bar.show(Event::started("check the image against the plan", total));
                bar.show(Event::advanced(1_234_567_890_123));
                bar.bar.tick();
                let lines = term.1.lock().unwrap();
                assert!(lines.iter().any(|line| !line.trim().is_empty()), "{columns}: nothing was drawn");
                let widest = lines.iter().map(|line| display_width(line)).max().unwrap();
                assert!(widest <= usize::from(columns), "{columns} columns: {lines:?}");
            }
        }
    }
}
