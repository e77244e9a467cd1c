//! Changing a volume.

use std::sync::Arc;

use block::{DiskMut, Overlay};
use vfs::{Attributes, Editable, FileSystem, FsError, NodeId, Result, Timestamp, Transaction};
use zerocopy::{FromZeros, IntoBytes};

use crate::allocate::Writer;
use crate::boot_sector::{Place, SLOT};
use crate::directory::{Directory, Entry, SLOTS_MAX};
use crate::entry::{FREE, LongEntry, Role, ShortEntry};
use crate::name::{NewName, ShortName, UNITS_PER_ENTRY};
use crate::read::{ROOT, Volume};
use crate::{Fat, to_usize};

/// How many short names are tried for a long one.
const TRIES: u32 = 100_000;

/// How deep directories can be: no path is longer than 32 KiB.
const DEPTH_MAX: usize = 16 << 10;

/// A change on an overlay of the volume.
struct FatTransaction<'a> {
    target: &'a mut Fat,
    device: &'a DiskMut,
    overlay: Overlay,
    work: Fat,
    writer: Writer,
}

impl Editable for Fat {
    fn begin_on<'a>(&'a mut self, device: &'a DiskMut) -> Result<Box<dyn Transaction + 'a>> {
        let overlay = Overlay::new(device.disk())?;
        let volume = self.volume.clone().on(overlay.disk());
        let writer = Writer::new(overlay.writer());
        Ok(Box::new(FatTransaction { target: self, device, overlay, work: Fat { volume }, writer }))
    }
}

