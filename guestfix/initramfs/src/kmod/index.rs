//! The binary index of kmod (`modules.*.bin`): a radix tree over the bytes of the keys, all numbers
//! big-endian.
//!
//! A header of magic, version and the root's reference; then nodes, each after its children. A reference is a
//! file offset whose upper four bits tell which parts the node has: a prefix (a C string that extends the
//! path to the node), children (the first and the last byte that lead to one, and a reference for each byte
//! from first to last, 0 where there is none), and values (a count; then a priority and a C string each, in
//! order of priority).

use std::collections::BTreeMap;

use crate::error::{Error, Result};

const MAGIC: u32 = 0xB007_F457;
/// Major version 2, minor version 1.
const VERSION: u32 = 0x0002_0001;
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
const OFFSET: u32 = 0x0FFF_FFFF;
/// The longest key: no alias comes near it, and the depth of the tree is bounded by it.
const MAX_KEY: usize = 1024;
/// The most that all keys and values of an index may take. Nodes can be shared, so a small file could hold
/// many keys.
const MAX_CONTENT: usize = 128 << 20;

/// The content of an index: keys, and under each the values in order of priority (lower first).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    entries: BTreeMap<Vec<u8>, Vec<(u32, String)>>,
}

impl Index {
    /// Adds a value. Of two with the same key and priority the later one comes first, as `depmod` has it.
    pub fn insert(&mut self, key: &str, value: &str, priority: u32) {
        let values = self.entries.entry(key.as_bytes().to_vec()).or_default();
        let at = values.partition_point(|(other, _)| *other < priority);
        values.insert(at, (priority, value.to_owned()));
    }

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[(u32, String)])> {
        self.entries.iter().map(|(key, values)| (key.as_slice(), values.as_slice()))
    }

    /// Writes the index, the same bytes as `depmod` for the same content. `name` is the file's, for errors.
    pub fn write(&self, name: &str) -> Result<Vec<u8>> {
        let bad = |why: String| Error::Index { name: name.to_owned(), why };
        for key in self.entries.keys() {
            if key.len() > MAX_KEY || key.iter().any(|byte| *byte == 0 || *byte >= 0x80) {
                return Err(bad(format!("{} cannot be a key", String::from_utf8_lossy(key))));
            }
        }
        let entries: Vec<_> = self.iter().collect();
        let mut bytes = Vec::new();
        for word in [MAGIC, VERSION, 0] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        // Only the root never has a prefix, even where all keys share one.
        let root =
            write_node(&mut bytes, &entries, 0, 0).ok_or_else(|| bad("it is larger than 256 MiB".into()))?;
        if let Some(place) = bytes.get_mut(8..12) {
            place.copy_from_slice(&root.to_be_bytes());
        }
        Ok(bytes)
    }

    /// Reads a whole index.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self> {
        let mut index = Self::default();
        visit(bytes, name, |key, values| {
            let text = |value| String::from_utf8_lossy(value).into_owned();
            let values = values.into_iter().map(|(priority, value)| (priority, text(value))).collect();
            index.entries.insert(key.to_vec(), values);
        })?;
        Ok(index)
    }
}

/// How many keys an index has, all of which can be read; nothing of it is kept.
pub fn check(bytes: &[u8], name: &str) -> Result<usize> {
    let mut keys = 0_usize;
    visit(bytes, name, |_, _| keys = keys.saturating_add(1))?;
    Ok(keys)
}

