//! From an image down to the files in its file systems.
//!
//! A facade over small crates, and two things of its own: [`Address`] says what is meant, and [`open`](open()) opens it. Which
//! formats there are is said in [`FORMATS`], and which file systems in [`FILE_SYSTEMS`].
//!
//! ```no_run
//! let address: libdisk::Address = "disk.qcow2#p1".parse()?;
//! let opened = libdisk::open(&address, &libdisk::OpenOptions::default())?;
//! if let Some(root) = libdisk::open_filesystem(&opened.disk)? {
//!     println!("{:?}", root.info()?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod filesystem;
mod open;
#[cfg(feature = "cloud")]
mod snapshots;
mod source;

pub use address::{Address, AddressError, Location, Place};
pub use filesystem::{FILE_SYSTEMS, open_filesystem, open_filesystem_mut, open_subvolume, replay_filesystem};
pub use image::{FORMATS, Format, Layer};
pub use open::{OpenOptions, Opened, open};
#[cfg(feature = "cloud")]
pub use snapshots::Member;
pub use source::{FileSource, Source, identity};

#[cfg(feature = "cloud")]
pub use cloud;
pub use {block, btrfs, ext4, fat, image, vfs, volume, xfs};
