//! A change is a copy of the tree that takes the tree's place.

use super::*;

/// A copy of the tree; node contents are shared until they change.
pub(super) struct MemoryTransaction<'a> {
    target: &'a mut MemoryFs,
    work: MemoryFs,
}

impl<'a> MemoryTransaction<'a> {
    pub(super) fn new(target: &'a mut MemoryFs) -> Self {
        let work = target.clone();
        Self { target, work }
    }

    /// Puts a new node into `dir`.
    fn add(&mut self, dir: NodeId, name: &[u8], time: Timestamp, node: Node) -> Result<NodeId> {
        self.work.check_new_name(dir, name)?;
        self.work.take_space(NODE_COST + node.content.len())?;
        let is_directory = node.metadata.file_type == FileType::Directory;
        self.work.last_node += 1;
        let id = NodeId(self.work.last_node);
        self.work.nodes.insert(id, Arc::new(node));
        self.work.names_mut(dir)?.insert(name.to_vec(), id);
        let parent = &mut self.work.node_mut(dir)?.metadata;
        if is_directory {
            parent.count_directory(true);
        }
        parent.mtime = time;
        Ok(id)
    }
}

impl Metadata {
    /// One directory more or less is in this one. A copy of a format that does not count them has 1.
    fn count_directory(&mut self, more: bool) {
        match (self.links, more) {
            (0 | 1, _) => {}
            (links, true) => self.links = links + 1,
            (links, false) => self.links = links - 1,
        }
    }
}

impl MemoryFs {
    fn check_new_name(&self, dir: NodeId, name: &[u8]) -> Result<()> {
        check_name(name)?;
        match self.lookup(dir, name) {
            Ok(_) => Err(FsError::Exists),
            Err(FsError::NotFound) if self.nodes.contains_key(&dir) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_space(&mut self, len: u64) -> Result<()> {
        self.free = self.free.checked_sub(len).ok_or(FsError::NoSpace("bytes"))?;
        Ok(())
    }

    /// Takes `name` out of `dir`, and the node away if this was its last name. A directory must be empty.
    fn remove_name(&mut self, dir: NodeId, name: &[u8]) -> Result<()> {
        let id = self.lookup(dir, name)?;
        if let Content::Directory(names) = &self.node(id)?.content {
            if !names.is_empty() {
                return Err(FsError::NotEmpty);
            }
            self.node_mut(dir)?.metadata.count_directory(false);
            self.node_mut(id)?.metadata.links = 1;
        }
        self.names_mut(dir)?.remove(name);
        let node = self.node_mut(id)?;
        node.metadata.links -= 1;
        if node.metadata.links == 0 {
            let freed = NODE_COST + node.content.len();
            self.free += freed;
            self.nodes.remove(&id);
        }
        Ok(())
    }

    /// Whether `dir` is `ancestor` or lies below it.
    fn is_below(&self, dir: NodeId, ancestor: NodeId) -> Result<bool> {
        if dir == ancestor {
            return Ok(true);
        }
        let Content::Directory(names) = &self.node(ancestor)?.content else { return Ok(false) };
        for child in names.values() {
            if self.is_below(dir, *child)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn check_name(name: &[u8]) -> Result<()> {
    let invalid = |why: &'static str| Err(FsError::Invalid(why.into()));
    match name {
        b"" => invalid("an empty name"),
        b"." | b".." => invalid("\".\" and \"..\" are not names"),
        _ if name.len() > NAME_MAX => invalid("a name of more than 255 bytes"),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => invalid("a name with \"/\" or NUL in it"),
        _ => Ok(()),
    }
}

impl Transaction for MemoryTransaction<'_> {
    fn fs(&self) -> &dyn FileSystem {
        &self.work
    }

    fn create(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        content: &[u8],
    ) -> Result<NodeId> {
        let node = Node::new(FileType::Regular, attributes, Content::File(content.into()));
        self.add(dir, name, attributes.time, node)
    }

    fn replace(&mut self, file: NodeId, content: &[u8], time: Timestamp) -> Result<()> {
        let old = &self.work.node(file)?.content;
        if !matches!(old, Content::File(_)) {
            return Err(FsError::Invalid("not a regular file".into()));
        }
        let freed = old.len();
        self.work.free += freed;
        self.work.take_space(content.len() as u64)?;
        let node = self.work.node_mut(file)?;
        node.content = Content::File(content.into());
        node.metadata.size = content.len() as u64;
        node.metadata.mtime = time;
        Ok(())
    }

    fn mkdir(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes) -> Result<NodeId> {
        let node = Node::new(FileType::Directory, attributes, Content::Directory(BTreeMap::new()));
        self.add(dir, name, attributes.time, node)
    }

    fn symlink(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<NodeId> {
        if target.is_empty() || target.len() > 4095 || target.contains(&0) {
            return Err(FsError::Invalid("a link's target is 1 to 4095 bytes without NUL".into()));
        }
        let node = Node::new(FileType::Symlink, attributes, Content::Symlink(target.into()));
        self.add(dir, name, attributes.time, node)
    }

    fn link(&mut self, dir: NodeId, name: &[u8], node: NodeId) -> Result<()> {
        self.work.check_new_name(dir, name)?;
        let metadata = &mut self.work.node_mut(node)?.metadata;
        if metadata.file_type == FileType::Directory {
            return Err(FsError::IsADirectory);
        }
        metadata.links += 1;
        self.work.names_mut(dir)?.insert(name.to_vec(), node);
        Ok(())
    }

    fn rename(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()> {
        let fs = &mut self.work;
        let moved = fs.lookup(from_dir, from)?;
        check_name(to)?;
        let moved_is_directory = matches!(fs.node(moved)?.content, Content::Directory(_));
        if moved_is_directory && fs.is_below(to_dir, moved)? {
            return Err(FsError::Invalid("a directory cannot move into itself".into()));
        }
        match fs.lookup(to_dir, to) {
            Ok(there) if there == moved => return Ok(()),
            Ok(there) => {
                match (moved_is_directory, matches!(fs.node(there)?.content, Content::Directory(_))) {
                    (true, false) => return Err(FsError::NotADirectory),
                    (false, true) => return Err(FsError::IsADirectory),
                    _ => fs.remove_name(to_dir, to)?,
                }
            }
            Err(FsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        fs.names_mut(from_dir)?.remove(from);
        fs.names_mut(to_dir)?.insert(to.to_vec(), moved);
        if moved_is_directory {
            fs.node_mut(from_dir)?.metadata.count_directory(false);
            fs.node_mut(to_dir)?.metadata.count_directory(true);
        }
        Ok(())
    }

    fn unlink(&mut self, dir: NodeId, name: &[u8]) -> Result<()> {
        self.work.remove_name(dir, name)
    }

    fn set_owner(&mut self, node: NodeId, mode: u16, uid: u32, gid: u32) -> Result<()> {
        let metadata = &mut self.work.node_mut(node)?.metadata;
        metadata.mode = mode & 0o7777;
        metadata.uid = uid;
        metadata.gid = gid;
        Ok(())
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        let xattrs = &mut self.work.node_mut(node)?.xattrs;
        match value {
            Some(value) => {
                check_name(name)?;
                xattrs.insert(name.to_vec(), value.to_vec());
            }
            None => {
                xattrs.remove(name);
            }
        }
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        *self.target = self.work;
        Ok(())
    }
}
