//! Raw images: the bytes of the disk and nothing else.

use crate::{Format, Layer};

mod read;
mod write;

pub use read::open;
pub(crate) use read::{open_bytes, padded};
pub use write::RawSink;

/// Whatever has no marks is raw.
pub static FORMAT: Format = Format {
    name: "raw",
    qemu_name: Some("raw"),
    endings: &[],
    flat: |_| true,
    recognise: |_| false,
    read: |path, _| Ok((open(path)?, vec![Layer { name: "raw", text: String::new() }])),
};
