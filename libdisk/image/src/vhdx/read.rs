//! The image as a device.

use std::path::Path;

use block::{Disk, Error, ErrorKind, Result};
use uuid::Uuid;

use super::header::{Header, Regions};
use super::metadata::{Metadata, ParentLocator};
use super::ondisk::state;
use super::{LAYER, corrupt, log, ondisk};
use crate::Layer;
use crate::backing::{Backing, Chain};
use crate::mapped::{Map, Mapped, Mapping, Run, bit_run};

/// Entries of the table that are looked at together.
const MERGE: u64 = 1024;
/// Bytes of a sector bitmap that are looked at together.
const BITMAP: u64 = 4096;

/// A VHDX image, opened for reading.
#[derive(Debug)]
pub struct Image {
    /// With what the log changes.
    file: Disk,
    header: Header,
    metadata: Metadata,
    /// Where the block allocation table is.
    bat: u64,
    /// How many log entries were replayed.
    replayed: usize,
    parent: Option<Disk>,
    parent_layers: Vec<Layer>,
}

impl Image {
    /// Opens the image `path`, and behind the gate `backing` its parents.
    ///
    /// # Errors
    /// `Refused` if it has a parent that the gate keeps shut, `Unsupported` for what is not read by name,
    /// `Corrupt`, `Io`.
    pub fn open(path: &Path, backing: &Backing) -> Result<Self> {
        let mut chain = Chain::new(backing);
        chain.enter(LAYER, path)?;
        Self::open_in(path, &mut chain)
    }

    pub(super) fn open_in(path: &Path, chain: &mut Chain<'_>) -> Result<Self> {
        let mut image = Self::alone(block::open_file(path)?).map_err(|error| error.in_file(path))?;
        if let Some(locator) = image.metadata.parent.clone() {
            image.open_parent(path, &locator, chain)?;
        }
        Ok(image)
    }

