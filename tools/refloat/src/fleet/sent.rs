//! What was sent so far, in objects: whoever goes on finds it on any machine.
//!
//! `migrate` keeps its records in a folder, see `REFLOAT_STATE`. A file of it is as many objects as it has pieces, by
//! their numbers: a record that grows is written again from its last piece on. A piece of zeros is no object. Files
//! check themselves, so it does no harm that a kill may leave one of them newer than another.
//!
//! A record is put as soon as it begins, for a blob that has something and no record is taken for somebody else's. What a
//! kill leaves before it is put is found by the next task on the same machine: a record only grows, so the one there that
//! goes on from what was put is the newer one.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use libdisk::cloud::objects::Objects;
use sha2::{Digest, Sha256};

use super::store::Kept;
use crate::name;

/// What is one object, in bytes.
const PIECE: u64 = 8 << 20;

/// How long a change waits at most.
const EVERY: Duration = Duration::from_secs(2);

type Sum = [u8; 32];

/// What is known to be there of a file.
#[derive(Debug, Default)]
struct Known {
    /// What it was like when it was last looked at.
    seen: Option<(u64, SystemTime)>,
    /// Its pieces that are there.
    pieces: BTreeMap<u64, Sum>,
}

/// The folder of one machine.
#[derive(Debug)]
pub(super) struct Sent {
    objects: Arc<Objects>,
    /// What all keys begin with, and a slash.
    below: String,
    folder: PathBuf,
    kept: Instant,
    files: BTreeMap<PathBuf, Known>,
}

/// The file and the number of its piece that a key behind the common part stands for. Keys are not ours alone: none
/// leaves the folder.
fn piece_of(rest: &str) -> Option<(PathBuf, u64)> {
    let (file, number) = rest.rsplit_once('/')?;
    let number = number.parse().ok().filter(|number: &u64| number.checked_mul(PIECE).is_some())?;
    let file = PathBuf::from(file);
    let inside = file.components().all(|part| matches!(part, Component::Normal(_)));
    (inside && !file.as_os_str().is_empty()).then_some((file, number))
}

impl Sent {
    /// The folder as it was kept last, in one of this machine; what that has, if it goes on from there.
    pub(super) fn fetch(objects: &Arc<Objects>, key: &str, folder: PathBuf) -> Result<Self> {
        let (objects, below) = (Arc::clone(objects), format!("{key}/"));
        let mut sent = Self { objects, below, folder, kept: Instant::now(), files: BTreeMap::new() };
        let keys = sent.objects.list(&sent.below)?;
        let piece = |key: String| {
            let (file, number) = key.strip_prefix(&sent.below).and_then(piece_of)?;
            Some((key, file, number))
        };
        let pieces: Vec<_> = keys.into_iter().filter_map(piece).collect();
        if sent.goes_on_from(&pieces)? {
            for (_, file, number) in pieces {
                // All of it is put again, and what is too much goes.
                sent.files.entry(file).or_default().pieces.insert(number, Sum::default());
            }
            return Ok(sent);
        }
        if !pieces.is_empty() {
            let emptied = fs::remove_dir_all(&sent.folder)
                .and_then(|()| DirBuilder::new().mode(0o700).create(&sent.folder));
            emptied.with_context(|| format!("{}: cannot be emptied", name::shown(&sent.folder)))?;
        }
        for (key, file, number) in pieces {
            let Some(object) = sent.objects.get(&key)? else { continue };
            let sum: Sum = Sha256::digest(&object.bytes).into();
            sent.put_back(&file, number, &object.bytes)?;
            sent.files.entry(file).or_default().pieces.insert(number, sum);
        }
        Ok(sent)
    }

