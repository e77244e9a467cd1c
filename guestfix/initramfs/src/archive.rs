//! An initramfs as a whole: its segments, and the tree that the kernel unpacks from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::Codec;
use crate::cpio::{Entry, Kind};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::modules::normalise;
use crate::segment::{self, Segment};

/// Bounds on what a hostile initramfs can make us do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes all segments together may unpack to.
    pub unpacked: u64,
    /// Bytes a segment may unpack to however small it is.
    pub unpacked_always: u64,
    /// A larger one may unpack to this many times its size.
    pub ratio: u64,
    /// Records in all segments together.
    pub entries: usize,
    /// Segments.
    pub segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unpacked: 512 << 20, unpacked_always: 64 << 20, ratio: 32, entries: 100_000, segments: 64 }
    }
}

/// The symbolic links followed on the way to one file, as in the kernel (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// The components of a path. Real ones have fewer than 20; the bound keeps every look-up cheap.
const MAX_DEPTH: usize = 64;

/// A parsed initramfs. Borrows the bytes it was parsed from.
#[derive(Debug)]
pub struct Archive<'a> {
    pub(crate) bytes: &'a [u8],
    segments: Vec<Segment<'a>>,
    /// What the kernel ends up with: resolved path to (segment, record); the root is the empty path.
    tree: BTreeMap<String, Option<(usize, usize)>>,
    /// Paths at which a directory replaced something that was not one.
    replaced: Vec<String>,
}

/// A file of the unpacked tree.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// The record that made it.
    pub entry: &'a Entry,
    /// The number of the segment it came from.
    pub segment: usize,
    archive: &'a Archive<'a>,
}

impl<'a> File<'a> {
    /// Its content, or a symbolic link's target. Large ones are unpacked when they are first asked for.
    ///
    /// # Errors
    /// `TooLarge` if it is not held in memory.
    pub fn data(&self) -> Result<&'a [u8]> {
        self.archive.data(self.segment, self.entry)
    }
}

impl<'a> Archive<'a> {
    /// Splits and unpacks `bytes`, within `limits`; what is large is not kept. An unknown format is refused
    /// by name and offset.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let segments = segment::split(bytes, limits)?;
        if segments.is_empty() {
            return Err(Error::malformed("initramfs", 0, "it is empty"));
        }
        let mut archive = Self { bytes, segments, tree: BTreeMap::new(), replaced: Vec::new() };
        // What the kernel has made before it unpacks: usr/default_cpio_list.
        archive.tree.extend(["", "dev", "root"].map(|path| (path.to_owned(), None)));
        for segment in 0..archive.segments.len() {
            for entry in 0..archive.segment(segment).map_or(0, |segment| segment.entries.len()) {
                archive.unpack(segment, entry);
            }
        }
        Ok(archive)
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// The program that built it.
    #[must_use]
    pub fn generator(&self) -> Generator {
        Generator::of(self)
    }

    /// Is there an `/init` for the kernel to run?
    #[must_use]
    pub fn has_init(&self) -> bool {
        // It may link to a program outside the tree's own view; that it is there is what counts.
        self.tree.contains_key("init")
    }

