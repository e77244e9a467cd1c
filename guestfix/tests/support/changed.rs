//! A synthetic guest after its plan, and a guest with files that are others, without writing it anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use guestfix::facts::Machine;
use guestfix::plan::{Identity, plan};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::{Goal, Result, View, apply};
use libdisk::block::{Disk, FileDisk, Silent};
use libdisk::vfs::Metadata;
use testimages::synthetic::{Generation, SyntheticGuest};

/// The machine that a guest is meant for.
pub(crate) fn goal(guest: &SyntheticGuest) -> Goal {
    let target = match guest.generation {
        Generation::Gen1 => &azure::GEN1,
        Generation::Gen2 => &azure::GEN2,
    };
    Goal::new(target)
}

/// The disk as a plan makes it; `None` if the plan leaves it unready.
pub(crate) fn fixed(image: &Path, goal: &Goal) -> Option<Disk> {
    let disk = FileDisk::open(image).unwrap().disk();
    let identity = [Identity::of("disk.img", &disk).unwrap()];
    let plan = plan(&Tree::open(disk.clone()).unwrap(), &identity, goal).unwrap();
    plan.ready().then(|| apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0).disk())
}

/// A guest in which these files, by their resolved paths, have another content, or are gone.
pub(crate) struct Changed<'a> {
    tree: &'a Tree,
    files: BTreeMap<String, Option<Vec<u8>>>,
    /// What its disks are said to be.
    pub(crate) machine: Machine,
}

impl<'a> Changed<'a> {
    pub(crate) fn new(tree: &'a Tree, files: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) -> Self {
        Self { tree, files: files.into_iter().collect(), machine: tree.machine().clone() }
    }

    fn of(&self, path: &str) -> Result<Option<&Option<Vec<u8>>>> {
        Ok(self.tree.resolve(path)?.and_then(|path| self.files.get(&path)))
    }
}

/// What is known of a file whose content is another.
fn metadata(changed: Option<&Option<Vec<u8>>>, found: Option<Metadata>) -> Option<Metadata> {
    match (changed, found) {
        (Some(None), Some(_)) => None,
        (Some(Some(content)), Some(found)) => Some(Metadata { size: content.len() as u64, ..found }),
        (_, found) => found,
    }
}

impl View for Changed<'_> {
    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn lstat(&self, path: &str) -> Result<Option<Metadata>> {
        Ok(metadata(self.files.get(path), self.tree.lstat(path)?))
    }

    fn stat(&self, path: &str) -> Result<Option<Metadata>> {
        Ok(metadata(self.of(path)?, self.tree.stat(path)?))
    }

    fn resolve(&self, path: &str) -> Result<Option<String>> {
        let is_there = |path: &String| !matches!(self.files.get(path), Some(None));
        Ok(self.tree.resolve(path)?.filter(is_there))
    }

    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>> {
        match self.of(path)? {
            Some(content) => Ok(content.as_deref().map(Into::into)),
            None => self.tree.read(path),
        }
    }

    fn read_link(&self, path: &str) -> Result<Option<String>> {
        self.tree.read_link(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let mut names = self.tree.list(path)?;
        let dirs = [Some(path.to_owned()), self.tree.resolve(path)?];
        names.retain(|name| {
            !dirs.iter().flatten().any(|dir| {
                matches!(self.files.get(&format!("{}/{name}", dir.trim_end_matches('/'))), Some(None))
            })
        });
        Ok(names)
    }

    fn xattrs(&self, path: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.tree.xattrs(path)
    }

    fn disk_bytes(&self, disk: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.tree.disk_bytes(disk, offset, len)
    }
}
