//! The suite that every layer must pass, whatever is below it. It panics where a layer fails.

use std::ops::Range;
use std::thread;

use fastrand::Rng;

use crate::{Disk, DiskMut, ErrorKind, ExtentKind};

/// How many random requests each test makes.
const REQUESTS: usize = 300;

/// Checks a readable layer that must hold `expected`: size, bounds, reads at any place and from many threads,
/// extents.
///
/// # Panics
/// Where the layer breaks the contract.
pub fn read(disk: &Disk, expected: &[u8]) {
    assert_eq!(disk.size(), expected.len() as u64, "size");
    assert!([512, 4096].contains(&disk.sector_size()), "sector size {}", disk.sector_size());
    bounds(disk);
    reads(disk, expected, 1);
    thread::scope(|scope| {
        for seed in 2..6 {
            scope.spawn(move || reads(disk, expected, seed));
        }
    });
    extents(disk, expected);
    if !expected.is_empty() {
        let range = expected.len() / 3..expected.len() * 2 / 3;
        let slice = disk.slice(range.start as u64..range.end as u64).expect("a slice");
        reads(&slice, &expected[range.clone()], 6);
        extents(&slice, &expected[range]);
    }
}

/// Checks a writable layer. `make` makes a new one, which must hold `expected`: all that [`read`] checks,
/// then writes and zeroings at any place, also from many threads, and flushes.
///
/// # Panics
/// Where the layer breaks the contract.
pub fn write(make: impl Fn() -> DiskMut, expected: &[u8]) {
    read(&make().disk(), expected);
    write_bounds(&make());
    for seed in 0..3 {
        writes(&make(), expected.to_vec(), seed);
    }
    concurrent_writes(&make(), expected);
}

fn bounds(disk: &Disk) {
    let size = disk.size();
    let refused = |offset, len: usize| {
        let error = disk.read_at(&mut vec![0; len], offset).expect_err("a read past the end");
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{len} bytes at {offset}: {error}");
    };
    refused(size, 1);
    refused(size.saturating_sub(1), 2);
    refused(size + 1, 0);
    refused(u64::MAX, 1);
    refused(0, size as usize + 1);
    disk.read_at(&mut [], size).expect("an empty read at the end");
    assert_eq!(disk.extent_at(size..size).expect_err("an empty extent").kind(), ErrorKind::OutOfRange);
    assert_eq!(
        disk.extent_at(0..size + 1).expect_err("an extent past the end").kind(),
        ErrorKind::OutOfRange
    );
    assert_eq!(disk.extents(size..size).count(), 0);
}

/// A random range inside `0..size`, not empty; its ends are often those of sectors, clusters or the device.
fn some_range(rng: &mut Rng, size: usize) -> Range<usize> {
    let place = |rng: &mut Rng| {
        let at = rng.usize(..=size);
        let unit = [1, 1, 512, 4096, 65536][rng.usize(..5)];
        at - at % unit
    };
    loop {
        let (a, b) = (place(rng), if rng.u8(..8) == 0 { size } else { place(rng) });
        if a != b {
            return a.min(b)..a.max(b);
        }
    }
}

fn check_read(disk: &Disk, expected: &[u8], range: Range<usize>) {
    // What was in the buffer must not shine through.
    let mut buf = vec![0xa5; range.len()];
    disk.read_at(&mut buf, range.start as u64).unwrap_or_else(|e| panic!("read of {range:?}: {e}"));
    if let Some(at) = buf.iter().zip(&expected[range.clone()]).position(|(got, expected)| got != expected) {
        panic!(
            "read of {range:?}: byte {} is {:#x}, expected {:#x}",
            range.start + at,
            buf[at],
            expected[range.start + at]
        );
    }
}

