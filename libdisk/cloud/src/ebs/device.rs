//! A snapshot as a disk whose blocks are fetched when they are read.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use block::{Bitmap, BlockRead, Disk, Error, ErrorKind, Extent, Result};
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::client::Client;
use super::fault::{Fault, FaultKind};
use super::index::{Entry, Index};
use super::rate::Rate;
use super::retry::{Failure, Retry};
use super::service::Listed;
use super::tally::{Counter, Tally};
use super::{BLOCK, BLOCK_LEN, LAYER, lock, to_u64, to_usize};

/// Blocks kept in memory: 16 MiB.
const RECENT: usize = 32;
/// Blocks that one read may fetch at once.
const AT_ONCE: usize = 16;
/// Readers of blocks that are the same modulo this take turns, so that none is fetched twice.
const TURNS: u64 = 128;
/// How often in a row new tokens may turn out to have expired.
const RENEWALS: u32 = 4;
/// So many empty pages in a row, though legal, are a list that never ends.
const EMPTY_PAGES: u32 = 1000;

/// A block; `None` is zero.
type Block = Option<Arc<Vec<u8>>>;

/// A snapshot. Clones share everything.
#[derive(Debug, Clone)]
pub struct Snapshot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Arc<Client>,
    id: String,
    blocks: u64,
    index: Mutex<Index>,
    /// AWS allows each snapshot so many requests a second, whatever the account may.
    rate: Rate,
    counter: Counter,
    /// The most recently used last.
    recent: Mutex<VecDeque<(u64, Block)>>,
    cache: Option<Cache>,
    turns: Vec<Mutex<()>>,
    streaming: AtomicBool,
}

impl Snapshot {
    pub(super) fn open(client: Arc<Client>, id: &str) -> Result<Self, Failure> {
        let counter = Counter::default();
        let rate = Rate::new(client.options.requests_per_second);
        let cache = client.options.cache.as_deref().and_then(|root| {
            // The endpoint, too: a stand-in may use the name of a real snapshot.
            let digest = Sha256::digest(client.endpoint());
            let place: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            let opened =
                Cache::open(root, &format!("{id}@{}-{place}", client.region), client.options.cache_blocks);
            opened.inspect_err(|error| tracing::warn!(%error, root = %root.display(), "no cache")).ok()
        });
        let mut inner = Inner {
            client,
            id: id.to_owned(),
            blocks: 0,
            index: Mutex::default(),
            rate,
            counter,
            recent: Mutex::default(),
            cache,
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            streaming: AtomicBool::new(false),
        };
        let first = inner.list(0)?;
        inner.blocks = first.volume_blocks;
        lock(&inner.index).add(0, first);
        Ok(Self(Arc::new(inner)))
    }

    /// `snap-…`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.0.client.region
    }

    /// The device.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    /// Says whether what follows is a transfer of everything: whole blocks then go past the cache, as each is
    /// read once.
    pub fn set_streaming(&self, streaming: bool) {
        self.0.streaming.store(streaming, Ordering::Relaxed);
    }

    /// What has been read so far.
    pub fn tally(&self) -> Tally {
        self.0.counter.tally()
    }

    /// What differs from the snapshot `older` of the same volume; all of the list is read.
    ///
    /// # Errors
    /// [`FaultKind::Unrelated`] if the two are not of one volume; what the service says.
    pub fn changes_since(&self, older: &str) -> Result<Bitmap, Failure> {
        let inner = &*self.0;
        let mut changes = Bitmap::new(inner.blocks);
        let (mut from, mut next, mut empty) = (0, None::<String>, 0u32);
        loop {
            let start = from;
            let what = || format!("the changes since {older} from block {start} on");
            let page = inner.retry(&[&inner.client.lists]).run(what, || {
                inner.counter.list();
                inner.client.service.changed(older, &inner.id, start, next.clone())
            });
            let page = match page {
                // The page token lives for an hour; the list can be entered anywhere without one.
                Err(failure) if failure.kind() == FaultKind::Token && next.is_some() => {
                    next = None;
                    continue;
                }
                page => page?,
            };
            empty = if page.blocks.is_empty() { empty.saturating_add(1) } else { 0 };
            for (block, _) in &page.blocks {
                changes.set(*block, true);
                from = from.max(block.saturating_add(1));
            }
            if page.next.is_none() {
                return Ok(changes);
            }
            if empty > EMPTY_PAGES {
                return Err(Failure::new(&inner.id, what(), endless()));
            }
            next = page.next;
        }
    }
}

