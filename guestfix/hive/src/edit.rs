//! Changes to a hive: values set and deleted, keys made and deleted, and nothing else moved.

mod allocate;
mod descriptors;
mod lists;
mod values;

use std::sync::OnceLock;

use zerocopy::IntoBytes;

use crate::cells::{NONE, narrow};
use crate::error::{Error, Result};
use crate::hive::Hive;
use crate::key::{self, KeyNode, LATIN_NAME, NO_DELETE};
use crate::name;
use crate::subkeys::Lists;
use allocate::Free;

/// The longest name of a key, in units of UTF-16 (Microsoft Learn, "Registry element size limits").
const LONGEST_NAME: usize = 255;

/// A hive that is being changed. What is done to it is seen at once through [`Edit::hive`].
#[derive(Debug)]
pub struct Edit {
    hive: Hive,
    free: Free,
    /// What is written as the time of the change, in units of 100 ns since 1601.
    time: u64,
    changed: bool,
}

impl Hive {
    /// Begins to change the hive. `time` is written to what is changed: units of 100 ns since 1601-01-01,
    /// UTC.
    ///
    /// # Errors
    /// The first of what [`Hive::check`] finds, but for what is harmless: nothing is built on a
    /// damaged hive.
    pub fn edit(self, time: u64) -> Result<Edit> {
        self.sound()?;
        let free = Free::of(&self.cells)?;
        Ok(Edit { hive: self, free, time, changed: false })
    }

    fn sound(&self) -> Result<()> {
        if self.sound.get().is_some() {
            return Ok(());
        }
        match self.check().into_iter().find(|fault| !fault.harmless) {
            None => Ok(()),
            Some(fault) => Err(Error::Corrupt { what: "hive", offset: fault.offset, why: fault.what }),
        }
    }
}

impl Edit {
    /// The hive as it is now.
    pub fn hive(&self) -> &Hive {
        &self.hive
    }

    /// Whether anything was changed.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Ends the change: marks the hive as written to its end. A hive in which nothing was changed stays as it
    /// is, byte for byte.
    ///
    /// # Errors
    /// If the result is not sound, which is a fault of this crate.
    pub fn finish(self) -> Result<Hive> {
        let Self { mut hive, time, changed, .. } = self;
        if !changed {
            return Ok(hive);
        }
        hive.sound = OnceLock::new();
        hive.sound()?;
        let next = hive.base.primary.get().wrapping_add(1);
        (hive.base.primary, hive.base.secondary) = (next.into(), next.into());
        hive.base.last_written = time.into();
        hive.base.bins_size = hive.cells.size().into();
        hive.base.seal();
        let head = hive.base.write_to_prefix(&mut hive.head);
        head.map_err(|_| Error::NoHive("it is too short"))?;
        Ok(hive)
    }

    /// Makes the key at a path from the root, and those on the way to it, where they are not there.
    ///
    /// # Errors
    /// `Refused` for a name that no key can have, or if the hive is full.
    pub fn create_key(&mut self, path: &str) -> Result<()> {
        let mut at = self.hive.base.root.get();
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            at = match self.subkey(at, name)? {
                Some(found) => found,
                None => self.add_key(at, name)?,
            };
        }
        Ok(())
    }

    /// Deletes a key with all that is in it.
    ///
    /// # Errors
    /// `NoKey` if it is not there; `Refused` for the root, and for keys that may not be deleted.
    pub fn delete_key(&mut self, path: &str) -> Result<()> {
        let at = self.find(path)?;
        let node = KeyNode::read(&self.hive.cells, at)?;
        if at == self.hive.base.root.get() || node.flags.get() & NO_DELETE != 0 {
            return Err(Error::Refused { what: format!("{path} away"), why: "this key may not be deleted" });
        }
        self.remove_from_list(node.parent.get(), at)?;
        let mut todo = vec![at];
        while let Some(at) = todo.pop() {
            let node = KeyNode::read(&self.hive.cells, at)?;
            let lists = Lists::read(&self.hive.cells, &node, at)?;
            todo.extend(lists.keys());
            self.free_lists(&lists)?;
            self.free_values(&node)?;
            if node.class.get() != NONE && node.class_len.get() > 0 {
                self.release(node.class.get())?;
            }
            self.drop_descriptor(node.security.get())?;
            self.release(at)?;
        }
        Ok(())
    }

    /// The cell of a key at a path.
    fn find(&self, path: &str) -> Result<u32> {
        let key = self.hive.key(path)?;
        key.map(|key| key.at()).ok_or_else(|| Error::NoKey(path.to_owned()))
    }

    fn subkey(&self, at: u32, name: &str) -> Result<Option<u32>> {
        let key = crate::Key::open(&self.hive, at)?;
        Ok(key.subkey(name)?.map(|key| key.at()))
    }

    /// Writes a key's cell, with the time of the change.
    fn write_key(&mut self, at: u32, node: &mut KeyNode) -> Result<()> {
        node.last_written = self.time.into();
        self.changed = true;
        self.hive.cells.write("key", at, node)
    }

    /// A new key in another one.
    fn add_key(&mut self, parent: u32, name: &str) -> Result<u32> {
        let units = name.encode_utf16().count();
        if units > LONGEST_NAME || name.contains('\0') {
            let why = "no key has a name of more than 255 letters, or with a zero in it";
            return Err(Error::Refused { what: format!("the key {name}"), why });
        }
        let (stored, latin) = name::encode(name);
        let mut above = KeyNode::read(&self.hive.cells, parent)?;
        let none = NONE.into();
        let mut node = KeyNode {
            magic: *b"nk",
            flags: if latin { LATIN_NAME } else { 0 }.into(),
            last_written: self.time.into(),
            access: 0.into(),
            parent: parent.into(),
            subkeys: 0.into(),
            volatile_subkeys: 0.into(),
            subkey_list: none,
            volatile_list: none,
            values: 0.into(),
            value_list: none,
            security: above.security,
            class: none,
            longest_subkey_name: 0.into(),
            name_flags: 0.into(),
            longest_subkey_class: 0.into(),
            longest_value_name: 0.into(),
            longest_value: 0.into(),
            work: 0.into(),
            name_len: u16::try_from(stored.len()).unwrap_or(u16::MAX).into(),
            class_len: 0.into(),
        };
        let at = self.allocate(key::LEN.saturating_add(stored.len()))?;
        let mut bytes = node.as_bytes().to_vec();
        bytes.extend_from_slice(&stored);
        self.fill(at, &bytes)?;
        self.share_descriptor(node.security.get())?;
        self.write_key(at, &mut node)?;
        self.add_to_list(parent, at, name)?;
        above = KeyNode::read(&self.hive.cells, parent)?;
        let longest =
            above.longest_subkey_name.get().max(u16::try_from(units.saturating_mul(2)).unwrap_or(0));
        above.longest_subkey_name = longest.into();
        self.write_key(parent, &mut above)?;
        Ok(at)
    }
}

/// A length in the format's numbers.
fn len(bytes: &[u8]) -> u32 {
    narrow(bytes.len())
}
