//! A managed disk in Azure as a place that takes a disk.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::{Disk, Error, ErrorKind, Observer, Receipt, Result};
use cloud::azure::{
    Access, Blob, Creation, DiskFacts, DiskId, DiskSettings, Grant, MAX_PUT, ManagedDisk, Manager, Options,
    PAGE, PageBlob, Signatures,
};
use image::Existing;
use image::transfer::ResumeKey;
use image::vhd;
use volume::Fitted;

use crate::ending::Ending;
use crate::{
    Base, Begin, CannotFollow, Destination, DiskSpec, FileFormat, Older, PageBlobDestination, ReadBack,
    Taken, Upload,
};

const LAYER: &str = "azure";
const FOOTER: u64 = 512;
/// A guest state is of 4 MiB, and its footer; no more than this is read.
const MAX_STATE: u64 = 64 << 20;

/// What the tag says of what cannot be told again.
pub(crate) const ONCE: &str = "once";

/// A managed disk that is made for the upload. Until it is closed it is none that a machine could start from;
/// an interrupted run leaves it open, and the same again goes on.
#[derive(Debug, Clone)]
pub struct ManagedDiskDestination {
    /// Which one.
    pub id: DiskId,
    /// How it is to be, where it has to be made.
    pub settings: DiskSettings,
    /// Who makes it.
    pub manager: Arc<Manager>,
    /// How its pages are put; the signatures are the disk's own.
    pub options: Options,
    /// What becomes of a disk that is there.
    pub existing: Existing,
    /// How much is read back.
    pub read_back: ReadBack,
    /// The folder for the record of the transfer.
    pub state: PathBuf,
    /// The file with the guest state of its virtual machine, if it gets one: for trusted launch.
    pub guest_state: Option<PathBuf>,
}

impl ManagedDiskDestination {
    pub(crate) fn disk(&self) -> ManagedDisk {
        ManagedDisk::new(&self.manager, &self.id)
    }