fn reads(disk: &Disk, expected: &[u8], seed: u64) {
    check_read(disk, expected, 0..expected.len());
    if expected.is_empty() {
        return;
    }
    let mut rng = Rng::with_seed(seed);
    for _ in 0..REQUESTS {
        let range = some_range(&mut rng, expected.len());
        // Mostly short ones, as structures are.
        let end = if rng.bool() { range.end } else { range.end.min(range.start + rng.usize(1..600)) };
        check_read(disk, expected, range.start..end);
    }
}

/// Extents cover the range in order, and what is called zero is.
fn extents(disk: &Disk, expected: &[u8]) {
    let check = |range: &Range<u64>, kind| {
        let bytes = &expected[range.start as usize..range.end as usize];
        let honest = kind == ExtentKind::Data || bytes.iter().all(|&byte| byte == 0);
        assert!(honest, "{range:?} is called zero and holds data");
    };
    let mut at = 0;
    let mut last = None;
    for run in disk.extents(0..disk.size()) {
        let (range, kind) = run.unwrap_or_else(|e| panic!("extents at {at}: {e}"));
        assert_eq!(range.start, at, "extents are contiguous");
        assert!(range.start < range.end, "an extent is not empty");
        assert_ne!(last, Some(kind), "neighbours of one kind are merged");
        check(&range, kind);
        (at, last) = (range.end, Some(kind));
    }
    assert_eq!(at, disk.size(), "extents cover the device");
    if expected.is_empty() {
        return;
    }
    let mut rng = Rng::with_seed(7);
    for _ in 0..REQUESTS {
        let range = some_range(&mut rng, expected.len());
        let (start, end) = (range.start as u64, range.end as u64);
        let extent = disk.extent_at(start..end).unwrap_or_else(|e| panic!("extent of {range:?}: {e}"));
        assert!((1..=end - start).contains(&extent.len), "extent of {range:?}: length {}", extent.len);
        check(&(start..start + extent.len), extent.kind);
    }
}

fn write_bounds(disk: &DiskMut) {
    let size = disk.size();
    let kind = |result: crate::Result<()>| result.expect_err("a write past the end").kind();
    assert_eq!(kind(disk.write_at(&[1], size)), ErrorKind::OutOfRange);
    assert_eq!(kind(disk.write_at(&[1, 1], size.saturating_sub(1))), ErrorKind::OutOfRange);
    assert_eq!(kind(disk.write_at(&[1], u64::MAX)), ErrorKind::OutOfRange);
    assert_eq!(kind(disk.zero_range(0..size + 1)), ErrorKind::OutOfRange);
    disk.write_at(&[], size).expect("an empty write at the end");
    disk.zero_range(size..size).expect("an empty zeroing at the end");
}

/// Random writes and zeroings, compared with a vector.
fn writes(disk: &DiskMut, mut model: Vec<u8>, seed: u64) {
    if model.is_empty() {
        return;
    }
    let mut rng = Rng::with_seed(seed);
    let reader = disk.disk();
    for _ in 0..REQUESTS {
        let range = some_range(&mut rng, model.len());
        let start = range.start as u64;
        match rng.u8(..8) {
            0..3 => {
                let end = range.end.min(range.start + rng.usize(1..600));
                let bytes: Vec<u8> = (range.start..end).map(|_| rng.u8(..)).collect();
                disk.write_at(&bytes, start).unwrap_or_else(|e| panic!("write at {start}: {e}"));
                model[range.start..end].copy_from_slice(&bytes);
            }
            3 => {
                let bytes = vec![rng.u8(..); range.len()];
                disk.write_at(&bytes, start).unwrap_or_else(|e| panic!("write of {range:?}: {e}"));
                model[range].copy_from_slice(&bytes);
            }
            4 => {
                disk.zero_range(start..range.end as u64)
                    .unwrap_or_else(|e| panic!("zeroing of {range:?}: {e}"));
                model[range].fill(0);
            }
            5 => disk.flush().expect("a flush"),
            _ => check_read(&reader, &model, range),
        }
    }
    assert_eq!(disk.size(), model.len() as u64, "a write does not change the size");
    check_read(&reader, &model, 0..model.len());
    check_read(&disk.disk(), &model, 0..model.len());
    extents(&reader, &model);
}

