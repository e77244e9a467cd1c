//! Content: of a file, or of another attribute; in the record if it fits there, else in clusters.

use vfs::bytes::wide;
use vfs::{FsError, Result};

use super::Change;
use super::file::File;
use super::record::{Label, Value};
use super::security::DESCRIPTOR;
use crate::attribute::{self, kind};
use crate::reparse::Reparse;
use crate::runs::Run;
use crate::stream::Stream;

/// The unnamed stream of a file.
pub(super) const DATA: Label<'static> = Label { kind: kind::DATA, name: &[] };

impl Change<'_> {
    /// Refuses a file whose content is not simply what is stored.
    pub(super) fn check_plain(&self, file: &File) -> Result<()> {
        let reparse = Label { kind: kind::REPARSE_POINT, name: &[] };
        if let Some(data) = self.content(file, reparse, crate::read::LARGEST_REPARSE)? {
            return Err(match Reparse::read(&data)? {
                Reparse::Link(_) => FsError::Invalid("not a regular file".into()),
                Reparse::Elsewhere(what) => FsError::unsupported(what),
                Reparse::Other => FsError::unsupported("changing a file with a reparse point"),
            });
        }
        for (_, header) in file.pieces(DATA)? {
            let what = match header.flags {
                0 => continue,
                flags if flags & attribute::ENCRYPTED != 0 => "changing a file that EFS encrypts",
                flags if flags & attribute::COMPRESSED != 0 => "changing a compressed file",
                flags if flags & attribute::SPARSE != 0 => "changing a sparse file",
                _ => "changing a file with an unknown flag",
            };
            return Err(FsError::unsupported(what));
        }
        Ok(())
    }

    /// Gives an attribute this content, all of it. Clusters that it has are kept, as many as it needs.
    pub(super) fn put(&mut self, file: &mut File, label: Label<'_>, content: &[u8]) -> Result<()> {
        let old = match self.stream(file, label)? {
            None | Some(Stream::Resident(_)) => None,
            Some(Stream::Clusters { runs, .. }) => Some(runs),
        };
        // What is in clusters stays there.
        if old.is_none()
            && content.len() <= file.base()?.bytes.len()
            && self.set(file, label, Value::Resident(content))?
        {
            return Ok(());
        }
        let mut old = old.unwrap_or_default();
        self.check_used(&old)?;
        // A hole is no place for content.
        if old.iter().any(|run| run.lcn.is_none()) {
            self.free_runs(&old)?;
            old.clear();
        }
        let runs = self.resize_runs(old, wide(content.len()))?;
        let runs = self.set_runs(file, label, runs, content.len())?;
        self.write_runs(&runs, content)
    }

    /// Gives an attribute these runs, or others of the same size if the records have no room for so many.
    pub(super) fn set_runs(
        &mut self,
        file: &mut File,
        label: Label<'_>,
        runs: Vec<Run>,
        len: usize,
    ) -> Result<Vec<Run>> {
        if self.set(file, label, Value::Clusters(&runs, self.sizes(&runs, len)))? {
            return Ok(runs);
        }
        self.free_runs(&runs)?;
        let runs = self.resize_runs(Vec::new(), wide(len))?;
        self.place(file, label, Value::Clusters(&runs, self.sizes(&runs, len)))?;
        Ok(runs)
    }

    /// Moves content out of a file's record until it has some room, if it can.
    pub(super) fn make_room(&mut self, file: &mut File, wanted: usize) -> Result<()> {
        for label in [DATA, DESCRIPTOR] {
            if file.base()?.room()? >= wanted {
                break;
            }
            let Some(Stream::Resident(content)) = self.stream(file, label)? else { continue };
            let runs = self.resize_runs(Vec::new(), wide(content.len()))?;
            let runs = self.set_runs(file, label, runs, content.len())?;
            self.write_runs(&runs, &content)?;
        }
        Ok(())
    }

    /// Frees the clusters of all attributes of a file.
    pub(super) fn free_content(&mut self, file: &File) -> Result<()> {
        let clusters = self.fs.volume.boot.clusters;
        for record in &file.records {
            let place = self.fs.volume.place(record.number);
            let parsed = crate::record::Record::parse(&record.bytes, record.number, clusters, place)?;
            for attribute in parsed.attributes {
                if let attribute::Body::Clusters { runs, .. } = attribute.body {
                    self.free_runs(&runs)?;
                }
            }
        }
        Ok(())
    }
}
