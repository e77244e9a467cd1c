//! A directory: a row of slots, and the names in it.

use std::collections::BTreeMap;

use vfs::{FsError, Result};
use zerocopy::FromBytes;

use crate::boot_sector::{Place, SLOT};
use crate::entry::{LongEntry, Role, ShortEntry};
use crate::name::{UNITS_PER_ENTRY, folded, from_units};
use crate::read::Volume;
use crate::to_usize;

/// A directory has at most so many slots (FAT spec: 2 MiB).
pub(crate) const SLOTS_MAX: usize = 65_536;

/// A directory as it is on the volume.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) place: Place,
    /// All clusters of a chain; none for the fixed root.
    pub(crate) clusters: Vec<u32>,
    /// For each slot whether it is in use.
    pub(crate) taken: Vec<bool>,
    /// The first slot that was never used; those behind it may hold anything.
    pub(crate) end: usize,
    /// By the slot of the short entry.
    entries: BTreeMap<usize, Entry>,
    /// Folded long and short names.
    by_name: BTreeMap<String, usize>,
    /// Where the volume label is, in the root directory.
    pub(crate) label: Option<usize>,
}

/// A name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// What a lookup finds, too.
    pub(crate) short_name: String,
    /// The first of its slots; the last one holds the short entry.
    pub(crate) first_slot: usize,
    pub(crate) is_directory: bool,
}

impl Directory {
    /// Reads a directory.
    pub(crate) fn read(volume: &Volume, place: Place) -> Result<Self> {
        let mut clusters = Vec::new();
        let mut bytes = Vec::new();
        match place {
            Place::Fixed => {
                let root = &volume.boot.fixed_root;
                bytes = volume.disk.read_vec(root.start, to_usize(root.end.saturating_sub(root.start)))?;
            }
            Place::Chain(first) => {
                let slots_per_cluster = to_usize(volume.boot.cluster_bytes / SLOT).max(1);
                clusters = volume.chain(first, SLOTS_MAX.div_ceil(slots_per_cluster))?;
                for cluster in &clusters {
                    let len = to_usize(volume.boot.cluster_bytes);
                    bytes.extend(volume.disk.read_vec(volume.boot.offset(*cluster), len)?);
                }
            }
        }
        let slots = bytes.chunks_exact(to_usize(SLOT)).len();
        let mut directory = Self {
            place,
            clusters,
            taken: vec![false; slots],
            end: slots,
            entries: BTreeMap::new(),
            by_name: BTreeMap::new(),
            label: None,
        };
        directory.parse(&bytes, volume);
        Ok(directory)
    }

    fn parse(&mut self, bytes: &[u8], volume: &Volume) {
        let mut long = LongName::default();
        for (slot, bytes) in bytes.chunks_exact(to_usize(SLOT)).enumerate() {
            let Ok(entry) = ShortEntry::read_from_bytes(bytes) else { continue };
            let role = entry.role();
            match role {
                Role::NeverUsed => {
                    self.end = slot;
                    return;
                }
                Role::LongName => {
                    if let Ok(part) = LongEntry::read_from_bytes(bytes) {
                        long.add(slot, &part);
                    }
                }
                Role::Free => long = LongName::default(),
                Role::Label => {
                    long = LongName::default();
                    if self.place == volume.boot.root && self.label.is_none() {
                        self.label = Some(slot);
                    }
                }
                Role::File | Role::Directory => {
                    let (name, first_slot) = match std::mem::take(&mut long).finish(&entry) {
                        Some((name, first_slot)) => (name, first_slot),
                        None => (entry.shown_name(), slot),
                    };
                    // "." and ".." are names on the volume only.
                    if !matches!(entry.shown_name().as_str(), "." | ".." | "") {
                        let is_directory = role == Role::Directory;
                        self.insert(
                            slot,
                            Entry { name, short_name: entry.shown_name(), first_slot, is_directory },
                        );
                    }
                }
            }
            if role != Role::Free
                && let Some(taken) = self.taken.get_mut(slot)
            {
                *taken = true;
            }
        }
    }

