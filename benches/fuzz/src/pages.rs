//! A device of which only a few pages are not zero.

use std::collections::BTreeMap;
use std::ops::Range;

use libdisk::block::{BlockRead, Disk, Extent, Result};

/// Bytes of a page.
const PAGE: usize = 4096;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Sectors of the largest device: 16 GiB.
const MOST: u32 = 1 << 25;

/// An input as a device: the number of its sectors (32 bits, the lowest byte first), then for each page that
/// is not zero its number and its 4096 bytes. Where a page is there twice the last one counts; an incomplete
/// one is filled up with zeros.
#[derive(Debug)]
pub struct Pages {
    size: u64,
    pages: BTreeMap<u64, [u8; PAGE]>,
}

impl Pages {
    /// Takes an input apart. Any bytes are a device.
    pub fn new(input: &[u8]) -> Self {
        let (head, rest) = input.split_at(input.len().min(4));
        let size = u64::from(number(head) % (MOST + 1)) * SECTOR;
        let count = size.div_ceil(PAGE as u64).max(1);
        let mut pages = BTreeMap::new();
        for record in rest.chunks(4 + PAGE) {
            let (place, bytes) = record.split_at(record.len().min(4));
            let mut page = [0; PAGE];
            page[..bytes.len()].copy_from_slice(bytes);
            pages.insert(u64::from(number(place)) % count, page);
        }
        Self { size, pages }
    }

    /// Puts the checksum that btrfs keeps at the start of its blocks into every page: else nothing behind it
    /// is ever reached.
    pub fn sealed(mut self) -> Self {
        for page in self.pages.values_mut() {
            let sum = crc32c::crc32c(&page[32..]).to_le_bytes();
            page[..4].copy_from_slice(&sum);
        }
        self
    }

    /// The device.
    pub fn disk(self) -> Disk {
        Disk::new(self)
    }

    /// Its pages that are not zero, by their numbers, and its size in bytes.
    pub(crate) fn parts(&self) -> (u64, impl Iterator<Item = (u64, &[u8; PAGE])>) {
        (self.size, self.pages.iter().map(|(place, page)| (place * PAGE as u64, page)))
    }
}

fn number(bytes: &[u8]) -> u32 {
    let mut field = [0; 4];
    field[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(field)
}

impl BlockRead for Pages {
    fn layer(&self) -> &'static str {
        "pages"
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let (mut rest, mut at) = (buf, offset);
        while !rest.is_empty() {
            let within = (at % PAGE as u64) as usize;
            let (part, after) = rest.split_at_mut(rest.len().min(PAGE - within));
            match self.pages.get(&(at / PAGE as u64)) {
                Some(page) => part.copy_from_slice(&page[within..within + part.len()]),
                None => part.fill(0),
            }
            at += part.len() as u64;
            rest = after;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        Ok(Extent::data(range.end - range.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_input_is_a_device() {
        let mut input = 17_u32.to_le_bytes().to_vec();
        input.extend(2_u32.to_le_bytes());
        input.extend([7; PAGE]);
        input.extend(4_u32.to_le_bytes()); // 4 of 3 is 1
        input.extend([8; 10]);
        let disk = Pages::new(&input).disk();
        let expected = [vec![0; PAGE], vec![8; 10], vec![0; PAGE - 10], vec![7; 512]].concat();
        assert_eq!(disk.size(), 17 * SECTOR);
        assert_eq!(disk.read_vec(0, expected.len()).unwrap(), expected);
        for len in 0..9 {
            assert_eq!(Pages::new(&input[..len]).disk().size(), if len == 0 { 0 } else { 17 * SECTOR });
        }
        assert_eq!(Pages::new(&[]).disk().size(), 0);
    }
}
