//! Reading: the volume, and `FileSystem` on it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use block::Disk;
use vfs::{DirEntry, FileSystem, FileType, FsError, Info, Metadata, NodeId, Result, State};
use zerocopy::{FromZeros, IntoBytes};

use crate::boot_sector::{BootSector, FIRST_CLUSTER, Kind, Place, SLOT};
use crate::directory::Directory;
use crate::entry::{READ_ONLY, Role, ShortEntry};
use crate::nodes::Nodes;
use crate::{Fat, to_usize};

/// The root directory has no entry, and no entry is at the start of the volume.
pub(crate) const ROOT: NodeId = NodeId(0);

/// When the directories kept in memory have more slots than this, they are all forgotten.
const CACHED_SLOTS: usize = 4 * crate::directory::SLOTS_MAX;

/// A cluster of a chain: where the next read is likely to go on.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    first: u32,
    index: u64,
    cluster: u32,
}

/// A volume that can be read.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) boot: BootSector,
    pub(crate) disk: Disk,
    pub(crate) nodes: Nodes,
    directories: RefCell<BTreeMap<Place, Arc<Directory>>>,
    cursor: Cell<Option<Cursor>>,
}

impl Volume {
    pub(crate) fn new(boot: BootSector, disk: Disk) -> Self {
        Self {
            boot,
            disk,
            nodes: Nodes::default(),
            directories: RefCell::new(BTreeMap::new()),
            cursor: Cell::new(None),
        }
    }

    /// The same volume, on a device with the same content.
    pub(crate) fn on(self, disk: Disk) -> Self {
        Self { disk, ..self }
    }

    /// The entry of a node in use, and where it is.
    pub(crate) fn entry(&self, node: NodeId) -> Result<(ShortEntry, u64)> {
        let place = self.nodes.place_of(node);
        if place.saturating_add(SLOT) > self.boot.size {
            return Err(FsError::NotFound);
        }
        let entry = self.entry_at(place)?;
        match entry.role() {
            Role::File | Role::Directory => Ok((entry, place)),
            _ => Err(FsError::NotFound),
        }
    }

    /// The entry at this byte of the volume, whatever it is.
    pub(crate) fn entry_at(&self, place: u64) -> Result<ShortEntry> {
        let mut entry = ShortEntry::new_zeroed();
        self.disk.read_at(entry.as_mut_bytes(), place)?;
        Ok(entry)
    }

    /// The first cluster that an entry names.
    pub(crate) fn first(&self, entry: &ShortEntry) -> u32 {
        entry.first(self.boot.kind == Kind::Fat32)
    }

    /// Where the content of a directory is.
    pub(crate) fn place(&self, dir: NodeId) -> Result<Place> {
        if dir == ROOT {
            return Ok(self.boot.root);
        }
        let (entry, _) = self.entry(dir)?;
        match entry.role() {
            Role::Directory => Ok(Place::Chain(self.first(&entry))),
            _ => Err(FsError::NotADirectory),
        }
    }

    /// A directory, as it is now.
    pub(crate) fn directory(&self, place: Place) -> Result<Arc<Directory>> {
        if let Some(directory) = self.directories.borrow().get(&place) {
            return Ok(Arc::clone(directory));
        }
        let directory = Arc::new(Directory::read(self, place)?);
        self.keep(Arc::clone(&directory));
        Ok(directory)
    }

    /// Keeps a directory that was read or changed.
    pub(crate) fn keep(&self, directory: Arc<Directory>) {
        let mut directories = self.directories.borrow_mut();
        let slots: usize = directories.values().map(|directory| directory.taken.len()).sum();
        if slots > CACHED_SLOTS {
            directories.clear();
        }
        directories.insert(directory.place, directory);
    }

    /// Takes a directory out of memory, to change or to remove it.
    pub(crate) fn take(&self, place: Place) -> Result<Directory> {
        let directory = self.directory(place)?;
        self.directories.borrow_mut().remove(&place);
        Ok(Arc::unwrap_or_clone(directory))
    }

    /// The table was changed.
    pub(crate) fn forget_cursor(&self) {
        self.cursor.set(None);
    }

    /// The node that a slot of a directory holds.
    pub(crate) fn node(&self, directory: &Directory, slot: usize) -> Result<NodeId> {
        Ok(self.nodes.at(directory.offset(self, slot)?))
    }

    /// The cluster of this index in a chain.
    fn seek(&self, first: u32, index: u64) -> Result<u32> {
        let start = self.cursor.get().filter(|cursor| cursor.first == first && cursor.index <= index);
        let mut cursor = start.unwrap_or(Cursor { first, index: 0, cluster: first });
        if !self.boot.has(first) {
            return Err(FsError::corrupt("cluster chain", 0, format!("it begins at cluster {first}")));
        }
        // A circle has no end, and a size may be anything.
        if index >= u64::from(self.boot.end()) {
            let what = "the file is larger than the volume";
            return Err(FsError::corrupt(
                format!("cluster chain from {first}"),
                self.boot.offset(first),
                what,
            ));
        }
        while cursor.index < index {
            cursor.cluster = self.next(cursor.cluster)?.ok_or_else(|| self.too_short(first))?;
            cursor.index = cursor.index.saturating_add(1);
        }
        self.cursor.set(Some(cursor));
        Ok(cursor.cluster)
    }

    fn too_short(&self, first: u32) -> FsError {
        let what = "it ends before the file does";
        FsError::corrupt(format!("cluster chain from {first}"), self.boot.offset(first), what)
    }

