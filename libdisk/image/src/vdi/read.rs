//! The image as a device.

use std::ops::Range;
use std::path::Path;

use block::{Disk, Error, Result};

use super::{LAYER, ondisk, parent};
use crate::backing::Chain;
use crate::len64;
use crate::mapped::{Map, Mapped, Mapping, Run};
use crate::{Layer, Layered};

/// Block sizes as powers of two: from a sector, as in no image of VirtualBox, to four times its largest.
const BLOCK_BITS: Range<u32> = 9..31;
/// Entries of the map that are looked at together: a walk through 1 GiB with blocks of 1 MiB.
const MERGE: u64 = 1024;

/// A VDI image, opened for reading.
#[derive(Debug)]
pub struct Image {
    file: Disk,
    kind: Kind,
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
    /// Identifies it.
    pub(super) id: Id,
    /// What a differencing image tells the difference to.
    parent: Option<Disk>,
}

/// What tells an image from others, and its content from an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) image: [u8; 16],
    pub(super) content: [u8; 16],
}

/// Which blocks are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Those that were written.
    Dynamic,
    /// All.
    Fixed,
    /// Those that were written since it was this image.
    Differencing(Id),
}

/// Opens the image `path`, and its parents through the chain.
pub(super) fn open_in(path: &Path, chain: &mut Chain<'_>) -> Result<Layered> {
    let mut image = Image::read(block::open_file(path)?).map_err(|error| error.in_file(path))?;
    let mut layers = Vec::new();
    if let Kind::Differencing(id) = image.kind {
        let parent = parent::find(path, &id, chain)?;
        let (disk, below) = open_in(&parent, chain)?;
        layers = below;
        let text = format!("{}, disk of {} bytes", block::shown(&parent), disk.size());
        layers.push(Layer { name: "parent", text });
        image.parent = Some(disk);
    }
    layers.push(Layer { name: LAYER, text: image.text() });
    Ok((image.into_disk(), layers))
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}

impl Image {
    /// Opens the image in `file`, which must not have a parent.
    ///
    /// # Errors
    /// `Refused` for differencing images, `Unsupported` for old versions, `Corrupt` for a header that
    /// contradicts itself or the file, and what the device reports.
    pub fn open(file: Disk) -> Result<Self> {
        let image = Self::read(file)?;
        match image.kind {
            Kind::Differencing(_) => Err(parent::refused()),
            _ => Ok(image),
        }
    }

    /// Reads the image in `file`, without its parent.
    pub(super) fn read(file: Disk) -> Result<Self> {
        let mut bytes = [0; size_of::<ondisk::Header>()];
        if file.size() < len64(&bytes) {
            return Err(corrupt("the file is shorter than a header"));
        }
        file.read_at(&mut bytes, 0)?;
        let header: ondisk::Header = zerocopy::transmute!(bytes);
        let kind = check_kind(&header)?;

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
        let id = Id { image: header.uuid_create, content: header.uuid_modify };
        Ok(Self { file, kind, size, block_bits, stride, map, data, blocks, id, parent: None })
    }

    /// The disk in it.
    pub fn into_disk(self) -> Disk {
        Disk::new(Mapped(self))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let kind = match self.kind {
            Kind::Dynamic => "dynamic",
            Kind::Fixed => "fixed",
            Kind::Differencing(_) => "differencing",
        };
        format!("{kind}, blocks of {} KiB", self.block_size() / 1024)
    }

    fn block_size(&self) -> u64 {
        1_u64.wrapping_shl(self.block_bits)
    }

    /// Where the data of `block` are, whose entry this is.
    fn mapping(&self, entry: u32, block: u64) -> Result<Mapping> {
        match entry {
            // There is none below where there is no parent, and that reads as zeros.
            ondisk::UNALLOCATED if self.parent.is_some() => return Ok(Mapping::Below),
            ondisk::UNALLOCATED | ondisk::ZERO => return Ok(Mapping::Zero),
            _ => {}
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
}

/// Refuses what is not read.
fn check_kind(header: &ondisk::Header) -> Result<Kind> {
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
    let parent = Id { image: header.uuid_linkage, content: header.uuid_parent_modify };
    let linked = parent.image != [0; 16] || parent.content != [0; 16];
    match header.image_type.get() {
        ondisk::UNDO => {
            let what = "undo images: merge it with VBoxManage clonemedium first";
            Err(Error::unsupported(LAYER, what))
        }
        ondisk::DIFFERENCING => Ok(Kind::Differencing(parent)),
        ondisk::DYNAMIC | ondisk::FIXED if linked => Ok(Kind::Differencing(parent)),
        ondisk::DYNAMIC => Ok(Kind::Dynamic),
        ondisk::FIXED => Ok(Kind::Fixed),
        other => Err(Error::unsupported(LAYER, format!("images of type {other}"))),
    }
}

impl Map for Image {
    const LAYER: &'static str = LAYER;

    fn size(&self) -> u64 {
        self.size
    }

    fn file(&self) -> &Disk {
        &self.file
    }

    fn below(&self) -> Option<&Disk> {
        self.parent.as_ref()
    }

    /// Blocks that follow each other are one run, as far as a piece of the map reaches.
    fn run(&self, offset: u64, limit: u64) -> Result<Run> {
        let within = offset & self.block_size().wrapping_sub(1);
        let first = offset.wrapping_shr(self.block_bits);
        let count = within.saturating_add(limit).div_ceil(self.block_size()).clamp(1, MERGE);
        let place = self.map.saturating_add(first.saturating_mul(4));
        let len = usize::try_from(count.saturating_mul(4)).unwrap_or(0);
        let piece = self.file.read_vec(place, len)?;
        let blocks = piece.as_chunks().0.iter().zip(first..).map(|(entry, block)| {
            let mapping = self.mapping(u32::from_le_bytes(*entry), block)?;
            Ok(Run { mapping, len: self.block_size() })
        });
        let run = Run::of(blocks)?.ok_or_else(|| corrupt("the map ends").at(place))?;
        Ok(run.part(within, limit))
    }
}
