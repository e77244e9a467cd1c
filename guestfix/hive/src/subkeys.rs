//! Lists of subkeys: leaves of the kinds `lf`, `lh` and `li`, and `ri`, a list of leaves (regf
//! specification, "Index leaf", "Fast leaf", "Hash leaf", "Index root").

use crate::cells::{Cells, NONE, index, number};
use crate::error::{Error, Result};
use crate::key::KeyNode;
use crate::name;

/// A kind of leaf, by what stands beside each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeafKind {
    /// Nothing.
    Plain,
    /// The first letters.
    Hint,
    /// A hash.
    Hash,
}

impl LeafKind {
    fn of(magic: [u8; 2]) -> Option<Self> {
        match &magic {
            b"li" => Some(Self::Plain),
            b"lf" => Some(Self::Hint),
            b"lh" => Some(Self::Hash),
            _ => None,
        }
    }

    pub(crate) fn magic(self) -> [u8; 2] {
        match self {
            Self::Plain => *b"li",
            Self::Hint => *b"lf",
            Self::Hash => *b"lh",
        }
    }

    /// Bytes of an entry.
    pub(crate) fn stride(self) -> usize {
        if self == Self::Plain { 4 } else { 8 }
    }

    /// An entry for a key.
    pub(crate) fn entry(self, at: u32, name: &str) -> Vec<u8> {
        let beside = match self {
            Self::Plain => Vec::new(),
            Self::Hint => name::hint(name).to_vec(),
            Self::Hash => name::hash(name).to_le_bytes().to_vec(),
        };
        [at.to_le_bytes().to_vec(), beside].concat()
    }
}

/// A leaf: where it is, and its entries as they are stored.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) at: u32,
    pub(crate) kind: LeafKind,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Leaf {
    fn read(cells: &Cells, at: u32) -> Result<Self> {
        let corrupt = |why: &str| Error::corrupt("list of subkeys", at, why);
        let (magic, rest, count) = header(cells, at)?;
        let kind = LeafKind::of(magic).ok_or_else(|| corrupt("it is of no known kind"))?;
        let entries: Vec<_> = rest.chunks_exact(kind.stride()).take(count).map(<[u8]>::to_vec).collect();
        if entries.len() != count {
            return Err(corrupt("it has more entries than its cell can hold"));
        }
        Ok(Self { at, kind, entries })
    }

    /// The keys' cells.
    pub(crate) fn keys(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().map(|entry| number(entry, 0).unwrap_or(NONE))
    }

    /// The leaf as it is stored.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        let mut bytes = [self.kind.magic(), count.to_le_bytes()].concat();
        self.entries.iter().for_each(|entry| bytes.extend_from_slice(entry));
        bytes
    }
}

/// The kind of a list, what is behind its header, and the number of its entries.
fn header(cells: &Cells, at: u32) -> Result<([u8; 2], &[u8], usize)> {
    let bytes = cells.used("list of subkeys", at)?;
    let (head, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| Error::corrupt("list of subkeys", at, "it is cut off"))?;
    let [a, b, low, high] = *head;
    Ok(([a, b], rest, usize::from(u16::from_le_bytes([low, high]))))
}

/// The lists of a key's subkeys.
#[derive(Debug, Clone)]
pub(crate) struct Lists {
    /// The list of leaves, where there is one.
    pub(crate) root: Option<u32>,
    pub(crate) leaves: Vec<Leaf>,
}

impl Lists {
    /// Those of a key. They have as many keys as it says.
    pub(crate) fn read(cells: &Cells, node: &KeyNode, key: u32) -> Result<Self> {
        let (at, count) = (node.subkey_list.get(), node.subkeys.get());
        if count == 0 {
            return Ok(Self { root: None, leaves: Vec::new() });
        }
        let (magic, rest, len) = header(cells, at)?;
        let mut lists = Self { root: None, leaves: Vec::new() };
        if &magic == b"ri" {
            lists.root = Some(at);
            let mut left = index(count);
            let places = rest.as_chunks::<4>().0;
            if places.len() < len {
                return Err(Error::corrupt(
                    "list of subkeys",
                    at,
                    "it has more entries than its cell can hold",
                ));
            }
            for place in places.iter().take(len) {
                let leaf = Leaf::read(cells, u32::from_le_bytes(*place))?;
                let none = || Error::corrupt("list of subkeys", at, format!("it has more than {count} keys"));
                left = left.checked_sub(leaf.entries.len().max(1)).ok_or_else(none)?;
                lists.leaves.push(leaf);
            }
        } else {
            lists.leaves.push(Leaf::read(cells, at)?);
        }
        let found = lists.keys().count();
        if found != index(count) {
            let why = format!("it is said to have {count} subkeys, and its lists have {found}");
            return Err(Error::corrupt("key", key, why));
        }
        Ok(lists)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = u32> + '_ {
        self.leaves.iter().flat_map(Leaf::keys)
    }
}

/// The cells of a key's subkeys, in their order.
pub(crate) fn of(cells: &Cells, node: &KeyNode, key: u32) -> Result<Vec<u32>> {
    Ok(Lists::read(cells, node, key)?.keys().collect())
}

/// The cells of those subkeys that may have this name: Windows goes by the hash that stands beside a key, where there
/// is one.
pub(crate) fn candidates(cells: &Cells, node: &KeyNode, key: u32, name: &str) -> Result<Vec<u32>> {
    let (at, count) = (node.subkey_list.get(), index(node.subkeys.get()));
    if count == 0 {
        return Ok(Vec::new());
    }
    let (magic, rest, len) = header(cells, at)?;
    let short = |at| Error::corrupt("list of subkeys", at, "it has more entries than its cell can hold");
    let leaves = match &magic {
        b"ri" => rest.as_chunks::<4>().0.get(..len).ok_or_else(|| short(at))?.to_vec(),
        _ => vec![at.to_le_bytes()],
    };
    let (hash, mut looked_at, mut seen, mut found) = (name::hash(name), 0_usize, 0_usize, Vec::new());
    for leaf in leaves.into_iter().map(u32::from_le_bytes) {
        let (magic, rest, len) = header(cells, leaf)?;
        let none = || Error::corrupt("list of subkeys", leaf, "it is of no known kind");
        let kind = LeafKind::of(magic).ok_or_else(none)?;
        let entries = rest.chunks_exact(kind.stride());
        if entries.len() < len {
            return Err(short(leaf));
        }
        looked_at = looked_at.saturating_add(len.max(1));
        if looked_at > count {
            break;
        }
        seen = seen.saturating_add(len);
        let may_be = |entry: &&[u8]| kind != LeafKind::Hash || number(entry, 4) == Some(hash);
        found.extend(entries.take(len).filter(may_be).map(|entry| number(entry, 0).unwrap_or(NONE)));
    }
    if seen != count {
        let why = format!("it is said to have {count} subkeys, and its lists have others");
        return Err(Error::corrupt("key", key, why));
    }
    Ok(found)
}
