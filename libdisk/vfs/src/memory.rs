//! A file system in memory: the model that drivers are compared with, and the tree that rule tests use.

mod build;
mod copy;
mod transaction;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::bytes::index;
use crate::{
    Attributes, DirEntry, FileSystem, FileSystemMut, FileType, FsError, Info, Metadata, NodeId, Result,
    State, Timestamp, Transaction,
};

/// The longest name in bytes, as in every Unix file system.
const NAME_MAX: usize = 255;

/// What a node is counted as in [`Info::free`], apart from its content.
const NODE_COST: u64 = 256;

/// The root directory.
const ROOT: NodeId = NodeId(1);

/// A whole file system in memory, with the semantics of POSIX where the traits leave a choice:
///
/// - names are 1 to 255 bytes without `/` and NUL, and not "." or ".."; all others are `Invalid`;
/// - a directory has two links and one more for each directory in it;
/// - renaming a name to itself, or to another name of the same file, changes nothing;
/// - making a name sets the time of its directory; the calls that are given no time leave all times alone.
///
/// A clone is an independent copy that shares what neither changes. Node numbers are never used again.
#[derive(Debug, Clone)]
pub struct MemoryFs {
    info: Info,
    /// Bytes.
    free: u64,
    nodes: BTreeMap<NodeId, Arc<Node>>,
    last_node: u64,
}

/// Bytes of a volume that nobody gave a limit.
const UNLIMITED: u64 = i64::MAX as u64;

#[derive(Debug, Clone)]
struct Node {
    metadata: Metadata,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    File(Arc<[u8]>),
    Directory(BTreeMap<Vec<u8>, NodeId>),
    Symlink(Arc<[u8]>),
    /// Devices, pipes and sockets.
    Special,
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Content::File(bytes) | Content::Symlink(bytes) => bytes.len() as u64,
            Content::Directory(_) | Content::Special => 0,
        }
    }
}

impl Node {
    fn new(file_type: FileType, attributes: &Attributes, content: Content) -> Self {
        let metadata = Metadata {
            file_type,
            mode: attributes.mode & 0o7777,
            uid: attributes.uid,
            gid: attributes.gid,
            size: content.len(),
            links: if file_type == FileType::Directory { 2 } else { 1 },
            mtime: attributes.time,
            device: None,
            immutable: false,
        };
        Self { metadata, xattrs: attributes.xattrs.iter().cloned().collect(), content }
    }

    fn names(&self) -> Result<&BTreeMap<Vec<u8>, NodeId>> {
        match &self.content {
            Content::Directory(names) => Ok(names),
            _ => Err(FsError::NotADirectory),
        }
    }
}

impl MemoryFs {
    /// An empty root directory, owned by root, mode 0755, on a volume without a limit.
    pub fn new() -> Self {
        let info = Info {
            kind: "memory",
            label: None,
            uuid: None,
            block_size: 4096,
            size: UNLIMITED,
            free_nodes: None,
            state: State::Clean,
            features: Vec::new(),
        };
        let attributes = Attributes { mode: 0o755, ..Attributes::default() };
        let root = Node::new(FileType::Directory, &attributes, Content::Directory(BTreeMap::new()));
        Self { info, free: UNLIMITED, nodes: BTreeMap::from([(ROOT, Arc::new(root))]), last_node: ROOT.0 }
    }

    fn node(&self, node: NodeId) -> Result<&Node> {
        self.nodes.get(&node).map(|node| &**node).ok_or(FsError::NotFound)
    }

    fn node_mut(&mut self, node: NodeId) -> Result<&mut Node> {
        self.nodes.get_mut(&node).map(Arc::make_mut).ok_or(FsError::NotFound)
    }

    fn names_mut(&mut self, dir: NodeId) -> Result<&mut BTreeMap<Vec<u8>, NodeId>> {
        match &mut self.node_mut(dir)?.content {
            Content::Directory(names) => Ok(names),
            _ => Err(FsError::NotADirectory),
        }
    }
}

impl Default for MemoryFs {
    fn default() -> Self {
        Self::new()
    }
}

impl FileSystem for MemoryFs {
    fn info(&self) -> Result<Info> {
        Ok(self.info.clone())
    }

    fn free(&self, _: u64) -> Result<u64> {
        Ok(self.free)
    }

