//! The image as a device.

use std::ops::Range;

use block::{BlockRead, Disk, Error, ErrorKind, Extent, FileRange, Result};

use super::{LAYER, ondisk};
use crate::len64;

/// Block sizes as powers of two: from a sector, as in no image of VirtualBox, to four times its largest.
const BLOCK_BITS: Range<u32> = 9..31;
/// Entries of the map that are looked at together: a walk through 1 GiB with blocks of 1 MiB.
const MERGE: u64 = 1024;

/// A VDI image, opened for reading.
#[derive(Debug)]
pub struct Image {
    file: Disk,
    fixed: bool,
    size: u64,
    /// Bytes of a block of the disk, as a power of two.
    block_bits: u32,
    /// Bytes of a block in the file: it begins with what is not the disk's.
    stride: u64,
    /// Where the map is.
    map: u64,
    /// Where the data of block 0 of the file are.
    data: u64,
    /// How many blocks the file can have, so that entries of the map are below that. How many it has, says
    /// the header too late after a crash.
    blocks: u64,
}

/// Where a run of bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mapping {
    /// Nowhere: zeros.
    Zero,
    /// At this offset of the file.
    Data(u64),
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}

impl Image {
    /// Opens the image in `file`.
    ///
    /// # Errors
    /// `Unsupported` for differencing images and old versions, `Corrupt` for a header that contradicts itself
    /// or the file, and what the device reports.
    pub fn open(file: Disk) -> Result<Self> {
        let mut bytes = [0; size_of::<ondisk::Header>()];
        if file.size() < len64(&bytes) {
            return Err(corrupt("the file is shorter than a header"));
        }
        file.read_at(&mut bytes, 0)?;
        let header: ondisk::Header = zerocopy::transmute!(bytes);
        let fixed = check_kind(&header)?;

        let block_size = header.block_size.get();
        let block_bits = block_size.trailing_zeros();
        if !block_size.is_power_of_two() || !BLOCK_BITS.contains(&block_bits) {
            return Err(corrupt(format!("blocks of {block_size} bytes")));
        }
        let size = header.disk_size.get();
        let blocks = u64::from(header.blocks.get());
        let needed = size.div_ceil(u64::from(block_size));
        if i64::try_from(size).is_err() || needed > blocks {
            let what = format!("a disk of {size} bytes has {needed} blocks, the map is for {blocks}");
            return Err(corrupt(what));
        }
        let allocated = u64::from(header.blocks_allocated.get());
        if allocated > blocks {
            return Err(corrupt(format!("{allocated} blocks are allocated of {blocks}")));
        }
        let (map, start) = (u64::from(header.offset_blocks.get()), u64::from(header.offset_data.get()));
        let map_end = blocks.checked_mul(4).and_then(|len| map.checked_add(len));
        let header_end = ondisk::PREHEADER_LEN.saturating_add(u64::from(header.header_size.get()));
        if map < header_end || map_end.is_none_or(|end| end > start) {
            return Err(corrupt("the map does not lie between the header and the first block").at(map));
        }
        if map_end.is_none_or(|end| end > file.size()) {
            return Err(corrupt("the map lies past the end of the file").at(map));
        }
        if map & 511 != 0 || start & 511 != 0 {
            return Err(corrupt("the map or the first block does not start with a sector").at(map));
        }
        let extra = u64::from(header.block_extra.get());
        let data = start.checked_add(extra).ok_or_else(|| corrupt("the first block lies nowhere"))?;
        let stride = extra.checked_add(u64::from(block_size)).ok_or_else(|| corrupt("endless blocks"))?;
        Ok(Self { file, fixed, size, block_bits, stride, map, data, blocks })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let kind = if self.fixed { "fixed" } else { "dynamic" };
        format!("{kind}, blocks of {} KiB", self.block_size() / 1024)
    }

    fn block_size(&self) -> u64 {
        1_u64.wrapping_shl(self.block_bits)
    }

