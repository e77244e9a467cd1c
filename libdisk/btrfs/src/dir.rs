//! Directory entries, which extended attributes are, too ("Dir item").

use vfs::{DirEntry, FileType, FsError, NodeId, Result};
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::bytes::index;
use crate::checksum::name_hash;
use crate::inode::Inode;
use crate::key::{Key, ROOT_DIR, RawKey, kind};
use crate::node::Item;
use crate::nodes::Place;
use crate::tree::Tree;
use crate::volume::Volume;

/// The longest name.
const NAME_MAX: usize = 255;

/// As it is on disk; name and value follow.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    location: RawKey,
    transid: U64,
    data_len: U16,
    name_len: U16,
    kind: u8,
}
const _: () = assert!(size_of::<RawEntry>() == 30);

/// A name, and what it names.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The key of the inode or of the root item.
    pub(crate) location: Key,
    kind: u8,
    name: &'a [u8],
    /// Of an extended attribute.
    value: &'a [u8],
}

/// All entries of an item: names with the same hash share one.
fn entries(item: &Item) -> Result<Vec<Entry<'_>>> {
    let mut bytes = item.data();
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let cut = || item.corrupt("an entry is cut off");
        let (raw, rest) = RawEntry::read_from_prefix(bytes).map_err(|_| cut())?;
        let (name, rest) = rest.split_at_checked(index(raw.name_len.get())).ok_or_else(cut)?;
        let (value, rest) = rest.split_at_checked(index(raw.data_len.get())).ok_or_else(cut)?;
        entries.push(Entry { location: raw.location.into(), kind: raw.kind, name, value });
        bytes = rest;
    }
    Ok(entries)
}

/// The entry with this name.
pub(crate) fn find<'a>(item: &'a Item, name: &[u8]) -> Result<Option<Entry<'a>>> {
    Ok(entries(item)?.into_iter().find(|entry| entry.name == name))
}

/// Whether it can be the name of an entry.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= NAME_MAX
        && !name.iter().any(|&byte| byte == b'/' || byte == 0)
}

impl Volume {
    /// The node that a name leads to.
    pub(crate) fn lookup(&self, tree: &Tree, dir: &Inode, name: &[u8]) -> Result<NodeId> {
        let key = Key::new(dir.number, kind::DIR_ITEM, name_hash(name));
        let item = self.item(tree, key)?.ok_or(FsError::NotFound)?;
        let entry = find(&item, name)?.ok_or(FsError::NotFound)?;
        self.node_of(tree, dir, &entry, &item)
    }

    /// All names of a directory, in the order in which they were made.
    pub(crate) fn names(&self, tree: &Tree, dir: &Inode) -> Result<Vec<DirEntry>> {
        let mut names = Vec::new();
        let all = Key::new(dir.number, kind::DIR_INDEX, 0)..=Key::new(dir.number, kind::DIR_INDEX, u64::MAX);
        for item in self.items(tree, all) {
            let item = item?;
            for entry in entries(&item)? {
                if !is_name(entry.name) {
                    return Err(item.corrupt("an entry has an impossible name"));
                }
                let file_type = entry.file_type(&item)?;
                let node = self.node_of(tree, dir, &entry, &item)?;
                names.push(DirEntry { name: entry.name.to_vec(), node, file_type });
            }
        }
        Ok(names)
    }

    fn node_of(&self, tree: &Tree, dir: &Inode, entry: &Entry<'_>, item: &Item) -> Result<NodeId> {
        let id = entry.location.objectid;
        let place = match entry.location.kind {
            kind::INODE_ITEM => Place::Inode { tree: tree.id, number: id },
            kind::ROOT_ITEM if self.is_mounted_at(tree.id, dir.number, entry.name, id)? => {
                Place::Inode { tree: id, number: ROOT_DIR }
            }
            kind::ROOT_ITEM => Place::Stub { tree: tree.id, subvolume: id },
            _ => return Err(item.corrupt(format!("an entry leads to {}", entry.location))),
        };
        place.node()
    }

    /// All extended attributes, sorted by name.
    pub(crate) fn attributes(&self, tree: &Tree, inode: &Inode) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let all =
            Key::new(inode.number, kind::XATTR_ITEM, 0)..=Key::new(inode.number, kind::XATTR_ITEM, u64::MAX);
        let mut attributes = Vec::new();
        for item in self.items(tree, all) {
            let item = item?;
            for entry in entries(&item)? {
                attributes.push((entry.name.to_vec(), entry.value.to_vec()));
            }
        }
        attributes.sort();
        Ok(attributes)
    }
}

impl Entry<'_> {
    fn file_type(&self, item: &Item) -> Result<FileType> {
        match self.kind {
            1 => Ok(FileType::Regular),
            2 => Ok(FileType::Directory),
            3 => Ok(FileType::CharDevice),
            4 => Ok(FileType::BlockDevice),
            5 => Ok(FileType::Fifo),
            6 => Ok(FileType::Socket),
            7 => Ok(FileType::Symlink),
            kind if kind & 0x80 != 0 => Err(FsError::unsupported("an encrypted directory of btrfs")),
            kind => Err(item.corrupt(format!("an entry of the type {kind}"))),
        }
    }
}
