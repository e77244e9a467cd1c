//! What can go wrong: the kind, the place, the reason.

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a hive could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes break the rules of the format.
    #[error("corrupt {what} at offset {offset:#x} of the hive: {why}")]
    Corrupt {
        /// The structure.
        what: &'static str,
        /// Its offset in the file.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The bytes are no hive.
    #[error("this is no registry hive: {0}")]
    NoHive(&'static str),
    /// A variant of the format that is known, or at least seen, and not handled.
    #[error("a hive with {what}, which is not supported")]
    Unsupported {
        /// What it has.
        what: String,
    },
    /// The hive was not written to its end: what is missing is in its logs.
    #[error("the hive was not written to its end (sequence numbers {primary} and {secondary}): {why}")]
    Dirty {
        /// The number of the write that was begun.
        primary: u32,
        /// The number of the write that was ended.
        secondary: u32,
        /// What became of the logs.
        why: String,
    },
    /// A log that cannot complete the hive.
    #[error("the hive's log cannot be applied: {why}, at offset {offset:#x} of the log")]
    Log {
        /// Where in the log.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// A key that is not there.
    #[error("there is no key {0}")]
    NoKey(String),
    /// A value that is not there.
    #[error("there is no value {value} in the key {key}")]
    NoValue {
        /// The key's path.
        key: String,
        /// The value's name.
        value: String,
    },
    /// A value of another type, or of another length, than is asked for.
    #[error("the value {value} is {found}, not {wanted}")]
    Type {
        /// The value's name.
        value: String,
        /// What it is.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// What cannot be stored.
    #[error("{what} cannot be written: {why}")]
    Refused {
        /// What was to be written.
        what: String,
        /// Why not.
        why: &'static str,
    },
}

impl Error {
    /// Something that breaks the format, at an offset in the bins.
    pub(crate) fn corrupt(what: &'static str, cell: u32, why: impl Into<String>) -> Self {
        let offset = u64::from(cell).saturating_add(crate::base_block::LEN64);
        Self::Corrupt { what, offset, why: why.into() }
    }
}
