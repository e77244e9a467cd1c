//! A managed disk in Azure that is made of a page blob.

use std::path::Path;

use block::{Disk, Error, ErrorKind, Observer, Receipt, Result};
use cloud::azure::{Begun, BlobUrl, Creation, DiskFacts, DiskId, GroupId};
use image::Existing;
use image::transfer::ResumeKey;
use volume::Fitted;

use crate::ending::Ending;
use crate::managed_disk::ONCE;
use crate::{
    Base, Begin, Destination, DiskSpec, FileFormat, ManagedDiskDestination, Older, PageBlobDestination,
    Upload,
};

const LAYER: &str = "azure";
/// The kind of record that says that a blob is there for an import, and for nothing else.
const RECORD: &str = "import";

/// A managed disk that Azure makes of a page blob in a storage account, once all is in that. It is the way to
/// a disk of trusted launch: Azure makes none by a plain upload. Until the blob is whole there is no disk; an
/// interrupted run leaves the blob, and the same again goes on.
#[derive(Debug, Clone)]
pub struct ImportedDiskDestination {
    /// The disk, and how it is to be.
    pub disk: ManagedDiskDestination,
    /// The blob.
    pub via: PageBlobDestination,
    /// The resource id of the blob's storage account; it is looked for, if none is named.
    pub account: Option<String>,
    /// Whether the blob stays when the disk is made.
    pub keep: bool,
}

impl ImportedDiskDestination {
    /// The blobs that imports into a group have left, with the disk that each was for, by the records in `state`.
    /// What was killed before its disk was made leaves one.
    pub fn left(state: &Path, group: &GroupId) -> Vec<(DiskId, BlobUrl)> {
        let all = Begun::all(state, group, RECORD).into_iter();
        all.filter_map(|(disk, url)| Some((disk, url.parse().ok()?))).collect()
    }

    /// Forgets the blob of an import into `disk`, and what was sent to it.
    ///
    /// # Errors
    /// `Io`.
    pub fn forget(disk: &DiskId, blob: &BlobUrl, state: &Path) -> Result<()> {
        PageBlobDestination::forget(blob.as_str(), state)?;
        let failed = |cause| Error::io(LAYER, "cannot remove the record of the import", cause);
        Begun::new(state, disk, RECORD).forget().map_err(failed)
    }

    /// The record that its blob is there for it alone.
    fn record(&self) -> Begun {
        Begun::new(&self.via.state, &self.disk.id, RECORD)
    }

    /// Records that the blob is there for the import alone.
    fn begun(&self) -> Result<()> {
        if self.keep {
            return Ok(());
        }
        let failed = |cause| Error::io(LAYER, "cannot write the record of the import", cause);
        self.record().record(self.via.url.as_str()).map_err(failed)
    }

    /// The resource id of the storage account that the blob is in.
    fn account(&self) -> Result<String> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let Some(name) = self.via.url.account() else {
            let what = format!("an import of {}: its storage account is not in its name", self.via.url);
            return Err(Error::unsupported(LAYER, what));
        };
        Ok(self.disk.id.group.storage_account(&self.disk.manager, name)?)
    }

    /// What the disk's tag says that it is made of. By another way it is another disk.
    fn source(&self, key: Option<&ResumeKey>) -> Option<String> {
        self.disk.source(key.map(|key| key.clone().with("import", &self.via.url)).as_ref())
    }

    /// Whether a disk is what an earlier run of the same has made, or has begun to.
    fn is_own(facts: &DiskFacts, source: Option<&str>) -> bool {
        source.is_some() && facts.source.as_deref() == source
    }

    /// Whether what is there, if anything is, may give way.
    fn may_write(&self, facts: Option<&DiskFacts>, source: Option<&str>) -> Result<()> {
        let is_own = |facts: &DiskFacts| Self::is_own(facts, source);
        match facts.is_none_or(is_own) || self.disk.existing == Existing::Replace {
            true => Ok(()),
            false => Err(self.disk.refused()),
        }
    }

    /// Makes the disk of the blob, which is whole.
    fn import(&self, account: &str, source: Option<&str>) -> Result<()> {
        let disk = self.disk.disk();
        let facts = disk.facts()?;
        self.may_write(facts.as_ref(), source)?;
        // What an earlier run of the same has begun is asked for again, and goes on.
        if let Some(facts) = facts.filter(|facts| !Self::is_own(facts, source)) {
            self.disk.remove(&facts)?;
        }
        let creation = Creation::Import { blob: self.via.url.clone(), account: account.to_owned() };
        let made = disk.create(&self.disk.settings, &creation, source.unwrap_or(ONCE))?;
        if !made.is_made || made.is_unfinished() {
            let what = "the disk was made of the blob and is still not ready";
            return Err(Error::new(ErrorKind::Changed, LAYER, what).in_file(Path::new(&self.name())));
        }
        self.tidy()
    }

    /// Deletes the blob, if it is not to stay.
    fn tidy(&self) -> Result<()> {
        if self.keep {
            return Ok(());
        }
        self.via.delete()?;
        let failed = |cause| Error::io(LAYER, "cannot remove the record of the import", cause);
        self.record().forget().map_err(failed)
    }
}

