//! Content like that of a virtual machine, of any size, without memory.

use std::ops::Range;

use fastrand::Rng;

use crate::{BlockRead, BlockWrite, Error, Extent, Result};

const LAYER: &str = "pattern";

/// Every region holds one run of data at most, in bytes.
const REGION: u64 = 1 << 20;

/// The unit of the content, in bytes.
const BLOCK: u64 = 4096;

/// Bytes that look like text: half as large when compressed.
const TEXT: &[u8; 64] = b" etaoinshrdlucmfwypvbgkjqxz,.\n0123456789-_/:ETAOINSHRDLUCMFWYPVB";

/// A device whose content depends on its seed only: runs of data, large and small, between zeros; the data
/// partly random, partly like text, and partly zeros nevertheless. A write is checked: one of other bytes is
/// `Corrupt`.
///
/// So a copy of a tebibyte can be tested in no memory: from one pattern into another of the same seed.
#[derive(Debug, Clone)]
pub struct Pattern {
    size: u64,
    seed: u64,
    fill: f64,
}

impl Pattern {
    /// `size` bytes from `seed`, of which a fraction of about `fill`, 0 to 1, is data.
    pub fn new(size: u64, seed: u64, fill: f64) -> Self {
        Self { size, seed, fill }
    }

    /// The numbers that belong to the place `index`.
    fn numbers(&self, index: u64) -> Rng {
        let mut mix = Rng::with_seed(self.seed);
        Rng::with_seed(mix.u64(..) ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The run of data in the region that holds `offset`; it may be empty.
    fn run(&self, offset: u64) -> Range<u64> {
        let region = offset / REGION;
        let start = region * REGION;
        let mut numbers = self.numbers(region | 1 << 63);
        if numbers.f64() >= self.fill {
            return start..start;
        }
        // Three of four regions with data are full, the others hold a short run.
        let blocks = REGION / BLOCK;
        let run = match numbers.u8(..4) {
            0 => {
                let first = numbers.u64(..blocks);
                start + first * BLOCK..start + numbers.u64(first + 1..=blocks) * BLOCK
            }
            _ => start..start + REGION,
        };
        run.start.min(self.size)..run.end.min(self.size)
    }

    /// Fills `bytes` with the content of block `index`, which is data.
    fn block(&self, index: u64, bytes: &mut [u8; BLOCK as usize]) {
        let mut numbers = self.numbers(index);
        match numbers.u8(..16) {
            0 => bytes.fill(0),
            1..=6 => numbers.fill(bytes),
            _ => {
                numbers.fill(bytes);
                for byte in bytes {
                    *byte = TEXT[usize::from(*byte & 0x1f & (*byte >> 3))];
                }
            }
        }
    }

    /// The content from `offset` on.
    fn content(&self, buf: &mut [u8], offset: u64) {
        let mut block = [0; BLOCK as usize];
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let within = (at % BLOCK) as usize;
            let (part, next) = rest.split_at_mut(rest.len().min(block.len() - within));
            if self.run(at).contains(&at) {
                self.block(at / BLOCK, &mut block);
                part.copy_from_slice(&block[within..within + part.len()]);
            } else {
                part.fill(0);
            }
            at += part.len() as u64;
            rest = next;
        }
    }
}

impl BlockRead for Pattern {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.content(buf, offset);
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let Range { start, end } = range;
        let run = self.run(start);
        if run.contains(&start) {
            return Ok(Extent::data(run.end.min(end) - start));
        }
        let region_end = (start + 1).next_multiple_of(REGION);
        let next = if start < run.start { run.start } else { region_end };
        Ok(Extent::zero(next.min(end) - start))
    }
}

