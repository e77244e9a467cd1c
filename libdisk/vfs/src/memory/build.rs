//! Building a tree for a test, one line a path.

use super::*;

/// What the builder gives new nodes; the time is 2020-01-01.
fn attributes(mode: u16) -> Attributes {
    Attributes { mode, time: Timestamp { seconds: 1_577_836_800, nanos: 0 }, ..Attributes::default() }
}

/// Methods that build a tree. Paths are absolute, directories on the way are made as needed (root, 0755), and
/// symbolic links are not followed.
///
/// # Panics
/// They panic on a path that cannot be: through a file, or to a node that is not there. They are for tests.
impl MemoryFs {
    /// A tree of regular files.
    pub fn from_entries<P: AsRef<str>, C: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, C)>) -> Self {
        files.into_iter().fold(Self::new(), |fs, (path, content)| fs.file(path.as_ref(), content))
    }

    /// A regular file, mode 0644, in the place of an older one.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        match self.resolve(path) {
            Some(node) => self.change(|change| change.replace(node, content, attributes(0).time)),
            None => self.add(path, |change, dir, name| {
                change.create(dir, name, &attributes(0o644), content).map(drop)
            }),
        }
    }

    /// A directory, mode 0755, unless it is there.
    #[must_use]
    pub fn dir(self, path: &str) -> Self {
        match self.resolve(path) {
            Some(_) => self,
            None => self.add(path, |change, dir, name| change.mkdir(dir, name, &attributes(0o755)).map(drop)),
        }
    }

    /// A symbolic link at `path` to `target`.
    #[must_use]
    pub fn symlink(self, path: &str, target: impl AsRef<[u8]>) -> Self {
        self.add(path, |change, dir, name| {
            change.symlink(dir, name, &attributes(0o777), target.as_ref()).map(drop)
        })
    }

    /// One more name for the file `existing`.
    #[must_use]
    pub fn hard_link(self, path: &str, existing: &str) -> Self {
        let node = self.expect(existing);
        self.add(path, |change, dir, name| change.link(dir, name, node))
    }

    /// A device, pipe or socket, mode 0600.
    #[must_use]
    pub fn special(self, path: &str, file_type: FileType, device: Option<(u32, u32)>) -> Self {
        let fs = if self.resolve(path).is_some() { self } else { self.file(path, "") };
        let mut fs = fs.mode(path, 0o600, 0, 0);
        let node = fs.node_at(path);
        node.content = Content::Special;
        node.metadata.file_type = file_type;
        node.metadata.device = device;
        fs
    }

    /// Sets mode and owner of what is there.
    #[must_use]
    pub fn mode(self, path: &str, mode: u16, uid: u32, gid: u32) -> Self {
        let node = self.expect(path);
        self.change(|change| change.set_owner(node, mode, uid, gid))
    }

    /// Sets an extended attribute of what is there, by its full name.
    #[must_use]
    pub fn xattr(self, path: &str, name: &str, value: impl AsRef<[u8]>) -> Self {
        let node = self.expect(path);
        self.change(|change| change.set_xattr(node, name.as_bytes(), Some(value.as_ref())))
    }

    /// Marks what is there as immutable (`chattr +i`).
    #[must_use]
    pub fn immutable(mut self, path: &str) -> Self {
        self.node_at(path).metadata.immutable = true;
        self
    }

    /// Sets the modification time of what is there.
    #[must_use]
    pub fn mtime(mut self, path: &str, time: Timestamp) -> Self {
        self.node_at(path).metadata.mtime = time;
        self
    }

    /// The format that [`Info::kind`] tells: "ext4".
    #[must_use]
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.info.kind = kind;
        self
    }

    /// The volume label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.info.label = Some(label.to_owned());
        self
    }

    /// The UUID as fstab writes it.
    #[must_use]
    pub fn uuid(mut self, uuid: &str) -> Self {
        self.info.uuid = Some(uuid.to_owned());
        self
    }

    /// Whether it can be edited as it is.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.info.state = state;
        self
    }

    /// Limits the volume to `size` bytes of content, names not counted, and 256 bytes for each node.
    #[must_use]
    pub fn capacity(mut self, size: u64) -> Self {
        let used = self.info.size - self.free;
        self.info.size = size;
        self.free = size.checked_sub(used).expect("the tree is larger than the capacity");
        self
    }

    /// The node at an absolute path, if it is there; symbolic links are not followed.
    pub fn resolve(&self, path: &str) -> Option<NodeId> {
        names(path).try_fold(ROOT, |dir, name| self.lookup(dir, name.as_bytes()).ok())
    }

    /// The content of the regular file at an absolute path, if it is there; symbolic links are not followed.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        match &self.node(self.resolve(path)?).ok()?.content {
            Content::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn expect(&self, path: &str) -> NodeId {
        self.resolve(path).unwrap_or_else(|| panic!("{path} is not there"))
    }

    fn node_at(&mut self, path: &str) -> &mut Node {
        let node = self.expect(path);
        self.node_mut(node).expect("it was just found")
    }

    fn change(mut self, edit: impl FnOnce(&mut dyn Transaction) -> Result<()>) -> Self {
        let mut change = self.begin().expect("a tree in memory can be changed");
        edit(&mut *change).expect("the tree cannot be built");
        change.commit().expect("a tree in memory can be changed");
        self
    }

    /// Makes the directories on the way to `path`, then lets `edit` make its last name.
    fn add(self, path: &str, edit: impl FnOnce(&mut dyn Transaction, NodeId, &[u8]) -> Result<()>) -> Self {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let fs = if names(parent).next().is_some() { self.dir(parent) } else { self };
        let dir = fs.expect(parent);
        fs.change(|change| edit(change, dir, name.as_bytes()))
    }
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}
