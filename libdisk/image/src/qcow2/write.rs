//! Writing: clusters are laid end to end as they come. Compressed ones share clusters of the file, each of which has a
//! refcount of the number of those in it; all other clusters have one of one.
//!
//! Clusters of 64 KiB, version 3, refcounts of 16 bits: what qemu-img makes, so that everybody reads it.

use std::ops::Range;
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
pub(super) const CLUSTER_LEN: usize = 1 << CLUSTER_BITS;
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
    /// What is free of the clusters that compressed ones share.
    room: Range<u64>,
    /// The refcounts of the first clusters of the file; those behind them have one.
    counts: Vec<u16>,
    /// Size of the disk, in bytes.
    size: u64,
    written: u64,
}

impl Writer {
    pub(super) fn create(output: &Output, size: u64, backing: Option<&BackingFile<'_>>) -> Result<Self> {
        Self::start(output, size, |size, entries, l1_offset| header(size, entries, l1_offset, backing, false))
    }

    /// The same of an image without a backing file, whose clusters may be compressed by zstd.
    pub(super) fn create_compressed(output: &Output, size: u64) -> Result<Self> {
        Self::start(output, size, |size, entries, l1_offset| header(size, entries, l1_offset, None, true))
    }

    fn start(
        output: &Output,
        size: u64,
        header: impl FnOnce(u64, u64, u64) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        if size > MAX_SIZE {
            return Err(Error::unsupported(LAYER, format!("a disk of {size} bytes: {MAX_SIZE} fit")));
        }
        // QEMU has no half sectors, and would round down.
        let size = size.next_multiple_of(512);
        let entries = size.div_ceil(L2_ENTRIES * CLUSTER);
        let l1_offset = CLUSTER;
        let end = l1_offset.saturating_add(entries.saturating_mul(8).next_multiple_of(CLUSTER));
        Ok(Self {
            header: header(size, entries, l1_offset)?,
            output: Partial::create(LAYER, output, 0)?,
            l1: vec![0; usize::try_from(entries).unwrap_or(0)],
            l1_offset,
            l2: None,
            end,
            room: 0..0,
            counts: Vec::new(),
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

    /// Puts the whole clusters `bytes` at `offset` of the disk, where nothing was written yet. `clusters` tells where in
    /// `packed` each of them is compressed; those that are nowhere are put as they are.
    pub(super) fn write_packed(
        &mut self,
        mut offset: u64,
        bytes: &[u8],
        packed: &[u8],
        clusters: &[Range<usize>],
    ) -> Result<()> {
        // What is in one piece in `packed` and in the file.
        let (mut piece, mut start) = (0..0, 0_u64);
        for (cluster, range) in bytes.chunks(CLUSTER_LEN).zip(clusters) {
            if range.is_empty() {
                self.write(cluster, offset)?;
            } else {
                let len = u64::try_from(range.len()).unwrap_or(u64::MAX);
                // First: a new L2 table takes a cluster, too.
                self.entry(offset)?;
                let place = self.pack(len);
                *self.entry(offset)? = compressed(place, len);
                self.written = self.written.saturating_add(len64(cluster));
                let end = start.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                if place == end {
                    piece.end = range.end;
                } else {
                    self.output.write_at(packed.get(piece).unwrap_or_default(), start)?;
                    (piece, start) = (range.clone(), place);
                }
            }
            offset = offset.saturating_add(CLUSTER);
        }
        self.output.write_at(packed.get(piece).unwrap_or_default(), start)
    }

    /// Where `len` bytes, fewer than a cluster, go behind what was packed last.
    fn pack(&mut self, len: u64) -> u64 {
        if self.room.end.saturating_sub(self.room.start) < len {
            let fresh = self.allocate();
            // Over the border, where the next cluster is theirs, too.
            if fresh != self.room.end {
                self.room.start = fresh;
            }
            self.room.end = fresh.saturating_add(CLUSTER);
            self.counts.resize(index(fresh / CLUSTER), 1);
            self.counts.push(0);
        }
        let place = self.room.start;
        self.room.start = place.saturating_add(len);
        let last = self.room.start.saturating_sub(1) / CLUSTER;
        for cluster in place / CLUSTER..=last {
            if let Some(count) = self.counts.get_mut(index(cluster)) {
                *count = count.saturating_add(1);
            }
        }
        place
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
        let mut cluster = 0_u64;
        for place in places {
            let last = total.min(cluster.saturating_add(REFCOUNTS));
            let count = |cluster| self.counts.get(index(cluster)).copied().unwrap_or(1).to_be_bytes();
            let mut block: Vec<u8> = (cluster..last).flat_map(count).collect();
            cluster = last;
            block.resize(usize::try_from(CLUSTER).unwrap_or(0), 0);
            self.output.write_at(&block, place)?;
        }
        Ok((table_offset, tables))
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The L2 entry of a cluster whose compressed data are so many bytes at `place`. It counts the sectors that they touch,
/// less the first.
fn compressed(place: u64, len: u64) -> u64 {
    let last = place.saturating_add(len).saturating_sub(1);
    let sectors = (last / 512).saturating_sub(place / 512);
    // The place takes 62 - (CLUSTER_BITS - 8) bits.
    ondisk::COMPRESSED | sectors.wrapping_shl(70_u32.saturating_sub(CLUSTER_BITS)) | place
}

fn to_be(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The first cluster, but for the place of the refcounts.
fn header(
    size: u64,
    l1_size: u64,
    l1_offset: u64,
    backing: Option<&BackingFile<'_>>,
    zstd: bool,
) -> Result<Vec<u8>> {
    let mut raw = ondisk::Header::new_zeroed();
    raw.magic = ondisk::MAGIC;
    raw.version = U32::new(3);
    raw.cluster_bits = U32::new(CLUSTER_BITS);
    raw.size = U64::new(size);
    raw.l1_size = U32::new(u32::try_from(l1_size).unwrap_or(u32::MAX));
    raw.l1_table_offset = U64::new(l1_offset);
    let mut v3 = ondisk::HeaderV3::new_zeroed();
    v3.refcount_order = U32::new(4);
    // The kind of compression, padded to 8 bytes.
    let compression: &[u8] = if zstd { &[ondisk::ZSTD, 0, 0, 0, 0, 0, 0, 0] } else { &[] };
    if zstd {
        v3.incompatible_features = U64::new(ondisk::COMPRESSION_TYPE);
    }
    let fixed = [raw.as_bytes(), v3.as_bytes(), compression].map(<[u8]>::len).iter().sum::<usize>();
    v3.header_length = U32::new(u32::try_from(fixed).unwrap_or(u32::MAX));

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
        let offset = u64::from(v3.header_length.get()).saturating_add(len64(&extensions));
        raw.backing_file_offset = U64::new(offset);
        raw.backing_file_size = U32::new(u32::try_from(name.len()).unwrap_or(u32::MAX));
    }
    let mut bytes = [raw.as_bytes(), v3.as_bytes(), compression, &extensions, &name].concat();
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
