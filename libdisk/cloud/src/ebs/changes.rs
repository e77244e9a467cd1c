//! What differs between two snapshots of a volume.

use crate::bitmap::Bitmap;

/// The blocks that differ. A block that only the older snapshot has is among them: in the newer one it is zero.
#[derive(Debug, Clone)]
pub struct Changes(Bitmap);

impl Changes {
    pub(super) fn new(blocks: u64) -> Self {
        Self(Bitmap::new(blocks))
    }

    pub(super) fn add(&mut self, block: u64) {
        self.0.set(block, true);
    }

    /// Whether `block` differs.
    pub fn contains(&self, block: u64) -> bool {
        self.0.contains(block)
    }

    /// How many blocks differ.
    pub fn count(&self) -> u64 {
        self.0.count()
    }
}
