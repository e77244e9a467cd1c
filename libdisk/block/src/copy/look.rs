//! Copies that keep nothing: content looked at by all threads.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Chunk, CopyOptions, Receipt, Sink, SinkCaps, run};
use crate::{ContentSum, Disk, Error, ErrorKind, ExtentKind, Observer, Result, is_zero};

const LAYER: &str = "compare";

/// How much of the other device is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// The sum of the content of `disk`. Zero extents are not read.
///
/// # Errors
/// What the device reports.
pub fn content_sum(disk: &Disk, options: &CopyOptions, observer: &dyn Observer) -> Result<ContentSum> {
    let receipt = run("read", disk, Box::new(Nothing), options, observer)?;
    receipt.content.ok_or_else(|| Error::new(ErrorKind::Unsupported, LAYER, "the content was not read"))
}

/// The first byte at which two devices of one size differ; `None` if they have the same content. What is zero
/// on both sides is not read.
///
/// # Errors
/// `OutOfRange` if `b` is smaller; what the devices report.
pub fn compare(a: &Disk, b: &Disk, options: &CopyOptions, observer: &dyn Observer) -> Result<Option<u64>> {
    let first = Arc::new(AtomicU64::new(u64::MAX));
    let sink = Same { other: b.clone(), first: first.clone() };
    let compared = run("compare", a, Box::new(sink), options, observer);
    match (first.load(Ordering::Relaxed), compared) {
        (u64::MAX, Ok(_)) => Ok(None),
        (u64::MAX, Err(error)) => Err(error),
        // Steps are taken in ascending order, and those that were taken are finished: no difference is before
        // this one.
        (first, _) => Ok(Some(first)),
    }
}

/// Takes everything, keeps nothing.
struct Nothing;

impl Sink for Nothing {
    fn caps(&self) -> SinkCaps {
        SinkCaps::FILE
    }

    fn put(&self, _chunk: Chunk<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        Ok(Receipt { content, ..Receipt::default() })
    }
}

/// Insists that what is put is there already.
struct Same {
    other: Disk,
    first: Arc<AtomicU64>,
}

impl Same {
    fn differs(&self, at: u64) -> Error {
        self.first.fetch_min(at, Ordering::Relaxed);
        Error::new(ErrorKind::Changed, LAYER, "the content differs").at(at)
    }

    fn data(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut other = vec![0; PIECE.min(bytes.len())];
        for (piece, at) in bytes.chunks(PIECE).zip((offset..).step_by(PIECE)) {
            let other = &mut other[..piece.len()];
            self.other.read_at(other, at)?;
            if other != piece {
                let within = piece.iter().zip(&*other).position(|(a, b)| a != b).unwrap_or(0);
                return Err(self.differs(at + within as u64));
            }
        }
        Ok(())
    }

    fn zeros(&self, range: Range<u64>) -> Result<()> {
        let mut other = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let extent = self.other.extent_at(at..range.end)?;
            let len = match extent.kind {
                ExtentKind::Zero => extent.len,
                ExtentKind::Data => extent.len.min(PIECE as u64),
            };
            if extent.kind == ExtentKind::Data {
                other.resize(len as usize, 0);
                self.other.read_at(&mut other, at)?;
                if !is_zero(&other) {
                    let within = other.iter().position(|byte| *byte != 0).unwrap_or(0);
                    return Err(self.differs(at + within as u64));
                }
            }
            at += len;
        }
        Ok(())
    }
}

impl Sink for Same {
    fn caps(&self) -> SinkCaps {
        SinkCaps { starts_zeroed: false, ..SinkCaps::FILE }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        match chunk {
            Chunk::Data { offset, bytes } => self.data(offset, bytes),
            Chunk::Zero { offset, len } => self.zeros(offset..offset + len),
        }
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        Ok(Receipt { content, ..Receipt::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Silent, Zeros};

    #[test]
    fn the_first_difference_is_found_whoever_finds_it() {
        let size = 8 << 20;
        let mut random = fastrand::Rng::with_seed(3);
        let mut bytes = vec![0; size];
        random.fill(&mut bytes[1 << 20..3 << 20]);
        random.fill(&mut bytes[5 << 20..(5 << 20) + 9000]);
        let disk = |bytes: &[u8]| Disk::new(Memory::new(bytes.to_vec()));
        for threads in [1, 4] {
            let options = CopyOptions { threads };
            let compare = |a: &Disk, b: &Disk| compare(a, b, &options, &Silent).unwrap();
            assert_eq!(compare(&disk(&bytes), &disk(&bytes)), None);
            for _ in 0..20 {
                let places = [random.usize(..size), random.usize(..size)];
                let mut other = bytes.clone();
                places.iter().for_each(|place| other[*place] ^= 1);
                // The same place twice is no difference.
                let first = places.iter().min().filter(|_| places[0] != places[1]).map(|place| *place as u64);
                assert_eq!(compare(&disk(&bytes), &disk(&other)), first);
                assert_eq!(compare(&disk(&other), &disk(&bytes)), first);
            }
            let zeros = Disk::new(Zeros::new(size as u64));
            assert!(compare(&zeros, &disk(&bytes)).is_some() && compare(&disk(&bytes), &zeros).is_some());
        }
    }

    #[test]
    fn the_sum_does_not_depend_on_the_threads_nor_on_the_form() {
        let size = (5 << 20) + 700;
        let pattern = Disk::new(crate::testing::pattern::Pattern::new(size, 3, 0.5));
        let bytes = pattern.read_vec(0, size as usize).unwrap();
        let whole = ContentSum::of(&bytes, 0);
        for disk in [pattern, Disk::new(Memory::new(bytes))] {
            for threads in [1, 3, 8] {
                assert_eq!(content_sum(&disk, &CopyOptions { threads }, &Silent).unwrap(), whole);
            }
        }
    }
}
