//! What tells one transfer from another.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use block::{Error, Result};
use sha2::{Digest, Sha256};

use super::LAYER;

/// [`ResumeKey::digest`].
pub type Key = [u8; 16];

/// What a target is to hold, as named fields: equal fields promise equal bytes. Whoever changes what a field
/// means gives it another name, or all of them another [`VERSION`](Self::VERSION).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeKey {
    fields: BTreeMap<String, String>,
}

impl ResumeKey {
    /// The version of all keys; those of other versions are never equal.
    pub const VERSION: u32 = 2;

    /// A key of one field.
    pub fn new(name: &str, value: impl Display) -> Self {
        Self { fields: BTreeMap::new() }.with(name, value)
    }

    /// The key of the bytes in these files; `None` if one of them is not a regular file, whose changes nobody
    /// would see.
    ///
    /// # Errors
    /// `Io`.
    pub fn of_files<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Option<Self>> {
        let mut key = Self { fields: BTreeMap::new() };
        for (path, number) in paths.into_iter().zip(0..) {
            let found = std::fs::metadata(path)
                .map_err(|cause| Error::io(LAYER, "cannot look at the source", cause).in_file(path))?;
            if !found.is_file() {
                return Ok(None);
            }
            // The time of the last change of anything, too: that of the content can be set back.
            for (name, value) in [
                ("device", i128::from(found.dev())),
                ("inode", i128::from(found.ino())),
                ("size", i128::from(found.size())),
                ("mtime", i128::from(found.mtime())),
                ("mtime-ns", i128::from(found.mtime_nsec())),
                ("ctime", i128::from(found.ctime())),
                ("ctime-ns", i128::from(found.ctime_nsec())),
            ] {
                key = key.with(&format!("file-{number}-{name}"), value);
            }
        }
        Ok(Some(key))
    }

    /// The same with a field more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.fields.insert(name.to_owned(), value.to_string());
        self
    }

    /// The key in 16 bytes: the start of the SHA-256 of all fields, each with its length.
    pub fn digest(&self) -> Key {
        let mut hash = Sha256::new();
        hash.update(format!("refloat transfer key {}\n", Self::VERSION));
        for (name, value) in &self.fields {
            hash.update(format!("{}:{name}={}:{value}\n", name.len(), value.len()));
        }
        hash.finalize().first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts_and_their_order_does_not() {
        let key = ResumeKey::new("snapshot", "snap-1").with("format", "vhd");
        let same = ResumeKey::new("format", "vhd").with("snapshot", "snap-1");
        assert_eq!(key.digest(), same.digest());
        for other in [
            ResumeKey::new("snapshot", "snap-1"),
            key.clone().with("format", "raw"),
            key.clone().with("changes", ""),
            ResumeKey::new("snapshot", "snap-1\n3:format=3:vhd"),
        ] {
            assert_ne!(key.digest(), other.digest(), "{other:?}");
        }
    }

    #[test]
    fn a_file_that_was_touched_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, "one").unwrap();
        let of = |path: &Path| ResumeKey::of_files([path]).unwrap().map(|key| key.digest());
        let first = of(&path);
        assert_eq!(of(&path), first);
        // As rsync does: other content, the old time.
        let times = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&path, "two").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
        assert_ne!(of(&path), first);
        assert_eq!(of(Path::new("/dev/null")), None);
    }
}
