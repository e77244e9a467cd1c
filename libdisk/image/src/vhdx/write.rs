//! Writing a dynamic disk: an empty log, the metadata, the table, and the blocks in the order in which they
//! come.

use block::{Error, Result, Sink};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::header::checksum;
use super::metadata::MAX_SIZE;
use super::{LAYER, ondisk};
use crate::laid::{Blocks, LaidSink, Layout};
use crate::partial::{Output, Partial};

/// Where the log is, of one MiB, as everybody has it.
const LOG: u64 = ondisk::MIB;
/// Where the metadata are.
const METADATA: u64 = 2 * ondisk::MIB;
/// Where the table of blocks is.
const BAT: u64 = 3 * ondisk::MIB;
/// Entries that the table may have; for more, blocks are larger.
const MOST_BLOCKS: u64 = 1 << 20;
/// Bytes of a block: "Best Practices for running Linux on Hyper-V", learn.microsoft.com, 2025: 1 MiB, for
/// ext4 writes to a few sectors in each of many places.
const BLOCK_SIZE: u64 = ondisk::MIB;
/// What newer disks say they have, and the host's do.
const PHYSICAL_SECTOR: u32 = 4096;

/// Starts a dynamic VHDX of a disk of `size` bytes with sectors of `sector_size`. Equal content, size and
/// `identity` give equal files.
///
/// # Errors
/// `Refused` if the file exists and must not be replaced; `Unsupported` if the disk is larger than 64 TiB;
/// `Io`.
pub fn create(output: &Output, size: u64, sector_size: u32, identity: &[u8; 32]) -> Result<Box<dyn Sink>> {
    Ok(Box::new(LaidSink::new(Dynamic::create(output, size, sector_size, identity)?)))
}

/// A dynamic disk in the making.
struct Dynamic {
    blocks: Blocks,
    size: u64,
    sector_size: u32,
    block_size: u64,
    /// Of the table, in bytes: whole MiB.
    bat_len: u64,
    identity: [u8; 32],
}

impl Dynamic {
    fn create(output: &Output, size: u64, sector_size: u32, identity: &[u8; 32]) -> Result<Self> {
        let padded = size.checked_next_multiple_of(u64::from(sector_size.max(512)));
        let Some(size) = padded.filter(|padded| (1..=MAX_SIZE).contains(padded)) else {
            let what = format!("a disk of {size} bytes: 1 byte to 64 TiB ({MAX_SIZE} bytes) fit");
            return Err(Error::unsupported(LAYER, what));
        };
        let mut block_size = BLOCK_SIZE;
        while size.div_ceil(block_size) > MOST_BLOCKS {
            block_size = block_size.saturating_mul(2);
        }
        let blocks = size.div_ceil(block_size);
        let ratio = chunk_ratio(sector_size, block_size);
        // With those of the sector bitmap, which no block of a dynamic disk has.
        let entries = blocks.saturating_add(blocks.saturating_sub(1).checked_div(ratio).unwrap_or(0));
        let bat_len = entries.saturating_mul(8).next_multiple_of(ondisk::MIB);
        let first = BAT.saturating_add(bat_len);
        let blocks = Blocks::new(Partial::create(LAYER, output, first)?, size, block_size, first);
        Ok(Self { blocks, size, sector_size, block_size, bat_len, identity: *identity })
    }