impl BlockWrite for Pattern {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut expected = vec![0; buf.len()];
        self.content(&mut expected, offset);
        match expected.iter().zip(buf).position(|(expected, byte)| expected != byte) {
            None => Ok(()),
            Some(at) => {
                Err(Error::corrupt(LAYER, "these are not the bytes of the pattern").at(offset + at as u64))
            }
        }
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        let mut piece = vec![0; (range.end - range.start).min(REGION) as usize];
        let mut at = range.start;
        while at < range.end {
            let extent = self.extent_at(at..range.end)?;
            let len = match extent.kind {
                crate::ExtentKind::Zero => extent.len,
                crate::ExtentKind::Data => {
                    let len = extent.len.min(REGION);
                    let bytes = &mut piece[..len as usize];
                    bytes.fill(0);
                    self.write_at(bytes, at)?;
                    len
                }
            };
            at += len;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DeviceSink;
    use crate::testing::conformance;
    use crate::testing::count::Count;
    use crate::{CopyOptions, Disk, DiskMut, ErrorKind, ExtentKind, Silent, copy, digest, is_zero};

    fn data(disk: &Disk) -> u64 {
        let runs = disk.extents(0..disk.size()).map(|run| run.unwrap());
        runs.filter(|(_, kind)| *kind == ExtentKind::Data).map(|(range, _)| range.end - range.start).sum()
    }

    #[test]
    fn it_is_a_device_like_any_other() {
        let disk = Disk::new(Pattern::new((6 << 20) + 77, 3, 0.6));
        let content = disk.read_vec(0, disk.size() as usize).unwrap();
        conformance::read(&disk, &content);
    }

    #[test]
    fn it_depends_on_the_seed_and_looks_like_a_disk() {
        let disk = |seed| Disk::new(Pattern::new(64 << 20, seed, 0.3));
        let of = |disk: &Disk| digest(disk, &Silent).unwrap();
        assert_eq!(of(&disk(1)), of(&disk(1)));
        assert_ne!(of(&disk(1)), of(&disk(2)));
        let disk = Disk::new(Pattern::new(1 << 30, 1, 0.3));
        let share = data(&disk) as f64 / disk.size() as f64;
        assert!((0.15..0.4).contains(&share), "{share}");
        let (first, _) = disk
            .extents(0..disk.size())
            .map(|run| run.unwrap())
            .find(|run| run.1 == ExtentKind::Data)
            .unwrap();
        let bytes = disk.read_vec(first.start, (first.end - first.start) as usize).unwrap();
        assert!(!is_zero(&bytes));
    }

    #[test]
    fn wrong_writes_are_noticed() {
        let pattern = Pattern::new(8 << 20, 5, 0.5);
        let disk = DiskMut::new(pattern.clone());
        let mut bytes = disk.disk().read_vec(0, 8 << 20).unwrap();
        disk.write_at(&bytes, 0).unwrap();
        bytes[5_000_000] ^= 1;
        let error = disk.write_at(&bytes, 0).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(5_000_000)));
        let run =
            (0..8).map(|mib| pattern.run(mib << 20)).find(|run| run.end - run.start > 64 << 10).unwrap();
        assert_eq!(disk.zero_range(run).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_tebibyte_is_copied_byte_for_byte() {
        let size = 1 << 40;
        let pattern = Pattern::new(size, 11, 0.00002);
        let (read, written) = (Count::default(), Count::default());
        let source = read.disk(&Disk::new(pattern.clone()));
        let target = written.disk_mut(&DiskMut::new(pattern));
        let data = data(&source);
        assert!(data > 4 << 20);
        let sink = Box::new(DeviceSink::new(target, true));
        let receipt = copy(&source, sink, &CopyOptions { threads: 2 }, &Silent).unwrap();
        assert_eq!(receipt.size, size);
        let runs = source.extents(0..size).map(|run| run.unwrap());
        let runs = runs.filter(|(_, kind)| *kind == ExtentKind::Data);
        let blocks = runs.map(|(run, _)| run.end.next_multiple_of(4096) - run.start / 4096 * 4096);
        assert_eq!(read.reads().bytes, blocks.sum::<u64>(), "the blocks with data and nothing else are read");
        // One block in 16 of the data is zeros.
        assert!((data * 3 / 4..data).contains(&written.writes().bytes));
        assert_eq!(written.zeros().requests, 0);
    }
}
