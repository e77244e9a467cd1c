//! A device that loses unflushed sectors.
//!
//! A real disk keeps what was written before a flush; of what was written since, any subset of sectors may be
//! lost, in any order. [`Crash`] records all writes, so that after one run of the code under test every crash
//! can be looked at: after any request, with any subset lost.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::{BlockRead, BlockWrite, Disk, DiskMut, Extent, Result};

const LAYER: &str = "crash";

/// What is written or lost as one, in bytes.
const SECTOR: u64 = 512;

type Sectors = BTreeMap<u64, Arc<[u8]>>;

/// Which of the sectors written since the last flush are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// None: the process was killed, the machine goes on.
    Nothing,
    /// All of them.
    Everything,
    /// A subset, drawn with this seed. A sector that was written more than once holds any of its contents.
    Some(u64),
}

/// A device of test size over an unchanging base, kept in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct Crash(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    base: Disk,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    now: Sectors,
    log: Vec<Logged>,
}

/// One request.
#[derive(Debug)]
enum Logged {
    Write(Sectors),
    Flush,
}

impl Crash {
    /// A device with the content of `base`, all durable.
    pub fn new(base: Disk) -> Self {
        Self(Arc::new(Shared { base, state: Mutex::default() }))
    }

    /// The device to write to.
    pub fn writer(&self) -> DiskMut {
        DiskMut::new(Writer(Arc::clone(&self.0)))
    }

    /// How many writes, zeroings and flushes there were.
    pub fn requests(&self) -> usize {
        self.0.state().log.len()
    }

    /// The device as it is found when the power failed after this many requests. It does not change any more.
    pub fn after(&self, requests: usize, lost: Lost) -> Disk {
        let state = self.0.state();
        let log = &state.log[..requests.min(state.log.len())];
        let flushed = log.iter().rposition(|logged| matches!(logged, Logged::Flush)).unwrap_or(0);
        let mut rng = Rng::with_seed(if let Lost::Some(seed) = lost { seed } else { 0 });
        let mut sectors = Sectors::new();
        for (number, logged) in log.iter().enumerate() {
            let Logged::Write(written) = logged else { continue };
            for (&sector, bytes) in written {
                let survives = number < flushed
                    || match lost {
                        Lost::Nothing => true,
                        Lost::Everything => false,
                        Lost::Some(_) => rng.bool(),
                    };
                if survives {
                    sectors.insert(sector, Arc::clone(bytes));
                }
            }
        }
        Disk::new(Found { base: self.0.base.clone(), sectors })
    }
}

/// Fills `buf` with `base`, changed by `sectors`.
fn read(base: &Disk, sectors: &Sectors, buf: &mut [u8], offset: u64) -> Result<()> {
    base.read_at(buf, offset)?;
    let end = offset + buf.len() as u64;
    for (&sector, bytes) in sectors.range(offset / SECTOR..end.div_ceil(SECTOR)) {
        let start = sector * SECTOR;
        let (from, to) = (start.max(offset), (start + bytes.len() as u64).min(end));
        if from < to {
            let new = &bytes[(from - start) as usize..(to - start) as usize];
            buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(new);
        }
    }
    Ok(())
}

/// What is found after a crash.
#[derive(Debug)]
struct Found {
    base: Disk,
    sectors: Sectors,
}

impl BlockRead for Found {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.base.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        read(&self.base, &self.sectors, buf, offset)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        Ok(Extent::data(range.end - range.start))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer(Arc<Shared>);

impl BlockRead for Writer {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.0.base.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        read(&self.0.base, &self.0.state().now, buf, offset)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        Ok(Extent::data(range.end - range.start))
    }
}

impl BlockWrite for Writer {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut state = self.0.state();
        let end = offset + buf.len() as u64;
        let start = offset - offset % SECTOR;
        let mut whole = vec![0; (end.next_multiple_of(SECTOR).min(self.size()) - start) as usize];
        read(&self.0.base, &state.now, &mut whole, start)?;
        whole[(offset - start) as usize..(end - start) as usize].copy_from_slice(buf);
        let written: Sectors = (start / SECTOR..).zip(whole.chunks(SECTOR as usize).map(Arc::from)).collect();
        state.now.extend(written.clone());
        state.log.push(Logged::Write(written));
        Ok(())
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        self.write_at(&vec![0; (range.end - range.start) as usize], range.start)
    }

    fn flush(&self) -> Result<()> {
        self.0.state().log.push(Logged::Flush);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Memory;
    use crate::testing::conformance;

    /// The first byte of each of the four sectors.
    fn found(crash: &Crash, requests: usize, lost: Lost) -> [u8; 4] {
        let disk = crash.after(requests, lost);
        [0, 1, 2, 3].map(|sector| disk.read_vec(sector * SECTOR, 1).unwrap()[0])
    }

    fn crash() -> Crash {
        Crash::new(Disk::new(Memory::new(vec![0; 4 * SECTOR as usize])))
    }

    #[test]
    fn it_is_a_device_like_any_other() {
        let content: Vec<u8> = (0..30_000u32).map(|i| (i % 241) as u8).collect();
        conformance::write(|| Crash::new(Disk::new(Memory::new(content.clone()))).writer(), &content);
    }

    #[test]
    fn what_was_flushed_survives_and_any_subset_of_the_rest() {
        let crash = crash();
        let writer = crash.writer();
        writer.write_at(&[1; 1024], 0).unwrap();
        writer.flush().unwrap();
        writer.write_at(&[2; 1024], 512).unwrap();
        writer.write_at(&[3; 512], 512).unwrap();
        assert_eq!(crash.requests(), 4);

        assert_eq!(found(&crash, 4, Lost::Nothing), [1, 3, 2, 0]);
        assert_eq!(found(&crash, 4, Lost::Everything), [1, 1, 0, 0]);
        let all: BTreeSet<_> = (0..200).map(|seed| found(&crash, 4, Lost::Some(seed))).collect();
        let expected = [1, 2, 3].iter().flat_map(|&a| [[1, a, 0, 0], [1, a, 2, 0]]).collect();
        assert_eq!(all, expected);
        assert_eq!(found(&crash, 4, Lost::Some(7)), found(&crash, 4, Lost::Some(7)));
    }

    #[test]
    fn every_earlier_moment_can_be_looked_at() {
        let crash = crash();
        let writer = crash.writer();
        writer.write_at(&[1; 512], 0).unwrap();
        writer.write_at(&[2; 512], 512).unwrap();
        writer.flush().unwrap();
        writer.write_at(&[3; 512], 0).unwrap();
        assert_eq!(found(&crash, 0, Lost::Nothing), [0, 0, 0, 0]);
        assert_eq!(found(&crash, 1, Lost::Nothing), [1, 0, 0, 0]);
        assert_eq!(found(&crash, 2, Lost::Everything), [0, 0, 0, 0]);
        assert_eq!(found(&crash, 3, Lost::Everything), [1, 2, 0, 0]);
        assert_eq!(found(&crash, 4, Lost::Everything), [1, 2, 0, 0]);
        assert_eq!(found(&crash, 4, Lost::Nothing), [3, 2, 0, 0]);
    }
}
