//! A file read through a memory map. The one module with `unsafe`.

/// A file mapped for reading.
#[derive(Debug)]
pub struct MappedFile;
