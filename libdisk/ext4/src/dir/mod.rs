//! Directories: names to inodes.

mod hash;
mod htree;
mod linear;

use std::collections::HashSet;
use std::sync::Arc;

use vfs::{FileType, FsError, Result};

use crate::bytes::{le16, le32, part, part_mut, put32};
use crate::change::Change;
use crate::checksum::crc32c;
use crate::features::{compat, incompat};
use crate::inode::{Inode, ROOT, flag};
use crate::mapping::Extent;
use crate::{Ext4, inline};
use linear::{Layout, TAIL};

/// The longest name.
const NAME_MAX: usize = 255;

/// What a directory says of one name.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) name: Vec<u8>,
    pub(crate) inode: u32,
    /// `None` where entries do not say.
    pub(crate) file_type: Option<FileType>,
    place: Place,
}

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In this block of the volume, at this byte.
    Block(u64, usize),
    /// In the inode, at this byte of the inline data.
    Inline(usize),
}

/// The code of a type in an entry.
fn type_code(file_type: FileType) -> u8 {
    match file_type {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::CharDevice => 3,
        FileType::BlockDevice => 4,
        FileType::Fifo => 5,
        FileType::Socket => 6,
        FileType::Symlink => 7,
    }
}

fn type_of(code: u8) -> Option<FileType> {
    use FileType::{BlockDevice, CharDevice, Directory, Fifo, Regular, Socket, Symlink};
    [Regular, Directory, CharDevice, BlockDevice, Fifo, Socket, Symlink]
        .into_iter()
        .find(|&t| type_code(t) == code & 7)
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

/// Whether a block is an inner node of a hash tree: it looks like one free entry over the whole block.
fn is_index_node(block: &[u8]) -> Result<bool> {
    let len = usize::from(le16(block, 4)?);
    Ok(le32(block, 0)? == 0 && (len == block.len() || block.len() == 65536 && (len == 0 || len == 65535)))
}

impl Ext4 {
    fn layout(&self, dir: &Inode, place: u64) -> Layout {
        let file_types = self.sb.incompat(incompat::FILETYPE);
        Layout { file_types, block_size: self.blocks.block_size(), dir: dir.number, place }
    }

    /// Whether lookups may use the hash tree.
    fn is_indexed(&self, dir: &Inode) -> bool {
        dir.has(flag::INDEX) && self.sb.compat(compat::DIR_INDEX)
    }

    /// Bytes of a block that entries may fill.
    fn entry_room(&self) -> usize {
        linear::room(self.sb.block_size, self.sb.checksums())
    }

    /// The directory with this number; refuses what cannot be listed.
    pub(crate) fn directory(&self, number: u32) -> Result<Inode> {
        let dir = self.inode(number)?;
        if !dir.is_dir() {
            return Err(FsError::NotADirectory);
        }
        dir.check_plain()?;
        Ok(dir)
    }

    /// The blocks of a directory with their numbers in it, as far as its size goes.
    fn dir_blocks(&self, dir: &Inode) -> Result<Vec<(u64, u64)>> {
        let end = dir.size().div_ceil(u64::from(self.sb.block_size));
        let mapping = self.mapping(dir)?;
        Ok(mapping.blocks().take_while(|&(logical, _)| logical < end).collect())
    }

    /// A block of a directory, its checksum checked.
    fn dir_block(&self, dir: &Inode, logical: u64, physical: u64) -> Result<Arc<Vec<u8>>> {
        let bytes = self.blocks.read(physical)?;
        if self.sb.checksums() {
            let indexed = dir.has(flag::INDEX);
            if indexed && (logical == 0 || is_index_node(&bytes)?) {
                self.check_index_node(dir, logical, physical, &bytes)?;
            } else {
                let room = self.entry_room();
                let stored = le32(&bytes, room.saturating_add(TAIL).saturating_sub(4))?;
                if le16(&bytes, room.saturating_add(4))? != 12
                    || crc32c(dir.seed(&self.sb), part(&bytes, 0, room)?) != stored
                {
                    let structure = format!("directory {}", dir.number);
                    return Err(FsError::corrupt(
                        structure,
                        self.sb.byte(physical),
                        "the checksum of a block is wrong",
                    ));
                }
            }
        }
        Ok(bytes)
    }

    /// The block `logical` of a directory; there are no holes in one.
    fn dir_block_at(&self, dir: &Inode, logical: u64) -> Result<(u64, Arc<Vec<u8>>)> {
        let corrupt = |what: &'static str| FsError::corrupt(format!("directory {}", dir.number), 0, what);
        if logical >= dir.size().div_ceil(u64::from(self.sb.block_size)) {
            return Err(corrupt("its index points past its end"));
        }
        let physical = self.map(dir, logical)?.0.ok_or_else(|| corrupt("it has a hole"))?;
        Ok((physical, self.dir_block(dir, logical, physical)?))
    }

    /// Everything that is listed, "." and ".." too where they are stored; `each` may end it by returning a
    /// value.
    fn scan<T>(
        &self,
        dir: &Inode,
        mut each: impl FnMut(linear::Entry<'_>, Place) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        if dir.has(flag::INLINE_DATA) {
            let data = self.inline_data(dir)?;
            for region in inline::regions(data.len()) {
                let layout = self.layout(dir, 0);
                for entry in layout.entries(part(&data, region.start, region.len())?) {
                    let entry = entry?;
                    if let Some(answer) = each(entry, Place::Inline(region.start.saturating_add(entry.at)))? {
                        return Ok(Some(answer));
                    }
                }
            }
            return Ok(None);
        }
        let room = self.entry_room();
        for (logical, physical) in self.dir_blocks(dir)? {
            let bytes = self.dir_block(dir, logical, physical)?;
            // Inner nodes of a hash tree look like a free entry over the whole block.
            let len = if dir.has(flag::INDEX) && (logical == 0 || is_index_node(&bytes)?) {
                bytes.len()
            } else {
                room
            };
            for entry in self.layout(dir, self.sb.byte(physical)).entries(part(&bytes, 0, len)?) {
                let entry = entry?;
                if let Some(answer) = each(entry, Place::Block(physical, entry.at))? {
                    return Ok(Some(answer));
                }
            }
        }
        Ok(None)
    }

    fn found(&self, dir: &Inode, entry: linear::Entry<'_>, place: Place) -> Result<Found> {
        if entry.inode > self.sb.inodes {
            let structure = format!("directory {}", dir.number);
            return Err(FsError::corrupt(structure, 0, format!("an entry names inode {}", entry.inode)));
        }
        Ok(Found {
            name: entry.name.to_vec(),
            inode: entry.inode,
            file_type: type_of(entry.file_type),
            place,
        })
    }

    /// All names but "." and "..".
    pub(crate) fn names(&self, dir: &Inode) -> Result<Vec<Found>> {
        let mut names = Vec::new();
        self.scan(dir, |entry, place| {
            if entry.inode != 0 && entry.name != b"." && entry.name != b".." {
                names.push(self.found(dir, entry, place)?);
            }
            Ok(None::<()>)
        })?;
        Ok(names)
    }

    /// Whether it has no name but "." and "..".
    pub(crate) fn is_empty_dir(&self, dir: &Inode) -> Result<bool> {
        let other = self.scan(dir, |entry, _| {
            Ok((entry.inode != 0 && entry.name != b"." && entry.name != b"..").then_some(()))
        })?;
        Ok(other.is_none())
    }

    /// The entry of `name`; "." and ".." are not looked for.
    pub(crate) fn find(&self, dir: &Inode, name: &[u8]) -> Result<Option<Found>> {
        if name == b"." || name == b".." {
            return Ok(None);
        }
        if self.is_indexed(dir)
            && !dir.has(flag::INLINE_DATA | flag::CASEFOLD)
            && let Some(leaves) = self.leaves_of(dir, name)?
        {
            for logical in leaves {
                let (physical, bytes) = self.dir_block_at(dir, logical)?;
                let layout = self.layout(dir, self.sb.byte(physical));
                if let Some(entry) = layout.find(part(&bytes, 0, self.entry_room())?, name)? {
                    return self.found(dir, entry, Place::Block(physical, entry.at)).map(Some);
                }
            }
            return Ok(None);
        }
        self.scan(dir, |entry, place| {
            if entry.inode != 0 && entry.name == name {
                self.found(dir, entry, place).map(Some)
            } else {
                Ok(None)
            }
        })
    }

    /// The directory above.
    pub(crate) fn parent_of(&self, dir: &Inode) -> Result<u32> {
        if dir.has(flag::INLINE_DATA) {
            return le32(dir.block(), 0);
        }
        let (physical, bytes) = self.dir_block_at(dir, 0)?;
        Ok(self.layout(dir, self.sb.byte(physical)).parent(&bytes)?.1)
    }

    /// Whether `dir` is `ancestor` or lies below it.
    pub(crate) fn is_below(&self, dir: u32, ancestor: u32) -> Result<bool> {
        let mut seen = HashSet::new();
        let mut at = dir;
        while at != ROOT {
            if at == ancestor {
                return Ok(true);
            }
            if !seen.insert(at) {
                return Err(FsError::corrupt(format!("directory {at}"), 0, "it lies below itself"));
            }
            at = self.parent_of(&self.directory(at)?)?;
        }
        Ok(ancestor == ROOT)
    }
}

impl Change<'_> {
    /// Stages a block of entries with its checksum.
    fn stage_entries(&mut self, dir: &Inode, physical: u64, mut bytes: Vec<u8>) -> Result<()> {
        if self.fs.sb.checksums() {
            let sum = crc32c(dir.seed(&self.fs.sb), part(&bytes, 0, self.fs.entry_room())?);
            self.fs.layout(dir, 0).write_tail(&mut bytes, sum)?;
        }
        self.fs.blocks.stage(physical, bytes)
    }

    /// Gives a new directory its first block: "." and "..", then `names`.
    pub(crate) fn init_dir(&mut self, dir: &mut Inode, parent: u32, names: &[Found]) -> Result<()> {
        let (_, physical) = self.append_block(dir)?;
        let layout = self.fs.layout(dir, self.fs.sb.byte(physical));
        let code = type_code(FileType::Directory);
        let dots = [(dir.number, code, b".".as_slice()), (parent, code, b"..".as_slice())];
        let names = names
            .iter()
            .map(|found| (found.inode, found.file_type.map_or(0, type_code), found.name.as_slice()));
        let mut bytes = vec![0; self.fs.blocks.block_size()];
        layout.pack(part_mut(&mut bytes, 0, self.fs.entry_room())?, dots.into_iter().chain(names))?;
        self.stage_entries(dir, physical, bytes)
    }

    /// Adds a block at the end of a directory; the caller fills it.
    fn append_block(&mut self, dir: &mut Inode) -> Result<(u64, u64)> {
        let mapping = self.fs.mapping(dir)?;
        let block_size = u64::from(self.fs.sb.block_size);
        let logical = dir.size().div_ceil(block_size);
        if mapping.extents.last().map_or(0, Extent::end) != logical || !mapping.is_dense() {
            return Err(FsError::corrupt(format!("directory {}", dir.number), 0, "it has holes"));
        }
        let goal = mapping.extents.last().map_or_else(|| self.goal(dir), Extent::physical_end);
        let physical = self.allocate_run(goal, 1)?.start;
        let mut grown = mapping;
        grown.push(Extent { logical, physical, len: 1, unwritten: false });
        self.write_mapping(dir, &grown.extents, grown.tree)?;
        dir.set_size(logical.saturating_add(1).saturating_mul(block_size));
        Ok((logical, physical))
    }

    /// Adds a name that is not there yet. The inode `dir` changes and is not staged.
    pub(crate) fn insert_name(
        &mut self,
        dir: &mut Inode,
        name: &[u8],
        inode: u32,
        file_type: FileType,
    ) -> Result<()> {
        let code = type_code(file_type);
        if dir.has(flag::INLINE_DATA) {
            if self.insert_inline(dir, name, inode, code)? {
                return Ok(());
            }
            self.convert_inline_dir(dir)?;
        }
        if dir.has(flag::INDEX) {
            return self.insert_indexed(dir, name, inode, code);
        }
        let room = self.fs.entry_room();
        let blocks = self.fs.dir_blocks(dir)?;
        for &(logical, physical) in &blocks {
            let mut bytes = self.fs.dir_block(dir, logical, physical)?.to_vec();
            let layout = self.fs.layout(dir, self.fs.sb.byte(physical));
            if layout.insert(part_mut(&mut bytes, 0, room)?, name, inode, code)? {
                return self.stage_entries(dir, physical, bytes);
            }
        }
        if blocks.len() == 1 && self.can_index() {
            self.make_index(dir)?;
            return self.insert_indexed(dir, name, inode, code);
        }
        let (_, physical) = self.append_block(dir)?;
        let mut bytes = vec![0; self.fs.blocks.block_size()];
        let layout = self.fs.layout(dir, self.fs.sb.byte(physical));
        layout.pack(part_mut(&mut bytes, 0, room)?, [(inode, code, name)])?;
        self.stage_entries(dir, physical, bytes)
    }

    /// Changes the bytes of the block or the inline data that hold an entry.
    fn edit_entry(
        &mut self,
        dir: &mut Inode,
        place: Place,
        edit: impl FnOnce(Layout, &mut [u8], usize) -> Result<()>,
    ) -> Result<()> {
        match place {
            Place::Block(physical, at) => {
                let layout = self.fs.layout(dir, self.fs.sb.byte(physical));
                let mut bytes = self.fs.blocks.read(physical)?.to_vec();
                edit(layout, part_mut(&mut bytes, 0, self.fs.entry_room())?, at)?;
                self.stage_entries(dir, physical, bytes)
            }
            Place::Inline(at) => {
                let mut data = self.fs.inline_data(dir)?;
                let regions = inline::regions(data.len());
                let region = regions.into_iter().find(|region| region.contains(&at));
                let region = region.ok_or_else(|| dir.corrupt("an entry outside its inline data"))?;
                let layout = self.fs.layout(dir, 0);
                edit(
                    layout,
                    part_mut(&mut data, region.start, region.len())?,
                    at.saturating_sub(region.start),
                )?;
                self.store_inline(dir, &data)
            }
        }
    }

    /// Takes a name away.
    pub(crate) fn remove_name(&mut self, dir: &mut Inode, found: &Found) -> Result<()> {
        self.edit_entry(dir, found.place, |layout, region, at| layout.remove(region, at))
    }

    /// Makes a name name another inode.
    pub(crate) fn redirect_name(
        &mut self,
        dir: &mut Inode,
        found: &Found,
        inode: u32,
        file_type: FileType,
    ) -> Result<()> {
        let code = type_code(file_type);
        self.edit_entry(dir, found.place, |layout, region, at| layout.set_inode(region, at, inode, code))
    }

    /// Makes ".." name another directory.
    pub(crate) fn set_parent(&mut self, dir: &mut Inode, parent: u32) -> Result<()> {
        if dir.has(flag::INLINE_DATA) {
            return put32(dir.block_mut(), 0, parent);
        }
        let (physical, bytes) = self.fs.dir_block_at(dir, 0)?;
        let layout = self.fs.layout(dir, self.fs.sb.byte(physical));
        let (at, _) = layout.parent(&bytes)?;
        let mut bytes = bytes.to_vec();
        layout.set_inode(&mut bytes, at, parent, type_code(FileType::Directory))?;
        if dir.has(flag::INDEX) {
            self.stage_index_root(dir, physical, bytes)
        } else {
            self.stage_entries(dir, physical, bytes)
        }
    }

    fn insert_inline(&mut self, dir: &mut Inode, name: &[u8], inode: u32, code: u8) -> Result<bool> {
        let mut data = self.fs.inline_data(dir)?;
        let layout = self.fs.layout(dir, 0);
        for region in inline::regions(data.len()) {
            if layout.insert(part_mut(&mut data, region.start, region.len())?, name, inode, code)? {
                self.store_inline(dir, &data)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves the names of an inline directory into a block.
    fn convert_inline_dir(&mut self, dir: &mut Inode) -> Result<()> {
        let parent = self.fs.parent_of(dir)?;
        let names = self.fs.names(dir)?;
        self.drop_inline(dir)?;
        self.init_dir(dir, parent, &names)
    }
}
