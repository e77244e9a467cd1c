//! Raw images: the bytes of the disk and nothing else.

mod read;
mod write;

pub use read::open;
pub(crate) use read::open_bytes;
pub use write::RawSink;
