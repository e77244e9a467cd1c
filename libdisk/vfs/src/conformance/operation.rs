//! One random change, written so that it can be told and made again.

use super::{Capabilities, Rng};
use crate::{Attributes, FileSystem, FileType, NodeId, Result, Timestamp, Transaction};

/// Names from the root to a node.
type Path = Vec<Vec<u8>>;

/// A change by paths, so that it means the same to two file systems.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Create { dir: Path, name: Vec<u8>, attributes: Attributes, content: Content },
    Replace { file: Path, content: Content, time: Timestamp },
    Mkdir { dir: Path, name: Vec<u8>, attributes: Attributes },
    Symlink { dir: Path, name: Vec<u8>, attributes: Attributes, target: Vec<u8> },
    Link { dir: Path, name: Vec<u8>, existing: Path },
    Rename { from_dir: Path, from: Vec<u8>, to_dir: Path, to: Vec<u8> },
    Unlink { dir: Path, name: Vec<u8> },
    SetOwner { node: Path, mode: u16, uid: u32, gid: u32 },
    SetXattr { node: Path, name: Vec<u8>, value: Option<Vec<u8>> },
}

/// What a file gets, by the numbers it is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    len: usize,
    seed: u64,
}

impl Content {
    /// Random bytes, with a run of zeros in some, for those who would make holes.
    fn bytes(self) -> Vec<u8> {
        let mut rng = Rng::new(self.seed);
        let mut bytes = rng.bytes(self.len);
        if rng.one_in(3) {
            let (a, b) = (rng.below(self.len + 1), rng.below(self.len + 1));
            bytes[a.min(b)..a.max(b)].fill(0);
        }
        bytes
    }
}

fn resolve(fs: &dyn FileSystem, path: &Path) -> Result<NodeId> {
    path.iter().try_fold(fs.root(), |dir, name| fs.lookup(dir, name))
}

impl Operation {
    /// Makes the change.
    pub(super) fn apply(&self, change: &mut dyn Transaction) -> Result<()> {
        match self {
            Self::Create { dir, name, attributes, content } => {
                let dir = resolve(change.fs(), dir)?;
                change.create(dir, name, attributes, &content.bytes()).map(drop)
            }
            Self::Replace { file, content, time } => {
                let file = resolve(change.fs(), file)?;
                change.replace(file, &content.bytes(), *time)
            }
            Self::Mkdir { dir, name, attributes } => {
                let dir = resolve(change.fs(), dir)?;
                change.mkdir(dir, name, attributes).map(drop)
            }
            Self::Symlink { dir, name, attributes, target } => {
                let dir = resolve(change.fs(), dir)?;
                change.symlink(dir, name, attributes, target).map(drop)
            }
            Self::Link { dir, name, existing } => {
                let (dir, node) = (resolve(change.fs(), dir)?, resolve(change.fs(), existing)?);
                change.link(dir, name, node)
            }
            Self::Rename { from_dir, from, to_dir, to } => {
                let (from_dir, to_dir) = (resolve(change.fs(), from_dir)?, resolve(change.fs(), to_dir)?);
                change.rename(from_dir, from, to_dir, to)
            }
            Self::Unlink { dir, name } => {
                let dir = resolve(change.fs(), dir)?;
                change.unlink(dir, name)
            }
            Self::SetOwner { node, mode, uid, gid } => {
                let node = resolve(change.fs(), node)?;
                change.set_owner(node, *mode, *uid, *gid)
            }
            Self::SetXattr { node, name, value } => {
                let node = resolve(change.fs(), node)?;
                change.set_xattr(node, name, value.as_deref())
            }
        }
    }
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path =
            |path: &Path| path.iter().map(|name| format!("/{}", name.escape_ascii())).collect::<String>();
        let at = |dir: &Path, name: &[u8]| format!("{}/{}", path(dir), name.escape_ascii());
        match self {
            Self::Create { dir, name, attributes, content } => {
                let (seconds, xattrs) = (attributes.time.seconds, attributes.xattrs.len());
                write!(f, "create {} ({content:?}, time {seconds}, {xattrs} xattrs)", at(dir, name))
            }
            Self::Replace { file, content, time } => {
                write!(f, "replace {} ({content:?}, time {})", path(file), time.seconds)
            }
            Self::Mkdir { dir, name, .. } => write!(f, "mkdir {}", at(dir, name)),
            Self::Symlink { dir, name, target, .. } => {
                write!(f, "symlink {} to {} bytes", at(dir, name), target.len())
            }
            Self::Link { dir, name, existing } => write!(f, "link {} to {}", at(dir, name), path(existing)),
            Self::Rename { from_dir, from, to_dir, to } => {
                write!(f, "rename {} to {}", at(from_dir, from), at(to_dir, to))
            }
            Self::Unlink { dir, name } => write!(f, "unlink {}", at(dir, name)),
            Self::SetOwner { node, mode, uid, gid } => write!(f, "own {} {mode:04o} {uid}:{gid}", path(node)),
            Self::SetXattr { node, name, value } => {
                let len = value.as_ref().map(Vec::len);
                write!(f, "xattr {} {} to {len:?} bytes", path(node), name.escape_ascii())
            }
        }
    }
}

