//! Why a file system said no.

use std::borrow::Cow;

/// The result of every file-system call.
pub type Result<T, E = FsError> = std::result::Result<T, E>;

/// Why a file system said no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FsError {
    /// There is no such name in the directory.
    #[error("not found")]
    NotFound,
    /// The name is taken.
    #[error("exists already")]
    Exists,
    /// A directory was needed.
    #[error("not a directory")]
    NotADirectory,
    /// A directory cannot be used here.
    #[error("is a directory")]
    IsADirectory,
    /// The directory that should go is not empty.
    #[error("directory not empty")]
    NotEmpty,
    /// A name, value or argument that the format cannot hold; the text says which.
    #[error("invalid argument: {0}")]
    Invalid(Cow<'static, str>),
    /// No free blocks or inodes are left; the text says which.
    #[error("no space left: {0}")]
    NoSpace(&'static str),
    /// A feature or state that we refuse by name; nothing was written.
    #[error("not supported: {0}")]
    Unsupported(Cow<'static, str>),
    /// The data contradict the format.
    #[error("{structure} at byte {offset:#x} is corrupt: {what}")]
    Corrupt {
        /// The on-disk structure, by the format's own name: "group descriptor 3", "extent tree of inode 12".
        structure: Cow<'static, str>,
        /// Where on the volume, in bytes.
        offset: u64,
        /// What is wrong with it.
        what: Cow<'static, str>,
    },
    /// The device below failed.
    #[error("the device failed")]
    Device(#[from] block::Error),
}

impl FsError {
    /// A corrupt structure.
    pub fn corrupt(
        structure: impl Into<Cow<'static, str>>,
        offset: u64,
        what: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Corrupt { structure: structure.into(), offset, what: what.into() }
    }

    /// A feature or state refused by name.
    pub fn unsupported(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported(what.into())
    }
}
