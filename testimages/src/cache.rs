//! Built images, kept between test runs.
//!
//! `$REFLOAT_CACHE`, by default `/var/tmp/refloat-cache`, holds one directory for each recipe, named by the recipe's
//! digest: a changed recipe is a new image, and the old one can be deleted at any time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::judge::hex;

/// The directory of all cached images.
pub fn directory() -> PathBuf {
    std::env::var_os("REFLOAT_CACHE").map_or_else(|| "/var/tmp/refloat-cache".into(), PathBuf::from)
}

/// The path of `file` as `build` made it from `recipe`; built now unless an earlier run did. `build` gets an empty
/// directory, in which it leaves `file`. The image is shared by all tests, so it is made read-only.
///
/// # Errors
/// When `build` fails, or the cache cannot be written.
pub fn cached(file: &str, recipe: &[&[u8]], build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut digest = Sha256::new();
    for part in recipe {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let key = hex(&digest.finalize()[..8]);
    let cache = directory();
    fs::create_dir_all(&cache).with_context(|| format!("cannot create the cache {}", cache.display()))?;
    let kept = cache.join(format!("{file}.{key}"));
    // One builder at a time for each recipe; the lock ends with the file.
    let lock = File::create(cache.join(format!(".{file}.{key}.lock")))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    if !kept.exists() {
        let work = tempfile::Builder::new().prefix(".build-").tempdir_in(&cache)?;
        let out = work.path().join("out");
        fs::create_dir(&out)?;
        build(&out).with_context(|| format!("cannot build {file}"))?;
        let mut permissions = fs::metadata(out.join(file))?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(out.join(file), permissions)?;
        fs::rename(&out, &kept)?;
    }
    Ok(kept.join(file))
}