    /// What its tag says that it is made of; `None` for what cannot be told again, which is of one run alone.
    pub(crate) fn source(&self, key: Option<&ResumeKey>) -> Option<String> {
        let key = key?.clone().with("disk", self.name());
        // With a guest state it is another disk.
        let key = if self.guest_state.is_some() { key.with("prepared", true) } else { key }.digest();
        Some(key.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Where another disk of the same machine goes.
    pub(crate) fn beside(&self, number: u32) -> Self {
        let name = format!("{}-data{number}", self.id.name());
        // A name that is too long is refused by the service, by this name.
        let id = self.id.beside(&name);
        let settings = DiskSettings { system: None, ..self.settings.clone() };
        Self { id, settings, guest_state: None, ..self.clone() }
    }

    /// The error that it may not be written.
    pub(crate) fn refused(&self) -> Error {
        let error = Error::new(ErrorKind::Refused, LAYER, "cannot write the output").because(Taken::Exists);
        error.in_file(Path::new(&self.name()))
    }

    /// Its pages, once it is opened.
    fn pages(&self, access: Access, grant: Grant) -> PageBlobDestination {
        let (disk, (url, signature)) = (self.disk(), grant.pages);
        let of = url.clone();
        let next = move || match disk.open(access).map(|grant| grant.pages) {
            Ok((url, signature)) if url == of => Some(signature),
            // The same command finds out where it is now, or why it is nowhere.
            _ => None,
        };
        let options = Options { signatures: Signatures::granted(signature, next), ..self.options.clone() };
        // Whatever is in a disk that is not finished is refloat's, or given up.
        let existing = Existing::Replace;
        let (read_back, state, known_as) = (self.read_back, self.state.clone(), Some(self.name()));
        PageBlobDestination { url, options, existing, read_back, state, known_as }
    }

    /// What is on it, read by a signature that ends with this.
    pub(crate) fn read(&self) -> Result<vhd::Report> {
        let pages = self.pages(Access::Read, self.disk().open(Access::Read)?);
        let report = PageBlob::open(&pages.url, &Options { cache: None, ..pages.options })
            .map_err(Error::from)
            .and_then(|blob| vhd::check_bytes(&blob.disk()));
        let closed = self.disk().close();
        let report = report?;
        closed?;
        Ok(report)
    }

    /// Whether what is there is whole, and has been nobody else's since: the footer is the last page that is
    /// put.
    fn is_complete(&self, facts: &DiskFacts) -> Result<bool> {
        Ok(facts.state == "Unattached" && !facts.was_attached && self.read()?.well_formed())
    }

    /// The disk, with nothing in it or with what an earlier run of the same has put; `None` if it is whole.
    fn make(&self, total: u64, source: Option<&str>) -> Result<Option<DiskFacts>> {
        let disk = self.disk();
        if let Some(facts) = disk.facts()? {
            let is_known = source.is_some() && facts.source.as_deref() == source;
            let is_same = is_known && facts.upload == Some(total);
            if is_same && facts.is_unfinished() {
                return Ok(Some(facts));
            }
            if is_same && self.is_complete(&facts)? {
                return Ok(None);
            }
            if self.existing != Existing::Replace {
                return Err(self.refused());
            }
            self.remove(&facts)?;
        }
        let creation = match &self.guest_state {
            Some(_) => Creation::Prepared(total),
            None => Creation::Upload(total),
        };
        Ok(Some(disk.create(&self.settings, &creation, source.unwrap_or(ONCE))?))
    }

    /// Deletes what is there, open or not.
    pub(crate) fn remove(&self, facts: &DiskFacts) -> Result<()> {
        let disk = self.disk();
        // What was begun has no end that the service would take for good: that is no matter.
        if facts.is_open() && disk.close().is_err() {
            tracing::debug!(disk = %self.id, "it was closed unfinished");
        }
        Ok(disk.delete()?)
    }

    /// What is in the file with the guest state; `None` if there is none to give.
    fn guest_state(&self) -> Result<Option<Vec<u8>>> {
        let Some(path) = &self.guest_state else { return Ok(None) };
        let failed = |cause| Error::io(LAYER, "cannot read the guest state", cause).in_file(path);
        let (mut state, file) = (Vec::new(), File::open(path).map_err(failed)?);
        file.take(MAX_STATE + 1).read_to_end(&mut state).map_err(failed)?;
        let len = state.len() as u64;
        if state.is_empty() || !len.is_multiple_of(PAGE) || len > MAX_STATE {
            let what = "a guest state that is not of whole pages of 512 bytes, 64 MiB of them at most";
            return Err(Error::unsupported(LAYER, what).in_file(path));
        }
        Ok(Some(state))
    }

    /// Puts the guest state where it belongs: a blob that was made with the disk.
    fn put_state(&self, state: &[u8], grant: &Grant) -> Result<()> {
        let Some((url, signature)) = &grant.state else { return Ok(()) };
        let signatures = Signatures::granted(signature.clone(), || None);
        let blob = Blob::new(url, &Options { signatures, ..self.options.clone() })?;
        let size = blob.properties()?.map_or(0, |found| found.size);
        if size != state.len() as u64 {
            let what = format!("a guest state of {} bytes: Azure has room for {size}", state.len());
            return Err(
                Error::unsupported(LAYER, what).in_file(self.guest_state.as_deref().unwrap_or("".as_ref()))
            );
        }
        for (bytes, offset) in state.chunks(MAX_PUT).zip((0..).step_by(MAX_PUT)) {
            blob.put(offset, bytes)?;
        }
        Ok(())
    }
}

impl Destination for ManagedDiskDestination {
    fn name(&self) -> String {
        format!("azure:{}", self.id)
    }

    fn format(&self) -> FileFormat {
        FileFormat::Vhd
    }

    fn path(&self) -> Option<&Path> {
        None
    }

    fn follows(&self) -> bool {
        false
    }

    fn writes_over(&self, origin: &str) -> bool {
        // Azure's names are the same in capitals.
        self.name().eq_ignore_ascii_case(origin)
    }

    fn fit(&self, disk: Disk) -> Result<Fitted> {
        volume::fitted(disk, |size| {
            vhd::upload_size(size).map_err(|error| error.in_file(Path::new(&self.name())))
        })
    }

    fn has_begun(&self) -> bool {
        PageBlobDestination::has_begun_as(&self.name(), &self.state)
    }

    fn free(&self) -> Result<()> {
        match self.disk().facts()? {
            // Whether it is of the same source is known when that was read.
            Some(facts) if facts.is_unfinished() && facts.source.is_some() => Ok(()),
            Some(_) if self.existing != Existing::Replace => Err(self.refused()),
            _ => Ok(()),
        }
    }

    fn can_follow(&self, _older: &Older, _newer: &Base) -> Result<()> {
        let error = Error::new(ErrorKind::Refused, LAYER, "cannot take only what has changed");
        Err(error.because(CannotFollow::Managed).in_file(Path::new(&self.name())))
    }

    fn begin(&self, mut spec: DiskSpec, observer: &dyn Observer) -> Result<Begin> {
        if let (Some(since), Some(base)) = (&spec.since, &spec.base) {
            self.can_follow(since, base)?;
        }
        // Nothing follows, so nothing is kept for it.
        spec.base = None;
        let size = spec.size;
        let total = size.checked_add(FOOTER).ok_or_else(|| Error::unsupported(LAYER, "so large a disk"))?;
        let source = self.source(spec.key.as_ref());
        if source.is_none() && self.disk().facts()?.is_some() && self.existing != Existing::Replace {
            return Err(self.refused());
        }
        let guest_state = self.guest_state()?;
        if self.make(total, source.as_deref())?.is_none() {
            return Ok(Begin::Complete(Receipt { size, ..Receipt::default() }));
        }
        let access = if guest_state.is_some() { Access::WriteWithState } else { Access::Write };
        let grant = self.disk().open(access)?;
        if let Some(state) = &guest_state {
            self.put_state(state, &grant)?;
        }
        match self.pages(access, grant).begin(spec, observer)? {
            Begin::Complete(receipt) => {
                self.disk().close()?;
                Ok(Begin::Complete(receipt))
            }
            Begin::Go { sink: pages, resumes } => {
                let disk = self.disk();
                let end = move || close(&disk);
                Ok(Begin::Go { sink: Box::new(Ending { pages, end }), resumes })
            }
        }
    }

    fn discard(&self) -> Result<()> {
        PageBlobDestination::forget(&self.name(), &self.state)
    }

    fn companion(&self, number: u32) -> Box<dyn Destination> {
        Box::new(self.beside(number))
    }

    fn verify(&self) -> Result<Upload> {
        let content = PageBlobDestination::content_of(&self.name(), &self.state)?;
        Ok(Upload { form: Some(self.read()?), content })
    }
}

/// Closes a disk that has all of its pages: only then is it one.
fn close(disk: &ManagedDisk) -> Result<()> {
    disk.close()?;
    if disk.facts()?.is_some_and(|facts| !facts.is_unfinished() && !facts.is_open()) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Changed, LAYER, "the disk was closed and is still not ready"))
}
