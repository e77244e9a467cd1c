//! A standalone image as the target of a copy.

use block::Result;

use super::LAYER;
use super::write::Writer;
use crate::laid::{LaidSink, Layout};
use crate::partial::Output;

/// Starts a standalone image of a disk of `size` bytes, not compressed.
///
/// # Errors
/// `Refused` if it exists and must not be replaced; `Unsupported` if the disk is too large; `Io`.
pub fn create(output: &Output, size: u64) -> Result<Box<dyn block::Sink>> {
    Ok(Box::new(LaidSink::new(Writer::create(output, size, None)?)))
}

impl Layout for Writer {
    const LAYER: &'static str = LAYER;

    fn size(&self) -> u64 {
        self.size()
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.write(bytes, offset)
    }

    fn finish(self) -> Result<()> {
        self.finish()
    }
}
