//! A file system in memory: the model that drivers are compared with, and the tree that rule tests use.

/// A whole file system in memory.
#[derive(Debug, Default)]
pub struct MemoryFs;
