//! The guest as it will be: staged nodes over the guest as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hive::Hive;
use libdisk::vfs::{FileType, Metadata, Timestamp};
use libdisk::volume::SignatureKind;
use libdisk::volume::wrap::HEAD;

use crate::facts::Machine;
use crate::memo::Memo;
use crate::path::{self, Kind, Last, Names, Place, split_str};
use crate::text::bytes::{decode, encode};
use crate::tree::volume_at;
use crate::{Result, View};

/// What will be at a path.
#[derive(Debug, Clone)]
pub(super) enum Staged {
    File(StagedFile),
    Link(String),
    /// A directory made for what is staged in it.
    Directory(Metadata),
    Removed,
}

/// A file that will be.
#[derive(Debug, Clone)]
pub(super) struct StagedFile {
    pub(super) content: Arc<[u8]>,
    pub(super) metadata: Metadata,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Staged nodes, by resolved path, over a base.
#[derive(Clone)]
pub(super) struct Overlay<'a> {
    base: &'a dyn View,
    pub(super) machine: Machine,
    nodes: BTreeMap<String, Staged>,
    /// What will be before the first disk of the base.
    pub(super) head: Option<Vec<u8>>,
    /// Bytes of the disks that will change, in the order staged.
    pub(super) bytes: Vec<Bytes>,
    memo: Memo,
}

/// Bytes that will be on one of the disks.
#[derive(Debug, Clone)]
pub(super) struct Bytes {
    pub(super) disk: usize,
    pub(super) offset: u64,
    pub(super) content: Vec<u8>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(base: &'a dyn View) -> Self {
        Self {
            base,
            machine: base.machine().clone(),
            nodes: BTreeMap::new(),
            head: None,
            bytes: Vec::new(),
            memo: base.memo().cloned().unwrap_or_default(),
        }
    }

    pub(super) fn set(&mut self, path: String, node: Staged) {
        self.memo.changed(&path);
        self.nodes.insert(path, node);
    }

    /// This is the hive that was put into this file.
    pub(super) fn keep_hive(&self, path: &'static str, hive: Hive) {
        self.memo.keep_hive(path, Ok(Arc::new(hive)));
    }

    pub(super) fn staged(&self, path: &str) -> Option<&Staged> {
        self.nodes.get(path)
    }

    /// Bytes of a disk as they are, behind what will be before it.
    pub(super) fn old_bytes(&self, disk: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        let Some(head) = self.head.as_ref().filter(|_| disk == 0) else {
            return self.base.disk_bytes(disk, offset, len);
        };
        let before = (offset..HEAD).take(len).map(|at| head.get(at as usize).copied().unwrap_or(0));
        let mut bytes: Vec<u8> = before.collect();
        bytes.extend(self.base.disk_bytes(disk, offset.saturating_sub(HEAD), len - bytes.len())?);
        Ok(bytes)
    }

    /// Where `path` leads in the tree as it will be.
    pub(super) fn place(&self, path: &str, last: Last) -> Result<Place> {
        path::resolve(self, &encode(path), last)
    }

    fn find(&self, path: &str, last: Last) -> Result<Option<String>> {
        Ok(match self.place(path, last)? {
            Place::Found(path) => Some(decode(&path)),
            Place::Absent(_) | Place::Blocked(_) => None,
        })
    }

    /// Whether the base has at this resolved path what the tree as it will be has there: not below a
    /// directory that is itself staged, for there the base may have a link to somewhere else.
    pub(super) fn in_base(&self, path: &str) -> bool {
        let mut dir = path;
        while let Some((parent, _)) = split_str(dir) {
            if self.nodes.contains_key(parent) {
                return false;
            }
            dir = parent;
        }
        true
    }

    /// What `lstat` tells of a resolved path.
    fn metadata(&self, path: &str) -> Result<Option<Metadata>> {
        match self.nodes.get(path) {
            Some(Staged::File(file)) => Ok(Some(file.metadata.clone())),
            Some(Staged::Link(target)) => Ok(Some(new_metadata(FileType::Symlink, 0o777, target.len()))),
            Some(Staged::Directory(metadata)) => Ok(Some(metadata.clone())),
            Some(Staged::Removed) => Ok(None),
            None if self.in_base(path) => self.base.lstat(path),
            None => Ok(None),
        }
    }
}

/// What a new node of root's will be.
pub(super) fn new_metadata(file_type: FileType, mode: u16, size: usize) -> Metadata {
    Metadata {
        file_type,
        mode,
        uid: 0,
        gid: 0,
        size: size as u64,
        links: 1,
        mtime: Timestamp::default(),
        device: None,
        immutable: false,
    }
}

