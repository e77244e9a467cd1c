//! From an image or a snapshot down to files in a file system: one door to the crates below.

pub use {block, ext4, fat, image, vfs, volume};