    /// Notes a name whose entries are written already.
    pub(crate) fn insert(&mut self, slot: usize, entry: Entry) {
        if let Some(taken) = self.taken.get_mut(entry.first_slot..=slot) {
            taken.fill(true);
        }
        self.end = self.end.max(slot.saturating_add(1));
        for name in [&entry.name, &entry.short_name] {
            self.by_name.entry(folded(name)).or_insert(slot);
        }
        self.entries.insert(slot, entry);
    }

    /// Forgets a name; gives its slots.
    pub(crate) fn remove(&mut self, slot: usize) -> Option<std::ops::RangeInclusive<usize>> {
        let entry = self.entries.remove(&slot)?;
        for name in [&entry.name, &entry.short_name] {
            let key = folded(name);
            if self.by_name.get(&key) == Some(&slot) {
                self.by_name.remove(&key);
            }
        }
        let slots = entry.first_slot..=slot;
        if let Some(taken) = self.taken.get_mut(slots.clone()) {
            taken.fill(false);
        }
        Some(slots)
    }

    /// The slot of the short entry that a name leads to.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(&folded(name)).copied()
    }

    /// All names, by the slot of their short entry.
    pub(crate) fn entries(&self) -> &BTreeMap<usize, Entry> {
        &self.entries
    }

    /// The first of `count` slots in a row that can be used: free ones, or never used ones, where the
    /// directory may have to grow for the last of them.
    pub(crate) fn room(&self, count: usize) -> usize {
        let mut start = 0;
        for (slot, taken) in self.taken.iter().enumerate() {
            if *taken {
                start = slot.saturating_add(1);
            } else if slot.saturating_sub(start).saturating_add(1) == count {
                break;
            }
        }
        start
    }

    /// Where a slot is on the volume.
    pub(crate) fn offset(&self, volume: &Volume, slot: usize) -> Result<u64> {
        let bytes = u64::try_from(slot).unwrap_or(u64::MAX).saturating_mul(SLOT);
        let outside = || FsError::corrupt("directory", bytes, "a slot outside of it");
        match self.place {
            Place::Fixed => Ok(volume.boot.fixed_root.start.saturating_add(bytes)),
            Place::Chain(_) => {
                let index = bytes.checked_div(volume.boot.cluster_bytes).ok_or_else(outside)?;
                let within = bytes.checked_rem(volume.boot.cluster_bytes).ok_or_else(outside)?;
                let cluster = self.clusters.get(to_usize(index)).ok_or_else(outside)?;
                Ok(volume.boot.offset(*cluster).saturating_add(within))
            }
        }
    }
}

/// A long name of which the parts are being read.
#[derive(Debug, Default)]
struct LongName {
    first_slot: usize,
    /// The number of the part that must come next, counting down; 0 when the short entry must.
    missing: u8,
    checksum: u8,
    /// The parts in the order in which they were read: the last one first.
    parts: Vec<[u16; UNITS_PER_ENTRY]>,
}

impl LongName {
    fn add(&mut self, slot: usize, part: &LongEntry) {
        let number = part.ordinal & 0x3F;
        let last = part.ordinal & 0x40 != 0;
        if last && (1..=20).contains(&number) {
            *self = Self { first_slot: slot, missing: number, checksum: part.checksum, parts: Vec::new() };
        }
        if self.missing == 0 || self.missing != number || part.checksum != self.checksum {
            *self = Self::default();
            return;
        }
        let mut units = [0; UNITS_PER_ENTRY];
        units.iter_mut().zip(part.units()).for_each(|(to, from)| *to = from);
        self.parts.push(units);
        self.missing = self.missing.saturating_sub(1);
    }

    /// The name and its first slot, if it is whole and belongs to this entry.
    fn finish(self, entry: &ShortEntry) -> Option<(String, usize)> {
        if self.parts.is_empty() || self.missing != 0 || self.checksum != entry.checksum() {
            return None;
        }
        let units: Vec<u16> = self.parts.iter().rev().flatten().copied().collect();
        Some((from_units(&units)?, self.first_slot))
    }
}
