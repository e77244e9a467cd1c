//! Where the state of a fleet is kept: small files that are written whole, some of them only if they are still
//! what they were. How old one is, is told by the clock of whoever keeps it, and by no worker's.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use guestfix::edit::hex;
use libdisk::cloud::objects::{Objects, Options, Place};
use libdisk::image::{Output, write_file};
use sha2::{Digest, Sha256};

use super::remote::{self, Remote};
use crate::answer::Help;
use crate::context::Context;
use crate::{azure, help, name};

/// How long a reading of the clock of a file server is used.
const CLOCK: Duration = Duration::from_secs(5);

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) bytes: Vec<u8>,
    /// What tells it from what is there later.
    pub(crate) version: String,
    /// When it was written, in seconds since 1970, by the clock of whoever keeps it.
    pub(crate) written: u64,
}

/// Files by their names, as `vm/0007/state.json`. The display is for people.
pub(crate) trait Store: fmt::Display + Send + Sync {
    /// The file, if there is one.
    fn read(&self, key: &str) -> Result<Option<Entry>>;

    /// Writes a file: who reads sees all of it or what was there before.
    fn write(&self, key: &str, bytes: &[u8]) -> Result<()>;

    /// Writes a file if it is still of this version, or with `None` if there is none: its new version then.
    /// Of several who try at once one succeeds. `bytes` have to be those of this writer alone.
    fn swap(&self, key: &str, version: Option<&str>, bytes: &[u8]) -> Result<Option<String>>;

    /// Adds to the end of a file for people.
    fn append(&self, key: &str) -> Result<Box<dyn Write + Send>>;

    /// The time, in seconds since 1970, by the clock of whoever keeps the files.
    fn now(&self) -> Result<u64>;

    /// A folder that the next run may find again, and may do without.
    fn folder(&self, key: &str) -> Result<PathBuf>;

    /// A folder that the next run finds again, wherever it is.
    fn kept(&self, key: &str) -> Result<Box<dyn Kept>>;

    /// What names it, typed anywhere.
    fn typed(&self) -> String;

    /// Where it is, if that is no folder.
    fn place(&self) -> Option<&Place> {
        None
    }
}

/// A folder of this machine whose files whoever goes on finds again.
pub(crate) trait Kept: Send {
    fn path(&self) -> &Path;

    /// Whether something waits to be put where others find it.
    fn is_due(&self) -> bool {
        false
    }

    /// Puts what has changed where others find it. Between two steps `goes_on` is asked.
    fn keep(&mut self, goes_on: &mut dyn FnMut() -> bool) -> Result<()>;
}

impl Kept for PathBuf {
    fn path(&self) -> &Path {
        self
    }

    fn keep(&mut self, _: &mut dyn FnMut() -> bool) -> Result<()> {
        Ok(())
    }
}

/// The store that was typed: a folder, or a place in S3 or in Azure, where a request is tried for so long.
pub(crate) fn open(context: &Context, typed: &Path, patience: Duration) -> Result<Box<dyn Store>> {
    let text = name::text(typed);
    if !Place::is_meant(&text) {
        return Ok(Box::new(Directory::new(typed)));
    }
    let place: Place = text.parse().help(help::FLEET)?;
    let options = Options { patience, ..Options::new(azure::options(&context.global)?.signatures) };
    Ok(Box::new(Remote::new(Objects::new(&place, &options)?, &remote::local())))
}

/// A folder on this machine, or one that many machines share (NFS 4, EFS).
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    /// What the clock of the file system said, and when.
    clock: Mutex<Option<(u64, Instant)>>,
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name::shown(&self.root))
    }
}

impl Directory {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: name::absolute(root), clock: Mutex::default() }
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        let path = self.root.join(key);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", name::shown(folder)))?;
        }
        Ok(path)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn version(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl Store for Directory {
    fn read(&self, key: &str) -> Result<Option<Entry>> {
        let path = self.root.join(key);
        // The time of the very file that is read: another one may have its name by then.
        let read = || -> std::io::Result<Entry> {
            let (mut file, mut bytes) = (File::open(&path)?, Vec::new());
            file.read_to_end(&mut bytes)?;
            let written = seconds(file.metadata()?.modified()?);
            Ok(Entry { version: version(&bytes), bytes, written })
        };
        match read() {
            Ok(entry) => Ok(Some(entry)),
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

    /// What a new file has as its time: a file server gives its own.
    fn now(&self) -> Result<u64> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, read)) = clock.filter(|(_, read)| read.elapsed() < CLOCK) {
            return Ok(at.saturating_add(read.elapsed().as_secs()));
        }
        let read = Instant::now();
        let new = tempfile::Builder::new().prefix(".clock").tempfile_in(&self.root);
        let at = match new.and_then(|file| file.as_file().metadata()?.modified()) {
            Ok(time) => seconds(time),
            // Who may only look takes no lease.
            Err(cause)
                if matches!(cause.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                return Ok(seconds(SystemTime::now()));
            }
            Err(cause) => return Err(cause).with_context(|| format!("{self}: its clock cannot be read")),
        };
        *clock = Some((at, read));
        Ok(at)
    }

    fn folder(&self, key: &str) -> Result<PathBuf> {
        let path = self.root.join(key);
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot be made", name::shown(&path)))?;
        Ok(path)
    }

    fn kept(&self, key: &str) -> Result<Box<dyn Kept>> {
        Ok(Box::new(self.folder(key)?))
    }

    fn typed(&self) -> String {
        name::text(&self.root)
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
