//! The footer with its meaning.

use std::fmt;

use block::{Error, Result};
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{LAYER, ondisk};

/// Length of the footer in bytes.
pub(super) const FOOTER_LEN: u64 = 512;

/// What makes a VHD that one and no other. Derived from the source, so that one source gives one VHD, byte
/// for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The unique id.
    pub uuid: [u8; 16],
    /// Seconds since 2000-01-01 00:00:00 UTC.
    pub timestamp: u32,
}

impl Identity {
    /// The identity of a VHD made from a source that has this digest. The time lies between 2000 and 2017 and
    /// means nothing; it is as much an identifier as the id is.
    pub fn derive(source: &[u8; 32]) -> Self {
        let [uuid @ .., a, b, c, d] = source.first_chunk::<20>().copied().unwrap_or([0; 20]);
        Self { uuid, timestamp: u32::from_be_bytes([a, b, c, d]) >> 3 }
    }
}

/// The kinds of VHD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskType {
    /// All bytes of the disk, in order.
    Fixed,
    /// Blocks that were written, with a table.
    Dynamic,
    /// Blocks that differ from a parent.
    Differencing,
    /// Something the specification does not know, or has deprecated.
    Other(u32),
}

impl From<u32> for DiskType {
    fn from(number: u32) -> Self {
        match number {
            2 => Self::Fixed,
            3 => Self::Dynamic,
            4 => Self::Differencing,
            other => Self::Other(other),
        }
    }
}

impl From<DiskType> for u32 {
    fn from(kind: DiskType) -> Self {
        match kind {
            DiskType::Fixed => 2,
            DiskType::Dynamic => 3,
            DiskType::Differencing => 4,
            DiskType::Other(number) => number,
        }
    }
}

impl fmt::Display for DiskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed => f.write_str("fixed"),
            Self::Dynamic => f.write_str("dynamic"),
            Self::Differencing => f.write_str("differencing"),
            Self::Other(number) => write!(f, "type {number}"),
        }
    }
}

/// Cylinders, heads and sectors, as old BIOSes see the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u16,
    /// Heads.
    pub heads: u8,
    /// Sectors per track.
    pub sectors_per_track: u8,
}

impl Geometry {
    /// The largest there is: 127 GiB.
    pub const LARGEST: Self = Self { cylinders: 65535, heads: 16, sectors_per_track: 255 };

    /// The geometry of a disk of `size` bytes: "Appendix: CHS Calculation" of the specification. It covers
    /// the disk only approximately, and at most 127 GiB of it.
    pub fn of_size(size: u64) -> Self {
        const MAX_SECTORS: u64 = 65535 * 16 * 255;
        const MAX_SECTORS_63: u64 = 65535 * 16 * 63;
        let sectors = (size / 512).min(MAX_SECTORS);
        let mut heads = 16;
        let mut sectors_per_track = 255;
        if sectors < MAX_SECTORS_63 {
            sectors_per_track = 17;
            heads = (sectors / 17).div_ceil(1024).max(4);
            if heads > 16 || sectors / 17 >= heads.saturating_mul(1024) {
                heads = 16;
                sectors_per_track = 31;
            }
            if sectors_per_track == 31 && sectors / 31 >= 16 * 1024 {
                sectors_per_track = 63;
            }
        }
        let tracks = sectors.checked_div(sectors_per_track).unwrap_or(0);
        Self {
            cylinders: tracks.checked_div(heads).and_then(|n| u16::try_from(n).ok()).unwrap_or(u16::MAX),
            heads: u8::try_from(heads).unwrap_or(16),
            sectors_per_track: u8::try_from(sectors_per_track).unwrap_or(255),
        }
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.cylinders, self.heads, self.sectors_per_track)
    }
}

/// A footer whose cookie, version and checksum are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    disk_type: DiskType,
    size: u64,
    geometry: Geometry,
    creator: [u8; 4],
    identity: Identity,
    /// Where the header is; in a fixed disk there is none.
    header: u64,
}

impl Footer {
    /// The footer of a fixed disk of `size` bytes.
    pub fn fixed(size: u64, identity: Identity) -> Self {
        // Readers take the size from the geometry unless they trust the creator. "qem2" stands for a footer
        // whose current size is to be believed, and they all know it (qemu-img writes it with
        // force_size=on).
        let creator = *b"qem2";
        let geometry = Geometry::of_size(size);
        let header = ondisk::NO_DATA_OFFSET;
        Self { disk_type: DiskType::Fixed, size, geometry, creator, identity, header }
    }

    /// The footer of a dynamic disk of `size` bytes, whose header is at byte `header`.
    pub(super) fn dynamic(size: u64, identity: Identity, header: u64) -> Self {
        Self { disk_type: DiskType::Dynamic, header, ..Self::fixed(size, identity) }
    }

