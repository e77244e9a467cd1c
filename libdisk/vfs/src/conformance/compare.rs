//! Are two trees the same?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::Capabilities;
use crate::{DirEntry, FileSystem, FileType, Metadata, NodeId, Result};

/// How much of two files is compared at a time.
const CHUNK: usize = 1 << 20;

/// The first difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct Difference {
    /// The path, with what is not printable escaped.
    pub path: String,
    /// What differs: the left side first.
    pub what: String,
}

/// Compares all that the traits tell of two trees, except node numbers and the sizes and times of directories
/// (formats differ in the former, and not all changes are given a time for the latter).
///
/// # Errors
/// The first difference in the order of names, or what could not be read.
pub fn compare(a: &dyn FileSystem, b: &dyn FileSystem) -> Result<(), Difference> {
    compare_as_far_as(&Capabilities::UNIX, a, b)
}

/// Compares as [`compare`] does, but only what a format with these capabilities keeps.
///
/// # Errors
/// As for [`compare`].
pub fn compare_as_far_as(
    capabilities: &Capabilities,
    a: &dyn FileSystem,
    b: &dyn FileSystem,
) -> Result<(), Difference> {
    let mut comparison = Comparison {
        capabilities,
        a,
        b,
        a_to_b: BTreeMap::new(),
        b_seen: BTreeSet::new(),
        buffers: (vec![0; CHUNK], vec![0; CHUNK]),
    };
    let mut directories = vec![(String::from("/"), a.root(), b.root())];
    comparison.node("/", a.root(), b.root())?;
    while let Some((path, dir_a, dir_b)) = directories.pop() {
        for (name, node_a, node_b) in comparison.names(&path, dir_a, dir_b)? {
            let path = format!("{}/{}", path.trim_end_matches('/'), name.escape_ascii());
            if comparison.node(&path, node_a, node_b)? == FileType::Directory {
                directories.push((path, node_a, node_b));
            }
        }
    }
    Ok(())
}

struct Comparison<'a> {
    capabilities: &'a Capabilities,
    a: &'a dyn FileSystem,
    b: &'a dyn FileSystem,
    /// Pairs of nodes that were compared already: further names must come in the same pairs.
    a_to_b: BTreeMap<NodeId, NodeId>,
    b_seen: BTreeSet<NodeId>,
    /// One chunk of each side.
    buffers: (Vec<u8>, Vec<u8>),
}

fn differs(path: &str, what: impl Into<String>) -> Difference {
    Difference { path: path.to_owned(), what: what.into() }
}

fn same<T: PartialEq + Debug>(path: &str, what: &str, a: T, b: T) -> Result<(), Difference> {
    if a == b { Ok(()) } else { Err(differs(path, format!("{what} {a:?} against {b:?}"))) }
}

/// What both sides answer to the same question.
fn both<T>(path: &str, a: Result<T>, b: Result<T>) -> Result<(T, T), Difference> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(error), _) => Err(differs(path, format!("the left side cannot be read: {error}"))),
        (_, Err(error)) => Err(differs(path, format!("the right side cannot be read: {error}"))),
    }
}