/// Threads that write to different bytes, in the same sectors too, do not disturb each other.
fn concurrent_writes(disk: &DiskMut, expected: &[u8]) {
    const THREADS: usize = 4;
    const STEP: usize = 100;
    let mut model = expected.to_vec();
    for (index, chunk) in model.chunks_mut(STEP).take(2000).enumerate() {
        chunk.fill((index % THREADS) as u8 + 1);
    }
    let end = expected.len().min(STEP * 2000);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let disk = disk.clone();
            scope.spawn(move || {
                for start in (thread * STEP..end).step_by(THREADS * STEP) {
                    let bytes = vec![thread as u8 + 1; STEP.min(end - start)];
                    disk.write_at(&bytes, start as u64).unwrap_or_else(|e| panic!("write at {start}: {e}"));
                }
            });
        }
    });
    check_read(&disk.disk(), &model, 0..model.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockRead, BlockWrite, Extent, Memory, Result};

    /// What a broken layer does wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Defect {
        /// Calls everything zero.
        LyingExtents,
        /// Writes a whole sector at the start of its cluster (a real one: five years in cloud-hypervisor's
        /// VHDX).
        MisplacedWrites,
        /// Reads, changes and writes back whole sectors without a lock.
        LostUpdates,
        /// Leaves the end of a zeroed range as it was.
        ShortZeroing,
        /// Reads past its end as zeros: it says that it is larger than it is.
        WrongSize,
    }

    struct Broken(DiskMut, Defect);

    impl BlockRead for Broken {
        fn layer(&self) -> &'static str {
            "broken"
        }

        fn size(&self) -> u64 {
            self.0.size() + u64::from(self.1 == Defect::WrongSize)
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            buf.fill(0);
            let len = buf.len().min((self.0.size() - offset.min(self.0.size())) as usize);
            self.0.read_at(&mut buf[..len], offset)
        }

        fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
            let len = range.end - range.start;
            Ok(if self.1 == Defect::LyingExtents { Extent::zero(len) } else { Extent::data(len) })
        }
    }

    impl BlockWrite for Broken {
        fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
            match self.1 {
                Defect::MisplacedWrites if offset.is_multiple_of(512) && buf.len() >= 512 => {
                    self.0.write_at(buf, offset - offset % 4096)
                }
                Defect::LostUpdates => {
                    let start = offset - offset % 512;
                    let mut sectors = self.0.disk().read_vec(start, buf.len() + (offset - start) as usize)?;
                    thread::sleep(std::time::Duration::from_micros(500));
                    sectors[(offset - start) as usize..].copy_from_slice(buf);
                    self.0.write_at(&sectors, start)
                }
                _ => self.0.write_at(buf, offset),
            }
        }

        fn zero_range(&self, range: Range<u64>) -> Result<()> {
            self.0.zero_range(range.start..range.end - u64::from(self.1 == Defect::ShortZeroing))
        }

        fn flush(&self) -> Result<()> {
            self.0.flush()
        }
    }

    #[test]
    fn it_finds_what_is_wrong() {
        use Defect::{LostUpdates, LyingExtents, MisplacedWrites, ShortZeroing, WrongSize};
        let content: Vec<u8> = (0..20_000u32).map(|i| (i % 239) as u8).collect();
        for defect in [LyingExtents, MisplacedWrites, LostUpdates, ShortZeroing, WrongSize] {
            let make = || DiskMut::new(Broken(DiskMut::new(Memory::new(content.clone())), defect));
            let suite = std::panic::AssertUnwindSafe(|| write(make, &content));
            assert!(std::panic::catch_unwind(suite).is_err(), "{defect:?} was not found");
        }
    }
}
