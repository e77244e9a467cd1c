//! The processes on this machine that ask the same endpoint: the account's quota is theirs together.
//!
//! Each process holds a lock on a file of its own, named after its number, in a folder for the endpoint; as
//! many as hold one share the rate. A process that dies, however it does, holds none any more. Other machines
//! are not seen: the service throttles all, and [`Rate`](crate::rate::Rate) yields.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::{cache, lock};

/// How often is looked who else is there.
const LOOK: Duration = Duration::from_secs(1);
/// More than ever work side by side; the others are not counted.
const MOST: usize = 1024;

/// Where the processes meet if nobody says otherwise: beside the cache.
pub(crate) fn default_folder() -> Option<PathBuf> {
    cache::default_folder("ebs").map(|cache| cache.with_file_name("ebs-processes"))
}

/// This process among those that ask an endpoint; it leaves them when the last clone of this is dropped.
#[derive(Debug)]
pub(crate) struct Neighbours {
    folder: PathBuf,
    name: String,
    /// Locked.
    _own: File,
    seen: Mutex<(Instant, usize)>,
}

impl Neighbours {
    /// Joins the processes that ask `endpoint` and meet in `root`; once for the whole process.
    pub(crate) fn join(root: &Path, endpoint: &str) -> io::Result<Arc<Self>> {
        static JOINED: Mutex<Option<HashMap<PathBuf, Weak<Neighbours>>>> = Mutex::new(None);
        let name = endpoint.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' });
        let folder = root.join(name.take(200).collect::<String>());
        let mut joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = joined.get_or_insert_default();
        if let Some(here) = joined.get(&folder).and_then(Weak::upgrade) {
            return Ok(here);
        }
        let here = Arc::new(Self::enter(folder.clone(), std::process::id().to_string())?);
        joined.insert(folder, Arc::downgrade(&here));
        Ok(here)
    }

    fn enter(folder: PathBuf, name: String) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(&name);
        loop {
            let own = block::open_sidecar(&path, 0o600).map_err(io::Error::other)?;
            own.lock()?;
            // One that took it for a dead process's may have removed it before the lock.
            if fs::metadata(&path).is_ok_and(|there| own.metadata().is_ok_and(|own| own.ino() == there.ino()))
            {
                let seen = Mutex::new((Instant::now(), count(&folder, &name)));
                return Ok(Self { folder, name, _own: own, seen });
            }
        }
    }

    /// How many they are, this one included.
    pub(crate) fn count(&self) -> usize {
        let mut seen = lock(&self.seen);
        if seen.0.elapsed() >= LOOK {
            *seen = (Instant::now(), count(&self.folder, &self.name));
        }
        seen.1
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        // What stays is found to be a dead process's.
        drop(fs::remove_file(self.folder.join(&self.name)));
    }
}

/// The files in `folder` that somebody holds, and `own`; the others are removed.
fn count(folder: &Path, own: &str) -> usize {
    let others = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST);
    let others = others.filter(|other| other.file_name() != own);
    others.filter(|other| is_held(&other.path())).count().saturating_add(1)
}

/// Whether a process is behind the file; else it is removed.
fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let held = file.try_lock().is_err();
    if !held {
        drop(fs::remove_file(path));
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_hold_a_lock() {
        let root = tempfile::tempdir().unwrap();
        let enter = |name: &str| Neighbours::enter(root.path().join("x"), name.to_owned()).unwrap();
        let first = enter("1");
        assert_eq!(first.count(), 1);
        let second = enter("2");
        assert_eq!(second.count(), 2);
        // Killed: the file is there, the lock is not.
        fs::write(root.path().join("x/3"), "").unwrap();
        let look = |who: &Neighbours| count(&who.folder, &who.name);
        assert_eq!((look(&first), look(&second)), (2, 2));
        assert!(!root.path().join("x/3").exists());
        drop(second);
        assert_eq!(look(&first), 1);
        assert_eq!(fs::read_dir(&first.folder).unwrap().count(), 1);
    }

    #[test]
    fn a_process_joins_once() {
        let root = tempfile::tempdir().unwrap();
        let first = Neighbours::join(root.path(), "https://ebs.eu-west-1.amazonaws.com").unwrap();
        let second = Neighbours::join(root.path(), "https://ebs.eu-west-1.amazonaws.com").unwrap();
        let other = Neighbours::join(root.path(), "https://ebs.us-east-1.amazonaws.com").unwrap();
        assert!(Arc::ptr_eq(&first, &second) && first.folder != other.folder);
        drop((first, second));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(&other.folder).unwrap().count(), 1);
    }
}
