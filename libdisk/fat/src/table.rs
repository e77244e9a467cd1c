//! The file allocation table: for each cluster, the next one of its chain (FAT spec, "FAT Data Structure").

use std::ops::Range;

use vfs::{FsError, Result};

use crate::boot_sector::{FIRST_CLUSTER, Kind};
use crate::read::Volume;
use crate::to_usize;

/// How many table entries are read at a time when free ones are looked for.
const SCAN: u32 = 4096;

/// What the table says of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Free,
    Next(u32),
    End,
    /// The cluster is marked as bad, or the entry holds a number that no cluster has.
    Bad(u32),
}

impl Volume {
    /// Where the entry of a cluster begins in a table, in bytes.
    pub(crate) fn entry_offset(&self, cluster: u32) -> u64 {
        let cluster = u64::from(cluster);
        match self.boot.kind {
            Kind::Fat12 => cluster.saturating_add(cluster / 2),
            Kind::Fat16 => cluster.saturating_mul(2),
            Kind::Fat32 => cluster.saturating_mul(4),
        }
    }

    /// The bits of an entry as they are, without those reserved on FAT32.
    pub(crate) fn raw_link(&self, cluster: u32) -> Result<u32> {
        let offset = self.boot.table().saturating_add(self.entry_offset(cluster));
        if self.boot.kind == Kind::Fat32 {
            let mut bytes = [0; 4];
            self.disk.read_at(&mut bytes, offset)?;
            return Ok(u32::from_le_bytes(bytes) & 0x0FFF_FFFF);
        }
        let mut bytes = [0; 2];
        self.disk.read_at(&mut bytes, offset)?;
        let word = u16::from_le_bytes(bytes);
        Ok(u32::from(match self.boot.kind {
            Kind::Fat12 if cluster % 2 == 1 => word >> 4,
            Kind::Fat12 => word & 0xFFF,
            _ => word,
        }))
    }

    /// What the table says of a cluster.
    pub(crate) fn link(&self, cluster: u32) -> Result<Link> {
        let raw = self.raw_link(cluster)?;
        let end = match self.boot.kind {
            Kind::Fat12 => 0xFF8,
            Kind::Fat16 => 0xFFF8,
            Kind::Fat32 => 0x0FFF_FFF8,
        };
        Ok(match raw {
            0 => Link::Free,
            next if self.boot.has(next) => Link::Next(next),
            raw if raw >= end => Link::End,
            raw => Link::Bad(raw),
        })
    }

    /// The cluster that follows in a chain; `None` at its end.
    pub(crate) fn next(&self, cluster: u32) -> Result<Option<u32>> {
        match self.link(cluster)? {
            Link::Next(next) => Ok(Some(next)),
            Link::End => Ok(None),
            Link::Free => Err(self.bad_link(cluster, "a chain runs into a free cluster")),
            Link::Bad(raw) => Err(self.bad_link(cluster, format!("a chain runs into {raw:#x}"))),
        }
    }

    fn bad_link(&self, cluster: u32, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
        let offset = self.boot.table().saturating_add(self.entry_offset(cluster));
        FsError::corrupt(format!("table entry of cluster {cluster}"), offset, what)
    }

    /// All clusters of a chain of at most `limit`.
    pub(crate) fn chain(&self, first: u32, limit: usize) -> Result<Vec<u32>> {
        let mut chain = Vec::new();
        let mut next = Some(first);
        while let Some(cluster) = next {
            if !self.boot.has(cluster) {
                return Err(FsError::corrupt("cluster chain", 0, format!("it begins at cluster {cluster}")));
            }
            if chain.len() >= limit {
                return Err(self.bad_link(cluster, "a chain is too long, or runs in a circle"));
            }
            chain.push(cluster);
            next = self.next(cluster)?;
        }
        Ok(chain)
    }

    /// Calls `visit` for the free clusters of a range in ascending order, until it says `false`.
    pub(crate) fn scan_free(&self, range: Range<u32>, visit: &mut dyn FnMut(u32) -> bool) -> Result<()> {
        let width = match self.boot.kind {
            Kind::Fat32 => 4,
            Kind::Fat16 => 2,
            Kind::Fat12 => return self.scan_free_singly(range, visit),
        };
        let mut from = range.start;
        while from < range.end {
            let count = range.end.saturating_sub(from).min(SCAN);
            let offset = self.boot.table().saturating_add(self.entry_offset(from));
            let bytes = self.disk.read_vec(offset, to_usize(count).saturating_mul(width))?;
            for (cluster, entry) in (from..).zip(bytes.chunks_exact(width)) {
                // The top four bits are reserved on FAT32.
                let free = matches!(entry, [0, 0]) || matches!(entry, [0, 0, 0, top] if top & 0x0F == 0);
                if free && !visit(cluster) {
                    return Ok(());
                }
            }
            from = from.saturating_add(count);
        }
        Ok(())
    }

    fn scan_free_singly(&self, range: Range<u32>, visit: &mut dyn FnMut(u32) -> bool) -> Result<()> {
        for cluster in range {
            if self.raw_link(cluster)? == 0 && !visit(cluster) {
                break;
            }
        }
        Ok(())
    }

    /// How many clusters are free.
    pub(crate) fn count_free(&self) -> Result<u32> {
        let mut free: u32 = 0;
        self.scan_free(FIRST_CLUSTER..self.boot.end(), &mut |_| {
            free = free.saturating_add(1);
            true
        })?;
        Ok(free)
    }

    /// Whether the volume says that it was not unmounted, and whether that it met a device error.
    pub(crate) fn dirty_and_failed(&self) -> Result<(bool, bool)> {
        let (clean, whole) = match self.boot.kind {
            Kind::Fat12 => (0, 0),
            Kind::Fat16 => (0x8000, 0x4000),
            Kind::Fat32 => (0x0800_0000, 0x0400_0000),
        };
        let raw = self.raw_link(1)?;
        let mut state = [0];
        self.disk.read_at(&mut state, self.boot.state_at)?;
        let [state] = state;
        Ok((raw & clean != clean || state & 1 != 0, raw & whole != whole))
    }
}
