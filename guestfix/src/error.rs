//! Why guestfix could not do it.

use std::sync::Arc;

use libdisk::vfs::FsError;

use crate::rule::{Evidence, Place};

/// The result of every call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why guestfix could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file system of the guest said no.
    #[error("{path} in the guest")]
    Guest {
        /// The path in the guest's own tree.
        path: String,
        /// What the file system said.
        source: Box<FsError>,
    },
    /// A volume as a whole could not be used.
    #[error("volume {volume}")]
    Volume {
        /// Its name in addresses: "p1".
        volume: String,
        /// What the file system said.
        source: Box<FsError>,
    },
    /// The device failed.
    #[error("the image could not be read or written")]
    Device(#[from] libdisk::block::Error),
    /// A file of the guest is not what its format demands; the text says where.
    #[error("{path} in the guest: {what}")]
    Malformed {
        /// The path in the guest's own tree.
        path: String,
        /// What is wrong with it and where.
        what: String,
    },
    /// More than refloat reads of one guest: see `limits`. The text says of what, and the limit.
    #[error("{path} in the guest: {what}")]
    TooLarge {
        /// The path in the guest's own tree.
        path: String,
        /// What there is too much of, and how much refloat reads.
        what: String,
    },
    /// A hive of the registry, or what is in it, is not what its format demands, or its reader.
    #[error("{place}: {what}")]
    Registry {
        /// The hive's file, or the key or value in it.
        place: Place,
        /// What is wrong with it.
        what: String,
    },
    /// An initramfs could not be read or made.
    #[error("{path} in the guest")]
    Initramfs {
        /// The path in the guest's own tree.
        path: String,
        /// What the initramfs crate said.
        source: Arc<initramfs::Error>,
    },
    /// A rule does not satisfy itself: a fault of refloat, found before anything was written.
    #[error("rule {rule} staged a fix that does not satisfy it: {what}")]
    Unsatisfied {
        /// The rule's id.
        rule: &'static str,
        /// What it still finds.
        what: String,
    },
    /// The image is not the one the plan was made for; nothing was written.
    #[error("this image is not the one the plan was made for: {what}")]
    OtherImage {
        /// The first difference.
        what: String,
    },
    /// What was read could not be handed on.
    #[error("the output does not take it")]
    Output(#[source] std::io::Error),
    /// A change, plan or undo file that is refused; the text says why.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// What cannot be read and why, if this is about one file or volume of the guest: others can be judged
    /// without it.
    ///
    /// # Errors
    /// The error itself if it is about more: the device failed, or refloat did.
    pub(crate) fn unread(self) -> Result<Evidence> {
        match self {
            Error::Malformed { path, what } | Error::TooLarge { path, what } => Ok(Evidence::new(path, what)),
            Error::Registry { place, what } => Ok(Evidence::new(place, what)),
            Error::Initramfs { path, source } => Ok(Evidence::new(path, chain(&*source))),
            Error::Guest { path, source } if !is_device(&source) => Ok(Evidence::new(path, chain(&*source))),
            Error::Volume { volume, source } if !is_device(&source) => {
                Ok(Evidence::new(Place::volume(&volume), chain(&*source)))
            }
            error => Err(error),
        }
    }
}

fn is_device(error: &FsError) -> bool {
    matches!(error, FsError::Device(_))
}

/// An error with all its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
