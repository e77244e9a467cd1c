//! Which number names which inode of which subvolume.

use vfs::{FsError, NodeId, Result};

/// Bits of an inode number. They are given away in ascending order, and never again: a file a microsecond for
/// twelve days.
const NUMBER: u32 = 40;
/// Bits of a subvolume's number.
const TREE: u32 = 23;
const STUB: u64 = 1 << 63;

/// What a number names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// An inode of a subvolume.
    Inode { tree: u64, number: u64 },
    /// The empty directory that a snapshot has in place of a subvolume which stood in what it is a snapshot
    /// of.
    Stub { tree: u64, subvolume: u64 },
}

impl Place {
    pub(crate) fn of(node: NodeId) -> Self {
        let tree = (node.0 & !STUB) >> NUMBER;
        let number = node.0 & ((1 << NUMBER) - 1);
        if node.0 & STUB == 0 { Self::Inode { tree, number } } else { Self::Stub { tree, subvolume: number } }
    }

    pub(crate) fn node(self) -> Result<NodeId> {
        let (tree, number, stub) = match self {
            Self::Inode { tree, number } => (tree, number, 0),
            Self::Stub { tree, subvolume } => (tree, subvolume, STUB),
        };
        if tree >> TREE != 0 || number >> NUMBER != 0 {
            return Err(FsError::unsupported(format!(
                "btrfs inode {number} of subvolume {tree}: too large a number"
            )));
        }
        Ok(NodeId(stub | tree << NUMBER | number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for place in [
            Place::Inode { tree: 5, number: 256 },
            Place::Inode { tree: (1 << TREE) - 1, number: (1 << NUMBER) - 1 },
            Place::Stub { tree: 260, subvolume: 259 },
        ] {
            assert_eq!(Place::of(place.node().unwrap()), place);
        }
        assert!(Place::Inode { tree: 1 << TREE, number: 256 }.node().is_err());
        assert!(Place::Inode { tree: 5, number: u64::MAX }.node().is_err());
    }
}
