//! Root items, and the subvolumes that they make ("Root tree").

use vfs::{FsError, Result};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::bytes::index;
use crate::checksum::name_hash;
use crate::dir;
use crate::key::{Key, ROOT_DIR, kind, tree};
use crate::node::Item;
use crate::superblock::{LEVELS, Root};
use crate::tree::Tree;
use crate::volume::Volume;

/// `flags`: a subvolume that must not be changed.
const READ_ONLY: u64 = 1;

/// Directories above a subvolume; a path of 4,095 bytes has no more.
const DEPTH: usize = 2048;

/// The part of a root item that all versions have.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRoot {
    inode: [u8; 160],
    generation: U64,
    root_dirid: U64,
    bytenr: U64,
    byte_limit: U64,
    bytes_used: U64,
    last_snapshot: U64,
    flags: U64,
    refs: U32,
    drop_progress: [u8; 17],
    drop_level: u8,
    level: u8,
}
const _: () = assert!(size_of::<RawRoot>() == 239);

/// `ROOT_REF` and `ROOT_BACKREF`: where a subvolume stands in the one above it; the name follows.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRootRef {
    dirid: U64,
    sequence: U64,
    name_len: U16,
}
const _: () = assert!(size_of::<RawRootRef>() == 18);

/// `INODE_REF`: the name of an inode in a directory follows.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawInodeRef {
    index: U64,
    name_len: U16,
}

/// A subvolume or snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// Its number, as in the mount option `subvolid`; 5 is the one at the top.
    pub id: u64,
    /// Its path from the top, as in the mount option `subvol`: "@/home"; empty for the one at the top.
    pub path: Vec<u8>,
    /// Whether it must not be changed: most snapshots.
    pub read_only: bool,
}

impl Volume {
    fn root_item(&self, id: u64) -> Result<Option<(RawRoot, Item)>> {
        let item = self.last_item(&self.root_tree, Key::new(id, kind::ROOT_ITEM, u64::MAX))?;
        let Some(item) = item.filter(|item| item.key.is(id, kind::ROOT_ITEM)) else { return Ok(None) };
        let (raw, _) = item.read::<RawRoot>()?;
        if raw.level >= LEVELS {
            return Err(item.corrupt(format!("a tree of {} levels", raw.level)));
        }
        Ok(Some((raw, item)))
    }

    /// The tree with this number.
    pub(crate) fn tree(&self, id: u64) -> Result<Option<Tree>> {
        let root = |raw: &RawRoot| Root {
            logical: raw.bytenr.get(),
            level: raw.level,
            generation: raw.generation.get(),
        };
        Ok(self.root_item(id)?.map(|(raw, _)| Tree::new(id, root(&raw))))
    }

    /// The tree with this number, without which nothing works.
    pub(crate) fn needed_tree(&self, id: u64) -> Result<Tree> {
        let missing = || FsError::corrupt("root tree", 0, format!("there is no tree {id}"));
        self.tree(id)?.ok_or_else(missing)
    }

    /// The tree of a subvolume; `None` if there is none, or if it is being deleted.
    pub(crate) fn subvolume(&self, id: u64) -> Result<Option<Tree>> {
        match self.root_item(id)? {
            Some((raw, _)) if tree::is_subvolume(id) && raw.refs.get() > 0 => self.tree(id),
            _ => Ok(None),
        }
    }

    /// The subvolume that is mounted where nobody says which.
    pub(crate) fn default_subvolume(&self) -> Result<u64> {
        let key = Key::new(self.sb.root_dir(), kind::DIR_ITEM, name_hash(b"default"));
        let Some(item) = self.item(&self.root_tree, key)? else { return Ok(tree::FS) };
        let entry = dir::find(&item, b"default")?;
        Ok(entry.map_or(tree::FS, |entry| entry.location.objectid))
    }

    /// Whether a subvolume stands under this name in this directory: in a snapshot of the directory it does
    /// not.
    pub(crate) fn is_mounted_at(&self, above: u64, dir: u64, name: &[u8], id: u64) -> Result<bool> {
        let Some(item) = self.item(&self.root_tree, Key::new(above, kind::ROOT_REF, id))? else {
            return Ok(false);
        };
        let (raw, rest) = item.read::<RawRootRef>()?;
        let known =
            rest.get(..index(raw.name_len.get())).ok_or_else(|| item.corrupt("its name is cut off"))?;
        Ok(raw.dirid.get() == dir && known == name && self.subvolume(id)?.is_some())
    }

    /// All subvolumes with a path, by their numbers.
    pub(crate) fn subvolumes(&self) -> Result<Vec<Subvolume>> {
        let mut found = Vec::new();
        let mut from = Key::new(tree::FS, 0, 0);
        loop {
            let next =
                self.items(&self.root_tree, from..=Key::new(tree::LAST_FREE, u8::MAX, u64::MAX)).next();
            let Some(item) = next.transpose()? else { return Ok(found) };
            let id = item.key.objectid;
            if let Some((raw, _)) = self.root_item(id)?
                && tree::is_subvolume(id)
                && raw.refs.get() > 0
                && let Some(path) = self.path_of(id)?
            {
                found.push(Subvolume { id, path, read_only: raw.flags.get() & READ_ONLY != 0 });
            }
            from = Key::new(id.saturating_add(1), 0, 0);
        }
    }

    /// The path of a subvolume from the top; `None` if it has lost its place.
    fn path_of(&self, mut id: u64) -> Result<Option<Vec<u8>>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        while id != tree::FS {
            let back = Key::new(id, kind::ROOT_BACKREF, 0)..=Key::new(id, kind::ROOT_BACKREF, u64::MAX);
            let Some(item) = self.items(&self.root_tree, back).next().transpose()? else { return Ok(None) };
            let (raw, rest) = item.read::<RawRootRef>()?;
            names.push(rest.get(..index(raw.name_len.get())).unwrap_or_default().to_vec());
            id = item.key.offset;
            let Some(above) = self.subvolume(id)? else { return Ok(None) };
            let mut dir = raw.dirid.get();
            while dir != ROOT_DIR {
                let up = Key::new(dir, kind::INODE_REF, 0)..=Key::new(dir, kind::INODE_REF, u64::MAX);
                let Some(item) = self.items(&above, up).next().transpose()? else { return Ok(None) };
                let (raw, rest) = item.read::<RawInodeRef>()?;
                names.push(rest.get(..index(raw.name_len.get())).unwrap_or_default().to_vec());
                dir = item.key.offset;
                if names.len() > DEPTH {
                    return Err(item.corrupt("the directory stands in itself"));
                }
            }
            if names.len() > DEPTH {
                return Err(item.corrupt("the subvolume stands in itself"));
            }
        }
        names.reverse();
        Ok(Some(names.join(&b'/')))
    }
}
