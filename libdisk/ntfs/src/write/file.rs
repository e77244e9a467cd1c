//! A file as it is changed: its record, and the further records that it has where one is not enough.

use vfs::bytes::{index, part, wide};
use vfs::{FsError, Result};

use super::Change;
use super::record::{Header, Label, RawRecord, Sizes, Value, encode};
use crate::attribute::{self, Attribute, kind};
use crate::attribute_list::{self, Listed};
use crate::record::{Record, Reference};
use crate::runs::Run;
use crate::stream::Stream;

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// The first of them is the file's own.
    pub(crate) records: Vec<RawRecord>,
    /// The list of attributes that it had, if it has one.
    list: Option<Vec<Listed>>,
}

/// A place in a file: which of its records, and the attribute there.
pub(crate) type Piece = (usize, Header);

impl File {
    /// A file with this record alone.
    pub(crate) fn new(record: RawRecord) -> Self {
        Self { records: vec![record], list: None }
    }

    pub(crate) fn base(&self) -> Result<&RawRecord> {
        self.records.first().ok_or(FsError::NotFound)
    }

    pub(crate) fn base_mut(&mut self) -> Result<&mut RawRecord> {
        self.records.first_mut().ok_or(FsError::NotFound)
    }

    pub(crate) fn number(&self) -> u64 {
        self.records.first().map_or(0, |record| record.number)
    }

    pub(crate) fn reference(&self) -> Result<Reference> {
        self.base()?.reference()
    }

    pub(crate) fn is_directory(&self) -> Result<bool> {
        self.base()?.is_directory()
    }

    fn record(&self, at: usize) -> Result<&RawRecord> {
        self.records.get(at).ok_or(FsError::NotFound)
    }

    fn record_mut(&mut self, at: usize) -> Result<&mut RawRecord> {
        self.records.get_mut(at).ok_or(FsError::NotFound)
    }

    /// All attributes, but the list of them.
    pub(crate) fn all(&self) -> Result<Vec<Piece>> {
        let mut all = Vec::new();
        for (at, record) in self.records.iter().enumerate() {
            let headers = record.headers()?.into_iter();
            all.extend(
                headers.filter(|header| header.kind != kind::ATTRIBUTE_LIST).map(|header| (at, header)),
            );
        }
        Ok(all)
    }

    /// The parts of an attribute, in their order.
    pub(crate) fn pieces(&self, label: Label<'_>) -> Result<Vec<Piece>> {
        let mut pieces = self.all()?;
        pieces.retain(|(_, header)| header.kind == label.kind && header.name == label.name);
        pieces.sort_by_key(|(_, header)| header.first);
        Ok(pieces)
    }

    /// All attributes of a kind: names of the file.
    pub(crate) fn of_kind(&self, kind: u32) -> Result<Vec<Piece>> {
        let mut pieces = self.all()?;
        pieces.retain(|(_, header)| header.kind == kind);
        Ok(pieces)
    }

    /// The content of an attribute that is in one of the records.
    pub(crate) fn value(&self, piece: &Piece) -> Result<&[u8]> {
        if !piece.1.resident {
            let why = format!("attribute {:#x} is not in record {}", piece.1.kind, self.number());
            return Err(FsError::corrupt("file record", 0, why));
        }
        self.record(piece.0)?.value(&piece.1)
    }

    /// Changes some of the content of such an attribute.
    pub(crate) fn patch(&mut self, piece: &Piece, at: usize, bytes: &[u8]) -> Result<()> {
        self.record_mut(piece.0)?.patch(&piece.1, at, bytes)
    }

    /// The content of an attribute that is in one of the records, if the file has it.
    pub(crate) fn resident(&self, label: Label<'_>) -> Result<Option<Vec<u8>>> {
        match self.pieces(label)?.first() {
            Some(piece) => self.value(piece).map(|value| Some(value.to_vec())),
            None => Ok(None),
        }
    }

    /// Takes an attribute out, with all of its parts; its clusters are left as they are.
    pub(crate) fn remove(&mut self, label: Label<'_>) -> Result<()> {
        while let Some((at, header)) = self.pieces(label)?.pop() {
            self.record_mut(at)?.remove(&header)?;
        }
        Ok(())
    }

