//! What this machine has begun in Azure and has to end: a file of one line each, so that what a kill leaves is
//! found.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::id::{DiskId, GroupId};

/// The name of a disk and the URL of a blob are no longer.
const MAX_RECORD: u64 = 4 << 10;

/// One thing that was begun about a disk. Files of one folder are told apart by their disk and their kind.
#[derive(Debug)]
pub struct Begun {
    path: PathBuf,
    id: DiskId,
}

impl Begun {
    /// The record in `state` of a kind of thing (its file's extension) that is begun about `id`.
    pub fn new(state: &Path, id: &DiskId, kind: &str) -> Self {
        let digest: String =
            Sha256::digest(id.to_string()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { path: state.join(format!("{}-{digest}.{kind}", id.name())), id: id.clone() }
    }

    /// Whether it was begun.
    pub fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Records that it is begun, and what there is to know of it: one line, with no secret in it.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn record(&self, what: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        writeln!(file, "{} {what}", self.id)?;
        file.sync_all()
    }

    /// Forgets it. That there is none is no error: another process may have ended the same.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// What is recorded of a kind about the disks of a group, by their names. What is no record is left out.
    pub fn all(state: &Path, group: &GroupId, kind: &str) -> Vec<(DiskId, String)> {
        let entries = fs::read_dir(state).into_iter().flatten().flatten().map(|entry| entry.path());
        let records = entries.filter(|path| path.extension() == Some(kind.as_ref()));
        let mut all: Vec<_> = records
            .filter_map(|path| {
                let text = read(&path).ok()?;
                let (id, what) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
                Some((id.parse::<DiskId>().ok()?, what.to_owned()))
            })
            .filter(|(id, _)| id.group == *group)
            .collect();
        all.sort_by_key(|(id, _)| id.to_string());
        all
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(fs::File::open(path)?, MAX_RECORD), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_found_by_its_group_and_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("azure");
        let group: GroupId = "01234567-89ab-cdef-0123-456789abcdef/rg".parse().unwrap();
        let id = |name: &str| format!("{group}/{name}").parse::<DiskId>().unwrap();
        let (disk, snapshot) = (id("a"), id("snapshots/a"));
        let other: DiskId = "01234567-89ab-cdef-0123-456789abcdef/other/a".parse().unwrap();
        assert!(Begun::all(&state, &group, "open").is_empty());
        for id in [&disk, &snapshot, &other] {
            Begun::new(&state, id, "open").record("").unwrap();
        }
        Begun::new(&state, &disk, "import").record("https://a.example/c/b c.vhd").unwrap();
        fs::write(state.join("x.open"), "no disk").unwrap();
        let found = |kind| Begun::all(&state, &group, kind);
        assert_eq!(found("open"), [(disk.clone(), String::new()), (snapshot.clone(), String::new())]);
        assert_eq!(found("import"), [(disk.clone(), "https://a.example/c/b c.vhd".to_owned())]);
        let record = Begun::new(&state, &disk, "open");
        assert!(record.is_there());
        record.forget().unwrap();
        record.forget().unwrap();
        assert!(!record.is_there());
        assert_eq!(found("open"), [(snapshot, String::new())]);
    }
}
