//! The other files of an image, and the gate before them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use block::{Disk, Error, ErrorKind, Result};

use super::header::Reference;
use super::{Image, LAYER};
use crate::{Format, Layer};

/// Chains deeper than that are not followed. qemu-img users seldom have more than a handful.
const MAX_DEPTH: usize = 32;

/// Which other files an image may open. An image says what it likes: `/etc/shadow`, for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Backing {
    /// None.
    #[default]
    Deny,
    /// Those whose real path lies in this folder.
    AllowIn(PathBuf),
}

/// The chain being opened: what is allowed, and what has been opened.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    gate: &'a Backing,
    /// Device and inode of every image so far.
    seen: BTreeSet<(u64, u64)>,
    /// Every file that was opened.
    files: Vec<PathBuf>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(gate: &'a Backing) -> Self {
        Self { gate, seen: BTreeSet::new(), files: Vec::new() }
    }

    /// Every file that was opened so far.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Notes the image `path`.
    pub(super) fn enter(&mut self, path: &Path) -> Result<()> {
        let refused = |what: &'static str| Error::new(ErrorKind::Refused, LAYER, what).in_file(path);
        let found = std::fs::metadata(path).map_err(|e| Error::io(LAYER, "cannot stat", e).in_file(path))?;
        if !self.seen.insert((found.dev(), found.ino())) {
            return Err(Error::corrupt(LAYER, "the chain of backing files is a loop").in_file(path));
        }
        if self.seen.len() > MAX_DEPTH {
            return Err(refused("the chain of backing files is too long"));
        }
        self.files.push(path.to_owned());
        Ok(())
    }

    /// The real path of the file `name` that the image `from` names, if it may be opened.
    pub(super) fn admit(&mut self, from: &Path, role: &'static str, name: &OsStr) -> Result<PathBuf> {
        let shown = name.as_bytes().escape_ascii().to_string();
        let refused = |why: &str| {
            Error::new(ErrorKind::Refused, LAYER, format!("the {role} \"{shown}\" {why}")).in_file(from)
        };
        let Backing::AllowIn(folder) = self.gate else {
            return Err(refused("is not opened unless its folder is allowed"));
        };
        // As QEMU: what has a colon before its first slash is not a file but an address.
        let first = name.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
        if first.contains(&b':') {
            return Err(Error::unsupported(LAYER, format!("a {role} that is no plain file: \"{shown}\""))
                .in_file(from));
        }
        let real = |path: &Path| {
            let failed = |cause| Error::io(LAYER, format!("cannot find the {role}"), cause).in_file(path);
            path.canonicalize().map_err(failed)
        };
        let path = real(&from.parent().unwrap_or(Path::new("")).join(name))?;
        if path.starts_with(real(folder)?) {
            self.files.push(path.clone());
            Ok(path)
        } else {
            Err(refused("lies outside the allowed folder"))
        }
    }

    /// Opens the backing file that the image `from` names.
    pub(super) fn open(&mut self, from: &Path, reference: &Reference) -> Result<Opened> {
        let path = self.admit(from, "backing file", &reference.name)?;
        match reference.format.as_deref() {
            Some("qcow2") => {
                let image = Image::open_in(&path, self)?;
                let below = image.layers();
                Ok(Opened { path, disk: Disk::new(image), below })
            }
            Some(name) => {
                let Some(format) = Format::named(name) else {
                    let what = format!("a backing file of format {:?}", name.escape_default().to_string());
                    return Err(Error::unsupported(LAYER, what).in_file(from));
                };
                let (disk, _) = (format.open)(&path, &Backing::Deny)?;
                Ok(Opened { path, disk, below: Vec::new() })
            }
            // A guest can write a qcow2 header to its raw disk; so guessing would let it choose what is
            // opened next.
            None => {
                let what = "the image does not tell the format of its backing file; qemu-img rebase -u -b FILE -F \
                            FORMAT says it";
                Err(Error::new(ErrorKind::Refused, LAYER, what).in_file(from))
            }
        }
    }
}

/// A backing file that has been opened.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) disk: Disk,
    /// Its own layers, if it is a qcow2.
    pub(super) below: Vec<Layer>,
}
