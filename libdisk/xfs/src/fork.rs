//! What one of the two parts of an inode holds ("Data Fork", "Attribute Fork").

use vfs::{FsError, Result};

use crate::bytes::{be16, be32, be64, half, index, pad, put16, put64};
use crate::extent::{self, Extent, Side};

// `di_format` and `di_aformat`.
const DEVICE: u8 = 0;
const LOCAL: u8 = 1;
const EXTENTS: u8 = 2;
const BTREE: u8 = 3;

/// Bytes that a fork has at least unless its content never grows: two extents, or two pointers of a tree.
const LEAST: usize = 40;

/// The root of the tree that maps a fork ("B+tree Extent List").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeRoot {
    /// At least 1: the leaves are blocks.
    pub(crate) level: u16,
    /// The first block of the file that each child maps, and the child.
    pub(crate) children: Vec<(u64, u64)>,
}

/// What a fork holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fork {
    /// A device number, as System V has it.
    Device(u32),
    /// The content itself.
    Inline(Vec<u8>),
    Extents(Vec<Extent>),
    Tree(TreeRoot),
}

impl Default for Fork {
    fn default() -> Self {
        Self::Extents(Vec::new())
    }
}

impl Fork {
    pub(crate) fn format(&self) -> u8 {
        match self {
            Self::Device(_) => DEVICE,
            Self::Inline(_) => LOCAL,
            Self::Extents(_) => EXTENTS,
            Self::Tree(_) => BTREE,
        }
    }

    /// Bytes it takes.
    pub(crate) fn need(&self) -> usize {
        match self {
            Self::Device(_) => 8,
            Self::Inline(bytes) => bytes.len(),
            Self::Extents(extents) => extents.len().saturating_mul(extent::LEN),
            Self::Tree(root) => tree_need(root.children.len()),
        }
    }

    /// Bytes it must be given beside the other fork, so that it can still become something else.
    pub(crate) fn room(&self, side: Side) -> usize {
        let least = match (self, side) {
            (Self::Device(_), _) | (Self::Inline(_), Side::Attr) => 0,
            _ => LEAST,
        };
        pad(self.need().max(least), 8)
    }

    /// `bytes` is all that the inode has for this fork. Inline content has `size` bytes, or (attributes) says
    /// itself how many.
    pub(crate) fn decode(
        bytes: &[u8],
        format: u8,
        extents: u64,
        size: Option<u64>,
    ) -> Result<Self, &'static str> {
        match format {
            DEVICE if size.is_some() => {
                be32(bytes, 0).map(Self::Device).map_err(|_| "it has no room for a device number")
            }
            LOCAL => {
                let size = match size {
                    Some(size) => Ok(size),
                    None => be16(bytes, 0).map(u64::from),
                };
                let inline = size.ok().and_then(|size| bytes.get(..index(size)));
                inline.map(|inline| Self::Inline(inline.to_vec())).ok_or("its inline content is too long")
            }
            EXTENTS => {
                let len = index(extents).saturating_mul(extent::LEN);
                let records = bytes.get(..len).ok_or("it counts more extents than fit")?;
                let records = records.chunks_exact(extent::LEN).map(Extent::decode).collect::<Result<_>>();
                records.map(Self::Extents).map_err(|_| "an extent is too short")
            }
            BTREE => {
                decode_tree(bytes).ok().flatten().map(Self::Tree).ok_or("the root of its tree is damaged")
            }
            _ => Err("a fork has an unknown format"),
        }
    }

    /// The bytes of a fork that the inode gives `len` bytes.
    pub(crate) fn encode(&self, len: usize) -> Result<Vec<u8>> {
        if self.need() > len {
            return Err(FsError::corrupt("inode fork", 0, "it is too long"));
        }
        Ok(match self {
            Self::Device(device) => device.to_be_bytes().to_vec(),
            Self::Inline(bytes) => bytes.clone(),
            Self::Extents(extents) => extents.iter().flat_map(Extent::encode).collect(),
            Self::Tree(root) => {
                let mut bytes = vec![0; len];
                put16(&mut bytes, 0, root.level)?;
                put16(&mut bytes, 2, half(root.children.len()))?;
                let pointers = tree_capacity(len).saturating_mul(8).saturating_add(4);
                for (slot, (key, block)) in root.children.iter().enumerate() {
                    let at = slot.saturating_mul(8);
                    put64(&mut bytes, at.saturating_add(4), *key)?;
                    put64(&mut bytes, at.saturating_add(pointers), *block)?;
                }
                bytes
            }
        })
    }
}

/// Bytes of a root with this many children.
pub(crate) fn tree_need(children: usize) -> usize {
    children.saturating_mul(16).saturating_add(4)
}

/// Children that a root of `len` bytes can have.
pub(crate) fn tree_capacity(len: usize) -> usize {
    len.saturating_sub(4) >> 4
}

fn decode_tree(bytes: &[u8]) -> Result<Option<TreeRoot>> {
    let (level, count) = (be16(bytes, 0)?, usize::from(be16(bytes, 2)?));
    let capacity = tree_capacity(bytes.len());
    if level == 0 || count == 0 || count > capacity {
        return Ok(None);
    }
    let pointers = capacity.saturating_mul(8).saturating_add(4);
    let child = |slot: usize| {
        let at = slot.saturating_mul(8);
        Ok((be64(bytes, at.saturating_add(4))?, be64(bytes, at.saturating_add(pointers))?))
    };
    let children = (0..count).map(child).collect::<Result<_>>()?;
    Ok(Some(TreeRoot { level, children }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_survives() {
        let extent = Extent { logical: 3, physical: 99, len: 4, unwritten: false };
        let root = TreeRoot { level: 1, children: vec![(0, 17), (500, 18)] };
        for (fork, extents, size) in [
            (Fork::Device(0x1234), 0, Some(0)),
            (Fork::Inline(b"target".to_vec()), 0, Some(6)),
            (Fork::Extents(vec![extent; 3]), 3, Some(0)),
            (Fork::Tree(root), 600, None),
        ] {
            let mut bytes = fork.encode(336).unwrap();
            bytes.resize(336, 0);
            assert_eq!(Fork::decode(&bytes, fork.format(), extents, size), Ok(fork));
        }
        assert!(Fork::decode(&[0; 32], EXTENTS, 3, Some(0)).is_err());
        assert!(Fork::decode(&[0; 32], LOCAL, 0, Some(33)).is_err());
        assert!(Fork::Inline(vec![0; 33]).encode(32).is_err());
    }
}
