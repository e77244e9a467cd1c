//! Values: set in place where that is possible, added, deleted.

use zerocopy::IntoBytes;

use super::{Edit, len};
use crate::cells::{NONE, narrow};
use crate::error::{Error, Result};
use crate::key::KeyNode;
use crate::name;
use crate::value::{self, DataPlace, INLINE, Kind, LATIN_NAME, PIECE, ValueKey};

/// The longest name of a value, in units of UTF-16 (Microsoft Learn, "Registry element size limits").
const LONGEST_NAME: usize = 16383;

impl Edit {
    /// Sets a value of a key, which is made if it is not there. One that is as it should be stays untouched.
    ///
    /// # Errors
    /// `NoKey` if the key is not there; `Refused` for a name or data that is too long.
    pub fn set(&mut self, path: &str, name: &str, kind: Kind, data: &[u8]) -> Result<()> {
        let key = self.find(path)?;
        if data.len() > PIECE {
            let why = "data of more than 16344 bytes is in pieces, which are read and not written";
            return Err(Error::Refused { what: format!("the value {name}"), why });
        }
        let units = name.encode_utf16().count();
        if units > LONGEST_NAME {
            let why = "no value has a name of more than 16383 letters";
            return Err(Error::Refused { what: "a value".to_owned(), why });
        }
        let changed = match self.value(key, name)? {
            Some((_, at)) => self.change(at, kind, data)?,
            None => {
                self.add(key, name, kind, data)?;
                true
            }
        };
        if changed {
            let mut node = KeyNode::read(&self.hive.cells, key)?;
            let name_bytes = narrow(units.saturating_mul(2));
            node.longest_value_name = node.longest_value_name.get().max(name_bytes).into();
            node.longest_value = node.longest_value.get().max(len(data)).into();
            self.write_key(key, &mut node)?;
        }
        Ok(())
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// `NoKey` and `NoValue` if it is not there.
    pub fn delete_value(&mut self, path: &str, name: &str) -> Result<()> {
        let key = self.find(path)?;
        let none = || Error::NoValue { key: path.to_owned(), value: name.to_owned() };
        let (place, at) = self.value(key, name)?.ok_or_else(none)?;
        let mut node = KeyNode::read(&self.hive.cells, key)?;
        let mut list = value::list(&self.hive.cells, &node)?;
        list.remove(place);
        self.free_value(at)?;
        if list.is_empty() {
            self.release(node.value_list.get())?;
            node.value_list = NONE.into();
        } else {
            self.fill(node.value_list.get(), &bytes(&list))?;
        }
        node.values = narrow(list.len()).into();
        self.write_key(key, &mut node)
    }

    /// A value's place in its key's list, and its cell.
    fn value(&self, key: u32, wanted: &str) -> Result<Option<(usize, u32)>> {
        let cells = &self.hive.cells;
        let node = KeyNode::read(cells, key)?;
        for (place, at) in value::list(cells, &node)?.into_iter().enumerate() {
            if name::same(&ValueKey::read(cells, at)?.name(cells, at)?, wanted) {
                return Ok(Some((place, at)));
            }
        }
        Ok(None)
    }

    /// Gives a value other data; whether it had not that already.
    fn change(&mut self, at: u32, kind: Kind, data: &[u8]) -> Result<bool> {
        let found = crate::Value::open(&self.hive, at)?;
        if found.kind() == kind && found.data()? == data {
            return Ok(false);
        }
        let mut value = ValueKey::read(&self.hive.cells, at)?;
        let (place, old) = (value.place(self.hive.minor()), value.data.get());
        let inline = data.len() <= 4;
        match place {
            DataPlace::Cell(_) if !inline => {
                value.data = self.replace(Some(old), data)?.into();
                value.data_len = len(data).into();
            }
            _ => {
                self.free_data(place, old)?;
                self.store(&mut value, data)?;
            }
        }
        value.kind = kind.0.into();
        self.changed = true;
        self.hive.cells.write("value", at, &value)?;
        Ok(true)
    }

    /// Stores data for a value that has none.
    fn store(&mut self, value: &mut ValueKey, data: &[u8]) -> Result<()> {
        if data.len() <= 4 {
            let mut word = [0; 4];
            word.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
            value.data = u32::from_le_bytes(word).into();
            value.data_len = (len(data) | INLINE).into();
        } else {
            value.data = self.replace(None, data)?.into();
            value.data_len = len(data).into();
        }
        Ok(())
    }

    fn add(&mut self, key: u32, name: &str, kind: Kind, data: &[u8]) -> Result<()> {
        let (stored, latin) = name::encode(name);
        let mut value = ValueKey {
            magic: *b"vk",
            name_len: u16::try_from(stored.len()).unwrap_or(u16::MAX).into(),
            data_len: INLINE.into(),
            data: 0.into(),
            kind: kind.0.into(),
            flags: if latin && !stored.is_empty() { LATIN_NAME } else { 0 }.into(),
            spare: 0.into(),
        };
        self.store(&mut value, data)?;
        let mut content = value.as_bytes().to_vec();
        content.extend_from_slice(&stored);
        let at = self.replace(None, &content)?;
        let mut node = KeyNode::read(&self.hive.cells, key)?;
        let mut list = value::list(&self.hive.cells, &node)?;
        let place = (!list.is_empty()).then(|| node.value_list.get());
        list.push(at);
        node.value_list = self.replace(place, &bytes(&list))?.into();
        node.values = narrow(list.len()).into();
        self.write_key(key, &mut node)
    }

    /// Frees the values of a key that goes, and their list.
    pub(super) fn free_values(&mut self, node: &KeyNode) -> Result<()> {
        let list = value::list(&self.hive.cells, node)?;
        for at in &list {
            self.free_value(*at)?;
        }
        if list.is_empty() { Ok(()) } else { self.release(node.value_list.get()) }
    }

    fn free_value(&mut self, at: u32) -> Result<()> {
        let value = ValueKey::read(&self.hive.cells, at)?;
        self.free_data(value.place(self.hive.minor()), value.data.get())?;
        self.release(at)
    }

    fn free_data(&mut self, place: DataPlace, at: u32) -> Result<()> {
        match place {
            DataPlace::Nowhere | DataPlace::Inline(_) => Ok(()),
            DataPlace::Cell(_) => self.release(at),
            DataPlace::Pieces(len) => {
                let (list, pieces) = value::pieces(&self.hive.cells, at, len)?;
                pieces.into_iter().chain([list, at]).try_for_each(|cell| self.release(cell))
            }
        }
    }
}

/// A list of cells as it is stored.
fn bytes(list: &[u32]) -> Vec<u8> {
    list.iter().flat_map(|at| at.to_le_bytes()).collect()
}
