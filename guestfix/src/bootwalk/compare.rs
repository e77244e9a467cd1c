//! What changed in what boots: two states of a guest are checked, and all that either check looked at is compared, as
//! are the disks and volumes below.
//!
//! A walk ends where the boot would. So the guest is walked as it is and as it will be when all that can be mended is:
//! what lies behind a fault that is known counts, too.

mod layout;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libdisk::vfs::{FileType, Metadata};
use serde::Serialize;

use crate::facts::Machine;
use crate::place::{Evidence, Place};
use crate::plan::{check, text_diff};
use crate::report::Page;
use crate::rule::Goal;
use crate::unread::{Noting, distinct};
use crate::{Result, View};

/// What became of something that a boot reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not there.
    Added,
    /// It is another.
    Changed,
    /// It is there no more.
    Removed,
    /// It is as it was, and only the newer state boots by it.
    Used,
    /// It is as it was, and only the older state booted by it.
    Unused,
}

impl Change {
    /// What became of something; `None` if nothing did.
    pub fn between<T: PartialEq + ?Sized>(was: Option<&T>, is: Option<&T>) -> Option<Self> {
        match (was, is) {
            _ if was == is => None,
            (None, _) => Some(Self::Added),
            (_, None) => Some(Self::Removed),
            _ => Some(Self::Changed),
        }
    }

    /// "added".
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Used => "used",
            Self::Unused => "unused",
        }
    }
}

/// One thing that a boot reads, and what became of it.
#[derive(Debug, Clone)]
pub struct Difference {
    /// A file, a disk or volume, or bytes of a disk outside file systems.
    pub place: Place,
    /// What became of it.
    pub change: Change,
    /// Both states as a diff, where they are texts that may be shown.
    pub diff: Option<Page>,
}

/// What two states of a guest boot by.
#[derive(Debug, Clone)]
pub struct Compared {
    /// In the order of their places.
    pub differences: Vec<Difference>,
    /// What a walk looked at and could not read, in either state.
    pub unread: Vec<Evidence>,
    /// How many files, disks, volumes and places of disks were compared.
    pub compared: usize,
}

/// Compares two states of a guest by what a check looks at: files, links, presence, disks and volumes with what names
/// them, and bytes of the disks.
///
/// A file counts by the parts that were read of it, by its size, mode and owner; times are left out.
///
/// # Errors
/// As [`crate::plan::check`].
pub fn compare(old: &dyn View, new: &dyn View, goal: &Goal) -> Result<Compared> {
    let (was, mut unread) = reads(old, goal)?;
    let (is, more) = reads(new, goal)?;
    unread.extend(more);
    let (old_notes, new_notes) = (Noting::new(old), Noting::new(new));
    let both = Both { old: &old_notes, new: &new_notes };
    let (old_layout, new_layout) = (layout::of(old.machine()), layout::of(new.machine()));
    let places: BTreeSet<&Place> = old_layout.keys().chain(new_layout.keys()).collect();
    let mut differences = Vec::new();
    for &place in &places {
        let (a, b) = (old_layout.get(place), new_layout.get(place));
        let Some(change) = Change::between(a, b) else { continue };
        let diff = text_diff(&format!(" {place}"), a.map(String::as_bytes), b.map(String::as_bytes));
        differences.push(Difference { place: place.clone(), change, diff });
    }
    let paths: BTreeSet<&String> = was.files.keys().chain(is.files.keys()).collect();
    let bytes: BTreeSet<&Bytes> = was.bytes.union(&is.bytes).collect();
    for path in &paths {
        let (a, b) = (was.files.get(*path), is.files.get(*path));
        if let Some(change) = both.file(path, a, b)? {
            let diff = both.diff(path, change)?;
            differences.push(Difference { place: Place::file(path.as_str()), change, diff });
        }
    }
    for part in &bytes {
        if both.bytes(part)? {
            let place = Place::Disk { number: part.disk, offset: Some(part.offset) };
            differences.push(Difference { place, change: Change::Changed, diff: None });
        }
    }
    unread.extend([old_notes.take_unread(), new_notes.take_unread()].concat());
    Ok(Compared { differences, unread: distinct(unread), compared: places.len() + paths.len() + bytes.len() })
}

/// Walks over a state of a guest, and over what it is when it is mended; tells what was looked at, and what the first
/// walk could not read of that. (What else could not be read, comparing it will show.)
fn reads(view: &dyn View, goal: &Goal) -> Result<(Reads, Vec<Evidence>)> {
    let watched = Watched { view, reads: RefCell::default() };
    let unread = check(&watched, goal)?.unread;
    Ok((watched.reads.into_inner(), unread))
}

/// Bytes of a disk, outside file systems.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes {
    disk: u32,
    offset: u64,
    len: usize,
}

/// The parts of a file that were read; none if its presence alone was asked.
type Parts = BTreeSet<Part>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    All,
    Range(u64, usize),
}

/// What a walk looked at.
#[derive(Debug, Default)]
struct Reads {
    files: BTreeMap<String, Parts>,
    bytes: BTreeSet<Bytes>,
}

/// Two states of a guest.
struct Both<'a> {
    old: &'a Noting<'a>,
    new: &'a Noting<'a>,
}

