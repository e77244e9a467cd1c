//! `FileSystem` on a volume.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use vfs::bytes::{byte, index, le64, wide};
use vfs::{DirEntry, FileSystem, FileType, FsError, Info, Metadata, NodeId, Result, State};

use crate::attribute::{kind, units};
use crate::index::{Entry, Index};
use crate::log::{self, LogState};
use crate::name;
use crate::record::Record;
use crate::reparse::Reparse;
use crate::stream::Stream;
use crate::time::timestamp;
use crate::upcase::Capitals;
use crate::volume::{Volume, system};

/// The volume is to be checked.
const DIRTY: u16 = 1;

/// Flags that sound volumes of Windows have.
const HARMLESS: u16 = 0x80;

/// The name of a directory's index.
pub(crate) const I30: &[u16] = &[0x24, 0x49, 0x33, 0x30];

/// Reparse points have no more bytes (MS-FSCC, 2.1.2).
pub(crate) const LARGEST_REPARSE: u64 = 16 << 10;

/// Bytes of the bitmap that are read at once.
const PIECE: u64 = 64 << 10;

/// An open NTFS.
#[derive(Debug)]
pub(crate) struct Ntfs {
    pub(crate) volume: Volume,
    pub(crate) capitals: Capitals,
    /// The content that was read last: a file is read in many pieces.
    pub(crate) last: RefCell<Option<(NodeId, Arc<Stream>)>>,
}

impl Ntfs {
    pub(crate) fn open(disk: block::Disk) -> Result<Self> {
        let volume = Volume::open(disk)?;
        let table = volume.file(system::UP_CASE)?;
        let missing = || FsError::corrupt("$UpCase", 0, "it has no content");
        let table = volume.stream(&table, kind::DATA, &[])?.ok_or_else(missing)?;
        let bytes = table.read_all(&volume.disk, &volume.boot, Capitals::MOST, "$UpCase")?;
        Ok(Self { capitals: Capitals::read(&bytes)?, volume, last: RefCell::default() })
    }

    /// The same volume on another device.
    pub(crate) fn over(&self, disk: block::Disk) -> Result<Self> {
        Ok(Self { volume: Volume::open(disk)?, capitals: self.capitals.clone(), last: RefCell::default() })
    }

    /// Refuses a volume that must not be written as it is.
    pub(crate) fn check_writable(&self) -> Result<()> {
        let refused = match log::state(&self.volume)? {
            LogState::Pending { .. } => "writing to NTFS whose log has work pending",
            LogState::Unreadable => "writing to NTFS whose log cannot be read",
            LogState::Empty | LogState::Clean { .. } if self.hibernated()? => {
                "writing to the volume of a Windows that hibernated, or shut down in its fast way"
            }
            LogState::Empty | LogState::Clean { .. } => match self.information()? {
                ((3, 1), flags) if flags & !HARMLESS == 0 => return Ok(()),
                ((3, 1), flags) if flags & DIRTY != 0 => {
                    "writing to NTFS that is marked as dirty; run chkdsk in the guest"
                }
                ((3, 1), flags) => {
                    let what = format!("writing to NTFS with the flags {flags:#06x}");
                    return Err(FsError::unsupported(what));
                }
                ((major, minor), _) => {
                    return Err(FsError::unsupported(format!("writing to NTFS {major}.{minor}")));
                }
            },
        };
        Err(FsError::unsupported(refused))
    }

    fn file(&self, node: NodeId) -> Result<Arc<Record>> {
        self.volume.file(node.0)
    }

    fn read(&self, stream: &Stream, buf: &mut [u8], offset: u64) -> Result<usize> {
        stream.read(&self.volume.disk, &self.volume.boot, buf, offset)
    }