    /// Reads the 512 bytes at byte `place` of an image; `None` if they are no footer at all.
    ///
    /// # Errors
    /// `Corrupt` if the checksum is wrong, `Unsupported` for another version of the format.
    pub(super) fn parse(bytes: &[u8], place: u64) -> Result<Option<Self>> {
        let Some(raw) = raw(bytes) else { return Ok(None) };
        if raw.checksum.get() != raw.computed_checksum() {
            let (found, right) = (raw.checksum, raw.computed_checksum());
            return Err(Error::corrupt(
                LAYER,
                format!("footer checksum is {found:#x}, should be {right:#x}"),
            )
            .at(place));
        }
        let version = raw.file_format_version.get();
        if version >> 16 != ondisk::VERSION_1 >> 16 {
            return Err(Error::unsupported(LAYER, format!("format version {version:#x}")).at(place));
        }
        Ok(Some(Self::of_raw(&raw)))
    }

    /// Reads a footer whose checksum is wrong; `None` if it is of another version.
    pub(super) fn parse_damaged(bytes: &[u8]) -> Option<Self> {
        let raw = raw(bytes)?;
        (raw.file_format_version.get() >> 16 == ondisk::VERSION_1 >> 16).then(|| Self::of_raw(&raw))
    }

    /// Reads a footer whose mark alone is damaged: with the mark put right, its checksum is.
    pub(super) fn parse_unmarked(bytes: &[u8]) -> Option<Self> {
        let mut raw = ondisk::Footer::read_from_bytes(bytes).ok()?;
        raw.cookie = ondisk::COOKIE;
        Self::parse(raw.as_bytes(), 0).ok().flatten()
    }

    /// Reads the footer of 511 bytes at the end of these 512, as programs before Virtual PC 2004 wrote it.
    pub(super) fn parse_short(bytes: &[u8]) -> Option<Self> {
        let footer = [bytes.get(1..)?, &[0]].concat();
        Self::parse(&footer, 0).ok().flatten()
    }

    /// The same footer, of a disk of another size.
    pub(super) fn resized(self, size: u64) -> Self {
        Self { size, ..self }
    }

    fn of_raw(raw: &ondisk::Footer) -> Self {
        Self {
            disk_type: DiskType::from(raw.disk_type.get()),
            size: raw.current_size.get(),
            geometry: Geometry {
                cylinders: raw.cylinders.get(),
                heads: raw.heads,
                sectors_per_track: raw.sectors_per_track,
            },
            creator: raw.creator_application,
            identity: Identity { uuid: raw.unique_id, timestamp: raw.time_stamp.get() },
            header: raw.data_offset.get(),
        }
    }

    /// The 512 bytes.
    pub fn to_bytes(&self) -> [u8; 512] {
        let mut raw = ondisk::Footer::new_zeroed();
        raw.cookie = ondisk::COOKIE;
        raw.features = U32::new(ondisk::FEATURES_RESERVED);
        raw.file_format_version = U32::new(ondisk::VERSION_1);
        raw.data_offset = U64::new(self.header);
        raw.time_stamp = U32::new(self.identity.timestamp);
        raw.creator_application = self.creator;
        raw.creator_version = U32::new(0x0005_0003);
        raw.creator_host_os = U32::new(ondisk::HOST_WINDOWS);
        raw.original_size = U64::new(self.size);
        raw.current_size = U64::new(self.size);
        raw.cylinders = U16::new(self.geometry.cylinders);
        raw.heads = self.geometry.heads;
        raw.sectors_per_track = self.geometry.sectors_per_track;
        raw.disk_type = U32::new(self.disk_type.into());
        raw.unique_id = self.identity.uuid;
        raw.checksum = U32::new(raw.computed_checksum());
        zerocopy::transmute!(raw)
    }

    /// Fixed, dynamic or differencing.
    pub fn disk_type(&self) -> DiskType {
        self.disk_type
    }

    /// The current size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The geometry.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The four characters of the program that made it.
    pub fn creator(&self) -> [u8; 4] {
        self.creator
    }

    /// Where the header of a dynamic or differencing disk is.
    pub(super) fn header(&self) -> u64 {
        self.header
    }

    /// Its id and time.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

/// The fields of a footer, whatever is in them.
fn raw(bytes: &[u8]) -> Option<ondisk::Footer> {
    ondisk::Footer::read_from_bytes(bytes).ok().filter(|raw| raw.cookie == ondisk::COOKIE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the specification's algorithm, as qemu-img and Virtual PC compute them.
    #[test]
    fn geometry() {
        let chs = |size: u64| Geometry::of_size(size).to_string();
        assert_eq!(chs(64 << 20), "963/8/17");
        assert_eq!(chs(1 << 30), "2080/16/63");
        assert_eq!(chs(127 << 30), "65278/16/255");
        assert_eq!(chs(2 << 40), "65535/16/255");
        assert_eq!(chs(64 << 40), "65535/16/255");
        assert_eq!(chs(1 << 20), "30/4/17");
    }

    #[test]
    fn a_footer_reads_back_and_its_checksum_counts() {
        let identity = Identity { uuid: [7; 16], timestamp: 12345 };
        let footer = Footer::fixed(3 << 20, identity);
        let mut bytes = footer.to_bytes();
        assert_eq!(Footer::parse(&bytes, 0).unwrap(), Some(footer));
        bytes[100] ^= 1;
        assert!(Footer::parse(&bytes, 0).is_err());
        bytes[0] = 0;
        assert_eq!(Footer::parse(&bytes, 0).unwrap(), None);
    }
}
