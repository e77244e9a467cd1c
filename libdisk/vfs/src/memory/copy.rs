//! Taking a whole file system into memory.

use std::collections::btree_map::Entry;

use super::*;

/// The most that is read of one file; a size comes from the volume and may be anything.
const FILE_LIMIT: u64 = 1 << 30;

impl MemoryFs {
    /// A copy of the tree of `fs`, hard links included; its [`Info`] is that of a new `MemoryFs`.
    ///
    /// # Errors
    /// What `fs` reports; `Invalid` for a file of more than 1 GiB, `Corrupt` for a directory with two names.
    pub fn copy_of(fs: &dyn FileSystem) -> Result<Self> {
        let mut copy = Self::new();
        let root = copy.node_mut(ROOT)?;
        root.metadata = fs.metadata(fs.root())?;
        root.xattrs = fs.xattrs(fs.root())?.into_iter().collect();
        let mut known = BTreeMap::from([(fs.root(), ROOT)]);
        let mut to_do = vec![(fs.root(), ROOT)];
        while let Some((from_dir, to_dir)) = to_do.pop() {
            for entry in fs.read_dir(from_dir)? {
                let id = match known.entry(entry.node) {
                    Entry::Occupied(_) if entry.file_type == FileType::Directory => {
                        return Err(FsError::corrupt("directory", 0, "it has two names"));
                    }
                    Entry::Occupied(there) => *there.get(),
                    Entry::Vacant(free) => {
                        copy.last_node += 1;
                        let id = *free.insert(NodeId(copy.last_node));
                        copy.nodes.insert(id, Arc::new(read(fs, entry.node)?));
                        if entry.file_type == FileType::Directory {
                            to_do.push((entry.node, id));
                        }
                        id
                    }
                };
                copy.names_mut(to_dir)?.insert(entry.name, id);
            }
        }
        Ok(copy)
    }
}

/// One node, a directory without its names.
fn read(fs: &dyn FileSystem, id: NodeId) -> Result<Node> {
    let metadata = fs.metadata(id)?;
    let content = match metadata.file_type {
        FileType::Regular if metadata.size > FILE_LIMIT => {
            return Err(FsError::Invalid("a file of more than 1 GiB".into()));
        }
        FileType::Regular => {
            let mut bytes = vec![0; usize::try_from(metadata.size).unwrap_or(0)];
            let read = fs.read_at(id, &mut bytes, 0)?;
            bytes.truncate(read);
            Content::File(bytes.into())
        }
        FileType::Directory => Content::Directory(BTreeMap::new()),
        FileType::Symlink => Content::Symlink(fs.read_link(id)?.into()),
        _ => Content::Special,
    };
    Ok(Node { metadata, xattrs: fs.xattrs(id)?.into_iter().collect(), content })
}