    /// The file at `path`, symbolic links followed. No leading slash.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<File<'_>> {
        self.resolve(path).and_then(|path| self.at(&path))
    }

    /// The releases of the kernels it has a module directory for.
    #[must_use]
    pub fn kernels(&self) -> Vec<String> {
        let mut kernels = BTreeSet::new();
        for root in ["lib/modules", "usr/lib/modules"] {
            let Some(root) = self.resolve(root) else { continue };
            let names = self.below(&root).filter(|(_, name)| !name.contains('/'));
            kernels
                .extend(names.filter(|(path, _)| self.is_directory(path)).map(|(_, name)| name.to_owned()));
        }
        kernels.into_iter().collect()
    }

    /// The module directory of a kernel, symbolic links resolved: `usr/lib/modules/<kver>` or
    /// `lib/modules/<kver>`. It is also where the directory belongs if there is none yet.
    #[must_use]
    pub fn module_dir(&self, kver: &str) -> String {
        let candidates = ["lib/modules", "usr/lib/modules", "lib", "usr/lib"];
        for (prefix, rest) in candidates.iter().zip(["", "", "/modules", "/modules"]) {
            let Some(resolved) = self.resolve(prefix) else { continue };
            if rest.is_empty() && !self.tree.contains_key(&format!("{resolved}/{kver}")) {
                continue;
            }
            return format!("{resolved}{rest}/{kver}");
        }
        format!("lib/modules/{kver}")
    }

    /// The module files of a kernel: name (with `_`) and path below [`module_dir`](Self::module_dir).
    #[must_use]
    pub fn modules(&self, kver: &str) -> BTreeMap<String, String> {
        self.below(&self.module_dir(kver))
            .filter(|(_, path)| crate::closure::is_module(path))
            .map(|(_, path)| (normalise(path), path.to_owned()))
            .collect()
    }

    /// Paths at which a directory record took the place of something else, as it does with a `lib -> usr/lib`
    /// link.
    pub(crate) fn replaced(&self) -> &[String] {
        &self.replaced
    }

    /// Does anything exist at this path, itself, links not followed?
    pub(crate) fn exists(&self, resolved: &str) -> bool {
        self.tree.contains_key(resolved)
    }

    pub(crate) fn is_directory(&self, resolved: &str) -> bool {
        match self.tree.get(resolved) {
            Some(None) => true,
            Some(Some(place)) => self.entry(*place).is_some_and(|entry| entry.kind == Kind::Directory),
            None => false,
        }
    }

    fn segment(&self, index: usize) -> Option<&Segment<'a>> {
        self.segments.get(index)
    }

    fn entry(&self, (segment, entry): (usize, usize)) -> Option<&Entry> {
        self.segment(segment)?.entries.get(entry)
    }

    /// What is at a resolved path.
    fn at(&self, resolved: &str) -> Option<File<'_>> {
        let place = (*self.tree.get(resolved)?)?;
        let entry = self.entry(place)?;
        Some(File { entry, segment: place.0, archive: self })
    }

    /// A record's content.
    fn data<'s>(&'s self, segment: usize, entry: &'s Entry) -> Result<&'s [u8]> {
        let Some(segment) = self.segment(segment) else { return Ok(&[]) };
        segment.content(self.carrier(segment, entry))
    }

    /// The record with the content: of a set of hard links any one may carry it.
    fn carrier<'s>(&'s self, segment: &'s Segment<'a>, entry: &'s Entry) -> &'s Entry {
        if !entry.data.is_empty() || entry.kind != Kind::File || entry.nlink <= 1 {
            return entry;
        }
        let mut links = segment.entries.iter().filter(|other| other.inode == entry.inode);
        links.find(|other| !other.data.is_empty()).unwrap_or(entry)
    }

    /// Gets the contents of the files at these paths ready, in one pass over each segment; those that are not
    /// there are left out.
    ///
    /// # Errors
    /// `TooLarge` if they are not held in memory together.
    pub fn load<'p>(&self, paths: impl Iterator<Item = &'p str>) -> Result<()> {
        let mut wanted: BTreeMap<usize, Vec<&Entry>> = BTreeMap::new();
        for file in paths.filter_map(|path| self.find(path)) {
            let Some(segment) = self.segment(file.segment) else { continue };
            wanted.entry(file.segment).or_default().push(self.carrier(segment, file.entry));
        }
        wanted.into_iter().try_for_each(|(segment, entries)| {
            self.segment(segment).map_or(Ok(()), |segment| segment.load(&entries))
        })
    }

    /// All paths below a resolved directory: in full, and relative to it.
    fn below(&self, directory: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{directory}/");
        let len = prefix.len();
        self.tree
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .filter_map(move |(path, _)| Some((path.as_str(), path.get(len..)?)))
    }

    /// The path with all symbolic links followed, if it exists.
    pub(crate) fn resolve(&self, path: &str) -> Option<String> {
        let mut resolved: Vec<String> = Vec::new();
        let mut todo: Vec<String> = components(path);
        let mut links = 0_usize;
        while let Some(part) = todo.pop() {
            if part == ".." {
                resolved.pop();
                continue;
            }
            resolved.push(part);
            if resolved.len() > MAX_DEPTH || todo.len() > MAX_DEPTH {
                return None;
            }
            let place = self.tree.get(&resolved.join("/"))?;
            let Some((place, entry)) = place.and_then(|place| Some((place, self.entry(place)?))) else {
                continue;
            };
            if entry.kind == Kind::Symlink {
                links = links.saturating_add(1);
                if links > MAX_LINKS {
                    return None;
                }
                // One that is too long to be kept leads nowhere, in the kernel too.
                let target = match self.segment(place.0)? {
                    segment if segment.codec == Codec::None => self.data(place.0, entry).ok()?,
                    _ => entry.content.get()?,
                };
                let target = String::from_utf8_lossy(target).into_owned();
                if target.starts_with('/') {
                    resolved.clear();
                } else {
                    resolved.pop();
                }
                todo.extend(components(&target));
            }
        }
        Some(resolved.join("/"))
    }

    /// Does with one record what the kernel does (`init/initramfs.c`): a parent that is not there makes it
    /// vanish, and something of another type in its place is removed first, unless that is a directory
    /// with content.
    fn unpack(&mut self, segment: usize, index: usize) {
        let Some(entry) = self.entry((segment, index)) else { return };
        let (kind, path) = (entry.kind, entry.path.clone());
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        // The keys of the tree are resolved, so most parents need no walk.
        let known = self.is_directory(parent).then(|| parent.to_owned());
        let parent = known.or_else(|| self.resolve(parent)).filter(|parent| self.is_directory(parent));
        let Some(parent) = parent.filter(|_| !name.is_empty()) else { return };
        let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
        if self.tree.contains_key(&path) {
            let was_directory = self.is_directory(&path);
            if was_directory && kind != Kind::Directory && self.below(&path).next().is_some() {
                return;
            }
            if !was_directory && kind == Kind::Directory {
                self.replaced.push(path.clone());
            }
        }
        self.tree.insert(path, Some((segment, index)));
    }
}

/// The components of a path, last first.
fn components(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}
