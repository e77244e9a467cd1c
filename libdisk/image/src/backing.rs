//! The other files of an image, and the gate before them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use block::{Disk, Error, ErrorKind, Observer, Result, Silent};

use crate::{Format, Layer, Layered};

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

/// Another file that an image names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: OsString,
    /// The format, if the image tells.
    pub(crate) format: Option<String>,
}

/// The chain being opened: what is allowed, and what has been opened.
pub(crate) struct Chain<'a> {
    gate: &'a Backing,
    /// Who watches where opening takes long.
    observer: &'a dyn Observer,
    /// Device and inode of every image so far.
    seen: BTreeSet<(u64, u64)>,
    /// Every file that was opened.
    files: Vec<PathBuf>,
}

impl<'a> Chain<'a> {
    /// A chain that nobody watches: for formats that are opened at once.
    pub(crate) fn new(gate: &'a Backing) -> Self {
        Self::watched(gate, &Silent)
    }

    pub(crate) fn watched(gate: &'a Backing, observer: &'a dyn Observer) -> Self {
        Self { gate, observer, seen: BTreeSet::new(), files: Vec::new() }
    }

    pub(crate) fn observer(&self) -> &'a dyn Observer {
        self.observer
    }

    /// Every file that was opened.
    pub(crate) fn into_files(self) -> Vec<PathBuf> {
        self.files
    }

    /// The folder whose files may be opened, if there is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self.gate {
            Backing::Deny => None,
            Backing::AllowIn(folder) => Some(folder),
        }
    }

    /// Notes the image `path` of the format `layer`.
    pub(crate) fn enter(&mut self, layer: &'static str, path: &Path) -> Result<()> {
        let refused = |what: &'static str| Error::new(ErrorKind::Refused, layer, what).in_file(path);
        let found = std::fs::metadata(path).map_err(|e| Error::io(layer, "cannot stat", e).in_file(path))?;
        if !self.seen.insert((found.dev(), found.ino())) {
            return Err(Error::corrupt(layer, "the chain of backing files is a loop").in_file(path));
        }
        if self.seen.len() > MAX_DEPTH {
            return Err(refused("the chain of backing files is too long"));
        }
        self.note(path);
        Ok(())
    }

    fn note(&mut self, path: &Path) {
        if !self.files.iter().any(|known| known == path) {
            self.files.push(path.to_owned());
        }
    }

    /// The real path of the file `name` that the image `from` of the format `layer` names as its `role`, if it
    /// may be opened.
    pub(crate) fn admit(
        &mut self,
        layer: &'static str,
        from: &Path,
        role: &'static str,
        name: &OsStr,
    ) -> Result<PathBuf> {
        let shown = name.as_bytes().escape_ascii().to_string();
        let refused = |why: &str| {
            Error::new(ErrorKind::Refused, layer, format!("the {role} \"{shown}\" {why}")).in_file(from)
        };
        let Backing::AllowIn(folder) = self.gate else {
            return Err(refused("is not opened unless its folder is allowed"));
        };
        // As QEMU: what has a colon before its first slash is not a file but an address.
        let first = name.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
        if first.contains(&b':') {
            return Err(Error::unsupported(layer, format!("a {role} that is no plain file: \"{shown}\""))
                .in_file(from));
        }
        let real = |path: &Path| {
            let failed = |cause| Error::io(layer, format!("cannot find the {role}"), cause).in_file(path);
            path.canonicalize().map_err(failed)
        };
        let path = real(&from.parent().unwrap_or(Path::new("")).join(name))?;
        if path.starts_with(real(folder)?) {
            self.note(&path);
            Ok(path)
        } else {
            Err(refused("lies outside the allowed folder"))
        }
    }

    /// Opens the backing file that the image `from` of the format `layer` names.
    pub(crate) fn open(&mut self, layer: &'static str, from: &Path, reference: &Reference) -> Result<Opened> {
        let path = self.admit(layer, from, "backing file", &reference.name)?;
        // A guest can write a qcow2 header to its raw disk; so guessing would let it choose what is opened
        // next.
        let Some(name) = reference.format.as_deref() else {
            let what = "the image does not tell the format of its backing file; qemu-img rebase -u -b FILE -F \
                        FORMAT says it";
            return Err(Error::new(ErrorKind::Refused, layer, what).in_file(from));
        };
        let Some(format) = Format::named(name) else {
            let what = format!("a backing file of format {:?}", name.escape_default().to_string());
            return Err(Error::unsupported(layer, what).in_file(from));
        };
        let (disk, below) = format.open_in(&path, self)?;
        Ok(Opened { path, disk, below })
    }
}

/// A backing file that has been opened.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) disk: Disk,
    /// Its own layers.
    pub(crate) below: Vec<Layer>,
}

impl Opened {
    /// Its layers, and the step to the image above it.
    pub(crate) fn into_layers(self) -> Layered {
        let Self { path, disk, below: mut layers } = self;
        // That it is raw says nothing that its path does not.
        layers.retain(|layer| !layer.text.is_empty());
        let text = format!("{}, disk of {} bytes", block::shown(&path), disk.size());
        layers.push(Layer { name: "backing file", text });
        (disk, layers)
    }
}