    /// Opens the image in `file`, which must not have a parent.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of(file: Disk) -> Result<Self> {
        let image = Self::alone(file)?;
        match &image.metadata.parent {
            None => Ok(image),
            Some(_) => Err(Error::new(ErrorKind::Refused, LAYER, "a differencing disk without its parent")),
        }
    }

    /// The image without its parent.
    fn alone(file: Disk) -> Result<Self> {
        let header = Header::read(&file)?;
        let (file, replayed) = log::replay(file, &header)?;
        let regions = Regions::read(&file)?;
        let metadata = Metadata::read(&file, &regions)?;
        let image = Self {
            file,
            header,
            metadata,
            bat: regions.bat.start,
            replayed,
            parent: None,
            parent_layers: Vec::new(),
        };
        let blocks = image.metadata.size.div_ceil(image.block_size());
        let entries = match image.metadata.parent {
            Some(_) => {
                blocks.div_ceil(image.chunk_ratio()).saturating_mul(image.chunk_ratio().saturating_add(1))
            }
            None => blocks.checked_sub(1).map_or(0, |last| image.payload_entry(last).saturating_add(1)),
        };
        if entries.saturating_mul(8) > regions.bat.end.saturating_sub(regions.bat.start) {
            let what =
                format!("the table is too short for the {entries} entries of a disk of {blocks} blocks");
            return Err(corrupt(what).at(image.bat));
        }
        Ok(image)
    }

    fn open_parent(&mut self, path: &Path, locator: &ParentLocator, chain: &mut Chain<'_>) -> Result<()> {
        let parent = locator.names.find(LAYER, path, chain)?;
        chain.enter(LAYER, &parent)?;
        let below = Self::open_in(&parent, chain)?;
        let found = below.header.data_write_guid;
        if !locator.linkage.contains(&found) {
            let what = "the parent is another one, or was written since: its content is not what this disk tells \
                        the difference to";
            return Err(corrupt(what).in_file(&parent));
        }
        if below.metadata.sector_size != self.metadata.sector_size {
            return Err(corrupt("the parent has sectors of another size").in_file(&parent));
        }
        let mut layers = below.layers();
        let text = format!("{}, disk of {} bytes", block::shown(&parent), below.metadata.size);
        layers.push(Layer { name: "parent", text });
        self.parent_layers = layers;
        self.parent = Some(below.into_disk());
        Ok(())
    }

    /// The disk in it.
    pub fn into_disk(self) -> Disk {
        Disk::new(Mapped(self))
    }

    /// What changes with its content.
    pub fn data_write_guid(&self) -> Uuid {
        self.header.data_write_guid
    }

    /// The image and everything below it, the lowest first, for people.
    pub fn layers(&self) -> Vec<Layer> {
        let Metadata { fixed, sector_size, .. } = self.metadata;
        let kind = match (&self.parent, fixed) {
            (Some(_), _) => "differencing",
            (None, true) => "fixed",
            (None, false) => "dynamic",
        };
        let mut text = format!("{kind}, blocks of {} MiB", self.block_size() / ondisk::MIB);
        if sector_size != 512 {
            text.push_str(&format!(", sectors of {sector_size} bytes"));
        }
        if self.replayed > 0 {
            text.push_str(&format!(", not closed cleanly: {} log entries replayed", self.replayed));
        }
        let mut layers = self.parent_layers.clone();
        layers.push(Layer { name: LAYER, text });
        layers
    }

    fn block_size(&self) -> u64 {
        1_u64.wrapping_shl(self.metadata.block_bits)
    }

    /// Blocks of data for each block of the sector bitmap, whose entry follows theirs (2.4).
    fn chunk_ratio(&self) -> u64 {
        let chunk = ondisk::CHUNK_SECTORS.saturating_mul(u64::from(self.metadata.sector_size));
        chunk.wrapping_shr(self.metadata.block_bits)
    }

    /// The number of the entry of a block of data (2.5).
    fn payload_entry(&self, block: u64) -> u64 {
        block.saturating_add(block.checked_div(self.chunk_ratio()).unwrap_or(0))
    }

    /// Where the entry with this number is in the file.
    fn entry_place(&self, number: u64) -> u64 {
        self.bat.saturating_add(number.saturating_mul(8))
    }

    /// Where a block of data is whose entry, at `place`, is `entry`; `None` if the sector bitmap tells.
    fn mapping(&self, entry: u64, place: u64) -> Result<Option<Mapping>> {
        Ok(Some(match entry & ondisk::STATE_MASK {
            state::NOT_PRESENT if self.parent.is_some() => Mapping::Below,
            // What is in a block that is undefined or was discarded, nobody may rely on.
            state::NOT_PRESENT | state::UNDEFINED | state::ZERO | state::UNMAPPED => Mapping::Zero,
            state::FULLY_PRESENT => Mapping::Data(allocated(entry, place)?),
            state::PARTIALLY_PRESENT if self.parent.is_some() => return Ok(None),
            state::PARTIALLY_PRESENT => {
                return Err(corrupt("a block is there in part, and the disk has no parent").at(place));
            }
            other => return Err(corrupt(format!("a block in the unknown state {other}")).at(place)),
        }))
    }

    /// The run from `within` on of a block that is there in part, as the sector bitmap of its chunk tells
    /// (2.4).
    fn partial(&self, block: u64, entry: u64, within: u64) -> Result<Run> {
        let ratio = self.chunk_ratio();
        let place = self.entry_place(self.payload_entry(block));
        let host = allocated(entry, place)?;
        let chunk = block.checked_div(ratio).unwrap_or(0);
        let number = chunk.saturating_mul(ratio.saturating_add(1)).saturating_add(ratio);
        let bitmap = self.read_entry(number)?;
        if bitmap & ondisk::STATE_MASK != state::FULLY_PRESENT {
            let what = "a block is there in part, and the sector bitmap of its chunk is missing";
            return Err(corrupt(what).at(self.entry_place(number)));
        }
        let bitmap = allocated(bitmap, self.entry_place(number))?;
        let sector_size = u64::from(self.metadata.sector_size);
        let sectors = self.block_size().checked_div(sector_size).unwrap_or(0);
        let before = block.checked_rem(ratio).unwrap_or(0).saturating_mul(sectors);
        let sector = within.checked_div(sector_size).unwrap_or(0);
        let end = before.saturating_add(sectors).div_ceil(8);
        let start = before.saturating_add(sector) / 8;
        let len = end.saturating_sub(start).min(BITMAP);
        let piece = self.file.read_vec(bitmap.saturating_add(start), usize::try_from(len).unwrap_or(0));
        let piece = piece.map_err(|error| Mapped::<Self>::outside(error, bitmap))?;
        let first = before.saturating_add(sector) % 8;
        let (set, run) = bit_run(&piece, first).ok_or_else(|| corrupt("a sector bitmap ends").at(bitmap))?;
        // Blocks have whole bytes of bits, so no run leaves its block.
        let aligned = sector.saturating_mul(sector_size);
        let mapping = if set { Mapping::Data(host.saturating_add(aligned)) } else { Mapping::Below };
        Ok(Run { mapping, len: run.saturating_mul(sector_size) }
            .part(within.saturating_sub(aligned), u64::MAX))
    }

    fn read_entry(&self, number: u64) -> Result<u64> {
        let mut entry = [0; 8];
        self.file.read_at(&mut entry, self.entry_place(number))?;
        Ok(u64::from_le_bytes(entry))
    }
}