impl FatTransaction<'_> {
    fn volume(&self) -> &Volume {
        &self.work.volume
    }

    /// Puts an entry under a name that is new in the directory; gives the place of the entry.
    fn insert(&mut self, place: Place, name: NewName, mut entry: ShortEntry) -> Result<u64> {
        let mut directory = self.work.volume.take(place)?;
        let short = ShortName::from_long(&name.text);
        entry.set_name(free_short_name(&directory, &short, &name)?);
        let shown = entry.shown_name();
        let parts = if shown == name.text { 0 } else { name.units.len().div_ceil(UNITS_PER_ENTRY) };
        let first_slot = directory.room(parts.saturating_add(1));
        let slot = first_slot.saturating_add(parts);
        while directory.taken.len() <= slot {
            self.grow(&mut directory)?;
        }

        let checksum = entry.checksum();
        for (number, units) in (1..=parts).zip(name.units.chunks(UNITS_PER_ENTRY)) {
            let part = LongEntry::new(number, number == parts, units, checksum);
            self.write_slot(&directory, slot.saturating_sub(number), part.as_bytes())?;
        }
        self.write_slot(&directory, slot, entry.as_bytes())?;
        // What lies behind the end may be anything; the end must be there again.
        let behind = slot.saturating_add(1);
        if behind > directory.end && behind < directory.taken.len() {
            self.write_slot(&directory, behind, ShortEntry::new_zeroed().as_bytes())?;
        }
        let is_directory = entry.role() == Role::Directory;
        directory.insert(slot, Entry { name: name.text, short_name: shown, first_slot, is_directory });
        let place = directory.offset(self.volume(), slot)?;
        self.volume().keep(Arc::new(directory));
        Ok(place)
    }

    /// Takes an entry out of a directory; what it names is left alone.
    fn erase(&mut self, place: Place, slot: usize) -> Result<()> {
        let mut directory = self.work.volume.take(place)?;
        for slot in directory.remove(slot).into_iter().flatten() {
            let offset = directory.offset(self.volume(), slot)?;
            self.writer.device.write_at(&[FREE], offset)?;
        }
        self.volume().keep(Arc::new(directory));
        Ok(())
    }

    fn write_slot(&self, directory: &Directory, slot: usize, bytes: &[u8]) -> Result<()> {
        Ok(self.writer.device.write_at(bytes, directory.offset(self.volume(), slot)?)?)
    }

    /// Adds an empty cluster to a directory.
    fn grow(&mut self, directory: &mut Directory) -> Result<()> {
        let Some(last) = directory.clusters.last().copied() else {
            return Err(FsError::NoSpace("entries of the root directory"));
        };
        if directory.taken.len() >= SLOTS_MAX {
            return Err(FsError::NoSpace("entries of a directory"));
        }
        let added = self.writer.allocate(&self.work.volume, 1)?;
        self.writer.write(&self.work.volume, &added, &[])?;
        let slots = to_usize(self.volume().boot.cluster_bytes / SLOT);
        for cluster in added {
            self.writer.append(&self.work.volume, last, cluster)?;
            directory.clusters.push(cluster);
        }
        directory.taken.resize(directory.taken.len().saturating_add(slots), false);
        Ok(())
    }

    /// What a directory holds under a name: its slot, its node and its entry.
    fn find(&self, place: Place, name: &[u8]) -> Result<(usize, NodeId, ShortEntry)> {
        let name = std::str::from_utf8(name).map_err(|_| FsError::NotFound)?;
        let directory = self.volume().directory(place)?;
        let slot = directory.find(name).ok_or(FsError::NotFound)?;
        let node = self.volume().node(&directory, slot)?;
        Ok((slot, node, self.volume().entry(node)?.0))
    }

    /// Checks a name that must be new.
    fn new_name(&self, place: Place, name: &[u8]) -> Result<NewName> {
        let name = NewName::new(name)?;
        match self.volume().directory(place)?.find(&name.text) {
            Some(_) => Err(FsError::Exists),
            None => Ok(name),
        }
    }

    /// Puts content into new clusters, and tells the entry.
    fn fill(&mut self, entry: &mut ShortEntry, content: &[u8]) -> Result<()> {
        let Ok(size) = u32::try_from(content.len()) else {
            return Err(FsError::Invalid("a FAT file has at most 4 GiB - 1".into()));
        };
        let clusters = self.volume().boot.clusters_for(size.into());
        let chain = self.writer.allocate(&self.work.volume, clusters)?;
        self.writer.write(&self.work.volume, &chain, content)?;
        entry.set_first(chain.first().copied().unwrap_or(0));
        entry.size.set(size);
        Ok(())
    }

    /// Removes what a name leads to: a file, or an empty directory.
    fn remove(&mut self, place: Place, slot: usize, node: NodeId, entry: &ShortEntry) -> Result<()> {
        let first = self.volume().first(entry);
        if entry.role() == Role::Directory && !self.volume().take(Place::Chain(first))?.entries().is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.writer.free(&self.work.volume, first)?;
        self.erase(place, slot)?;
        let entry_place = self.volume().nodes.place_of(node);
        self.work.volume.nodes.remove(entry_place);
        Ok(())
    }

    /// Whether a directory is the one that begins at this cluster, or lies below it.
    fn is_below(&self, place: Place, ancestor: u32) -> Result<bool> {
        let mut place = place;
        // The ".." entries could lead in a circle.
        for _ in 0..DEPTH_MAX {
            match place {
                Place::Chain(first) if first == ancestor => return Ok(true),
                Place::Fixed => return Ok(false),
                Place::Chain(_) if place == self.volume().boot.root => return Ok(false),
                Place::Chain(first) => {
                    let parent = self.volume().entry_at(self.parent_offset(first))?;
                    place = match self.volume().first(&parent) {
                        0 => self.volume().boot.root,
                        first if parent.name == *PARENT && self.volume().boot.has(first) => {
                            Place::Chain(first)
                        }
                        _ => break,
                    };
                }
            }
        }
        Err(FsError::corrupt("directory", 0, "its \"..\" entries do not lead to the root"))
    }

    /// Where the ".." entry of a directory is: it is the second one.
    fn parent_offset(&self, first: u32) -> u64 {
        self.volume().boot.offset(first).saturating_add(SLOT)
    }

    /// What a ".." entry says of a parent: the root is 0, even where it has a cluster.
    fn as_parent(&self, place: Place) -> u32 {
        match place {
            Place::Chain(first) if place != self.volume().boot.root => first,
            _ => 0,
        }
    }
}

const SELF: &[u8; 11] = b".          ";
const PARENT: &[u8; 11] = b"..         ";

/// A short name that no entry of the directory has.
fn free_short_name(directory: &Directory, short: &ShortName, long: &NewName) -> Result<[u8; 11]> {
    let is_free = |name: &[u8; 11]| {
        let mut entry = ShortEntry::new_zeroed();
        entry.set_name(*name);
        directory.find(&entry.shown_name()).is_none()
    };
    let plain = short.lossless.then(|| short.bytes());
    let numbered = (1..TRIES).map(|number| short.numbered(number, &long.units));
    plain.into_iter().chain(numbered).find(is_free).ok_or(FsError::NoSpace("short names"))
}

fn no_xattrs() -> FsError {
    FsError::unsupported("extended attributes on FAT")
}

