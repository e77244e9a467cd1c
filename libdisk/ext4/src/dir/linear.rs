//! Entries in a block ("ext4 disk layout: Linear (Classic) Directories").

use vfs::{FsError, Result};

use crate::bytes::{byte, index, le16, le32, low16, pad4, part, put, put16, put32, wide};

/// Bytes of an entry before its name.
const HEADER: usize = 8;
/// Bytes of the entry that holds a block's checksum ("struct ext4_dir_entry_tail").
pub(crate) const TAIL: usize = 12;

/// How entries are laid out, and where, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Whether entries say what they name.
    pub(crate) file_types: bool,
    /// Bytes of a block; in 64 KiB blocks lengths are coded differently.
    pub(crate) block_size: usize,
    /// The directory.
    pub(crate) dir: u32,
    /// Where the entries start on the volume, in bytes.
    pub(crate) place: u64,
}

/// An entry; inode 0 means a free one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// Where it starts.
    pub(crate) at: usize,
    /// Bytes up to the next one.
    pub(crate) len: usize,
    pub(crate) inode: u32,
    /// The code of [`super::type_code`], 0 where entries do not say.
    pub(crate) file_type: u8,
    pub(crate) name: &'a [u8],
}

/// Bytes that an entry with this name needs.
pub(crate) fn needed(name: &[u8]) -> usize {
    pad4(name.len().saturating_add(HEADER))
}

impl Layout {
    fn decode_len(&self, len: u16) -> usize {
        match len {
            0 | 65535 if self.block_size == 65536 => 65536,
            len => len.into(),
        }
    }

    fn encode_len(&self, len: usize) -> u16 {
        u16::try_from(len).unwrap_or(65535)
    }

    fn corrupt(&self, at: usize, what: &'static str) -> FsError {
        FsError::corrupt(format!("directory {}", self.dir), self.place.saturating_add(wide(at)), what)
    }