    /// An identifier for `what`, of this disk and no other.
    fn guid(&self, what: &str) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update(self.identity);
        hash.update(what);
        let digest: [u8; 32] = hash.finalize().into();
        let bytes = digest.first_chunk::<16>().copied().unwrap_or_default();
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_bytes_le()
    }

    fn table(&self, places: &[u64]) -> Vec<u8> {
        let ratio = usize::try_from(chunk_ratio(self.sector_size, self.block_size)).unwrap_or(usize::MAX);
        let mut table = Vec::with_capacity(usize::try_from(self.bat_len).unwrap_or(0));
        for (chunk, places) in places.chunks(ratio.max(1)).enumerate() {
            if chunk > 0 {
                table.extend(ondisk::state::NOT_PRESENT.to_le_bytes());
            }
            for place in places {
                let state =
                    if *place == 0 { ondisk::state::NOT_PRESENT } else { ondisk::state::FULLY_PRESENT };
                table.extend((place | state).to_le_bytes());
            }
        }
        table
    }

    /// The table of the metadata, and the items behind it.
    fn metadata(&self) -> Vec<u8> {
        let parameters = ondisk::FileParameters {
            block_size: U32::new(u32::try_from(self.block_size).unwrap_or(u32::MAX)),
            flags: U32::new(0),
        };
        let of_disk = ondisk::IS_VIRTUAL_DISK | ondisk::IS_REQUIRED;
        let (size, id) = (self.size.to_le_bytes(), self.guid("virtual disk id"));
        let (logical, physical) = (self.sector_size.to_le_bytes(), PHYSICAL_SECTOR.to_le_bytes());
        let items: [(Uuid, u32, &[u8]); 5] = [
            (ondisk::FILE_PARAMETERS, ondisk::IS_REQUIRED, parameters.as_bytes()),
            (ondisk::VIRTUAL_DISK_SIZE, of_disk, &size),
            (ondisk::VIRTUAL_DISK_ID, of_disk, &id),
            (ondisk::LOGICAL_SECTOR_SIZE, of_disk, &logical),
            (ondisk::PHYSICAL_SECTOR_SIZE, of_disk, &physical),
        ];
        let mut header = ondisk::MetadataTableHeader::new_zeroed();
        header.signature = ondisk::METADATA_SIGNATURE;
        header.entry_count = U16::new(u16::try_from(items.len()).unwrap_or(u16::MAX));
        let mut table = header.as_bytes().to_vec();
        let mut values = Vec::new();
        for (id, flags, value) in items {
            let offset = ondisk::TABLE_LEN.saturating_add(values.len());
            let entry = ondisk::MetadataEntry {
                item_id: id.to_bytes_le(),
                offset: U32::new(u32::try_from(offset).unwrap_or(u32::MAX)),
                length: U32::new(u32::try_from(value.len()).unwrap_or(u32::MAX)),
                flags: U32::new(flags),
                reserved: U32::new(0),
            };
            table.extend_from_slice(entry.as_bytes());
            values.extend_from_slice(value);
        }
        table.resize(ondisk::TABLE_LEN, 0);
        table.append(&mut values);
        table
    }

    fn regions(&self) -> Vec<u8> {
        let metadata = (ondisk::METADATA_REGION, METADATA, ondisk::MIB);
        let regions = [(ondisk::BAT_REGION, BAT, self.bat_len), metadata];
        let mut header = ondisk::RegionTableHeader::new_zeroed();
        header.signature = ondisk::REGION_SIGNATURE;
        header.entry_count = U32::new(u32::try_from(regions.len()).unwrap_or(u32::MAX));
        let mut table = header.as_bytes().to_vec();
        for (guid, place, len) in regions {
            let entry = ondisk::RegionEntry {
                guid: guid.to_bytes_le(),
                file_offset: U64::new(place),
                length: U32::new(u32::try_from(len).unwrap_or(u32::MAX)),
                required: U32::new(1),
            };
            table.extend_from_slice(entry.as_bytes());
        }
        sealed(table, ondisk::TABLE_LEN)
    }

    fn header(&self, sequence_number: u64) -> Vec<u8> {
        let header = ondisk::Header {
            signature: ondisk::HEADER_SIGNATURE,
            checksum: U32::new(0),
            sequence_number: U64::new(sequence_number),
            file_write_guid: self.guid("file write"),
            data_write_guid: self.guid("data write"),
            log_guid: [0; 16],
            log_version: U16::new(0),
            version: U16::new(1),
            log_length: U32::new(u32::try_from(ondisk::MIB).unwrap_or(0)),
            log_offset: U64::new(LOG),
        };
        sealed(header.as_bytes().to_vec(), ondisk::HEADER_LEN)
    }
}

/// Blocks of data for each block of the sector bitmap (2.4).
fn chunk_ratio(sector_size: u32, block_size: u64) -> u64 {
    ondisk::CHUNK_SECTORS.saturating_mul(u64::from(sector_size)).checked_div(block_size).unwrap_or(1)
}

/// The structure with zeros up to its length, and with its checksum.
fn sealed(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.resize(len, 0);
    let sum = checksum(&mut bytes);
    if let Some(field) = bytes.get_mut(4..8) {
        field.copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

impl Layout for Dynamic {
    const LAYER: &'static str = LAYER;

    fn size(&self) -> u64 {
        self.size
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.blocks.write(bytes, offset)
    }

    /// The identifier is the commit record.
    fn finish(self) -> Result<()> {
        let (metadata, regions) = (self.metadata(), self.regions());
        let headers = [self.header(0), self.header(1)];
        let mut identifier = ondisk::FileIdentifier::new_zeroed();
        identifier.signature = ondisk::SIGNATURE;
        let creator = "refloat".encode_utf16().flat_map(u16::to_le_bytes);
        identifier.creator.iter_mut().zip(creator).for_each(|(byte, unit)| *byte = unit);
        let table = self.table(self.blocks.places());
        let (output, end) = self.blocks.into_parts();
        // All of the last block is in the file.
        output.extend(end)?;
        output.write_at(&table, BAT)?;
        output.write_at(&metadata, METADATA)?;
        for place in ondisk::REGION_TABLES {
            output.write_at(&regions, place)?;
        }
        for (place, header) in ondisk::HEADERS.into_iter().zip(&headers) {
            output.write_at(header, place)?;
        }
        output.sync()?;
        output.write_at(identifier.as_bytes(), 0)?;
        output.commit()
    }
}
