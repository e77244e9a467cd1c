//! The libraries' log, on standard error.

use std::io::{self, Write};

use guestfix::report::escape::escape_line;
use tracing_subscriber::EnvFilter;

/// Sends the log to standard error: warnings, with `-v` more; `REFLOAT_LOG` says it in full.
pub(crate) fn set_up(verbose: u8) {
    let level = ["warn", "info", "debug"].get(usize::from(verbose)).copied().unwrap_or("trace");
    // What the SDK warns of ends up in our own error, with what to do.
    let usual =
        || EnvFilter::new(if verbose < 2 { format!("{level},aws_config=error") } else { level.into() });
    let filter = EnvFilter::try_from_env("REFLOAT_LOG").unwrap_or_else(|_| usual());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Escaped)
        .with_ansi(false)
        .without_time()
        .log_internal_errors(false)
        .init();
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
