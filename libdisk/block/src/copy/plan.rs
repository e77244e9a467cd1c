//! Which piece of the device a thread takes next.

use std::iter::Peekable;
use std::ops::Range;
use std::vec;

use crate::{Disk, ExtentKind, Result, Sink};

/// How much of a file, in bytes, and how many runs are shared in one step: not so much that a user who stops
/// the copy has to wait.
const SHARED_AT_ONCE: u64 = 64 << 30;
const RUNS_AT_ONCE: usize = 1000;

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// An earlier run has put it already, or the sink shares it with the source's file; of any length.
    Skip(Range<u64>),
    /// It is zero; of any length.
    Zero(Range<u64>),
    /// At most one unit of the device, of which the ranges `data` have to be read; what else is in it is
    /// zero.
    Unit { range: Range<u64>, data: Vec<Range<u64>> },
}

/// How a device is cut, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// What one thread takes at once; a multiple of `granule`.
    pub(super) unit: u64,
    /// Where that may start, at multiples of this; a multiple of `granule`.
    pub(super) start: u64,
    /// What is read starts and ends at multiples of this.
    pub(super) granule: u64,
    /// Zeros of fewer bytes between data are read with it.
    pub(super) min_run: u64,
}

/// Cuts a device into steps, ascending and without gaps, as its extents are asked for.
pub(super) struct Plan<'a> {
    source: &'a Disk,
    sink: &'a dyn Sink,
    done: Peekable<vec::IntoIter<Range<u64>>>,
    cut: Cut,
    /// How many steps were taken.
    taken: u64,
    /// Where the next step starts.
    at: u64,
    /// The extent that was asked for last.
    extent: (Range<u64>, ExtentKind),
    has_shared: bool,
}

impl<'a> Plan<'a> {
    /// A plan for all of `source` but the ranges `done`, which ascend.
    pub(super) fn new(source: &'a Disk, sink: &'a dyn Sink, done: Vec<Range<u64>>, cut: Cut) -> Self {
        let (done, extent) = (done.into_iter().peekable(), (0..0, ExtentKind::Data));
        Self { source, sink, done, cut, taken: 0, at: 0, extent, has_shared: false }
    }

    /// Whether the sink has shared anything.
    pub(super) fn has_shared(&self) -> bool {
        self.has_shared
    }

    /// The next step, with its number, from 0 on; `None` when all were taken. An error ends the plan.
    pub(super) fn take(&mut self) -> Option<(u64, Result<Step>)> {
        let (step, number) = (self.next()?, self.taken);
        self.taken += 1;
        Some((number, step))
    }

    fn next(&mut self) -> Option<Result<Step>> {
        let size = self.source.size();
        let start = self.at;
        while self.done.next_if(|done| done.end <= start).is_some() {}
        if start >= size {
            return None;
        }
        // Up to here everything has to be copied.
        let limit = match self.done.peek() {
            Some(done) if done.start <= start => {
                self.at = done.end.min(size);
                return Some(Ok(Step::Skip(start..self.at)));
            }
            Some(done) => done.start.min(size),
            None => size,
        };
        let step = self.cut(start..limit);
        if step.is_err() {
            self.at = size;
        }
        Some(step)
    }

    /// The step at the start of `range`, of which all has to be copied.
    fn cut(&mut self, range: Range<u64>) -> Result<Step> {
        let start = range.start;
        // What is all zero up to where a unit may start is one step.
        let mut zeros = self.zeros(start, range.end)?;
        if zeros < range.end {
            zeros -= zeros % self.cut.start;
        }
        if zeros > start {
            self.at = zeros;
            return Ok(Step::Zero(start..zeros));
        }
        self.at = self.shared(range.clone())?;
        if self.at > start {
            return Ok(Step::Skip(start..self.at));
        }
        let end = (start - start % self.cut.start + self.cut.unit).min(range.end);
        let mut data = self.data(start..end)?;
        // What lies behind zeros that are left out is a request of its own anyway: in a unit that begins there, that
        // one need not end with this unit.
        let end = match data.as_slice() {
            [first, _, ..] if self.cut.min_run > 0 => {
                first.end.next_multiple_of(self.cut.start).clamp(first.end, end)
            }
            _ => end,
        };
        data.retain_mut(|piece| {
            piece.end = piece.end.min(end);
            piece.start < piece.end
        });
        self.at = end;
        Ok(Step::Unit { range: start..end, data })
    }

    /// Where the zeros that start at `start` end, at `end` at the latest.
    fn zeros(&mut self, start: u64, end: u64) -> Result<u64> {
        let mut at = start;
        while at < end && self.kind_at(at)? == ExtentKind::Zero {
            at = self.extent.0.end.min(end);
        }
        Ok(at)
    }

    /// The data in `range`, of which each starts and ends at a granule and no two are so near that the zeros
    /// between them are not worth leaving out.
    fn data(&mut self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let Cut { granule, min_run, .. } = self.cut;
        let mut data: Vec<Range<u64>> = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let kind = self.kind_at(at)?;
            let end = self.extent.0.end.min(range.end);
            if kind == ExtentKind::Data {
                let start = (at - at % granule).max(range.start);
                let stop = end.next_multiple_of(granule).min(range.end);
                match data.last_mut() {
                    Some(last) if start < last.end + min_run.max(1) => last.end = last.end.max(stop),
                    _ => data.push(start..stop),
                }
            }
            at = end;
        }
        Ok(data)
    }

    /// How far the sink shares what is in `range` with the source's file, with the zeros that it has already.
    /// Holes of the file are shared with what is around them: one call then is enough for a whole raw
    /// image.
    fn shared(&mut self, range: Range<u64>) -> Result<u64> {
        // Where anything was shared last; zeros after it belong to whatever follows.
        let (mut at, mut shared) = (range.start, range.start);
        for _ in 0..RUNS_AT_ONCE {
            if at >= range.end {
                break;
            }
            if self.kind_at(at)? == ExtentKind::Zero {
                if !self.sink.caps().starts_zeroed {
                    break;
                }
                at = self.extent.0.end.min(range.end);
                continue;
            }
            let Some(from) = self.source.file_range(at..range.end.min(at + SHARED_AT_ONCE))? else { break };
            let len = from.len;
            if !self.sink.share(at, from)? {
                break;
            }
            self.has_shared = true;
            at += len;
            shared = at;
        }
        Ok(if at >= range.end && shared > range.start { at } else { shared })
    }

    fn kind_at(&mut self, offset: u64) -> Result<ExtentKind> {
        if !self.extent.0.contains(&offset) {
            let extent = self.source.extent_at(offset..self.source.size())?;
            self.extent = (offset..offset + extent.len, extent.kind);
        }
        Ok(self.extent.1)
    }
}
