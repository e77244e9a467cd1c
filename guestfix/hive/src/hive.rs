//! A hive as a whole: its base block, its bins, and what lies behind them.

use std::sync::OnceLock;

use crate::base_block::{self, BaseBlock};
use crate::cells::{Cells, index};
use crate::error::{Error, Result};
use crate::key::Key;

/// A registry hive whose last write was ended.
#[derive(Clone)]
pub struct Hive {
    /// The base block with its padding.
    pub(crate) head: Vec<u8>,
    pub(crate) base: BaseBlock,
    pub(crate) cells: Cells,
    /// What is in the file behind the bins; nobody reads it.
    pub(crate) slack: Vec<u8>,
    /// It was checked since it was changed, and is sound.
    pub(crate) sound: OnceLock<()>,
}

impl std::fmt::Debug for Hive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hive").field("cells", &self.cells).finish_non_exhaustive()
    }
}

impl Hive {
    /// A hive that was written to its end, from its file.
    ///
    /// # Errors
    /// `NoHive` and `Unsupported`; `Dirty` if it was not written to its end, for which see [`Hive::recover`];
    /// `Corrupt` if its bins are damaged.
    pub fn open(file: Vec<u8>) -> Result<Self> {
        let base = BaseBlock::of_hive(&file)?;
        if !base.is_clean() {
            let (primary, secondary) = (base.primary.get(), base.secondary.get());
            return Err(Error::Dirty { primary, secondary, why: "its logs were not looked at".to_owned() });
        }
        Self::from_parts(file, base)
    }

    /// A hive of a file that is whole, or was made so.
    pub(crate) fn from_parts(mut file: Vec<u8>, base: BaseBlock) -> Result<Self> {
        let size = base.bins_size.get();
        let end = index(size).checked_add(base_block::LEN).filter(|end| *end <= file.len());
        let end = end.ok_or_else(|| Error::Corrupt {
            what: "base block",
            offset: 40,
            why: format!("its {size} bytes of bins are more than the file has"),
        })?;
        let slack = file.split_off(end);
        let bins = file.split_off(base_block::LEN);
        Ok(Self { head: file, base, cells: Cells::new(bins)?, slack, sound: OnceLock::new() })
    }

    /// The file.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut file = self.head;
        file.extend_from_slice(self.cells.bytes());
        file.extend_from_slice(&self.slack);
        file
    }

    pub(crate) fn minor(&self) -> u32 {
        self.base.minor.get()
    }

    /// The root.
    ///
    /// # Errors
    /// `Corrupt` if it is damaged; so for all that follow.
    pub fn root(&self) -> Result<Key<'_>> {
        Key::open(self, self.base.root.get())
    }

    /// The key at a path from the root, with `\` between its names; capitals and small letters are the same.
    ///
    /// # Errors
    /// As [`Hive::root`].
    pub fn key(&self, path: &str) -> Result<Option<Key<'_>>> {
        self.root()?.at_path(path)
    }

    /// When it was written last: units of 100 ns since 1601-01-01, UTC.
    pub fn last_written(&self) -> u64 {
        self.base.last_written.get()
    }
}