impl Comparison<'_> {
    /// The names of two directories in pairs.
    fn names(
        &self,
        path: &str,
        dir_a: NodeId,
        dir_b: NodeId,
    ) -> Result<Vec<(Vec<u8>, NodeId, NodeId)>, Difference> {
        let (entries_a, entries_b) = both(path, self.a.read_dir(dir_a), self.b.read_dir(dir_b))?;
        let (names_a, names_b) = (by_name(path, entries_a)?, by_name(path, entries_b)?);
        let missing = |side: &str, name: &[u8]| {
            Err(differs(path, format!("only the {side} side has \"{}\"", name.escape_ascii())))
        };
        if let Some(name) = names_a.keys().find(|name| !names_b.contains_key(*name)) {
            return missing("left", name);
        }
        if let Some(name) = names_b.keys().find(|name| !names_a.contains_key(*name)) {
            return missing("right", name);
        }
        let mut pairs = Vec::with_capacity(names_a.len());
        for ((name, a), b) in names_a.into_iter().zip(names_b.into_values()) {
            let path = format!("{}/{}", path.trim_end_matches('/'), name.escape_ascii());
            same(&path, "the type in the directory is", a.file_type, b.file_type)?;
            let (found_a, found_b) = both(&path, self.a.lookup(dir_a, &name), self.b.lookup(dir_b, &name))?;
            same(&path, "lookup finds", (found_a == a.node, found_b == b.node), (true, true))?;
            pairs.push((name, a.node, b.node));
        }
        Ok(pairs)
    }

    /// Compares two nodes, unless this very pair was compared under another name.
    fn node(&mut self, path: &str, a: NodeId, b: NodeId) -> Result<FileType, Difference> {
        let (meta_a, meta_b) = both(path, self.a.metadata(a), self.b.metadata(b))?;
        same(path, "the type is", meta_a.file_type, meta_b.file_type)?;
        match (self.a_to_b.insert(a, b), self.b_seen.insert(b)) {
            (None, true) => {}
            (Some(known), false) if known == b && meta_a.file_type != FileType::Directory => {
                return Ok(meta_a.file_type);
            }
            _ => {
                return Err(differs(
                    path,
                    "it is a further name of another node on one side than on the other",
                ));
            }
        }
        self.metadata(path, &meta_a, &meta_b)?;
        if self.capabilities.xattrs.is_some() {
            let (xattrs_a, xattrs_b) = both(path, self.a.xattrs(a), self.b.xattrs(b))?;
            let readable = |xattrs: Vec<(Vec<u8>, Vec<u8>)>| -> Vec<String> {
                let line = |(name, value): (Vec<u8>, Vec<u8>)| {
                    format!("{}={}", name.escape_ascii(), value.escape_ascii())
                };
                xattrs.into_iter().map(line).collect()
            };
            same(path, "extended attributes", readable(xattrs_a), readable(xattrs_b))?;
        }
        match meta_a.file_type {
            FileType::Regular => self.content(path, a, b, meta_a.size)?,
            FileType::Symlink => {
                let (target_a, target_b) = both(path, self.a.read_link(a), self.b.read_link(b))?;
                let (target_a, target_b) = (target_a.escape_ascii(), target_b.escape_ascii());
                same(path, "the target is", target_a.to_string(), target_b.to_string())?;
            }
            _ => {}
        }
        Ok(meta_a.file_type)
    }

    fn metadata(&self, path: &str, a: &Metadata, b: &Metadata) -> Result<(), Difference> {
        if self.capabilities.owners {
            same(path, "the mode is", format!("{:04o}", a.mode), format!("{:04o}", b.mode))?;
            same(path, "the user is", a.uid, b.uid)?;
            same(path, "the group is", a.gid, b.gid)?;
        }
        if self.capabilities.hard_links {
            same(path, "the number of links is", a.links, b.links)?;
        }
        if a.file_type != FileType::Directory {
            same(path, "the size is", a.size, b.size)?;
            same(path, "the modification time is", a.mtime, b.mtime)?;
        }
        same(path, "the device number is", a.device, b.device)?;
        same(path, "the immutable flag is", a.immutable, b.immutable)
    }

    fn content(&mut self, path: &str, a: NodeId, b: NodeId, size: u64) -> Result<(), Difference> {
        let (buf_a, buf_b) = &mut self.buffers;
        let mut offset = 0;
        loop {
            let answers = (self.a.read_at(a, buf_a, offset), self.b.read_at(b, buf_b, offset));
            let (len_a, len_b) = both(path, answers.0, answers.1)?;
            let here = format!("from byte {offset} on, a read gives a length of");
            same(path, &here, len_a, len_b)?;
            if buf_a[..len_a] != buf_b[..len_b] {
                let at = buf_a.iter().zip(&*buf_b).take_while(|(a, b)| a == b).count();
                let what = format!("byte {} of the content is", offset + at as u64);
                return same(path, &what, buf_a[at], buf_b[at]);
            }
            offset += len_a as u64;
            if len_a == 0 || offset > size {
                return same(path, "the content ends at byte", offset, size);
            }
        }
    }
}

