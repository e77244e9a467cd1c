//! Dynamic and differencing disks as a device: blocks in the order of their first write, each behind a bitmap
//! that tells which of its sectors were written.

use std::path::Path;

use block::{Disk, Error, Result};

use super::footer::{DiskType, Footer};
use super::header::Header;
use super::{LAYER, ondisk, read};
use crate::backing::Chain;
use crate::mapped::{Map, Mapped, Mapping, Run, bit_run};
use crate::{Layer, Layered};

/// Entries of the table that are looked at together.
const MERGE: u64 = 1024;
/// Bytes of a bitmap that are looked at together: all of that of a block of 2 MiB.
const BITMAP: u64 = 512;
const SECTOR: u64 = 512;

/// A dynamic or differencing VHD.
#[derive(Debug)]
pub(super) struct Sparse {
    file: Disk,
    footer: Footer,
    header: Header,
    parent: Option<Disk>,
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}

impl Sparse {
    /// The disk that `footer` tells of; one with a parent does not know it yet.
    pub(super) fn read(file: Disk, footer: Footer) -> Result<Self> {
        let header = Header::read(&file, &footer)?;
        Ok(Self { file, footer, header, parent: None })
    }

    /// Opens the parent, if the disk has one; gives the layers below.
    pub(super) fn open_parent(&mut self, path: &Path, chain: &mut Chain<'_>) -> Result<Vec<Layer>> {
        if self.footer.disk_type() != DiskType::Differencing {
            return Ok(Vec::new());
        }
        let parent = self.header.names.find(LAYER, path, chain)?;
        chain.enter(LAYER, &parent)?;
        let file = block::open_file(&parent)?;
        let (footer, _) = read::find_footer(&file).map_err(|error| error.in_file(&parent))?;
        if footer.identity().uuid != self.header.parent {
            let what = "the parent is another disk than this one tells the difference to: its id is not the one \
                        that is noted";
            return Err(corrupt(what).in_file(&parent));
        }
        let (disk, mut layers): Layered = read::open_in(&parent, chain)?;
        let text = format!("{}, disk of {} bytes", block::shown(&parent), disk.size());
        layers.push(Layer { name: "parent", text });
        self.parent = Some(disk);
        Ok(layers)
    }

    pub(super) fn into_disk(self) -> Disk {
        Disk::new(Mapped(self))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        format!("{}, blocks of {} KiB", self.footer.disk_type(), self.block_size() / 1024)
    }

    fn block_size(&self) -> u64 {
        1_u64.wrapping_shl(self.header.block_bits)
    }

    /// Bytes of the bitmap before the data of each block: whole sectors.
    fn bitmap_len(&self) -> u64 {
        (self.block_size() / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
    }

    /// What a sector is that was never written.
    fn absent(&self) -> Mapping {
        if self.footer.disk_type() == DiskType::Differencing { Mapping::Below } else { Mapping::Zero }
    }

    /// The run from `within` on of the block at the sector `entry`, as its bitmap tells.
    fn block_run(&self, entry: u32, within: u64) -> Result<Run> {
        let bitmap = u64::from(entry).saturating_mul(SECTOR);
        let host = bitmap.saturating_add(self.bitmap_len());
        let sector = within / SECTOR;
        let start = sector / 8;
        let len = (self.block_size() / SECTOR).div_ceil(8).saturating_sub(start).min(BITMAP);
        let piece = self.file.read_vec(bitmap.saturating_add(start), usize::try_from(len).unwrap_or(0));
        let mut piece = piece.map_err(|error| Mapped::<Self>::outside(error, bitmap))?;
        // The highest bit of a byte is for its first sector.
        piece.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        let (set, run) =
            bit_run(&piece, sector % 8).ok_or_else(|| corrupt("the bitmap of a block ends").at(bitmap))?;
        let aligned = sector.saturating_mul(SECTOR);
        let mapping = if set { Mapping::Data(host.saturating_add(aligned)) } else { self.absent() };
        let len = run.saturating_mul(SECTOR).min(self.block_size().saturating_sub(aligned));
        Ok(Run { mapping, len }.part(within.saturating_sub(aligned), u64::MAX))
    }
}

impl Map for Sparse {
    const LAYER: &'static str = LAYER;

    fn size(&self) -> u64 {
        self.footer.size()
    }

    fn file(&self) -> &Disk {
        &self.file
    }

    fn below(&self) -> Option<&Disk> {
        self.parent.as_ref()
    }

    fn run(&self, offset: u64, limit: u64) -> Result<Run> {
        let within = offset & self.block_size().wrapping_sub(1);
        let first = offset.wrapping_shr(self.header.block_bits);
        let count = within.saturating_add(limit).div_ceil(self.block_size()).clamp(1, MERGE);
        let last = self.size().saturating_sub(1).wrapping_shr(self.header.block_bits);
        let count = count.min(last.saturating_sub(first).saturating_add(1));
        let place = self.header.table.saturating_add(first.saturating_mul(4));
        let table = self.file.read_vec(place, usize::try_from(count.saturating_mul(4)).unwrap_or(0))?;
        let mut entries = table.as_chunks().0.iter().map(|entry| u32::from_be_bytes(*entry));
        let entry = entries.next().ok_or_else(|| corrupt("the table ends").at(place))?;
        if entry != ondisk::UNUSED {
            return Ok(self.block_run(entry, within)?.part(0, limit));
        }
        let unused = entries.take_while(|entry| *entry == ondisk::UNUSED).count();
        let blocks = u64::try_from(unused).unwrap_or(0).saturating_add(1);
        let run = Run { mapping: self.absent(), len: blocks.saturating_mul(self.block_size()) };
        Ok(run.part(within, limit))
    }
}
