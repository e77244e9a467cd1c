//! A snapshot as a disk whose blocks are fetched when they are read.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use block::{Bitmap, BlockRead, Disk, Error, Extent, Result};
use sha2::{Digest, Sha256};

use super::client::Client;
use super::index::{Entry, Index};
use super::service::Listed;
use super::tally::{Counter, Tally};
use super::{BLOCK, LAYER};
use crate::blocks::{self, Blocks};
use crate::cache::Cache;
use crate::fault::{Fault, FaultKind};
use crate::lock;
use crate::rate::Rate;
use crate::retry::{Cloud, Failure, Retry};

/// How often in a row new tokens may turn out to have expired.
const RENEWALS: u32 = 4;
/// So many empty pages in a row, though legal, are a list that never ends.
const EMPTY_PAGES: u32 = 1000;

/// What differs between two snapshots of a volume.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The numbers of the blocks.
    pub blocks: Bitmap,
    /// How many of them the newer one does not have: they are zero now, and nothing of them is fetched.
    pub gone: u64,
}

impl Changes {
    /// How many blocks are to be fetched.
    pub fn to_fetch(&self) -> u64 {
        self.blocks.count().saturating_sub(self.gone)
    }
}

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
    kept: Blocks,
}

impl Snapshot {
    pub(super) fn open(client: Arc<Client>, id: &str) -> Result<Self, Failure> {
        let counter = Counter::default();
        let rate = Rate::new(client.options.requests_per_second);
        let cache = client.options.cache.as_deref().and_then(|root| {
            // The endpoint, too: a stand-in may use the name of a real snapshot.
            let digest = Sha256::digest(client.endpoint());
            let place: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            let name = format!("{id}@{}-{place}", client.region);
            Cache::open_if_possible(root, &name, client.options.cache_blocks)
        });
        let mut inner = Inner {
            client,
            id: id.to_owned(),
            blocks: 0,
            index: Mutex::default(),
            rate,
            counter,
            kept: Blocks::new(cache),
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
        self.0.kept.set_streaming(streaming);
    }

    /// What has been read so far.
    pub fn tally(&self) -> Tally {
        self.0.counter.tally()
    }

    /// What differs from the snapshot `older` of the same volume; all of the list is read.
    ///
    /// # Errors
    /// [`FaultKind::Unrelated`] if the two are not of one volume; what the service says.
    pub fn changes_since(&self, older: &str) -> Result<Changes, Failure> {
        let inner = &*self.0;
        let mut changes = Changes { blocks: Bitmap::new(inner.blocks), gone: 0 };
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
            for (block, token) in &page.blocks {
                // A page that is listed again tells the same.
                if token.is_empty() && !changes.blocks.contains(*block) {
                    changes.gone = changes.gone.saturating_add(1);
                }
                changes.blocks.set(*block, true);
                from = from.max(block.saturating_add(1));
            }
            if page.next.is_none() {
                return Ok(changes);
            }
            if empty > EMPTY_PAGES {
                return Err(Failure::new(Cloud::Aws, &inner.id, what(), endless()));
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
            cloud: Cloud::Aws,
            subject: &self.id,
            patience: self.client.options.patience,
            known: self.client.service.known(),
            rates,
            retries: self.counter.retries(),
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
        Err(Failure::new(Cloud::Aws, &self.id, what(), endless()))
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
            Failure::new(Cloud::Aws, &self.id, format!("block {block}"), fault)
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
                    tracing::trace!(block, "fetched");
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

    /// Fills `buf` with a part of `block`, which begins `skip` bytes into it.
    fn read(&self, block: u64, skip: usize, buf: &mut [u8]) -> Result<(), Failure> {
        self.kept.read(block, (skip, buf), &|| self.counter.cached(), &|buf| self.fetch(block, buf))
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
        blocks::read_parts(buf, offset, |block, skip, part| inner.read(block, skip, part))
            .map_err(|failure| failed(failure, offset))
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
