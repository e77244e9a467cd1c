//! Keys: `nk` cells, and the lists of their subkeys (regf specification, "Key node").

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::cells::{Cells, NONE};
use crate::error::{Error, Result};
use crate::hive::Hive;
use crate::value::{self, Value};
use crate::{name, subkeys};

/// The name is in Latin-1.
pub(crate) const LATIN_NAME: u16 = 0x20;

/// It may not be deleted: the root has it.
pub(crate) const NO_DELETE: u16 = 0x08;

/// A key's cell, up to its name.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct KeyNode {
    pub(crate) magic: [u8; 2],
    pub(crate) flags: U16,
    pub(crate) last_written: U64,
    pub(crate) access: U32,
    pub(crate) parent: U32,
    pub(crate) subkeys: U32,
    pub(crate) volatile_subkeys: U32,
    pub(crate) subkey_list: U32,
    pub(crate) volatile_list: U32,
    pub(crate) values: U32,
    pub(crate) value_list: U32,
    pub(crate) security: U32,
    pub(crate) class: U32,
    /// In bytes of UTF-16; flags are behind it.
    pub(crate) longest_subkey_name: U16,
    pub(crate) name_flags: U16,
    pub(crate) longest_subkey_class: U32,
    /// In bytes of UTF-16.
    pub(crate) longest_value_name: U32,
    pub(crate) longest_value: U32,
    pub(crate) work: U32,
    pub(crate) name_len: U16,
    pub(crate) class_len: U16,
}

/// Bytes of it.
pub(crate) const LEN: usize = 76;

impl KeyNode {
    pub(crate) fn read(cells: &Cells, at: u32) -> Result<Self> {
        let node: Self = cells.read("key", at)?;
        if &node.magic != b"nk" {
            return Err(Error::corrupt("key", at, "it is no nk cell"));
        }
        // An nk cell has 80 bytes at least, so more than that there cannot be.
        let (subkeys, values) = (node.subkeys.get(), node.values.get());
        let most = cells.size().checked_div(u32::try_from(LEN).unwrap_or(1)).unwrap_or(0);
        if subkeys > most || values > most {
            let why = format!("it is said to have {subkeys} subkeys and {values} values");
            return Err(Error::corrupt("key", at, why));
        }
        Ok(node)
    }

    /// The name in its cell.
    pub(crate) fn name(&self, cells: &Cells, at: u32) -> Result<String> {
        let bytes = cells.used("key", at)?.get(LEN..).unwrap_or_default();
        let stored = bytes.get(..usize::from(self.name_len.get()));
        let stored = stored.ok_or_else(|| Error::corrupt("key", at, "its name is longer than its cell"))?;
        Ok(name::decode(stored, self.flags.get() & LATIN_NAME != 0))
    }
}

/// A key of a hive.
#[derive(Debug, Clone, Copy)]
pub struct Key<'h> {
    hive: &'h Hive,
    at: u32,
    node: KeyNode,
}

impl<'h> Key<'h> {
    pub(crate) fn open(hive: &'h Hive, at: u32) -> Result<Self> {
        Ok(Self { hive, at, node: KeyNode::read(&hive.cells, at)? })
    }

    /// Its cell, which no other key has.
    pub(crate) fn at(&self) -> u32 {
        self.at
    }

    /// Its name.
    ///
    /// # Errors
    /// `Corrupt` if its cell is damaged; so for all that follow.
    pub fn name(&self) -> Result<String> {
        self.node.name(&self.hive.cells, self.at)
    }

    /// When it was written last: units of 100 ns since 1601-01-01, UTC.
    pub fn last_written(&self) -> u64 {
        self.node.last_written.get()
    }

    /// Its class, if it has one.
    ///
    /// # Errors
    /// As [`Key::name`].
    pub fn class(&self) -> Result<Option<String>> {
        let (at, len) = (self.node.class.get(), usize::from(self.node.class_len.get()));
        if at == NONE || len == 0 {
            return Ok(None);
        }
        let bytes = self.hive.cells.used("class of a key", at)?.get(..len);
        let bytes =
            bytes.ok_or_else(|| Error::corrupt("class of a key", at, "it is longer than its cell"))?;
        Ok(Some(name::utf16(bytes)))
    }

    /// Its subkeys, in their order.
    ///
    /// # Errors
    /// As [`Key::name`].
    pub fn subkeys(&self) -> Result<Vec<Key<'h>>> {
        let cells = &self.hive.cells;
        subkeys::of(cells, &self.node, self.at)?.into_iter().map(|at| Self::open(self.hive, at)).collect()
    }

    /// The subkey of that name; capitals and small letters are the same.
    ///
    /// # Errors
    /// As [`Key::name`].
    pub fn subkey(&self, wanted: &str) -> Result<Option<Key<'h>>> {
        for at in subkeys::candidates(&self.hive.cells, &self.node, self.at, wanted)? {
            let key = Self::open(self.hive, at)?;
            if name::same(&key.name()?, wanted) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// The key at the end of a path of names, with `\` between them.
    ///
    /// # Errors
    /// As [`Key::name`].
    pub fn at_path(&self, path: &str) -> Result<Option<Key<'h>>> {
        let mut key = *self;
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            match key.subkey(name)? {
                Some(found) => key = found,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// Its values, in the order in which they were made.
    ///
    /// # Errors
    /// As [`Key::name`].
    pub fn values(&self) -> Result<Vec<Value<'h>>> {
        let cells = &self.hive.cells;
        let list = value::list(cells, &self.node)?;
        list.into_iter().map(|at| Value::open(self.hive, at)).collect()
    }

    /// The value of that name; the default value has none.
    ///
    /// # Errors
    /// As [`Key::name`].
    pub fn value(&self, wanted: &str) -> Result<Option<Value<'h>>> {
        for value in self.values()? {
            if name::same(&value.name()?, wanted) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}
