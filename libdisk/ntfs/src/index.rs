//! Directories: an index of names, a tree of nodes, the first of them in the record (linux-ntfs
//! documentation, "Directory index").

use std::cmp::Ordering;
use std::collections::HashSet;

use vfs::bytes::{byte, index, le16, le32, le64, part};
use vfs::{FsError, Result};

use crate::attribute::units;
use crate::fixup;
use crate::record::Reference;
use crate::upcase::Capitals;

/// What a name is for.
const DOS: u8 = 2;

/// The index is one of names of files.
const FILE_NAME: u32 = 0x30;

/// An entry has a node below it.
const HAS_CHILD: u16 = 1;
/// It is the last of its node, and has no name.
const LAST: u16 = 2;

/// Attributes of a file in a name.
const REPARSE: u32 = 0x400;
const DIRECTORY: u32 = 0x1000_0000;

/// More levels than this no directory has.
const DEEPEST: usize = 32;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) reference: Reference,
    pub(crate) name: Vec<u16>,
    /// The second name of a file, for DOS.
    pub(crate) dos: bool,
    pub(crate) directory: bool,
    pub(crate) reparse: bool,
}

/// A directory's index: the root's bytes, and how to read its other nodes.
pub(crate) struct Index<'i> {
    root: &'i [u8],
    block_size: usize,
    /// Bytes that a number of a node counts.
    unit: u64,
    read: &'i dyn Fn(&mut [u8], u64) -> Result<()>,
}

/// A node: its entries, each with the node in front of it.
#[derive(Debug)]
struct Node {
    entries: Vec<(Option<Entry>, Option<u64>)>,
}

fn corrupt(why: impl Into<String>) -> FsError {
    FsError::corrupt("directory index", 0, why.into())
}

impl<'i> Index<'i> {
    /// The index whose root is given. `read` reads its other nodes, from an offset in their stream.
    pub(crate) fn new(
        root: &'i [u8],
        cluster_size: u32,
        read: &'i dyn Fn(&mut [u8], u64) -> Result<()>,
    ) -> Result<Self> {
        if le32(root, 0)? != FILE_NAME {
            return Err(corrupt("it is not one of names"));
        }
        let size = le32(root, 8)?;
        if !(512..=65536).contains(&size) || !size.is_power_of_two() {
            return Err(corrupt(format!("its nodes have {size} bytes")));
        }
        // Nodes smaller than a cluster are counted by sectors.
        let unit = if size >= cluster_size { cluster_size } else { 512 };
        Ok(Self { root, block_size: index(size), unit: u64::from(unit), read })
    }

    fn root(&self) -> Result<Node> {
        Node::read(self.root.get(16..).unwrap_or_default())
    }

    fn node(&self, number: u64) -> Result<Node> {
        let place = number.checked_mul(self.unit).ok_or_else(|| corrupt("a node lies nowhere"))?;
        let mut block = vec![0; self.block_size];
        (self.read)(&mut block, place)?;
        fixup::take_off(&mut block, *b"INDX", "index block", place)?;
        if le64(&block, 16)? != number {
            return Err(corrupt(format!("node {number} says that it is another one")));
        }
        Node::read(block.get(24..).unwrap_or_default())
    }

    /// The entry of a name.
    pub(crate) fn find(&self, capitals: &Capitals, name: &[u16]) -> Result<Option<Entry>> {
        let mut node = self.root()?;
        for _ in 0..DEEPEST {
            let mut below = None;
            for (entry, child) in node.entries {
                let order = entry.as_ref().map_or(Ordering::Less, |entry| capitals.order(name, &entry.name));
                match order {
                    Ordering::Equal => return Ok(entry),
                    Ordering::Less => {
                        below = child;
                        break;
                    }
                    Ordering::Greater => {}
                }
            }
            match below {
                Some(number) => node = self.node(number)?,
                None => return Ok(None),
            }
        }
        Err(corrupt(format!("it has more than {DEEPEST} levels")))
    }

    /// All entries, in their order.
    pub(crate) fn all(&self) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        let mut path = vec![self.root()?.entries.into_iter()];
        while let Some(level) = path.last_mut() {
            let Some((entry, child)) = level.next() else {
                path.pop();
                // The entry whose node has ended comes now.
                continue;
            };
            if let Some(number) = child {
                if !seen.insert(number) || path.len() > DEEPEST {
                    return Err(corrupt(format!("it comes to node {number} twice")));
                }
                let mut entries = self.node(number)?.entries;
                // In front of the entry is its node.
                entries.push((entry, None));
                path.push(entries.into_iter());
            } else {
                all.extend(entry);
            }
        }
        Ok(all)
    }
}

impl Node {
    /// The node whose header is at the start of some bytes.
    fn read(bytes: &[u8]) -> Result<Self> {
        let (first, end) = (index(le32(bytes, 0)?), index(le32(bytes, 4)?));
        let mut rest = part(bytes, 0, end)?.get(first..).unwrap_or_default();
        let mut entries = Vec::new();
        loop {
            let (len, flags) = (usize::from(le16(rest, 8)?), le16(rest, 12)?);
            if len < 16 || !len.is_multiple_of(8) || len > rest.len() {
                return Err(corrupt(format!("an entry has {len} bytes")));
            }
            let bytes = part(rest, 0, len)?;
            let child = match flags & HAS_CHILD {
                0 => None,
                _ => Some(le64(bytes, len.saturating_sub(8))?),
            };
            if flags & LAST != 0 {
                entries.push((None, child));
                return Ok(Self { entries });
            }
            let key = part(bytes, 16, usize::from(le16(bytes, 10)?))?;
            entries.push((Some(Entry::read(le64(bytes, 0)?, key)?), child));
            rest = rest.get(len..).unwrap_or_default();
        }
    }
}

impl Entry {
    /// An entry whose key is the content of a FILE_NAME attribute.
    fn read(reference: u64, key: &[u8]) -> Result<Self> {
        let flags = le32(key, 56)?;
        let len = usize::from(byte(key, 64)?);
        Ok(Self {
            reference: Reference::of(reference),
            name: units(part(key, 66, len.saturating_mul(2))?),
            dos: byte(key, 65)? == DOS,
            directory: flags & DIRECTORY != 0,
            reparse: flags & REPARSE != 0,
        })
    }
}