impl Transaction for FatTransaction<'_> {
    fn fs(&self) -> &dyn FileSystem {
        &self.work
    }

    /// Mode and owner are ignored.
    fn create(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        content: &[u8],
    ) -> Result<NodeId> {
        let place = self.volume().place(dir)?;
        let name = self.new_name(place, name)?;
        if !attributes.xattrs.is_empty() {
            return Err(no_xattrs());
        }
        let mut entry = ShortEntry::new(false, attributes.time);
        self.fill(&mut entry, content)?;
        let entry_place = self.insert(place, name, entry)?;
        Ok(self.work.volume.nodes.create(entry_place))
    }

    fn replace(&mut self, file: NodeId, content: &[u8], time: Timestamp) -> Result<()> {
        let not_regular = || FsError::Invalid("not a regular file".into());
        if file == ROOT {
            return Err(not_regular());
        }
        let (mut entry, place) = self.volume().entry(file)?;
        if entry.role() != Role::File {
            return Err(not_regular());
        }
        self.writer.free(&self.work.volume, self.work.volume.first(&entry))?;
        self.fill(&mut entry, content)?;
        entry.set_modified(time);
        Ok(self.writer.device.write_at(entry.as_bytes(), place)?)
    }

    /// Mode and owner are ignored.
    fn mkdir(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes) -> Result<NodeId> {
        let place = self.volume().place(dir)?;
        let name = self.new_name(place, name)?;
        if !attributes.xattrs.is_empty() {
            return Err(no_xattrs());
        }
        let mut entry = ShortEntry::new(true, attributes.time);
        let chain = self.writer.allocate(&self.work.volume, 1)?;
        entry.set_first(chain.first().copied().unwrap_or(0));
        let (mut own, mut parent) = (entry, entry);
        own.set_name(*SELF);
        parent.set_name(*PARENT);
        parent.set_first(self.as_parent(place));
        self.writer.write(&self.work.volume, &chain, &[own.as_bytes(), parent.as_bytes()].concat())?;
        let entry_place = self.insert(place, name, entry)?;
        Ok(self.work.volume.nodes.create(entry_place))
    }

    fn symlink(&mut self, _: NodeId, _: &[u8], _: &Attributes, _: &[u8]) -> Result<NodeId> {
        Err(FsError::unsupported("symbolic links on FAT"))
    }

    fn link(&mut self, _: NodeId, _: &[u8], _: NodeId) -> Result<()> {
        Err(FsError::unsupported("hard links on FAT"))
    }

    fn rename(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()> {
        let (from_place, to_place) = (self.volume().place(from_dir)?, self.volume().place(to_dir)?);
        let (_, node, entry) = self.find(from_place, from)?;
        let new = NewName::new(to)?;
        let first = self.volume().first(&entry);
        let is_directory = entry.role() == Role::Directory;
        if is_directory && self.is_below(to_place, first)? {
            return Err(FsError::Invalid("a directory cannot move into itself".into()));
        }
        match self.find(to_place, to) {
            // The same entry: the name may be spelt anew.
            Ok((_, there, _)) if there == node => {}
            Ok((slot, there, old)) => match (is_directory, old.role() == Role::Directory) {
                (true, false) => return Err(FsError::NotADirectory),
                (false, true) => return Err(FsError::IsADirectory),
                _ => self.remove(to_place, slot, there, &old)?,
            },
            Err(FsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let (slot, _, _) = self.find(from_place, from)?;
        let old_entry_place = self.volume().nodes.place_of(node);
        self.erase(from_place, slot)?;
        let entry_place = self.insert(to_place, new, entry)?;
        self.work.volume.nodes.moved(node, old_entry_place, entry_place);
        if is_directory && from_place != to_place {
            let offset = self.parent_offset(first);
            let mut parent = self.volume().entry_at(offset)?;
            parent.set_first(self.as_parent(to_place));
            self.writer.device.write_at(parent.as_bytes(), offset)?;
        }
        Ok(())
    }

    fn unlink(&mut self, dir: NodeId, name: &[u8]) -> Result<()> {
        let place = self.volume().place(dir)?;
        let (slot, node, entry) = self.find(place, name)?;
        self.remove(place, slot, node, &entry)
    }

    /// Accepted, and nothing is done: FAT has no owners.
    fn set_owner(&mut self, node: NodeId, _: u16, _: u32, _: u32) -> Result<()> {
        self.work.metadata(node).map(drop)
    }

    fn set_xattr(&mut self, _: NodeId, _: &[u8], _: Option<&[u8]>) -> Result<()> {
        Err(no_xattrs())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Self { target, device, overlay, work, writer } = *self;
        writer.finish(&work.volume)?;
        overlay.merge_into(device)?;
        target.volume = work.volume.on(device.disk());
        Ok(())
    }
}