/// Where the block of an entry is that has a place in the file.
fn allocated(entry: u64, place: u64) -> Result<u64> {
    let host = entry & ondisk::OFFSET_MASK;
    let reserved = entry & !ondisk::OFFSET_MASK & !ondisk::STATE_MASK;
    if host < ondisk::MIB || reserved != 0 || i64::try_from(host).is_err() {
        return Err(
            corrupt(format!("a block lies at {host:#x} of the file, by the entry {entry:#x}")).at(place)
        );
    }
    Ok(host)
}

impl Map for Image {
    const LAYER: &'static str = LAYER;

    fn size(&self) -> u64 {
        self.metadata.size
    }

    fn sector_size(&self) -> u32 {
        self.metadata.sector_size
    }

    fn file(&self) -> &Disk {
        &self.file
    }

    fn below(&self) -> Option<&Disk> {
        self.parent.as_ref()
    }

    fn run(&self, offset: u64, limit: u64) -> Result<Run> {
        let within = offset & self.block_size().wrapping_sub(1);
        let first = offset.wrapping_shr(self.metadata.block_bits);
        let wanted = within.saturating_add(limit).div_ceil(self.block_size());
        // Not past the end of the disk, where the table may end, too.
        let last = self.metadata.size.saturating_sub(1).wrapping_shr(self.metadata.block_bits);
        let count = wanted.clamp(1, MERGE).min(last.saturating_sub(first).saturating_add(1));
        let number = self.payload_entry(first);
        let end = self.payload_entry(first.saturating_add(count).saturating_sub(1)).saturating_add(1);
        let place = self.entry_place(number);
        let len = usize::try_from(end.saturating_sub(number).saturating_mul(8)).unwrap_or(0);
        let table = self.file.read_vec(place, len)?;
        let ratio = self.chunk_ratio();
        let entries = table.as_chunks().0.iter().map(|entry| u64::from_le_bytes(*entry)).zip(number..);
        let payload =
            entries.filter(|(_, number)| number.checked_rem(ratio.saturating_add(1)) != Some(ratio));
        let mut payload = payload.peekable();
        let ended = || corrupt("the table ends").at(place);
        let (entry, number) = *payload.peek().ok_or_else(ended)?;
        if self.mapping(entry, self.entry_place(number))?.is_none() {
            return Ok(self.partial(first, entry, within)?.part(0, limit));
        }
        let blocks = payload.map_while(|(entry, number)| {
            let mapping = self.mapping(entry, self.entry_place(number)).transpose()?;
            Some(mapping.map(|mapping| Run { mapping, len: self.block_size() }))
        });
        Ok(Run::of(blocks)?.ok_or_else(ended)?.part(within, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_lie_nowhere() {
        assert_eq!(allocated(0x30_0006, 0).unwrap(), 3 << 20);
        for wrong in [6, 0x10_000e, 0x8000_0000_0010_0006] {
            assert_eq!(allocated(wrong, 0).unwrap_err().kind(), ErrorKind::Corrupt, "{wrong:#x}");
        }
    }
}
