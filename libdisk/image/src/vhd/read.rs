//! Reading a fixed disk.

use std::ops::Range;
use std::path::Path;

use block::{BlockRead, Disk, Error, Extent, FileRange, Result};

use super::LAYER;
use super::footer::{DiskType, FOOTER_LEN, Footer};
use crate::{Layer, Layered, raw};

/// A fixed VHD.
#[derive(Debug)]
pub struct Fixed {
    file: Disk,
    footer: Footer,
}

impl Fixed {
    /// Reads the footer of the image `file`.
    ///
    /// # Errors
    /// `Corrupt` if the footer is missing, wrong or of another size than the file; `Unsupported` for other
    /// types.
    pub fn open(file: Disk) -> Result<Self> {
        let footer = read_footer(&file)?;
        match footer.disk_type() {
            DiskType::Fixed => {}
            other => return Err(Error::unsupported(LAYER, format!("{other} disks"))),
        }
        if footer.size().checked_add(FOOTER_LEN) != Some(file.size()) {
            let what = format!(
                "the footer tells of a disk of {} bytes, but the file has {} bytes and not 512 more than that",
                footer.size(),
                file.size()
            );
            return Err(Error::corrupt(LAYER, what));
        }
        Ok(Self { file, footer })
    }

    /// The footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }
}

/// Opens the fixed VHD in `file`: the device is its payload.
///
/// # Errors
/// As [`Fixed::open`].
pub fn open(file: Disk) -> Result<Disk> {
    Fixed::open(file).map(Disk::new)
}

/// The same, with what there is to tell of it.
pub(super) fn open_layers(path: &Path) -> Result<Layered> {
    let image = Fixed::open(raw::open_bytes(path)?).map_err(|error| error.in_file(path))?;
    let creator = image.footer.creator().escape_ascii().to_string();
    let layer = Layer { name: LAYER, text: format!("fixed, made by {creator:?}") };
    Ok((Disk::new(image), vec![layer]))
}

/// The footer at the end of `file`, or else its copy at the start, which all types but the fixed one have.
pub(super) fn read_footer(file: &Disk) -> Result<Footer> {
    let missing = || Error::corrupt(LAYER, "there is no footer in the last 512 bytes");
    let end = file.size().checked_sub(FOOTER_LEN).ok_or_else(missing)?;
    for place in [end, 0] {
        let mut bytes = [0; 512];
        file.read_at(&mut bytes, place)?;
        if let Some(footer) = Footer::parse(&bytes, place)? {
            return Ok(footer);
        }
    }
    Err(missing().at(end))
}

impl BlockRead for Fixed {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.footer.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_at(buf, offset)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        self.file.extent_at(range)
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        self.file.file_range(range)
    }
}