    /// Looks into a directory's index.
    pub(crate) fn in_index<T>(&self, dir: NodeId, look: impl FnOnce(&Index<'_>) -> Result<T>) -> Result<T> {
        let record = self.file(dir)?;
        if !record.directory {
            return Err(FsError::NotADirectory);
        }
        let missing = || FsError::corrupt("directory index", 0, format!("record {} has none", dir.0));
        let root = self.volume.resident(&record, kind::INDEX_ROOT, I30)?.ok_or_else(missing)?;
        let blocks = self.volume.stream(&record, kind::INDEX_ALLOCATION, I30)?;
        let read = |buf: &mut [u8], offset: u64| -> Result<()> {
            let blocks = blocks.as_ref().ok_or_else(missing)?;
            let len = self.read(blocks, buf, offset)?;
            if len == buf.len() {
                Ok(())
            } else {
                Err(FsError::corrupt("directory index", 0, "a node is outside it"))
            }
        };
        look(&Index::new(&root, self.volume.boot.cluster_size, &read)?)
    }

    /// What a file's reparse point makes of it, if it has one.
    fn reparse(&self, record: &Record) -> Result<Option<Reparse>> {
        let Some(stream) = self.volume.stream(record, kind::REPARSE_POINT, &[])? else { return Ok(None) };
        let data = stream.read_all(&self.volume.disk, &self.volume.boot, LARGEST_REPARSE, "reparse point")?;
        Reparse::read(&data).map(Some)
    }

    /// What an entry of a directory names. Only a reparse point has to be looked at.
    fn type_of(&self, entry: &Entry) -> Result<FileType> {
        if entry.reparse
            && let Some(Reparse::Link(_)) = self.reparse(&*self.volume.referred(entry.reference)?)?
        {
            return Ok(FileType::Symlink);
        }
        Ok(if entry.directory { FileType::Directory } else { FileType::Regular })
    }

    /// The content of a file.
    fn content(&self, node: NodeId) -> Result<Arc<Stream>> {
        if let Some((_, stream)) = self.last.borrow().as_ref().filter(|(last, _)| *last == node) {
            return Ok(Arc::clone(stream));
        }
        let record = self.file(node)?;
        if record.directory {
            return Err(FsError::IsADirectory);
        }
        if let Some(Reparse::Elsewhere(what)) = self.reparse(&record)? {
            return Err(FsError::unsupported(what));
        }
        let stream = self.volume.stream(&record, kind::DATA, &[])?;
        let stream = Arc::new(stream.ok_or_else(|| FsError::Invalid("it has no content".into()))?);
        *self.last.borrow_mut() = Some((node, Arc::clone(&stream)));
        Ok(stream)
    }

    /// Whether Windows hibernated, or shut down in its fast way: its memory is in a file, and it goes on
    /// with what it knows of the volume.
    pub(crate) fn hibernated(&self) -> Result<bool> {
        let node = match self.lookup(self.root(), b"hiberfil.sys") {
            Ok(node) => node,
            Err(FsError::NotFound) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut head = [0; 4];
        let len = self.read_at(node, &mut head, 0)?;
        Ok(len == 4 && head.eq_ignore_ascii_case(b"hibr"))
    }

    /// The volume's version, and its flags.
    fn information(&self) -> Result<((u8, u8), u16)> {
        let record = self.volume.file(system::VOLUME)?;
        let missing = || FsError::corrupt("$Volume", 0, "it has no information");
        let found = self.volume.resident(&record, kind::VOLUME_INFORMATION, &[])?.ok_or_else(missing)?;
        Ok(((byte(&found, 8)?, byte(&found, 9)?), vfs::bytes::le16(&found, 10)?))
    }

    /// Calls for each run of clusters that are free, from about `from` on, as long as it is to go on. A
    /// run of `enough` is told before its end is known.
    pub(crate) fn each_free(
        &self,
        from: u64,
        enough: u64,
        mut each: impl FnMut(Range<u64>) -> ControlFlow<()>,
    ) -> Result<()> {
        let record = self.volume.file(system::BITMAP)?;
        let missing = || FsError::corrupt("$Bitmap", 0, "it is shorter than the volume");
        let stream = self.volume.stream(&record, kind::DATA, &[])?.ok_or_else(missing)?;
        let clusters = self.volume.boot.clusters;
        if stream.size() < clusters.div_ceil(8) {
            return Err(missing());
        }
        let (mut at, mut free) = (from & !7, None);
        let mut buf = vec![0; index(PIECE)];
        while at < clusters {
            let bytes = index(clusters.saturating_sub(at).div_ceil(8).min(PIECE));
            let piece = buf.get_mut(..bytes).unwrap_or_default();
            self.read(&stream, piece, at.div_euclid(8))?;
            for (number, byte) in piece.iter().enumerate() {
                let first = at.saturating_add(wide(number).saturating_mul(8));
                // Eight at once, where they are as the one before.
                match (*byte, free) {
                    (0xff, None) => continue,
                    (0, Some(start)) if first.saturating_add(8).saturating_sub(start) < enough => continue,
                    _ => {}
                }
                for bit in 0..8_u64 {
                    let cluster = first.saturating_add(bit);
                    let is_free = byte >> bit & 1 == 0 && cluster < clusters;
                    let start = match (is_free, free) {
                        (true, None) => cluster,
                        (_, Some(start)) => start,
                        (false, None) => continue,
                    };
                    let end = if is_free { cluster.saturating_add(1) } else { cluster.min(clusters) };
                    if is_free && end.saturating_sub(start) < enough {
                        free = Some(start);
                        continue;
                    }
                    free = None;
                    if each(start..end).is_break() {
                        return Ok(());
                    }
                }
            }
            at = at.saturating_add(wide(bytes).saturating_mul(8));
        }
        if let Some(start) = free {
            let _ = each(start..clusters);
        }
        Ok(())
    }
}

impl FileSystem for Ntfs {
    fn info(&self) -> Result<Info> {
        let boot = &self.volume.boot;
        let ((major, minor), flags) = self.information()?;
        let record = self.volume.file(system::VOLUME)?;
        let label = self.volume.resident(&record, kind::VOLUME_NAME, &[])?.unwrap_or_default();
        let label = String::from_utf16_lossy(&units(&label));
        let log = log::state(&self.volume)?;
        let state = if self.hibernated()? {
            State::Errors("hibernated".to_owned())
        } else {
            match log {
                LogState::Pending { .. } => State::NeedsRecovery,
                LogState::Unreadable => State::Errors("its log cannot be read".to_owned()),
                _ if flags & DIRTY != 0 => State::Errors("marked as dirty".to_owned()),
                LogState::Empty | LogState::Clean { .. } => State::Clean,
            }
        };
        let mut features = vec![format!("ntfs-{major}.{minor}")];
        if let LogState::Clean { version: (major, minor) } | LogState::Pending { version: (major, minor) } =
            log
        {
            features.push(format!("lfs-{major}.{minor}"));
        }
        Ok(Info {
            kind: "ntfs",
            label: Some(label).filter(|label| !label.is_empty()),
            uuid: Some(format!("{:016X}", boot.serial)),
            block_size: boot.cluster_size,
            size: boot.size,
            free_nodes: None,
            state,
            features,
        })
    }

    fn free(&self, enough: u64) -> Result<u64> {
        let cluster = u64::from(self.volume.boot.cluster_size);
        let wanted = enough.div_ceil(cluster.max(1));
        let mut free: u64 = 0;
        self.each_free(0, wanted, |range| {
            free = free.saturating_add(range.end.saturating_sub(range.start));
            if free < wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(free.saturating_mul(cluster))
    }

    fn root(&self) -> NodeId {
        NodeId(system::ROOT)
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        let wanted = name::from_bytes(name).ok_or(FsError::NotFound)?;
        let found = self.in_index(dir, |index| index.find(&self.capitals, &wanted))?;
        let entry = found.ok_or(FsError::NotFound)?;
        Ok(NodeId(self.volume.referred(entry.reference)?.number))
    }

    fn spelling(&self, dir: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(wanted) = name::from_bytes(name) else { return Ok(None) };
        let found = self.in_index(dir, |index| index.find(&self.capitals, &wanted))?;
        Ok(found.map(|entry| name::to_bytes(&entry.name)).filter(|written| written != name))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let record = self.file(node)?;
        let missing = || FsError::corrupt("file record", 0, format!("record {} has no times", node.0));
        let times = self.volume.resident(&record, kind::STANDARD_INFORMATION, &[])?.ok_or_else(missing)?;
        let (file_type, size) = match self.reparse(&record)? {
            Some(Reparse::Link(target)) => (FileType::Symlink, wide(target.len())),
            _ if record.directory => (FileType::Directory, 0),
            _ => {
                let content = self.volume.stream(&record, kind::DATA, &[]);
                // A file that cannot be read has its size all the same.
                let size = match content {
                    Ok(content) => content.map_or(0, |stream| stream.size()),
                    Err(FsError::Unsupported(_)) => 0,
                    Err(error) => return Err(error),
                };
                (FileType::Regular, size)
            }
        };
        Ok(Metadata {
            file_type,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size,
            links: u64::from(record.links).saturating_sub(self.volume.dos_names(&record)?),
            mtime: timestamp(le64(&times, 8)?),
            device: None,
            immutable: false,
        })
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        let entries = self.in_index(dir, |index| index.all())?;
        let shown = |entry: &&Entry| !entry.dos && entry.reference.record >= system::FIRST_USER;
        let mut listed = Vec::new();
        for entry in entries.iter().filter(shown) {
            let name = name::to_bytes(&entry.name);
            if matches!(&*name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
                let why = format!("{:?} is no name of a file", String::from_utf8_lossy(&name));
                return Err(FsError::corrupt("directory index", 0, why));
            }
            let (node, file_type) = (NodeId(entry.reference.record), self.type_of(entry)?);
            listed.push(DirEntry { name, node, file_type });
        }
        Ok(listed)
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        let content = self.content(node)?;
        self.read(&content, buf, offset)
    }

    fn next_data(&self, node: NodeId, offset: u64) -> Result<Option<u64>> {
        Ok(self.content(node)?.next_data(&self.volume.boot, offset))
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        match self.reparse(&*self.file(node)?)? {
            Some(Reparse::Link(target)) => Ok(target),
            _ => Err(FsError::Invalid("it is no link".into())),
        }
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.file(node).map(|_| Vec::new())
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        let cluster = u64::from(self.volume.boot.cluster_size);
        let mut ranges = Vec::new();
        self.each_free(0, u64::MAX, |free| {
            ranges.push(free.start.saturating_mul(cluster)..free.end.saturating_mul(cluster));
            ControlFlow::Continue(())
        })?;
        Ok(ranges)
    }
}
