//! Writing the table: taking clusters, giving them back, and what a commit makes right.

use block::DiskMut;
use vfs::{FsError, Result};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::boot_sector::{FIRST_CLUSTER, Kind};
use crate::read::Volume;
use crate::to_usize;

/// How much of two tables is compared at a time.
const CHUNK: u64 = 64 << 10;

/// How many neighbouring table entries are written at a time when a chain is given back.
const RUN: usize = 16 << 10;

/// The sector that keeps the number of free clusters on FAT32 (FAT spec, "FAT32 FSInfo Sector Structure").
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FsInfo {
    lead_signature: U32,
    reserved: [u8; 480],
    signature: U32,
    free: U32,
    next_free: U32,
    reserved_2: [u8; 12],
    trail_signature: U32,
}

const _: () = assert!(size_of::<FsInfo>() == 512);

/// A volume that can be written.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) device: DiskMut,
    /// Where to look for free clusters first.
    hint: u32,
}

impl Writer {
    pub(crate) fn new(device: DiskMut) -> Self {
        Self { device, hint: FIRST_CLUSTER }
    }

    /// Takes free clusters and joins them into a chain; gives them in order.
    pub(crate) fn allocate(&mut self, volume: &Volume, count: u64) -> Result<Vec<u32>> {
        let count = to_usize(count);
        let mut chain = Vec::new();
        let hint = self.hint.clamp(FIRST_CLUSTER, volume.boot.end());
        for range in [hint..volume.boot.end(), FIRST_CLUSTER..hint] {
            if chain.len() < count {
                volume.scan_free(range, &mut |cluster| {
                    chain.push(cluster);
                    chain.len() < count
                })?;
            }
        }
        if chain.len() < count {
            return Err(FsError::NoSpace("clusters"));
        }
        let end = self.end_mark(volume);
        let mut links = chain.iter().skip(1).copied().chain([end]);
        for run in chain.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let links: Vec<u32> = links.by_ref().take(run.len()).collect();
            self.set_links(volume, run.first().copied().unwrap_or(0), &links)?;
        }
        self.hint = chain.last().map_or(self.hint, |last| last.saturating_add(1));
        Ok(chain)
    }

    /// Gives a chain back.
    pub(crate) fn free(&mut self, volume: &Volume, first: u32) -> Result<()> {
        // The chains were checked before the first write; a circle would end at the first cluster that is
        // free again.
        let mut next = Some(first).filter(|first| *first != 0);
        while let Some(start) = next {
            let mut run = vec![0];
            next = volume.next(start)?;
            while let Some(cluster) = next
                && run.len() < RUN
                && u64::from(cluster.saturating_sub(start)) == u64::try_from(run.len()).unwrap_or(0)
            {
                run.push(0);
                next = volume.next(cluster)?;
            }
            self.set_links(volume, start, &run)?;
            self.hint = self.hint.min(start);
        }
        Ok(())
    }

    /// Adds a cluster to the end of a chain.
    pub(crate) fn append(&self, volume: &Volume, last: u32, added: u32) -> Result<()> {
        self.set_links(volume, last, &[added])
    }

    fn end_mark(&self, volume: &Volume) -> u32 {
        match volume.boot.kind {
            Kind::Fat12 => 0xFFF,
            Kind::Fat16 => 0xFFFF,
            Kind::Fat32 => 0x0FFF_FFFF,
        }
    }

    /// Writes the entries of a cluster and of those behind it, into the table that is read; the commit copies
    /// them to the others.
    fn set_links(&self, volume: &Volume, cluster: u32, links: &[u32]) -> Result<()> {
        volume.forget_cursor();
        let offset = volume.boot.table().saturating_add(volume.entry_offset(cluster));
        let half = |link: u32| u16::try_from(link).unwrap_or(0);
        match volume.boot.kind {
            Kind::Fat12 => {
                for (cluster, link) in (cluster..).zip(links) {
                    let offset = volume.boot.table().saturating_add(volume.entry_offset(cluster));
                    let mut bytes = [0; 2];
                    volume.disk.read_at(&mut bytes, offset)?;
                    let (both, link) = (u16::from_le_bytes(bytes), half(*link));
                    let odd = cluster % 2 == 1;
                    let word = if odd { link << 4 | both & 0x000F } else { link & 0x0FFF | both & 0xF000 };
                    self.device.write_at(&word.to_le_bytes(), offset)?;
                }
            }
            Kind::Fat16 => {
                let bytes: Vec<u8> = links.iter().flat_map(|link| half(*link).to_le_bytes()).collect();
                self.device.write_at(&bytes, offset)?;
            }
            Kind::Fat32 => {
                // The top four bits are reserved and stay.
                let mut entries = vec![U32::new(0); links.len()];
                volume.disk.read_at(entries.as_mut_bytes(), offset)?;
                for (entry, link) in entries.iter_mut().zip(links) {
                    entry.set(entry.get() & 0xF000_0000 | link);
                }
                self.device.write_at(entries.as_bytes(), offset)?;
            }
        }
        Ok(())
    }

    /// Writes content into a chain that is just long enough, and zeros behind it.
    pub(crate) fn write(&self, volume: &Volume, chain: &[u32], content: &[u8]) -> Result<()> {
        let cluster_bytes = to_usize(volume.boot.cluster_bytes).max(1);
        let mut rest = content;
        let neighbours = chain.chunk_by(|a, b| a.checked_add(1) == Some(*b));
        for run in neighbours {
            let Some(first) = run.first() else { continue };
            let start = volume.boot.offset(*first);
            let len = run.len().saturating_mul(cluster_bytes);
            let (now, later) = rest.split_at(len.min(rest.len()));
            self.device.write_at(now, start)?;
            let written = start.saturating_add(u64::try_from(now.len()).unwrap_or(0));
            self.device.zero_range(written..start.saturating_add(u64::try_from(len).unwrap_or(0)))?;
            rest = later;
        }
        Ok(())
    }

    /// Leaves a clean volume behind: all copies of the table alike, the free clusters counted, no "not
    /// unmounted" mark.
    pub(crate) fn finish(&self, volume: &Volume) -> Result<()> {
        match volume.boot.kind {
            Kind::Fat12 => {}
            Kind::Fat16 => self.set_links(volume, 1, &[volume.raw_link(1)? | 0x8000])?,
            Kind::Fat32 => self.set_links(volume, 1, &[volume.raw_link(1)? | 0x0800_0000])?,
        }
        let mut state = [0];
        volume.disk.read_at(&mut state, volume.boot.state_at)?;
        let [state] = state;
        if state & 1 != 0 {
            self.device.write_at(&[state & !1], volume.boot.state_at)?;
        }
        self.mirror(volume)?;
        self.count(volume)
    }

    fn mirror(&self, volume: &Volume) -> Result<()> {
        let end = volume.boot.table_bytes;
        for copy in volume.boot.mirrors() {
            let mut at = 0;
            while at < end {
                let len = to_usize(CHUNK.min(end.saturating_sub(at)));
                let original = volume.disk.read_vec(volume.boot.table().saturating_add(at), len)?;
                let there = copy.saturating_add(at);
                if volume.disk.read_vec(there, len)? != original {
                    self.device.write_at(&original, there)?;
                }
                at = at.saturating_add(CHUNK);
            }
        }
        Ok(())
    }

    /// Keeps the count of free clusters, if its sector is one.
    fn count(&self, volume: &Volume) -> Result<()> {
        let Some(offset) = volume.boot.fs_info else { return Ok(()) };
        let mut info = FsInfo::new_zeroed();
        volume.disk.read_at(info.as_mut_bytes(), offset)?;
        let signatures = (info.lead_signature.get(), info.signature.get(), info.trail_signature.get());
        if signatures != (0x4161_5252, 0x6141_7272, 0xAA55_0000) {
            tracing::warn!(offset, "the FSInfo sector has no signature and is left alone");
            return Ok(());
        }
        info.free.set(volume.count_free()?);
        info.next_free.set(if volume.boot.has(self.hint) { self.hint } else { FIRST_CLUSTER });
        Ok(self.device.write_at(info.as_bytes(), offset)?)
    }
}
