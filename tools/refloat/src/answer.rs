//! How a verb ends: the exit code, and the error with its help line.

use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::Result;
use guestfix::report::{Ink, Line};
use libdisk::block;
use libdisk::vfs::FsError;

use crate::context::Context;
use crate::present::Out;
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

/// Who is nearest to the cause knows best: a help line that is there already stays, but where the same command goes on.
fn helped(help: String, goes_on: bool, source: anyhow::Error) -> anyhow::Error {
    let known = causes(&source).any(|cause| cause.is::<Helped>());
    if known && !goes_on { source } else { anyhow::Error::new(Helped { help, goes_on, source }) }
}

/// An error and all its causes, those that have a help line included.
fn causes(error: &anyhow::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    error.chain().flat_map(|cause| {
        let helped = cause.downcast_ref::<Helped>().map(|helped| helped.source.as_ref());
        std::iter::once(cause).chain(helped)
    })
}

/// What was typed is no command, or asks for help: tells it, and gives the exit code.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // That nobody reads it is no failure.
        drop(error.print());
        return ExitCode::SUCCESS;
    }
    let out = Out::new();
    for line in error.render().to_string().trim_end().lines() {
        out.tell(match line.strip_prefix("error:") {
            Some(rest) => Line::default().ink(Ink::Bad, "error:").text(rest).hang(7),
            None => Line::new(line).hang(2),
        });
    }
    ExitCode::from(2)
}

/// Tells the error, if there is one, and gives the exit code.
pub(crate) fn exit(context: &Context, outcome: Outcome) -> ExitCode {
    let error = match outcome {
        Ok(Answer::Yes) => return ExitCode::SUCCESS,
        Ok(Answer::No) => return ExitCode::from(1),
        Err(error) => error,
    };
    let helped = causes(&error).find_map(|cause| cause.downcast_ref::<Helped>());
    if is_cancelled(&error) {
        let help = helped.map_or("run the same command to start over", |helped| &helped.help);
        context.out.tell(Line::new(format!("stopped; {help}")));
        return ExitCode::from(3);
    }
    let failure = snapshot::failure(&error);
    let told = helped.map(|helped| helped.help.as_str());
    let help = failure.map(|failure| failure.help()).or(told).unwrap_or_else(|| next_step(&error));
    context.out.tell(Line::default().ink(Ink::Bad, "error:").text(format!(" {error:#}")).hang(7));
    context.out.tell(Line::default().ink(Ink::Note, "help:").text(format!(" {help}")).hang(6));
    let goes_on =
        failure.is_some_and(|failure| failure.is_resumable()) || helped.is_some_and(|helped| helped.goes_on);
    ExitCode::from(if goes_on { 3 } else { 2 })
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

/// The next step after an error to which nobody added one: what is damaged, or full, was found to be so in the middle of the work.
fn next_step(error: &anyhow::Error) -> &'static str {
    const OF_FILES: &str =
        "see that the files are there, and that their disk works and has room, and try again";
    if is_no_room(error) {
        return "make room there, and give the same command again";
    }
    if io_kinds(error).any(|kind| kind == ErrorKind::FileTooLarge) {
        return "raise the limit of file sizes (ulimit -f), or write to a file system that takes larger files";
    }
    let of_guest = |error: &FsError| match error {
        // Not found is, here, what a directory names and is not there.
        FsError::Corrupt { .. } | FsError::NotFound => Some(
            "repair a copy with the file system's own program (e2fsck, xfs_repair, fsck.vfat, btrfs check), or take a new snapshot",
        ),
        FsError::NoSpace(_) => {
            Some("make room in that file system of the guest, or enlarge it, and try again")
        }
        _ => None,
    };
    let of_file = |error: &guestfix::Error| match error {
        guestfix::Error::Malformed { .. } | guestfix::Error::Initramfs { .. } => {
            Some("look at that file with refloat fs, mend it in the guest, and take a new snapshot")
        }
        _ => None,
    };
    let of_image = |error: &block::Error| match error.kind() {
        block::ErrorKind::Corrupt | block::ErrorKind::OutOfRange => {
            Some("copy the image again, or see what its own program makes of it, say qemu-img check")
        }
        block::ErrorKind::Unsupported => Some("refloat --help names the formats; try another one"),
        block::ErrorKind::Io => Some(OF_FILES),
        block::ErrorKind::Changed => Some("see that nobody else changes the image, and try again"),
        _ => None,
    };
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        let boxed = || cause.downcast_ref::<Box<FsError>>().map(|error| &**error);
        let guest = cause.downcast_ref().or_else(boxed).and_then(of_guest);
        let file = || cause.downcast_ref().and_then(of_file);
        let image = || cause.downcast_ref().and_then(of_image);
        guest.or_else(file).or_else(image).or_else(|| cause.is::<std::io::Error>().then_some(OF_FILES))
    };
    error.chain().find_map(of_cause).unwrap_or("the same with -v tells more")
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
