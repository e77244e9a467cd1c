//! The blocks of a device that is far away: each is fetched once, and kept for a while.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::cache::Cache;
use crate::retry::Failure;
use crate::{BLOCK, BLOCK_LEN, lock, to_u64, to_usize};

/// Blocks kept in memory: 16 MiB.
const RECENT: usize = 32;
/// Blocks that one read may fetch at once.
const AT_ONCE: usize = 16;
/// Readers of blocks that are the same modulo this take turns, so that none is fetched twice.
const TURNS: u64 = 128;

/// Fills a buffer with a block and gives its SHA-256, or says that there is nothing.
type Fetch<'a> = dyn Fn(&mut [u8]) -> Result<Option<[u8; 32]>, Failure> + 'a;
/// A block; `None` is zero.
type Block = Option<Arc<Vec<u8>>>;

/// Blocks in memory and, where there is a cache, on disk.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// The most recently used last.
    recent: Mutex<VecDeque<(u64, Block)>>,
    cache: Option<Cache>,
    turns: Vec<Mutex<()>>,
    streaming: AtomicBool,
}

impl Blocks {
    pub(crate) fn new(cache: Option<Cache>) -> Self {
        let turns = (0..TURNS).map(|_| Mutex::default()).collect();
        Self { recent: Mutex::default(), cache, turns, streaming: AtomicBool::new(false) }
    }

    /// Says whether what follows is a transfer of everything: whole blocks then go past the cache, as each is
    /// read once.
    pub(crate) fn set_streaming(&self, streaming: bool) {
        self.streaming.store(streaming, Ordering::Relaxed);
    }

    /// Fills `buf` with a part of `block`, which begins `skip` bytes into it: from memory, from the cache
    /// (which `cached` counts), or by `fetch`, which fills a buffer with the block and gives its SHA-256, or
    /// says that there is nothing and leaves it as it was.
    pub(crate) fn read(
        &self,
        block: u64,
        (skip, buf): (usize, &mut [u8]),
        cached: &dyn Fn(),
        fetch: &Fetch<'_>,
    ) -> Result<(), Failure> {
        if buf.len() < BLOCK_LEN || !self.streaming.load(Ordering::Relaxed) {
            copy_part(&self.get(block, cached, fetch)?, skip, buf);
            return Ok(());
        }
        match self.recent(block) {
            Some(known) => copy_part(&known, 0, buf),
            None if self.cached(block, buf) => cached(),
            None if fetch(buf)?.is_some() => {}
            None => buf.fill(0),
        }
        Ok(())
    }

    /// `block`; no two threads fetch the same one.
    fn get(&self, block: u64, cached: &dyn Fn(), fetch: &Fetch<'_>) -> Result<Block, Failure> {
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
            cached();
            Some(Arc::new(buf))
        } else if let Some(sum) = fetch(&mut buf)? {
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

    /// `block`, if it is in memory.
    fn recent(&self, block: u64) -> Option<Block> {
        let mut recent = lock(&self.recent);
        let place = recent.iter().rposition(|(there, _)| *there == block)?;
        let found = recent.remove(place)?;
        let bytes = found.1.clone();
        recent.push_back(found);
        Some(bytes)
    }

    /// Fills `buf` with `block`, if the cache has it.
    fn cached(&self, block: u64, buf: &mut [u8]) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.get(block, buf))
    }
}

/// Copies a part of `block`, which begins `skip` bytes into it, into `buf`.
fn copy_part(block: &Block, skip: usize, buf: &mut [u8]) {
    match block.as_ref().and_then(|bytes| bytes.get(skip..)?.get(..buf.len())) {
        Some(part) => buf.copy_from_slice(part),
        None => buf.fill(0),
    }
}

/// Fills `buf`, which begins at byte `offset`, by blocks: `read` gets the block, how far into it, and the part
/// of the buffer. One answer takes as long as many: what a read needs is fetched at once.
pub(crate) fn read_parts(
    buf: &mut [u8],
    offset: u64,
    read: impl Fn(u64, usize, &mut [u8]) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let mut parts = parts(buf, offset);
    let threads = parts.len().min(AT_ONCE);
    if threads <= 1 {
        return parts.into_iter().try_for_each(|(block, skip, part)| read(block, skip, part));
    }
    let queue = Mutex::new(parts.drain(..));
    // A function, so that the lock is released before the part is read.
    let next = || lock(&queue).next();
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((block, skip, part)) = next() {
                    if let Err(error) = read(block, skip, part) {
                        lock(&failure).get_or_insert(error);
                        return;
                    }
                }
            });
        }
    });
    let failure = lock(&failure).take();
    failure.map_or(Ok(()), Err)
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
