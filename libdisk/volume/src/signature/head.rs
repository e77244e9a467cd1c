//! The bytes that are looked at: the start of a volume, and other places when somebody asks.

use block::{Disk, Result};
use uuid::Uuid;

/// How much of the start of a volume is read at once: the super block of btrfs is at 64 KiB.
const HEAD: u64 = 68 << 10;

/// A volume to be looked at.
pub(super) struct Volume<'a> {
    disk: &'a Disk,
    /// Its start.
    pub(super) head: Piece,
}

impl<'a> Volume<'a> {
    pub(super) fn new(disk: &'a Disk) -> Result<Self> {
        let len = usize::try_from(disk.size().min(HEAD)).unwrap_or(0);
        Ok(Self { disk, head: Piece(disk.read_vec(0, len)?) })
    }

    pub(super) fn size(&self) -> u64 {
        self.disk.size()
    }

    /// `len` bytes at `offset`, fewer at the end of the volume.
    pub(super) fn piece(&self, offset: u64, len: u64) -> Result<Piece> {
        let len = self.size().saturating_sub(offset).min(len);
        let len = usize::try_from(len).unwrap_or(0);
        Ok(Piece(if len == 0 { Vec::new() } else { self.disk.read_vec(offset, len)? }))
    }

    /// The 512-byte sector that is the `count`th from the end, counted from 1; empty if the volume is
    /// smaller.
    pub(super) fn sector_from_end(&self, count: u64) -> Result<Piece> {
        let sector = (self.size() / 512).checked_sub(count);
        sector.map_or(Ok(Piece(Vec::new())), |sector| self.piece(sector.saturating_mul(512), 512))
    }
}

/// Bytes of a volume; what lies outside of them reads as nothing.
pub(super) struct Piece(pub(super) Vec<u8>);

impl Piece {
    pub(super) fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    pub(super) fn slice(&self, at: usize, len: usize) -> &[u8] {
        self.0.get(at..).map(|rest| rest.get(..len).unwrap_or(rest)).unwrap_or_default()
    }

    /// What is left of it from `at` on.
    pub(super) fn after(&self, at: usize) -> Piece {
        Piece(self.0.get(at..).unwrap_or_default().to_vec())
    }

    pub(super) fn is(&self, at: usize, magic: &[u8]) -> bool {
        self.0.get(at..).is_some_and(|rest| rest.starts_with(magic))
    }

    pub(super) fn u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.bytes(at))
    }

    pub(super) fn le16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    pub(super) fn le32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    pub(super) fn le64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    pub(super) fn be32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes(at))
    }

    pub(super) fn be64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes(at))
    }

    pub(super) fn uuid(&self, at: usize) -> Option<String> {
        Some(Uuid::from_bytes(self.bytes(at))).filter(|uuid| !uuid.is_nil()).map(|uuid| uuid.to_string())
    }

    /// Text that ends at its first zero, without blanks at its end; bytes that are not UTF-8 as `\x90`.
    pub(super) fn text(&self, at: usize, len: usize) -> Option<String> {
        text(self.slice(at, len))
    }

    /// The same of UTF-16.
    pub(super) fn utf16(&self, at: usize, len: usize, order: fn([u8; 2]) -> u16) -> Option<String> {
        let units = self.slice(at, len).as_chunks().0.iter().map(|unit| order(*unit));
        let text: String = char::decode_utf16(units.take_while(|unit| *unit != 0))
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
    }
}

/// Text that ends at its first zero, without blanks at its end; bytes that are not UTF-8 as `\x90`.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let text: String = bytes
        .utf8_chunks()
        .map(|chunk| chunk.valid().to_owned() + &chunk.invalid().escape_ascii().to_string())
        .collect();
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}