    /// Takes one attribute out of the record that it is in.
    pub(crate) fn remove_piece(&mut self, piece: &Piece) -> Result<()> {
        self.record_mut(piece.0)?.remove(&piece.1)
    }
}

/// What the parts of an attribute hold in clusters, as one.
fn parts(file: &File, label: Label<'_>, clusters: u64, place: u64) -> Result<Vec<Attribute>> {
    let mut parts = Vec::new();
    for (at, header) in file.pieces(label)? {
        let record = file.record(at)?;
        let parsed = Record::parse(&record.bytes, record.number, clusters, place)?;
        let same =
            |one: &Attribute| one.kind == header.kind && one.name == header.name && one.id == header.id;
        parts.extend(parsed.attributes.into_iter().find(same));
    }
    Ok(parts)
}

impl Change<'_> {
    /// Reads a record that is in use.
    fn raw(&self, number: u64) -> Result<RawRecord> {
        let volume = &self.fs.volume;
        let mut bytes = volume.bytes(number)?;
        crate::fixup::take_off(&mut bytes, *b"FILE", "file record", volume.place(number))?;
        // What cannot be read is not changed.
        Record::parse(&bytes, number, volume.boot.clusters, volume.place(number))?;
        Ok(RawRecord { number, bytes })
    }

    /// Reads a file with all of its records.
    pub(crate) fn load(&self, number: u64) -> Result<File> {
        let parsed = self.fs.volume.file(number)?;
        let mut records = vec![self.raw(number)?];
        let list = self.fs.volume.list(&parsed)?;
        for listed in list.iter().flatten() {
            if records.iter().any(|record| record.number == listed.record.record) {
                continue;
            }
            // Looks at the reference, and at whom the record belongs to.
            self.fs.volume.listed(&parsed, listed)?;
            records.push(self.raw(listed.record.record)?);
        }
        Ok(File { records, list })
    }

    /// Writes a file: each record, and the list of its attributes if that is another one now.
    pub(crate) fn store(&mut self, mut file: File) -> Result<()> {
        if file.list.is_some() {
            self.drop_empty(&mut file)?;
            self.write_list(&mut file)?;
        }
        for record in &file.records {
            self.write_record(record)?;
        }
        Ok(())
    }

    /// The content of an attribute, if the file has it.
    pub(crate) fn stream(&self, file: &File, label: Label<'_>) -> Result<Option<Stream>> {
        let place = self.fs.volume.place(file.number());
        let parts = parts(file, label, self.fs.volume.boot.clusters, place)?;
        if parts.is_empty() { Ok(None) } else { Stream::of(parts, place).map(Some) }
    }

    /// The bytes of an attribute, if the file has it, up to a length.
    pub(crate) fn content(&self, file: &File, label: Label<'_>, most: u64) -> Result<Option<Vec<u8>>> {
        let volume = &self.fs.volume;
        let stream = self.stream(file, label)?;
        stream.map(|stream| stream.read_all(&volume.disk, &volume.boot, most, "attribute")).transpose()
    }

    /// Gives a file an attribute, in the place of the one that it has; `false` if the records have no room
    /// for it, and the file is then as it was.
    pub(crate) fn set(&mut self, file: &mut File, label: Label<'_>, value: Value<'_>) -> Result<bool> {
        let old = file.pieces(label)?;
        let whole = encode(label, value)?;
        if let [(at, header)] = &*old
            && file.record_mut(*at)?.replace(header, whole.clone())?
        {
            return Ok(true);
        }
        let before = file.clone();
        file.remove(label)?;
        let first = old.first().map_or(0, |(at, _)| *at);
        let order = std::iter::once(first).chain((0..file.records.len()).filter(|at| *at != first));
        for at in order.clone() {
            if file.record_mut(at)?.insert(whole.clone(), &self.fs.capitals)? {
                return Ok(true);
            }
        }
        if let Value::Clusters(runs, sizes) = value
            && file.list.is_some()
            && !runs.is_empty()
            && self.spread(file, label, runs, sizes, &order.collect::<Vec<_>>())?
        {
            return Ok(true);
        }
        *file = before;
        Ok(false)
    }

    /// As [`set`](Self::set), with one more record where the others have no room.
    pub(crate) fn place(&mut self, file: &mut File, label: Label<'_>, value: Value<'_>) -> Result<()> {
        if self.set(file, label, value)? || (self.start_list(file)? && self.set(file, label, value)?) {
            return Ok(());
        }
        // The root of an index stays in the file's own record.
        if let Value::Resident(_) = value
            && label.kind != kind::INDEX_ROOT
        {
            file.remove(label)?;
            let at = self.add_record(file)?;
            if file.record_mut(at)?.insert(encode(label, value)?, &self.fs.capitals)? {
                return Ok(());
            }
        }
        Err(FsError::unsupported(format!("more attributes than record {} can have", file.number())))
    }

    /// Gives a file a list of its attributes, if it has none, and moves some of them into one more record.
    pub(crate) fn start_list(&mut self, file: &mut File) -> Result<bool> {
        if file.list.is_some() {
            return Ok(false);
        }
        file.list = Some(Vec::new());
        let mut at = self.add_record(file)?;
        loop {
            let headers = file.base()?.headers()?;
            let stays = |kind: u32| matches!(kind, kind::STANDARD_INFORMATION | kind::INDEX_ROOT);
            // Names last: they are what other systems look for first.
            let movable = headers.iter().filter(|header| !stays(header.kind));
            let next = movable.max_by_key(|header| (header.kind != kind::FILE_NAME, header.len));
            let list = headers.len().saturating_mul(40).saturating_add(64);
            let Some(header) = next.filter(|_| file.base().is_ok_and(|base| base.room().unwrap_or(0) < list))
            else {
                break;
            };
            let attribute = part(&file.base()?.bytes, header.at, header.len)?.to_vec();
            file.base_mut()?.remove(header)?;
            while !file.record_mut(at)?.insert(attribute.clone(), &self.fs.capitals)? {
                at = self.add_record(file)?;
            }
        }
        self.write_list(file)?;
        Ok(true)
    }

    /// Gives a file one more attribute; whether a record has room for it.
    pub(crate) fn add(&mut self, file: &mut File, label: Label<'_>, value: Value<'_>) -> Result<bool> {
        let attribute = encode(label, value)?;
        for record in &mut file.records {
            if record.insert(attribute.clone(), &self.fs.capitals)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts runs into as many records as they need, those of the file first.
    fn spread(
        &mut self,
        file: &mut File,
        label: Label<'_>,
        mut runs: &[Run],
        mut sizes: Sizes,
        records: &[usize],
    ) -> Result<bool> {
        let mut records = records.iter().copied();
        while !runs.is_empty() {
            let at = match records.next() {
                Some(at) => at,
                None => self.add_record(file)?,
            };
            let room = file.record(at)?.room()?;
            let fits = |count: &usize| {
                let front = runs.get(..*count).unwrap_or_default();
                encode(label, Value::Clusters(front, sizes)).is_ok_and(|part| part.len() <= room)
            };
            // A run takes three bytes at least.
            let most = room.div_euclid(3).min(runs.len());
            let Some(count) = (1..=most).rev().find(fits) else { continue };
            let (front, rest) = runs.split_at(count);
            let part = encode(label, Value::Clusters(front, sizes))?;
            if !file.record_mut(at)?.insert(part, &self.fs.capitals)? {
                return Ok(false);
            }
            (runs, sizes) = (rest, Sizes::default());
        }
        Ok(true)
    }

    /// Frees the further records that hold nothing any more.
    fn drop_empty(&mut self, file: &mut File) -> Result<()> {
        let mut kept = Vec::new();
        for (at, record) in std::mem::take(&mut file.records).into_iter().enumerate() {
            if at > 0 && record.headers()?.is_empty() {
                self.free_record(record)?;
            } else {
                kept.push(record);
            }
        }
        file.records = kept;
        Ok(())
    }

    /// Writes the list of a file's attributes, if it is another one now.
    fn write_list(&mut self, file: &mut File) -> Result<()> {
        let mut all = file.all()?;
        all.sort_by(|(_, a), (_, b)| a.order(b, &self.fs.capitals));
        let mut list = Vec::new();
        for (at, header) in all {
            list.push(Listed {
                kind: header.kind,
                first: header.first,
                record: file.record(at)?.reference()?,
                id: header.id,
                name: header.name,
            });
        }
        let sorted = |mut list: Vec<Listed>| {
            list.sort_by_key(|one| (one.record.record, one.id, one.first));
            list
        };
        if file.list.clone().map(sorted) == Some(sorted(list.clone())) {
            return Ok(());
        }
        let bytes = attribute_list::encode(&list)?;
        if wide(bytes.len()) > attribute_list::LARGEST {
            return Err(FsError::unsupported("a list of attributes of more than 256 KiB"));
        }
        // It is in the file's own record, and in no list.
        let headers = file.base()?.headers()?;
        let old = headers.into_iter().find(|header| header.kind == kind::ATTRIBUTE_LIST);
        let mut base = File::new(file.base()?.clone());
        let label = Label { kind: kind::ATTRIBUTE_LIST, name: &[] };
        let runs = match old.as_ref().is_some_and(|old| !old.resident) {
            true => self.list_runs(&base)?,
            false => Vec::new(),
        };
        if !self.put_list(&mut base, old.as_ref(), label, runs, &bytes)? {
            return Err(FsError::unsupported("a record that has no room for the list of its attributes"));
        }
        *file.base_mut()? = base.base()?.clone();
        file.list = Some(list);
        Ok(())
    }

    /// Where the list of a file's attributes is now.
    fn list_runs(&self, base: &File) -> Result<Vec<Run>> {
        let record = base.base()?;
        let place = self.fs.volume.place(record.number);
        let parsed = Record::parse(&record.bytes, record.number, self.fs.volume.boot.clusters, place)?;
        let list = parsed.attributes.into_iter().find(|one| one.kind == kind::ATTRIBUTE_LIST);
        match list.map(|list| list.body) {
            Some(attribute::Body::Clusters { runs, .. }) => Ok(runs),
            _ => Ok(Vec::new()),
        }
    }

    fn put_list(
        &mut self,
        base: &mut File,
        old: Option<&Header>,
        label: Label<'_>,
        runs: Vec<Run>,
        bytes: &[u8],
    ) -> Result<bool> {
        let capitals = self.fs.capitals.clone();
        let record = base.base_mut()?;
        let mut put = |attribute: Vec<u8>| match old {
            Some(old) => record.replace(old, attribute),
            None => record.insert(attribute, &capitals),
        };
        if runs.is_empty() && put(encode(label, Value::Resident(bytes))?)? {
            return Ok(true);
        }
        let runs = self.resize_runs(runs, wide(bytes.len()))?;
        self.write_runs(&runs, bytes)?;
        put(encode(label, Value::Clusters(&runs, self.sizes(&runs, bytes.len())))?)
    }

    /// Sizes of a stream that fills so many bytes of its runs.
    pub(crate) fn sizes(&self, runs: &[Run], len: usize) -> Sizes {
        let clusters = runs.last().map_or(0, Run::end);
        let allocated = clusters.saturating_mul(u64::from(self.fs.volume.boot.cluster_size));
        Sizes { allocated, size: wide(len), initialized: wide(len) }
    }

    /// Writes a record to its place, and to the mirror if it has one there.
    pub(crate) fn write_record(&mut self, record: &RawRecord) -> Result<()> {
        let mut bytes = record.bytes.clone();
        crate::fixup::put_on(&mut bytes, *b"FILE", "file record", self.fs.volume.place(record.number))?;
        let size = u64::from(self.fs.volume.boot.record_size);
        let offset = record.number.checked_mul(size).ok_or(FsError::NotFound)?;
        let volume = &self.fs.volume;
        if bytes.len() != index(size) || record.number >= volume.records() {
            return Err(FsError::Invalid("a record has its size, and is in the table".into()));
        }
        volume.mft.write(&self.writer, &volume.boot, &bytes, offset)?;
        if record.number < self.mirrored {
            self.mirror.write(&self.writer, &volume.boot, &bytes, offset)?;
        }
        volume.records.borrow_mut().remove(&record.number);
        *self.fs.last.borrow_mut() = None;
        Ok(())
    }
}
