//! The B+trees of a group: one implementation for all kinds of records ("Short Format B+Trees").
//!
//! [`record`] has the five kinds of records, [`node`] the blocks, [`walk`] searches, [`edit`] inserts and
//! removes.

mod edit;
mod node;
mod record;
mod walk;

pub(crate) use record::{
    CHUNK, Chunk, FreeByBlock, FreeBySize, FreeChunk, Key, Owned, Record, Shared, owner,
};
pub(crate) use walk::{FIRST, LAST};
