//! A volume: its records, and what is in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use block::Disk;
use vfs::bytes::{index, wide};
use vfs::{FsError, Result};

use crate::attribute::{Attribute, Body, kind};
use crate::attribute_list::{self, Listed};
use crate::boot_sector::BootSector;
use crate::index::DOS;
use crate::record::{Record, Reference};
use crate::stream::Stream;

/// Records with their own tasks.
pub(crate) mod system {
    pub(crate) const MFT: u64 = 0;
    pub(crate) const MFT_MIRROR: u64 = 1;
    pub(crate) const LOG_FILE: u64 = 2;
    pub(crate) const VOLUME: u64 = 3;
    pub(crate) const ROOT: u64 = 5;
    pub(crate) const BITMAP: u64 = 6;
    pub(crate) const UP_CASE: u64 = 10;
    /// The directory of further files of the volume's own.
    pub(crate) const EXTEND: u64 = 11;
    /// Those below are the volume's own.
    pub(crate) const FIRST_USER: u64 = 16;
}

/// Records that are kept in memory.
const KEPT: usize = 4096;

/// A volume, and its master file table.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) disk: Disk,
    pub(crate) boot: BootSector,
    pub(crate) mft: Stream,
    pub(crate) records: RefCell<HashMap<u64, Arc<Record>>>,
}

