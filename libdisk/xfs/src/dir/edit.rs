//! A directory that is being changed: its names in memory, written whole in the smallest form that holds
//! them.

use std::collections::HashMap;

use vfs::{FileType, FsError, Result};

use super::index::Shape;
use super::{Entry, data, short};
use crate::bytes::{half, wide};
use crate::change::Change;
use crate::da::{Header, Space, hash};
use crate::extent::Side;
use crate::fork::Fork;
use crate::inode::Inode;
use crate::superblock::Superblock;

/// The names of one data block, in the order of their places.
#[derive(Debug, Default)]
struct Block {
    entries: Vec<Entry>,
    /// Bytes that they take.
    used: usize,
}

/// A directory in memory.
#[derive(Debug)]
pub(crate) struct Directory {
    number: u64,
    parent: u64,
    blocks: Vec<Block>,
    /// The block in which a name is.
    places: HashMap<Vec<u8>, usize>,
    /// Bytes of all names.
    name_bytes: usize,
    /// Inode numbers, the parent among them, of more than 32 bits.
    longs: usize,
    /// Entries of a data block may take so many bytes; the first block has "." and "..", too.
    room: usize,
    /// No block before this one has room for a short name.
    hint: usize,
}

/// How a directory is stored.
enum Form {
    Short,
    Block,
    Indexed(Shape),
}

impl Directory {
    pub(crate) fn new(sb: &Superblock, number: u64, parent: u64) -> Self {
        let room = sb.dir_block_size.saturating_sub(data::header_len(sb));
        let longs = usize::from(is_long(parent));
        let (blocks, places) = (Vec::new(), HashMap::new());
        let mut dir = Self { number, parent, blocks, places, name_bytes: 0, longs, room, hint: 0 };
        dir.add_block(sb);
        dir
    }

