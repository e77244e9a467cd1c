//! The verbs.

use vfs::{Attributes, FileSystem, FileType, FsError, NodeId, Result, Timestamp, Transaction};

use crate::change::Change;
use crate::dir::check_name;
use crate::fork::Fork;
use crate::inode::Inode;

/// The most names that a node can have (`XFS_MAXLINK`).
const LINK_MAX: u32 = i32::MAX.cast_unsigned();

impl Change<'_> {
    /// The directory, if it can take this new name.
    fn dir_for(&self, dir: NodeId, name: &[u8]) -> Result<Inode> {
        check_name(name)?;
        let dir = self.fs.directory(dir.0)?;
        match self.fs.find(&dir, name)? {
            Some(_) => Err(FsError::Exists),
            None => Ok(dir),
        }
    }

    /// Stages an inode that was changed.
    fn stage(&mut self, inode: &mut Inode) -> Result<()> {
        inode.count_change();
        self.fs.stage_inode(inode)
    }

    /// Makes an inode, has `fill` give it content, and names it.
    fn make(
        &mut self,
        dir: NodeId,
        name: &[u8],
        file_type: FileType,
        attributes: &Attributes,
        fill: impl FnOnce(&mut Self, &mut Inode) -> Result<()>,
    ) -> Result<NodeId> {
        let mut parent = self.dir_for(dir, name)?;
        let mut inode = self.allocate_inode(parent.number)?;
        inode.start(&self.fs.sb, file_type);
        inode.set_permissions(attributes.mode);
        inode.set_owner(attributes.uid, attributes.gid);
        inode.set_times(&self.fs.sb, attributes.time);
        inode.inherit_project(&parent);
        // Blocks know their inode by its number, so it must be in use before it has any.
        self.fs.stage_inode(&mut inode)?;
        fill(self, &mut inode)?;
        for (name, value) in &attributes.xattrs {
            self.set_attribute(&mut inode, name, Some(value))?;
        }
        self.fs.stage_inode(&mut inode)?;
        self.add_name(&mut parent, name, inode.number, file_type)?;
        if file_type == FileType::Directory {
            parent.set_links(parent.links().saturating_add(1));
        }
        parent.set_mtime(&self.fs.sb, attributes.time);
        self.stage(&mut parent)?;
        Ok(NodeId(inode.number))
    }

    /// Takes one name of an inode away, and the inode with the last one.
    fn drop_link(&mut self, number: u64) -> Result<()> {
        let mut inode = self.fs.visible(NodeId(number))?;
        let links = if inode.is_dir() { 0 } else { inode.links().saturating_sub(1) };
        inode.set_links(links);
        if links > 0 {
            return self.stage(&mut inode);
        }
        self.remove_inode(inode)
    }

    /// Frees an inode with all that it has.
    pub(crate) fn remove_inode(&mut self, mut inode: Inode) -> Result<()> {
        self.fs.directories.remove(&inode.number);
        self.release_content(&mut inode)?;
        self.release_attributes(&mut inode)?;
        if inode.blocks() != 0 {
            return Err(inode.corrupt("it counts more blocks than it has"));
        }
        self.free_inode(inode)
    }

    fn rename_checked(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()> {
        let source = self.fs.directory(from_dir.0)?;
        let found = self.fs.find(&source, from)?.ok_or(FsError::NotFound)?;
        check_name(to)?;
        let mut target = self.fs.directory(to_dir.0)?;
        let mut moved = self.fs.visible(NodeId(found.inode))?;
        let file_type = moved.file_type()?;
        let is_dir = moved.is_dir();
        if is_dir && self.fs.is_below(target.number, moved.number)? {
            return Err(FsError::Invalid("a directory cannot be moved into itself".into()));
        }
        let over = self.fs.find(&target, to)?;
        if let Some(over) = &over {
            if over.inode == moved.number {
                return Ok(());
            }
            let over = self.fs.visible(NodeId(over.inode))?;
            match (is_dir, over.is_dir()) {
                (true, false) => return Err(FsError::NotADirectory),
                (false, true) => return Err(FsError::IsADirectory),
                (true, true) if !self.fs.is_empty_dir(&over)? => return Err(FsError::NotEmpty),
                _ => {}
            }
        }

        match &over {
            Some(_) => self.redirect_name(&mut target, to, moved.number, file_type)?,
            None => self.add_name(&mut target, to, moved.number, file_type)?,
        }
        // A directory leaves one ".." behind where it was, and its like where one was replaced.
        if is_dir && over.is_none() {
            target.set_links(target.links().saturating_add(1));
        }
        self.stage(&mut target)?;

        let mut source = self.fs.directory(from_dir.0)?;
        self.remove_name(&mut source, from)?;
        if is_dir {
            source.set_links(source.links().saturating_sub(1));
        }
        self.stage(&mut source)?;
        if is_dir && source.number != target.number {
            self.set_parent(&mut moved, target.number)?;
            self.stage(&mut moved)?;
        }
        over.map_or(Ok(()), |over| self.drop_link(over.inode))
    }

    fn unlink_checked(&mut self, dir: NodeId, name: &[u8]) -> Result<()> {
        let mut dir = self.fs.directory(dir.0)?;
        let found = self.fs.find(&dir, name)?.ok_or(FsError::NotFound)?;
        let inode = self.fs.visible(NodeId(found.inode))?;
        if inode.is_dir() {
            if !self.fs.is_empty_dir(&inode)? {
                return Err(FsError::NotEmpty);
            }
            dir.set_links(dir.links().saturating_sub(1));
        }
        self.remove_name(&mut dir, name)?;
        self.stage(&mut dir)?;
        self.drop_link(inode.number)
    }
}

