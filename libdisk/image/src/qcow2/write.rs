//! Writing: clusters are laid end to end as they come, and every one has a refcount of one.
//!
//! Clusters of 64 KiB, version 3, refcounts of 16 bits: what qemu-img makes, so that everybody reads it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use block::{Error, Result};
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::header::be64s;
use super::{LAYER, ondisk};
use crate::len64;
use crate::partial::{Output, Partial};

/// Bytes of a cluster.
pub(super) const CLUSTER: u64 = 1 << CLUSTER_BITS;
const CLUSTER_BITS: u32 = 16;
/// Entries of an L2 table.
const L2_ENTRIES: u64 = CLUSTER / 8;
/// Refcounts in a cluster of them.
const REFCOUNTS: u64 = CLUSTER / 2;
/// Larger disks need an L1 table that QEMU refuses.
const MAX_SIZE: u64 = (32 << 20) / 8 * L2_ENTRIES * CLUSTER;

/// The file below an overlay, as the overlay names it.
#[derive(Debug, Clone, Copy)]
pub struct BackingFile<'a> {
    /// Its name: absolute, or relative to the folder of the overlay.
    pub path: &'a Path,
    /// Its format in QEMU's words: "raw", "qcow2", "vpc".
    pub format: &'a str,
}

/// An image in the making.
#[derive(Debug)]
pub(super) struct Writer {
    output: Partial,
    header: Vec<u8>,
    l1: Vec<u64>,
    l1_offset: u64,
    /// The L2 table in hand: its index in L1 and its entries.
    l2: Option<(usize, Vec<u64>)>,
    /// Where the next cluster goes.
    end: u64,
    /// Size of the disk, in bytes.
    size: u64,
    written: u64,
}

impl Writer {
    pub(super) fn create(output: &Output, size: u64, backing: Option<&BackingFile<'_>>) -> Result<Self> {
        if size > MAX_SIZE {
            return Err(Error::unsupported(LAYER, format!("a disk of {size} bytes: {MAX_SIZE} fit")));
        }
        // QEMU has no half sectors, and would round down.
        let size = size.next_multiple_of(512);
        let entries = size.div_ceil(L2_ENTRIES * CLUSTER);
        let l1_offset = CLUSTER;
        let end = l1_offset.saturating_add(entries.saturating_mul(8).next_multiple_of(CLUSTER));
        Ok(Self {
            header: header(size, entries, l1_offset, backing)?,
            output: Partial::create(LAYER, output, 0)?,
            l1: vec![0; usize::try_from(entries).unwrap_or(0)],
            l1_offset,
            l2: None,
            end,
            size,
            written: 0,
        })
    }

    /// Size of the disk in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of guest data that were written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Puts bytes at `offset` of the disk. What else is in the clusters that they touch stays as it is, zeros
    /// at first.
    pub(super) fn write(&mut self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        self.written = self.written.saturating_add(len64(bytes));
        while !bytes.is_empty() {
            let start = self.place(offset)?;
            let mut len = CLUSTER.wrapping_sub(offset % CLUSTER).min(len64(bytes));
            // Clusters that follow each other in the file, too, are one write.
            while len < len64(bytes) && self.place(offset.saturating_add(len))? == start.saturating_add(len) {
                len = len.saturating_add(CLUSTER).min(len64(bytes));
            }
            let (now, later) = bytes.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len()));
            self.output.write_at(now, start)?;
            offset = offset.saturating_add(len);
            bytes = later;
        }
        Ok(())
    }

    /// Makes the whole cluster at `offset` read as zeros, whatever is below.
    pub(super) fn zero(&mut self, offset: u64) -> Result<()> {
        *self.entry(offset)? = ondisk::ZERO;
        Ok(())
    }

    /// Where the byte `offset` of the disk is in the file; a new cluster if it is nowhere yet.
    fn place(&mut self, offset: u64) -> Result<u64> {
        let mut host = *self.entry(offset)? & ondisk::OFFSET_MASK;
        if host == 0 {
            host = self.allocate();
            *self.entry(offset)? = host | ondisk::COPIED;
        }
        Ok(host.saturating_add(offset % CLUSTER))
    }

    fn allocate(&mut self) -> u64 {
        let place = self.end;
        self.end = self.end.saturating_add(CLUSTER);
        place
    }

    /// The L2 entry for the byte `offset` of the disk.
    fn entry(&mut self, offset: u64) -> Result<&mut u64> {
        let outside = || Error::corrupt(LAYER, "a write past the end of the disk").at(offset);
        let cluster = offset / CLUSTER;
        let index = usize::try_from(cluster / L2_ENTRIES).unwrap_or(usize::MAX);
        if !matches!(&self.l2, Some((at, _)) if *at == index) {
            self.store_l2()?;
            let place = *self.l1.get(index).ok_or_else(outside)? & ondisk::OFFSET_MASK;
            let table = if place == 0 { self.new_l2(index) } else { self.load_l2(place)? };
            self.l2 = Some((index, table));
        }
        let entry = usize::try_from(cluster % L2_ENTRIES).unwrap_or(usize::MAX);
        self.l2.as_mut().and_then(|(_, table)| table.get_mut(entry)).ok_or_else(outside)
    }

    fn new_l2(&mut self, index: usize) -> Vec<u64> {
        let place = self.allocate();
        if let Some(entry) = self.l1.get_mut(index) {
            *entry = place | ondisk::COPIED;
        }
        vec![0; usize::try_from(L2_ENTRIES).unwrap_or(0)]
    }

    fn load_l2(&self, place: u64) -> Result<Vec<u64>> {
        let mut bytes = vec![0; usize::try_from(CLUSTER).unwrap_or(0)];
        self.output.read_at(&mut bytes, place)?;
        Ok(be64s(&bytes))
    }

    fn store_l2(&mut self) -> Result<()> {
        let Some((index, table)) = self.l2.take() else { return Ok(()) };
        let place = self.l1.get(index).copied().unwrap_or(0) & ondisk::OFFSET_MASK;
        self.output.write_at(&to_be(&table), place)
    }

    /// Writes all tables; the header last, when everything else is on the disk.
    pub(super) fn finish(mut self) -> Result<()> {
        self.store_l2()?;
        self.output.write_at(&to_be(&self.l1), self.l1_offset)?;
        let (table_offset, table_clusters) = self.write_refcounts()?;
        self.output.sync()?;
        set_refcount_table(&mut self.header, table_offset, table_clusters);
        self.output.write_at(&self.header, 0)?;
        self.output.commit()
    }

    /// Refcounts of one for all clusters, those of the refcounts included. Gives where their table is, and
    /// its length in clusters.
    fn write_refcounts(&mut self) -> Result<(u64, u64)> {
        let used = self.end / CLUSTER;
        // The refcounts count themselves: look for the sizes that hold each other.
        let (mut blocks, mut tables) = (0_u64, 0_u64);
        loop {
            let clusters = used.saturating_add(blocks).saturating_add(tables);
            let more = (clusters.div_ceil(REFCOUNTS), blocks.div_ceil(L2_ENTRIES));
            if more == (blocks, tables) {
                break;
            }
            (blocks, tables) = more;
        }
        let table_offset = self.end;
        let first_block = table_offset.saturating_add(tables.saturating_mul(CLUSTER));
        let total = used.saturating_add(blocks).saturating_add(tables);

        let places = (0..blocks).map(|n| first_block.saturating_add(n.saturating_mul(CLUSTER)));
        let mut table: Vec<u64> = places.clone().collect();
        table.resize(usize::try_from(tables.saturating_mul(L2_ENTRIES)).unwrap_or(0), 0);
        self.output.write_at(&to_be(&table), table_offset)?;
        let mut left = total;
        for place in places {
            let counts = left.min(REFCOUNTS);
            left = left.saturating_sub(counts);
            let mut block = [0_u8, 1].repeat(usize::try_from(counts).unwrap_or(0));
            block.resize(usize::try_from(CLUSTER).unwrap_or(0), 0);
            self.output.write_at(&block, place)?;
        }
        Ok((table_offset, tables))
    }
}

