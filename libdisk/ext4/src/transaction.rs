//! The verbs.

use vfs::{Attributes, FileSystem, FileType, FsError, NodeId, Result, Timestamp, Transaction};

use crate::bytes::{put, wide};
use crate::change::Change;
use crate::dir::check_name;
use crate::features::ro_compat;
use crate::inode::{BLOCK_LEN, Inode, ROOT};
use crate::read::number;

/// The most names that a node can have (`EXT4_LINK_MAX`).
const LINK_MAX: u16 = 65000;

impl Change<'_> {
    /// The directory with this number, to be changed.
    fn editable_dir(&self, dir: NodeId) -> Result<Inode> {
        let dir = self.fs.directory(number(dir)?)?;
        dir.check_editable()?;
        Ok(dir)
    }

    /// An inode to be changed; not one of those that the format keeps for itself.
    fn editable(&self, number: u32) -> Result<Inode> {
        let inode = self.fs.inode(number)?;
        if number < self.fs.sb.first_inode && number != ROOT {
            return Err(FsError::Invalid("a reserved inode".into()));
        }
        inode.check_editable()?;
        Ok(inode)
    }

    /// The directory, if it can take this new name.
    fn dir_for(&self, dir: NodeId, name: &[u8]) -> Result<Inode> {
        check_name(name)?;
        let dir = self.editable_dir(dir)?;
        match self.fs.find(&dir, name)? {
            Some(_) => Err(FsError::Exists),
            None => Ok(dir),
        }
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
        let is_dir = file_type == FileType::Directory;
        if is_dir {
            self.add_subdirectory(&mut parent)?;
        }
        let mut inode = self.allocate_inode(&parent, is_dir)?;
        inode.set_file_type(file_type);
        inode.set_permissions(attributes.mode);
        inode.set_owner(attributes.uid, attributes.gid);
        inode.set_links(if is_dir { 2 } else { 1 });
        inode.set_times(attributes.time)?;
        inode.inherit_project(&parent)?;
        fill(self, &mut inode)?;
        for (name, value) in &attributes.xattrs {
            self.set_attribute(&mut inode, name, Some(value))?;
        }
        self.fs.stage_inode(&mut inode)?;
        self.insert_name(&mut parent, name, inode.number, file_type)?;
        parent.set_mtime(attributes.time)?;
        self.fs.stage_inode(&mut parent)?;
        Ok(NodeId(inode.number.into()))
    }

    /// Counts one more "..". With `dir_nlink`, what cannot be counted is 1.
    fn add_subdirectory(&self, dir: &mut Inode) -> Result<()> {
        let uncounted = self.fs.sb.ro_compat(ro_compat::DIR_NLINK);
        match dir.links() {
            1 => {}
            links if links < LINK_MAX => dir.set_links(links.saturating_add(1)),
            _ if uncounted => dir.set_links(1),
            _ => return Err(FsError::Invalid("the directory has too many directories".into())),
        }
        Ok(())
    }

    /// Counts one ".." less.
    fn drop_subdirectory(&self, dir: &mut Inode) {
        if dir.links() > 2 {
            dir.set_links(dir.links().saturating_sub(1));
        }
    }

    /// Takes one name of an inode away, and the inode with the last one.
    fn drop_link(&mut self, number: u32) -> Result<()> {
        let mut inode = self.editable(number)?;
        let links = if inode.is_dir() { 0 } else { inode.links().saturating_sub(1) };
        inode.set_links(links);
        if links > 0 {
            return self.fs.stage_inode(&mut inode);
        }
        self.release_content(&mut inode)?;
        self.release_attributes(&mut inode)?;
        self.free_inode(&inode)
    }

    fn rename_checked(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()> {
        let source = self.editable_dir(from_dir)?;
        let found = self.fs.find(&source, from)?.ok_or(FsError::NotFound)?;
        check_name(to)?;
        let target = self.editable_dir(to_dir)?;
        let mut moved = self.editable(found.inode)?;
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
            let over = self.editable(over.inode)?;
            match (is_dir, over.is_dir()) {
                (true, false) => return Err(FsError::NotADirectory),
                (false, true) => return Err(FsError::IsADirectory),
                (true, true) if !self.fs.is_empty_dir(&over)? => return Err(FsError::NotEmpty),
                _ => {}
            }
        }

        let mut target = target;
        match &over {
            Some(over) => self.redirect_name(&mut target, over, moved.number, file_type)?,
            None => self.insert_name(&mut target, to, moved.number, file_type)?,
        }
        // A directory leaves one ".." behind where it was, and its like where one was replaced.
        if is_dir && over.is_none() {
            self.add_subdirectory(&mut target)?;
        }
        self.fs.stage_inode(&mut target)?;

        // The new name may have moved the old one within the same directory.
        let mut source = self.editable_dir(from_dir)?;
        let found = self.fs.find(&source, from)?.ok_or(FsError::NotFound)?;
        self.remove_name(&mut source, &found)?;
        if is_dir {
            self.drop_subdirectory(&mut source);
        }
        self.fs.stage_inode(&mut source)?;
        if is_dir && source.number != target.number {
            self.set_parent(&mut moved, target.number)?;
            self.fs.stage_inode(&mut moved)?;
        }
        over.map_or(Ok(()), |over| self.drop_link(over.inode))
    }

    fn unlink_checked(&mut self, dir: NodeId, name: &[u8]) -> Result<()> {
        let mut dir = self.editable_dir(dir)?;
        let found = self.fs.find(&dir, name)?.ok_or(FsError::NotFound)?;
        let inode = self.editable(found.inode)?;
        if inode.is_dir() {
            if !self.fs.is_empty_dir(&inode)? {
                return Err(FsError::NotEmpty);
            }
            self.drop_subdirectory(&mut dir);
        }
        self.remove_name(&mut dir, &found)?;
        self.fs.stage_inode(&mut dir)?;
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
            let mut inode = change.editable(number(file)?)?;
            if inode.file_type()? != FileType::Regular {
                return Err(FsError::Invalid("not a regular file".into()));
            }
            change.release_content(&mut inode)?;
            change.write_content(&mut inode, content)?;
            inode.set_mtime(time)?;
            change.fs.stage_inode(&mut inode)
        })
    }

    fn mkdir(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes) -> Result<NodeId> {
        self.attempt(|change| {
            let parent = number(dir)?;
            change.make(dir, name, FileType::Directory, attributes, |change, inode| {
                change.init_mapping(inode)?;
                change.init_dir(inode, parent, &[])
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
            if target.is_empty() || target.len() >= change.fs.blocks.block_size() || target.contains(&0) {
                return Err(FsError::Invalid("a target has no zero byte, and fits a block with one".into()));
            }
            change.make(dir, name, FileType::Symlink, attributes, |change, inode| {
                if target.len() < BLOCK_LEN {
                    put(inode.block_mut(), 0, target)?;
                    inode.set_size(wide(target.len()));
                    return Ok(());
                }
                change.write_content(inode, target)
            })
        })
    }

    fn link(&mut self, dir: NodeId, name: &[u8], node: NodeId) -> Result<()> {
        self.attempt(|change| {
            let mut parent = change.dir_for(dir, name)?;
            let mut inode = change.editable(number(node)?)?;
            if inode.is_dir() {
                return Err(FsError::IsADirectory);
            }
            if inode.links() >= LINK_MAX {
                return Err(FsError::Invalid("the file has too many names".into()));
            }
            inode.set_links(inode.links().saturating_add(1));
            change.fs.stage_inode(&mut inode)?;
            change.insert_name(&mut parent, name, inode.number, inode.file_type()?)?;
            change.fs.stage_inode(&mut parent)
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
            let mut inode = change.editable(number(node)?)?;
            inode.set_permissions(mode);
            inode.set_owner(uid, gid);
            change.fs.stage_inode(&mut inode)
        })
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.attempt(|change| {
            let mut inode = change.editable(number(node)?)?;
            change.set_attribute(&mut inode, name, value)?;
            change.fs.stage_inode(&mut inode)
        })
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.finish()
    }
}
