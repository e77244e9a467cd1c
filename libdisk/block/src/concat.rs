//! Devices end to end.

use std::ops::Range;

use crate::{BlockRead, Disk, Error, ErrorKind, Extent, FileRange, Result, Zeros};

const LAYER: &str = "concat";

/// Several devices, one after the other: the extents of a split image, a disk and its padding.
#[derive(Debug)]
pub struct Concat {
    /// Every part with the offset at which it ends; empty parts are left out.
    parts: Vec<(u64, Disk)>,
}

impl Concat {
    /// The devices in this order.
    ///
    /// # Errors
    /// `OutOfRange` if together they are larger than 2^63 - 1 bytes.
    pub fn new(parts: Vec<Disk>) -> Result<Self> {
        let mut end = 0u64;
        let mut ends = Vec::with_capacity(parts.len());
        for part in parts {
            end =
                end.checked_add(part.size()).filter(|&end| i64::try_from(end).is_ok()).ok_or_else(|| {
                    Error::new(ErrorKind::OutOfRange, LAYER, "the parts are too large together")
                })?;
            if part.size() > 0 {
                ends.push((end, part));
            }
        }
        Ok(Self { parts: ends })
    }

    /// The device, and zeros behind it up to `size` bytes; itself if it has them already.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn padded(disk: Disk, size: u64) -> Result<Disk> {
        match size.saturating_sub(disk.size()) {
            0 => Ok(disk),
            missing => Ok(Disk::new(Self::new(vec![disk, Disk::new(Zeros::new(missing))])?)),
        }
    }

    /// The part that holds `offset`, which lies inside the device, and the offset at which that part starts.
    fn part(&self, offset: u64) -> (&Disk, u64) {
        let (end, part) = &self.parts[self.parts.partition_point(|&(end, _)| end <= offset)];
        (part, end - part.size())
    }
}

impl BlockRead for Concat {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.parts.last().map_or(0, |&(end, _)| end)
    }

    /// The largest of the parts'.
    fn sector_size(&self) -> u32 {
        self.parts.iter().map(|(_, part)| part.sector_size()).max().unwrap_or(512)
    }

    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let (part, start) = self.part(offset);
            let len = (start + part.size() - offset).min(buf.len() as u64);
            let (here, rest) = buf.split_at_mut(len as usize);
            part.read_at(here, offset - start)?;
            (buf, offset) = (rest, offset + len);
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let (part, start) = self.part(range.start);
        part.extent_at(range.start - start..(range.end - start).min(part.size()))
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        let (part, start) = self.part(range.start);
        part.file_range(range.start - start..(range.end - start).min(part.size()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExtentKind, Memory};

    #[test]
    fn reads_and_extents_cross_the_seams() {
        let parts = vec![
            Disk::new(Memory::new(vec![1; 700])),
            Disk::new(Zeros::new(0)),
            Disk::new(Zeros::new(1000)),
            Disk::new(Memory::new(vec![2; 300])),
        ];
        let disk = Disk::new(Concat::new(parts).unwrap());
        assert_eq!(disk.size(), 2000);
        assert_eq!(disk.read_vec(699, 1002).unwrap(), [&[1][..], &[0; 1000], &[2]].concat());
        let runs: Vec<_> = disk.extents(10..2000).map(|run| run.unwrap()).collect();
        assert_eq!(
            runs,
            [(10..700, ExtentKind::Data), (700..1700, ExtentKind::Zero), (1700..2000, ExtentKind::Data)]
        );
    }

    #[test]
    fn too_much_is_refused_and_nothing_is_empty() {
        let huge = Disk::new(Zeros::new(1 << 62));
        assert_eq!(Concat::new(vec![huge.clone(), huge]).unwrap_err().kind(), ErrorKind::OutOfRange);
        assert_eq!(Concat::new(vec![]).unwrap().size(), 0);
    }
}
