//! What one step puts into the sink.

use std::ops::Range;

use super::{Chunk, Sink, SinkCaps, Turn};
use crate::zero::nonzero_runs;
use crate::{ContentSum, Result};

/// Puts what one step has.
pub(super) struct Put<'a> {
    pub(super) sink: &'a dyn Sink,
    /// What it can do, whose `max_write` is a multiple of its alignment.
    pub(super) caps: SinkCaps,
    /// Chunks start and end at multiples of this, in bytes.
    pub(super) granule: usize,
    pub(super) turn: Turn<'a>,
}

impl Put<'_> {
    /// Sends what is not zero in `bytes`, and the zeros between it where the sink needs them; gives the sum.
    pub(super) fn bytes(&self, bytes: &[u8], offset: u64) -> Result<ContentSum> {
        let mut sum = ContentSum::default();
        // What is to be sent next, and up to where all has been sent.
        let (mut next, mut sent) = (0..0, 0);
        for run in nonzero_runs(bytes) {
            sum = sum.and(ContentSum::of(&bytes[run.clone()], offset + run.start as u64));
            let run =
                run.start - run.start % self.granule..run.end.next_multiple_of(self.granule).min(bytes.len());
            if next.is_empty() {
                next = run;
            } else if run.start < next.end + self.caps.min_run.max(1) {
                next.end = run.end;
            } else {
                sent = self.send(bytes, offset, sent..next.start, next)?;
                next = run;
            }
        }
        if !next.is_empty() {
            sent = self.send(bytes, offset, sent..next.start, next)?;
        }
        self.gap(bytes, offset, sent..bytes.len())?;
        Ok(sum)
    }

    /// Sends the zeros of `gap` and what follows, `run`; gives the end of it.
    fn send(&self, bytes: &[u8], offset: u64, gap: Range<usize>, run: Range<usize>) -> Result<usize> {
        self.gap(bytes, offset, gap)?;
        self.data(bytes, offset, run.clone())?;
        Ok(run.end)
    }

    /// Sends zeros, if the sink needs them: as data if they are few.
    fn gap(&self, bytes: &[u8], offset: u64, gap: Range<usize>) -> Result<()> {
        if !self.caps.starts_zeroed && gap.len() < self.caps.min_run {
            return self.data(bytes, offset, gap);
        }
        self.zero(offset + gap.start as u64..offset + gap.end as u64)
    }

    fn data(&self, bytes: &[u8], offset: u64, run: Range<usize>) -> Result<()> {
        let starts = (offset + run.start as u64..).step_by(self.caps.max_write);
        let chunks = bytes[run].chunks(self.caps.max_write);
        chunks
            .zip(starts)
            .try_for_each(|(bytes, offset)| self.sink.put_in_turn(Chunk::Data { offset, bytes }, &self.turn))
    }

    /// Sends zeros, if the sink needs them.
    pub(super) fn zero(&self, range: Range<u64>) -> Result<()> {
        if self.caps.starts_zeroed || range.is_empty() {
            return Ok(());
        }
        self.sink.put_in_turn(Chunk::Zero { offset: range.start, len: range.end - range.start }, &self.turn)
    }
}