    pub(crate) fn parent(&self) -> u64 {
        self.parent
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.blocks.iter().flat_map(|block| &block.entries)
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<&Entry> {
        let block = self.blocks.get(*self.places.get(name)?)?;
        block.entries.iter().find(|entry| entry.name == name)
    }

    fn add_block(&mut self, sb: &Superblock) {
        let used = if self.blocks.is_empty() {
            data::first_offset(sb).saturating_sub(data::header_len(sb))
        } else {
            0
        };
        self.blocks.push(Block { entries: Vec::new(), used });
    }

    fn insert(&mut self, sb: &Superblock, entry: Entry) {
        let len = data::entry_len(sb, entry.name.len());
        let fits = |block: &Block| block.used.saturating_add(len) <= self.room;
        let found = self.blocks.iter().enumerate().skip(self.hint).find(|(_, block)| fits(block));
        let number = match found {
            Some((number, _)) => number,
            None => {
                self.add_block(sb);
                self.blocks.len().saturating_sub(1)
            }
        };
        let full = data::entry_len(sb, 1);
        while self.blocks.get(self.hint).is_some_and(|block| block.used.saturating_add(full) > self.room) {
            self.hint = self.hint.saturating_add(1);
        }
        self.name_bytes = self.name_bytes.saturating_add(entry.name.len());
        self.longs = self.longs.saturating_add(usize::from(is_long(entry.inode)));
        self.places.insert(entry.name.clone(), number);
        if let Some(block) = self.blocks.get_mut(number) {
            block.used = block.used.saturating_add(len);
            block.entries.push(entry);
        }
    }

    fn remove(&mut self, sb: &Superblock, name: &[u8]) -> Option<Entry> {
        let number = self.places.remove(name)?;
        let block = self.blocks.get_mut(number)?;
        let at = block.entries.iter().position(|entry| entry.name == name)?;
        let entry = block.entries.remove(at);
        block.used = block.used.saturating_sub(data::entry_len(sb, name.len()));
        self.name_bytes = self.name_bytes.saturating_sub(name.len());
        self.longs = self.longs.saturating_sub(usize::from(is_long(entry.inode)));
        self.hint = self.hint.min(number);
        // No block may be empty but the first: the last one moves to its place.
        if number > 0 && self.blocks.get(number).is_some_and(|block| block.entries.is_empty()) {
            self.blocks.swap_remove(number);
            for entry in self.blocks.get(number).map_or(&[][..], |block| &block.entries) {
                self.places.insert(entry.name.clone(), number);
            }
        }
        Some(entry)
    }

    /// Entries of the index: all names, "." and "..".
    fn indexed(&self) -> usize {
        self.places.len().saturating_add(2)
    }

    /// The smallest form; an inode has `inline` bytes for it.
    fn form(&self, sb: &Superblock, space: &Space, inline: usize) -> Form {
        if let [only] = &self.blocks[..] {
            let index = self.indexed().saturating_mul(8).saturating_add(data::TAIL);
            if only.used.saturating_add(index) <= self.room {
                let short = short::len(sb, self.places.len(), self.name_bytes, self.longs > 0);
                let is_short = short <= inline && self.places.len() <= usize::from(u8::MAX);
                return if is_short { Form::Short } else { Form::Block };
            }
        }
        Form::Indexed(Shape::new(sb, space, self.indexed(), self.blocks.len()))
    }

    /// "." and ".." lie before the names of the first block.
    fn dots(&self) -> [Entry; 2] {
        let dot =
            |name: &[u8], inode| Entry { name: name.to_vec(), inode, file_type: Some(FileType::Directory) };
        [dot(b".", self.number), dot(b"..", self.parent)]
    }

    /// All blocks of a form that has blocks.
    fn encode(&self, sb: &Superblock, space: &Space, form: &Form) -> Result<Vec<(Header, u64, Vec<u8>)>> {
        let only = !matches!(form, Form::Indexed(_));
        let index = self.indexed().saturating_mul(8).saturating_add(data::TAIL);
        let end = if only { space.size.saturating_sub(index) } else { space.size };
        let dots = self.dots();
        let mut hashes = Vec::new();
        let mut rooms = Vec::new();
        let mut blocks = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            let dots = if number == 0 { &dots[..] } else { &[] };
            let entries = dots.iter().chain(&block.entries);
            let (bytes, places) = data::encode(sb, only, space.size, end, entries.clone())?;
            for (entry, at) in entries.zip(places) {
                hashes.push((hash(&entry.name), data::address(space, number, at)));
            }
            rooms.push(half(self.room.saturating_sub(block.used)));
            blocks.push((Header::Data, wide(number).saturating_mul(space.step), bytes));
        }
        hashes.sort_unstable();
        match form {
            Form::Indexed(shape) => blocks.extend(shape.encode(sb, space, &hashes, &rooms)?),
            Form::Block | Form::Short => {
                for (_, _, block) in &mut blocks {
                    data::put_index(block, &hashes)?;
                }
            }
        }
        Ok(blocks)
    }
}

fn is_long(inode: u64) -> bool {
    inode > u32::MAX.into()
}