impl Destination for ImportedDiskDestination {
    fn name(&self) -> String {
        self.disk.name()
    }

    fn format(&self) -> FileFormat {
        FileFormat::Vhd
    }

    fn path(&self) -> Option<&Path> {
        None
    }

    fn follows(&self) -> bool {
        self.keep
    }

    fn writes_over(&self, origin: &str) -> bool {
        self.disk.writes_over(origin) || self.via.writes_over(origin)
    }

    fn fit(&self, disk: Disk) -> Result<Fitted> {
        self.disk.fit(disk)
    }

    fn has_begun(&self) -> bool {
        self.via.has_begun()
    }

    fn free(&self) -> Result<()> {
        self.account()?;
        self.may_write(self.disk.disk().facts()?.as_ref(), None)?;
        self.via.free()
    }

    fn can_follow(&self, older: &Older, newer: &Base) -> Result<()> {
        self.via.can_follow(older, newer)
    }

    fn begin(&self, mut spec: DiskSpec, observer: &dyn Observer) -> Result<Begin> {
        let (account, size) = (self.account()?, spec.size);
        let source = self.source(spec.key.as_ref());
        let facts = self.disk.disk().facts()?;
        self.may_write(facts.as_ref(), source.as_deref())?;
        let is_whole = |facts: &DiskFacts| facts.is_made && !facts.was_attached;
        if facts.is_some_and(|facts| Self::is_own(&facts, source.as_deref()) && is_whole(&facts)) {
            self.tidy()?;
            return Ok(Begin::Complete(Receipt { size, ..Receipt::default() }));
        }
        if !self.keep {
            // Nothing can follow what is deleted.
            spec.base = spec.base.filter(|_| spec.since.is_some());
        }
        let begin = self.via.begin(spec, observer)?;
        // Not earlier: a blob that is somebody's is none that this run left.
        self.begun()?;
        match begin {
            Begin::Complete(receipt) => {
                self.import(&account, source.as_deref())?;
                Ok(Begin::Complete(receipt))
            }
            Begin::Go { sink: pages, resumes } => {
                let to = self.clone();
                let end = move || to.import(&account, source.as_deref());
                Ok(Begin::Go { sink: Box::new(Ending { pages, end }), resumes })
            }
        }
    }

    fn discard(&self) -> Result<()> {
        self.via.discard()
    }

    /// A disk of data has no security of its own, and is uploaded as it is; but where blobs stay, to become newer
    /// snapshots, there is one for each disk.
    fn companion(&self, number: u32) -> Box<dyn Destination> {
        let disk = self.disk.beside(number);
        match self.keep {
            true => Box::new(Self { disk, via: self.via.beside(number), ..self.clone() }),
            false => Box::new(disk),
        }
    }

    fn verify(&self) -> Result<Upload> {
        Ok(Upload { form: Some(self.disk.read()?), content: self.via.content()? })
    }
}