/// What is in a tree: what a random change can be made to.
struct Tree {
    directories: Vec<Path>,
    /// All names but the root, with their directory.
    names: Vec<(Path, Vec<u8>, FileType)>,
}

impl Tree {
    fn of(fs: &dyn FileSystem) -> Result<Self> {
        let mut tree = Self { directories: Vec::new(), names: Vec::new() };
        let mut to_do = vec![(Path::new(), fs.root())];
        while let Some((path, dir)) = to_do.pop() {
            for entry in fs.read_dir(dir)? {
                if entry.file_type == FileType::Directory {
                    to_do.push((joined(&path, &entry.name), entry.node));
                }
                tree.names.push((path.clone(), entry.name, entry.file_type));
            }
            tree.directories.push(path);
        }
        Ok(tree)
    }
}

/// The number of names in a tree.
pub(super) fn name_count(fs: &dyn FileSystem) -> usize {
    Tree::of(fs).map_or(0, |tree| tree.names.len())
}

fn joined(dir: &Path, name: &[u8]) -> Path {
    let mut path = dir.clone();
    path.push(name.to_vec());
    path
}

/// Makes random changes that mostly fit the tree as it is.
pub(super) struct Generator<'a> {
    pub(super) rng: &'a mut Rng,
    pub(super) capabilities: &'a Capabilities,
    pub(super) largest_file: usize,
    /// With as many names in the tree, more of them go than come, so that it stays in bounds.
    pub(super) crowd: usize,
}

