//! The suite that every driver passes, as a library: a driver's own tests call it.
//!
//! A driver implements [`Subject`]: one volume that can be opened again and again, and an outside judge. Then
//!
//! - [`fixed_cases`] runs scripts of known difficulty: sizes around a block, renames over things, thousands
//!   of names;
//! - [`model`] runs seeded random operations.
//!
//! Both apply every change to the driver and to a [`MemoryFs`](crate::MemoryFs), and want equal trees and
//! equal errors: within the transaction, after the commit with the volume opened anew, and after a rollback.
//! [`compare`] is the comparison of trees; it serves alone, too. For damaged volumes there is [`Target`],
//! which does the damage, and [`exercise`] and [`walk`], which use what is left in every way.
//!
//! All functions panic where the driver is wrong, and say what was done. Nothing here depends on a driver.

mod cases;
mod compare;
mod exercise;
mod hostile;
mod model;
mod operation;
mod rng;
mod trial;

pub use cases::fixed_cases;
pub use compare::{Difference, compare, compare_as_far_as};
pub use exercise::{exercise, walk};
pub use hostile::{Damage, Structure, Target};
pub use model::{ModelRun, Tally, model};
pub use rng::Rng;

use crate::FileSystemMut;

/// What a format can hold; the suite asks for no more than this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The longest target of a symbolic link in bytes, at most 4095; `None` if there are no symbolic links.
    pub symlinks: Option<usize>,
    /// A node can have several names, and [`Metadata::links`](crate::Metadata::links) counts them.
    pub hard_links: bool,
    /// The largest extended attribute that fits beside a few small ones; `None` if there are none.
    pub xattrs: Option<usize>,
    /// Mode, user and group are kept.
    pub owners: bool,
    /// Times have nanoseconds and go from 1969 to 2106 at least; else whole, even seconds from 1980 on.
    pub nanoseconds: bool,
    /// Names are bytes, all but "/" and NUL; else UTF-8 for which upper and lower case are the same.
    pub byte_names: bool,
}

impl Capabilities {
    /// A Unix file system with attributes of up to 2,000 bytes.
    pub const UNIX: Self = Self {
        symlinks: Some(4095),
        hard_links: true,
        xattrs: Some(2000),
        owners: true,
        nanoseconds: true,
        byte_names: true,
    };

    /// FAT, and NTFS as it is written here: names, content and times.
    pub const FAT: Self = Self {
        symlinks: None,
        hard_links: false,
        xattrs: None,
        owners: false,
        nanoseconds: false,
        byte_names: false,
    };
}

/// A volume under test, of at most 256 MiB. It may hold something already (`lost+found`).
pub trait Subject {
    /// What the format can hold.
    fn capabilities(&self) -> Capabilities;

    /// Opens the volume from its device; nothing is kept in memory from an earlier opening.
    fn open(&mut self) -> Box<dyn FileSystemMut + '_>;

    /// Asks an outside judge (`fsck`, a kernel mount) whether the volume is well formed, after each change.
    ///
    /// # Panics
    /// If it is not.
    fn judge(&mut self);
}