impl Names for Overlay<'_> {
    fn kind(&self, path: &[u8]) -> Result<Option<Kind>> {
        let path = decode(path);
        let Some(metadata) = self.metadata(&path)? else { return Ok(None) };
        Ok(Some(match metadata.file_type {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => match self.nodes.get(&path) {
                Some(Staged::Link(target)) => Kind::Link(encode(target).into_owned()),
                _ => Kind::Link(encode(&self.base.read_link(&path)?.unwrap_or_default()).into_owned()),
            },
            _ => Kind::Other,
        }))
    }

    fn spelling(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let path = decode(path);
        Ok(View::spelling(self, &path)?.map(|written| encode(&written).into_owned()))
    }
}

impl View for Overlay<'_> {
    fn below(&self) -> Option<&dyn View> {
        Some(self.base)
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn lstat(&self, path: &str) -> Result<Option<Metadata>> {
        self.find(path, Last::Keep)?.map_or(Ok(None), |path| self.metadata(&path))
    }

    fn stat(&self, path: &str) -> Result<Option<Metadata>> {
        self.find(path, Last::Follow)?.map_or(Ok(None), |path| self.metadata(&path))
    }

    fn resolve(&self, path: &str) -> Result<Option<String>> {
        self.find(path, Last::Follow)
    }

    fn spelling(&self, path: &str) -> Result<Option<String>> {
        if self.nodes.contains_key(path) {
            return Ok(None);
        }
        if self.in_base(path)
            && let Some(written) = self.base.spelling(path)?
        {
            return Ok(Some(written));
        }
        let kind = volume_at(&self.machine, path).and_then(|volume| volume.kind);
        let (Some((dir, name)), true) = (split_str(path), kind.is_some_and(SignatureKind::ignores_case))
        else {
            return Ok(None);
        };
        let beside = self.nodes.keys().filter_map(|staged| split_str(staged));
        let mut same = beside.filter(|(parent, new)| *parent == dir && new.eq_ignore_ascii_case(name));
        Ok(same.next().map(|(_, written)| written.to_owned()))
    }

    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>> {
        let Some(path) = self.find(path, Last::Follow)? else { return Ok(None) };
        match self.nodes.get(&path) {
            Some(Staged::File(file)) => Ok(Some(file.content.clone())),
            Some(_) => Ok(None),
            None => self.base.read(&path),
        }
    }

    fn read_link(&self, path: &str) -> Result<Option<String>> {
        let Some(path) = self.find(path, Last::Keep)? else { return Ok(None) };
        match self.nodes.get(&path) {
            Some(Staged::Link(target)) => Ok(Some(target.clone())),
            Some(_) => Ok(None),
            None => self.base.read_link(&path),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let Some(dir) = self.find(path, Last::Follow)? else { return Ok(Vec::new()) };
        let in_base = self.in_base(&dir) && !self.nodes.contains_key(&dir);
        let old = if in_base { self.base.list(&dir)? } else { Vec::new() };
        let mut names = BTreeSet::from_iter(old);
        for (path, node) in &self.nodes {
            if let Some((parent, name)) = split_str(path)
                && parent == dir
            {
                match node {
                    Staged::Removed => names.remove(name),
                    _ => names.insert(name.to_owned()),
                };
            }
        }
        Ok(names.into_iter().collect())
    }

    fn xattrs(&self, path: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(path) = self.find(path, Last::Keep)? else { return Ok(Vec::new()) };
        match self.nodes.get(&path) {
            Some(Staged::File(file)) => Ok(file.xattrs.clone()),
            Some(_) => Ok(Vec::new()),
            None => self.base.xattrs(&path),
        }
    }

    fn range(&self, path: &str, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        let Some(path) = self.find(path, Last::Follow)? else { return Ok(None) };
        match self.nodes.get(&path) {
            Some(Staged::File(file)) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(Some(file.content.iter().skip(from).take(len).copied().collect()))
            }
            Some(_) => Ok(None),
            None => self.base.range(&path, offset, len),
        }
    }

    fn memo(&self) -> Option<&Memo> {
        Some(&self.memo)
    }

    fn disk_bytes(&self, disk: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = self.old_bytes(disk, offset, len)?;
        for staged in self.bytes.iter().filter(|staged| staged.disk == disk) {
            for (at, new) in (staged.offset..).zip(&staged.content) {
                let index = at.checked_sub(offset).and_then(|index| usize::try_from(index).ok());
                if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
                    *byte = *new;
                }
            }
        }
        Ok(bytes)
    }
}
