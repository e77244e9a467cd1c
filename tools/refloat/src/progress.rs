//! What long work tells, on standard error: a bar on a terminal, a line now and then otherwise.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use libdisk::block::{Event, Observer, Silent};
use tracing_subscriber::EnvFilter;

use crate::answer;
use crate::cli::Global;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Sends the libraries' log to standard error: warnings, with `-v` more.
pub(crate) fn set_up_log(verbose: u8) {
    let level = ["warn", "info", "debug"].get(usize::from(verbose)).copied().unwrap_or("trace");
    // What the SDK warns of ends up in our own error, with what to do.
    let usual =
        || EnvFilter::new(if verbose < 2 { format!("{level},aws_config=error") } else { level.into() });
    let filter = EnvFilter::try_from_env("REFLOAT_LOG").unwrap_or_else(|_| usual());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color(std::io::stderr().is_terminal()))
        .without_time()
        .log_internal_errors(false)
        .init();
}

/// Whether to colour what goes to a terminal; `NO_COLOR` says no.
pub(crate) fn color(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The observer for a verb.
pub(crate) fn observer(global: &Global) -> Box<dyn Observer> {
    if global.quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Box::new(Bar { bar: ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()) })
    } else {
        Box::new(Lines { state: Mutex::new(None) })
    }
}

/// A bar on a terminal.
struct Bar {
    bar: ProgressBar,
}

impl Observer for Bar {
    fn on(&self, event: Event) {
        match event {
            Event::Started { step, total } => {
                let template = match total {
                    Some(_) => "{msg:<10} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
                    None => "{msg:<10} {spinner} {bytes} {bytes_per_sec}",
                };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    self.bar.set_style(style);
                }
                self.bar.reset();
                self.bar.set_length(total.unwrap_or(0));
                self.bar.set_message(step);
            }
            Event::Advanced { bytes } => self.bar.inc(bytes),
            Event::Note(note) => self.bar.suspend(|| answer::aside(&note)),
            Event::Finished => self.bar.finish_and_clear(),
            _ => {}
        }
    }
}

/// A line now and then in a log.
struct Lines {
    state: Mutex<Option<Step>>,
}

struct Step {
    name: &'static str,
    done: u64,
    total: Option<u64>,
    told: Instant,
}

impl Observer for Lines {
    fn on(&self, event: Event) {
        let Ok(mut state) = self.state.lock() else { return };
        match event {
            Event::Started { step, total } => {
                *state = Some(Step { name: step, done: 0, total, told: Instant::now() })
            }
            Event::Advanced { bytes } => {
                if let Some(step) = state.as_mut() {
                    step.done = step.done.saturating_add(bytes);
                    if step.told.elapsed() >= LINE_EVERY {
                        step.told = Instant::now();
                        let of = step.total.map(|total| format!(" of {}", size(total))).unwrap_or_default();
                        answer::aside(&format!("{}: {}{of}", step.name, size(step.done)));
                    }
                }
            }
            Event::Note(note) => answer::aside(&note),
            Event::Finished => *state = None,
            _ => {}
        }
    }
}

/// A size for people: "8.0 GiB".
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(8 << 30), "8.0 GiB");
        assert_eq!(size(u64::MAX), "16384.0 PiB");
    }
}
