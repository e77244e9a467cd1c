//! What the kernel says of a mounted file system.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use vfs::{DirEntry, FileSystem, FileType, FsError, Info, Metadata, NodeId, Result, Timestamp};

/// A directory of this machine as a file system: to compare with what a driver says.
#[derive(Debug)]
pub struct Mounted {
    root: NodeId,
    paths: RefCell<HashMap<NodeId, PathBuf>>,
}

impl Mounted {
    /// The tree below a mount point.
    ///
    /// # Panics
    /// When it is not there.
    pub fn new(root: &Path) -> Self {
        let id = NodeId(fs::symlink_metadata(root).expect("a mount point").ino());
        Self { root: id, paths: RefCell::new(HashMap::from([(id, root.to_owned())])) }
    }

    fn path(&self, node: NodeId) -> PathBuf {
        self.paths.borrow()[&node].clone()
    }
}

fn io<T>(result: std::io::Result<T>) -> Result<T> {
    result.map_err(|error| FsError::Device(block::Error::io("kernel", "a file", error)))
}

fn file_type(kind: fs::FileType) -> FileType {
    match kind {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_symlink() => FileType::Symlink,
        kind if kind.is_char_device() => FileType::CharDevice,
        kind if kind.is_block_device() => FileType::BlockDevice,
        kind if kind.is_fifo() => FileType::Fifo,
        kind if kind.is_socket() => FileType::Socket,
        _ => FileType::Regular,
    }
}

impl FileSystem for Mounted {
    fn info(&self) -> Result<Info> {
        Err(FsError::unsupported("the kernel's view has no superblock"))
    }

    fn free(&self, _: u64) -> Result<u64> {
        Err(FsError::unsupported("the kernel's view has no superblock"))
    }

    fn root(&self) -> NodeId {
        self.root
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        Ok(NodeId(io(fs::symlink_metadata(self.path(dir).join(OsStr::from_bytes(name))))?.ino()))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let path = self.path(node);
        let meta = io(fs::symlink_metadata(&path))?;
        let file_type = file_type(meta.file_type());
        let device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice)
            .then(|| (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())));
        let immutable = matches!(file_type, FileType::Regular | FileType::Directory) && {
            let file = io(File::open(&path))?;
            rustix::fs::ioctl_getflags(&file).is_ok_and(|flags| flags.contains(rustix::fs::IFlags::IMMUTABLE))
        };
        Ok(Metadata {
            file_type,
            mode: u16::try_from(meta.mode() & 0o7777).unwrap_or(0),
            uid: meta.uid(),
            gid: meta.gid(),
            size: meta.size(),
            links: meta.nlink(),
            mtime: Timestamp { seconds: meta.mtime(), nanos: u32::try_from(meta.mtime_nsec()).unwrap_or(0) },
            device,
            immutable,
        })
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in io(fs::read_dir(self.path(dir)))? {
            let entry = io(entry)?;
            let meta = io(fs::symlink_metadata(entry.path()))?;
            let node = NodeId(meta.ino());
            self.paths.borrow_mut().insert(node, entry.path());
            let name = entry.file_name().as_bytes().to_vec();
            entries.push(DirEntry { name, node, file_type: file_type(meta.file_type()) });
        }
        Ok(entries)
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        let file = io(File::open(self.path(node)))?;
        let mut done = 0;
        while done < buf.len() {
            match io(file.read_at(&mut buf[done..], offset + done as u64))? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        Ok(io(fs::read_link(self.path(node)))?.as_os_str().as_bytes().to_vec())
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let path = self.path(node);
        let mut names = vec![0_u8; 64 << 10];
        let count = rustix::fs::llistxattr(&path, &mut names[..]).map_err(std::io::Error::from);
        let count = io(count)?;
        let mut found = Vec::new();
        // XFS lists access lists twice: as the kernel shows them, and as they are stored.
        let shown = |name: &&[u8]| !name.is_empty() && !name.starts_with(b"trusted.SGI_ACL");
        for name in names[..count].split(|&byte| byte == 0).filter(shown) {
            let mut value = vec![0_u8; 64 << 10];
            let len = io(rustix::fs::lgetxattr(&path, name, &mut value[..]).map_err(std::io::Error::from))?;
            found.push((name.to_vec(), value[..len].to_vec()));
        }
        found.sort();
        Ok(found)
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        Ok(Vec::new())
    }
}
