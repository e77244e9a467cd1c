//! All that can be done with a volume, in disregard of what it answers: for damaged ones.

use std::collections::{HashSet, VecDeque};

use super::Rng;
use crate::{Attributes, FileSystem, FileSystemMut, NodeId, Result, Timestamp, Transaction};

/// Nodes that a walk visits: more than a small volume has, for damage can make circles.
const NODES: usize = 3000;

/// Reads everything, makes every kind of change, and reads everything again; how many transactions were
/// committed.
///
/// # Panics
/// If a directory lists a name that cannot be.
pub fn exercise(fs: &mut dyn FileSystemMut, rng: &mut Rng) -> u64 {
    let nodes = walk(fs);
    let mut commits = 0;
    for verb in VERBS {
        commits += u64::from(attempt(fs, &nodes, rng, std::slice::from_ref(verb)).is_ok());
    }
    // Changes of one transaction, which meet each other.
    for _ in 0..4 {
        let verbs: Vec<Verb> = (0..3).filter_map(|_| rng.pick(VERBS).copied()).collect();
        commits += u64::from(attempt(fs, &nodes, rng, &verbs).is_ok());
    }
    walk(fs);
    commits
}

/// Uses every way to read; the nodes that were met.
///
/// # Panics
/// If a directory lists a name that cannot be.
pub fn walk(fs: &dyn FileSystem) -> Vec<NodeId> {
    let _ = (fs.info(), fs.free_ranges());
    let mut seen = HashSet::new();
    let mut to_do = VecDeque::from([fs.root()]);
    let mut nodes = Vec::new();
    let mut buf = vec![0; 70_000];
    while let Some(node) = to_do.pop_front().filter(|_| nodes.len() < NODES) {
        if !seen.insert(node) {
            continue;
        }
        nodes.push(node);
        let size = fs.metadata(node).map_or(0, |metadata| metadata.size);
        for offset in [0, size / 2, size.saturating_sub(1), 1 << 31, u64::MAX - 1] {
            let _ = fs.read_at(node, &mut buf, offset);
        }
        let _ = (fs.read_link(node), fs.xattrs(node), fs.lookup(node, b"below"));
        for (number, entry) in fs.read_dir(node).unwrap_or_default().into_iter().enumerate() {
            let name = entry.name.as_slice();
            let is_name = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0);
            assert!(is_name, "a directory lists \"{}\"", name.escape_ascii());
            // Each reads the directory again.
            if number < 8 {
                let _ = fs.lookup(node, name);
            }
            to_do.push_back(entry.node);
        }
    }
    nodes
}

/// A change to a node and a directory, to one of whose names it may be made.
type Verb = fn(&mut dyn Transaction, NodeId, NodeId, &[u8]) -> Result<()>;

const VERBS: &[Verb] = &[
    |change, _, dir, _| change.create(dir, b"new", &Attributes::default(), &[1; 5000]).map(drop),
    |change, _, dir, _| change.create(dir, b"labelled", &labelled(), b"").map(drop),
    |change, _, dir, _| change.mkdir(dir, &[b'n'; 200], &Attributes::default()).map(drop),
    |change, _, dir, _| change.symlink(dir, b"link", &labelled(), &[b't'; 300]).map(drop),
    |change, node, dir, _| change.link(dir, b"hard", node),
    |change, node, _, _| change.replace(node, &[2; 100_000], Timestamp::default()),
    |change, node, _, _| change.set_xattr(node, b"user.more", Some(&[3; 300])),
    |change, node, _, _| change.set_owner(node, 0o4755, 70_000, 4_000_000_000),
    |change, _, dir, name| change.rename(dir, name, dir, b"renamed"),
    |change, node, dir, name| change.rename(dir, name, node, b"moved"),
    |change, _, dir, name| change.unlink(dir, name),
];

fn labelled() -> Attributes {
    Attributes { mode: 0o4755, xattrs: vec![(b"user.new".to_vec(), vec![1; 200])], ..Attributes::default() }
}

/// A transaction of these changes; most end with an error, since a node is rarely what the change is for.
fn attempt(fs: &mut dyn FileSystemMut, nodes: &[NodeId], rng: &mut Rng, verbs: &[Verb]) -> Result<()> {
    let mut change = fs.begin()?;
    for verb in verbs {
        // A directory, if a few draws find one.
        let any = |rng: &mut Rng| nodes[rng.below(nodes.len())];
        let dir = (0..8).map(|_| any(rng)).find(|dir| change.fs().read_dir(*dir).is_ok());
        let dir = dir.unwrap_or(change.fs().root());
        let entries = change.fs().read_dir(dir).unwrap_or_default();
        let (name, node) = match rng.pick(&entries) {
            Some(entry) => (entry.name.clone(), if rng.one_in(2) { entry.node } else { any(rng) }),
            None => (b"x".to_vec(), any(rng)),
        };
        verb(&mut *change, node, dir, &name)?;
    }
    change.commit()
}
