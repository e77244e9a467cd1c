//! The libraries' log, on standard error.

use std::env;
use std::io::{self, Write};

use guestfix::report::escape::escape_line;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{fmt, registry};

/// What names the targets to log, as in `debug` or `cloud=trace`.
const VARIABLE: &str = "REFLOAT_LOG";

/// Sends the log to standard error: warnings, with `-v` more; `REFLOAT_LOG` says it in full.
pub(crate) fn set_up(verbose: u8) {
    let level = [LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG]
        .get(usize::from(verbose))
        .copied()
        .unwrap_or(LevelFilter::TRACE);
    let mut usual = Targets::new().with_default(level);
    if verbose < 2 {
        // What the SDK warns of ends up in our own error, with what to do.
        usual = usual.with_target("aws_config", LevelFilter::ERROR);
    }
    let asked = env::var(VARIABLE).ok().filter(|asked| !asked.is_empty());
    let parsed = asked.as_deref().map(str::parse::<Targets>);
    let (filter, fault) = match parsed {
        Some(Ok(targets)) => (targets, None),
        Some(Err(fault)) => (usual, Some(fault)),
        None => (usual, None),
    };
    let lines = fmt::layer()
        .with_writer(|| Escaped)
        .with_ansi(false)
        .without_time()
        .log_internal_errors(false)
        .with_filter(filter);
    registry().with(lines).init();
    if let (Some(asked), Some(fault)) = (asked, fault) {
        tracing::warn!("{VARIABLE}={asked} is not understood: {fault}; `debug` and `cloud=trace` are");
    }
}

/// Standard error for lines that may hold text of a guest. Each write is one event: the subscriber collects
/// it.
struct Escaped;

impl Write for Escaped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let lines: String = text.lines().map(|line| escape_line(line).into_owned() + "\n").collect();
        io::stderr().lock().write_all(lines.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
