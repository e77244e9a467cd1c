//! Which number names the node whose entry is at a place.

use std::collections::BTreeMap;

use vfs::NodeId;

use crate::boot_sector::SLOT;

/// Numbers from here on were given because the one of the place was in use; no volume has so many entries.
const FRESH: u64 = 1 << 60;

/// The nodes whose number is not that of their entry's place, because of a rename. Grows with renames only.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    place_of: BTreeMap<NodeId, u64>,
    at: BTreeMap<u64, NodeId>,
    given: u64,
}

impl Nodes {
    /// The node whose entry is at this byte of the volume.
    pub(crate) fn at(&self, place: u64) -> NodeId {
        self.at.get(&place).copied().unwrap_or(NodeId(place / SLOT))
    }

    /// Where the entry of this node is.
    pub(crate) fn place_of(&self, node: NodeId) -> u64 {
        self.place_of.get(&node).copied().unwrap_or_else(|| node.0.saturating_mul(SLOT))
    }

    /// A new node's entry is at this place.
    pub(crate) fn create(&mut self, place: u64) -> NodeId {
        let number = NodeId(place / SLOT);
        if !self.place_of.contains_key(&number) {
            return number;
        }
        self.given = self.given.saturating_add(1);
        let number = NodeId(FRESH.saturating_add(self.given));
        self.set(number, place);
        number
    }

    /// The entry at this place is gone, and the node with it.
    pub(crate) fn remove(&mut self, place: u64) {
        if let Some(node) = self.at.remove(&place) {
            self.place_of.remove(&node);
        }
    }

    /// The entry of this node was moved to another place.
    pub(crate) fn moved(&mut self, node: NodeId, from: u64, to: u64) {
        self.at.remove(&from);
        self.set(node, to);
    }

    fn set(&mut self, node: NodeId, place: u64) {
        self.place_of.insert(node, place);
        self.at.insert(place, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_number_when_it_moves() {
        let mut nodes = Nodes::default();
        let node = nodes.create(64);
        assert_eq!(node, NodeId(2));
        nodes.moved(node, 64, 320);
        assert_eq!((nodes.at(320), nodes.place_of(node)), (node, 320));
        let other = nodes.create(64);
        assert_ne!(other, node);
        assert_eq!((nodes.at(64), nodes.place_of(other)), (other, 64));
        nodes.remove(64);
        nodes.moved(node, 320, 64);
        assert_eq!((nodes.at(64), nodes.place_of(node)), (node, 64));
    }
}
