//! What keeps a test boot from a verdict.

use std::io;
use std::path::{Path, PathBuf};

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a test boot has no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// QEMU cannot be started: most often it is not installed.
    #[error("cannot run {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program does not list its devices as QEMU does.
    #[error("{} is no QEMU: asked for its devices it says {said:?}", program.display())]
    NotQemu {
        /// The program.
        program: PathBuf,
        /// What it wrote on standard error.
        said: String,
    },
    /// No UEFI firmware for QEMU is installed.
    #[error("no UEFI firmware for QEMU is installed (Debian package ovmf)")]
    NoFirmware,
    /// The machine has more disks than there are places for, or none.
    #[error("the machine has {given} disks, and 1 to {} can be attached", most + 1)]
    Disks {
        /// So many beside the first.
        most: usize,
        /// So many there are.
        given: usize,
    },
    /// The machine cannot be started without its boot loader.
    #[error("the machine cannot be started directly: {0}")]
    NotDirect(String),
    /// The guest cannot be read.
    #[error(transparent)]
    Guest(#[from] guestfix::Error),
    /// No port of this machine can be had to reach the guest by.
    #[error("no port of this machine leads to the guest")]
    Port(#[source] io::Error),
    /// QEMU ended with an error of its own: it refuses the image, say.
    #[error("QEMU ended with {0}")]
    Qemu(String),
    /// A disk that is served could not be read, and what the guest makes of that says nothing.
    #[error("the machine's disk cannot be read")]
    Disk(#[source] libdisk::block::Error),
    /// The log of the serial console cannot be opened, or is a file that must not be written over.
    #[error(transparent)]
    NoLog(#[from] libdisk::block::Error),
    /// The log of the serial console cannot be written.
    #[error("{}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the machine, its UEFI variables say, cannot be made.
    #[error("{}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The caller cancelled the boot; the machine is gone.
    #[error("the test boot was cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn start(program: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Start { program: program.to_owned(), source }
    }

    pub(crate) fn log(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Log { path: path.to_owned(), source }
    }

    pub(crate) fn state(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::State { path: path.to_owned(), source }
    }
}
