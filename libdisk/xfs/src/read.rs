//! The file system as its readers see it.

use std::ops::Range;

use vfs::{DirEntry, FileSystem, FileType, FsError, Info, Metadata, NodeId, Result, State};

use crate::Xfs;
use crate::btree::{FIRST, FreeByBlock, LAST};
use crate::inode::{Inode, flag, flag2};

impl Xfs {
    /// An inode that has a name; the ones that the file system keeps for itself have none.
    pub(crate) fn visible(&self, node: NodeId) -> Result<Inode> {
        let inode = self.inode(node.0)?;
        let internal = self.sb.internal_inodes().contains(&node.0) || inode.has2(flag2::METADATA);
        if internal { Err(FsError::NotFound) } else { Ok(inode) }
    }
}

impl FileSystem for Xfs {
    fn info(&self) -> Result<Info> {
        Ok(Info {
            kind: "xfs",
            label: self.sb.label(),
            uuid: Some(self.sb.uuid_text()),
            block_size: self.sb.block_size,
            size: self.sb.size(),
            free_nodes: None,
            state: if self.needs_recovery()? { State::NeedsRecovery } else { State::Clean },
            features: self.sb.features.names(),
        })
    }

    fn free(&self, _: u64) -> Result<u64> {
        Ok(self.sb.free_blocks.saturating_mul(self.sb.block_size.into()))
    }

    fn root(&self) -> NodeId {
        NodeId(self.sb.root)
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        let dir = self.directory(dir.0)?;
        let found = self.find(&dir, name)?.ok_or(FsError::NotFound)?;
        Ok(NodeId(found.inode))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let inode = self.visible(node)?;
        Ok(Metadata {
            file_type: inode.file_type()?,
            mode: inode.permissions(),
            uid: inode.uid(),
            gid: inode.gid(),
            size: inode.size(),
            links: inode.links().into(),
            mtime: inode.mtime(),
            device: inode.device(),
            immutable: inode.has(flag::IMMUTABLE),
        })
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        let dir = self.directory(dir.0)?;
        let entry = |found: crate::dir::Entry| {
            let file_type = match found.file_type {
                Some(file_type) => file_type,
                None => self.inode(found.inode)?.file_type()?,
            };
            Ok(DirEntry { name: found.name, node: NodeId(found.inode), file_type })
        };
        self.names(&dir)?.into_iter().map(entry).collect()
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        let inode = self.visible(node)?;
        match inode.file_type()? {
            FileType::Regular => self.read_content(&inode, buf, offset),
            FileType::Directory => Err(FsError::IsADirectory),
            _ => Err(FsError::Invalid("only regular files have content".into())),
        }
    }

    fn next_data(&self, node: NodeId, offset: u64) -> Result<Option<u64>> {
        let inode = self.visible(node)?;
        match inode.file_type()? {
            FileType::Regular => self.next_content(&inode, offset),
            _ => Err(FsError::Invalid("only regular files have content".into())),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let inode = self.visible(node)?;
        match inode.file_type()? {
            FileType::Symlink => self.target(&inode),
            _ => Err(FsError::Invalid("not a symbolic link".into())),
        }
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.attributes(&self.visible(node)?)
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for ag in 0..self.sb.ag_count {
            self.records(ag, (FIRST, LAST), &mut |free: FreeByBlock| {
                self.sb.check_run(self.sb.join(ag, free.start), free.len.into())?;
                let end = free.start.saturating_add(free.len);
                let range = self.sb.ag_byte(ag, free.start)..self.sb.ag_byte(ag, end);
                match ranges.last_mut() {
                    Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                    _ => ranges.push(range),
                }
                Ok(true)
            })?;
        }
        Ok(ranges)
    }
}
