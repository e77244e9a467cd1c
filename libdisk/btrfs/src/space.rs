//! What is free ("Block group item", "Extent item").

use std::ops::Range;

use vfs::Result;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::bytes::wide;
use crate::chunk::flag;
use crate::key::{Key, kind, tree};
use crate::superblock::{PLACES, SIZE};
use crate::volume::Volume;

/// No chunk begins before this; boot loaders may have something there.
const RESERVED: u64 = 1 << 20;

/// As it is on disk.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawBlockGroup {
    used: U64,
    chunk_objectid: U64,
    flags: U64,
}
const _: () = assert!(size_of::<RawBlockGroup>() == 24);

impl Volume {
    /// Bytes that files can still have: what is free in data chunks, and what devices have for more of them.
    pub(crate) fn free(&self) -> Result<u64> {
        let groups = if self.sb.has_block_group_tree() { tree::BLOCK_GROUP } else { tree::EXTENT };
        let groups = self.needed_tree(groups)?;
        let (mut free, mut taken) = (0_u64, 0_u64);
        let mut copies = 1;
        for chunk in self.chunks.iter() {
            let len = chunk.range.end.saturating_sub(chunk.range.start);
            taken = taken.saturating_add(chunk.stripe_length().saturating_mul(wide(chunk.stripes().len())));
            if chunk.flags & flag::DATA == 0 {
                continue;
            }
            copies = chunk.copies;
            let key = Key::new(chunk.range.start, kind::BLOCK_GROUP_ITEM, len);
            if let Some(item) = self.item(&groups, key)? {
                let (raw, _) = item.read::<RawBlockGroup>()?;
                free = free.saturating_add(len.saturating_sub(raw.used.get()));
            }
        }
        let untaken = self.sb.size().saturating_sub(taken);
        Ok(free.saturating_add(untaken.checked_div(copies).unwrap_or_default()))
    }

    /// The byte ranges of the device that hold nothing, ascending and merged; none where there are several
    /// devices.
    pub(crate) fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        if self.device_count() != 1 {
            return Ok(Vec::new());
        }
        let (_, end) = self.sb.device_use();
        let mirrors = PLACES.iter().map(|&place| place..place.saturating_add(wide(SIZE)));
        let mut used: Vec<_> = std::iter::once(0..RESERVED).chain(mirrors).collect();
        if self.sb.has_log() {
            // No tree says yet where the log's own blocks are, and the data that it speaks of.
            for chunk in self.chunks.iter() {
                let ranges = chunk
                    .stripes()
                    .iter()
                    .map(|stripe| stripe.offset..stripe.offset.saturating_add(chunk.stripe_length()));
                used.extend(ranges);
            }
        } else {
            self.add_extents(&mut used)?;
        }
        used.sort_unstable_by_key(|range| range.start);
        let mut free = Vec::new();
        let mut at = 0;
        for range in used {
            if at < range.start.min(end) {
                free.push(at..range.start.min(end));
            }
            at = at.max(range.end);
        }
        if at < end {
            free.push(at..end);
        }
        Ok(free)
    }

    /// Adds where every copy of every extent is.
    fn add_extents(&self, used: &mut Vec<Range<u64>>) -> Result<()> {
        let extents = self.needed_tree(tree::EXTENT)?;
        let mut before = 0;
        for item in self.items(&extents, Key::MIN..=Key::MAX) {
            let item = item?;
            let len = match item.key.kind {
                kind::EXTENT_ITEM => item.key.offset,
                kind::METADATA_ITEM => self.sb.node_size.into(),
                _ => continue,
            };
            let start = item.key.objectid;
            let end = start.saturating_add(len);
            if start < before {
                return Err(item.corrupt("the extent before it has some of its addresses"));
            }
            before = end;
            let chunk = self.chunk(&(start..end))?;
            for copy in 0..chunk.copies {
                let mut at = start;
                while let Some(run) = chunk.run(copy, &(at..end)).filter(|run| !run.range.is_empty()) {
                    at = at.saturating_add(run.range.end.saturating_sub(run.range.start));
                    match used.last_mut() {
                        Some(last) if last.end == run.range.start => last.end = run.range.end,
                        _ => used.push(run.range),
                    }
                }
            }
        }
        Ok(())
    }
}
