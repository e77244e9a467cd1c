//! The header of a dynamic or differencing disk.

use block::{Disk, Error, Result};
use zerocopy::FromZeros;
use zerocopy::byteorder::big_endian::{U32, U64};

use super::footer::Footer;
use super::{LAYER, ondisk};
use crate::parent::{Names, utf16};

/// The longest name of a parent that is read, in bytes.
const MAX_NAME: u32 = 4096;

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Where the block allocation table is.
    pub(super) table: u64,
    /// Bytes of a block, as a power of two.
    pub(super) block_bits: u32,
    /// The unique id of the parent.
    pub(super) parent: [u8; 16],
    /// What the parent is called.
    pub(super) names: Names,
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}

impl Header {
    /// Reads the header that `footer` tells of.
    pub(super) fn read(file: &Disk, footer: &Footer) -> Result<Self> {
        let place = footer.header();
        let mut bytes = [0; size_of::<ondisk::Header>()];
        file.read_at(&mut bytes, place)
            .map_err(|cause| corrupt("the header does not lie in the file").at(place).because(cause))?;
        let raw: ondisk::Header = zerocopy::transmute!(bytes);
        if raw.cookie != ondisk::HEADER_COOKIE {
            return Err(corrupt("there is no header where the footer says").at(place));
        }
        let (found, right) = (raw.checksum.get(), raw.computed_checksum());
        if found != right {
            return Err(corrupt(format!("header checksum is {found:#x}, should be {right:#x}")).at(place));
        }
        let version = raw.header_version.get();
        if version.wrapping_shr(16) != ondisk::VERSION_1.wrapping_shr(16) {
            return Err(Error::unsupported(LAYER, format!("header version {version:#x}")).at(place));
        }
        let block_size = raw.block_size.get();
        let block_bits = block_size.trailing_zeros();
        if !block_size.is_power_of_two() || !(9..31).contains(&block_bits) {
            return Err(corrupt(format!("blocks of {block_size} bytes")).at(place));
        }
        let entries = u64::from(raw.max_table_entries.get());
        let needed = footer.size().div_ceil(u64::from(block_size));
        if needed > entries || i64::try_from(footer.size()).is_err() {
            let what = format!("a disk of {} bytes has {needed} blocks, the table {entries}", footer.size());
            return Err(corrupt(what).at(place));
        }
        let table = raw.table_offset.get();
        if table.checked_add(needed.saturating_mul(4)).is_none_or(|end| end > file.size()) {
            return Err(corrupt("the table does not lie in the file").at(table));
        }
        let names = names(file, &raw)?;
        Ok(Self { table, block_bits, parent: raw.parent_unique_id, names })
    }

    /// The 1024 bytes of a dynamic disk with a table of so many entries.
    pub(super) fn dynamic(table: u64, entries: u32, block_size: u32) -> [u8; 1024] {
        let mut raw = ondisk::Header::new_zeroed();
        raw.cookie = ondisk::HEADER_COOKIE;
        raw.data_offset = U64::new(ondisk::NO_DATA_OFFSET);
        raw.table_offset = U64::new(table);
        raw.header_version = U32::new(ondisk::VERSION_1);
        raw.max_table_entries = U32::new(entries);
        raw.block_size = U32::new(block_size);
        raw.checksum = U32::new(raw.computed_checksum());
        zerocopy::transmute!(raw)
    }
}

/// The names of the parent: those of Windows, and the plain one.
fn names(file: &Disk, raw: &ondisk::Header) -> Result<Names> {
    let mut names = Names::default();
    let mut absolute = Vec::new();
    for locator in &raw.parent_locators {
        let (place, len) = (locator.platform_data_offset.get(), locator.platform_data_length.get());
        let known = [ondisk::RELATIVE, ondisk::ABSOLUTE].contains(&locator.platform_code);
        if !known || len == 0 {
            continue;
        }
        let inside = place.checked_add(u64::from(len)).is_some_and(|end| end <= file.size());
        if len > MAX_NAME || !inside {
            return Err(corrupt("a name of the parent does not lie in the file").at(place));
        }
        let bytes = file.read_vec(place, usize::try_from(len).unwrap_or(0))?;
        let name = utf16(bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)));
        if locator.platform_code == ondisk::RELATIVE {
            names.add_relative(&name)
        } else {
            absolute.push(name)
        }
    }
    let plain = utf16(raw.parent_unicode_name.as_chunks().0.iter().map(|unit| u16::from_be_bytes(*unit)));
    absolute.iter().chain([&plain]).for_each(|name| names.add_absolute(name));
    Ok(names)
}
