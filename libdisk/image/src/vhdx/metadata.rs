//! The metadata: what the disk is.

use block::{Disk, Error, Result};
use uuid::Uuid;
use zerocopy::FromBytes;

use super::header::{Regions, entries};
use super::{LAYER, corrupt, ondisk};
use crate::len64;
use crate::parent::{Names, utf16};

/// The largest disk there is (2.6.2.2).
pub(super) const MAX_SIZE: u64 = 64 << 40;
/// The longest item (2.6.1.2).
const MAX_ITEM: u32 = 1 << 20;

/// What the metadata say.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pub(super) size: u64,
    /// Bytes of a block, as a power of two.
    pub(super) block_bits: u32,
    /// Bytes of a logical sector: 512 or 4096.
    pub(super) sector_size: u32,
    /// All blocks are allocated.
    pub(super) fixed: bool,
    pub(super) parent: Option<ParentLocator>,
}

/// Where the parent of a differencing disk is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ParentLocator {
    /// What its data write GUID may be.
    pub(super) linkage: Vec<Uuid>,
    /// Names to look for it by, the best first.
    pub(super) names: Names,
}

/// The items of the region.
struct Items<'a> {
    file: &'a Disk,
    start: u64,
    entries: Vec<ondisk::MetadataEntry>,
}

impl Metadata {
    pub(super) fn read(file: &Disk, regions: &Regions) -> Result<Self> {
        let items = Items::read(file, regions)?;
        let parameters: ondisk::FileParameters = items.fixed(ondisk::FILE_PARAMETERS, "file parameters")?;
        let block_size = parameters.block_size.get();
        let block_bits = block_size.trailing_zeros();
        if !block_size.is_power_of_two() || !(20..=28).contains(&block_bits) {
            return Err(corrupt(format!("blocks of {block_size} bytes: 1 to 256 MiB are possible")));
        }
        let sector_size = u32::from_le_bytes(items.fixed(ondisk::LOGICAL_SECTOR_SIZE, "sector size")?);
        if ![512, 4096].contains(&sector_size) {
            return Err(corrupt(format!("sectors of {sector_size} bytes")));
        }
        let size = u64::from_le_bytes(items.fixed(ondisk::VIRTUAL_DISK_SIZE, "size of the disk")?);
        if size > MAX_SIZE || !size.is_multiple_of(u64::from(sector_size)) {
            return Err(corrupt(format!("a disk of {size} bytes with sectors of {sector_size}")));
        }
        let flags = parameters.flags.get();
        let has_parent = flags & ondisk::HAS_PARENT != 0;
        let parent = if has_parent { Some(items.parent()?) } else { None };
        let fixed = flags & ondisk::LEAVE_ALLOCATED != 0;
        Ok(Self { size, block_bits, sector_size, fixed, parent })
    }
}

impl<'a> Items<'a> {
    fn read(file: &'a Disk, regions: &Regions) -> Result<Self> {
        let start = regions.metadata.start;
        let table = file.read_vec(start, ondisk::TABLE_LEN)?;
        let damaged = |what: &'static str| corrupt(what).at(start);
        let (header, _) = ondisk::MetadataTableHeader::read_from_prefix(&table)
            .map_err(|_| damaged("the table of the metadata is cut off"))?;
        let count = u32::from(header.entry_count.get());
        if header.signature != ondisk::METADATA_SIGNATURE || count > ondisk::MAX_ENTRIES {
            return Err(damaged("the table of the metadata is damaged"));
        }
        let entries: Vec<ondisk::MetadataEntry> =
            entries(&table, size_of::<ondisk::MetadataTableHeader>(), count);
        let len = regions.metadata.end.saturating_sub(start);
        for entry in &entries {
            let (offset, length) = (u64::from(entry.offset.get()), entry.length.get());
            let inside =
                length == 0 || (len64(&table) <= offset && offset.saturating_add(u64::from(length)) <= len);
            if length > MAX_ITEM || !inside {
                return Err(damaged("an item of the metadata does not lie in their region"));
            }
            let guid = Uuid::from_bytes_le(entry.item_id);
            let unknown = !KNOWN.contains(&guid) || entry.flags.get() & ondisk::IS_USER != 0;
            if unknown && entry.flags.get() & ondisk::IS_REQUIRED != 0 {
                return Err(Error::unsupported(LAYER, format!("the required item {guid} of the metadata")));
            }
        }
        Ok(Self { file, start, entries })
    }