    /// The run that starts at `offset`, at most `limit` bytes long. Blocks that follow each other are one
    /// run, as far as a piece of the map reaches.
    fn run(&self, offset: u64, limit: u64) -> Result<(Mapping, u64)> {
        let within = offset & self.block_size().wrapping_sub(1);
        let first = offset.wrapping_shr(self.block_bits);
        let count = within.saturating_add(limit).div_ceil(self.block_size()).clamp(1, MERGE);
        let place = self.map.saturating_add(first.saturating_mul(4));
        let len = usize::try_from(count.saturating_mul(4)).unwrap_or(0);
        let piece = self.file.read_vec(place, len)?;
        let mut entries = piece.as_chunks().0.iter().zip(first..);
        let mut mapping_of_next = || {
            let (entry, block) = entries.next()?;
            Some(self.mapping(u32::from_le_bytes(*entry), block))
        };
        let start = mapping_of_next().ok_or_else(|| corrupt("the map ends").at(place))??;
        let mut run = self.block_size();
        while let Some(next) = mapping_of_next() {
            let continues = match (start, next?) {
                (Mapping::Zero, Mapping::Zero) => true,
                (Mapping::Data(host), Mapping::Data(next)) => host.checked_add(run) == Some(next),
                _ => false,
            };
            if !continues {
                break;
            }
            run = run.saturating_add(self.block_size());
        }
        let mapping = match start {
            Mapping::Zero => Mapping::Zero,
            Mapping::Data(host) => Mapping::Data(host.saturating_add(within)),
        };
        Ok((mapping, run.saturating_sub(within).min(limit)))
    }

    /// Where the data of `block` are, whose entry this is.
    fn mapping(&self, entry: u32, block: u64) -> Result<Mapping> {
        if matches!(entry, ondisk::UNALLOCATED | ondisk::ZERO) {
            return Ok(Mapping::Zero);
        }
        let number = u64::from(entry);
        let place = number.checked_mul(self.stride).and_then(|start| start.checked_add(self.data));
        let end = place.and_then(|place| place.checked_add(self.block_size()));
        match (place, end) {
            (Some(place), Some(_)) if number < self.blocks => Ok(Mapping::Data(place)),
            _ => {
                let what = format!(
                    "block {block} of the disk is block {number} of the file, which can have {}",
                    self.blocks
                );
                Err(corrupt(what).at(self.map.saturating_add(block.saturating_mul(4))))
            }
        }
    }

    /// What it means that the file has no such range.
    fn outside(error: Error, host: u64) -> Error {
        if error.kind() == ErrorKind::OutOfRange {
            corrupt("a block lies past the end of the file").at(host)
        } else {
            error
        }
    }
}

/// Refuses what is not read; tells whether all blocks are allocated.
fn check_kind(header: &ondisk::Header) -> Result<bool> {
    if header.signature != ondisk::SIGNATURE {
        return Err(corrupt("the file does not have the magic number"));
    }
    let version = header.version.get();
    if version.wrapping_shr(16) != ondisk::MAJOR {
        let what = format!("version {}.{}", version.wrapping_shr(16), version & 0xffff);
        return Err(Error::unsupported(LAYER, what));
    }
    let header_size = header.header_size.get();
    if header_size < ondisk::HEADER_SIZE {
        return Err(corrupt(format!("the header claims to be {header_size} bytes long")));
    }
    if header.sector_size.get() != 512 {
        return Err(corrupt(format!("sectors of {} bytes", header.sector_size.get())));
    }
    let linked = header.uuid_linkage != [0; 16] || header.uuid_parent_modify != [0; 16];
    match header.image_type.get() {
        ondisk::DIFFERENCING | ondisk::UNDO => Err(differencing()),
        ondisk::DYNAMIC | ondisk::FIXED if linked => Err(differencing()),
        ondisk::DYNAMIC => Ok(false),
        ondisk::FIXED => Ok(true),
        other => Err(Error::unsupported(LAYER, format!("images of type {other}"))),
    }
}

fn differencing() -> Error {
    Error::unsupported(LAYER, "differencing images (snapshots): merge it with VBoxManage clonemedium first")
}

impl BlockRead for Image {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let (mapping, len) = self.run(offset, len64(buf))?;
            let split = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(split);
            match mapping {
                Mapping::Zero => now.fill(0),
                Mapping::Data(host) => {
                    self.file.read_at(now, host).map_err(|error| Self::outside(error, host))?;
                }
            }
            offset = offset.saturating_add(len);
            buf = rest;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        match self.run(range.start, range.end.saturating_sub(range.start))? {
            (Mapping::Zero, len) => Ok(Extent::zero(len)),
            // A block that was allocated in advance may be a hole of the file.
            (Mapping::Data(host), len) => {
                let found = self.file.extent_at(host..host.saturating_add(len));
                found.map_err(|error| Self::outside(error, host))
            }
        }
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        match self.run(range.start, range.end.saturating_sub(range.start))? {
            (Mapping::Zero, _) => Ok(None),
            (Mapping::Data(host), len) => {
                let found = self.file.file_range(host..host.saturating_add(len));
                found.map_err(|error| Self::outside(error, host))
            }
        }
    }
}
