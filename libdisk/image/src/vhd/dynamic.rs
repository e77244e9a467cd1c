//! Writing a dynamic disk: a copy of the footer, the header, the table, and the blocks in the order in which
//! they come.

use block::{Error, Result, Sink};

use super::footer::{FOOTER_LEN, Footer, Identity};
use super::header::Header;
use super::{LAYER, ondisk};
use crate::laid::{Blocks, LaidSink, Layout};
use crate::partial::{Output, Partial};

/// Where the header is: behind the copy of the footer.
const HEADER: u64 = 512;
/// Where the table is.
const TABLE: u64 = HEADER + 1024;
/// Bytes of a block, as everybody has it.
const BLOCK_SIZE: u32 = 2 << 20;
/// Bytes of the bitmap before each: a bit for each sector.
const BITMAP: usize = 512;
/// Bytes of each block start at multiples of this in the file, as Windows has it.
const ALIGNMENT: u64 = 4096;
/// The largest disk: the table counts in sectors, and this is where Windows and QEMU stop.
const MAX_SIZE: u64 = 2040 << 30;

/// Starts a dynamic VHD of a disk of `size` bytes. Equal content, size and identity give equal files.
///
/// # Errors
/// `Refused` if the file exists and must not be replaced; `Unsupported` if the disk is larger than 2,040 GiB;
/// `Io`.
pub fn create_dynamic(output: &Output, size: u64, identity: Identity) -> Result<Box<dyn Sink>> {
    let padded = size.checked_next_multiple_of(512);
    let Some(size) = padded.filter(|padded| (1..=MAX_SIZE).contains(padded)) else {
        let what = format!("a dynamic disk of {size} bytes: 1 byte to 2,040 GiB fit");
        return Err(Error::unsupported(LAYER, what));
    };
    let entries = u32::try_from(size.div_ceil(u64::from(BLOCK_SIZE))).unwrap_or(u32::MAX);
    let table_end = TABLE.saturating_add(u64::from(entries).saturating_mul(4));
    let first = table_end.saturating_add(512).next_multiple_of(ALIGNMENT);
    let output = Partial::create(LAYER, output, first)?;
    let gap = ALIGNMENT.saturating_sub(512);
    let blocks = Blocks::new(output, size, u64::from(BLOCK_SIZE), first).led_by(vec![0xff; BITMAP], gap);
    let footer = Footer::dynamic(size, identity, HEADER);
    Ok(Box::new(LaidSink::new(Dynamic { blocks, footer, entries })))
}

/// A dynamic disk in the making.
struct Dynamic {
    blocks: Blocks,
    footer: Footer,
    entries: u32,
}

impl Layout for Dynamic {
    const LAYER: &'static str = LAYER;

    fn size(&self) -> u64 {
        self.footer.size()
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.blocks.write(bytes, offset)
    }

    /// The footers are the commit record.
    fn finish(self) -> Result<()> {
        let bitmap = u64::try_from(BITMAP).unwrap_or(0);
        let sector = |place: &u64| match place {
            0 => Ok(ondisk::UNUSED),
            place => u32::try_from(place.saturating_sub(bitmap) / 512),
        };
        let table: Result<Vec<u32>, _> = self.blocks.places().iter().map(sector).collect();
        let table =
            table.map_err(|_| Error::unsupported(LAYER, "blocks past the 2^32nd sector of the file"))?;
        let mut table: Vec<u8> = table.into_iter().flat_map(u32::to_be_bytes).collect();
        // Whole sectors.
        table.resize(table.len().next_multiple_of(512), 0xff);
        let (output, end) = self.blocks.into_parts();
        output.write_at(&table, TABLE)?;
        output.write_at(&Header::dynamic(TABLE, self.entries, BLOCK_SIZE), HEADER)?;
        output.sync()?;
        let footer = self.footer.to_bytes();
        output.write_at(&footer, end.next_multiple_of(FOOTER_LEN))?;
        output.write_at(&footer, 0)?;
        output.commit()
    }
}
