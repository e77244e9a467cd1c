//! Where a fix is staged: the guest as it will be, and the edits that make it so.

use crate::rule::Goal;
use crate::{Guest, Result, View};

/// The guest with all edits staged so far. Rules see it through [`guest`](Self::guest) and change it with the
/// verbs below; each verb records one edit with what it replaces.
///
/// Paths are resolved inside the guest first: a put to `/etc/resolv.conf` that is a link changes the file it leads to,
/// a put to `/lib/x` on a merged-usr system goes to `/usr/lib/x`.
pub struct Stage<'a> {
    base: &'a dyn View,
    goal: &'a Goal,
}

impl<'a> Stage<'a> {
    /// Nothing staged yet.
    pub fn new(base: &'a dyn View, goal: &'a Goal) -> Self {
        Self { base, goal }
    }

    /// The guest as it will be with everything staged so far; facts are gathered again if anything changed.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub fn guest(&mut self) -> Result<Guest<'_>> {
        let _ = (self.base, self.goal);
        todo!("being written")
    }

    /// Puts a file with this content, mode 0644 and owner root where there was none; an existing one keeps its owner, mode
    /// and attributes.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub fn put(&mut self, _path: &str, _content: impl Into<Vec<u8>>) -> Result<()> {
        todo!("being written")
    }

    /// As [`put`](Self::put), with this mode for a new file.
    ///
    /// # Errors
    /// As above.
    pub fn put_mode(&mut self, _path: &str, _content: impl Into<Vec<u8>>, _mode: u16) -> Result<()> {
        todo!("being written")
    }

    /// As [`put`](Self::put), for binary content: `rendering` says in lines what changes.
    ///
    /// # Errors
    /// As above.
    pub fn put_binary(&mut self, _path: &str, _content: Vec<u8>, _rendering: Vec<String>) -> Result<()> {
        todo!("being written")
    }

    /// Keeps what `path` holds now under `keep`, unless that exists.
    ///
    /// # Errors
    /// As above.
    pub fn keep(&mut self, _path: &str, _keep: &str) -> Result<()> {
        todo!("being written")
    }

    /// Changes a text file with `change`, which gets its text and answers the new one; nothing is staged where they are
    /// equal or there is no such file. Says whether anything was staged.
    ///
    /// # Errors
    /// As above.
    pub fn edit(&mut self, _path: &str, _change: impl FnOnce(&str) -> String) -> Result<bool> {
        todo!("being written")
    }

    /// Puts a symbolic link; what stood there, file or link, is replaced.
    ///
    /// # Errors
    /// As above.
    pub fn put_link(&mut self, _path: &str, _target: &str) -> Result<()> {
        todo!("being written")
    }

    /// Takes a file or link away (the link itself, not what it leads to); nothing is staged where there is none.
    ///
    /// # Errors
    /// As above.
    pub fn remove(&mut self, _path: &str) -> Result<()> {
        todo!("being written")
    }

    /// Changes bytes of the disk outside any file system.
    ///
    /// # Errors
    /// As above.
    pub fn put_bytes(&mut self, _offset: u64, _content: Vec<u8>, _rendering: Vec<String>) -> Result<()> {
        todo!("being written")
    }

    /// Asks for the journal of a volume to be replayed first.
    ///
    /// # Errors
    /// As above.
    pub fn replay(&mut self, _volume: &str) -> Result<()> {
        todo!("being written")
    }
}
