//! The two kinds of directory entry, 32 bytes each (FAT spec, "FAT Directory Structure" and "FAT Long
//! Directory Entries").

use vfs::Timestamp;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::time::DosTime;

/// The first byte of an entry after which no more were ever used.
pub(crate) const NEVER_USED: u8 = 0x00;

/// The first byte of an entry that is free again.
pub(crate) const FREE: u8 = 0xE5;

/// Stands for a first byte of 0xE5 that is part of a name.
const KANJI: u8 = 0x05;

pub(crate) const READ_ONLY: u8 = 0x01;
const VOLUME: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
const LONG_NAME: u8 = 0x0F;
const LONG_NAME_MASK: u8 = 0x3F;

/// The letters of the base, or the extension, are to be shown in lower case (Windows NT and later).
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

/// What a slot of a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    NeverUsed,
    Free,
    LongName,
    /// The volume label.
    Label,
    File,
    Directory,
}

/// An entry with a short name: the node itself.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ShortEntry {
    pub(crate) name: [u8; 11],
    pub(crate) attributes: u8,
    letter_case: u8,
    created_tenths: u8,
    created_time: U16,
    created_date: U16,
    accessed_date: U16,
    first_high: U16,
    modified_time: U16,
    modified_date: U16,
    first_low: U16,
    pub(crate) size: U32,
}

/// A part of a long name: 13 UTF-16 units. The parts lie in front of the short entry, the last one first.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct LongEntry {
    /// Counts from 1; bit 6 marks the last part.
    pub(crate) ordinal: u8,
    name_1: [U16; 5],
    attributes: u8,
    kind: u8,
    /// Of the short name.
    pub(crate) checksum: u8,
    name_2: [U16; 6],
    first_low: U16,
    name_3: [U16; 2],
}

const _: () = assert!(size_of::<ShortEntry>() == 32 && size_of::<LongEntry>() == 32);

impl ShortEntry {
    /// An entry of these times and nothing else yet.
    pub(crate) fn new(directory: bool, time: Timestamp) -> Self {
        let mut entry = Self::new_zeroed();
        entry.attributes = if directory { DIRECTORY } else { ARCHIVE };
        entry.set_modified(time);
        entry.created_date = entry.modified_date;
        entry.created_time = entry.modified_time;
        entry
    }

    /// What the slot that begins with this entry holds.
    pub(crate) fn role(&self) -> Role {
        match (self.name, self.attributes) {
            ([NEVER_USED, ..], _) => Role::NeverUsed,
            ([FREE, ..], _) => Role::Free,
            (_, attributes) if attributes & LONG_NAME_MASK == LONG_NAME => Role::LongName,
            (_, attributes) if attributes & VOLUME != 0 => Role::Label,
            (_, attributes) if attributes & DIRECTORY != 0 => Role::Directory,
            _ => Role::File,
        }
    }

    /// The first cluster; 0 for an empty file, and for the root directory in a ".." entry.
    pub(crate) fn first(&self, fat32: bool) -> u32 {
        let high = if fat32 { self.first_high.get() } else { 0 };
        u32::from(high) << 16 | u32::from(self.first_low.get())
    }

    pub(crate) fn set_first(&mut self, cluster: u32) {
        self.first_high = U16::new(u16::try_from(cluster >> 16).unwrap_or(0));
        self.first_low = U16::new(u16::try_from(cluster & 0xFFFF).unwrap_or(0));
    }

    pub(crate) fn modified(&self) -> Timestamp {
        DosTime { date: self.modified_date.get(), time: self.modified_time.get() }.timestamp()
    }

    /// Sets the time of the last write, and the day of the last access.
    pub(crate) fn set_modified(&mut self, time: Timestamp) {
        let DosTime { date, time } = DosTime::from_timestamp(time);
        self.modified_date = U16::new(date);
        self.modified_time = U16::new(time);
        self.accessed_date = U16::new(date);
    }

    /// Takes a short name, with its letters as they are.
    pub(crate) fn set_name(&mut self, name: [u8; 11]) {
        self.name = name;
        self.letter_case = 0;
    }

