//! Images to measure with.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use block::testing::DeviceSink;
use block::testing::pattern::Pattern;
use block::{CopyOptions, Disk, FileDisk, Silent, copy};

/// Content like that of a machine with a small system on a large disk: three tenths of it are data, in runs large and
/// small, some of it zeros, random bytes and what compresses.
pub fn pattern(size: u64) -> Pattern {
    Pattern::new(size, 2026, 0.36)
}

/// Writes [`pattern`] as a sparse raw image.
///
/// # Errors
/// If `path` cannot be written.
pub fn vm_image(path: &Path, size: u64) -> Result<()> {
    File::create(path)
        .and_then(|file| file.set_len(size))
        .with_context(|| format!("cannot create {}", path.display()))?;
    let target = FileDisk::open_mut(path)?.disk_mut();
    let sink = Box::new(DeviceSink::new(target, true));
    copy(&Disk::new(pattern(size)), sink, &CopyOptions::default(), &Silent)?;
    Ok(())
}
