//! From an image down to the files in its file systems.
//!
//! A facade over small crates, and two things of its own: [`Address`] says what is meant, [`open`](open())
//! opens it, and [`open_machine`] all disks of a machine. Which formats there are is said in [`FORMATS`], and
//! which file systems in [`FILE_SYSTEMS`].
//!
//! ```no_run
//! let address: libdisk::Address = "disk.qcow2#p1".parse()?;
//! let opened = libdisk::open(&address, &libdisk::OpenOptions::default())?;
//! if let Some(root) = libdisk::open_filesystem(&opened.disk)? {
//!     println!("{:?}", root.info()?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Disk`](block::Disk) is any of it: cheap to clone, read at any byte, checked once. What is to be changed is
//! changed in an [`Overlay`](block::Overlay) above it:
//!
//! ```
//! use libdisk::block::{Disk, Overlay, Zeros};
//!
//! let below = Disk::new(Zeros::new(1 << 20));
//! let overlay = Overlay::new(below.clone())?;
//! overlay.writer().write_at(b"refloat", 512)?;
//! let mut bytes = [0; 7];
//! overlay.disk().read_at(&mut bytes, 512)?;
//! assert_eq!(&bytes, b"refloat");
//! below.read_at(&mut bytes, 512)?;
//! assert_eq!(bytes, [0; 7]);
//! # Ok::<(), libdisk::block::Error>(())
//! ```
//!
//! # Examples
//!
//! In `examples/`: `list_snapshot` lists a folder in a snapshot, by the blocks that it takes; `write_vhd` writes a
//! VHD of anything and checks it.
//!
//! # Features
//!
//! `cloud` brings snapshots in AWS and disks in Azure; without it there is no network in this crate.
//!
//! # What is not here
//!
//! What a guest is: paths through links and mounts, its operating system, what is wrong with it. That is the crate
//! `guestfix`.

mod address;
#[cfg(feature = "cloud")]
mod blobs;
mod destination;
#[cfg(feature = "cloud")]
mod ending;
mod filesystem;
mod identity;
#[cfg(feature = "cloud")]
mod imported_disk;
mod machine;
#[cfg(feature = "cloud")]
mod managed_disk;
mod open;
#[cfg(feature = "cloud")]
mod page_blob;
#[cfg(feature = "cloud")]
mod snapshots;

pub use address::{Address, AddressError, Location, Place};
pub use destination::{
    Base, Begin, CannotFollow, Destination, DiskSpec, FileDestination, FileFormat, FormatError, Older, Taken,
    Upload,
};
pub use filesystem::{
    FILE_SYSTEMS, driver, open_filesystem, open_filesystem_mut, open_subvolume, replay_filesystem,
};
pub use identity::identity;
pub use image::{FORMATS, Format, Layer};
#[cfg(feature = "cloud")]
pub use imported_disk::ImportedDiskDestination;
pub use machine::{CloudFacts, Machine, MachineDisk, Origin, Role, open, open_machine};
#[cfg(feature = "cloud")]
pub use managed_disk::ManagedDiskDestination;
pub use open::OpenOptions;
#[cfg(feature = "cloud")]
pub use page_blob::{PageBlobDestination, ReadBack};

#[cfg(feature = "cloud")]
pub use cloud;
pub use {block, btrfs, ext4, fat, image, ntfs, vfs, volume, xfs};
