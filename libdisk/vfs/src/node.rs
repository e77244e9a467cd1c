//! What is known of a node.

/// Names a node of one file system: an inode number where the format has them. Valid while the file system is
/// open and the node exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A file with content.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A moment: seconds since 1970-01-01 UTC and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// What `stat` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What the node is.
    pub file_type: FileType,
    /// Permission bits, setuid, setgid and sticky: the low 12 bits of a Unix mode.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes (of the target, for a symbolic link).
    pub size: u64,
    /// Number of names.
    pub links: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Major and minor number, of a device.
    pub device: Option<(u32, u32)>,
    /// `chattr +i` is set: the running guest refuses to change it.
    pub immutable: bool,
}

/// What a new node gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits, setuid, setgid and sticky: the low 12 bits of a Unix mode.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// All times of the node. Given by the caller so that equal plans make equal images.
    pub time: Timestamp,
    /// Extended attributes with their full names ("security.selinux").
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One name in a directory; "." and ".." are never listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name.
    pub name: Vec<u8>,
    /// The node it names.
    pub node: NodeId,
    /// What the node is.
    pub file_type: FileType,
}
