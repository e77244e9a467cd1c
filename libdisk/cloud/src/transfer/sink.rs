//! A sink that records what was put.

use std::fs::File;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use block::{Chunk, Error, FileRange, Receipt, Result, Sink, SinkCaps};

use super::log::Record;
use super::{LAYER, PIECE, Told, Transfer, digest, end};
use crate::bitmap::Bitmap;

/// So many pieces, 32 MiB, or what there is after so long, are made durable and recorded at once: what a kill can cost.
const BATCH: usize = 64;
const BATCH_TIME: Duration = Duration::from_secs(1);

pub(super) struct Logged {
    /// Gone when it is finished.
    transfer: Transfer,
    inner: Option<Box<dyn Sink>>,
    /// What `inner` writes.
    file: File,
    done: Bitmap,
    durable: bool,
    waiting: Mutex<Waiting>,
}

/// What is put and not yet recorded.
struct Waiting {
    records: Vec<Record>,
    since: Instant,
}

impl Logged {
    pub(super) fn new(
        transfer: Transfer,
        inner: Box<dyn Sink>,
        file: File,
        done: Bitmap,
        durable: bool,
    ) -> Self {
        let waiting = Mutex::new(Waiting { records: Vec::new(), since: Instant::now() });
        Self { transfer, inner: Some(inner), file, done, durable, waiting }
    }

    fn inner(&self) -> Result<&dyn Sink> {
        self.inner.as_deref().ok_or_else(|| Error::new(block::ErrorKind::Poisoned, LAYER, "it is finished"))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// First the data, then the records.
    fn record(&self, records: &[Record]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if self.durable {
            let failed = |cause| Error::io(LAYER, "cannot flush the output to disk", cause);
            self.file.sync_data().map_err(|cause| failed(cause).in_file(&self.transfer.plan.partial))?;
        }
        self.transfer.log.append(records, self.durable)
    }

    fn take(&self) -> Vec<Record> {
        let mut waiting = self.waiting();
        waiting.since = Instant::now();
        std::mem::take(&mut waiting.records)
    }
}

impl Sink for Logged {
    fn caps(&self) -> SinkCaps {
        let caps = self.inner.as_ref().map(|inner| inner.caps());
        let none = SinkCaps { starts_zeroed: false, max_write: 1, parallel: 1 };
        let caps = caps.unwrap_or(none);
        SinkCaps { max_write: caps.max_write.min(usize::try_from(PIECE).unwrap_or(usize::MAX)), ..caps }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        self.inner()?.put(chunk)
    }

    fn share(&self, offset: u64, from: FileRange<'_>) -> Result<bool> {
        self.inner()?.share(offset, from)
    }

    fn done(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let record = Record::Range { offset, len, digest: digest(bytes) };
        let mut waiting = self.waiting();
        waiting.records.push(record);
        if waiting.records.len() < BATCH && waiting.since.elapsed() < BATCH_TIME {
            return Ok(());
        }
        drop(waiting);
        self.record(&self.take())
    }

    fn already_done(&self) -> Result<Vec<Range<u64>>> {
        let size = self.transfer.plan.size;
        let bytes =
            |run: Range<u64>| run.start.saturating_mul(PIECE)..run.end.saturating_mul(PIECE).min(size);
        Ok(self.done.runs().map(bytes).collect())
    }

    fn finish(mut self: Box<Self>) -> Result<Receipt> {
        self.record(&self.take())?;
        let Some(inner) = self.inner.take() else { return Ok(Receipt::default()) };
        let receipt = inner.finish()?;
        let Transfer { plan, log, .. } = &self.transfer;
        if plan.since.is_some() {
            // The log shall tell of the new snapshot only.
            let source = Record::Source { key: plan.key, size: plan.size };
            let mut kept = Bitmap::new(plan.size.div_ceil(PIECE));
            let changed = |piece: u64| plan.since.as_ref().is_some_and(|since| since.changes.contains(piece));
            let mut newer = false;
            for told in self.transfer.told()? {
                match told {
                    Told::Nothing => kept.clear(),
                    Told::Changed => newer = true,
                    Told::Piece { piece, .. } => kept.set(piece, newer || !changed(piece)),
                }
            }
            let mut newer = false;
            let pieces = self.transfer.told()?.filter_map(|told| match told {
                Told::Piece { piece, len, digest } if kept.contains(piece) && (newer || !changed(piece)) => {
                    Some(Record::Range { offset: piece.saturating_mul(PIECE), len, digest })
                }
                Told::Changed => {
                    newer = true;
                    None
                }
                _ => None,
            });
            log.replace(std::iter::once(source).chain(pieces).chain([end(&plan.target)?]))?;
        } else {
            log.append(&[end(&plan.target)?], true)?;
        }
        Ok(receipt)
    }
}

impl Drop for Logged {
    /// A copy that failed goes on later: what it did counts.
    fn drop(&mut self) {
        if self.inner.is_some()
            && let Err(error) = self.record(&self.take())
        {
            tracing::warn!(%error, "what was done last is not recorded");
        }
    }
}
