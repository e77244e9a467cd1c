//! The traits.

use std::ops::Range;

use crate::{Attributes, DirEntry, Metadata, NodeId, Result, Timestamp};

/// Whether a file system can be edited as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Cleanly unmounted.
    Clean,
    /// Its journal or log must be replayed first.
    NeedsRecovery,
    /// It is marked as damaged; the text is the format's own word for it.
    Errors(String),
}

/// What is known of a file system as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The format as `blkid` names it: "ext4", "ext3", "xfs", "vfat".
    pub kind: &'static str,
    /// The volume label, if there is one.
    pub label: Option<String>,
    /// The UUID or serial number as `blkid` and fstab write it.
    pub uuid: Option<String>,
    /// Block or cluster size in bytes.
    pub block_size: u32,
    /// Size in bytes.
    pub size: u64,
    /// Free inodes, where the format has a fixed number.
    pub free_nodes: Option<u64>,
    /// Whether it can be edited as it is.
    pub state: State,
    /// The format's feature names.
    pub features: Vec<String>,
}

/// A file system opened for reading.
pub trait FileSystem: Send {
    /// What is known of the whole.
    ///
    /// # Errors
    /// As for every call here: what the device reports, and `Corrupt`.
    fn info(&self) -> Result<Info>;

    /// Free space in bytes. Where it has to be counted, and much has to be read for that, what is more than
    /// `enough` may be left out.
    ///
    /// # Errors
    /// As above.
    fn free(&self, enough: u64) -> Result<u64>;

    /// The root directory.
    fn root(&self) -> NodeId;

    /// The node that `name` names in `dir`; "." and ".." are not looked up.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`.
    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId>;

    /// How a directory writes a name that is looked up without regard to case; `None` if it is written as
    /// asked, or not there.
    ///
    /// # Errors
    /// `NotADirectory`.
    fn spelling(&self, dir: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let _ = (dir, name);
        Ok(None)
    }

    /// What `stat` tells of a node.
    ///
    /// # Errors
    /// `NotFound` if the node is not in use.
    fn metadata(&self, node: NodeId) -> Result<Metadata>;

    /// All names in a directory, in the format's own order.
    ///
    /// # Errors
    /// `NotADirectory`.
    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>>;

    /// Reads at most `buf.len()` bytes of a file from byte `offset` on; short only at the end of the file.
    ///
    /// # Errors
    /// `IsADirectory`, `Invalid` for what has no content.
    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// The first byte of a regular file from `offset` on that is stored, as `SEEK_DATA` of `lseek(2)` finds
    /// it: all before it are zeros. `None` if none is. A format without holes answers `offset`.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    fn next_data(&self, node: NodeId, offset: u64) -> Result<Option<u64>> {
        Ok((offset < self.metadata(node)?.size).then_some(offset))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `Invalid` if it is not one.
    fn read_link(&self, node: NodeId) -> Result<Vec<u8>>;

    /// All extended attributes with their full names, sorted by name.
    ///
    /// # Errors
    /// As above.
    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;

    /// The byte ranges of the volume that hold nothing, ascending and merged.
    ///
    /// # Errors
    /// As above.
    fn free_ranges(&self) -> Result<Vec<Range<u64>>>;
}

/// A file system opened over a writable device.
pub trait FileSystemMut: FileSystem {
    /// Starts a change.
    ///
    /// # Errors
    /// `Unsupported` if this file system must not be written (an unknown feature, a dirty journal); nothing
    /// was written.
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>>;
}

/// A change in the making. Dropped without [`commit`](Self::commit), nothing of it is ever seen.
///
/// After an error the transaction may only be dropped.
pub trait Transaction {
    /// The file system as this transaction sees it, uncommitted changes included.
    fn fs(&self) -> &dyn FileSystem;

    /// Makes a regular file with this content.
    ///
    /// # Errors
    /// `Exists`, `NotADirectory`, `NoSpace`, `Invalid` for a bad name.
    fn create(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes, content: &[u8])
    -> Result<NodeId>;

    /// Replaces the content of a regular file and sets its modification time; owner, mode and attributes
    /// stay.
    ///
    /// # Errors
    /// `Invalid` if it is not a regular file, `NoSpace`.
    fn replace(&mut self, file: NodeId, content: &[u8], time: Timestamp) -> Result<()>;

    /// Makes a directory.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    fn mkdir(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes) -> Result<NodeId>;

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    fn symlink(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes, target: &[u8])
    -> Result<NodeId>;

    /// Gives a node, not a directory, one more name.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    fn link(&mut self, dir: NodeId, name: &[u8], node: NodeId) -> Result<()>;

    /// Moves a name, over an existing one if need be: a file over a non-directory, a directory over an empty
    /// directory.
    ///
    /// # Errors
    /// `NotFound`, `NotEmpty`, `IsADirectory`, `NotADirectory`; `Invalid` for a directory into itself.
    fn rename(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()>;

    /// Takes a name away, and the node with its last name; a directory must be empty.
    ///
    /// # Errors
    /// `NotFound`, `NotEmpty`.
    fn unlink(&mut self, dir: NodeId, name: &[u8]) -> Result<()>;

    /// Sets mode and owner.
    ///
    /// # Errors
    /// As above.
    fn set_owner(&mut self, node: NodeId, mode: u16, uid: u32, gid: u32) -> Result<()>;

    /// Sets (or with `None` removes) one extended attribute by its full name.
    ///
    /// # Errors
    /// `NoSpace` if the format cannot hold it, `Unsupported` where there are none.
    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()>;

    /// Makes the change last.
    ///
    /// # Errors
    /// What the device reports; nothing was changed then, as far as readers can see.
    fn commit(self: Box<Self>) -> Result<()>;
}
