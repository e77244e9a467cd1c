//! How a verb ends: the exit code, the JSON document, the error with its help line.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Result;
use libdisk::cloud::ebs::Tally;
use serde::Serialize;

use crate::snapshot;

/// What a verb answers. Errors are "could not do it".
pub(crate) type Outcome = Result<Answer>;

/// A verb that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done, ready, same.
    Yes,
    /// The answer is no.
    No,
}

impl Answer {
    /// `Yes` or `No`.
    pub(crate) fn from_bool(yes: bool) -> Self {
        if yes { Answer::Yes } else { Answer::No }
    }
}

/// An error with the next step to take.
#[derive(Debug)]
struct Helped {
    help: String,
    source: anyhow::Error,
}

impl std::fmt::Display for Helped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.source)
    }
}

impl std::error::Error for Helped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// Adds the next step to take to an error.
pub(crate) trait Help<T> {
    /// `help` is one sentence or command, lower case.
    fn help(self, help: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Help<T> for Result<T, E> {
    fn help(self, help: impl Into<String>) -> Result<T> {
        self.map_err(|error| anyhow::Error::new(Helped { help: help.into(), source: error.into() }))
    }
}

/// Prints the error, if there is one, and gives the exit code.
pub(crate) fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let help = error
                .chain()
                .find_map(|cause| cause.downcast_ref::<Helped>())
                .map(|helped| helped.help.as_str());
            let failure = snapshot::failure(&error);
            if let Some(help) = failure.map(|failure| failure.help()).or(help) {
                eprintln!("help: {help}");
            }
            let resumable = failure.is_some_and(|failure| failure.is_resumable());
            ExitCode::from(if resumable { 3 } else { 2 })
        }
    }
}

/// A reader that had enough (`| head`) is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}

/// Writes one JSON document with its schema to standard output.
pub(crate) fn json(schema: &str, document: &impl Serialize) -> Result<()> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        schema: &'a str,
        #[serde(flatten)]
        document: &'a T,
        /// What was read of snapshots for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        transfer: Option<Tally>,
    }
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &Envelope { schema, document, transfer: snapshot::tally() })?;
    writeln!(out)?;
    Ok(())
}

/// Writes text to standard output.
pub(crate) fn text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