    /// The bytes of an item; `None` if there is none.
    fn find(&self, id: Uuid) -> Result<Option<Vec<u8>>> {
        let is_it = |entry: &&ondisk::MetadataEntry| {
            entry.item_id == id.to_bytes_le() && entry.flags.get() & ondisk::IS_USER == 0
        };
        let Some(entry) = self.entries.iter().find(is_it) else { return Ok(None) };
        let len = usize::try_from(entry.length.get()).unwrap_or(usize::MAX);
        self.file.read_vec(self.start.saturating_add(u64::from(entry.offset.get())), len).map(Some)
    }

    /// An item of a fixed length, called `name`.
    fn fixed<T: FromBytes>(&self, id: Uuid, name: &str) -> Result<T> {
        let item = self.find(id)?.and_then(|bytes| Some(T::read_from_prefix(&bytes).ok()?.0));
        item.ok_or_else(|| corrupt(format!("the metadata do not tell the {name}")).at(self.start))
    }

    fn parent(&self) -> Result<ParentLocator> {
        let locator = self.find(ondisk::PARENT_LOCATOR)?.unwrap_or_default();
        ParentLocator::parse(&locator)
            .map_err(|error| if error.offset().is_none() { error.at(self.start) } else { error })
    }
}

/// All items that the format has.
const KNOWN: [Uuid; 6] = [
    ondisk::FILE_PARAMETERS,
    ondisk::VIRTUAL_DISK_SIZE,
    ondisk::VIRTUAL_DISK_ID,
    ondisk::LOGICAL_SECTOR_SIZE,
    ondisk::PHYSICAL_SECTOR_SIZE,
    ondisk::PARENT_LOCATOR,
];

impl ParentLocator {
    /// Reads a locator: keys and values in UTF-16 (2.6.2.6).
    fn parse(locator: &[u8]) -> Result<Self> {
        let damaged = || corrupt("the locator of the parent is damaged");
        let (header, _) = ondisk::ParentLocatorHeader::read_from_prefix(locator).map_err(|_| damaged())?;
        let kind = Uuid::from_bytes_le(header.locator_type);
        if kind != ondisk::VHDX_PARENT {
            return Err(Error::unsupported(LAYER, format!("a parent of the kind {kind}")));
        }
        let count = u32::from(header.key_value_count.get());
        let table: Vec<ondisk::ParentLocatorEntry> =
            entries(locator, size_of::<ondisk::ParentLocatorHeader>(), count);
        let text = |offset: u32, length: u16| {
            let start = usize::try_from(offset).ok()?;
            let bytes = locator.get(start..start.checked_add(usize::from(length))?)?;
            Some(utf16(bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit))))
        };
        let mut found = Self::default();
        let mut elsewhere = Vec::new();
        for entry in &table {
            let key = text(entry.key_offset.get(), entry.key_length.get()).ok_or_else(damaged)?;
            let value = text(entry.value_offset.get(), entry.value_length.get()).ok_or_else(damaged)?;
            match key.as_str() {
                "parent_linkage" | "parent_linkage2" => {
                    found.linkage.push(Uuid::try_parse(&value).map_err(|_| damaged())?);
                }
                "relative_path" => found.names.add_relative(&value),
                "volume_path" | "absolute_win32_path" => elsewhere.push(value),
                _ => {}
            }
        }
        elsewhere.iter().for_each(|path| found.names.add_absolute(path));
        if found.linkage.is_empty() || found.names.is_empty() {
            return Err(corrupt("the locator of the parent tells no name, or not what its content was"));
        }
        Ok(found)
    }
}