impl Transaction for Change<'_> {
    fn fs(&self) -> &dyn FileSystem {
        &self.fs
    }

    fn create(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        content: &[u8],
    ) -> Result<NodeId> {
        self.attempt(|change| {
            change.make(dir, name, FileType::Regular, attributes, |change, inode| {
                change.write_content(inode, content)
            })
        })
    }

    fn replace(&mut self, file: NodeId, content: &[u8], time: Timestamp) -> Result<()> {
        self.attempt(|change| {
            let mut inode = change.fs.visible(file)?;
            if inode.file_type()? != FileType::Regular {
                return Err(FsError::Invalid("not a regular file".into()));
            }
            change.release_content(&mut inode)?;
            change.write_content(&mut inode, content)?;
            inode.set_mtime(&change.fs.sb, time);
            change.stage(&mut inode)
        })
    }

    fn mkdir(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes) -> Result<NodeId> {
        self.attempt(|change| {
            change.make(dir, name, FileType::Directory, attributes, |change, inode| {
                inode.data = Fork::Inline(Vec::new());
                change.start_directory(inode, dir.0)
            })
        })
    }

    fn symlink(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<NodeId> {
        self.attempt(|change| {
            change.make(dir, name, FileType::Symlink, attributes, |change, inode| {
                change.write_target(inode, target)
            })
        })
    }

    fn link(&mut self, dir: NodeId, name: &[u8], node: NodeId) -> Result<()> {
        self.attempt(|change| {
            let mut parent = change.dir_for(dir, name)?;
            let mut inode = change.fs.visible(node)?;
            if inode.is_dir() {
                return Err(FsError::IsADirectory);
            }
            if inode.links() >= LINK_MAX {
                return Err(FsError::Invalid("the file has too many names".into()));
            }
            inode.set_links(inode.links().saturating_add(1));
            change.stage(&mut inode)?;
            change.add_name(&mut parent, name, inode.number, inode.file_type()?)?;
            change.stage(&mut parent)
        })
    }

    fn rename(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()> {
        self.attempt(|change| change.rename_checked(from_dir, from, to_dir, to))
    }

    fn unlink(&mut self, dir: NodeId, name: &[u8]) -> Result<()> {
        self.attempt(|change| change.unlink_checked(dir, name))
    }

    fn set_owner(&mut self, node: NodeId, mode: u16, uid: u32, gid: u32) -> Result<()> {
        self.attempt(|change| {
            let mut inode = change.fs.visible(node)?;
            inode.set_permissions(mode);
            inode.set_owner(uid, gid);
            change.stage(&mut inode)
        })
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.attempt(|change| {
            let mut inode = change.fs.visible(node)?;
            change.set_attribute(&mut inode, name, value)?;
            change.stage(&mut inode)
        })
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.finish()
    }
}
