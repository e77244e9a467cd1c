//! Built images, kept between test runs.
//!
//! `$REFLOAT_CACHE`, by default `/var/tmp/refloat-cache`, holds one directory for each recipe, named by the
//! recipe's digest: a changed recipe is a new image. What older recipes made is removed when the new one is
//! there, unless somebody, say another checkout, has used it within the last hour.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::judge::{self, hex};

/// How long an image of another recipe is kept after its last use.
const KEPT_UNUSED: Duration = Duration::from_secs(60 * 60);

/// Bytes of a digest that are in a name.
const KEY: usize = 8;

/// The directory of all cached images.
pub fn directory() -> PathBuf {
    std::env::var_os("REFLOAT_CACHE").map_or_else(|| "/var/tmp/refloat-cache".into(), PathBuf::from)
}

/// The path of `file` as `build` made it from `recipe`; built now unless an earlier run did. `build` gets an
/// empty directory, in which it leaves `file`. The image is shared by all tests, so it is made read-only.
///
/// # Errors
/// When `build` fails, or the cache cannot be written.
pub fn cached(file: &str, recipe: &[&[u8]], build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    cached_in(&directory(), file, recipe, build)
}

/// Puts packages of npm into `folder`, as their lock names them.
///
/// # Errors
/// When there is no npm or no network.
pub(crate) fn npm(folder: &Path, package: &str, lock: &str) -> Result<()> {
    fs::create_dir(folder)?;
    fs::write(folder.join("package.json"), package)?;
    fs::write(folder.join("package-lock.json"), lock)?;
    // No package runs anything while it is installed.
    let mut npm = judge::tool("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
    let output = npm.output().context("cannot run npm")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "npm: {}", said.lines().next().unwrap_or_default());
    Ok(())
}

fn cached_in(
    cache: &Path,
    file: &str,
    recipe: &[&[u8]],
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mut digest = Sha256::new();
    for part in recipe {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let name = format!("{file}.{}", hex(&digest.finalize()[..KEY]));
    fs::create_dir_all(cache).with_context(|| format!("cannot create the cache {}", cache.display()))?;
    let kept = cache.join(&name);
    // One builder at a time for each recipe; the lock ends with the file.
    let lock = File::create(lock_of(cache, &name))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    lock.set_modified(SystemTime::now())?;
    if !kept.exists() {
        let work = tempfile::Builder::new().prefix(".build-").tempdir_in(cache)?;
        let out = work.path().join("out");
        fs::create_dir(&out)?;
        build(&out).with_context(|| format!("cannot build {file}"))?;
        let mut permissions = fs::metadata(out.join(file))?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(out.join(file), permissions)?;
        fs::rename(&out, &kept)?;
        remove_others(cache, file, &name)?;
    }
    Ok(kept.join(file))
}

/// The file that whoever builds or removes an image locks; it was changed when the image was last used.
fn lock_of(cache: &Path, name: &str) -> PathBuf {
    cache.join(format!(".{name}.lock"))
}

/// Removes what other recipes than that of `current` made of `file`, if nobody uses it.
fn remove_others(cache: &Path, file: &str, current: &str) -> Result<()> {
    let is_key = |text: &str| text.len() == 2 * KEY && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = name.strip_prefix(file).and_then(|rest| rest.strip_prefix('.'));
        if name == current || !key.is_some_and(is_key) {
            continue;
        }
        let lock = File::options().append(true).create(true).open(lock_of(cache, &name))?;
        let unused = lock.metadata()?.modified()?.elapsed().is_ok_and(|since| since > KEPT_UNUSED);
        if unused && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            fs::remove_dir_all(entry.path())?;
            fs::remove_file(lock_of(cache, &name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_recipe_replaces_what_is_not_in_use() {
        let cache = tempfile::tempdir().unwrap();
        let make = |file: &str, recipe: &str| {
            let build = |out: &Path| Ok(fs::write(out.join(file), recipe)?);
            cached_in(cache.path(), file, &[recipe.as_bytes()], build).unwrap()
        };
        let long_ago = SystemTime::now() - 2 * KEPT_UNUSED;
        let forget = |image: &Path| {
            let name = image.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let lock = File::options().append(true).open(lock_of(cache.path(), name)).unwrap();
            lock.set_modified(long_ago).unwrap();
        };
        let (old, used, other) = (make("a.raw", "1"), make("a.raw", "2"), make("a.raw.gz", "1"));
        forget(&old);
        forget(&other);
        let new = make("a.raw", "3");
        assert!(!old.exists() && used.exists() && other.exists() && new.exists());
        assert_eq!(fs::read_to_string(make("a.raw", "1")).unwrap(), "1", "made again");
    }
}
