//! The guest as it is: all its file systems in their places.

mod open;
pub(crate) mod windows;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use libdisk::block::Disk;
use libdisk::vfs::{FileSystem, FileType, FsError, Metadata, NodeId};
use libdisk::volume::grub::Grub;

/// Where the system partition of a Windows guest is in its tree: what the firmware starts from, if that is
/// another volume than that of Windows. No name of NTFS has a colon, so nothing is hidden.
pub const SYSTEM_PARTITION: &str = "/System:";

pub(crate) use self::open::wrapped;
use crate::facts::{Machine, Volume};
use crate::memo::Memo;
use crate::path::{Kind, Last, Names, Place, below, resolve, shown, split};
use crate::text::bytes::{decode, encode};
use crate::unread::Noting;
use crate::{Error, Result, View, WindowsAgent, limits};

/// File content is read in pieces of this size: a size from the disk never sizes an allocation.
const PIECE: usize = 1 << 20;

/// How much content is kept for the next reader.
const CACHE_LIMIT: usize = 32 << 20;

/// How many paths are remembered; they may be 4,096 bytes long each.
const KNOWN_NODES: usize = 8192;

/// A guest's file systems, mounted where its own fstab says, read only.
pub struct Tree {
    /// None below a tree of file systems that were open already.
    disks: Vec<Disk>,
    machine: Machine,
    grub: Option<Grub>,
    windows_agent: Option<WindowsAgent>,
    mounts: Vec<Mounted>,
    blind: Vec<Blind>,
    /// What resolved paths lead to.
    nodes: RefCell<HashMap<Vec<u8>, Option<Node>>>,
    /// How the last names of paths are written where they stand, where that is otherwise.
    spellings: RefCell<HashMap<Vec<u8>, Option<Vec<u8>>>>,
    contents: RefCell<Contents>,
    listed: RefCell<Listed>,
    memo: Memo,
}

/// The directory that was listed last: its names are looked up here, for a directory without an index is
/// searched from its start each time.
#[derive(Default)]
struct Listed {
    dir: Option<Node>,
    /// Sorted by name.
    names: Vec<(Vec<u8>, NodeId)>,
}

impl Listed {
    fn lookup(&self, dir: Node, name: &[u8]) -> Option<NodeId> {
        if self.dir != Some(dir) {
            return None;
        }
        let found = self.names.binary_search_by(|(known, _)| known.as_slice().cmp(name)).ok()?;
        Some(self.names[found].1)
    }
}

/// A name in a directory, as bytes, and what `lstat` tells of it; or why it tells nothing: one damaged inode
/// does not hide the others.
pub type Entry = (Vec<u8>, Result<Metadata>);

struct Mounted {
    /// Resolved; "/" for the root.
    point: Vec<u8>,
    fs: Box<dyn FileSystem>,
}

/// A mount point of the guest's fstab whose volume is not open: nobody knows what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blind {
    /// Resolved.
    point: Vec<u8>,
    /// Which volume belongs there, and why it is not open.
    why: String,
}

impl Blind {
    /// The mount point.
    pub fn point(&self) -> String {
        shown(&self.point)
    }

    /// Which volume belongs there, and why it is not open.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether a start needs what is there: boot loader, kernels and the programs of the system.
    pub fn is_of_the_boot(&self) -> bool {
        matches!(self.point.as_slice(), b"/boot" | b"/boot/efi" | b"/efi" | b"/etc" | b"/usr" | b"/System:")
    }
}

/// A node of one of the mounted file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    mount: usize,
    id: NodeId,
}

#[derive(Default)]
struct Contents {
    files: HashMap<Node, Arc<[u8]>>,
    bytes: usize,
}

impl Contents {
    /// Forgets what is kept if so much more would be too much.
    fn make_room(&mut self, size: usize) {
        if self.bytes + size > CACHE_LIMIT {
            *self = Self::default();
        }
    }

    /// Keeps a file; the last one, however large it is.
    fn keep(&mut self, node: Node, content: Arc<[u8]>) {
        self.bytes += content.len();
        self.files.insert(node, content);
    }
}

