//! Values: `vk` cells, their lists and their data (regf specification, "Key value", "Big data").

use std::borrow::Cow;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::cells::{Cells, index, number};
use crate::error::{Error, Result};
use crate::hive::Hive;
use crate::key::KeyNode;
use crate::name;

/// The name is in Latin-1.
pub(crate) const LATIN_NAME: u16 = 1;

/// The data is in the cell itself, up to four bytes of it.
pub(crate) const INLINE: u32 = 0x8000_0000;

/// Data of more bytes is in pieces of this size, from version 1.4 on.
pub(crate) const PIECE: usize = 16344;

/// A value's cell, up to its name.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ValueKey {
    pub(crate) magic: [u8; 2],
    pub(crate) name_len: U16,
    /// Its highest bit says where the data is.
    pub(crate) data_len: U32,
    pub(crate) data: U32,
    pub(crate) kind: U32,
    pub(crate) flags: U16,
    pub(crate) spare: U16,
}

/// Bytes of it.
pub(crate) const LEN: usize = 20;

impl ValueKey {
    pub(crate) fn read(cells: &Cells, at: u32) -> Result<Self> {
        let value: Self = cells.read("value", at)?;
        if &value.magic == b"vk" { Ok(value) } else { Err(Error::corrupt("value", at, "it is no vk cell")) }
    }

    pub(crate) fn name(&self, cells: &Cells, at: u32) -> Result<String> {
        let bytes = cells.used("value", at)?.get(LEN..).unwrap_or_default();
        let stored = bytes.get(..usize::from(self.name_len.get()));
        let stored = stored.ok_or_else(|| Error::corrupt("value", at, "its name is longer than its cell"))?;
        Ok(name::decode(stored, self.flags.get() & LATIN_NAME != 0))
    }

    /// Where its data is.
    pub(crate) fn place(&self, minor: u32) -> DataPlace {
        let len = self.data_len.get();
        let bytes = index(len & !INLINE);
        match len {
            0 => DataPlace::Nowhere,
            _ if len & INLINE != 0 => DataPlace::Inline(bytes),
            _ if bytes > PIECE && minor >= 4 => DataPlace::Pieces(bytes),
            _ => DataPlace::Cell(bytes),
        }
    }
}

/// Where the data of a value is, and how many bytes it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataPlace {
    /// It has none.
    Nowhere,
    /// In the value's cell.
    Inline(usize),
    /// In a cell of its own.
    Cell(usize),
    /// In several, which a `db` cell names.
    Pieces(usize),
}

/// The cells of the pieces of large data, with the cell of their list.
pub(crate) fn pieces(cells: &Cells, at: u32, len: usize) -> Result<(u32, Vec<u32>)> {
    let corrupt = |why: &str| Error::corrupt("large data", at, why);
    let header = cells.used("large data", at)?;
    let [a, b, low, high] = *header.first_chunk().ok_or_else(|| corrupt("it is cut off"))?;
    let list = number(header, 4).ok_or_else(|| corrupt("it is cut off"))?;
    let count = usize::from(u16::from_le_bytes([low, high]));
    if [a, b] != *b"db" || count != len.div_ceil(PIECE) || len > cells.bytes().len() {
        return Err(corrupt("its pieces are not as many as its length needs"));
    }
    let places = cells.used("list of large data", list)?.as_chunks::<4>().0;
    let places = places.get(..count).ok_or_else(|| corrupt("its list is cut off"))?;
    Ok((list, places.iter().map(|place| u32::from_le_bytes(*place)).collect()))
}

/// The cells of a key's values.
pub(crate) fn list(cells: &Cells, node: &KeyNode) -> Result<Vec<u32>> {
    let (at, count) = (node.value_list.get(), node.values.get());
    if count == 0 {
        return Ok(Vec::new());
    }
    let places = cells.used("list of values", at)?.as_chunks::<4>().0;
    let places = places.get(..index(count));
    let places =
        places.ok_or_else(|| Error::corrupt("list of values", at, "it is shorter than its key says"))?;
    Ok(places.iter().map(|place| u32::from_le_bytes(*place)).collect())
}

/// A type of values (winnt.h, `REG_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u32);

