//! The file system as its readers see it.

use std::ops::Range;

use uuid::Uuid;
use vfs::{DirEntry, FileSystem, FileType, FsError, Info, Metadata, NodeId, Result, Timestamp};

use crate::Btrfs;
use crate::inode::Inode;
use crate::key::{ROOT_DIR, tree};
use crate::nodes::Place;
use crate::tree::Tree;

/// What the kernel shows in place of a subvolume that is not there.
const STUB: Metadata = Metadata {
    file_type: FileType::Directory,
    mode: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    links: 1,
    mtime: Timestamp { seconds: 0, nanos: 0 },
    device: None,
    immutable: false,
};

impl Btrfs {
    /// The subvolume and the inode that a number names; `None` for a stub.
    fn find(&self, node: NodeId) -> Result<Option<(Tree, Inode)>> {
        let Place::Inode { tree, number } = Place::of(node) else { return Ok(None) };
        let tree = self.volume.subvolume(tree)?.ok_or(FsError::NotFound)?;
        let inode = self.volume.inode(&tree, number)?;
        Ok(Some((tree, inode)))
    }

    /// As [`find`](Self::find), for directories.
    fn find_directory(&self, node: NodeId) -> Result<Option<(Tree, Inode)>> {
        let found = self.find(node)?;
        match &found {
            Some((_, inode)) if inode.file_type != FileType::Directory => Err(FsError::NotADirectory),
            _ => Ok(found),
        }
    }
}

impl FileSystem for Btrfs {
    fn info(&self) -> Result<Info> {
        let sb = &self.volume.sb;
        let mut features = sb.features.names();
        features.push(sb.checksum.name().to_owned());
        Ok(Info {
            kind: "btrfs",
            label: sb.label(),
            uuid: Some(Uuid::from_bytes(sb.uuid()).to_string()),
            block_size: sb.sector_size,
            size: sb.size(),
            free_nodes: None,
            state: sb.state(),
            features,
        })
    }

    fn free(&self, _: u64) -> Result<u64> {
        self.volume.free()
    }

    fn root(&self) -> NodeId {
        self.root
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        let (tree, dir) = self.find_directory(dir)?.ok_or(FsError::NotFound)?;
        self.volume.lookup(&tree, &dir, name)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        Ok(self.find(node)?.map_or(STUB, |(_, inode)| inode.metadata()))
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        match self.find_directory(dir)? {
            Some((tree, dir)) => self.volume.names(&tree, &dir),
            None => Ok(Vec::new()),
        }
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        let (tree, inode) = self.find(node)?.ok_or(FsError::IsADirectory)?;
        match inode.file_type {
            FileType::Regular => self.volume.read_content(&tree, &inode, buf, offset),
            FileType::Directory => Err(FsError::IsADirectory),
            _ => Err(FsError::Invalid("only regular files have content".into())),
        }
    }

    fn next_data(&self, node: NodeId, offset: u64) -> Result<Option<u64>> {
        let (tree, inode) = self.find(node)?.ok_or(FsError::IsADirectory)?;
        match inode.file_type {
            FileType::Regular => self.volume.next_content(&tree, &inode, offset),
            _ => Err(FsError::Invalid("only regular files have content".into())),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        match self.find(node)? {
            Some((tree, inode)) => self.volume.target(&tree, &inode),
            None => Err(FsError::Invalid("not a symbolic link".into())),
        }
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        match self.find(node)? {
            Some((tree, inode)) => self.volume.attributes(&tree, &inode),
            None => Ok(Vec::new()),
        }
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        self.volume.free_ranges()
    }
}

impl Btrfs {
    /// Shows the subvolume with this number, as the mount option `subvolid` does.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn with_subvolume(mut self, id: u64) -> Result<Self> {
        self.volume.subvolume(id)?.ok_or(FsError::NotFound)?;
        self.root = Place::Inode { tree: id, number: ROOT_DIR }.node()?;
        Ok(self)
    }

    /// Shows the subvolume with this path from the top, as the mount option `subvol` does.
    ///
    /// # Errors
    /// `NotFound` if there is nothing, `Invalid` if it is not a subvolume.
    pub fn with_subvolume_at(self, path: &[u8]) -> Result<Self> {
        let fs = self.with_subvolume(tree::FS)?;
        let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let node = names.into_iter().try_fold(fs.root, |dir, name| fs.lookup(dir, name))?;
        match Place::of(node) {
            Place::Inode { tree, number: ROOT_DIR } => fs.with_subvolume(tree),
            _ => Err(FsError::Invalid("not a subvolume".into())),
        }
    }
}