fn by_name(path: &str, entries: Vec<DirEntry>) -> Result<BTreeMap<Vec<u8>, DirEntry>, Difference> {
    let mut names = BTreeMap::new();
    for entry in entries {
        if let Some(twice) = names.insert(entry.name.clone(), entry) {
            return Err(differs(path, format!("\"{}\" is listed twice", twice.name.escape_ascii())));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryFs, Timestamp};

    fn tree() -> MemoryFs {
        MemoryFs::new()
            .file("/etc/fstab", "one")
            .file("/etc/hosts", "two")
            .hard_link("/hosts", "/etc/hosts")
            .symlink("/link", "etc/fstab")
            .special("/dev/null", FileType::CharDevice, Some((1, 3)))
    }

    #[test]
    fn equal_trees_are_equal() {
        assert_eq!(compare(&tree(), &tree()), Ok(()));
        assert_eq!(compare(&tree(), &MemoryFs::copy_of(&tree()).unwrap()), Ok(()));
    }

    #[test]
    fn every_difference_is_named() {
        let cases: [(MemoryFs, &str); 12] = [
            (tree().file("/etc/fstab", "oNe"), "/etc/fstab: byte 1 of the content is 110 against 78"),
            (tree().file("/etc/fstab", "one\n"), "/etc/fstab: the size is 3 against 4"),
            (tree().file("/new", ""), "/: only the right side has \"new\""),
            (tree().mode("/etc", 0o700, 0, 0), "/etc: the mode is \"0755\" against \"0700\""),
            (tree().mode("/etc", 0o755, 7, 0), "/etc: the user is 0 against 7"),
            (tree().mode("/etc", 0o755, 0, 7), "/etc: the group is 0 against 7"),
            (tree().immutable("/etc"), "/etc: the immutable flag is false against true"),
            (
                tree().xattr("/link", "security.selinux", "x"),
                "/link: extended attributes [] against [\"security.selinux=x\"]",
            ),
            (
                tree().mtime("/link", Timestamp { seconds: 5, nanos: 6 }),
                "/link: the modification time is Timestamp { seconds: 1577836800, nanos: 0 } against \
                 Timestamp { seconds: 5, nanos: 6 }",
            ),
            (
                tree().special("/dev/null", FileType::CharDevice, Some((1, 5))),
                "/dev/null: the device number is Some((1, 3)) against Some((1, 5))",
            ),
            (
                tree().special("/dev/null", FileType::BlockDevice, Some((1, 3))),
                "/dev/null: the type in the directory is CharDevice against BlockDevice",
            ),
            (
                MemoryFs::new()
                    .file("/etc/fstab", "one")
                    .file("/etc/hosts", "two")
                    .file("/hosts", "two")
                    .symlink("/link", "etc/fstab")
                    .special("/dev/null", FileType::CharDevice, Some((1, 3))),
                "/hosts: the number of links is 2 against 1",
            ),
        ];
        for (other, difference) in cases {
            assert_eq!(compare(&tree(), &other).unwrap_err().to_string(), difference);
        }
    }

    #[test]
    fn hard_links_that_join_other_names_are_a_difference() {
        let a = MemoryFs::new().file("/a", "").hard_link("/b", "/a").file("/c", "").hard_link("/d", "/c");
        let b = MemoryFs::new().file("/a", "").file("/b", "").hard_link("/c", "/b").hard_link("/d", "/a");
        assert!(compare(&a, &b).unwrap_err().what.contains("further name"));
    }
}
