//! The label that makes a device a physical volume.

use std::ops::Range;

use block::{Disk, Error, Result};
use zerocopy::FromBytes;

use super::LAYER;
use super::ondisk::{self, Location, SECTOR, SECTOR_LEN};

/// The label is in one of so many sectors at the start.
const SECTORS_SCANNED: u64 = 4;

/// What the label of a physical volume says.
#[derive(Debug, Clone)]
pub(super) struct Label {
    /// As LVM writes it: 32 letters and digits in groups of 6-4-4-4-4-4-6.
    pub(super) uuid: String,
    /// The metadata areas; there may be none.
    pub(super) areas: Vec<Range<u64>>,
}

impl Label {
    /// Reads the label; `None` if the device has none.
    pub(super) fn read(device: &Disk) -> Result<Option<Self>> {
        for number in 0..SECTORS_SCANNED.min(device.size().checked_div(SECTOR).unwrap_or(0)) {
            let place = number.saturating_mul(SECTOR);
            let mut sector = [0; SECTOR_LEN];
            device.read_at(&mut sector, place)?;
            let Ok((label, _)) = ondisk::Label::read_from_prefix(&sector) else { continue };
            if label.signature != ondisk::LABEL || label.label_type != ondisk::LABEL_TYPE {
                continue;
            }
            let corrupt = |what| Error::corrupt(LAYER, what).at(place);
            if label.sector.get() != number {
                return Err(corrupt("the label of the physical volume belongs to another sector"));
            }
            let (_, covered) = sector.split_at(ondisk::LABEL_UNCOVERED);
            if ondisk::checksum(&[covered]) != label.checksum.get() {
                return Err(corrupt("the checksum of the physical volume's label is wrong"));
            }
            let header = usize::try_from(label.header_offset.get()).ok().and_then(|at| sector.get(at..));
            let header = header.and_then(Self::header);
            return header.map(Some).ok_or_else(|| corrupt("the header of the physical volume is damaged"));
        }
        Ok(None)
    }

    /// The header of the physical volume at the start of `bytes`.
    fn header(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = ondisk::Header::read_from_prefix(bytes).ok()?;
        let (_data, rest) = locations(rest)?;
        let (areas, _) = locations(rest)?;
        Some(Self { uuid: uuid(&header.uuid)?, areas })
    }
}

/// A UUID as LVM writes it for people, with dashes; `None` if it has other characters than letters and
/// digits.
pub(crate) fn uuid(bytes: &[u8; 32]) -> Option<String> {
    let mut out = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 6 | 10 | 14 | 18 | 22 | 26) {
            out.push('-');
        }
        out.push(char::from(*byte).is_ascii_alphanumeric().then_some(char::from(*byte))?);
    }
    Some(out)
}

/// The list at the start of `bytes`, and what is behind it.
fn locations(mut bytes: &[u8]) -> Option<(Vec<Range<u64>>, &[u8])> {
    let mut list = Vec::new();
    loop {
        let (location, rest) = Location::read_from_prefix(bytes).ok()?;
        bytes = rest;
        let start = location.offset.get();
        if start == 0 {
            return Some((list, bytes));
        }
        list.push(start..start.checked_add(location.size.get())?);
    }
}
