//! Pages of a disk in Azure, with what is to be done once all of them are there: only then is it one.

use std::ops::Range;

use block::{Chunk, ContentSum, Done, Receipt, Result, Sink, SinkCaps};

/// Puts pages, then comes to its end.
pub(crate) struct Ending<F> {
    pub(crate) pages: Box<dyn Sink>,
    pub(crate) end: F,
}

impl<F: FnOnce() -> Result<()> + Send + Sync> Sink for Ending<F> {
    fn caps(&self) -> SinkCaps {
        self.pages.caps()
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        self.pages.put(chunk)
    }

    fn done(&self, range: Range<u64>, sum: ContentSum) -> Result<()> {
        self.pages.done(range, sum)
    }

    fn already_done(&self) -> Result<Done> {
        self.pages.already_done()
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        let Self { pages, end } = *self;
        let receipt = pages.finish(content)?;
        end()?;
        Ok(receipt)
    }
}