impl Tree {
    /// A tree of file systems that are open already, each with its mount point, the root first.
    pub fn from_filesystems(filesystems: Vec<(String, Box<dyn FileSystem>)>, machine: Machine) -> Self {
        let mounts = filesystems.into_iter();
        let mounts = mounts.map(|(point, fs)| Mounted { point: point.into_bytes(), fs }).collect();
        let (nodes, contents) = (RefCell::default(), RefCell::default());
        Self {
            disks: Vec::new(),
            machine,
            grub: None,
            windows_agent: None,
            mounts,
            blind: Vec::new(),
            nodes,
            spellings: RefCell::default(),
            contents,
            listed: RefCell::default(),
            memo: Memo::default(),
        }
    }

    /// With GRUB for BIOS, for a disk without a boot loader.
    #[must_use]
    pub fn with_grub(self, grub: Grub) -> Self {
        Self { grub: Some(grub), ..self }
    }

    /// With Azure's agent, for a Windows without one.
    #[must_use]
    pub fn with_windows_agent(self, agent: WindowsAgent) -> Self {
        Self { windows_agent: Some(agent), ..self }
    }

    /// Whether there is a root file system: on a disk without one every path is absent.
    pub fn has_root(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// The mount points whose volumes are not open: every path below one is an error, not absent.
    pub fn blind(&self) -> &[Blind] {
        &self.blind
    }

    /// For a look at one volume by itself: what the guest mounts below it is not asked for.
    #[must_use]
    pub fn of_one_volume(self) -> Self {
        Self { blind: Vec::new(), ..self }
    }

    /// Whether there is an operating system in the root file system, known or not: a disk may hold data only,
    /// or a system that cannot be read.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn has_system(&self) -> Result<bool> {
        let noting = Noting::new(self);
        let has = |path: &str| Ok::<_, Error>(noting.lstat(path)?.is_some());
        Ok(has("/etc/os-release")?
            || has("/usr/lib/os-release")?
            || has("/etc")? && (has("/usr")? || has("/bin")?)
            || has("/Windows/System32")?)
    }

    /// What `stat` (`follow`) or `lstat` tells of a path in bytes; `None` if nothing is there.
    ///
    /// # Errors
    /// What the file systems report; `Malformed` for a loop of links.
    pub fn metadata(&self, path: &[u8], follow: bool) -> Result<Option<Metadata>> {
        let last = if follow { Last::Follow } else { Last::Keep };
        self.find(path, last)?.map(|(path, node)| self.node_metadata(&path, node)).transpose()
    }

