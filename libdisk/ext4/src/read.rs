//! The file system as its readers see it.

use std::ops::Range;

use vfs::{DirEntry, FileSystem, FileType, FsError, Info, Metadata, NodeId, Result};

use crate::Ext4;
use crate::bytes::{index, part, wide};
use crate::features::ro_compat;
use crate::group::Group;
use crate::inode::{Inode, ROOT, flag};

/// Inode numbers have 32 bits.
pub(crate) fn number(node: NodeId) -> Result<u32> {
    u32::try_from(node.0).map_err(|_| FsError::NotFound)
}

impl Ext4 {
    /// Reads content of an inode, as far as its size goes.
    pub(crate) fn read_content(&self, inode: &Inode, buf: &mut [u8], offset: u64) -> Result<usize> {
        inode.check_plain()?;
        let len = buf.len().min(index(inode.size().saturating_sub(offset)));
        let buf = buf.get_mut(..len).unwrap_or_default();
        if len == 0 {
            return Ok(0);
        }
        if inode.has(flag::INLINE_DATA) {
            let mut data = self.inline_data(inode)?;
            let needed = index(offset).saturating_add(len);
            if needed > data.len() && needed > self.sb.inode_size {
                return Err(inode.corrupt("its inline data are longer than the inode"));
            }
            data.resize(needed.max(data.len()), 0);
            buf.copy_from_slice(part(&data, index(offset), len)?);
            return Ok(len);
        }
        let size = u64::from(self.sb.block_size);
        let mut done = 0;
        while done < len {
            let at = offset.saturating_add(wide(done));
            let block = at.checked_div(size).unwrap_or_default();
            let within = at.checked_rem(size).unwrap_or_default();
            let (physical, blocks) = self.map(inode, block)?;
            let run = index(blocks.saturating_mul(size).saturating_sub(within)).min(len.saturating_sub(done));
            let end = done.saturating_add(run);
            let piece = buf.get_mut(done..end).unwrap_or_default();
            match physical {
                Some(physical) => {
                    self.blocks.disk().read_at(piece, self.sb.byte(physical).saturating_add(within))?
                }
                None => piece.fill(0),
            }
            done = end;
        }
        Ok(len)
    }

    /// The first byte of an inode's data from `offset` on that is in a block.
    fn next_content(&self, inode: &Inode, offset: u64) -> Result<Option<u64>> {
        let (size, block_size) = (inode.size(), u64::from(self.sb.block_size));
        if inode.has(flag::INLINE_DATA) {
            return Ok((offset < size).then_some(offset));
        }
        let mut at = offset;
        while at < size {
            let block = at.checked_div(block_size).unwrap_or_default();
            let (physical, blocks) = self.map(inode, block)?;
            if physical.is_some() {
                return Ok(Some(at));
            }
            at = block.saturating_add(blocks).saturating_mul(block_size);
        }
        Ok(None)
    }
}

impl Ext4 {
    fn sum(&self, count: fn(&Group) -> u32) -> u64 {
        self.groups.iter().map(|group| u64::from(count(group))).sum()
    }
}

impl FileSystem for Ext4 {
    fn info(&self) -> Result<Info> {
        Ok(Info {
            kind: self.sb.features.kind(),
            label: self.sb.label(),
            uuid: Some(self.sb.uuid_text()),
            block_size: self.sb.block_size,
            size: self.sb.byte(self.sb.blocks),
            free_nodes: Some(self.sum(Group::free_inodes)),
            state: self.sb.state(),
            features: self.sb.features.names(),
        })
    }

    fn free(&self, _: u64) -> Result<u64> {
        let blocks = self.sum(Group::free_blocks).saturating_mul(self.sb.cluster.into());
        Ok(self.sb.byte(blocks))
    }

    fn root(&self) -> NodeId {
        NodeId(ROOT.into())
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        let dir = self.directory(number(dir)?)?;
        let found = self.find(&dir, name)?.ok_or(FsError::NotFound)?;
        Ok(NodeId(found.inode.into()))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let inode = self.inode(number(node)?)?;
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
        let dir = self.directory(number(dir)?)?;
        let entry = |found: crate::dir::Found| {
            let file_type = match found.file_type {
                Some(file_type) => file_type,
                None => self.inode(found.inode)?.file_type()?,
            };
            Ok(DirEntry { name: found.name, node: NodeId(found.inode.into()), file_type })
        };
        self.names(&dir)?.into_iter().map(entry).collect()
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        let inode = self.inode(number(node)?)?;
        match inode.file_type()? {
            FileType::Regular => self.read_content(&inode, buf, offset),
            FileType::Directory => Err(FsError::IsADirectory),
            _ => Err(FsError::Invalid("only regular files have content".into())),
        }
    }

    fn next_data(&self, node: NodeId, offset: u64) -> Result<Option<u64>> {
        let inode = self.inode(number(node)?)?;
        inode.check_plain()?;
        match inode.file_type()? {
            FileType::Regular => self.next_content(&inode, offset),
            _ => Err(FsError::Invalid("only regular files have content".into())),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let inode = self.inode(number(node)?)?;
        match inode.file_type()? {
            FileType::Symlink => self.target(&inode),
            _ => Err(FsError::Invalid("not a symbolic link".into())),
        }
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.attributes(&self.inode(number(node)?)?)
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let cluster = if self.sb.ro_compat(ro_compat::BIGALLOC) { u64::from(self.sb.cluster) } else { 1 };
        for group in 0..self.sb.groups {
            let start = self.sb.group_start(group);
            let byte = |bit: u32| {
                self.sb.byte(u64::from(bit).saturating_mul(cluster).saturating_add(start).min(self.sb.blocks))
            };
            for run in self.block_bitmap(group)?.free_runs(0) {
                let range = byte(run.start)..byte(run.end);
                match ranges.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => ranges.push(range),
                }
            }
        }
        Ok(ranges)
    }
}