impl Kind {
    /// No type.
    pub const NONE: Self = Self(0);
    /// A text.
    pub const SZ: Self = Self(1);
    /// A text with `%variables%`.
    pub const EXPAND_SZ: Self = Self(2);
    /// Bytes.
    pub const BINARY: Self = Self(3);
    /// A number of 32 bits.
    pub const DWORD: Self = Self(4);
    /// Several texts.
    pub const MULTI_SZ: Self = Self(7);
    /// A number of 64 bits.
    pub const QWORD: Self = Self(11);
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::NONE => f.write_str("REG_NONE"),
            Self::SZ => f.write_str("REG_SZ"),
            Self::EXPAND_SZ => f.write_str("REG_EXPAND_SZ"),
            Self::BINARY => f.write_str("REG_BINARY"),
            Self::DWORD => f.write_str("REG_DWORD"),
            Self::MULTI_SZ => f.write_str("REG_MULTI_SZ"),
            Self::QWORD => f.write_str("REG_QWORD"),
            Self(other) => write!(f, "of type {other:#x}"),
        }
    }
}

/// A value of a key.
#[derive(Debug, Clone, Copy)]
pub struct Value<'h> {
    hive: &'h Hive,
    at: u32,
    value: ValueKey,
}

impl<'h> Value<'h> {
    pub(crate) fn open(hive: &'h Hive, at: u32) -> Result<Self> {
        Ok(Self { hive, at, value: ValueKey::read(&hive.cells, at)? })
    }

    /// Its name; the default value has an empty one.
    ///
    /// # Errors
    /// `Corrupt` if its cells are damaged; so for all that follow.
    pub fn name(&self) -> Result<String> {
        self.value.name(&self.hive.cells, self.at)
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        Kind(self.value.kind.get())
    }

    /// Its data as it is stored.
    ///
    /// # Errors
    /// As [`Value::name`].
    pub fn data(&self) -> Result<Cow<'h, [u8]>> {
        let cells = &self.hive.cells;
        let at = self.value.data.get();
        let short = || Error::corrupt("data of a value", at, "it is longer than its cell");
        match self.value.place(self.hive.minor()) {
            DataPlace::Nowhere => Ok(Cow::Borrowed(&[])),
            DataPlace::Inline(len) => {
                let inline = at.to_le_bytes();
                let why = || Error::corrupt("value", self.at, format!("it holds {len} bytes itself"));
                inline.get(..len).map(|bytes| Cow::Owned(bytes.to_vec())).ok_or_else(why)
            }
            DataPlace::Cell(len) => {
                let bytes = cells.used("data of a value", at)?.get(..len);
                bytes.map(Cow::Borrowed).ok_or_else(short)
            }
            DataPlace::Pieces(len) => {
                let mut data = Vec::new();
                for piece in pieces(cells, at, len)?.1 {
                    let wanted = len.saturating_sub(data.len()).min(PIECE);
                    let bytes = cells.used("piece of large data", piece)?.get(..wanted);
                    data.extend_from_slice(bytes.ok_or_else(short)?);
                }
                Ok(Cow::Owned(data))
            }
        }
    }

    fn wrong(&self, wanted: &'static str) -> Error {
        let value = self.name().unwrap_or_default();
        let len = self.value.data_len.get() & !INLINE;
        Error::Type { value, found: format!("{} of {len} bytes", self.kind()), wanted }
    }

    /// The number of 32 bits that it is.
    ///
    /// # Errors
    /// `Type` if it is something else; else as [`Value::name`]. So for those that follow.
    pub fn dword(&self) -> Result<u32> {
        let data = self.data()?;
        let number = data.as_ref().try_into().map(u32::from_le_bytes);
        number.ok().filter(|_| self.kind() == Kind::DWORD).ok_or_else(|| self.wanted_dword())
    }

    fn wanted_dword(&self) -> Error {
        self.wrong("a number of 32 bits")
    }

    /// The text that it is, up to its first zero.
    ///
    /// # Errors
    /// As [`Value::dword`].
    pub fn text(&self) -> Result<String> {
        if ![Kind::SZ, Kind::EXPAND_SZ].contains(&self.kind()) {
            return Err(self.wrong("a text"));
        }
        let text = name::utf16(&self.data()?);
        Ok(text.split('\0').next().unwrap_or_default().to_owned())
    }

    /// The texts that it is, up to the empty one.
    ///
    /// # Errors
    /// As [`Value::dword`].
    pub fn texts(&self) -> Result<Vec<String>> {
        if self.kind() != Kind::MULTI_SZ {
            return Err(self.wrong("a list of texts"));
        }
        let all = name::utf16(&self.data()?);
        Ok(all.split('\0').take_while(|text| !text.is_empty()).map(str::to_owned).collect())
    }
}

/// A text as it is stored: UTF-16 with a zero behind it.
pub fn text_data(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// Texts as they are stored: each with a zero behind it, and one more at the end.
pub fn texts_data<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut data: Vec<u8> = texts.into_iter().flat_map(text_data).collect();
    data.extend([0, 0]);
    data
}