impl Change<'_> {
    /// The directory in memory, read if need be.
    fn load_directory(&mut self, dir: &Inode) -> Result<&mut Directory> {
        if !self.fs.directories.contains_key(&dir.number) {
            let (entries, parent) = self.fs.listed(dir)?;
            let mut directory = Directory::new(&self.fs.sb, dir.number, parent);
            for mut entry in entries {
                if directory.places.contains_key(&entry.name) {
                    return Err(dir.corrupt("a directory has a name twice"));
                }
                if self.fs.sb.features.ftype() && entry.file_type.is_none() {
                    entry.file_type = Some(self.fs.inode(entry.inode)?.file_type()?);
                }
                directory.insert(&self.fs.sb, entry);
            }
            self.fs.directories.insert(dir.number, directory);
        }
        self.fs.directories.get_mut(&dir.number).ok_or(FsError::NotFound)
    }

    /// Runs `edit` on a directory, and gives it the blocks that it needs now. What is in them is written at
    /// the end.
    fn edit_directory(
        &mut self,
        dir: &mut Inode,
        edit: impl FnOnce(&mut Directory, &Superblock),
    ) -> Result<()> {
        let sb = self.fs.sb.clone();
        edit(self.load_directory(dir)?, &sb);
        self.fit_directory(dir)
    }

    /// Gives a directory in memory the blocks that it needs, and its inode the size.
    pub(crate) fn fit_directory(&mut self, dir: &mut Inode) -> Result<()> {
        let space = Space::directory(&self.fs.sb);
        let Some(directory) = self.fs.directories.get(&dir.number) else { return Ok(()) };
        let data = wide(directory.blocks.len());
        let ranges: Vec<_> = match directory.form(&self.fs.sb, &space, dir.data_room(&self.fs.sb)) {
            Form::Short => {
                let bytes = short::encode(&self.fs.sb, directory.parent, directory.entries());
                if matches!(dir.data, Fork::Extents(_) | Fork::Tree(_)) {
                    self.map_ranges(dir, Side::Data, &[])?;
                }
                dir.set_size(wide(bytes.len()));
                dir.data = Fork::Inline(bytes);
                return Ok(());
            }
            Form::Block => std::iter::once(0..space.step).collect(),
            Form::Indexed(shape) => {
                let data = 0..data.saturating_mul(space.step);
                std::iter::once(data).chain(shape.ranges(&self.fs.sb, &space)).collect()
            }
        };
        if matches!(dir.data, Fork::Inline(_)) {
            dir.data = Fork::default();
        }
        dir.set_size(data.saturating_mul(wide(space.size)));
        self.map_ranges(dir, Side::Data, &ranges)
    }

    /// Stores a directory in the form for the room that its inode has now.
    pub(crate) fn load_and_fit_directory(&mut self, dir: &mut Inode) -> Result<()> {
        self.edit_directory(dir, |_, _| {})
    }

    /// Starts an empty directory.
    pub(crate) fn start_directory(&mut self, dir: &mut Inode, parent: u64) -> Result<()> {
        self.fs.directories.insert(dir.number, Directory::new(&self.fs.sb, dir.number, parent));
        self.fit_directory(dir)
    }

    /// Adds a name that is new.
    pub(crate) fn add_name(
        &mut self,
        dir: &mut Inode,
        name: &[u8],
        inode: u64,
        file_type: FileType,
    ) -> Result<()> {
        let file_type = self.fs.sb.features.ftype().then_some(file_type);
        let entry = Entry { name: name.to_vec(), inode, file_type };
        self.edit_directory(dir, |directory, sb| directory.insert(sb, entry))
    }

    /// Takes a name away.
    pub(crate) fn remove_name(&mut self, dir: &mut Inode, name: &[u8]) -> Result<()> {
        self.edit_directory(dir, |directory, sb| {
            directory.remove(sb, name);
        })
    }

    /// Has a name lead to another inode.
    pub(crate) fn redirect_name(
        &mut self,
        dir: &mut Inode,
        name: &[u8],
        inode: u64,
        file_type: FileType,
    ) -> Result<()> {
        self.remove_name(dir, name)?;
        self.add_name(dir, name, inode, file_type)
    }

    /// Moves a directory to another parent.
    pub(crate) fn set_parent(&mut self, dir: &mut Inode, parent: u64) -> Result<()> {
        self.edit_directory(dir, |directory, _| {
            let before = usize::from(is_long(directory.parent));
            directory.longs =
                directory.longs.saturating_sub(before).saturating_add(usize::from(is_long(parent)));
            directory.parent = parent;
        })
    }

    /// Writes all directories that were changed.
    pub(crate) fn write_directories(&mut self) -> Result<()> {
        let space = Space::directory(&self.fs.sb);
        for (number, directory) in std::mem::take(&mut self.fs.directories) {
            let dir = self.fs.inode(number)?;
            if matches!(dir.data, Fork::Inline(_)) {
                continue;
            }
            let form = directory.form(&self.fs.sb, &space, 0);
            for (header, at, block) in directory.encode(&self.fs.sb, &space, &form)? {
                self.stage_space_block(&dir, &space, (at, block), header)?;
            }
        }
        Ok(())
    }
}