impl Volume {
    pub(crate) fn open(disk: Disk) -> Result<Self> {
        let boot = BootSector::read(&disk)?;
        // The first record says where the others are.
        let place = boot.mft.saturating_mul(u64::from(boot.cluster_size));
        let bytes = disk.read_vec(place, index(boot.record_size))?;
        let first = Record::read(bytes, system::MFT, boot.clusters, place)?;
        let data = |attribute: &&Attribute| attribute.kind == kind::DATA && attribute.name.is_empty();
        let head: Vec<Attribute> = first.attributes.iter().filter(data).cloned().collect();
        let mut volume = Self { mft: Stream::of(head, place)?, disk, boot, records: RefCell::default() };
        // Its further parts are in records that the parts before them hold.
        let mut parts = Vec::new();
        for listed in volume.list(&first)?.into_iter().flatten() {
            if listed.kind == kind::DATA && listed.name.is_empty() {
                parts.push(volume.listed(&first, &listed)?);
                volume.mft = Stream::of(parts.clone(), place)?;
                volume.records.borrow_mut().clear();
            }
        }
        Ok(volume)
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> u64 {
        self.mft.size().checked_div(u64::from(self.boot.record_size)).unwrap_or(0)
    }

    /// A record by its number, in use or not.
    pub(crate) fn record(&self, number: u64) -> Result<Arc<Record>> {
        if let Some(record) = self.records.borrow().get(&number) {
            return Ok(Arc::clone(record));
        }
        let bytes = self.bytes(number)?;
        let record = Arc::new(Record::read(bytes, number, self.boot.clusters, self.place(number))?);
        let mut records = self.records.borrow_mut();
        if records.len() >= KEPT {
            records.clear();
        }
        records.insert(number, Arc::clone(&record));
        Ok(record)
    }

    /// The bytes of a record as they are on the volume.
    pub(crate) fn bytes(&self, number: u64) -> Result<Vec<u8>> {
        if number >= self.records() {
            return Err(FsError::NotFound);
        }
        let size = u64::from(self.boot.record_size);
        let offset = number.checked_mul(size).ok_or(FsError::NotFound)?;
        let mut bytes = vec![0; index(size)];
        self.mft.read(&self.disk, &self.boot, &mut bytes, offset)?;
        Ok(bytes)
    }

    /// Where a record is on the volume, for errors; 0 if that is not known.
    pub(crate) fn place(&self, number: u64) -> u64 {
        let offset = number.saturating_mul(u64::from(self.boot.record_size));
        let Stream::Clusters { runs, .. } = &self.mft else { return 0 };
        let cluster = u64::from(self.boot.cluster_size);
        let vcn = offset.checked_div(cluster).unwrap_or(0);
        let run = runs.iter().find(|run| run.vcn <= vcn && vcn < run.end());
        let lcn = run.and_then(|run| run.lcn?.checked_add(vcn.saturating_sub(run.vcn)));
        let inside = offset.checked_rem(cluster).unwrap_or(0);
        lcn.and_then(|lcn| lcn.checked_mul(cluster)?.checked_add(inside)).unwrap_or(0)
    }

    /// A record that is in use, and is no part of another one.
    pub(crate) fn file(&self, number: u64) -> Result<Arc<Record>> {
        let record = self.record(number)?;
        if !record.in_use || record.base.is_some() { Err(FsError::NotFound) } else { Ok(record) }
    }

    /// The file that a reference means: the number of its uses is that of the record.
    pub(crate) fn referred(&self, reference: Reference) -> Result<Arc<Record>> {
        let record = self.file(reference.record)?;
        if record.sequence != reference.sequence {
            let why = format!("record {} is used again for another file", reference.record);
            return Err(FsError::corrupt("directory index", self.place(reference.record), why));
        }
        Ok(record)
    }

    /// The list of a file's attributes, if it has one.
    pub(crate) fn list(&self, record: &Record) -> Result<Option<Vec<Listed>>> {
        let place = self.place(record.number);
        let Some(list) = record.attributes.iter().find(|attribute| attribute.kind == kind::ATTRIBUTE_LIST)
        else {
            return Ok(None);
        };
        let stream = Stream::of(vec![list.clone()], place)?;
        let bytes = stream.read_all(&self.disk, &self.boot, attribute_list::LARGEST, "list of attributes")?;
        attribute_list::decode(&bytes, place).map(Some)
    }

    /// The attribute, or the part of one, that an entry of a list names.
    pub(crate) fn listed(&self, base: &Record, listed: &Listed) -> Result<Attribute> {
        let corrupt = |why: String| FsError::corrupt("list of attributes", self.place(base.number), why);
        let number = listed.record.record;
        let same = |attribute: &&Attribute| {
            attribute.kind == listed.kind && attribute.id == listed.id && attribute.name == listed.name
        };
        let missing = || corrupt(format!("attribute {:#x} is not in record {number}", listed.kind));
        let found = if number == base.number {
            base.attributes.iter().find(same).cloned()
        } else {
            let part = self.record(number)?;
            let ours = part.base.is_some_and(|of| of.record == base.number && of.sequence == base.sequence);
            if !part.in_use || part.sequence != listed.record.sequence || !ours {
                return Err(corrupt(format!("record {number} is not a part of record {}", base.number)));
            }
            part.attributes.iter().find(same).cloned()
        };
        let found = found.ok_or_else(missing)?;
        match &found.body {
            Body::Clusters { first, .. } if *first != listed.first => Err(missing()),
            _ => Ok(found),
        }
    }

    /// The attribute of a kind and a name, with all of its parts; `None` if the file has none.
    pub(crate) fn stream(&self, record: &Record, kind: u32, name: &[u16]) -> Result<Option<Stream>> {
        let parts: Vec<Attribute> = match self.list(record)? {
            None => {
                let same = |attribute: &&Attribute| attribute.kind == kind && attribute.name == name;
                record.attributes.iter().filter(same).cloned().collect()
            }
            Some(list) => {
                let same = |listed: &&Listed| listed.kind == kind && listed.name == name;
                list.iter().filter(same).map(|listed| self.listed(record, listed)).collect::<Result<_>>()?
            }
        };
        if parts.is_empty() { Ok(None) } else { Stream::of(parts, self.place(record.number)).map(Some) }
    }

    /// The content of an attribute that is in the record.
    pub(crate) fn resident(&self, record: &Record, kind: u32, name: &[u16]) -> Result<Option<Vec<u8>>> {
        match self.stream(record, kind, name)? {
            Some(Stream::Resident(bytes)) => Ok(Some(bytes)),
            Some(_) => {
                let why = format!("attribute {kind:#x} is not in the record");
                Err(FsError::corrupt("file record", self.place(record.number), why))
            }
            None => Ok(None),
        }
    }

    /// How many names of a file are second ones, for DOS.
    pub(crate) fn dos_names(&self, record: &Record) -> Result<u64> {
        let names: Vec<Attribute> = match self.list(record)? {
            None => record.attributes.iter().filter(|one| one.kind == kind::FILE_NAME).cloned().collect(),
            Some(list) => {
                let names = list.iter().filter(|listed| listed.kind == kind::FILE_NAME);
                names.map(|listed| self.listed(record, listed)).collect::<Result<_>>()?
            }
        };
        let is_dos = |name: &&Attribute| matches!(&name.body, Body::Resident(value) if value.get(65).copied() == Some(DOS));
        Ok(wide(names.iter().filter(is_dos).count()))
    }
}
