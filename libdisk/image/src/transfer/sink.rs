//! A sink that records what was put.

use std::fs::File;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use block::{Bitmap, Chunk, ContentSum, Done, Error, FileRange, Receipt, Result, Sink, SinkCaps};

use super::log::Record;
use super::{LAYER, Spec, Told, Transfer, based_on, end, forget};
use crate::partial::partial_path;

/// So often, what was put is flushed to the disk: what a crash of the machine can cost.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Logged {
    transfer: Transfer,
    /// Gone when it is finished.
    inner: Option<Box<dyn Sink>>,
    /// What `inner` writes.
    file: File,
    flushed: Mutex<Instant>,
}

impl Logged {
    pub(super) fn new(transfer: Transfer, inner: Box<dyn Sink>, file: File) -> Self {
        Self { transfer, inner: Some(inner), file, flushed: Mutex::new(Instant::now()) }
    }

    fn inner(&self) -> Result<&dyn Sink> {
        self.inner.as_deref().ok_or_else(|| Error::new(block::ErrorKind::Poisoned, LAYER, "it is finished"))
    }

    /// Whether it is time to flush, for one of the threads.
    fn is_due(&self) -> bool {
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.transfer.spec.durable && flushed.elapsed() >= FLUSH_EVERY;
        if due {
            *flushed = Instant::now();
        }
        due
    }

    /// The records of a target that has become a newer snapshot: those of the pieces that it has, by their
    /// last record.
    fn newer(&self) -> Result<impl Iterator<Item = Record>> {
        let Spec { key, size, piece: piece_len, .. } = self.transfer.spec;
        let since = self.transfer.spec.since.as_ref();
        let changed = move |piece: u64| since.is_some_and(|since| since.changes.contains(piece));
        let mut kept = Bitmap::new(self.transfer.pieces());
        let mut newer = false;
        for told in self.transfer.told()? {
            match told {
                Told::Nothing => kept.clear(),
                Told::Changed => newer = true,
                Told::Piece { piece, .. } => kept.set(piece, newer || !changed(piece)),
            }
        }
        let mut newer = false;
        let pieces = self.transfer.told()?.filter_map(move |told| match told {
            Told::Piece { piece, len, sum } if kept.contains(piece) && (newer || !changed(piece)) => {
                Some(Record::Range { offset: piece.saturating_mul(u64::from(piece_len)), len, sum })
            }
            Told::Changed => {
                newer = true;
                None
            }
            _ => None,
        });
        let source = Record::Source { key, size, piece: piece_len };
        Ok(std::iter::once(source).chain(based_on(&self.transfer.spec)).chain(pieces))
    }
}

impl Sink for Logged {
    fn caps(&self) -> SinkCaps {
        let caps = self.inner.as_ref().map(|inner| inner.caps());
        let caps = caps.unwrap_or(SinkCaps { starts_zeroed: false, ..SinkCaps::FILE });
        let piece = usize::try_from(self.transfer.spec.piece).unwrap_or(usize::MAX);
        SinkCaps { max_write: caps.max_write.min(piece), ..caps }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        self.inner()?.put(chunk)
    }

    fn share(&self, offset: u64, from: FileRange<'_>) -> Result<bool> {
        self.inner()?.share(offset, from)
    }

    fn done(&self, range: Range<u64>, sum: ContentSum) -> Result<()> {
        let Ok(len) = u32::try_from(range.end.saturating_sub(range.start)) else { return Ok(()) };
        let due = self.is_due();
        if due {
            let failed = |cause| Error::io(LAYER, "cannot flush the output to disk", cause);
            let flushed = self.file.sync_data();
            flushed.map_err(|cause| failed(cause).in_file(&partial_path(&self.transfer.spec.target)))?;
        }
        self.transfer.log.append(Record::Range { offset: range.start, len, sum }, due)
    }

    fn already_done(&self) -> Result<Done> {
        Ok(self.transfer.done())
    }

    fn finish(mut self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        let Some(inner) = self.inner.take() else { return Ok(Receipt::default()) };
        let Transfer { spec, log, .. } = &self.transfer;
        let &Spec { ref target, key, size, piece, durable, .. } = spec;
        let sum = content.map(|sum| Record::Content { size, sum });
        // Before the output has its name: a kill in between costs the end alone.
        if let Some(sum) = sum {
            log.append(sum, false)?;
        }
        let receipt = inner.finish(content)?;
        if spec.since.is_some() {
            // The log shall speak of the new snapshot only.
            log.replace(&mut self.newer()?.chain(sum).chain([end(target)?]), durable)?;
        } else if spec.base.is_some() {
            log.append(end(target)?, durable)?;
        } else if sum.is_some() {
            let source = Record::Source { key, size, piece };
            log.replace(&mut std::iter::once(source).chain(sum).chain([end(target)?]), durable)?;
        } else {
            forget(target)?;
        }
        Ok(receipt)
    }
}