    /// The names in a directory, as bytes, sorted, with what `lstat` tells of each; `None` if there is no
    /// such directory.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata), of the directory itself; and where the device below fails.
    pub fn entries(&self, path: &[u8]) -> Result<Option<Vec<Entry>>> {
        let Some((dir, _)) = self.find(path, Last::Follow)? else { return Ok(None) };
        let Some(names) = self.names(&dir)? else { return Ok(None) };
        let mut entries = Vec::new();
        for name in names {
            match self.metadata(&join(&dir, &name), false) {
                Ok(Some(metadata)) => entries.push((name, Ok(metadata))),
                Ok(None) => {}
                Err(Error::Guest { path, source }) if !matches!(*source, FsError::Device(_)) => {
                    entries.push((name, Err(Error::Guest { path, source })));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(entries))
    }

    /// The target of a symbolic link, as bytes; `None` if it is not one.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub fn link_target(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some((path, node)) = self.find(path, Last::Keep)? else { return Ok(None) };
        Ok(match self.node_kind(&path, node)? {
            Kind::Link(target) => Some(target),
            Kind::Directory | Kind::Other => None,
        })
    }

    /// Copies a regular file of any size into `out`, links followed; says how many bytes, `None` if there is
    /// no such file.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata); `Output` if `out` does not take it.
    pub fn copy_to(&self, path: &[u8], out: &mut dyn Write) -> Result<Option<u64>> {
        let Some((path, node)) = self.find(path, Last::Follow)? else { return Ok(None) };
        let metadata = self.node_metadata(&path, node)?;
        if metadata.file_type != FileType::Regular {
            return Ok(None);
        }
        self.pieces(&path, node, 0..metadata.size, |piece| out.write_all(piece).map_err(Error::Output))
            .map(Some)
    }

    /// Hands every block of `block` bytes of a regular file that is not all zeros to `take`, with its place in
    /// the file; the last one may be shorter. Holes are not read. Says how large the file is, `None` if there
    /// is none; links are followed.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub fn stored_blocks(
        &self,
        path: &[u8],
        block: usize,
        take: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<Option<u64>> {
        let Some((path, node)) = self.find(path, Last::Follow)? else { return Ok(None) };
        let metadata = self.node_metadata(&path, node)?;
        if metadata.file_type != FileType::Regular {
            return Ok(None);
        }
        let fs = &self.mounts[node.mount].fs;
        let of_the_fs = |source| failed(&path, source);
        let (mut offset, mut buf) = (0, vec![0; PIECE.next_multiple_of(block)]);
        while let Some(data) = fs.next_data(node.id, offset).map_err(of_the_fs)? {
            offset = data - data % block as u64;
            let got = fs.read_at(node.id, &mut buf, offset).map_err(of_the_fs)?;
            for (index, block_bytes) in buf[..got].chunks(block).enumerate() {
                if block_bytes.iter().any(|byte| *byte != 0) {
                    take(offset + (index * block) as u64, block_bytes);
                }
            }
            offset += buf.len() as u64;
        }
        Ok(Some(metadata.size))
    }

    /// Calls `visit` for every path, `lstat` metadata with it, directories before what is in them, names
    /// sorted.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata), and what `visit` returns; `Malformed` for a directory met twice.
    pub fn walk(&self, visit: &mut dyn FnMut(&[u8], &Metadata) -> Result<()>) -> Result<()> {
        let mut left = vec![b"/".to_vec()];
        let mut seen = HashSet::new();
        while let Some(path) = left.pop() {
            let Some((path, node)) = self.find(&path, Last::Keep)? else { continue };
            let metadata = self.node_metadata(&path, node)?;
            visit(&path, &metadata)?;
            if metadata.file_type == FileType::Directory {
                if !seen.insert(node) {
                    let what = "the directory is reached by two paths".into();
                    return Err(Error::Malformed { path: shown(&path), what });
                }
                let names = self.names(&path)?.unwrap_or_default();
                left.extend(names.iter().rev().map(|name| join(&path, name)));
            }
        }
        Ok(())
    }

    /// The node that a path leads to, and its resolved path.
    fn find(&self, path: &[u8], last: Last) -> Result<Option<(Vec<u8>, Node)>> {
        if !self.has_root() {
            return Ok(None);
        }
        let Place::Found(path) = resolve(self, path, last)? else { return Ok(None) };
        Ok(self.node(&path)?.map(|node| (path, node)))
    }

    /// The node at a resolved path.
    fn node(&self, path: &[u8]) -> Result<Option<Node>> {
        if let Some(mount) = self.mounts.iter().position(|mount| mount.point == path) {
            return Ok(Some(Node { mount, id: self.mounts[mount].fs.root() }));
        }
        if let Some(known) = self.nodes.borrow().get(path) {
            return Ok(*known);
        }
        let Some((dir, name)) = split(path) else { return Ok(None) };
        self.see(dir)?;
        let found = match self.node(dir)? {
            None => None,
            Some(dir @ Node { mount, id }) => match self.listed.borrow().lookup(dir, name) {
                Some(id) => Some(Node { mount, id }),
                None => match self.mounts[mount].fs.lookup(id, name) {
                    Ok(id) => Some(Node { mount, id }),
                    Err(FsError::NotFound | FsError::NotADirectory) => None,
                    Err(source) => return Err(failed(path, source)),
                },
            },
        };
        let mut nodes = self.nodes.borrow_mut();
        if nodes.len() == KNOWN_NODES {
            nodes.clear();
        }
        nodes.insert(path.to_vec(), found);
        Ok(found)
    }

    /// Refuses a directory whose names nobody can know.
    fn see(&self, dir: &[u8]) -> Result<()> {
        let Some(blind) = self.blind.iter().find(|blind| blind.point == dir) else { return Ok(()) };
        Err(Error::Malformed { path: blind.point(), what: blind.why.clone() })
    }

    fn node_metadata(&self, path: &[u8], node: Node) -> Result<Metadata> {
        self.mounts[node.mount].fs.metadata(node.id).map_err(|source| failed(path, source))
    }

    fn node_kind(&self, path: &[u8], node: Node) -> Result<Kind> {
        Ok(match self.node_metadata(path, node)?.file_type {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let target = self.mounts[node.mount].fs.read_link(node.id);
                Kind::Link(target.map_err(|source| failed(path, source))?)
            }
            _ => Kind::Other,
        })
    }

