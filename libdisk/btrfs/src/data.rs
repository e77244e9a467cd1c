//! Data of files, and their checksums ("Checksum tree").

use vfs::{FsError, Result};

use crate::bytes::{ceil, floor, index, overlap, wide, window};
use crate::chunk::Chunk;
use crate::key::{CHECKSUMS, Key, kind, tree};
use crate::volume::Volume;

/// How much is read and checked at a time.
const PIECE: u64 = 256 << 10;

impl Volume {
    /// Fills `buf` with the data at a logical address, which lie in one chunk; with their checksums verified,
    /// if they have any.
    pub(crate) fn read_data(&self, buf: &mut [u8], logical: u64, has_checksums: bool) -> Result<()> {
        let sector = self.sb.sector_size;
        let wanted = logical..logical.saturating_add(wide(buf.len()));
        let whole = floor(wanted.start, sector)..ceil(wanted.end, sector);
        let chunk = self.chunk(&whole)?;
        let mut start = whole.start;
        while start < whole.end {
            let end = whole.end.min(start.saturating_add(PIECE));
            let piece = self.read_sectors(chunk, start, end, has_checksums)?;
            if let Some(part) = overlap(&(start..end), &wanted) {
                let from = index(part.start.saturating_sub(start));
                let target = window(buf, wanted.start, &part);
                for (to, from) in target.iter_mut().zip(piece.iter().skip(from)) {
                    *to = *from;
                }
            }
            start = end;
        }
        Ok(())
    }

    /// Whole sectors; where a copy of one is damaged, another copy is taken.
    fn read_sectors(&self, chunk: &Chunk, start: u64, end: u64, has_checksums: bool) -> Result<Vec<u8>> {
        let mut bytes = vec![0; index(end.saturating_sub(start))];
        if !has_checksums {
            return self.read_any(chunk, &mut bytes, start).map(|()| bytes);
        }
        let checksum = self.sb.checksum;
        let stored = self.checksums(start, end)?;
        let read = self.read_copy(chunk, 0, &mut bytes, start);
        let sectors = bytes.chunks_mut(index(self.sb.sector_size)).zip(stored.chunks(checksum.len()));
        let places = (start..end).step_by(index(self.sb.sector_size));
        for ((sector, stored), logical) in sectors.zip(places) {
            let mut sound = read.is_ok() && checksum.is_right(sector, stored);
            let mut copy = 1;
            while !sound && copy < chunk.copies {
                sound =
                    self.read_copy(chunk, copy, sector, logical).is_ok() && checksum.is_right(sector, stored);
                copy = copy.saturating_add(1);
            }
            if !sound {
                // Nothing was read at all: the device says why.
                read?;
                let place = chunk.run(0, &(logical..end)).map_or(logical, |run| run.range.start);
                return Err(FsError::corrupt("data", place, "the checksum is wrong"));
            }
        }
        Ok(bytes)
    }

    /// The first copy that can be read.
    fn read_any(&self, chunk: &Chunk, buf: &mut [u8], logical: u64) -> Result<()> {
        let mut result = self.read_copy(chunk, 0, buf, logical);
        for copy in 1..chunk.copies {
            if result.is_ok() {
                break;
            }
            result = self.read_copy(chunk, copy, buf, logical);
        }
        result.map(drop)
    }

    /// The checksums of sectors, one after the other.
    fn checksums(&self, start: u64, end: u64) -> Result<Vec<u8>> {
        let tree = self.needed_tree(tree::CSUM)?;
        let len = self.sb.checksum.len();
        let sector = u64::from(self.sb.sector_size);
        let key = |offset| Key::new(CHECKSUMS, kind::EXTENT_CSUM, offset);
        let before = self.last_item(&tree, key(start))?;
        let from = before.map(|item| item.key).filter(|found| found.is(CHECKSUMS, kind::EXTENT_CSUM));
        let mut found = Vec::new();
        let mut at = start;
        for item in self.items(&tree, from.unwrap_or(key(start))..=key(end.saturating_sub(1))) {
            let item = item?;
            let sums = wide(item.data().len()).checked_div(wide(len)).unwrap_or_default();
            let covered = item.key.offset..item.key.offset.saturating_add(sums.saturating_mul(sector));
            let Some(part) = overlap(&covered, &(at..end)).filter(|part| part.start == at) else { continue };
            let sum_at = |place: u64| {
                let sectors = place.saturating_sub(covered.start).checked_div(sector).unwrap_or_default();
                index(sectors.saturating_mul(wide(len)))
            };
            found.extend(item.data().get(sum_at(part.start)..sum_at(part.end)).unwrap_or_default());
            at = part.end;
        }
        if at < end {
            return Err(FsError::corrupt("checksum tree", at, "data without a checksum"));
        }
        Ok(found)
    }
}