fn to_be(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The first cluster, but for the place of the refcounts.
fn header(size: u64, l1_size: u64, l1_offset: u64, backing: Option<&BackingFile<'_>>) -> Result<Vec<u8>> {
    let mut raw = ondisk::Header::new_zeroed();
    raw.magic = ondisk::MAGIC;
    raw.version = U32::new(3);
    raw.cluster_bits = U32::new(CLUSTER_BITS);
    raw.size = U64::new(size);
    raw.l1_size = U32::new(u32::try_from(l1_size).unwrap_or(u32::MAX));
    raw.l1_table_offset = U64::new(l1_offset);
    let mut v3 = ondisk::HeaderV3::new_zeroed();
    v3.refcount_order = U32::new(4);
    v3.header_length = U32::new(104);

    let mut extensions = Vec::new();
    if let Some(backing) = backing {
        let len = u32::try_from(backing.format.len()).unwrap_or(u32::MAX);
        let head = ondisk::Extension { kind: U32::new(ondisk::EXTENSION_BACKING_FORMAT), len: U32::new(len) };
        extensions.extend_from_slice(head.as_bytes());
        extensions.extend_from_slice(backing.format.as_bytes());
        extensions.resize(extensions.len().next_multiple_of(8), 0);
    }
    extensions.extend_from_slice(ondisk::Extension::new_zeroed().as_bytes());

    let mut name = Vec::new();
    if let Some(backing) = backing {
        name = backing_name(backing.path)?;
        let offset = 104_u64.saturating_add(len64(&extensions));
        raw.backing_file_offset = U64::new(offset);
        raw.backing_file_size = U32::new(u32::try_from(name.len()).unwrap_or(u32::MAX));
    }
    let mut bytes = [raw.as_bytes(), v3.as_bytes(), &extensions, &name].concat();
    bytes.resize(usize::try_from(CLUSTER).unwrap_or(0), 0);
    Ok(bytes)
}

/// The name of a backing file as QEMU takes it: what has a colon before its first slash would be an address.
fn backing_name(path: &Path) -> Result<Vec<u8>> {
    let bytes = path.as_os_str().as_bytes();
    let first = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
    let prefix: &[u8] = if first.contains(&b':') { b"./" } else { b"" };
    let name = [prefix, bytes].concat();
    if (1..=1023).contains(&name.len()) {
        Ok(name)
    } else {
        let what = format!("a backing file's name of {} bytes: 1 to 1023 fit", name.len());
        Err(Error::unsupported(LAYER, what).in_file(path))
    }
}

fn set_refcount_table(header: &mut [u8], offset: u64, clusters: u64) {
    if let Ok((raw, _)) = zerocopy::Ref::<_, ondisk::Header>::from_prefix(header) {
        let raw = zerocopy::Ref::into_mut(raw);
        raw.refcount_table_offset = U64::new(offset);
        raw.refcount_table_clusters = U32::new(u32::try_from(clusters).unwrap_or(u32::MAX));
    }
}