    /// Fills `buf` from byte `offset` of a chain on.
    fn read_chain(&self, first: u32, buf: &mut [u8], offset: u64) -> Result<()> {
        let cluster_bytes = self.boot.cluster_bytes.max(1);
        let mut index = offset.checked_div(cluster_bytes).unwrap_or(0);
        let mut within = offset.checked_rem(cluster_bytes).unwrap_or(0);
        let mut rest = buf;
        while !rest.is_empty() {
            let start = self.seek(first, index)?;
            // As many clusters as lie behind each other are read at once.
            let mut run = 1_u32;
            let mut bytes = cluster_bytes.saturating_sub(within);
            while to_usize(bytes) < rest.len() {
                index = index.saturating_add(1);
                if Some(self.seek(first, index)?) != start.checked_add(run) {
                    break;
                }
                run = run.saturating_add(1);
                bytes = bytes.saturating_add(cluster_bytes);
            }
            let (now, later) = rest.split_at_mut(to_usize(bytes).min(rest.len()));
            self.disk.read_at(now, self.boot.offset(start).saturating_add(within))?;
            within = 0;
            rest = later;
        }
        Ok(())
    }

    /// The volume label, which is an entry of the root directory. Where there is none `blkid` goes by the
    /// copy in the boot sector, and so do we.
    fn label(&self) -> Result<Option<String>> {
        let root = self.directory(self.boot.root)?;
        let label = match root.label {
            Some(slot) => Some(self.entry_at(root.offset(self, slot)?)?.whole_name()),
            None => self.boot.label.filter(|label| label != b"NO NAME    "),
        };
        Ok(label.and_then(|label| vfs::bytes::label(&label)))
    }
}

impl FileSystem for Fat {
    fn info(&self) -> Result<Info> {
        let boot = &self.volume.boot;
        let (dirty, failed) = self.volume.dirty_and_failed()?;
        let width = match boot.kind {
            Kind::Fat12 => "FAT12",
            Kind::Fat16 => "FAT16",
            Kind::Fat32 => "FAT32",
        };
        let serial = |serial: u32| format!("{:04X}-{:04X}", serial >> 16, serial & 0xFFFF);
        Ok(Info {
            kind: "vfat",
            label: self.volume.label()?,
            uuid: boot.serial.map(serial),
            block_size: u32::try_from(boot.cluster_bytes).unwrap_or(u32::MAX),
            size: boot.size,
            free_nodes: None,
            // "Not unmounted" alone is no obstacle: there is nothing to replay, and what could be wrong is
            // checked before the first write.
            state: if failed { State::Errors("device errors".to_owned()) } else { State::Clean },
            features: [Some(width), dirty.then_some("dirty")]
                .into_iter()
                .flatten()
                .map(str::to_owned)
                .collect(),
        })
    }

    fn free(&self, _: u64) -> Result<u64> {
        Ok(u64::from(self.volume.count_free()?).saturating_mul(self.volume.boot.cluster_bytes))
    }

    fn root(&self) -> NodeId {
        ROOT
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        let directory = self.volume.directory(self.volume.place(dir)?)?;
        let name = std::str::from_utf8(name).map_err(|_| FsError::NotFound)?;
        self.volume.node(&directory, directory.find(name).ok_or(FsError::NotFound)?)
    }

    fn spelling(&self, dir: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let directory = self.volume.directory(self.volume.place(dir)?)?;
        let found = std::str::from_utf8(name).ok().and_then(|name| directory.find(name));
        let written =
            found.and_then(|slot| directory.entries().get(&slot)).map(|entry| entry.name.as_bytes());
        Ok(written.filter(|written| *written != name).map(<[u8]>::to_vec))
    }

    /// Everything belongs to root; directories have the size 0, as in their entries.
    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let entry = if node == ROOT { None } else { Some(self.volume.entry(node)?.0) };
        let is_file = entry.is_some_and(|entry| entry.role() == Role::File);
        let read_only = entry.is_some_and(|entry| is_file && entry.attributes & READ_ONLY != 0);
        Ok(Metadata {
            file_type: if is_file { FileType::Regular } else { FileType::Directory },
            mode: if read_only { 0o555 } else { 0o755 },
            uid: 0,
            gid: 0,
            size: entry.filter(|_| is_file).map_or(0, |entry| entry.size.get().into()),
            links: 1,
            mtime: entry.map(|entry| entry.modified()).unwrap_or_default(),
            device: None,
            immutable: false,
        })
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        let directory = self.volume.directory(self.volume.place(dir)?)?;
        let entry = |(slot, entry): (&usize, &crate::directory::Entry)| {
            let file_type = if entry.is_directory { FileType::Directory } else { FileType::Regular };
            let node = self.volume.node(&directory, *slot)?;
            Ok(DirEntry { name: entry.name.clone().into_bytes(), node, file_type })
        };
        directory.entries().iter().map(entry).collect()
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        if node == ROOT {
            return Err(FsError::IsADirectory);
        }
        let (entry, _) = self.volume.entry(node)?;
        if entry.role() == Role::Directory {
            return Err(FsError::IsADirectory);
        }
        let rest = u64::from(entry.size.get()).saturating_sub(offset);
        let len = to_usize(rest).min(buf.len());
        let Some(wanted) = buf.get_mut(..len) else { return Ok(0) };
        self.volume.read_chain(self.volume.first(&entry), wanted, offset)?;
        Ok(len)
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.metadata(node)?;
        Err(FsError::Invalid("not a symbolic link".into()))
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.metadata(node)?;
        Ok(Vec::new())
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        let boot = &self.volume.boot;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        self.volume.scan_free(FIRST_CLUSTER..boot.end(), &mut |cluster| {
            let start = boot.offset(cluster);
            let end = start.saturating_add(boot.cluster_bytes);
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
            true
        })?;
        Ok(ranges)
    }
}