impl Both<'_> {
    /// What became of a file of which the walks read these parts.
    fn file(&self, path: &str, was: Option<&Parts>, is: Option<&Parts>) -> Result<Option<Change>> {
        let (a, b) = (self.old.lstat(path)?, self.new.lstat(path)?);
        let (a, b) = match (a, b) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Ok(Some(Change::Added)),
            (Some(_), None) => return Ok(Some(Change::Removed)),
            (Some(a), Some(b)) => (a, b),
        };
        if told(&a) != told(&b) || self.old.read_link(path)? != self.new.read_link(path)? {
            return Ok(Some(Change::Changed));
        }
        for part in was.into_iter().chain(is).flatten() {
            let same = match *part {
                Part::All => self.old.read(path)? == self.new.read(path)?,
                Part::Range(offset, len) => {
                    self.old.range(path, offset, len)? == self.new.range(path, offset, len)?
                }
            };
            if !same {
                return Ok(Some(Change::Changed));
            }
        }
        // A path on the way to others tells nothing by itself.
        let is_read = |parts: Option<&Parts>| parts.is_some_and(|parts| !parts.is_empty());
        Ok(match (is_read(was), is_read(is)) {
            (false, true) => Some(Change::Used),
            (true, false) => Some(Change::Unused),
            _ => None,
        })
    }

    /// Both states of a file that is another, as text.
    fn diff(&self, path: &str, change: Change) -> Result<Option<Page>> {
        if matches!(change, Change::Used | Change::Unused) {
            return Ok(None);
        }
        let read = |view: &Noting<'_>| -> Result<Option<Arc<[u8]>>> {
            let metadata = view.lstat(path)?;
            let shows = metadata.is_some_and(|it| it.file_type == FileType::Regular && it.size <= SHOWN);
            if shows { view.read(path) } else { Ok(None) }
        };
        let (was, is) = (read(self.old)?, read(self.new)?);
        if was.is_none() && is.is_none() {
            return Ok(None);
        }
        // What is there and not shown is no empty text.
        let hidden =
            |view: &Noting<'_>, shown: bool| Ok::<_, crate::Error>(!shown && view.lstat(path)?.is_some());
        if hidden(self.old, was.is_some())? || hidden(self.new, is.is_some())? {
            return Ok(None);
        }
        Ok(text_diff(path, was.as_deref(), is.as_deref()))
    }

    /// Whether bytes of a disk are others, or can be read in one state alone.
    fn bytes(&self, part: &Bytes) -> Result<bool> {
        let Bytes { disk, offset, len } = *part;
        let Ok(index) = usize::try_from(disk) else { return Ok(false) };
        let read = |view: &Noting<'_>| -> Result<Option<Vec<u8>>> {
            let size = view.machine().sizes().nth(index).map(|(_, size)| size);
            let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
            match size.zip(end) {
                Some((size, end)) if end <= size => view.disk_bytes(index, offset, len).map(Some),
                _ => Ok(None),
            }
        };
        Ok(read(self.old)? != read(self.new)?)
    }
}

/// The largest file that is shown as a diff, in bytes.
const SHOWN: u64 = 256 << 10;

/// What counts of a node beside its content.
fn told(it: &Metadata) -> (FileType, u16, u32, u32, u64) {
    let size = if it.file_type == FileType::Regular { it.size } else { 0 };
    (it.file_type, it.mode, it.uid, it.gid, size)
}

/// A view that remembers what is looked at.
struct Watched<'a> {
    view: &'a dyn View,
    reads: RefCell<Reads>,
}

impl Watched<'_> {
    /// Remembers that a path was looked at, by its own name and, where parts of it are read, by the name of the
    /// file that links lead to.
    fn note(&self, path: &str, part: Option<Part>) -> Result<()> {
        let mut reads = self.reads.borrow_mut();
        reads.files.entry(path.to_owned()).or_default();
        if let Some(part) = part
            && let Some(path) = self.view.resolve(path)?
        {
            reads.files.entry(path).or_default().insert(part);
        }
        Ok(())
    }
}

impl View for Watched<'_> {
    fn below(&self) -> Option<&dyn View> {
        Some(self.view)
    }

    fn machine(&self) -> &Machine {
        self.view.machine()
    }

    fn lstat(&self, path: &str) -> Result<Option<Metadata>> {
        self.note(path, None)?;
        self.view.lstat(path)
    }

    fn stat(&self, path: &str) -> Result<Option<Metadata>> {
        self.note(path, None)?;
        self.view.stat(path)
    }

    fn resolve(&self, path: &str) -> Result<Option<String>> {
        self.view.resolve(path)
    }

    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>> {
        self.note(path, Some(Part::All))?;
        self.view.read(path)
    }

    fn range(&self, path: &str, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        self.note(path, Some(Part::Range(offset, len)))?;
        self.view.range(path, offset, len)
    }

    fn read_link(&self, path: &str) -> Result<Option<String>> {
        self.note(path, None)?;
        self.view.read_link(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        self.view.list(path)
    }

    fn xattrs(&self, path: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.view.xattrs(path)
    }

    fn disk_bytes(&self, disk: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        if let Ok(disk) = u32::try_from(disk) {
            self.reads.borrow_mut().bytes.insert(Bytes { disk, offset, len });
        }
        self.view.disk_bytes(disk, offset, len)
    }
}