    fn entry<'a>(&self, region: &'a [u8], at: usize) -> Result<Entry<'a>> {
        let len = self
            .decode_len(le16(region, at.saturating_add(4)).map_err(|_| self.corrupt(at, "a cut-off entry"))?);
        let name_len = usize::from(byte(region, at.saturating_add(6))?);
        let end = at.checked_add(len).filter(|&end| end <= region.len());
        if end.is_none() || len < HEADER.saturating_add(1) || len & 3 != 0 {
            return Err(self.corrupt(at, "an entry has the wrong length"));
        }
        if name_len.saturating_add(HEADER) > len {
            return Err(self.corrupt(at, "a name does not fit its entry"));
        }
        let file_type = if self.file_types { byte(region, at.saturating_add(7))? } else { 0 };
        let name = part(region, at.saturating_add(HEADER), name_len)?;
        let inode = le32(region, at)?;
        if inode != 0 && name.is_empty() {
            return Err(self.corrupt(at, "an entry without a name"));
        }
        if inode != 0 && name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(self.corrupt(at, "a name with '/' or a zero byte"));
        }
        Ok(Entry { at, len, inode, file_type, name })
    }

    /// All entries, free ones too; ends after an error.
    pub(crate) fn entries<'a>(self, region: &'a [u8]) -> impl Iterator<Item = Result<Entry<'a>>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= region.len() {
                return None;
            }
            let entry = self.entry(region, at);
            at = entry.as_ref().map_or(region.len(), |entry| entry.at.saturating_add(entry.len));
            Some(entry)
        })
    }

    /// The entry of this name.
    pub(crate) fn find<'a>(self, region: &'a [u8], name: &[u8]) -> Result<Option<Entry<'a>>> {
        for entry in self.entries(region) {
            let entry = entry?;
            if entry.inode != 0 && entry.name == name {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn write(
        &self,
        region: &mut [u8],
        at: usize,
        len: usize,
        inode: u32,
        file_type: u8,
        name: &[u8],
    ) -> Result<()> {
        put32(region, at, inode)?;
        put16(region, at.saturating_add(4), self.encode_len(len))?;
        let file_type = if self.file_types { file_type } else { 0 };
        put16(region, at.saturating_add(6), low16(wide(name.len())) | u16::from(file_type) << 8)?;
        put(region, at.saturating_add(HEADER), name)
    }

    /// Puts an entry where there is room, if there is.
    pub(crate) fn insert(self, region: &mut [u8], name: &[u8], inode: u32, file_type: u8) -> Result<bool> {
        let mut place = None;
        for entry in self.entries(region) {
            let entry = entry?;
            let used = if entry.inode == 0 { 0 } else { needed(entry.name) };
            if entry.len.saturating_sub(used) >= needed(name) {
                place = Some((entry.at, used, entry.len));
                break;
            }
        }
        let Some((at, used, len)) = place else { return Ok(false) };
        if used > 0 {
            put16(region, at.saturating_add(4), self.encode_len(used))?;
        }
        self.write(region, at.saturating_add(used), len.saturating_sub(used), inode, file_type, name)?;
        Ok(true)
    }

    /// Takes the entry at `at` away: the one before it grows over it.
    pub(crate) fn remove(self, region: &mut [u8], at: usize) -> Result<()> {
        let mut before: Option<(usize, usize)> = None;
        let mut found = None;
        for entry in self.entries(region) {
            let entry = entry?;
            if entry.at == at {
                found = Some(entry.len);
                break;
            }
            before = Some((entry.at, entry.len));
        }
        let len = found.ok_or_else(|| self.corrupt(at, "the entry to remove is not there"))?;
        match before {
            Some((at, before)) => {
                put16(region, at.saturating_add(4), self.encode_len(before.saturating_add(len)))
            }
            None => put32(region, at, 0),
        }
    }

    /// Makes the entry at `at` name another inode.
    pub(crate) fn set_inode(self, region: &mut [u8], at: usize, inode: u32, file_type: u8) -> Result<()> {
        put32(region, at, inode)?;
        if self.file_types { put(region, at.saturating_add(7), &[file_type]) } else { Ok(()) }
    }

    /// Fills a region with exactly these entries; what is left belongs to the last one.
    pub(crate) fn pack<'a>(
        self,
        region: &mut [u8],
        entries: impl IntoIterator<Item = (u32, u8, &'a [u8])>,
    ) -> Result<()> {
        region.fill(0);
        let mut at = 0_usize;
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_none() {
            return put16(region, 4, self.encode_len(region.len()));
        }
        while let Some((inode, file_type, name)) = entries.next() {
            let rest = region.len().saturating_sub(at);
            let len = if entries.peek().is_some() { needed(name) } else { rest };
            if needed(name) > rest {
                return Err(self.corrupt(at, "its entries do not fit a block"));
            }
            self.write(region, at, len, inode, file_type, name)?;
            at = at.saturating_add(len);
        }
        Ok(())
    }

    /// The tail entry that holds the checksum of a block.
    pub(crate) fn write_tail(self, block: &mut [u8], checksum: u32) -> Result<()> {
        let at = block.len().saturating_sub(TAIL);
        put32(block, at, 0)?;
        put16(block, at.saturating_add(4), low16(wide(TAIL)))?;
        put16(block, at.saturating_add(6), 0xde00)?;
        put32(block, at.saturating_add(8), checksum)
    }

    /// The inode that ".." names and where that entry is, in the first block of a directory.
    pub(crate) fn parent(self, region: &[u8]) -> Result<(usize, u32)> {
        let mut entries = self.entries(region);
        match (entries.next().transpose()?, entries.next().transpose()?) {
            (Some(dot), Some(parent)) if dot.name == b"." && parent.name == b".." => {
                Ok((parent.at, parent.inode))
            }
            _ => Err(self.corrupt(0, "it does not start with '.' and '..'")),
        }
    }
}

/// Bytes of a block of this size that entries may fill.
pub(crate) fn room(block_size: u32, checksums: bool) -> usize {
    index(block_size).saturating_sub(if checksums { TAIL } else { 0 })
}