    /// The names in the directory at a resolved path, sorted; mount points are among them.
    fn names(&self, dir: &[u8]) -> Result<Option<Vec<Vec<u8>>>> {
        self.see(dir)?;
        let Some(node) = self.node(dir)? else { return Ok(None) };
        let size = self.node_metadata(dir, node)?.size;
        limits::at_most(&shown(dir), size, limits::DIRECTORY, "bytes of names")?;
        let mut listed: Vec<_> = match self.mounts[node.mount].fs.read_dir(node.id) {
            Ok(entries) => entries.into_iter().map(|entry| (entry.name, entry.node)).collect(),
            Err(FsError::NotADirectory) => return Ok(None),
            Err(source) => return Err(failed(dir, source)),
        };
        limits::at_most(&shown(dir), listed.len() as u64, limits::ENTRIES, "names")?;
        // A lookup finds the first of equal names.
        listed.sort_by(|(a, _), (b, _)| a.cmp(b));
        listed.dedup_by(|(again, _), (name, _)| again == name);
        let mut names: Vec<_> = listed.iter().map(|(name, _)| name.clone()).collect();
        self.listed.replace(Listed { dir: Some(node), names: listed });
        let points = self.mounts.iter().filter_map(|mount| split(&mount.point));
        names.extend(points.filter(|(parent, _)| *parent == dir).map(|(_, name)| name.to_vec()));
        names.sort_unstable();
        names.dedup();
        Ok(Some(names))
    }

    /// Hands these bytes of a file to `take`, piece by piece; says where they end.
    fn pieces(
        &self,
        path: &[u8],
        node: Node,
        bytes: Range<u64>,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let len = bytes.end.saturating_sub(bytes.start);
        let mut buf = vec![0; usize::try_from(len).unwrap_or(PIECE).min(PIECE)];
        let mut offset = bytes.start;
        while offset < bytes.end {
            let want = usize::try_from(bytes.end - offset).unwrap_or(PIECE).min(PIECE);
            let got = self.mounts[node.mount].fs.read_at(node.id, &mut buf[..want], offset);
            let got = got.map_err(|source| failed(path, source))?;
            if got == 0 {
                break;
            }
            take(&buf[..got])?;
            offset += got as u64;
        }
        Ok(offset)
    }

    fn content(&self, path: &[u8], node: Node, size: u64) -> Result<Arc<[u8]>> {
        if let Some(content) = self.contents.borrow().files.get(&node) {
            return Ok(content.clone());
        }
        limits::at_most(&shown(path), size, limits::FILE, "bytes")?;
        self.contents.borrow_mut().make_room(size as usize);
        // Read where it stays: a copy more of an initramfs counts.
        let mut content: Arc<[u8]> = std::iter::repeat_n(0, size as usize).collect();
        let buf = Arc::get_mut(&mut content).unwrap_or_default();
        let mut at = 0;
        let read = self.pieces(path, node, 0..size, |piece| {
            buf[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
            Ok(())
        })?;
        if read < size {
            content = content[..read as usize].into();
        }
        self.contents.borrow_mut().keep(node, content.clone());
        Ok(content)
    }
}

impl Names for Tree {
    fn kind(&self, path: &[u8]) -> Result<Option<Kind>> {
        self.node(path)?.map(|node| self.node_kind(path, node)).transpose()
    }

    fn spelling(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        if self.mounts.iter().any(|mount| mount.point == path) {
            return Ok(None);
        }
        if let Some(known) = self.spellings.borrow().get(path) {
            return Ok(known.clone());
        }
        let Some((dir, name)) = split(path) else { return Ok(None) };
        self.see(dir)?;
        let Some(Node { mount, id }) = self.node(dir)? else { return Ok(None) };
        let written = match self.mounts[mount].fs.spelling(id, name) {
            Err(FsError::NotADirectory) => None,
            written => written.map_err(|source| failed(path, source))?,
        };
        let mut spellings = self.spellings.borrow_mut();
        if spellings.len() == KNOWN_NODES {
            spellings.clear();
        }
        spellings.insert(path.to_vec(), written.clone());
        Ok(written)
    }
}

impl View for Tree {
    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn memo(&self) -> Option<&Memo> {
        Some(&self.memo)
    }

