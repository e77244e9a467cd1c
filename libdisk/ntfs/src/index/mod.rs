//! Directories: an index of names, a tree of nodes, the first of them in the record (linux-ntfs
//! documentation, "Directory index").

pub(crate) mod node;

use std::cmp::Ordering;
use std::collections::HashSet;

use vfs::bytes::{byte, index, le32, part};
use vfs::{FsError, Result};

use crate::attribute::units;
use crate::record::Reference;
use crate::upcase::Capitals;
use node::Node;

/// What a name is for: DOS, beside one for Windows.
pub(crate) const DOS: u8 = 2;

/// The index is one of names of files.
const FILE_NAME: u32 = 0x30;

/// Attributes of a file in a name.
const REPARSE: u32 = 0x400;
const DIRECTORY: u32 = 0x1000_0000;

/// More levels than this no directory has.
pub(crate) const DEEPEST: usize = 32;

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

/// What the root of an index says of its other nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) block_size: usize,
    /// Bytes that a number of a node counts.
    pub(crate) unit: u64,
}

impl Shape {
    /// What the content of an INDEX_ROOT says.
    pub(crate) fn of(root: &[u8], cluster_size: u32) -> Result<Self> {
        if le32(root, 0)? != FILE_NAME {
            return Err(corrupt("it is not one of names"));
        }
        let size = le32(root, 8)?;
        if !(512..=65536).contains(&size) || !size.is_power_of_two() {
            return Err(corrupt(format!("its nodes have {size} bytes")));
        }
        // Nodes smaller than a cluster are counted by sectors.
        let unit = if size >= cluster_size { cluster_size } else { 512 };
        Ok(Self { block_size: index(size), unit: u64::from(unit) })
    }

    /// Where a node is in its stream.
    pub(crate) fn place(self, number: u64) -> Result<u64> {
        number.checked_mul(self.unit).ok_or_else(|| corrupt("a node lies nowhere"))
    }
}

/// A directory's index: the root's bytes, and how to read its other nodes.
pub(crate) struct Index<'i> {
    root: &'i [u8],
    shape: Shape,
    read: &'i dyn Fn(&mut [u8], u64) -> Result<()>,
}

pub(crate) fn corrupt(why: impl Into<String>) -> FsError {
    FsError::corrupt("directory index", 0, why.into())
}

impl<'i> Index<'i> {
    /// The index whose root is given. `read` reads its other nodes, from an offset in their stream.
    pub(crate) fn new(
        root: &'i [u8],
        cluster_size: u32,
        read: &'i dyn Fn(&mut [u8], u64) -> Result<()>,
    ) -> Result<Self> {
        Ok(Self { root, shape: Shape::of(root, cluster_size)?, read })
    }

    fn root(&self) -> Result<Node> {
        Node::in_root(self.root)
    }

    fn node(&self, number: u64) -> Result<Node> {
        let mut block = vec![0; self.shape.block_size];
        (self.read)(&mut block, self.shape.place(number)?)?;
        Node::in_block(block, number)
    }

    /// The entry of a name.
    pub(crate) fn find(&self, capitals: &Capitals, name: &[u16]) -> Result<Option<Entry>> {
        let mut node = self.root()?;
        for _ in 0..DEEPEST {
            let mut below = node.last;
            for slot in &node.slots {
                match capitals.order(name, &slot.name()?) {
                    Ordering::Equal => return slot.entry().map(Some),
                    Ordering::Less => {
                        below = slot.child;
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
        let mut path = vec![self.root()?.into_parts()?];
        while let Some(level) = path.last_mut() {
            let Some((child, entry)) = level.next() else {
                path.pop();
                // The entry whose node has ended comes now.
                continue;
            };
            if let Some(number) = child {
                if !seen.insert(number) || path.len() > DEEPEST {
                    return Err(corrupt(format!("it comes to node {number} twice")));
                }
                // In front of the entry is its node.
                let below = self.node(number)?.into_parts()?;
                path.push(below.chain([(None, entry)]).collect::<Vec<_>>().into_iter());
            } else {
                all.extend(entry);
            }
        }
        Ok(all)
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
