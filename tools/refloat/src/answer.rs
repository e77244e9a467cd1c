//! How a verb ends: the exit code, and the error with its help line.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue, ErrorKind as UsageError};
use guestfix::report::{Ink, Line};
use libdisk::block;

use crate::context::Context;
use crate::document::Failed;
use crate::present::Out;
use crate::{help, snapshot};

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
    /// The same command goes on from here once that is done.
    goes_on: bool,
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

    /// The same, where the same command goes on then.
    fn goes_on(self, help: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Help<T> for Result<T, E> {
    fn help(self, help: impl Into<String>) -> Result<T> {
        self.map_err(|error| helped(help.into(), false, error.into()))
    }

    fn goes_on(self, help: impl Into<String>) -> Result<T> {
        self.map_err(|error| helped(help.into(), true, error.into()))
    }
}

/// Who is nearest to the cause knows best: a help line that is there already stays, but where the same
/// command goes on.
fn helped(help: String, goes_on: bool, source: anyhow::Error) -> anyhow::Error {
    let known = causes(&source).any(|cause| cause.is::<Helped>());
    if known && !goes_on { source } else { anyhow::Error::new(Helped { help, goes_on, source }) }
}

/// An error and all its causes, those that have a help line included.
pub(crate) fn causes(error: &anyhow::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    error.chain().flat_map(|cause| {
        let helped = cause.downcast_ref::<Helped>().map(|helped| helped.source.as_ref());
        std::iter::once(cause).chain(helped)
    })
}

/// What was typed is no command, or asks for help: tells it, and gives the exit code.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let (out, json) = (Out::new(), std::env::args_os().any(|word| word == "--json"));
    // `help --json` looks for a verb of that name.
    let of_help = !error.use_stderr()
        || matches!(error.get(ContextKind::InvalidSubcommand), Some(ContextValue::String(verb)) if verb == "--json");
    let text = match of_help {
        false => error.render().to_string(),
        true if json => "--json cannot be used here: help and the version are texts".to_owned(),
        true => {
            // That nobody reads it is no failure.
            drop(error.print());
            return ExitCode::SUCCESS;
        }
    };
    // Where a command is missing clap tells nothing but the help.
    let text = match error.kind() {
        UsageError::DisplayHelpOnMissingArgumentOrSubcommand => format!("a command is missing\n\n{text}"),
        _ => text,
    };
    let (first, rest) = text.trim_end().split_once('\n').unwrap_or((text.trim_end(), ""));
    let what = first.strip_prefix("error: ").unwrap_or(first);
    if json {
        // What the first line speaks of is on the lines that follow.
        let paragraph = rest.lines().take_while(|line| !line.is_empty()).map(str::trim);
        let what = std::iter::once(what).chain(paragraph).collect::<Vec<_>>().join(" ");
        // That nobody reads it is no failure either: the exit code says it.
        drop(out.json(&Failed::new(&what, &[], "refloat help VERB shows what can be typed", 2)));
    }
    out.tell(Line::default().ink(Ink::Bad, "error:").text(format!(" {what}")).hang(7));
    rest.lines().for_each(|line| out.tell(Line::new(line).hang(2)));
    ExitCode::from(2)
}

/// Tells the error, if there is one, and gives the exit code.
pub(crate) fn exit(context: &Context, outcome: Outcome) -> ExitCode {
    let error = match outcome {
        Ok(Answer::Yes) => return ExitCode::SUCCESS,
        Ok(Answer::No) => return ExitCode::from(1),
        Err(error) => error,
    };
    let (help, resumes) = next_step(&error);
    let stopped = is_cancelled(&error);
    let code = if resumes { 3 } else { 2 };
    if context.global.json && !context.answered.load(Ordering::Relaxed) {
        let what = if stopped { "stopped".to_owned() } else { error.to_string() };
        let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        // The text below says it as well.
        drop(context.out.json(&Failed::new(&what, &causes, &help, code)));
    }
    if stopped {
        context.out.tell(Line::new(format!("stopped; {help}")));
    } else {
        context.out.tell(Line::default().ink(Ink::Bad, "error:").text(format!(" {error:#}")).hang(7));
        context.out.tell(Line::default().ink(Ink::Note, "help:").text(format!(" {help}")).hang(6));
    }
    ExitCode::from(code)
}

/// The help line, and whether the same command resumes. What AWS or the operating system said comes first,
/// then the verb, then the cause.
pub(crate) fn next_step(error: &anyhow::Error) -> (String, bool) {
    let helped = causes(error).find_map(|cause| cause.downcast_ref::<Helped>());
    let resumes = helped.is_some_and(|helped| helped.goes_on);
    if let Some(failure) = snapshot::failure(error) {
        return (help::of_failure(failure).to_owned(), resumes || failure.is_resumable());
    }
    let in_the_way = causes(error).find_map(help::of_in_the_way);
    let told = in_the_way.or_else(|| helped.map(|helped| helped.help.clone()));
    let system = || io_kinds(error).find_map(help::of_system).map(str::to_owned);
    let cause = || causes(error).find_map(help::of_cause).map(str::to_owned);
    let help = if is_cancelled(error) {
        told.unwrap_or_else(|| help::START_OVER.to_owned())
    } else if resumes {
        told.unwrap_or_default()
    } else {
        system().or(told).or_else(cause).unwrap_or_else(|| help::MORE.to_owned())
    };
    (help, resumes)
}

/// The error of work that the user stopped.
pub(crate) fn stopped() -> anyhow::Error {
    block::Error::new(block::ErrorKind::Cancelled, "work", "stopped before it was done").into()
}

/// Whether the user asked for the stop that this is.
pub(crate) fn is_cancelled(error: &anyhow::Error) -> bool {
    let mut causes = causes(error).filter_map(|cause| cause.downcast_ref::<block::Error>());
    causes.any(|cause| cause.kind() == block::ErrorKind::Cancelled)
}

/// Whether the file system is full, or the user's share of it.
pub(crate) fn is_no_room(error: &anyhow::Error) -> bool {
    io_kinds(error).any(|kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

/// What the operating system said, in the chain of causes.
fn io_kinds(error: &anyhow::Error) -> impl Iterator<Item = ErrorKind> {
    let causes = causes(error).filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.map(std::io::Error::kind)
}
