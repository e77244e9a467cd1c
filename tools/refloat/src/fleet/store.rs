//! Where the state of a fleet is kept: small files that are written whole, some of them only if they are still
//! what they were.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use guestfix::edit::hex;
use libdisk::image::{Output, write_file};
use sha2::{Digest, Sha256};

use crate::name;

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) bytes: Vec<u8>,
    /// What tells it from what is there later.
    pub(crate) version: String,
}

/// Files by their names, as `vm/0007/state.json`. The display is for people.
pub(crate) trait Store: fmt::Display + Send + Sync {
    /// The file, if there is one.
    fn read(&self, key: &str) -> Result<Option<Entry>>;

    /// Writes a file: who reads sees all of it or what was there before.
    fn write(&self, key: &str, bytes: &[u8]) -> Result<()>;

    /// Writes a file if it is still of this version, or with `None` if there is none: its new version then.
    /// Of several who try at once one succeeds.
    fn swap(&self, key: &str, version: Option<&str>, bytes: &[u8]) -> Result<Option<String>>;

    /// Adds to the end of a file for people.
    fn append(&self, key: &str) -> Result<Box<dyn Write + Send>>;

    /// A folder for what a task keeps between two runs.
    fn folder(&self, key: &str) -> Result<PathBuf>;
}

/// A folder on this machine, or one that many machines share (NFS 4, EFS).
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name::shown(&self.root))
    }
}

impl Directory {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: name::absolute(root) }
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        let path = self.root.join(key);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", name::shown(folder)))?;
        }
        Ok(path)
    }
}

fn version(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl Store for Directory {
    fn read(&self, key: &str) -> Result<Option<Entry>> {
        let path = self.root.join(key);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Entry { version: version(&bytes), bytes })),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause).with_context(|| format!("{}: cannot be read", name::shown(path))),
        }
    }

    fn write(&self, key: &str, bytes: &[u8]) -> Result<()> {
        Ok(write_file(&Output::replacing(self.path(key)?), bytes)?)
    }

    fn swap(&self, key: &str, expected: Option<&str>, bytes: &[u8]) -> Result<Option<String>> {
        // Between the look and the write nobody else may be: they wait for this lock, which ends with whoever
        // holds it.
        let lock = self.path(&format!("{key}.lock"))?;
        let file = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _held = file.with_context(|| format!("{}: cannot be locked", name::shown(&lock)))?;
        let there = self.read(key)?;
        if there.as_ref().map(|entry| entry.version.as_str()) != expected {
            return Ok(None);
        }
        self.write(key, bytes)?;
        Ok(Some(version(bytes)))
    }

    fn append(&self, key: &str) -> Result<Box<dyn Write + Send>> {
        let path = self.path(key)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Box::new(file.with_context(|| format!("{}: cannot be written", name::shown(&path)))?))
    }

    fn folder(&self, key: &str) -> Result<PathBuf> {
        let path = self.root.join(key);
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot be made", name::shown(&path)))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_who_swap_at_once_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let store = Directory::new(folder.path());
            let key = format!("vm/{round}/lease");
            let first = store.swap(&key, None, b"0").unwrap().unwrap();
            let won: usize = std::thread::scope(|scope| {
                let tries: Vec<_> = (1..=8)
                    .map(|number: u8| {
                        let (store, key, first) = (Directory::new(folder.path()), &key, &first);
                        scope.spawn(move || store.swap(key, Some(first), &[number]).unwrap().is_some())
                    })
                    .collect();
                tries.into_iter().map(|one| usize::from(one.join().unwrap())).sum()
            });
            assert_eq!(won, 1);
            assert_eq!(store.swap(&key, None, b"again").unwrap(), None, "there is one already");
        }
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Directory::new(folder.path()).read("vm/0000/state.json").unwrap(), None);
    }
}
