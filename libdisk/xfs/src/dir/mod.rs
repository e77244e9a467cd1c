//! Directories: names to inodes ("Directories").

mod data;
mod edit;
mod index;
mod short;

use vfs::{FileType, FsError, Result};

use crate::Xfs;
use crate::da::{self, Header, Space};
use crate::extent::Side;
use crate::features::version;
use crate::fork::Fork;
use crate::inode::Inode;

pub(crate) use edit::Directory;

/// The longest name.
const NAME_MAX: usize = 255;

/// What a directory says of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) inode: u64,
    /// `None` where entries do not say.
    pub(crate) file_type: Option<FileType>,
}

/// The code of a type in an entry.
fn type_code(file_type: Option<FileType>) -> u8 {
    match file_type {
        None => 0,
        Some(FileType::Regular) => 1,
        Some(FileType::Directory) => 2,
        Some(FileType::CharDevice) => 3,
        Some(FileType::BlockDevice) => 4,
        Some(FileType::Fifo) => 5,
        Some(FileType::Socket) => 6,
        Some(FileType::Symlink) => 7,
    }
}

fn type_of(code: u8) -> Option<FileType> {
    use FileType::{BlockDevice, CharDevice, Directory, Fifo, Regular, Socket, Symlink};
    [Regular, Directory, CharDevice, BlockDevice, Fifo, Socket, Symlink]
        .into_iter()
        .find(|&file_type| type_code(Some(file_type)) == code)
}

/// Refuses what cannot be a name.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(FsError::Invalid("a name has 1 to 255 bytes".into()));
    }
    if name == b"." || name == b".." || name.iter().any(|&byte| byte == b'/' || byte == 0) {
        return Err(FsError::Invalid("a name is not '.' or '..' and has no '/' and no zero byte".into()));
    }
    Ok(())
}

/// Whether an entry read from the volume has a name that one can use.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|&byte| byte == b'/' || byte == 0)
}

impl Xfs {
    /// The directory with this number.
    pub(crate) fn directory(&self, number: u64) -> Result<Inode> {
        let dir = self.inode(number)?;
        if dir.is_dir() { Ok(dir) } else { Err(FsError::NotADirectory) }
    }

    /// The data blocks with their places in the directory, in file-system blocks.
    fn data_blocks(&self, dir: &Inode) -> Result<Vec<(u64, Vec<u8>)>> {
        let space = Space::directory(&self.sb);
        let extents = self.extents_in(dir, Side::Data, 0..space.index)?;
        // A block that is mapped again and again would make a directory without end.
        let mut places = extents.clone();
        places.sort_unstable_by_key(|extent| extent.physical);
        if !places.is_sorted_by(|a, b| a.physical.saturating_add(a.len) <= b.physical) {
            return Err(dir.corrupt("two parts of a directory share blocks"));
        }
        let mut blocks = Vec::new();
        let mut next = 0;
        for extent in extents {
            let end = extent.end().min(space.index);
            let mut at = extent.logical.max(next);
            while at < end {
                blocks.push((at, self.space_block(dir, &space, at, Header::Data)?));
                at = at.saturating_add(space.step);
            }
            next = at;
        }
        Ok(blocks)
    }

    /// All names of a directory, and its parent.
    fn listed(&self, dir: &Inode) -> Result<(Vec<Entry>, u64)> {
        if let Fork::Inline(bytes) = &dir.data {
            return short::parse(self, dir, bytes);
        }
        let mut entries = Vec::new();
        let mut parent = None;
        for (_, block) in self.data_blocks(dir)? {
            for (_, entry) in data::entries(&self.sb, dir, &block)? {
                match &entry.name[..] {
                    b"." => {}
                    b".." => parent = Some(entry.inode),
                    _ => entries.push(entry),
                }
            }
        }
        let parent = parent.ok_or_else(|| dir.corrupt("a directory without \"..\""))?;
        Ok((entries, parent))
    }

    /// All names of a directory but "." and "..".
    pub(crate) fn names(&self, dir: &Inode) -> Result<Vec<Entry>> {
        match self.directories.get(&dir.number) {
            Some(edited) => Ok(edited.entries().cloned().collect()),
            None => Ok(self.listed(dir)?.0),
        }
    }

    /// The parent of a directory; the root is its own.
    pub(crate) fn parent(&self, dir: &Inode) -> Result<u64> {
        match self.directories.get(&dir.number) {
            Some(edited) => Ok(edited.parent()),
            None => Ok(self.listed(dir)?.1),
        }
    }

    /// What a directory says of a name.
    pub(crate) fn find(&self, dir: &Inode, name: &[u8]) -> Result<Option<Entry>> {
        if let Some(edited) = self.directories.get(&dir.number) {
            return Ok(edited.find(name).cloned());
        }
        let small = dir.size() <= u64::try_from(self.sb.dir_block_size).unwrap_or(0);
        // Where names have no case, hashes are those of the lower case.
        if small || self.sb.features.version(version::BORG) {
            return Ok(self.names(dir)?.into_iter().find(|entry| entry.name == name));
        }
        let space = Space::directory(&self.sb);
        let hash = da::hash(name);
        for at in index::places(self, dir, &space, hash)? {
            let (block, within) = data::place(&space, at);
            let bytes = self.space_block(dir, &space, block, Header::Data)?;
            let entry = data::entry_at(&self.sb, dir, &bytes, within)?.0;
            if entry.name == name {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Whether there is no name in it.
    pub(crate) fn is_empty_dir(&self, dir: &Inode) -> Result<bool> {
        Ok(self.names(dir)?.is_empty())
    }

    /// Whether a directory is another one or lies below it.
    pub(crate) fn is_below(&self, dir: u64, above: u64) -> Result<bool> {
        let mut seen = std::collections::HashSet::new();
        let mut at = dir;
        while at != above {
            if at == self.sb.root {
                return Ok(false);
            }
            if !seen.insert(at) {
                return Err(FsError::corrupt(format!("directory {dir}"), 0, "it is its own ancestor"));
            }
            at = self.parent(&self.directory(at)?)?;
        }
        Ok(true)
    }
}