impl Generator<'_> {
    /// A change for `fs`. About one in thirty must be refused.
    pub(super) fn operation(&mut self, fs: &dyn FileSystem) -> Result<Operation> {
        let tree = Tree::of(fs)?;
        loop {
            // A kind that the format lacks, or for which the tree has nothing, is drawn again.
            if let Some(operation) = self.draw(&tree, fs) {
                return Ok(operation);
            }
        }
    }

    fn draw(&mut self, tree: &Tree, fs: &dyn FileSystem) -> Option<Operation> {
        let kind = self.rng.below(100);
        let crowded = tree.names.len() > self.crowd;
        Some(match kind {
            0..49 if crowded => return None,
            0..30 => {
                let (dir, name) = self.new_name(tree)?;
                Operation::Create { dir, name, attributes: self.attributes(true), content: self.content() }
            }
            30..38 => {
                let (dir, name) = self.new_name(tree)?;
                Operation::Mkdir { dir, name, attributes: self.attributes(true) }
            }
            38..44 => {
                let longest = self.capabilities.symlinks?;
                let (dir, name) = self.new_name(tree)?;
                let target = self.link_target(longest);
                let attributes = Attributes { mode: 0o777, ..self.attributes(false) };
                Operation::Symlink { dir, name, attributes, target }
            }
            44..49 if self.capabilities.hard_links => {
                let (dir, name) = self.new_name(tree)?;
                let (existing, file_type) = self.any_name(tree)?;
                let directory_allowed = self.rng.one_in(20);
                if file_type == FileType::Directory && !directory_allowed {
                    return None;
                }
                Operation::Link { dir, name, existing }
            }
            49..61 => {
                let (file, file_type) = self.any_name(tree)?;
                let other_allowed = self.rng.one_in(20);
                if file_type != FileType::Regular && !other_allowed {
                    return None;
                }
                Operation::Replace { file, content: self.content(), time: self.time() }
            }
            61..76 => {
                let (from_dir, from, _) = self.rng.pick(&tree.names)?.clone();
                let (to_dir, to) = match self.rng.one_in(3) {
                    true => self.rng.pick(&tree.names).map(|(dir, name, _)| (dir.clone(), name.clone()))?,
                    false => self.new_name(tree)?,
                };
                Operation::Rename { from_dir, from, to_dir, to }
            }
            76..88 => {
                let (dir, name, _) = self.rng.pick(&tree.names)?.clone();
                let path = joined(&dir, &name);
                let full = tree.names.iter().any(|(dir, _, _)| *dir == path);
                let full_allowed = self.rng.one_in(20);
                if full && !full_allowed {
                    return None;
                }
                Operation::Unlink { dir, name }
            }
            88..93 if self.capabilities.owners => {
                let (node, file_type) = self.any_name(tree)?;
                let Attributes { mode, uid, gid, .. } = self.attributes(false);
                let mode = if file_type == FileType::Symlink { 0o777 } else { mode };
                Operation::SetOwner { node, mode, uid, gid }
            }
            93..100 => {
                let (node, file_type) = self.any_name(tree)?;
                if self.rng.one_in(4) {
                    let there = fs.xattrs(resolve(fs, &node).ok()?).ok()?;
                    let (name, _) = self.rng.pick(&there)?.clone();
                    return Some(Operation::SetXattr { node, name, value: None });
                }
                let user_allowed = matches!(file_type, FileType::Regular | FileType::Directory);
                let (name, value) = self.xattr(user_allowed)?;
                let value = Some(value);
                Operation::SetXattr { node, name, value }
            }
            _ => return None,
        })
    }

    fn any_name(&mut self, tree: &Tree) -> Option<(Path, FileType)> {
        self.rng.pick(&tree.names).map(|(dir, name, file_type)| (joined(dir, name), *file_type))
    }

    /// A directory and a name that is new in it, most likely; sometimes one that must be refused, for one
    /// reason only.
    fn new_name(&mut self, tree: &Tree) -> Option<(Path, Vec<u8>)> {
        if self.rng.one_in(60) {
            let (dir, name, _) = self.rng.pick(&tree.names)?;
            return Some((dir.clone(), name.clone()));
        }
        let dir = self.rng.pick(&tree.directories)?.clone();
        let name = if self.rng.one_in(200) { vec![b'x'; 256] } else { self.name() };
        Some((dir, name))
    }

    fn name(&mut self) -> Vec<u8> {
        let len = 1 + if self.rng.one_in(12) { self.rng.below(255) } else { self.rng.below(24) };
        if self.capabilities.byte_names && self.rng.one_in(3) {
            let mut name = self.rng.bytes(len);
            name.iter_mut().filter(|byte| matches!(byte, b'/' | b'.' | 0)).for_each(|byte| *byte = b'_');
            return name;
        }
        // One case only, and no dot or space at the ends: FAT can keep these.
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789-_+,;=[] .";
        let mut name: Vec<u8> = (0..len).filter_map(|_| self.rng.pick(letters).copied()).collect();
        if let (Some(first), Some(last)) = (name.first().copied(), name.last().copied()) {
            name.splice(..1, [if matches!(first, b'.' | b' ') { b'a' } else { first }]);
            if matches!(last, b'.' | b' ') {
                name.pop();
                name.push(b'z');
            }
        }
        name
    }

    fn link_target(&mut self, longest: usize) -> Vec<u8> {
        let len =
            1 + if self.rng.one_in(4) { self.rng.below(longest) } else { self.rng.below(longest.min(80)) };
        let mut target = self.rng.bytes(len);
        target.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'/');
        target
    }

    fn content(&mut self) -> Content {
        let len = match self.rng.below(10) {
            0 => 0,
            1..6 => self.rng.below(5000),
            6..9 => self.rng.below(100_000),
            _ => self.rng.below(self.largest_file + 1),
        };
        Content { len: len.min(self.largest_file), seed: self.rng.next_u64() }
    }

    fn time(&mut self) -> Timestamp {
        let second = i64::try_from(self.rng.below(100_000_000)).unwrap_or(0);
        let nanos = u32::try_from(self.rng.below(1_000_000_000)).unwrap_or(0);
        let nanos = if self.capabilities.nanoseconds { nanos } else { 0 };
        Timestamp { seconds: 1_600_000_000 + 2 * second, nanos }
    }

    fn attributes(&mut self, user_allowed: bool) -> Attributes {
        let mut number = |bound: usize| u32::try_from(self.rng.below(bound)).unwrap_or(0);
        let (mode, uid, gid) = (number(0o10000), number(100_000), number(100_000));
        let mut xattrs = std::collections::BTreeMap::new();
        while self.rng.one_in(3) {
            xattrs.extend(self.xattr(user_allowed));
        }
        let mode = u16::try_from(mode).unwrap_or(0);
        Attributes { mode, uid, gid, time: self.time(), xattrs: xattrs.into_iter().collect() }
    }

    /// An attribute; "user." ones exist on files and directories only.
    fn xattr(&mut self, user_allowed: bool) -> Option<(Vec<u8>, Vec<u8>)> {
        let largest = self.capabilities.xattrs?;
        let names: &[&[u8]] = &[
            b"security.selinux",
            b"security.other",
            b"trusted.x",
            b"user.a",
            b"user.b",
            b"user.longer name",
        ];
        let name = self.rng.pick(if user_allowed { names } else { &names[..3] })?.to_vec();
        let len = if self.rng.one_in(8) { self.rng.below(largest + 1) } else { self.rng.below(80) };
        Some((name, self.rng.bytes(len)))
    }
}
