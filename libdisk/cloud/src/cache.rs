//! Blocks kept on disk between commands on the same snapshot, so that a check, then a plan, fetch each block
//! once.
//!
//! A folder per snapshot, a file per block: its 512 KiB and their SHA-256, which is checked again when
//! another process reads it. Snapshots never change, so nothing in the cache is ever stale; it is bounded,
//! and the oldest block goes first. Only the owner can read it: these are parts of somebody's disk.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use crate::{BLOCK_LEN, lock, to_u64};

/// Where blocks of a service are kept if nobody says otherwise: its name in `$REFLOAT_CACHE`, else in `refloat` in
/// `$XDG_CACHE_HOME` or `~/.cache`. `None` where none of these is set.
pub(crate) fn default_folder(service: &str) -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let refloat = of("REFLOAT_CACHE");
    let user = || of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    refloat.or_else(|| user().map(|cache| cache.join("refloat"))).map(|cache| cache.join(service))
}

/// The blocks of one snapshot.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    limit: u64,
    /// What is there, the oldest first.
    order: Mutex<VecDeque<u64>>,
}

impl Cache {
    /// [`open`](Self::open), or no cache, which is told to the log.
    pub(crate) fn open_if_possible(root: &Path, name: &str, limit: u64) -> Option<Self> {
        let opened = Self::open(root, name, limit);
        opened.inspect_err(|error| tracing::warn!(%error, root = %root.display(), "no cache")).ok()
    }

    /// The blocks of the snapshot `name` in `root`, at most `limit` of them. Other snapshots' are removed,
    /// those first that were not used for the longest, until all together are no more than that.
    pub(crate) fn open(root: &Path, name: &str, limit: u64) -> io::Result<Self> {
        let folder = root.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let owner = fs::metadata(&folder)?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder is somebody else's"));
        }
        let mut blocks = blocks_in(&folder)?;
        blocks.sort_unstable();
        let order = blocks.iter().map(|(_, _, block)| *block).collect::<VecDeque<_>>();
        let cache = Self { folder, limit: limit.max(1), order: Mutex::new(order) };
        cache.make_room(root)?;
        Ok(cache)
    }

    fn make_room(&self, root: &Path) -> io::Result<()> {
        let mut total = to_u64(lock(&self.order).len());
        let mut others = Vec::new();
        for entry in fs::read_dir(root)?.flatten().filter(|entry| entry.path() != self.folder) {
            let blocks = to_u64(blocks_in(&entry.path())?.len());
            total = total.saturating_add(blocks);
            others.push((entry.metadata()?.mtime(), blocks, entry.path()));
        }
        others.sort_unstable();
        for (_, blocks, path) in others {
            if total <= self.limit {
                break;
            }
            fs::remove_dir_all(path)?;
            total = total.saturating_sub(blocks);
        }
        Ok(())
    }

    /// Fills `buf` with `block`, if it is there and whole.
    pub(crate) fn get(&self, block: u64, buf: &mut [u8]) -> bool {
        let mut sum = [0; 32];
        let read = fs::File::open(self.path(block)).and_then(|mut file| {
            file.read_exact(buf)?;
            file.read_exact(&mut sum)
        });
        match read {
            Ok(()) if Sha256::digest(&*buf)[..] == sum => true,
            Ok(()) => {
                tracing::warn!(block, folder = %self.folder.display(), "a damaged block in the cache is fetched again");
                false
            }
            Err(_) => false,
        }
    }

    /// Keeps `block`. That it cannot be kept is no error: it is fetched again, then.
    pub(crate) fn put(&self, block: u64, bytes: &[u8], sum: &[u8; 32]) {
        if let Err(error) = self.write(block, bytes, sum) {
            tracing::debug!(%error, folder = %self.folder.display(), "the cache does not take a block");
            return;
        }
        let mut order = lock(&self.order);
        order.push_back(block);
        while to_u64(order.len()) > self.limit {
            if let Some(oldest) = order.pop_front() {
                drop(fs::remove_file(self.path(oldest)));
            }
        }
    }

    fn write(&self, block: u64, bytes: &[u8], sum: &[u8; 32]) -> io::Result<()> {
        debug_assert_eq!(bytes.len(), BLOCK_LEN);
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(bytes)?;
        file.write_all(sum)?;
        file.persist(self.path(block))?;
        Ok(())
    }

    fn path(&self, block: u64) -> PathBuf {
        self.folder.join(format!("{block}"))
    }
}

/// Time of last change and number of each block in `folder`; what else is there is left alone.
fn blocks_in(folder: &Path) -> io::Result<Vec<(i64, i64, u64)>> {
    let mut blocks = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        if let Some(block) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Ok(metadata) = entry.metadata()
        {
            blocks.push((metadata.mtime(), metadata.mtime_nsec(), block));
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fill: u8) -> (Vec<u8>, [u8; 32]) {
        let bytes = vec![fill; BLOCK_LEN];
        let sum = Sha256::digest(&bytes).into();
        (bytes, sum)
    }

    #[test]
    fn it_gives_back_what_it_took_and_nothing_damaged() {
        let root = tempfile::tempdir().unwrap();
        let (bytes, sum) = block(3);
        let cache = Cache::open(root.path(), "snap-1", 10).unwrap();
        cache.put(7, &bytes, &sum);
        let again = Cache::open(root.path(), "snap-1", 10).unwrap();
        let mut buf = vec![0; BLOCK_LEN];
        assert!(again.get(7, &mut buf) && buf == bytes);
        assert!(!again.get(8, &mut buf));

        let path = root.path().join("snap-1/7");
        let mut raw = fs::read(&path).unwrap();
        raw[1000] ^= 1;
        fs::write(&path, &raw).unwrap();
        assert!(!again.get(7, &mut buf), "damaged");
        fs::write(&path, &raw[..1000]).unwrap();
        assert!(!again.get(7, &mut buf), "short");
        assert_eq!(fs::metadata(root.path().join("snap-1")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn it_is_bounded() {
        let root = tempfile::tempdir().unwrap();
        let (bytes, sum) = block(1);
        for name in ["snap-1", "snap-2", "snap-3"] {
            let cache = Cache::open(root.path(), name, 3).unwrap();
            (0..5).for_each(|at| cache.put(at, &bytes, &sum));
            let mut buf = vec![0; BLOCK_LEN];
            assert!(!cache.get(1, &mut buf) && cache.get(2, &mut buf) && cache.get(4, &mut buf));
        }
        let left: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.len() <= 2, "{left:?}");
    }
}
