//! Everything is a block device.
//!
//! # Architecture
//!
//! A *layer* implements [`BlockRead`] (and, where it can be written, [`BlockWrite`]). Nobody else calls a
//! layer: users hold a cheap, cloneable [`Disk`] or [`DiskMut`], which checks every range once, so that a
//! layer may trust `offset + length <= size`. Layers stack: a partition is a [`Disk::slice`] of an image, an
//! [`Overlay`] keeps all writes away from its base, [`Concat`] puts devices end to end.
//!
//! # Input and output
//!
//! Calls block, take `&self` and may come from many threads at once. A read fills the whole buffer or is an
//! error; there are no short reads. Offsets and lengths are bytes and need not be aligned.
//!
//! # Errors
//!
//! One [`Error`]: a small [`ErrorKind`] to match on, the place (layer, file, offset), and the cause.
//!
//! # What is not here
//!
//! No write-back cache, no asynchronous calls, no discard. Formats of image files are in the crate `image`.

mod bitmap;
mod concat;
mod content;
mod copy;
mod digest;
mod disk;
mod error;
mod extent;
mod file;
mod layer;
mod memory;
mod mmap;
mod overlay;
mod progress;
pub mod ranges;
mod sidecar;
mod slice;
pub mod testing;
mod zero;

pub use bitmap::Bitmap;
pub use concat::Concat;
pub use content::ContentSum;
pub use copy::{Chunk, CopyOptions, Done, Receipt, Sent, Sink, SinkCaps, Turn, compare, content_sum, copy};
pub use digest::digest;
pub use disk::{Disk, DiskMut};
pub use error::{Error, ErrorKind, Result, shown};
pub use extent::{Extent, ExtentKind, Extents, FileRange};
pub use file::FileDisk;
pub use layer::{BlockRead, BlockWrite};
pub use memory::{Memory, Zeros};
pub use mmap::{MappedFile, open_file};
pub use overlay::{Overlay, Sealed};
pub use progress::{Cancel, Event, EventKind, ForItem, Observer, Silent};
pub use sidecar::{
    ANY_MODE, InTheWay, check_sidecar, holds_nothing, in_the_way, is_open_here, is_same_file, mode_like,
    open_sidecar,
};
pub use zero::{is_zero, nonzero_runs};