    /// Whether the folder has records, each of which begins with what was put of it. One that was begun anew elsewhere may
    /// be taken for that: `migrate` looks for what it says in the blob, and sends again what is not there.
    fn goes_on_from(&self, pieces: &[(String, PathBuf, u64)]) -> Result<bool> {
        let mut names = Vec::new();
        let found = files(&self.folder, Path::new(""), &mut names);
        found.with_context(|| format!("{}: cannot be read", name::shown(&self.folder)))?;
        if !names.iter().any(|name| is_record(name)) {
            return Ok(false);
        }
        for (key, file, number) in pieces.iter().filter(|(_, file, _)| is_record(file)) {
            let Some(object) = self.objects.get(key)? else { continue };
            let mut here = vec![0; object.bytes.len()];
            let read = File::open(self.folder.join(file))
                .and_then(|file| file.read_exact_at(&mut here, number.saturating_mul(PIECE)));
            if read.is_err() || here != object.bytes {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put_back(&self, file: &Path, number: u64, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(file);
        let write = || {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            file.write_all_at(bytes, number.saturating_mul(PIECE))
        };
        write().with_context(|| format!("{}: cannot be written", name::shown(&path)))
    }

    fn key(&self, file: &Path, number: u64) -> Result<String> {
        let file = file.to_str().ok_or_else(|| anyhow!("{} is no UTF-8", name::shown(file)))?;
        Ok(format!("{}{file}/{number:06}", self.below))
    }

    fn remove(&self, file: &Path, known: &mut Known, from: u64) -> Result<()> {
        // From the end on: what a kill leaves is the beginning of a record.
        while let Some((&number, _)) = known.pieces.range(from..).next_back() {
            self.objects.delete(&self.key(file, number)?)?;
            known.pieces.remove(&number);
        }
        Ok(())
    }

    /// Puts the pieces of a file that have changed.
    fn keep_file(&self, name: &Path, known: &mut Known, goes_on: &mut dyn FnMut() -> bool) -> Result<()> {
        let path = self.folder.join(name);
        let failed = || format!("{}: cannot be read", name::shown(&path));
        let file = match File::open(&path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return self.remove(name, known, 0),
            file => file.with_context(failed)?,
        };
        let metadata = file.metadata().with_context(failed)?;
        let seen = (metadata.len(), metadata.modified().with_context(failed)?);
        if known.seen == Some(seen) {
            return Ok(());
        }
        let count = seen.0.div_ceil(PIECE);
        self.remove(name, known, count)?;
        let mut rest = file.take(seen.0);
        for number in 0..count {
            if !goes_on() {
                return Ok(());
            }
            let mut bytes = Vec::new();
            (&mut rest).take(PIECE).read_to_end(&mut bytes).with_context(failed)?;
            let sum: Sum = Sha256::digest(&bytes).into();
            if known.pieces.get(&number) == Some(&sum) {
                continue;
            }
            let key = self.key(name, number)?;
            // The last one says how long the file is.
            if number + 1 < count && bytes.iter().all(|byte| *byte == 0) {
                if known.pieces.remove(&number).is_some() {
                    self.objects.delete(&key)?;
                }
            } else {
                self.objects.put(&key, &bytes)?;
                known.pieces.insert(number, sum);
            }
        }
        known.seen = Some(seen);
        Ok(())
    }
}

/// Whether a file is the record of a transfer, which says what the others are about.
fn is_record(name: &Path) -> bool {
    name.extension().is_some_and(|extension| extension == "transfer")
}

/// All files below a folder, by their names in it.
fn files(folder: &Path, within: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder.join(within))? {
        let entry = entry?;
        let name = within.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files(folder, &name, found)?;
        } else {
            found.push(name);
        }
    }
    Ok(())
}

impl Kept for Sent {
    fn path(&self) -> &Path {
        &self.folder
    }

    fn is_due(&self) -> bool {
        let is_new = |file: &PathBuf| {
            let known = self.files.get(file).is_some_and(|known| !known.pieces.is_empty());
            !known && fs::metadata(self.folder.join(file)).is_ok_and(|found| found.len() > 0)
        };
        let mut names = Vec::new();
        // What cannot be read now is told when it is kept.
        self.kept.elapsed() >= EVERY
            || (files(&self.folder, Path::new(""), &mut names).is_ok() && names.iter().any(is_new))
    }

    fn keep(&mut self, goes_on: &mut dyn FnMut() -> bool) -> Result<()> {
        self.kept = Instant::now();
        let mut names: Vec<PathBuf> = self.files.keys().cloned().collect();
        files(&self.folder, Path::new(""), &mut names)
            .with_context(|| format!("{}: cannot be read", name::shown(&self.folder)))?;
        // Records first: without one what is in a blob is somebody else's.
        names.sort_by(|a, b| is_record(b).cmp(&is_record(a)).then_with(|| a.cmp(b)));
        names.dedup();
        for name in names {
            let mut known = self.files.remove(&name).unwrap_or_default();
            let kept = self.keep_file(&name, &mut known, goes_on);
            if kept.is_err() || !known.pieces.is_empty() || known.seen.is_some() {
                self.files.insert(name, known);
            }
            kept?;
        }
        Ok(())
    }
}
