//! A managed disk in Azure as a place that takes a disk.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::{Chunk, ContentSum, Disk, Done, Error, ErrorKind, Observer, Receipt, Result, Sink, SinkCaps};
use cloud::azure::{
    Access, DiskFacts, DiskId, DiskSettings, ManagedDisk, Manager, Options, PageBlob, Signatures,
};
use image::Existing;
use image::transfer::ResumeKey;
use image::vhd;
use volume::Fitted;

use crate::{
    Base, Begin, CannotFollow, Destination, DiskSpec, FileFormat, Older, PageBlobDestination, ReadBack,
    Taken, Upload,
};

const LAYER: &str = "azure";
const FOOTER: u64 = 512;

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
}

impl ManagedDiskDestination {
    fn disk(&self) -> ManagedDisk {
        ManagedDisk::new(&self.manager, &self.id)
    }

    /// The error that it may not be written.
    fn refused(&self) -> Error {
        let error = Error::new(ErrorKind::Refused, LAYER, "cannot write the output").because(Taken::Exists);
        error.in_file(Path::new(&self.name()))
    }

    /// Its pages, while it is open.
    fn pages(&self, access: Access) -> Result<PageBlobDestination> {
        let disk = self.disk();
        let (url, signature) = disk.open(access)?;
        let of = url.clone();
        let next = move || match disk.open(access) {
            Ok((url, signature)) if url == of => Some(signature),
            // The same command finds out where it is now, or why it is nowhere.
            _ => None,
        };
        let options = Options { signatures: Signatures::granted(signature, next), ..self.options.clone() };
        // Whatever is in a disk that is not finished is refloat's, or given up.
        let existing = Existing::Replace;
        let (read_back, state, known_as) = (self.read_back, self.state.clone(), Some(self.name()));
        Ok(PageBlobDestination { url, options, existing, read_back, state, known_as })
    }

    /// What is on it, read by a signature that ends with this.
    fn read(&self) -> Result<vhd::Report> {
        let pages = self.pages(Access::Read)?;
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
    fn make(&self, total: u64, source: &str) -> Result<Option<DiskFacts>> {
        let disk = self.disk();
        if let Some(facts) = disk.facts()? {
            let is_same = facts.source.as_deref() == Some(source) && facts.upload == Some(total);
            if is_same && facts.is_unfinished() {
                return Ok(Some(facts));
            }
            if is_same && self.is_complete(&facts)? {
                return Ok(None);
            }
            if self.existing != Existing::Replace {
                return Err(self.refused());
            }
            // What was begun has no end that the service would take for good: that is no matter.
            if facts.is_open() && disk.close().is_err() {
                tracing::debug!(disk = %self.id, "it was closed unfinished");
            }
            disk.delete()?;
        }
        Ok(Some(disk.create(&self.settings, total, source)?))
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

    fn can_be_opened(&self) -> bool {
        false
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
        let key = spec.key.clone().map(|key: ResumeKey| key.with("disk", self.name()).digest());
        // What cannot be told again is of one run alone.
        let source = match key {
            Some(key) => key.iter().map(|byte| format!("{byte:02x}")).collect(),
            None => "once".to_owned(),
        };
        if key.is_none() && self.disk().facts()?.is_some() && self.existing != Existing::Replace {
            return Err(self.refused());
        }
        if self.make(total, &source)?.is_none() {
            return Ok(Begin::Complete(Receipt { size, ..Receipt::default() }));
        }
        match self.pages(Access::Write)?.begin(spec, observer)? {
            Begin::Complete(receipt) => {
                self.disk().close()?;
                Ok(Begin::Complete(receipt))
            }
            Begin::Go { sink, resumes } => {
                Ok(Begin::Go { sink: Box::new(DiskSink { pages: sink, disk: self.disk() }), resumes })
            }
        }
    }

    fn discard(&self) -> Result<()> {
        PageBlobDestination::forget(&self.name(), &self.state)
    }

    fn companion(&self, number: u32) -> Box<dyn Destination> {
        let name = format!("{}-data{number}", self.id.name());
        // A name that is too long is refused by the service, by this name.
        let id = self.id.beside(&name);
        let settings = DiskSettings { system: None, ..self.settings.clone() };
        Box::new(Self { id, settings, ..self.clone() })
    }

    fn verify(&self) -> Result<Upload> {
        let content = PageBlobDestination::content_of(&self.name(), &self.state)?;
        Ok(Upload { form: Some(self.read()?), content })
    }
}

/// Puts pages, then closes the disk: only then is it one.
struct DiskSink {
    pages: Box<dyn Sink>,
    disk: ManagedDisk,
}

impl Sink for DiskSink {
    fn caps(&self) -> SinkCaps {
        self.pages.caps()
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        self.pages.put(chunk)
    }

    fn done(&self, range: Range<u64>, sum: ContentSum) -> Result<()> {
        self.pages.done(range, sum)
    }

    fn already_done(&self) -> Result<Done> {
        self.pages.already_done()
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        let receipt = self.pages.finish(content)?;
        self.disk.close()?;
        let facts = self.disk.facts()?;
        if facts.is_some_and(|facts| !facts.is_unfinished() && !facts.is_open()) {
            return Ok(receipt);
        }
        Err(Error::new(ErrorKind::Changed, LAYER, "the disk was closed and is still not ready"))
    }
}