fn endless() -> Fault {
    Fault::new(
        FaultKind::Protocol,
        format!("{EMPTY_PAGES} empty pages in a row, and each says that more follow"),
    )
}

impl Inner {
    fn retry<'a>(&'a self, rates: &'a [&'a Rate]) -> Retry<'a> {
        Retry {
            snapshot: &self.id,
            patience: self.client.options.patience,
            known: self.client.service.known(),
            rates,
            counter: &self.counter,
        }
    }

    /// The list from block `from` on, at least one block of it if there is one.
    fn list(&self, from: u64) -> Result<Listed, Failure> {
        let what = || format!("the list of its blocks from block {from} on");
        let mut next = None::<String>;
        for _ in 0..EMPTY_PAGES {
            let page = self.retry(&[&self.client.lists]).run(what, || {
                self.counter.list();
                self.client.service.list(&self.id, from, next.clone())
            });
            match page {
                Ok(page) if page.blocks.is_empty() && page.next.is_some() => next = page.next,
                Err(failure) if failure.kind() == FaultKind::Token && next.is_some() => next = None,
                page => return page,
            }
        }
        Err(Failure::new(&self.id, what(), endless()))
    }

    /// Asks the index, listing what it does not know.
    fn look_up<T>(&self, block: u64, ask: impl Fn(&mut Index) -> Option<T>) -> Result<T, Failure> {
        let mut index = lock(&self.index);
        if let Some(answer) = ask(&mut index) {
            return Ok(answer);
        }
        // Others that need a list wait here, and then most likely find what they need in this one.
        let listed = self.list(block)?;
        index.add(block, listed);
        ask(&mut index).ok_or_else(|| {
            let fault = Fault::new(FaultKind::Protocol, "the list does not tell what was asked for");
            Failure::new(&self.id, format!("block {block}"), fault)
        })
    }

    /// Lists the page again that gave `token` for `block`, unless another thread has done so.
    fn renew(&self, block: u64, token: &str) -> Result<(), Failure> {
        let mut index = lock(&self.index);
        if let Some(start) = index.forget(block, token) {
            let listed = self.list(start)?;
            index.add(start, listed);
        }
        Ok(())
    }

    fn entry(&self, block: u64) -> Result<Entry, Failure> {
        self.look_up(block, |index| Some(index.entry(block)).filter(|entry| *entry != Entry::Unknown))
    }

    /// Fetches `block` into `buf` and gives its digest; `None` if the snapshot does not have it, and `buf` is
    /// as it was.
    fn fetch(&self, block: u64, buf: &mut [u8]) -> Result<Option<[u8; 32]>, Failure> {
        let mut renewals = 0;
        loop {
            let token = match self.entry(block)? {
                Entry::Present(token) => token,
                Entry::Absent | Entry::Unknown => return Ok(None),
            };
            let got = self.retry(&[&self.client.blocks, &self.rate]).run(
                || format!("block {block}"),
                || {
                    self.counter.get();
                    self.client.service.get(&self.id, block, &token, buf)
                },
            );
            match got {
                Ok(sum) => {
                    self.counter.block();
                    return Ok(Some(sum));
                }
                Err(failure) if failure.kind() == FaultKind::Token && renewals < RENEWALS => {
                    tracing::debug!(block, "its token has expired");
                    renewals = renewals.saturating_add(1);
                    self.renew(block, &token)?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// `block`, from memory, the cache or the service; no two threads fetch the same one.
    fn block(&self, block: u64) -> Result<Block, Failure> {
        if let Some(found) = self.recent(block) {
            return Ok(found);
        }
        let turn = block.checked_rem(TURNS).and_then(|turn| self.turns.get(to_usize(turn)));
        let _turn = turn.map(lock);
        if let Some(found) = self.recent(block) {
            return Ok(found);
        }
        let mut buf = vec![0; BLOCK_LEN];
        let found = if self.cached(block, &mut buf) {
            Some(Arc::new(buf))
        } else if let Some(sum) = self.fetch(block, &mut buf)? {
            if let Some(cache) = &self.cache {
                cache.put(block, &buf, &sum);
            }
            Some(Arc::new(buf))
        } else {
            None
        };
        let mut recent = lock(&self.recent);
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back((block, found.clone()));
        Ok(found)
    }

    fn recent(&self, block: u64) -> Option<Block> {
        let mut recent = lock(&self.recent);
        let place = recent.iter().rposition(|(there, _)| *there == block)?;
        let found = recent.remove(place)?;
        let bytes = found.1.clone();
        recent.push_back(found);
        Some(bytes)
    }

    fn cached(&self, block: u64, buf: &mut [u8]) -> bool {
        let found = self.cache.as_ref().is_some_and(|cache| cache.get(block, buf));
        if found {
            self.counter.cached();
        }
        found
    }

    /// Fills `buf` with a part of `block`, which begins `skip` bytes into it.
    fn read(&self, block: u64, skip: usize, buf: &mut [u8]) -> Result<(), Failure> {
        if buf.len() == BLOCK_LEN && self.streaming.load(Ordering::Relaxed) {
            match self.recent(block) {
                Some(Some(bytes)) => buf.copy_from_slice(&bytes),
                Some(None) => buf.fill(0),
                None if self.cached(block, buf) || self.fetch(block, buf)?.is_some() => {}
                None => buf.fill(0),
            }
            return Ok(());
        }
        let bytes = self.block(block)?;
        let part = bytes.as_ref().and_then(|bytes| bytes.get(skip..)?.get(..buf.len()));
        match part {
            Some(part) => buf.copy_from_slice(part),
            None => buf.fill(0),
        }
        Ok(())
    }
}

/// The parts of `buf`, which begins at byte `offset`, by block: the block, how far into it, and the part.
fn parts(buf: &mut [u8], offset: u64) -> Vec<(u64, usize, &mut [u8])> {
    let mut parts = Vec::new();
    let (mut rest, mut at) = (buf, offset);
    while !rest.is_empty() {
        let skip = at % BLOCK;
        let (part, after) = rest.split_at_mut(to_usize(BLOCK.saturating_sub(skip)).min(rest.len()));
        let len = to_u64(part.len());
        parts.push((at / BLOCK, to_usize(skip), part));
        (rest, at) = (after, at.saturating_add(len));
    }
    parts
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind() {
            FaultKind::Access | FaultKind::Key | FaultKind::Credentials => ErrorKind::Refused,
            FaultKind::Damaged | FaultKind::Protocol => ErrorKind::Corrupt,
            _ => ErrorKind::Io,
        };
        Error::new(kind, LAYER, "cannot read the snapshot").because(failure)
    }
}

fn failed(failure: Failure, offset: u64) -> Error {
    Error::from(failure).at(offset)
}

impl BlockRead for Snapshot {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.0.blocks.saturating_mul(BLOCK)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let inner = &*self.0;
        let mut parts = parts(buf, offset);
        let threads = parts.len().min(AT_ONCE);
        if threads <= 1 {
            let mut all = parts.into_iter();
            return all
                .try_for_each(|(block, skip, part)| inner.read(block, skip, part))
                .map_err(|failure| failed(failure, offset));
        }
        // One answer takes as long as many: what a read needs is fetched at once.
        let queue = Mutex::new(parts.drain(..));
        // A function, so that the lock is released before the part is read.
        let next = || lock(&queue).next();
        let failure = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((block, skip, part)) = next() {
                        if let Err(error) = inner.read(block, skip, part) {
                            lock(&failure).get_or_insert(error);
                            return;
                        }
                    }
                });
            }
        });
        let failure = lock(&failure).take();
        failure.map_or(Ok(()), |failure| Err(failed(failure, offset)))
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let inner = &*self.0;
        let (first, end) = (range.start / BLOCK, range.end.div_ceil(BLOCK));
        let (blocks, there) = inner
            .look_up(first, |index| index.run(first, end))
            .map_err(|failure| failed(failure, range.start))?;
        let until = first.saturating_add(blocks).saturating_mul(BLOCK).min(range.end);
        let len = until.saturating_sub(range.start);
        Ok(if there { Extent::data(len) } else { Extent::zero(len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_cut_at_blocks() {
        let mut buf = vec![0; BLOCK_LEN + 20];
        let cut: Vec<_> =
            parts(&mut buf, 3 * BLOCK - 10).into_iter().map(|(b, s, p)| (b, s, p.len())).collect();
        assert_eq!(cut, [(2, BLOCK_LEN - 10, 10), (3, 0, BLOCK_LEN), (4, 0, 10)]);
        assert_eq!(parts(&mut [0; 5], 7).len(), 1);
    }
}
