//! A guest's files, as data: composed in memory, then written by real tools.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};

/// One entry of a [`Tree`].
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A directory.
    Directory,
    /// A regular file and its permission bits.
    File { mode: u32, content: Vec<u8> },
    /// A symbolic link to this target.
    Link(String),
}

/// Paths (absolute, without a trailing slash) and what is there. Parents exist for every path.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// SELinux labels by path, where there are any; that of the root too.
    labels: BTreeMap<String, String>,
}

impl Tree {
    fn put(&mut self, path: &str, node: Node) {
        assert!(path.starts_with('/'), "{path} must be absolute");
        for (slash, _) in path.match_indices('/').skip(1) {
            self.nodes.entry(path[..slash].to_owned()).or_insert(Node::Directory);
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// A directory, empty as yet.
    pub(super) fn directory(&mut self, path: &str) {
        self.put(path, Node::Directory);
    }

    /// A file everybody may read.
    pub(super) fn file(&mut self, path: &str, content: impl AsRef<[u8]>) {
        self.put(path, Node::File { mode: 0o644, content: content.as_ref().to_vec() });
    }

    /// A file everybody may run.
    pub(super) fn program(&mut self, path: &str, content: impl AsRef<[u8]>) {
        self.put(path, Node::File { mode: 0o755, content: content.as_ref().to_vec() });
    }

    /// A file only its owner may read.
    pub(super) fn secret(&mut self, path: &str, content: impl AsRef<[u8]>) {
        self.put(path, Node::File { mode: 0o600, content: content.as_ref().to_vec() });
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.put(path, Node::Link(target.to_owned()));
    }

    /// Takes `path` away, with all below it.
    pub(super) fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.nodes.retain(|name, _| name != path && !name.starts_with(&below));
    }

    /// Moves all below the directory `path` out into a tree of its own; an empty directory stays, to mount it
    /// on.
    pub(super) fn split_off(&mut self, path: &str) -> Self {
        let below = format!("{path}/");
        let mut split = Self::default();
        self.nodes.retain(|name, node| {
            let stays = !name.starts_with(&below);
            if !stays {
                split.put(&name[path.len()..], node.clone());
            }
            stays
        });
        self.labels.retain(|name, label| {
            let stays = !name.starts_with(&below);
            if !stays || name == path {
                let name = if stays { "/" } else { &name[path.len()..] };
                split.labels.insert(name.to_owned(), label.clone());
            }
            stays
        });
        split
    }

    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: Self) {
        for (path, node) in other.nodes {
            self.put(&path, node);
        }
    }

    /// Gives a path its SELinux label.
    pub(super) fn set_label(&mut self, path: &str, label: &str) {
        self.labels.insert(path.to_owned(), label.to_owned());
    }

    /// Every path that has an SELinux label, with that.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(path, label)| (path.as_str(), label.as_str()))
    }

    /// The text of a file; empty where there is none.
    pub(super) fn text(&self, path: &str) -> String {
        match self.nodes.get(path) {
            Some(Node::File { content, .. }) => String::from_utf8_lossy(content).into_owned(),
            _ => String::new(),
        }
    }

    /// Every path with its node; a directory comes before what is in it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Writes the tree below the directory `root`.
    pub(super) fn write_below(&self, root: &Path) -> Result<()> {
        for (path, node) in self.iter() {
            let place = root.join(&path[1..]);
            match node {
                Node::Directory => fs::create_dir_all(&place),
                Node::Link(target) => symlink(target, &place),
                Node::File { mode, content } => fs::write(&place, content)
                    .and_then(|()| fs::set_permissions(&place, fs::Permissions::from_mode(*mode))),
            }
            .with_context(|| format!("cannot write {}", place.display()))?;
        }
        Ok(())
    }

    /// Adds the regular files of the directory `from` (and of those below it) at `at`.
    pub(super) fn read_below(&mut self, from: &Path, at: &str) -> Result<()> {
        let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = format!("{at}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.read_below(&entry.path(), &path)?;
            } else {
                self.file(&path, fs::read(entry.path())?);
            }
        }
        Ok(())
    }
}