/// Calls `found` with each key and its values.
fn visit<'a>(
    bytes: &'a [u8],
    name: &'a str,
    mut found: impl FnMut(&[u8], Vec<(u32, &'a [u8])>),
) -> Result<()> {
    let reader = Reader::open(bytes, name)?;
    let mut key = Vec::new();
    // A node, and how much of the key leads to it: the length before the byte of its own.
    let mut todo = vec![(reader.root()?, 0, None)];
    let mut content = 0_usize;
    while let Some((reference, depth, byte)) = todo.pop() {
        let node = reader.node(reference)?;
        key.truncate(depth);
        key.extend(byte);
        key.extend_from_slice(node.prefix);
        let values: usize = node.values.iter().map(|(_, value)| value.len().saturating_add(32)).sum();
        let children = node.children.len().saturating_mul(key.len().saturating_add(32));
        content = content.saturating_add(values).saturating_add(children);
        if content > MAX_CONTENT || key.len() > MAX_KEY {
            return Err(reader.bad("it has a cycle, or is larger than any index"));
        }
        todo.extend(node.children.into_iter().map(|(byte, child)| (child, key.len(), Some(byte))));
        if !node.values.is_empty() {
            found(&key, node.values);
        }
    }
    Ok(())
}

/// The values of one key, by walking from the root of a written index as `modprobe` does.
pub fn lookup(bytes: &[u8], name: &str, key: &str) -> Result<Vec<String>> {
    let reader = Reader::open(bytes, name)?;
    let mut rest = key.as_bytes();
    let mut reference = reader.root()?;
    // Each step but the last takes a byte of the key, so a cycle cannot hold us.
    loop {
        let node = reader.node(reference)?;
        let Some(after) = rest.strip_prefix(node.prefix) else { return Ok(Vec::new()) };
        let Some((next, after)) = after.split_first() else {
            let text = |value| String::from_utf8_lossy(value).into_owned();
            return Ok(node.values.into_iter().map(|(_, value)| text(value)).collect());
        };
        let Some((_, child)) = node.children.into_iter().find(|(byte, _)| byte == next) else {
            return Ok(Vec::new());
        };
        (rest, reference) = (after, child);
    }
}

type Entry<'a> = (&'a [u8], &'a [(u32, String)]);

/// Writes the node of these entries, children first. Their keys are sorted and agree in the first `depth`
/// bytes; the node's prefix is the `prefix` bytes after those. `None` if an offset no longer fits its 28
/// bits.
fn write_node(bytes: &mut Vec<u8>, entries: &[Entry<'_>], depth: usize, prefix: usize) -> Option<u32> {
    let end = depth.saturating_add(prefix);
    let (own, below) = match entries.split_first() {
        Some((first, below)) if first.0.len() == end => (Some(first), below),
        _ => (None, entries),
    };
    let mut children = BTreeMap::new();
    for group in below.chunk_by(|a, b| a.0.get(end) == b.0.get(end)) {
        let (Some((first, _)), Some((last, _))) = (group.first(), group.last()) else { continue };
        let Some(byte) = first.get(end) else { continue };
        let from = end.saturating_add(1);
        // Sorted: what the first and the last share, all share.
        let tails = first.iter().skip(from).zip(last.iter().skip(from));
        let shared = tails.take_while(|(a, b)| a == b).count();
        children.insert(*byte, write_node(bytes, group, from, shared)?);
    }
    let mut reference = u32::try_from(bytes.len()).ok().filter(|offset| *offset <= OFFSET)?;
    if prefix > 0 {
        reference |= HAS_PREFIX;
        bytes.extend_from_slice(entries.first()?.0.get(depth..end)?);
        bytes.push(0);
    }
    if let (Some((first, _)), Some((last, _))) = (children.first_key_value(), children.last_key_value()) {
        reference |= HAS_CHILDREN;
        bytes.extend_from_slice(&[*first, *last]);
        for byte in *first..=*last {
            bytes.extend_from_slice(&children.get(&byte).copied().unwrap_or(0).to_be_bytes());
        }
    }
    if let Some((_, values)) = own {
        reference |= HAS_VALUES;
        bytes.extend_from_slice(&u32::try_from(values.len()).ok()?.to_be_bytes());
        for (priority, value) in *values {
            bytes.extend_from_slice(&priority.to_be_bytes());
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
        }
    }
    Some(reference)
}

struct Node<'a> {
    prefix: &'a [u8],
    children: Vec<(u8, u32)>,
    values: Vec<(u32, &'a [u8])>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    name: &'a str,
}

impl<'a> Reader<'a> {
    fn open(bytes: &'a [u8], name: &'a str) -> Result<Self> {
        let reader = Self { bytes, name };
        let mut at = 0;
        if reader.word(&mut at)? != MAGIC {
            return Err(reader.bad("it has no kmod index magic"));
        }
        let version = reader.word(&mut at)?;
        if version >> 16 != VERSION >> 16 {
            return Err(reader.bad(&format!("version {version:#x} is not supported")));
        }
        Ok(reader)
    }

    fn root(&self) -> Result<u32> {
        self.word(&mut 8)
    }

    fn node(&self, reference: u32) -> Result<Node<'a>> {
        let mut at = usize::try_from(reference & OFFSET).unwrap_or(usize::MAX);
        let mut node = Node { prefix: &[], children: Vec::new(), values: Vec::new() };
        if reference & HAS_PREFIX != 0 {
            node.prefix = self.string(&mut at)?;
        }
        if reference & HAS_CHILDREN != 0 {
            let (first, last) = (self.byte(&mut at)?, self.byte(&mut at)?);
            for byte in first..=last {
                let child = self.word(&mut at)?;
                if child & OFFSET != 0 {
                    node.children.push((byte, child));
                }
            }
        }
        if reference & HAS_VALUES != 0 {
            // Each value takes five bytes at least, so a count too high ends at the end of the file.
            for _ in 0..self.word(&mut at)? {
                let priority = self.word(&mut at)?;
                node.values.push((priority, self.string(&mut at)?));
            }
        }
        Ok(node)
    }

    fn byte(&self, at: &mut usize) -> Result<u8> {
        let byte = self.bytes.get(*at).copied().ok_or_else(|| self.truncated())?;
        *at = at.saturating_add(1);
        Ok(byte)
    }

    fn word(&self, at: &mut usize) -> Result<u32> {
        let word = self.bytes.get(*at..).and_then(<[u8]>::first_chunk).ok_or_else(|| self.truncated())?;
        *at = at.saturating_add(4);
        Ok(u32::from_be_bytes(*word))
    }

    fn string(&self, at: &mut usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(*at..).ok_or_else(|| self.truncated())?;
        let len = rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.truncated())?;
        *at = at.saturating_add(len).saturating_add(1);
        rest.get(..len).ok_or_else(|| self.truncated())
    }

    fn truncated(&self) -> Error {
        self.bad("it runs past its end")
    }

    fn bad(&self, why: &str) -> Error {
        Error::Index { name: self.name.to_owned(), why: why.to_owned() }
    }
}
