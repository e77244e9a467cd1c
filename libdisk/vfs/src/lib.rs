//! What a file system is to the rest of refloat: two traits, and the suite every driver passes.
//!
//! # Model
//!
//! Nodes (inodes) are named by a [`NodeId`]; names are bytes. A driver opened for reading is a
//! [`FileSystem`]; one opened over a writable device is a [`FileSystemMut`], whose changes are made in a
//! [`Transaction`]: committed whole, or dropped and never seen. Drivers write no journal: the device below is
//! always an overlay that is sealed or thrown away, so they must only leave a clean file system behind.
//!
//! # Who checks what
//!
//! A driver must not panic, hang or allocate without bound for any content of its device:
//! [`FsError::Corrupt`] names the structure and the byte. It refuses what it does not know with
//! [`FsError::Unsupported`], before its first write.
//!
//! # What drivers share
//!
//! [`bytes`] reads and writes the fields of structures, [`features`] knows what a feature bit allows,
//! [`Blocks`] holds what a change has staged, [`Writable`] makes a [`FileSystemMut`] of a driver and its
//! device, and [`Driver`] is its line in the table.
//!
//! # What is not here
//!
//! Path resolution: guests have several file systems and symbolic links between them, and
//! `guestfix::view` does that once for all.

mod blocks;
pub mod bytes;
pub mod conformance;
mod driver;
mod error;
pub mod features;
mod filesystem;
mod memory;
mod node;
mod writable;

pub use blocks::{Blocks, Geometry};
pub use driver::{Driver, OpenSubvolume};
pub use error::{FsError, Result};
pub use filesystem::{FileSystem, FileSystemMut, Info, State, Transaction};
pub use memory::MemoryFs;
pub use node::{Attributes, DirEntry, FileType, Metadata, NodeId, Timestamp};
pub use writable::{Editable, Writable};