    fn lstat(&self, path: &str) -> Result<Option<Metadata>> {
        tracing::trace!(path, "lstat");
        self.metadata(&encode(path), false)
    }

    fn stat(&self, path: &str) -> Result<Option<Metadata>> {
        tracing::trace!(path, "stat");
        self.metadata(&encode(path), true)
    }

    fn resolve(&self, path: &str) -> Result<Option<String>> {
        tracing::trace!(path, "resolve");
        Ok(self.find(&encode(path), Last::Follow)?.map(|(path, _)| decode(&path)))
    }

    fn spelling(&self, path: &str) -> Result<Option<String>> {
        Ok(Names::spelling(self, &encode(path))?.as_deref().map(decode))
    }

    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>> {
        tracing::trace!(path, "read");
        let Some((path, node)) = self.find(&encode(path), Last::Follow)? else { return Ok(None) };
        let metadata = self.node_metadata(&path, node)?;
        if metadata.file_type != FileType::Regular {
            return Ok(None);
        }
        self.content(&path, node, metadata.size).map(Some)
    }

    fn read_link(&self, path: &str) -> Result<Option<String>> {
        tracing::trace!(path, "read_link");
        Ok(self.link_target(&encode(path))?.as_deref().map(decode))
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        tracing::trace!(path, "list");
        let Some((dir, _)) = self.find(&encode(path), Last::Follow)? else { return Ok(Vec::new()) };
        let names = self.names(&dir)?.unwrap_or_default();
        limits::at_most(path, names.len() as u64, limits::NAMES, "names")?;
        Ok(names.iter().map(|name| decode(name)).collect())
    }

    fn xattrs(&self, path: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some((path, node)) = self.find(&encode(path), Last::Keep)? else { return Ok(Vec::new()) };
        self.mounts[node.mount].fs.xattrs(node.id).map_err(|source| failed(&path, source))
    }

    fn disk_bytes(&self, disk: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        let disk = self.disks.get(disk);
        let disk =
            disk.ok_or_else(|| Error::Refused("this guest has no such disk below its files".into()))?;
        Ok(disk.read_vec(offset, len)?)
    }

    fn range(&self, path: &str, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        tracing::trace!(path, offset, len, "range");
        let Some((path, node)) = self.find(&encode(path), Last::Follow)? else { return Ok(None) };
        let metadata = self.node_metadata(&path, node)?;
        if metadata.file_type != FileType::Regular {
            return Ok(None);
        }
        if let Some(content) = self.contents.borrow().files.get(&node) {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            return Ok(Some(content.iter().skip(from).take(len).copied().collect()));
        }
        let mut bytes = Vec::new();
        let end = metadata.size.min(offset.saturating_add(len as u64));
        self.pieces(&path, node, offset..end, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Some(bytes))
    }

    fn free(&self, volume: &Volume, enough: u64) -> Result<Option<u64>> {
        let mounted =
            |mount: &&Mounted| volume.mounted_at.as_deref().is_some_and(|at| at.as_bytes() == mount.point);
        match (volume.free, self.mounts.iter().find(mounted)) {
            (None, Some(mount)) => {
                mount.fs.free(enough).map(Some).map_err(|source| failed(&mount.point, source))
            }
            (free, _) => Ok(free),
        }
    }

    fn grub(&self) -> Option<&Grub> {
        self.grub.as_ref()
    }

    fn windows_agent(&self) -> Option<&WindowsAgent> {
        self.windows_agent.as_ref()
    }
}

fn failed(path: &[u8], source: FsError) -> Error {
    Error::Guest { path: shown(path), source: source.into() }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    [dir.strip_suffix(b"/").unwrap_or(dir), b"/", name].concat()
}

/// The volume that a resolved path lies on: the one with the longest mount point above it.
pub fn volume_at<'a>(machine: &'a Machine, path: &str) -> Option<&'a crate::facts::Volume> {
    let mounted = machine.volumes.iter().filter_map(|volume| Some((volume.mounted_at.as_deref()?, volume)));
    let above = mounted.filter(|(point, _)| below(path.as_bytes(), point.as_bytes()).is_some());
    above.max_by_key(|(point, _)| point.len()).map(|(_, volume)| volume)
}
