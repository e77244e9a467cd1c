//! What can go wrong: the kind, the place, the source.

use crate::codec::Codec;

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why an initramfs could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes break the rules of their own format.
    #[error("corrupt {what} at offset {offset:#x} of the initramfs: {why}")]
    Malformed {
        /// The structure.
        what: &'static str,
        /// Its offset: in the file, or in the unpacked bytes of a compressed segment.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A format that is known, or at least seen, and not handled.
    #[error("offset {offset:#x} of the initramfs holds {what}, which is not supported")]
    Unsupported {
        /// The format's name.
        what: String,
        /// Where it starts in the file.
        offset: u64,
    },
    /// More than [`Limits`](crate::Limits) allow: a decompression bomb, or a limit that is too low.
    #[error("the initramfs has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit that was crossed.
        limit: u64,
    },
    /// A compressed segment or module does not unpack.
    #[error("{what}: {codec} data does not unpack")]
    Decompress {
        /// What was being unpacked.
        what: String,
        /// The format of the data.
        codec: Codec,
        /// The decoder's own error.
        source: std::io::Error,
    },
    /// The encoder failed.
    #[error("cannot compress the initramfs with {codec}")]
    Compress {
        /// The format to write.
        codec: Codec,
        /// The encoder's own error.
        source: std::io::Error,
    },
    /// A module file that is not a module, or not one for this kernel.
    #[error("module {path}: {why}")]
    Module {
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A module index (`modules.dep` and its kin) that cannot be read or written.
    #[error("module index {name}: {why}")]
    Index {
        /// The file's name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Modules without which the guest cannot boot are nowhere in the guest's kernel.
    #[error("kernel {kver} has no {}, neither built in nor as a module", modules.join(", "))]
    NotInKernel {
        /// The kernel release.
        kver: String,
        /// The names of the modules.
        modules: Vec<String>,
    },
    /// The guest's module tree could not be read.
    #[error("cannot read {path} of the guest's module tree")]
    Tree {
        /// The path, relative to `/lib/modules/<kver>/`.
        path: String,
        /// The error of the [`ModuleTree`](crate::ModuleTree).
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The written initramfs would not do what it was written for.
    #[error("the initramfs fails its verification: {check}: {why}")]
    Verify {
        /// The assertion.
        check: &'static str,
        /// How it failed.
        why: String,
    },
}

impl Error {
    /// For implementations of [`ModuleTree`](crate::ModuleTree): wraps the error met while reading `path`.
    pub fn tree(
        path: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Tree { path: path.into(), source: source.into() }
    }

    pub(crate) fn malformed(what: &'static str, offset: usize, why: impl Into<String>) -> Self {
        Self::Malformed { what, offset: u64::try_from(offset).unwrap_or(u64::MAX), why: why.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>, offset: usize) -> Self {
        Self::Unsupported { what: what.into(), offset: u64::try_from(offset).unwrap_or(u64::MAX) }
    }
}
