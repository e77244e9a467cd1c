//! Which piece of the device a thread takes next.

use std::iter::Peekable;
use std::ops::Range;
use std::vec;

use crate::{Disk, ExtentKind, Result, Sink};

/// How much of a file, in bytes, and how many runs are shared in one step: not so much that a user who stops the copy has
/// to wait.
const SHARED_AT_ONCE: u64 = 64 << 30;
const RUNS_AT_ONCE: usize = 1000;

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// An earlier run has put it already, or the sink shares it with the source's file; of any length.
    Skip(Range<u64>),
    /// It is zero; of any length.
    Zero(Range<u64>),
    /// It has to be read; at most one unit long and inside one unit of the device.
    Data(Range<u64>),
}

/// Cuts a device into steps, ascending and without gaps, as its extents are asked for.
pub(super) struct Plan<'a> {
    source: &'a Disk,
    sink: &'a dyn Sink,
    done: Peekable<vec::IntoIter<Range<u64>>>,
    unit: u64,
    /// Where the next step starts.
    at: u64,
    /// The end and the kind of the extent at `at`, as far as it is known.
    extent: (u64, ExtentKind),
}

impl<'a> Plan<'a> {
    /// A plan for all of `source` but the ranges `done`, which ascend.
    pub(super) fn new(source: &'a Disk, sink: &'a dyn Sink, done: Vec<Range<u64>>, unit: u64) -> Self {
        Self { source, sink, done: done.into_iter().peekable(), unit, at: 0, extent: (0, ExtentKind::Data) }
    }

    /// The next step; `None` when all were taken. An error ends the plan.
    pub(super) fn next(&mut self) -> Option<Result<Step>> {
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
        if self.kind_at(start)? == ExtentKind::Zero {
            self.at = self.extent.0.min(range.end);
            return Ok(Step::Zero(start..self.at));
        }
        self.at = self.shared(range.clone())?;
        if self.at > start {
            return Ok(Step::Skip(start..self.at));
        }
        let end = (start + 1).next_multiple_of(self.unit).min(range.end);
        while self.at < end && self.kind_at(self.at)? == ExtentKind::Data {
            self.at = self.extent.0.min(end);
        }
        Ok(Step::Data(start..self.at))
    }

    /// How far the sink shares what is in `range` with the source's file, with the zeros that it has already. Holes of the
    /// file are shared with what is around them: one call then is enough for a whole raw image.
    fn shared(&mut self, range: Range<u64>) -> Result<u64> {
        let mut at = range.start;
        for _ in 0..RUNS_AT_ONCE {
            if at >= range.end {
                break;
            }
            if self.kind_at(at)? == ExtentKind::Zero {
                if !self.sink.caps().starts_zeroed {
                    break;
                }
                at = self.extent.0.min(range.end);
                continue;
            }
            let Some(from) = self.source.file_range(at..range.end.min(at + SHARED_AT_ONCE))? else { break };
            let len = from.len;
            if !self.sink.share(at, from)? {
                break;
            }
            at += len;
        }
        Ok(at)
    }

    fn kind_at(&mut self, offset: u64) -> Result<ExtentKind> {
        if self.extent.0 <= offset {
            let extent = self.source.extent_at(offset..self.source.size())?;
            self.extent = (offset + extent.len, extent.kind);
        }
        Ok(self.extent.1)
    }
}