    /// The bytes of the short name, or of the label.
    pub(crate) fn whole_name(&self) -> [u8; 11] {
        let mut name = self.name;
        if let [first @ KANJI, ..] = &mut name {
            *first = FREE;
        }
        name
    }

    /// The name as it is shown when there is no long one.
    pub(crate) fn shown_name(&self) -> String {
        let name = self.whole_name();
        let (base, extension) = name.split_at(8);
        let mut shown = part(base, self.letter_case & LOWER_BASE != 0);
        let extension = part(extension, self.letter_case & LOWER_EXTENSION != 0);
        if !extension.is_empty() {
            shown.push('.');
            shown.push_str(&extension);
        }
        shown
    }

    /// What every part of the long name carries (FAT spec, "ChkSum").
    pub(crate) fn checksum(&self) -> u8 {
        self.name.iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
    }
}

/// The base or the extension without the spaces behind it.
fn part(bytes: &[u8], lower: bool) -> String {
    let text: String = bytes.trim_ascii_end().iter().map(|byte| shown(*byte)).collect();
    if lower { text.to_ascii_lowercase() } else { text }
}

/// The upper half of code page 437, which short names are in as far as anyone can tell.
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»\
    ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

fn shown(byte: u8) -> char {
    match byte {
        // Not allowed, and no name outside may hold them.
        0x00..=0x1F | b'/' => char::REPLACEMENT_CHARACTER,
        0x20..=0x7F => char::from(byte),
        _ => CODE_PAGE_437.chars().nth(usize::from(byte & 0x7F)).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

impl LongEntry {
    /// A part of a long name. `units` are at most 13; the rest is filled as the specification wants it.
    pub(crate) fn new(number: usize, last: bool, units: &[u16], checksum: u8) -> Self {
        let mut filled = units.iter().copied().chain([0]).chain(std::iter::repeat(0xFFFF)).map(U16::new);
        let mut next = || filled.next().unwrap_or_default();
        Self {
            ordinal: u8::try_from(number).unwrap_or(0) | if last { 0x40 } else { 0 },
            name_1: std::array::from_fn(|_| next()),
            attributes: LONG_NAME,
            kind: 0,
            checksum,
            name_2: std::array::from_fn(|_| next()),
            first_low: U16::new(0),
            name_3: std::array::from_fn(|_| next()),
        }
    }

    /// Its 13 units.
    pub(crate) fn units(&self) -> impl Iterator<Item = u16> + '_ {
        self.name_1.iter().chain(&self.name_2).chain(&self.name_3).map(|unit| unit.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &[u8; 11], letter_case: u8) -> ShortEntry {
        let mut entry = ShortEntry::new(false, Timestamp::default());
        entry.set_name(*name);
        entry.letter_case = letter_case;
        entry
    }

    #[test]
    fn short_names_are_shown_with_their_dot_and_case() {
        assert_eq!(named(b"BOOTX64 EFI", 0).shown_name(), "BOOTX64.EFI");
        assert_eq!(named(b"BOOTX64 EFI", LOWER_BASE).shown_name(), "bootx64.EFI");
        assert_eq!(named(b"BOOTX64 EFI", LOWER_BASE | LOWER_EXTENSION).shown_name(), "bootx64.efi");
        assert_eq!(named(b"EFI        ", 0).shown_name(), "EFI");
        assert_eq!(named(b"GR\x99\xE1E      ", 0).shown_name(), "GRÖßE");
        assert_eq!(named(b"\x05BC     X  ", 0).shown_name(), "σBC.X");
        assert_eq!(named(b"A/\x01     X  ", 0).shown_name(), "A\u{fffd}\u{fffd}.X");
        assert_eq!(CODE_PAGE_437.chars().count(), 128);
    }

    #[test]
    fn a_long_name_part_ends_with_nul_and_ones() {
        let part = LongEntry::new(1, true, &[0x61, 0x62], 7);
        assert_eq!(part.ordinal, 0x41);
        let units: Vec<u16> = part.units().collect();
        assert_eq!(units[..4], [0x61, 0x62, 0, 0xFFFF]);
        assert_eq!(LongEntry::new(2, false, &[0x61; 13], 7).units().collect::<Vec<_>>(), [0x61; 13]);
    }
}