    fn root(&self) -> NodeId {
        ROOT
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        self.node(dir)?.names()?.get(name).copied().ok_or(FsError::NotFound)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        Ok(self.node(node)?.metadata.clone())
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        let entry = |(name, node): (&Vec<u8>, &NodeId)| {
            let file_type = self.node(*node)?.metadata.file_type;
            Ok(DirEntry { name: name.clone(), node: *node, file_type })
        };
        self.node(dir)?.names()?.iter().map(entry).collect()
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        match &self.node(node)?.content {
            Content::File(bytes) => {
                let start = index(offset).min(bytes.len());
                let rest = &bytes[start..];
                let len = rest.len().min(buf.len());
                buf[..len].copy_from_slice(&rest[..len]);
                Ok(len)
            }
            Content::Directory(_) => Err(FsError::IsADirectory),
            Content::Symlink(_) | Content::Special => {
                Err(FsError::Invalid("this node has no content".into()))
            }
        }
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        match &self.node(node)?.content {
            Content::Symlink(target) => Ok(target.to_vec()),
            _ => Err(FsError::Invalid("not a symbolic link".into())),
        }
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let xattrs = &self.node(node)?.xattrs;
        Ok(xattrs.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// None: there is no volume below.
    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        Ok(Vec::new())
    }
}

impl FileSystemMut for MemoryFs {
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        Ok(Box::new(transaction::MemoryTransaction::new(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes { mode: 0o644, time: Timestamp { seconds: 1, nanos: 0 }, ..Attributes::default() }
    }

    #[test]
    fn a_dropped_transaction_leaves_no_trace_and_a_committed_one_is_seen() {
        let mut fs = MemoryFs::new().file("/etc/fstab", "old");
        let file = fs.resolve("/etc/fstab").expect("the builder made it");
        {
            let mut change = fs.begin().unwrap();
            change.replace(file, b"new", Timestamp::default()).unwrap();
            let mut seen = [0; 8];
            assert_eq!(change.fs().read_at(file, &mut seen, 0).unwrap(), 3);
            assert_eq!(&seen[..3], b"new");
        }
        assert_eq!(fs.content("/etc/fstab"), Some(&b"old"[..]));
        let mut change = fs.begin().unwrap();
        change.replace(file, b"new", Timestamp::default()).unwrap();
        change.commit().unwrap();
        assert_eq!(fs.content("/etc/fstab"), Some(&b"new"[..]));
    }

    #[test]
    fn a_directory_counts_the_directories_in_it() {
        let mut fs = MemoryFs::new().dir("/a/b").dir("/c");
        let (a, c) = (fs.resolve("/a").unwrap(), fs.resolve("/c").unwrap());
        assert_eq!(fs.metadata(fs.root()).unwrap().links, 4);
        let root = fs.root();
        let mut change = fs.begin().unwrap();
        change.rename(a, b"b", c, b"b").unwrap();
        assert_eq!(change.fs().metadata(a).unwrap().links, 2);
        assert_eq!(change.fs().metadata(c).unwrap().links, 3);
        change.unlink(root, b"a").unwrap();
        assert_eq!(change.fs().metadata(root).unwrap().links, 3);
    }

    #[test]
    fn a_directory_does_not_move_into_itself() {
        let mut fs = MemoryFs::new().dir("/a/b/c");
        let (root, c) = (fs.root(), fs.resolve("/a/b/c").unwrap());
        let mut change = fs.begin().unwrap();
        assert!(matches!(change.rename(root, b"a", c, b"x"), Err(FsError::Invalid(_))));
    }

    #[test]
    fn a_file_lives_as_long_as_its_last_name() {
        let mut fs = MemoryFs::new().file("/a", "content");
        let (root, a) = (fs.root(), fs.resolve("/a").unwrap());
        let mut change = fs.begin().unwrap();
        change.link(root, b"b", a).unwrap();
        assert_eq!(change.fs().metadata(a).unwrap().links, 2);
        change.unlink(root, b"a").unwrap();
        assert_eq!(change.fs().metadata(a).unwrap().links, 1);
        change.unlink(root, b"b").unwrap();
        assert!(matches!(change.fs().metadata(a), Err(FsError::NotFound)));
    }

    #[test]
    fn space_is_counted_and_runs_out() {
        let mut fs = MemoryFs::new().capacity(10_000);
        let root = fs.root();
        let before = fs.free(u64::MAX).unwrap();
        let mut change = fs.begin().unwrap();
        let file = change.create(root, b"a", &attributes(), &[1; 5000]).unwrap();
        change.replace(file, &[2; 8000], Timestamp::default()).unwrap();
        change.unlink(root, b"a").unwrap();
        assert_eq!(change.fs().free(u64::MAX).unwrap(), before);
        assert!(matches!(change.create(root, b"b", &attributes(), &[1; 10_000]), Err(FsError::NoSpace(_))));
    }
}
